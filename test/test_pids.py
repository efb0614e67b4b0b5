# SPDX-License-Identifier: GPL-2.0-only
"""Numbers of tasks that somebody else has when they are to be restored: who has it is told, and nothing is left; one that is about to
come free is waited for."""

import contextlib
import ctypes
import os
import signal
import struct
import subprocess

import pytest

from lib import host
from lib.criu import CRIU, Images
from lib.program import BUILT, Program

COUNTER = BUILT / "counter-plain"
SYS_CLONE3 = 435


@pytest.fixture
def images(folder, tidy):
    return Images(folder / "images")


@pytest.fixture
def counter(folder, images):
    program = Program(COUNTER, folder / "program")
    assert program.wait_ready()
    return program


def first_error(log):
    return [line for line in log.splitlines() if "Error (" in line][0]


def take(pid):
    """A process with that number, which waits."""
    number = ctypes.c_int(pid)
    # struct clone_args, linux/sched.h: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size.
    args = struct.pack("10Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(number), 1)
    got = ctypes.CDLL(None, use_errno=True).syscall(SYS_CLONE3, args, len(args))
    if got == 0:
        while True:
            signal.pause()
    assert got == pid, os.strerror(ctypes.get_errno())


@contextlib.contextmanager
def stopped_restore(images, step):
    """A restore that is stopped where that step begins; yields the tool and its log."""
    log = images.work / "stopped.log"
    command = [CRIU, "restore", "-d", "-D", images.folder, "-W", images.work, "-v4", "-o", log.name]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, env={**os.environ, "CRIU_FAIL_STEP": f"{step}:stop"}) as tool:
        host.wait_until(lambda: host.state(tool.pid) == "T", f"{step}: the restore is stopped")
        yield tool, log


@pytest.mark.parametrize("kind", ["group", "session"])
def test_number_of_a_group(folder, images, kind):
    """The leader was dumped; one that is not in its tree is in its group or session still, so that the kernel does not give the number."""
    def leave_member():
        if (child := os.fork()) == 0:
            if os.fork() == 0:
                os.closerange(0, 1024)
                if kind == "session":
                    os.setpgid(0, 0)
                while True:
                    signal.pause()
            os._exit(0)
        os.waitpid(child, 0)

    program = Program(COUNTER, folder / "program", preexec_fn=leave_member)
    assert program.wait_ready()
    [member] = [pid for pid in host.children(os.getpid()) if pid != program.pid]
    images.dump(program.pid)
    program.wait_gone()
    program.forget_end()
    error = first_error(images.restore(expect=1))
    assert f"pid {program.pid}: is taken as the group or session of" in error and f"pid {member})" in error
    assert host.children(os.getpid()) == [member]
    os.kill(member, signal.SIGKILL)
    os.waitpid(member, 0)
    images.restore()
    program.verify()


def test_number_taken_late(counter, images):
    """After it has been looked at."""
    images.dump(counter.pid)
    counter.wait_gone()
    with stopped_restore(images, "fork") as (tool, log):
        take(counter.pid)
        tool.send_signal(signal.SIGCONT)
        assert tool.wait() == 1
    assert f"pid {counter.pid}: is taken by" in first_error(log.read_text())
    os.kill(counter.pid, signal.SIGKILL)
    os.waitpid(counter.pid, 0)
    counter.forget_end()
    images.restore()
    counter.verify()


def test_signal_while_it_is_waited_for_late(counter, images, freezer):
    """Tasks are forked with all signals blocked; the wait ends with one nevertheless."""
    images.dump(counter.pid)
    counter.wait_gone()
    with stopped_restore(images, "fork") as (tool, log):
        take(counter.pid)
        kill_frozen(counter.pid, freezer)
        tool.send_signal(signal.SIGCONT)
        host.wait_until(lambda: f"pid {counter.pid}: is ending" in log.read_text() or tool.poll() is not None, "the restore waits")
        tool.send_signal(signal.SIGTERM)
        assert tool.wait() == 1 and "interrupted by SIGTERM" in first_error(log.read_text())
    (freezer / "freezer.state").write_text("THAWED")
    os.waitpid(counter.pid, 0)


@pytest.fixture
def freezer(folder):
    """A group of the freezer of cgroup v1: what is killed in it ends only when it is thawed."""
    top = folder / "freezer"
    top.mkdir()
    if subprocess.run(["mount", "-t", "cgroup", "-o", "freezer", "none", top], capture_output=True, check=False).returncode:
        pytest.skip("this kernel has no freezer of cgroup v1 to mount")
    group = top / f"criu-test-{os.getpid()}"
    try:
        group.mkdir()
        yield group
        (group / "freezer.state").write_text("THAWED")
        host.wait_until(lambda: not (group / "cgroup.procs").read_text(), "end of all in the group")
        group.rmdir()
    finally:
        subprocess.run(["umount", top], check=True)


def kill_frozen(pid, freezer):
    """It is killed, and does not end."""
    (freezer / "cgroup.procs").write_text(str(pid))
    (freezer / "freezer.state").write_text("FROZEN")
    host.wait_until(lambda: (freezer / "freezer.state").read_text() == "FROZEN\n", "the freezer")
    os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def restore_beside_ending(counter, images, freezer):
    """A restore that waits for the pid of a task which was killed and does not end; yields the tool and its log."""
    images.dump(counter.pid, "-R")
    kill_frozen(counter.pid, freezer)
    log = images.work / "early.log"
    command = [CRIU, "restore", "-d", "-D", images.folder, "-W", images.work, "-v4", "-o", log.name]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as tool:
        host.wait_until(lambda: log.exists() and f"pid {counter.pid}: is ending" in log.read_text() or tool.poll() is not None,
                        "restore waits for the pid")
        assert tool.poll() is None, log.read_text()
        yield tool, log


def test_pid_of_a_task_that_is_ending(counter, images, freezer):
    """A tree that was killed a moment ago, which the kernel still takes apart, is waited for."""
    with restore_beside_ending(counter, images, freezer) as (tool, log):
        (freezer / "freezer.state").write_text("THAWED")
        counter.wait_gone()
        counter.forget_end()
        assert tool.wait() == 0, log.read_text()
    counter.verify()


def test_pid_of_a_task_that_does_not_end(counter, images, freezer):
    """One need not wait for it."""
    with restore_beside_ending(counter, images, freezer) as (tool, log):
        tool.send_signal(signal.SIGINT)
        assert tool.wait() == 1 and "interrupted by SIGINT" in log.read_text()
    (freezer / "freezer.state").write_text("THAWED")
    counter.wait_gone()
