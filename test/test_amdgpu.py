# SPDX-License-Identifier: GPL-2.0-only
"""The amdgpu plugin on the emulated driver: what workloads have is there again, and in which order the driver was asked. How often
each is done: CRIU_AMDGPU_TIMES (1). Rows are those of the list of things that once went wrong with such plugins, in the names of
tests as row_NN."""

import os

import pytest

from lib import host, plugins
from lib.criu import TOP, Images
from lib.kfd import Emulator, Workloads

TIMES = int(os.environ.get("CRIU_AMDGPU_TIMES", "1"))
PLUGIN = TOP / "build/lib/criu"
CRIU_OPS = ("process_info", "checkpoint", "unpause", "restore", "resume")


@pytest.fixture(scope="module", autouse=True)
def own_mounts():
    plugins.private_mounts()


@pytest.fixture
def workloads():
    with Workloads() as workloads:
        yield workloads


@pytest.fixture
def emulator(folder, tidy, request):
    with Emulator(folder, **getattr(request, "param", {})) as emulator:
        yield emulator


def options(emulator, **values):
    return ["-L", PLUGIN, *emulator.roots(), *[word for key, value in values.items()
                                               for word in ("--plugin-opt", f"amdgpu.{key.replace('_', '-')}={value}")]]


# What is started with how many GPUs.
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


def check_order(emulator, log):
    """What the contract asks of a plugin for kfd, in the log of a dump."""
    def seqs(**wanted):
        return [entry.seq for entry in plugins.select(log, result=0, **wanted)]

    owners = {entry.owner for entry in plugins.select(log, op="process_info")}
    assert not owners or max(seqs(op="process_info")) < min(seqs(op="checkpoint")), "all are quiet before the first is read"
    for owner in owners:
        assert len(seqs(op="process_info", owner=owner)) == 1
        assert len(seqs(op="checkpoint", owner=owner)) == 1
        assert len(seqs(op="unpause", owner=owner)) == 1
    reads = seqs(op=("checkpoint", "list_handles", "gem_op", "prime_export", "prime_import", "cs", "read"))
    assert not owners or max(reads) < min(seqs(op="unpause")), "all is read before the first goes on"
    assert all(entry.role == "tracer" for entry in plugins.select(log, op=CRIU_OPS))
    tids = {entry.tid for entry in plugins.select(log, op=CRIU_OPS)}
    assert len(tids) < 2, "one thread asks"


def check_restore_order(emulator, log):
    restored = plugins.select(log, op="restore")
    resumed = plugins.select(log, op="resume")
    assert all(entry.role == "owner" and entry.result == 0 for entry in restored)
    assert {entry.owner for entry in restored} == {entry.target for entry in resumed}
    assert len(resumed) == len(restored)
    if resumed:
        last = max(entry.seq for entry in plugins.select(log, op=("restore", "gem_va", "gem_create", "prime_import", "alloc", "map")))
        assert last < min(entry.seq for entry in resumed)


@pytest.mark.parametrize("round_", range(TIMES))
@pytest.mark.parametrize("copy", ["map", "sdma"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_workload(folder, workloads, tidy, name, copy, round_):
    program, gpus, words = WORKLOADS[name]
    images = Images(folder / "images")
    with Emulator(folder, gpus=gpus) as emulator:
        victim = workloads.start(program, folder / "program", emulator, *words)
        emulator.forget()
        images.dump(victim.pid, *options(emulator, copy=copy))
        check_order(emulator, emulator.log())
        victim.wait_gone()
        assert not emulator.wrong()
        emulator.forget()
        images.restore(*options(emulator, copy=copy))
        check_restore_order(emulator, emulator.log())
        victim.verify()
        emulator.assert_good()
