# SPDX-License-Identifier: GPL-2.0-only
"""The amdgpu plugin with the emulated driver: options, workloads, and what must hold after a dump or restore that has failed."""

import os

from lib import host, plugins
from lib.criu import TOP, Images

PLUGIN = TOP / "build/lib/criu"
CRIU_OPS = ("process_info", "checkpoint", "unpause", "restore", "resume")

# Name: program, number of GPUs, its words.
WORKLOADS = {
    "one": ("kfd-compute", 1, []),
    "two": ("kfd-compute", 2, ["gpus=2", "buffers=2"]),
    "threads": ("kfd-compute", 1, ["threads=2"]),
    "after": ("kfd-render", 1, ["krrrr"]),
    "around": ("kfd-render", 1, ["rrkrr"]),
    "alone": ("kfd-render", 1, ["rrrr"]),
    "share": ("kfd-share", 1, []),
    "share-keep": ("kfd-share", 1, ["keep=1"]),
    "share-two": ("kfd-share", 2, ["gpus=2", "keep=1"]),
    "family": ("kfd-family", 1, []),
    "family-two": ("kfd-family", 2, ["gpus=2"]),
}


def options(emulator, **values):
    return ["-L", PLUGIN, *emulator.roots(), *[word for key, value in values.items()
                                               for word in ("--plugin-opt", f"amdgpu.{key.replace('_', '-')}={value}")]]


def start(workloads, name, folder, emulator):
    program, _, words = WORKLOADS[name]
    return workloads.start(program, folder, emulator, *words)


def wrong(emulator):
    """What broke a rule, but for a second UNPAUSE: who recovers cannot ask whether the first one was done."""
    return [entry for entry in emulator.wrong() if entry.wrong != "unpause-unpaused"]


def assert_goes_on(emulator, victim):
    """Nobody is left paused, every queue makes steps, the program finds all as it was."""
    left = [line for line in emulator.state("process") if line.evicted or line.paused or line.blocked]
    assert not left, f"left paused: {left}"
    assert not wrong(emulator), wrong(emulator)
    # A failing dump's own open files are gone.
    assert {line.opener for line in emulator.state("file")} <= set(victim.pids)


def assert_nothing(emulator, victim):
    """A failed restore has removed all."""
    host.wait_until(lambda: all(host.is_gone(pid) for pid in victim.pids), "nothing runs")
    host.wait_until(lambda: not emulator.state("process") and not emulator.state("file"), "the driver has nothing of it")
    assert not emulator.state("bo"), emulator.state("bo")


def dumped(workloads, name, folder, emulator, **values):
    """A workload that was dumped and is gone, and its images."""
    victim = start(workloads, name, folder / "program", emulator)
    images = Images(folder / "images")
    images.dump(victim.pid, *options(emulator, **values))
    victim.wait_gone()
    host.wait_until(lambda: not emulator.state("process"), "the driver has nothing of it")
    emulator.forget()
    return victim, images


def select(log, **wanted):
    return plugins.select(log, **wanted)


def times(variable, standard=1):
    return int(os.environ.get(variable, standard))
