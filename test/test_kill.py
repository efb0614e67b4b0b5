# SPDX-License-Identifier: GPL-2.0-only
"""The tool is killed at random moments, alone and together with its guardian: the tree that it dumps goes on unharmed, of one that it
restores nothing is left, or all of it. CRIU_KILL_ROUNDS (20) says how often, CRIU_KILL_SEED (1) at which moments."""

import contextlib
import os
import random
import signal
import subprocess
import time

import pytest

from lib import host
from lib.criu import CRIU, LIMIT, run
from lib.victim import Victim

ROUNDS = int(os.environ.get("CRIU_KILL_ROUNDS", "20"))
SEED = int(os.environ.get("CRIU_KILL_SEED", "1"))
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


def start(victim, images, command, *options):
    return subprocess.Popen([CRIU, command, "-D", images.folder, "-W", images.work, "-v4", "-o", f"{command}.log",
                             *victim.options(*options)], env={**os.environ, "HOME": "/nonexistent", **victim.env},
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def guardians(victim):
    """Those that hold a journal of this run directory."""
    return host.guardians(victim.run_dir)


def strike(victim, tool, sig, delay, with_guardian):
    """Sends the signal after the delay; waits for the end of the tool and of its guardian."""
    time.sleep(delay)
    if with_guardian:
        # Stopped, so that it does not end between the look for its guardian and the end of both.
        tool.send_signal(signal.SIGSTOP)
        for pid in guardians(victim):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    tool.send_signal(sig)
    status = tool.wait(LIMIT)
    host.wait_until(lambda: not guardians(victim), "the guardian's end")
    host.reap()
    return status


def recover(victim):
    done = run("recover", env=victim.env)
    assert done.returncode == 0, done.stdout + done.stderr


def took(fn):
    begin = time.monotonic()
    fn()
    return time.monotonic() - begin


@pytest.mark.parametrize("sig,with_guardian", [(signal.SIGKILL, False), (signal.SIGKILL, True), (None, False)],
                         ids=["tool", "both", "interrupted"])
def test_dump(sig, with_guardian, tmp_path, tidy):
    victim = Victim(tmp_path)
    chance = random.Random(SEED)
    duration = took(lambda: victim.images().dump(victim.pid, *victim.options("-R"), env=victim.env))
    for path in victim.program.folder.glob("link_remap*"):
        path.unlink()
    for round_ in range(ROUNDS):
        images = victim.images()
        status = strike(victim, start(victim, images, "dump", "-R"), sig or chance.choice(INTERRUPTS),
                        chance.uniform(0, duration), with_guardian)
        if with_guardian:
            recover(victim)
        left = [path.name for path in images.folder.iterdir()]
        if "inventory.img" in left:
            # Too late: the dump was complete, and keeps what it needs.
            for path in victim.program.folder.glob("link_remap*"):
                path.unlink()
        else:
            assert status != 0 and not left, f"round {round_}: {status}, images were left: {left}"
        victim.assert_unharmed()
        victim.assert_tidy()
    victim.program.verify()


@pytest.mark.parametrize("sig,with_guardian", [(signal.SIGKILL, False), (signal.SIGKILL, True), (None, False)],
                         ids=["tool", "both", "interrupted"])
def test_restore(sig, with_guardian, tmp_path, tidy):
    victim = Victim(tmp_path)
    chance = random.Random(SEED)

    def dumped():
        images = victim.images()
        images.dump(victim.pid, *victim.options(), env=victim.env)
        victim.wait_gone()
        victim.files = victim.listing()
        return images

    images = dumped()
    duration = took(lambda: images.restore(*victim.options(), env=victim.env))
    images = dumped()
    for round_ in range(ROUNDS):
        status = strike(victim, start(victim, images, "restore", "-d"), sig or chance.choice(INTERRUPTS),
                        chance.uniform(0, duration), with_guardian)
        if with_guardian:
            recover(victim)
        assert not victim.journals(), f"round {round_}"
        if settled(victim):
            victim.assert_unharmed()
            images = dumped()
            continue
        assert status != 0, f"round {round_}: restored, and gone"
        victim.assert_undone()
    images.restore(*victim.options(), env=victim.env)
    victim.program.verify()


def settled(victim):
    """Those that are to die have died: whoever computes now is restored."""
    laps = victim.board()
    host.wait_until(lambda: (host.reap(), not victim.is_here() or victim.board()[1] > laps[1])[1], "an end or a lap")
    return victim.is_here()
