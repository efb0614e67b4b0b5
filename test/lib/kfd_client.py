# SPDX-License-Identifier: GPL-2.0-only
"""Ioctls of the emulated driver of AMD GPUs, made by this process: a client of few words, and checkpoint and restore by hand. Numbers
and layouts are those of uapi/linux/kfd_ioctl.h and of amdgpu_drm.h."""

import ctypes
import fcntl
import mmap
import os
import struct

from lib import host

PAGE = 4096
VRAM, GTT, USERPTR, DOORBELL = 1, 2, 4, 8
RINGS = struct.Struct("QQQQ6IQQQIIII")
CRIU = struct.Struct("QQQQ6I")
BO = struct.Struct("QQQQIIII")
DEVICE = struct.Struct("IIII")
INFO, CHECKPOINT, UNPAUSE, RESTORE, RESUME = range(5)
MAGIC = 0x6d617267
_libc = ctypes.CDLL(None, use_errno=True)


def number(nr, size, kind="K", direction=3):
    return direction << 30 | size << 16 | ord(kind) << 8 | nr


class Client:
    """An open kfd with render nodes, of this process."""

    def __init__(self, emulator, n=None):
        self.emulator = emulator
        self.kfd = os.open(emulator.root / "dev/kfd", os.O_RDWR)
        self.ids = emulator.ids()[:n]
        minors = [line.minor for line in emulator.state("gpu")]
        self.nodes = [os.open(emulator.root / f"dev/dri/renderD{minor}", os.O_RDWR) for minor in minors[:n]]
        self.maps = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for area in self.maps:
            area.close()
        for fd in [self.kfd, *self.nodes]:
            os.close(fd)

    def ioctl(self, nr, form, *values, fd=None, kind="K"):
        form = struct.Struct(form)
        data = fcntl.ioctl(self.kfd if fd is None else fd, number(nr, form.size, kind), form.pack(*values))
        return form.unpack(data)

    def acquire(self):
        for node, gpu in zip(self.nodes, self.ids):
            fcntl.ioctl(self.kfd, number(0x15, 8, direction=1), struct.pack("II", node, gpu))
        return self

    def alloc(self, va, size, flags, gpu=0, offset=0):
        """(handle, mmap offset), mapped to its GPU."""
        _, _, handle, offset, _, _ = self.ioctl(0x16, "QQQQII", va, size, 0, offset, self.ids[gpu], flags | 1 << 31)
        self.map(handle, gpu)
        return handle, offset

    def map(self, handle, *gpus):
        ids = struct.pack(f"{len(gpus)}I", *(self.ids[gpu] for gpu in gpus))
        array = ctypes.create_string_buffer(ids)
        self.ioctl(0x18, "QQII", handle, ctypes.addressof(array), len(gpus), 0)

    def view(self, offset, size, gpu=0):
        area = mmap.mmap(self.nodes[gpu], size, offset=offset)
        self.maps.append(area)
        return area

    def queue(self, ring, write, read, gpu=0):
        return RINGS.unpack(fcntl.ioctl(self.kfd, number(2, RINGS.size), RINGS.pack(
            ring, write, read, 0, PAGE, self.ids[gpu], 0, 100, 7, 0, 0, 0, 0, 0, 0, 0, 0)))[9]

    def run_queue(self, places, gpu=0, base=0x40000000):
        """A queue that runs in those addresses; returns the view of its ring."""
        views = []
        for i in range(3):
            _, offset = self.alloc(base + i * 0x10000, PAGE, GTT, gpu)
            views.append(self.view(offset, PAGE, gpu))
        views[0][:16 + 8 * len(places)] = struct.pack(f"IIQ{len(places)}Q", MAGIC, len(places), 0, *places)
        self.queue(base, base + 0x10000, base + 0x20000, gpu)
        views[1][:8] = struct.pack("Q", 1)
        return views[0]

    def export(self, handle):
        """An open dma-buf."""
        return os.open(self.emulator.root / f"dev/dmabuf/{self.ioctl(0x24, 'QII', handle, 0, 0)[2]}", os.O_RDWR)


def criu(fd, op, devices=0, bos=0, private=0, size=0, n_devices=0, n_bos=0, n_objects=0, pid=0):
    values = CRIU.unpack(fcntl.ioctl(fd, number(0x22, CRIU.size), CRIU.pack(
        devices, bos, private, size, n_devices, n_bos, n_objects, pid, op, 0)))
    keys = ("devices", "bos", "private", "size", "n_devices", "n_bos", "n_objects", "pid")
    return dict(zip(keys, values))


class Saved:
    """What CHECKPOINT answers."""

    def __init__(self, fd, info=None):
        info = info or criu(fd, INFO)
        self.info = info
        self.devices = ctypes.create_string_buffer(DEVICE.size * info["n_devices"])
        self.bos = ctypes.create_string_buffer(max(BO.size * info["n_bos"], 1))
        self.private = ctypes.create_string_buffer(info["size"])

    def args(self, **changed):
        return {"devices": ctypes.addressof(self.devices), "bos": ctypes.addressof(self.bos),
                "private": ctypes.addressof(self.private), "size": self.info["size"], "n_devices": self.info["n_devices"],
                "n_bos": self.info["n_bos"], "n_objects": self.info["n_objects"], **changed}

    def read(self, fd):
        criu(fd, CHECKPOINT, **self.args())
        return self

    def buckets(self):
        keys = ("addr", "size", "offset", "restored", "gpu", "flags", "dmabuf", "pad")
        return [dict(zip(keys, values)) for values in BO.iter_unpack(self.bos.raw)] if self.info["n_bos"] else []

    def set_devices(self, rows):
        self.devices[:] = b"".join(DEVICE.pack(*row, 0) for row in rows)


def borrow(pid, fd):
    """A duplicate of another process's descriptor."""
    pidfd = os.pidfd_open(pid)
    try:
        mine = _libc.syscall(438, pidfd, fd, 0)
        assert mine >= 0, os.strerror(ctypes.get_errno())
        return mine
    finally:
        os.close(pidfd)


def kfd_of(pid, name="dev/kfd"):
    """A duplicate of that descriptor of another process."""
    for fd, link in host.fds(pid).items():
        if link.endswith(name):
            return borrow(pid, fd)
    raise AssertionError(f"{pid} has no {name}")


def error_of(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except OSError as error:
        return error.errno
    return 0


def fails(error, call, *args, **kwargs):
    assert error_of(call, *args, **kwargs) == error


def in_child(run):
    """What run() returns, in a process of its own, as an exit status."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = run() or 0
        except OSError as error:
            status = error.errno
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def counter(area):
    return struct.unpack("Q", area[:8])[0]


def prime(client, node, dmabuf):
    return client.ioctl(0x2e, "IIi", 0, 0, dmabuf, fd=node, kind="d")[0]
