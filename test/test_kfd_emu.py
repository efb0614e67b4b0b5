# SPDX-License-Identifier: GPL-2.0-only
"""The emulated driver of AMD GPUs by itself: who may ask what when, what is restored and what is not, faults, workloads. What
tests of the amdgpu plugin rely on."""

import contextlib
import ctypes
import errno
import os
import signal
import struct
import sys
import threading

import pytest

from lib import host
from lib.kfd_client import (CHECKPOINT, DEVICE, DOORBELL, GTT, INFO, PAGE, RESTORE, RESUME, UNPAUSE, USERPTR, VRAM, Client, Saved,
                            counter, criu, error_of, fails, in_child, kfd_of, prime)
from test_fakedev import traced

pytestmark = pytest.mark.usefixtures("own_mounts")


def test_nodes(emulator):
    assert sorted(os.listdir(emulator.root / "dev")) == ["control", "dmabuf", "dri", "kfd", "log", "state"]
    assert os.listdir(emulator.root / "dev/dri") == ["renderD128"]
    assert os.stat(emulator.root / "dev/dri/renderD128").st_size == 1 << 50
    assert not (emulator.root / "dev/dmabuf/1").exists()


@pytest.mark.parametrize("emulator", [{"gpus": 4, "hives": "7,7,0", "ids": "100,200,300,400", "vram": "1G,2G",
                                       "cpus": 2, "set": "1:simd_count=80", "no-link": "2-3"}], indirect=True)
def test_topology(emulator):
    nodes = emulator.root / "topology/nodes"

    def properties(path):
        return dict(line.split() for line in (nodes / path).read_text().splitlines())

    assert sorted(os.listdir(nodes)) == list("012345") and emulator.ids() == [100, 200, 300, 400]
    assert [properties(f"{n}/properties")["simd_count"] for n in range(6)] == ["0", "0", "416", "80", "416", "416"]
    assert properties("2/properties")["hive_id"] == "7" and properties("5/properties")["hive_id"] == "0"
    assert properties("2/mem_banks/0/properties")["size_in_bytes"] == str(1 << 30)
    assert properties("5/mem_banks/0/properties")["size_in_bytes"] == str(2 << 30)

    def links(node):
        folder = nodes / str(node) / "io_links"
        return [(p["type"], p["node_to"]) for p in (properties(path / "properties") for path in sorted(folder.iterdir()))]

    # PCIe to a CPU each; one direction of the hive's XGMI is cut.
    assert links(2) == [("2", "0")] and links(3) == [("2", "1"), ("11", "2")] and links(4) == [("2", "0")]
    assert links(0) == [("2", "2"), ("2", "4")] and properties("0/properties")["io_links_count"] == "2"


def test_buffers(emulator):
    with Client(emulator) as client:
        # Not bound to a render node yet: kfd_bind_process_to_device().
        fails(errno.ENODEV, client.alloc, 0x10000000, PAGE, VRAM)
        client.acquire()
        fails(errno.EINVAL, client.alloc, 0x10000000, 0, VRAM)
        fails(errno.EINVAL, client.alloc, 0x10000000, PAGE, DOORBELL)
        fails(errno.EINVAL, client.alloc, 0x10000000, PAGE, 0)
        fails(errno.EINVAL, client.alloc, 0x10000000, PAGE, USERPTR)
        fails(errno.ENOMEM, client.alloc, 0x10000000, 17 << 30, VRAM)
        handle, offset = client.alloc(0x10000000, 3 * PAGE, VRAM)
        other, second = client.alloc(0x20000000, PAGE, GTT)
        assert (handle, other) == (client.ids[0] << 32, client.ids[0] << 32 | 1)
        assert second > offset + 3 * PAGE and offset < 1 << 50
        # The same address cannot be mapped twice.
        fails(errno.EINVAL, client.alloc, 0x10001000, PAGE, VRAM)
        area = client.view(offset, 3 * PAGE)
        area[PAGE:PAGE + 5] = b"hello"
        assert os.pread(client.nodes[0], 5, offset + PAGE) == b"hello"
        assert os.pwrite(client.nodes[0], b"again", offset + PAGE) == 5 and area[PAGE:PAGE + 5] == b"again"
        fails(errno.EINVAL, os.pread, client.nodes[0], 5, offset - PAGE)
        assert [entry["bo"] for entry in emulator.log(op="read", result=0)] == [1]
        # What is mapped cannot be freed; a freed number is the lowest again.
        fails(errno.EBUSY, client.ioctl, 0x17, "Q", handle)


def test_only_the_owner(emulator):
    with Client(emulator) as client:
        client.acquire()
        assert in_child(lambda: client.ioctl(1, "II", 0, 0)) == errno.EBADF
        assert in_child(lambda: criu(client.kfd, INFO)) == errno.EBADF
        # A child that opens it has a process of its own there.
        assert in_child(lambda: Client(emulator).acquire() and 0) == 0
        assert [entry.wrong for entry in emulator.wrong()] == ["not-owner", "not-owner-or-tracer"]
        # As is, with no rights.

        def without_rights():
            os.setgroups([])
            os.setuid(65534)
            criu(Client(emulator).kfd, INFO)
        assert in_child(without_rights) == errno.EACCES


def test_tracer(emulator, workloads, folder):
    program = workloads.start("kfd-compute", folder / "program", emulator)
    fd = kfd_of(program.pid)
    fails(errno.EBADF, criu, fd, INFO)
    with traced(program.pid):
        assert criu(fd, INFO)["pid"] == program.pid
        # Another thread of the tracer is not the tracer.
        seen = []
        thread = threading.Thread(target=lambda: seen.append(error_of(criu, fd, UNPAUSE)))
        thread.start()
        thread.join()
        assert seen == [errno.EBADF]
        criu(fd, UNPAUSE)
    os.close(fd)
    program.verify()
    assert [entry.role for entry in emulator.log(op=("process_info", "unpause"))] == ["other", "tracer", "other", "tracer"]


def test_checkpoint_rules(emulator):
    with Client(emulator) as client:
        client.acquire()
        client.alloc(0x10000000, 2 * PAGE, VRAM)
        client.alloc(0x20000000, 8192, DOORBELL)
        fails(errno.EINVAL, criu, client.kfd, UNPAUSE)
        info = criu(client.kfd, INFO)
        assert (info["n_devices"], info["n_bos"], info["n_objects"]) == (1, 2, 0) and info["size"] == 8 + 8 + 2 * 272
        # However often it is asked, it is evicted once.
        saved = Saved(client.kfd)
        assert emulator.state("process")[0].evicted == 1
        for wrong in ({"devices": 0}, {"bos": 0}, {"private": 0}, {"n_devices": 2}, {"n_bos": 1}, {"n_objects": 1}, {"size": 8}):
            assert error_of(criu, client.kfd, CHECKPOINT, **saved.args(**wrong)) == errno.EINVAL, wrong
        fails(errno.EFAULT, criu, client.kfd, CHECKPOINT, **saved.args(private=8))
        saved.read(client.kfd)
        assert DEVICE.unpack(saved.devices.raw)[:2] == (client.ids[0], client.ids[0])
        vram, doorbell = saved.buckets()
        assert (vram["addr"], vram["size"], vram["gpu"]) == (0x10000000, 2 * PAGE, client.ids[0])
        assert doorbell["offset"] == 3 << 62 | client.ids[0] << 46 and doorbell["dmabuf"] == 0xffffffff
        dmabuf = emulator.root / f"dev/dmabuf/{vram['dmabuf']}"
        assert dmabuf.stat().st_size == 2 * PAGE
        criu(client.kfd, UNPAUSE)
        fails(errno.EINVAL, criu, client.kfd, UNPAUSE)
        fails(errno.EINVAL, criu, client.kfd, CHECKPOINT, **saved.args())
        assert {"checkpoint-unpaused", "unpause-unpaused"} == {entry.wrong for entry in emulator.wrong()}
        fails(errno.ESRCH, criu, client.kfd, RESUME, pid=emulator.server.pid)
        fails(errno.EINVAL, criu, client.kfd, RESUME, pid=os.getpid())


def test_eviction_stops_queues(emulator):
    with Client(emulator) as client:
        client.acquire()
        _, offset = client.alloc(0x10000000, 4 * PAGE, VRAM)
        area = client.view(offset, 4 * PAGE)
        last = 4 * PAGE - 8
        area[last:] = b"\xff" * 8
        client.run_queue([0x10000000, 0x10000000 + last])
        host.wait_until(lambda: counter(area) > 10, "the queue runs")
        criu(client.kfd, INFO)
        seen = counter(area)
        assert struct.unpack("Q", area[last:])[0] == seen ^ (1 << 64) - 1
        steps = emulator.state("queue")[0].steps
        # Something else goes on meanwhile: another process of the driver comes and goes.
        assert in_child(lambda: Client(emulator).acquire() and 0) == 0
        assert counter(area) == seen and emulator.state("queue")[0].steps == steps
        criu(client.kfd, UNPAUSE)
        host.wait_until(lambda: counter(area) > seen + 2, "the queue runs again")
        # Two places that do not agree: it stops.
        criu(client.kfd, INFO)
        area[last:] = b"\0" * 8
        criu(client.kfd, UNPAUSE)
        host.wait_until(lambda: emulator.state("queue")[0].stuck == 1, "the queue stops")
        assert [entry.wrong for entry in emulator.wrong()] == ["torn"]


def test_closing_does_not_unpause(emulator, workloads, folder):
    program = workloads.start("kfd-compute", folder / "program", emulator)
    fd = kfd_of(program.pid)
    with traced(program.pid):
        criu(fd, INFO)
    os.close(fd)
    assert emulator.state("process")[0].evicted == 1
    fd = kfd_of(program.pid)
    with traced(program.pid):
        criu(fd, UNPAUSE)
    os.close(fd)
    program.verify()


def restore(emulator, saved, contents, ids, user_ids, report):
    """In a new process: all of it, on other GPUs; then the caller resumes. The queue is to go on in the restored contents."""
    client = Client(emulator)
    saved.set_devices([(user, real, node) for user, real, node in zip(user_ids, ids, client.nodes)])
    criu(client.kfd, RESTORE, **saved.args())
    areas = []
    for bucket, old in zip(saved.buckets(), contents):
        if not bucket["flags"] & (VRAM | GTT):
            continue
        assert bucket["restored"] != bucket["offset"]
        area = client.view(bucket["restored"], bucket["size"], user_ids.index(bucket["gpu"]))
        area[:] = old
        areas.append(area)
    os.write(report, b"1")
    before = counter(areas[0])
    host.wait_until(lambda: counter(areas[0]) > before + 3, "the restored queue runs")
    # Handles and ids are the old ones, for this process.
    client.ids = user_ids
    assert error_of(client.alloc, 0x70000000, PAGE, VRAM, len(ids) - 1) == 0
    return 0


@pytest.mark.parametrize("emulator", [{"gpus": 2, "ids": "1000,2000"}], indirect=True)
@pytest.mark.parametrize("ids", [[1000, 2000], [2000, 1000]])
def test_restore(emulator, ids):
    with Client(emulator) as client:
        client.acquire()
        areas = []
        for gpu in range(2):
            _, offset = client.alloc(0x10000000 + gpu * 0x1000000, 3 * PAGE, VRAM, gpu)
            areas.append(client.view(offset, 3 * PAGE, gpu))
            areas[gpu][16:20] = b"gpu%d" % gpu
        areas[0][3 * PAGE - 8:] = b"\xff" * 8
        client.run_queue([0x10000000, 0x10000000 + 3 * PAGE - 8])
        host.wait_until(lambda: counter(areas[0]) > 10, "the queue runs")
        saved = Saved(client.kfd).read(client.kfd)
        contents = [os.pread(client.nodes[client.ids.index(b["gpu"])], b["size"], b["offset"]) for b in saved.buckets()]
        criu(client.kfd, UNPAUSE)
    emulator.forget()
    ends = os.pipe()
    # Node i of the new process is that of the real GPU i.
    users = [ids[i] for i in range(2)]
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = restore(emulator, saved, contents, [1000, 2000], users, ends[1])
        finally:
            os._exit(status)
    try:
        assert os.read(ends[0], 1) == b"1"
        assert [line.steps for line in emulator.state("queue")] == [0]
        with Client(emulator) as other:
            criu(other.kfd, RESUME, pid=pid)
            fails(errno.EINVAL, criu, other.kfd, RESUME, pid=pid)
    finally:
        for fd in ends:
            os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [entry.wrong for entry in emulator.wrong()] == ["resume-unrestored"]
    assert [entry.role for entry in emulator.log(op="restore")] == ["owner"]


def test_restore_rules(emulator):
    with Client(emulator) as client:
        client.acquire()
        client.alloc(0x10000000, PAGE, VRAM)
        saved = Saved(client.kfd).read(client.kfd)
        criu(client.kfd, UNPAUSE)

    def attempt(devices=None, damage=None, **changed):
        def run():
            new = Client(emulator)
            saved.set_devices(devices(new) if devices else [(new.ids[0], new.ids[0], new.nodes[0])])
            if damage:
                saved.private[damage[0]] = damage[1]
            criu(new.kfd, RESTORE, **saved.args(**changed))
            return 0
        return in_child(run)

    assert attempt() == 0
    assert attempt(n_devices=0) == errno.EINVAL
    assert attempt(private=0) == errno.EINVAL
    assert attempt(size=8) == errno.EINVAL
    assert attempt(size=saved.info["size"] + 8) == errno.EINVAL
    assert attempt(n_objects=1) == errno.EINVAL
    assert attempt(n_bos=0xffffffff) == errno.EINVAL
    assert attempt(devices=lambda new: [(0, new.ids[0], new.nodes[0])]) == errno.EINVAL
    assert attempt(devices=lambda new: [(7, 1, new.nodes[0])]) == errno.EINVAL
    assert attempt(devices=lambda new: [(7, new.ids[0], new.kfd)]) == errno.EINVAL
    assert attempt(devices=lambda new: [(7, new.ids[0], 0)]) == errno.EINVAL
    assert attempt(devices=lambda new: [(7, new.acquire().ids[0], new.nodes[0])]) == errno.EINVAL
    assert attempt(damage=(0, b"\2")) == errno.EINVAL
    # The handle of the buffer: it is after the process, the device, and the address.
    assert attempt(damage=(8 + 8 + 8 + 3, b"\x7f")) == errno.ENOMEM
    assert attempt(damage=(8 + 8 + 8 + 3, b"\xff")) == errno.EINVAL
    # A buffer of a GPU that is not in the devices.
    assert attempt(devices=lambda new: [(8, new.ids[0], new.nodes[0])]) == errno.ENODEV


def test_sharing(emulator):
    with Client(emulator) as one, Client(emulator) as two:
        one.acquire()
        handle, offset = one.alloc(0x10000000, 2 * PAGE, VRAM)
        first, second = one.export(handle), one.export(handle)
        assert os.fstat(first).st_ino == os.fstat(second).st_ino
        # Handles are of the open file: the lowest that is free; the same object has the same one.
        create = one.ioctl(0x40, "QQQQ", PAGE, PAGE, 2, 0, fd=two.nodes[0], kind="d")
        assert create[0] & 0xffffffff == 1
        assert prime(two, two.nodes[0], first) == 2 and prime(two, two.nodes[0], second) == 2
        assert prime(two, one.nodes[0], first) == 1
        place, _ = two.ioctl(0x41, "II", 2, 0, fd=two.nodes[0], kind="d"), None
        assert place[0] | place[1] << 32 == offset
        fails(errno.EINVAL, two.ioctl, 0xd2, "II", 1, 9, fd=two.nodes[0], kind="d")
        emulator.command("change-handle 1")
        two.ioctl(0xd2, "II", 1, 9, fd=two.nodes[0], kind="d")
        listed = ctypes.create_string_buffer(40 * 8)
        n = two.ioctl(0x59, "QII", ctypes.addressof(listed), 8, 0, fd=two.nodes[0], kind="d")[1]
        rows = [struct.unpack_from("IIQ", listed.raw, 40 * i) for i in range(n)]
        assert rows == [(2, 1, 2 * PAGE), (9, 0, PAGE)]
        fails(errno.EBADF, prime, two, two.nodes[0], 999)
        fails(errno.EBADF, prime, two, two.nodes[0], 0)
        os.close(first)
        os.close(second)
    # Nobody has it any more.
    host.wait_until(lambda: not emulator.state("bo"), "nothing is left")


def test_end_lets_go(emulator, workloads, folder):
    program = workloads.start("kfd-compute", folder / "program", emulator)
    fd = kfd_of(program.pid)
    os.kill(program.pid, signal.SIGKILL)
    host.wait_until(lambda: not emulator.state("process"), "the driver lets go of what has ended")
    # The file is still open here, and good for nothing.
    fails(errno.EBADF, criu, fd, INFO)
    os.close(fd)
    host.wait_until(lambda: not emulator.state("file"), "no file is open")
    assert not emulator.state("bo")


def test_exec_lets_go(emulator):
    """An address space has it, not a pid."""
    ends = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            client = Client(emulator).acquire()
            client.alloc(0x10000000, PAGE, VRAM)
            os.set_inheritable(client.kfd, True)
            os.set_inheritable(ends[1], True)
            os.execv(sys.executable, [sys.executable, "-c", f"import os, signal; os.write({ends[1]}, b'1'); signal.pause()"])
        finally:
            os._exit(1)
    os.close(ends[1])
    assert os.read(ends[0], 1) == b"1"
    host.wait_until(lambda: not emulator.state("process"), "the driver lets go")
    assert not emulator.state("bo") and emulator.state("file")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(ends[0])


@pytest.mark.parametrize("op,kind,error", [("process_info", "error:5", 5), ("process_info", "done:5", 5), ("checkpoint", "error:12", 12),
                                           ("unpause", "error:14", 14), ("resume", "error:3", 3)])
def test_faults(emulator, op, kind, error):
    with Client(emulator) as client:
        client.acquire()
        client.alloc(0x10000000, PAGE, VRAM)
        emulator.fault(op, kind, after=1, times=1)

        def all_of_it():
            saved = Saved(client.kfd)
            return [error_of(criu, client.kfd, INFO), error_of(saved.read, client.kfd), error_of(criu, client.kfd, UNPAUSE),
                    error_of(criu, client.kfd, RESUME, pid=0)]
        first = [0, 0, 0, errno.ESRCH]
        index = ["process_info", "checkpoint", "unpause", "resume"].index(op)
        # INFO is asked twice each time.
        results = [all_of_it(), all_of_it(), all_of_it()]
        hit = 0 if op == "process_info" else 1
        expected = [list(first) for _ in range(3)]
        expected[hit][index] = error
        if op == "unpause":
            # It is paused still, and the next one ends that.
            assert emulator.state("process")[0].evicted == 0
        assert results == expected
        assert [entry.fault for entry in emulator.log() if entry.fault] == [kind.split(":")[0]]


def test_hang(emulator):
    with Client(emulator) as client:
        client.acquire()
        emulator.fault("process_info", "hang", times=1)
        old = signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        try:
            seen = []
            with contextlib.suppress(OSError):
                criu(client.kfd, INFO)
                seen.append(1)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
        assert [entry.fault for entry in emulator.log(op="process_info") if entry.fault] == ["hang"]


WORKLOADS = [("kfd-compute",), ("kfd-compute", "gpus=2", "buffers=3", "threads=1"), ("kfd-compute", "buffers=0"),
             ("kfd-compute", "buffers=500", "size=4096"), ("kfd-render",), ("kfd-render", "rrkrr"), ("kfd-render", "rrrr"),
             ("kfd-share",), ("kfd-share", "gpus=2", "keep=1"), ("kfd-family",), ("kfd-family", "gpus=2")]


@pytest.mark.parametrize("emulator", [{"gpus": 2}], indirect=True)
@pytest.mark.parametrize("words", WORKLOADS, ids=" ".join)
def test_workload(emulator, workloads, folder, words):
    program = workloads.start(words[0], folder / "program", emulator, *words[1:])
    program.verify()
    emulator.assert_good()
    host.wait_until(lambda: not emulator.state("file"), "no file is open")
    assert not emulator.state("bo") and not emulator.state("process")
