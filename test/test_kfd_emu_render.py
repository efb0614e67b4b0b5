# SPDX-License-Identifier: GPL-2.0-only
"""Render nodes of the emulated driver, copies by its DMA engine, and what of the rest only shows with other processes: contents that
are read while queues run, a resume that comes too early, other namespaces, many buffers."""

import ctypes
import errno
import mmap
import os
import struct
import subprocess
import time

import pytest

from lib import host, plugins
from lib.kfd_client import INFO, PAGE, RESTORE, RESUME, UNPAUSE, USERPTR, VRAM, Client, Saved, counter, criu, error_of, fails, in_child, kfd_of, prime
from test_fakedev import traced

pytestmark = pytest.mark.usefixtures("own_mounts")


class Engine:
    """The DMA engine behind an open render node."""

    def __init__(self, client, node):
        self.client, self.node, self.handles = client, node, []
        self.context = self.ask(0x42, "IIIi", 1, 0, 0, 0)[0]
        self.ib = self.create(PAGE, 2)
        self.words = mmap.mmap(node, PAGE, offset=self.offset(self.ib))
        self.map(self.ib, 0x50000000, PAGE)

    def ask(self, nr, form, *values):
        return self.client.ioctl(nr, form, *values, fd=self.node, kind="d")

    def create(self, size, domain):
        return self.ask(0x40, "QQQQ", size, PAGE, domain, 0)[0] & 0xffffffff

    def offset(self, handle):
        return struct.unpack("Q", struct.pack("II", *self.ask(0x41, "II", handle, 0)))[0]

    def pin(self, area):
        """Memory of this process."""
        address = ctypes.addressof(ctypes.c_char.from_buffer(area))
        return self.ask(0x51, "QQII", address, len(area), 1 << 3, 0)[3]

    def map(self, handle, va, size, flags=6):
        self.client.ioctl(0x48, "IIIIQQQ", handle, 0, 1, flags, va, 0, size, fd=self.node, kind="d")
        self.handles.append(handle)

    def submit(self, to, source, size, handles=None, listed=False):
        """handles: what is in the list of buffers; listed: as a list that was made before."""
        self.words[:32] = struct.pack("8I", 1, size - 1, 0, source & 0xffffffff, source >> 32, to & 0xffffffff, to >> 32, 0)
        ib = ctypes.create_string_buffer(struct.pack("IIQIIII", 0, 0, 0x50000000, 32, 2, 0, 0))
        handles = [self.ib, *(self.handles if handles is None else handles)]
        rows = ctypes.create_string_buffer(b"".join(struct.pack("II", handle, 0) for handle in handles))
        head = struct.pack("IIIIQ", 0, 0, len(handles), 8, ctypes.addressof(rows))
        number = self.ask(0x43, "IIIIQ", *struct.unpack("IIIIQ", head))[0] if listed else 0
        list_ = ctypes.create_string_buffer(head)
        chunks = [ctypes.create_string_buffer(struct.pack("IIQ", 1, 8, ctypes.addressof(ib)))]
        if not listed:
            chunks.append(ctypes.create_string_buffer(struct.pack("IIQ", 6, 6, ctypes.addressof(list_))))
        pointers = ctypes.create_string_buffer(b"".join(struct.pack("Q", ctypes.addressof(chunk)) for chunk in chunks))
        low, high = self.ask(0x44, "IIIIQ", self.context, number, len(chunks), 0, ctypes.addressof(pointers))[:2]
        return low | high << 32

    def wait(self, fence, ns):
        """0 once it is done, 1 if that takes longer."""
        return self.ask(0x49, "QQIIII", fence, time.clock_gettime_ns(time.CLOCK_MONOTONIC) + ns, 2, 0, 0, self.context)[0]


def anonymous(size):
    return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def test_copies(emulator):
    with Client(emulator) as client:
        engine = Engine(client, client.nodes[0])
        buffer = engine.create(4 * PAGE, 4)
        engine.map(buffer, 0x60000000, 4 * PAGE)
        here = anonymous(4 * PAGE)
        here[:] = os.urandom(4 * PAGE)
        pinned = engine.pin(here)
        engine.map(pinned, 0x70000000, 4 * PAGE)
        assert engine.wait(engine.submit(0x60000000, 0x70000000, 4 * PAGE), 10**9) == 0
        view = client.view(engine.offset(buffer), 4 * PAGE)
        assert view[:] == here[:]
        view[5000:5005] = b"there"
        assert engine.wait(engine.submit(0x70000000 + 4096, 0x60000000 + 4096, 4096), 10**9) == 0
        assert here[5000:5005] == b"there"
        view[:5] = b"named"
        assert engine.wait(engine.submit(0x70000000, 0x60000000, 4096, listed=True), 10**9) == 0 and here[:5] == b"named"
        # What work needs must be in its list; what is read only is not written.
        fails(errno.EFAULT, engine.submit, 0x60000000, 0x70000000, PAGE, handles=[buffer])
        fails(errno.EFAULT, engine.submit, 0x60000000, 0x70000000, PAGE, handles=[pinned])
        fails(errno.ENOENT, engine.submit, 0x60000000, 0x70000000, PAGE, handles=[buffer, pinned, 99])
        engine.map(buffer, 0x90000000, PAGE, 2)
        fails(errno.EFAULT, engine.submit, 0x90000000, 0x70000000, PAGE)
        assert [entry.wrong for entry in emulator.wrong()] == ["not-resident", "not-resident", "vm-fault"]
        emulator.forget()
        # The engine may not go beyond what is mapped; a userptr has no offset.
        fails(errno.EFAULT, engine.submit, 0x60000000, 0x70000000, 4 * PAGE + 1)
        fails(errno.EPERM, engine.offset, pinned)
        fails(errno.EINVAL, engine.map, buffer, 0x60001000, PAGE)
        assert [entry.wrong for entry in emulator.wrong()] == ["vm-fault"]
        emulator.forget()
        before = view[:]
        emulator.fault("cs", "unsignalled", times=1)
        here[:] = b"x" * len(here)
        fence = engine.submit(0x60000000, 0x70000000, PAGE)
        assert engine.wait(fence, 10**7) == 1 and view[:] == before
        emulator.clear()
        fails(errno.ECANCELED, engine.wait, fence, 10**9)
        emulator.fault("cs", "error:12", after=1)
        engine.submit(0x60000000, 0x70000000, PAGE)
        fails(errno.ENOMEM, engine.submit, 0x60000000, 0x70000000, PAGE)


@pytest.mark.parametrize("emulator", [{"gpus": 2}], indirect=True)
def test_reading_while_queues_run(emulator, workloads, folder):
    program = workloads.start("kfd-compute", folder / "program", emulator, "gpus=2")
    fd = kfd_of(program.pid)
    emulator.forget()

    def look():
        vram = [bucket for bucket in saved.buckets() if bucket["flags"] & VRAM]
        for bucket in vram:
            dmabuf = os.open(emulator.root / f"dev/dmabuf/{bucket['dmabuf']}", os.O_RDWR)
            with Client(emulator) as reader:
                node = reader.nodes[emulator.ids().index(bucket["gpu"])]
                handle = prime(reader, node, dmabuf)
                reader.ioctl(0x41, "II", handle, 0, fd=node, kind="d")
                assert len(os.pread(node, PAGE, bucket["offset"])) == PAGE
            os.close(dmabuf)
    with traced(program.pid):
        saved = Saved(fd).read(fd)
        look()
        assert not emulator.wrong()
        criu(fd, UNPAUSE)
        look()
    assert {entry.wrong for entry in emulator.wrong()} == {"busy"}
    # One on the wrong GPU: it is there, and no CPU can have it.
    with Client(emulator) as reader:
        bucket = next(bucket for bucket in saved.buckets() if bucket["flags"] & VRAM and bucket["gpu"] == emulator.ids()[0])
        dmabuf = os.open(emulator.root / f"dev/dmabuf/{bucket['dmabuf']}", os.O_RDWR)
        handle = prime(reader, reader.nodes[1], dmabuf)
        fails(errno.EPERM, reader.ioctl, 0x41, "II", handle, 0, fd=reader.nodes[1], kind="d")
        os.close(dmabuf)
    os.close(fd)
    program.verify()


def test_older_kernels_evict_each_time(emulator):
    emulator.command("evict-each 1")
    with Client(emulator) as client:
        client.acquire()
        _, offset = client.alloc(0x10000000, PAGE, VRAM)
        area = client.view(offset, PAGE)
        area[PAGE - 8:] = b"\xff" * 8
        client.run_queue([0x10000000, 0x10000000 + PAGE - 8])
        host.wait_until(lambda: counter(area) > 3, "the queue runs")
        criu(client.kfd, INFO)
        criu(client.kfd, INFO)
        criu(client.kfd, UNPAUSE)
        fails(errno.EINVAL, criu, client.kfd, UNPAUSE)
        assert emulator.state("queue")[0].evicted == 1


@pytest.mark.parametrize("fault", ["bad-offset", "no-dmabuf"])
def test_places_that_are_not(emulator, fault):
    with Client(emulator) as client:
        client.acquire()
        handle, _ = client.alloc(0x10000000, PAGE, VRAM)
        emulator.fault("*", fault)
        saved = Saved(client.kfd).read(client.kfd)
        path = emulator.root / f"dev/dmabuf/{saved.buckets()[0]['dmabuf']}"
        assert path.exists() == (fault == "bad-offset")
        if path.exists():
            dmabuf = os.open(path, os.O_RDWR)
            number = prime(client, client.nodes[0], dmabuf)
            offset = client.ioctl(0x41, "Q", number, fd=client.nodes[0], kind="d")[0]
            area = client.view(offset, PAGE)
            ends = os.pipe()
            # As a read by the kernel of what cannot be had.
            address = ctypes.addressof(ctypes.c_char.from_buffer(area))
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.write(ends[1], ctypes.c_void_p(address), PAGE) == -1 and ctypes.get_errno() == errno.EFAULT
            for fd in (*ends, dmabuf):
                os.close(fd)
            client.maps.remove(area)
        assert handle == client.ids[0] << 32
        criu(client.kfd, UNPAUSE)


@pytest.mark.parametrize("early", ["memory", "mappings", ""])
def test_resume_in_time(emulator, early):
    """What RESUME finds that is not yet there."""
    address = 0x300000000
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype, libc.mmap.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]

    def pages(fd=-1, offset=0, place=address):
        flags = mmap.MAP_SHARED if fd >= 0 else mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        assert libc.mmap(place, PAGE, 3, flags | 0x10, fd, offset) == place

    def save():
        with Client(emulator) as client:
            client.acquire()
            pages()
            client.alloc(address, PAGE, USERPTR, 0, address)
            client.alloc(0x10000000, PAGE, VRAM)
            saved = Saved(client.kfd).read(client.kfd)
            criu(client.kfd, UNPAUSE)
            libc.munmap(ctypes.c_void_p(address), PAGE)
            return saved

    def run(saved):
        client = Client(emulator)
        saved.set_devices([(client.ids[0], client.ids[0], client.nodes[0])])
        criu(client.kfd, RESTORE, **saved.args())
        old = saved.buckets()[1]
        if early != "memory":
            pages()
        pages(client.nodes[0], old["offset"] if early == "mappings" else old["restored"], 0x10000000)
        criu(client.kfd, RESUME, pid=os.getpid())
        return 0
    saved = save()
    assert in_child(lambda: run(saved)) == 0
    assert [entry.wrong for entry in emulator.wrong()] == ([f"resume-before-{early}"] if early else [])


def test_in_a_namespace_of_pids(emulator, workloads, folder):
    """What PROCESS_INFO says is the number in there; RESUME takes numbers of where it is called."""
    emulator.forget()
    script = ("import os, sys; sys.path.insert(0, sys.argv[1]); from lib.kfd import Emulator; "
              "from lib.kfd_client import Client, criu; from types import SimpleNamespace; from pathlib import Path; "
              "e = Emulator(Path(sys.argv[2]).parent); c = Client(e); "
              "print(os.getpid(), criu(c.kfd, 0)['pid'], flush=True); "
              "import errno; from lib.kfd_client import error_of; print(error_of(criu, c.kfd, 4, pid=os.getpid()))")
    out = subprocess.run(host.own_mounts("--pid", "--fork", "--mount-proc", "/usr/bin/python3", "-c", script,
                                         os.path.dirname(__file__), emulator.root), check=True, capture_output=True, text=True)
    assert out.stdout.split() == ["1", "1", str(errno.EINVAL)], out
    assert emulator.log(op="resume")[0].target > 1


@pytest.mark.parametrize("buffers", [0, 2500])
def test_how_many(emulator, workloads, folder, buffers):
    """Ten thousand and none; CHECKPOINT answers for all of them."""
    program = workloads.start("kfd-compute", folder / "program", emulator, f"buffers={buffers}", "size=4096")
    fd = kfd_of(program.pid)
    with traced(program.pid):
        saved = Saved(fd).read(fd)
        criu(fd, UNPAUSE)
    os.close(fd)
    # With queue, doorbell and registers; all are others.
    assert len({bucket["addr"] for bucket in saved.buckets()}) == (4 * buffers + 5 if buffers else 0)
    assert error_of(program.verify) == 0
    emulator.assert_good()


@pytest.mark.parametrize("emulator", [{"gpus": 4}], indirect=True)
def test_plain_copy(emulator, folder):
    out = subprocess.run([plugins.BUILT / "kfd-copy", emulator.root, folder, "size=1048576", "rounds=2"], check=True,
                         capture_output=True, text=True).stdout
    assert plugins.parse(out)["bytes"] == 4 << 20 and plugins.parse(out)["best_us"] > 0
    # Each has contents of its own.
    assert len({(folder / f"gpu{i}").read_bytes() for i in range(4)}) == 4
    assert all((folder / f"gpu{i}").stat().st_size == 1 << 20 for i in range(4))
