# SPDX-License-Identifier: GPL-2.0-only
"""The fake device of the conformance kit by itself: state, who may do what when, faults, log. What tests of plugins rely on."""

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import struct
import subprocess
import sys
import threading
import time

import pytest

from lib import host, plugins
from lib.criu import LIMIT
from lib.plugins import BUFFER, CHECKPOINT, EXPORT, IMPORT, INFO, LOCK, PAUSE, REGS, RESTORE, RESUME, RUN, UNLOCK, UNPAUSE

PAGE = 4096
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(scope="module", autouse=True)
def own_mounts():
    plugins.private_mounts()


@pytest.fixture
def device(folder, tidy):
    with plugins.FakeDevice(folder) as device:
        yield device


@pytest.fixture
def victims():
    with plugins.Victims() as victims:
        yield victims


class File:
    """An open file of a node, used by this process."""

    def __init__(self, device, node):
        self.fd = os.open(device.path / node, os.O_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def ioctl(self, cmd, form, *values):
        return struct.unpack(form, fcntl.ioctl(self.fd, cmd, struct.pack(form, *values)))

    def buffer(self, size):
        return self.ioctl(BUFFER, "QQ", size, 0)[1]

    def registers(self, items, is_write):
        """By way of an array of this process."""
        array = ctypes.create_string_buffer(b"".join(struct.pack("IIQ", index, 0, value) for index, value in items))
        self.ioctl(REGS, "IIQ", len(items), is_write, ctypes.addressof(array))
        return [struct.unpack_from("IIQ", array, i * 16)[2] for i in range(len(items))]

    def set(self, index, value):
        self.registers([(index, value)], 1)

    def get(self, index):
        return self.registers([(index, 0)], 0)[0]

    def run(self, is_on):
        self.ioctl(RUN, "I", is_on)

    def info(self):
        keys = ("handle", "opener", "state", "exported", "size", "offset", "counter")
        return dict(zip(keys, self.ioctl(INFO, "IIIIQQQ", *[0] * 7)))

    def checkpoint(self):
        """(handle, exported, imported, running, counter, size, offset), registers, words."""
        registers, words = (ctypes.c_uint64 * 16)(), (ctypes.c_uint64 * 8)()
        state = self.ioctl(CHECKPOINT, "IIIIQQQQQII", *[0] * 7, ctypes.addressof(registers), ctypes.addressof(words), 0, 0)
        return state[:7], list(registers), list(words)

    def restore(self, state, registers, words, owner=0):
        registers, words = (ctypes.c_uint64 * 16)(*registers), (ctypes.c_uint64 * 8)(*words)
        return self.ioctl(RESTORE, "IIIIQQQQQII", *state, ctypes.addressof(registers), ctypes.addressof(words), owner, 0)[:7]


def fails(error, call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == error, caught.value


class traced:
    """This thread traces the process, which goes on meanwhile."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        assert libc.ptrace(PTRACE_SEIZE, self.pid, None, None) == 0, os.strerror(ctypes.get_errno())

    def __exit__(self, *_):
        libc.ptrace(PTRACE_INTERRUPT, self.pid, None, None)
        os.waitpid(self.pid, 0x40000000)
        libc.ptrace(PTRACE_DETACH, self.pid, None, None)


def borrow(pid, fd):
    """A duplicate of another process's descriptor."""
    pidfd = os.pidfd_open(pid)
    try:
        mine = libc.syscall(438, pidfd, fd, 0)
        assert mine >= 0, os.strerror(ctypes.get_errno())
        return mine
    finally:
        os.close(pidfd)


def test_nodes(device):
    assert sorted(os.listdir(device.path)) == ["a0", "a1", "a2", "b0", "b1", "b2", "control", "log", "state"]
    for name in ("c0", "c17", "c9999"):
        assert os.stat(device.path / name).st_size == 1 << 50
    for name in ("a3", "c10000", "a", "c01", "d0", "a0x"):
        assert not (device.path / name).exists(), name


def test_state_is_the_open_file(device):
    with File(device, "a0") as one, File(device, "a0") as other:
        one.set(3, 7)
        other.set(3, 8)
        assert (one.get(3), other.get(3)) == (7, 8)
        assert one.registers([(3, 0), (4, 0)], 0) == [7, 0]
        fails(errno.EINVAL, one.get, 16)
        fails(errno.EINVAL, one.get, 0x100)
        fails(errno.EFAULT, one.ioctl, REGS, "IIQ", 1, 0, 8)
        assert [h.node for h in device.handles()] == ["a0", "a0"]
    host.wait_until(lambda: not device.handles(), "released")
    device.assert_good()


def test_mapping(device):
    with File(device, "b1") as file, File(device, "b1") as other:
        fails(errno.EINVAL, file.buffer, 100)
        offset = file.buffer(3 * PAGE)
        fails(errno.EEXIST, file.buffer, PAGE)
        assert other.buffer(PAGE) >= offset + 4 * PAGE, "no gap between two buffers"
        with mmap.mmap(file.fd, 3 * PAGE, offset=offset) as mapping:
            mapping[PAGE:PAGE + 5] = b"hello"
            # By another open file, and without a msync: it is the page cache.
            assert os.pread(other.fd, 5, offset + PAGE) == b"hello"
            os.pwrite(other.fd, b"world", offset + PAGE)
            assert mapping[PAGE:PAGE + 5] == b"world"
            mapping.flush()
            assert mapping[PAGE:PAGE + 5] == b"world"
        assert os.fstat(file.fd).st_size == 1 << 50
        os.truncate(device.path / "b1", 0)
        assert os.fstat(file.fd).st_size == 1 << 50
        assert os.pread(file.fd, PAGE, 1 << 40) == bytes(PAGE)


def test_runs_by_itself(device):
    with File(device, "a0") as file:
        offset = file.buffer(2 * PAGE)
        with mmap.mmap(file.fd, 2 * PAGE, offset=offset) as mapping:
            mapping[8:16] = b"client's"
            file.run(1)
            host.wait_until(lambda: struct.unpack_from("Q", mapping)[0] > 5, "the device writes into the mapping")
            file.run(0)
            stopped = file.info()["counter"]
            assert struct.unpack_from("Q", mapping)[0] == struct.unpack_from("Q", mapping, 2 * PAGE - 8)[0] == stopped
            assert mapping[8:16] == b"client's"
            assert os.pread(file.fd, 8, offset) == struct.pack("Q", stopped)


def test_lock_and_pause_stop_it(device):
    me = os.getpid()
    with File(device, "a0") as file:
        file.buffer(PAGE)
        file.run(1)
        for on, off in ((LOCK, UNLOCK), (PAUSE, UNPAUSE)):
            device.process(on, me)
            fails(errno.EALREADY, device.process, on, me)
            counter = file.info()["counter"]
            # Longer than many steps; if it ran, the next check would see it most times, and never fail wrongly.
            time.sleep(0.1)
            assert file.info()["counter"] == counter
            assert [(e.process, e.state) for e in device.quiet()] == [(me, "locked" if on == LOCK else "paused")]
            device.process(off, me)
            fails(errno.EALREADY, device.process, off, me)
            host.wait_until(lambda c=counter: file.info()["counter"] > c, "runs again")
        # Two who lock it do not know of each other.
        device.process(LOCK, me, 1)
        device.process(LOCK, me, 2)
        device.process(UNLOCK, me, 1)
        assert [(e.owner, e.state) for e in device.quiet()] == [(2, "locked")]
        device.process(UNLOCK, me, 2)
    device.assert_good()


def test_client_while_paused(device):
    with File(device, "a0") as file:
        device.process(LOCK, os.getpid())
        file.set(0, 1)
        assert not device.wrong()
        device.process(PAUSE, os.getpid())
        fails(errno.EBUSY, file.set, 0, 2)
        file.info()
        device.process(UNPAUSE, os.getpid())
        device.process(UNLOCK, os.getpid())
        assert file.get(0) == 1
    assert [(e.op, e.wrong, e.pid) for e in device.wrong()] == [("regs", "client-while-paused", os.getpid())]


def test_read_while_running(device):
    with File(device, "a0") as file:
        file.checkpoint()
    assert [(e.op, e.wrong) for e in device.wrong()] == [("checkpoint", "unpaused-read")]


def test_only_owner_or_tracer(device, victims, folder):
    program = victims.start("files", folder / "program", device.path, "a0,b0")
    pid = program.pid
    fd = next(int(n) for n in os.listdir(f"/proc/{pid}/fd") if os.readlink(f"/proc/{pid}/fd/{n}").endswith("/a0"))
    mine = File.__new__(File)
    mine.fd = borrow(pid, fd)
    with mine:
        fails(errno.EPERM, device.process, PAUSE, pid)
        fails(errno.EBADF, mine.checkpoint)
        assert [(e.op, e.wrong) for e in device.wrong()] == [("pause", "not-owner"), ("checkpoint", "not-owner")]
        device.forget()
        os.kill(pid, signal.SIGSTOP)
        with traced(pid):
            device.process(PAUSE, pid)
            state, _, _ = mine.checkpoint()
            data = os.pread(mine.fd, state[5], state[6])
            assert struct.unpack_from("Q", data) == struct.unpack_from("Q", data, len(data) - 8) == (state[4],)
            # Another thread of the tracer is not the tracer, unless the device is told so.
            results = []
            for is_strict in (1, 0):
                device.command(f"strict {is_strict}")
                thread = threading.Thread(target=lambda: results.append(_error(mine.checkpoint)))
                thread.start()
                thread.join()
            assert results == [errno.EBADF, 0]
            device.process(UNPAUSE, pid)
        assert [e.wrong for e in device.wrong()] == ["not-owner"]
        os.kill(pid, signal.SIGCONT)
    program.verify()
    assert not device.quiet()


def _error(call):
    try:
        call()
    except OSError as e:
        return e.errno
    return 0


def test_state_moves(device):
    """What CHECKPOINT gives, RESTORE takes: with another offset and another number for the exported buffer."""
    me = os.getpid()
    with File(device, "a0") as a, File(device, "b0") as b:
        offset = a.buffer(2 * PAGE)
        a.set(5, 55)
        a.set(0x101, 99)
        os.pwrite(a.fd, b"contents", offset + 8)
        number, = a.ioctl(EXPORT, "I", 0)
        b.ioctl(IMPORT, "I", number)
        assert b.get(0x201) == 99
        fails(errno.ENOENT, a.ioctl, IMPORT, "I", 1000)
        device.process(PAUSE, me)
        saved = a.checkpoint(), b.checkpoint()
        data = os.pread(a.fd, 2 * PAGE, offset)
        device.process(UNPAUSE, me)
    assert saved[0][0][1] == saved[1][0][2] == number
    with File(device, "a0") as a, File(device, "b0") as b:
        state = a.restore(*saved[0])
        assert state[1] not in (0, number) and state[6] != offset
        os.pwrite(a.fd, data, state[6])
        b.restore((*saved[1][0][:2], state[1], *saved[1][0][3:]), *saved[1][1:])
        fails(errno.EBUSY, a.get, 5)
        fails(errno.EBUSY, a.restore, *saved[0])
        assert {e.state for e in device.quiet()} == {"halted"}
        device.process(RESUME, me)
        fails(errno.EALREADY, device.process, RESUME, me)
        assert a.get(5) == 55 and b.get(0x201) == 99
        a.set(0x101, 100)
        assert b.get(0x201) == 100
        assert os.pread(a.fd, 8, state[6] + 8) == b"contents"
    assert [e.wrong for e in device.wrong()] == ["client-while-halted"]


def test_faults(device):
    with File(device, "a0") as a, File(device, "b0") as b:
        device.fault("regs", f"error:{errno.EIO}", node="a0", after=1, times=2)
        a.get(0)
        b.get(0)
        fails(errno.EIO, a.get, 0)
        fails(errno.EIO, a.get, 0)
        a.get(0)
        assert [(e.op, e.node, e.result, e.fault) for e in device.log() if e.fault] == [("regs", "a0", -errno.EIO, "error")] * 2
        device.fault("open", f"error:{errno.ENODEV}", node="c7")
        fails(errno.ENODEV, os.open, device.path / "c7", os.O_RDWR)
        device.fault("write", f"error:{errno.ENOSPC}", node="b0")
        fails(errno.ENOSPC, os.pwrite, b.fd, b"x", b.buffer(PAGE))
        for text in ("fault", "fault regs", "fault regs error:", "fault regs hang bad=1", "nonsense"):
            fails(errno.EINVAL, device.command, text)
        device.clear()
        os.close(os.open(device.path / "c7", os.O_RDWR))


CHILD = """
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR)
print("open", flush=True)
fcntl.ioctl(fd, int(sys.argv[2]), struct.pack("IIQ", 0, 0, 0))
print("through", flush=True)
"""


def child(device):
    process = subprocess.Popen([sys.executable, "-c", CHILD, device.path / "a1", str(REGS)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "open\n"
    return process


def test_hang_until_killed(device):
    device.fault("regs", "hang")
    with child(device) as process:
        host.wait_until(lambda: device.log(fault="hang"), "it hangs")
        process.kill()
        assert process.wait(LIMIT) == -signal.SIGKILL


def test_hang_until_cleared(device):
    device.fault("regs", "hang:hard")
    with child(device) as process:
        host.wait_until(lambda: device.log(fault="hang"), "it hangs")
        device.clear()
        assert process.stdout.readline() == "through\n"


def test_hang_until_the_device_is_gone(folder, tidy):
    with plugins.FakeDevice(folder) as device:
        device.fault("regs", "hang:hard")
        process = child(device)
        host.wait_until(lambda: device.log(fault="hang"), "it hangs")
    with process:
        assert process.wait(LIMIT) != 0


def test_signal_and_delay(device):
    device.fault("regs", f"signal:{int(signal.SIGKILL)}")
    with child(device) as process:
        assert process.wait(LIMIT) == -signal.SIGKILL
    device.clear()
    device.fault("info", "delay:30")
    with File(device, "a0") as file:
        begin = time.monotonic()
        for _ in range(4):
            file.info()
        assert time.monotonic() - begin >= 0.12


def test_log(device):
    with File(device, "a2") as file:
        file.set(0, 1)
    host.wait_until(lambda: device.log(op="release"), "released")
    log = device.log()
    assert [e.seq for e in log] == list(range(1, len(log) + 1))
    assert [(e.op, e.node, e.handle, e.result) for e in log] == [("open", "a2", 1, 0), ("regs", "a2", 1, 0), ("release", "a2", 1, 0)]
    assert {(e.pid, e.opener) for e in log[:2]} == {(os.getpid(), os.getpid())}
    device.forget()
    assert device.log() == [] and device.state()[0] == {"events": 0, "wrong": 0}


@pytest.mark.parametrize("name,args", [
    ("files", ("a0,b1,a1,b0,a2,b2",)), ("files", ("b0,a0", "a0,a0,b1")), ("family", ()), ("many", (4, 32)), ("many", (2, 8, "b1")),
])
def test_programs(name, args, device, victims, folder):
    program = victims.start(name, folder / "program", device.path, *args)
    program.verify()
    device.assert_good()
    host.wait_until(lambda: not device.handles(), "all is released")


def test_program_sees_what_differs(device, victims, folder):
    """A register of one file is another one: by the hand of somebody who has the file."""
    program = victims.start("files", folder / "program", device.path, "a0,b0", "a1")
    fd = next(int(n) for n in os.listdir(f"/proc/{program.pid}/fd") if os.readlink(f"/proc/{program.pid}/fd/{n}").endswith("/b0"))
    mine = File.__new__(File)
    mine.fd = borrow(program.pid, fd)
    with mine:
        mine.set(6, 1)
    with pytest.raises(AssertionError, match="b0 .*register 6 is 0x1"):
        program.verify()


def test_plugins_export_one_symbol():
    """Names of one plugin must not be found by another."""
    for path in sorted(plugins.BUILT.glob("*.so")):
        out = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True).stdout
        names = {line.split()[-1] for line in out.splitlines()}
        if path.name.startswith(("v02", "host")):
            assert "CR_PLUGIN_DESC" in names and "CRIU_PLUGIN" not in names
        elif path.name == "legacy.so":
            assert "cr_plugin_dump_file" in names and "CR_PLUGIN_DESC" not in names
        else:
            assert names == {"CRIU_PLUGIN"}, path
