# SPDX-License-Identifier: GPL-2.0-only
"""Every step of every plan fails once, before and after it was run, is interrupted by a signal, and has the tool killed: the
tree that is dumped goes on as if nothing had been, and of a tree that is restored nothing is left. Once a run has done what
cannot be taken back, it has succeeded whatever fails then: the tree that was dumped is dead and its images are complete, or the
tree that was restored runs, and the exit status says so."""

import os
import signal

import pytest

from lib import host
from lib.criu import errors
from lib.victim import Victim, plan_names

DUMP = plan_names("dump", "-t", "1", "-D", "/")
DRY_DUMP = plan_names("dump", "--dry-run", "-t", "1", "-D", "/")
RESTORE = plan_names("restore", "-D", "/")

# Points within steps, which have no "after".
POINTS = [name for name in RESTORE if name.startswith("task-")]
STEPS = [name for name in RESTORE if name not in POINTS]

# From these on nothing can be taken back, and signals come too late.
DUMP_FINAL = DUMP[DUMP.index("go-on"):]
DUMP_DONE = DUMP_FINAL[1:]
BEFORE = DUMP[:DUMP.index("go-on") + 1]
RESTORE_FINAL = RESTORE[RESTORE.index("pre-resume-scripts"):RESTORE.index("conclude") + 1]
RESTORE_RUNS = RESTORE[RESTORE.index("detach") + 1:RESTORE.index("conclude") + 1]


@pytest.fixture(autouse=True)
def nothing_of_ours():
    """Neither mounts nor descriptors, whatever happens; Victim has an eye on files, processes and tracers."""
    before = host.mounts(), host.own_fds()
    yield
    assert (host.mounts(), host.own_fds()) == before


def modes(names, *of_steps):
    return [name + mode for name in names for mode in of_steps]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def running(place):
    """One tree for all failures of a dump: it must outlive them all."""
    (place / "dump").mkdir()
    victim = Victim(place / "dump")
    yield victim
    victim.program.verify()


@pytest.fixture(scope="module")
def dumped(place):
    """The images of one tree for all failures of a restore; in the end it is restored."""
    (place / "restore").mkdir()
    victim = Victim(place / "restore")
    victim.set = victim.images()
    victim.set.dump(victim.pid, *victim.options(), env=victim.env)
    victim.wait_gone()
    victim.files = victim.listing()
    victim.image_files = sorted(path.name for path in victim.set.folder.iterdir())
    yield victim
    victim.set.restore(*victim.options(), env=victim.env)
    victim.assert_unharmed()
    victim.program.verify()


def dump(victim, step, *options, expect):
    """Returns image directory and log of a dump with a fault."""
    images = victim.images()
    log = images.dump(victim.pid, *victim.options(*options), env={**victim.env, "CRIU_FAIL_STEP": step}, expect=expect)
    return images, log


@pytest.mark.parametrize("step", [step for step in modes(BEFORE, "", ":after") if step != "go-on:after"])
def test_dump_fails(step, running):
    images, log = dump(running, step, expect=1)
    assert f"{step.partition(':')[0]}: failed on request" in errors(log)[0], log
    assert not list(images.folder.iterdir()), "images were left"
    running.assert_unharmed()
    running.assert_tidy()


@pytest.mark.parametrize("option", ["--leave-running", "--leave-stopped"])
@pytest.mark.parametrize("step", [step for step in modes(BEFORE[BEFORE.index("resume"):], "", ":after") if step != "go-on:after"])
def test_dump_and_go_on_fails(step, option, running):
    images, log = dump(running, step, option, expect=1)
    assert not list(images.folder.iterdir()), "images were left"
    running.assert_unharmed()
    running.assert_tidy()


@pytest.mark.parametrize("step", ["go-on:after", "go-on:term", *modes(DUMP_DONE, "", ":after", ":term")])
@pytest.mark.parametrize("option", ["--leave-running", "--leave-stopped"])
def test_dump_and_go_on_fails_late(step, option, running):
    images, log = dump(running, step, option, expect=0)
    assert (images.folder / "inventory.img").exists()
    if option == "--leave-stopped":
        for pid in running.pids:
            # It has its stop signal; it stops when it gets a CPU.
            host.wait_until(lambda pid=pid: host.state(pid) == "T", f"pid {pid}: stops")
            os.kill(pid, signal.SIGCONT)
    for path in running.program.folder.glob("link_remap*"):
        path.unlink()
    host.wait_until(lambda: not any(host.state(pid) == "T" for pid in running.pids), "all go on")
    running.assert_unharmed()
    running.assert_tidy()


@pytest.mark.parametrize("step", modes(DRY_DUMP, "", ":after", ":kill", ":term"))
def test_dry_dump_fails(step, running):
    dump(running, step, "--dry-run", expect=-9 if ":kill" in step else 1)
    running.assert_unharmed()
    host.wait_until(lambda: not running.journals(), "the guardian's end")


@pytest.mark.parametrize("step", modes([name for name in DUMP if name not in DUMP_FINAL], ":term"))
def test_dump_is_interrupted(step, running):
    images, log = dump(running, step, expect=1)
    assert "interrupted by SIGTERM" in errors(log)[0], log
    assert not list(images.folder.iterdir()), "images were left"
    running.assert_unharmed()
    running.assert_tidy()


@pytest.mark.parametrize("step", [step for step in modes(BEFORE, ":kill", ":kill-after") if step != "go-on:kill-after"])
def test_dump_is_killed(step, running):
    """The guardian takes back what the tool had done; a dump that is complete may stay."""
    images, _ = dump(running, step, expect=-9)
    host.wait_until(lambda: not running.journals(), "the guardian's end")
    left = [path.name for path in images.folder.iterdir()]
    assert not left or "inventory.img" in left, f"images were left: {left}"
    running.assert_unharmed()
    running.assert_tidy()


@pytest.mark.parametrize("step,status", [("go-on:after", 0), ("go-on:term", 0), ("go-on:kill-after", -9)] +
                         [(step, 0) for step in modes(DUMP_DONE, "", ":after", ":term")] +
                         [(step, -9) for step in modes(DUMP_DONE, ":kill", ":kill-after")])
def test_killed_tree_keeps_its_images(step, status, tmp_path):
    """After the tree was killed its images are all that is left of it, whatever happens then."""
    victim = Victim(tmp_path)
    images, _ = dump(victim, step, expect=status)
    victim.wait_gone()
    host.wait_until(lambda: not victim.journals(), "the guardian's end")
    images.restore(*victim.options(), env=victim.env)
    victim.assert_unharmed()
    victim.program.verify()


def restore(victim, step, expect):
    return victim.set.restore(*victim.options(), env={**victim.env, "CRIU_FAIL_STEP": step}, expect=expect)


def assert_images_whole(victim):
    assert sorted(path.name for path in victim.set.folder.iterdir()) == victim.image_files


# Links of the dump are taken away just before the tree runs: what fails after cannot be tried again with the same images.
TOO_LATE = ["detach:after", *modes(RESTORE_RUNS, "", ":after")]


@pytest.mark.parametrize("step", [step for step in modes(STEPS, "", ":after") + POINTS if step not in TOO_LATE])
def test_restore_fails(step, dumped):
    log = restore(dumped, step, expect=1)
    assert f"{step.partition(':')[0]}: failed on request" in errors(log)[0], log
    dumped.assert_undone()
    assert_images_whole(dumped)


@pytest.mark.parametrize("step", modes([name for name in RESTORE if name not in RESTORE_FINAL], ":term"))
def test_restore_is_interrupted(step, dumped):
    log = restore(dumped, step, expect=1)
    assert "interrupted by SIGTERM" in errors(log)[0], log
    dumped.assert_undone()
    assert_images_whole(dumped)


@pytest.mark.parametrize("step", [step for step in modes(STEPS, ":kill", ":kill-after") + modes(POINTS, ":kill")
                                  if step.partition(":")[0] not in RESTORE_RUNS and step != "detach:kill-after"])
def test_restore_is_killed(step, dumped):
    restore(dumped, step, expect=-9)
    host.wait_until(lambda: not dumped.journals(), "the guardian's end")
    dumped.assert_undone()
    assert_images_whole(dumped)


@pytest.mark.parametrize("step", [*TOO_LATE, "detach:kill-after", *modes(RESTORE_RUNS, ":kill", ":kill-after", ":term")])
def test_restored_tree_stays(step, dumped):
    """From the moment the tree runs, it is not the tool's any more."""
    restore(dumped, step, expect=-9 if ":kill" in step else 0)
    host.wait_until(lambda: not dumped.journals(), "the guardian's end")
    dumped.assert_unharmed()
    dumped.set.folder.rename(dumped.folder / "old")
    dumped.set.work.rename(dumped.folder / "old.work")
    try:
        dumped.set.folder.mkdir()
        dumped.set.work.mkdir()
        dumped.set.dump(dumped.pid, *dumped.options(), env=dumped.env)
        dumped.wait_gone()
        dumped.image_files = sorted(path.name for path in dumped.set.folder.iterdir())
    finally:
        for name in ("old", "old.work"):
            (dumped.folder / name).rename(dumped.folder / f"{name}-{step}")
