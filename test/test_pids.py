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
from lib.criu import CRIU, errors
from lib.program import BUILT, COUNTER, Program

LIBC = ctypes.CDLL(None, use_errno=True)
SYS_CLONE3, CLONE_NEWPID = 435, 0x20000000
# Of field 9 of proc_pid_stat(5), which host.stat() counts from the third on.
FLAGS, PF_EXITING = 6, 4


def take(*pids, flags=0):
    """A process with that number, which waits; with CLONE_NEWPID, first that in there, which is 1."""
    numbers = (ctypes.c_int * len(pids))(*pids)
    # struct clone_args, linux/sched.h: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size.
    args = struct.pack("10Q", flags, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(numbers), len(pids))
    got = LIBC.syscall(SYS_CLONE3, args, len(args))
    if got == 0:
        while True:
            signal.pause()
    assert got == pids[-1], os.strerror(ctypes.get_errno())


def fork_in_pid_namespace_of(pid):
    """A child of ours in there, which waits."""
    with open("/proc/self/ns/pid") as own, open(f"/proc/{pid}/ns/pid") as other:
        assert LIBC.setns(other.fileno(), CLONE_NEWPID) == 0, os.strerror(ctypes.get_errno())
        try:
            if (child := os.fork()) == 0:
                while True:
                    signal.pause()
        finally:
            assert LIBC.setns(own.fileno(), CLONE_NEWPID) == 0, os.strerror(ctypes.get_errno())
    return child


@contextlib.contextmanager
def ending(pid):
    """A process with that number that was killed, and does not end before the context is left: it is the first of a pid namespace,
    which has to wait for all others in there (pid_namespaces(7)), and one of them is a zombie that only we can reap."""
    take(1, pid, flags=CLONE_NEWPID)
    member = fork_in_pid_namespace_of(pid)
    os.kill(pid, signal.SIGKILL)
    try:
        host.wait_until(lambda: int(host.stat(pid)[FLAGS]) & PF_EXITING, f"pid {pid} is ending")
        yield
    finally:
        os.waitpid(member, 0)
        os.waitpid(pid, 0)


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
    error = errors(images.restore(expect=1))[0]
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
    assert f"pid {counter.pid}: is taken by" in errors(log.read_text())[0]
    os.kill(counter.pid, signal.SIGKILL)
    os.waitpid(counter.pid, 0)
    counter.forget_end()
    images.restore()
    counter.verify()


@pytest.mark.parametrize("name", ["counter-plain", "pdeath-root"])
def test_signal_while_it_is_waited_for_late(folder, images, name):
    """Tasks are forked with all signals blocked, a root that wants a signal when its parent ends not even by the tool itself; the wait
    ends with one nevertheless."""
    program = Program(BUILT / name, folder / "program")
    assert program.wait_ready()
    images.dump(program.pid)
    program.wait_gone()
    with stopped_restore(images, "fork") as (tool, log), ending(program.pid):
        tool.send_signal(signal.SIGCONT)
        host.wait_until(lambda: f"pid {program.pid}: is ending" in log.read_text() or tool.poll() is not None, "the restore waits")
        tool.send_signal(signal.SIGTERM)
        assert tool.wait() == 1 and "interrupted by SIGTERM" in errors(log.read_text())[0]


def waiting_restore(counter, images):
    """A restore that waits for the pid, and its log."""
    log = images.work / "early.log"
    command = [CRIU, "restore", "-d", "-D", images.folder, "-W", images.work, "-v4", "-o", log.name]
    tool = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    host.wait_until(lambda: log.exists() and f"pid {counter.pid}: is ending" in log.read_text() or tool.poll() is not None,
                    "restore waits for the pid")
    assert tool.poll() is None, log.read_text()
    return tool, log


def test_pid_of_a_task_that_is_ending(counter, images):
    """A task that was killed a moment ago, which the kernel still takes apart, is waited for."""
    images.dump(counter.pid)
    counter.wait_gone()
    counter.forget_end()
    with ending(counter.pid):
        tool, log = waiting_restore(counter, images)
    assert tool.wait() == 0, log.read_text()
    counter.verify()


def test_pid_of_a_task_that_does_not_end(counter, images):
    """One need not wait for it."""
    images.dump(counter.pid)
    counter.wait_gone()
    with ending(counter.pid):
        tool, log = waiting_restore(counter, images)
        tool.send_signal(signal.SIGINT)
        assert tool.wait() == 1 and "interrupted by SIGINT" in log.read_text()
