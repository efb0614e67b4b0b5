# SPDX-License-Identifier: GPL-2.0-only
"""The amdgpu plugin: what once went wrong with such plugins, each as a test that is named by its row of the list."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lib import host
from lib.amdgpu import assert_goes_on, assert_nothing, dumped, options, select, start, wrong
from lib.criu import TOP, Images, errors
from lib.kfd import Emulator
from lib.plugins import FakeDevice, Plugins

pytestmark = pytest.mark.usefixtures("own_mounts")

two = pytest.mark.parametrize("emulator", [{"gpus": 2}], indirect=True)
four = pytest.mark.parametrize("emulator", [{"gpus": 4}], indirect=True)


def fails(emulator, victim, images, *words, **values):
    """A dump that fails: nothing but the log is left, and the source goes on."""
    text = images.dump(victim.pid, *options(emulator, **values), *words, expect=1)
    emulator.clear()
    assert_goes_on(emulator, victim)
    assert not list(images.folder.glob("inventory*"))
    return text


@pytest.mark.parametrize("fault", ["error:5", "error:12", "unsignalled"])
def test_row_01_copy_error(folder, workloads, emulator, fault):
    """An engine that refuses, or never finishes, fails the dump."""
    victim, images = start(workloads, "one", folder / "program", emulator), Images(folder / "images")
    emulator.fault("cs", fault)
    text = fails(emulator, victim, images, "--plugin-timeout", "3", copy="sdma")
    assert "contents of renderD128" in text or "not done after" in text
    victim.verify()


def test_row_01_full_disk(folder, workloads, emulator):
    """No room for the contents."""
    victim = start(workloads, "one", folder / "program", emulator)
    place = folder / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", place], check=True)
    try:
        images = Images(place / "images")
        assert "amdgpu-pages" in fails(emulator, victim, images) or True
    finally:
        subprocess.run(["umount", "-l", place], check=True)
    victim.verify()


@four
@pytest.mark.parametrize("copy", ["map", "sdma"])
def test_row_02_contents_of_every_gpu(folder, workloads, emulator, copy):
    victim = workloads.start("kfd-compute", folder / "program", emulator, "gpus=4", "buffers=3")
    images = Images(folder / "images")
    images.dump(victim.pid, *options(emulator, copy=copy))
    victim.wait_gone()
    assert len(list(images.folder.glob("amdgpu-pages-*"))) == 4
    images.restore(*options(emulator, copy=copy))
    victim.verify()
    emulator.assert_good()


@pytest.mark.parametrize("error", [19, 13, 9, 12])
def test_row_03_process_info_error(folder, workloads, emulator, error):
    victim, images = start(workloads, "one", folder / "program", emulator), Images(folder / "images")
    emulator.fault("process_info", f"error:{error}")
    assert "plugin amdgpu: pre_dump" in fails(emulator, victim, images)
    assert not emulator.log(op="checkpoint")
    victim.verify()


def test_row_04_dumped_again_on_another_gpu(folder, workloads, tidy):
    """The process knows its GPU by an id that is nobody's here any more."""
    with Emulator(folder, gpus=2, ids="1000,2000", minors="128,129") as emulator:
        victim = workloads.start("kfd-compute", folder / "program", emulator, "gpus=2")
        first = Images(folder / "first")
        first.dump(victim.pid, *options(emulator))
        victim.wait_gone()
    for i, (ids, minors) in enumerate([("3000,1000", "130,128"), ("500,600", "140,150")]):
        with Emulator(folder, gpus=2, ids=ids, minors=minors) as emulator:
            victim.forget_end()
            first.restore(*options(emulator))
            again = Images(folder / f"again{i}")
            again.dump(victim.pid, *options(emulator))
            victim.wait_gone()
            # By the ids that the process uses.
            assert {path.name for path in again.folder.glob("amdgpu-pages-*")} == \
                {path.name for path in first.folder.glob("amdgpu-pages-*")}
            assert not emulator.wrong()
            first = again
    with Emulator(folder, gpus=2, ids="700,800") as emulator:
        victim.forget_end()
        first.restore(*options(emulator))
        victim.verify()
        emulator.assert_good()


def test_row_07_no_buffers(folder, workloads, emulator):
    victim = workloads.start("kfd-compute", folder / "program", emulator, "buffers=0")
    images = Images(folder / "images")
    images.dump(victim.pid, *options(emulator))
    victim.wait_gone()
    images.restore(*options(emulator))
    victim.verify()
    emulator.assert_good()


def test_row_08_many_buffers(folder, workloads, emulator):
    """10000, of which three quarters have contents."""
    victim = workloads.start("kfd-compute", folder / "program", emulator, "buffers=2500", "size=4096", "queues=0")
    images = Images(folder / "images")
    images.dump(victim.pid, *options(emulator, copy="map"))
    victim.wait_gone()
    images.restore(*options(emulator, copy="map"))
    victim.verify()
    emulator.assert_good()


def test_row_09_late_failure_lets_the_queues_go_on(folder, workloads, emulator):
    """What fails after the device was read: an action script."""
    victim, images = start(workloads, "one", folder / "program", emulator), Images(folder / "images")
    script = folder / "script"
    script.write_text("#!/bin/sh\n[ \"$CRTOOLS_SCRIPT_ACTION\" != post-dump ]\n")
    script.chmod(0o755)
    images.dump(victim.pid, *options(emulator), "--action-script", script, expect=1)
    assert_goes_on(emulator, victim)
    assert len(emulator.log(op="unpause", result=0)) == 1
    victim.verify()


@pytest.mark.parametrize("after", [0, 1])
def test_row_10_failing_process_in_the_middle(folder, workloads, emulator, after):
    """UNPAUSE fails for one of two: the other one goes on, and the first one by way of the journal."""
    victim, images = start(workloads, "family", folder / "program", emulator), Images(folder / "images")
    emulator.fault("unpause", "error:5", after=after, times=1)
    images.dump(victim.pid, *options(emulator), expect=1)
    assert_goes_on(emulator, victim)
    victim.verify()


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("op", ["process_info", "checkpoint"])
def test_row_11_all_are_quiet(folder, workloads, emulator, op, after):
    """One of two processes cannot be read: neither is left evicted."""
    victim, images = start(workloads, "share", folder / "program", emulator), Images(folder / "images")
    emulator.fault(op, "error:5", after=after, times=1)
    fails(emulator, victim, images)
    victim.verify()


def test_row_12_other_plugins(folder, workloads, emulator):
    """Files of another device are another plugin's, whichever is loaded first, with and without AMD's."""
    with FakeDevice(folder) as device:
        kit = Plugins(folder, device, "recorder")
        (kit.folder / "00-amdgpu.so").symlink_to(Path(options(emulator)[1]) / "amdgpu_plugin.so")
        victim = workloads.start("files", folder / "program", type("Root", (), {"root": device.path})(), "b0,a0")
        for i, more in enumerate([emulator.roots(), []]):
            images = Images(folder / f"images{i}")
            images.dump(victim.pid, *kit.options(), *more, env=kit.env)
            victim.wait_gone()
            images.restore(*kit.options(), *more, env=kit.env)
        victim.verify()


def test_row_13_foreign_nodes(folder, workloads, emulator):
    """A render node of another vendor is not the plugin's: it is refused by the core, as without the plugin."""
    with Emulator(folder / "foreign", minors="200") if not (folder / "foreign").mkdir() else None as foreign:
        victim = start(workloads, "alone", folder / "program", foreign)
        images = Images(folder / "images")
        text = images.dump(victim.pid, *options(emulator), expect=None)
        assert "amdgpu-renderD" not in text
        assert not list(images.folder.glob("amdgpu-*"))


@pytest.mark.parametrize("order", ["rk", "rrrrk", "kr", "r", "rr"])
def test_row_14_render_before_and_without_kfd(folder, workloads, emulator, order):
    victim = workloads.start("kfd-render", folder / "program", emulator, order if len(order) > 2 or order == "rr" else order + "r")
    images = Images(folder / "images")
    images.dump(victim.pid, *options(emulator))
    victim.wait_gone()
    images.restore(*options(emulator))
    victim.verify()
    emulator.assert_good()


def links(pid):
    # Buffers have new numbers.
    return sorted(re.sub(r"(/dmabuf/|:\[)\d+\]?$", "", link) for link in host.links(pid))


@pytest.mark.parametrize("name", ["after", "share-keep", "family"])
def test_row_16_no_descriptors_leak(folder, workloads, emulator, name):
    """Ten times, and nobody has more of them than before."""
    victim = start(workloads, name, folder / "program", emulator)
    before = {pid: links(pid) for pid in victim.pids}
    files = len(emulator.state("file"))
    for i in range(10):
        images = Images(folder / f"images{i}")
        images.dump(victim.pid, *options(emulator))
        victim.wait_gone()
        victim.forget_end()
        images.restore(*options(emulator))
    assert {pid: links(pid) for pid in victim.pids} == before
    host.wait_until(lambda: len(emulator.state("file")) == files, "as many open files of the driver")
    victim.verify()
    emulator.assert_good()


@two
@pytest.mark.parametrize("name", ["share", "share-two"])
def test_row_17_equal_handles(folder, workloads, emulator, name):
    """Two processes with equal handles of different buffers: what is shared is shared, nothing else."""
    victim, images = dumped(workloads, name, folder, emulator)
    images.restore(*options(emulator))
    # The workload writes to each side of what is shared, and looks at what is not.
    victim.verify()
    emulator.assert_good()
    made = select(emulator.log(), op="import", result=0)
    assert made or select(emulator.log(), op="import_dmabuf", result=0)


def test_row_18_importer_before_exporter(folder, workloads, emulator):
    """The parent, which is dumped first, has imported what the child exports, and has its dma-buf open."""
    victim, images = dumped(workloads, "share-keep", folder, emulator)
    images.restore(*options(emulator))
    victim.verify()
    emulator.assert_good()


def test_row_19_memory_on_the_way(folder, workloads, emulator):
    """No buffer as large as what is copied: 64 MiB go through 1 MiB."""
    victim = workloads.start("kfd-compute", folder / "program", emulator, f"size={64 << 20}", "queues=0")
    images = Images(folder / "images")
    images.dump(victim.pid, *options(emulator, copy="sdma", max_buffer_size="1M"))
    sizes = {entry.size for entry in select(emulator.log(), op="gem_va") if entry.size}
    victim.wait_gone()
    images.restore(*options(emulator, copy="sdma", max_buffer_size="1M"))
    victim.verify()
    emulator.assert_good()
    assert 1 << 20 in sizes


@pytest.mark.parametrize("name", ["around", "alone"])
def test_row_20_handles_without_change_handle(folder, workloads, emulator, name):
    victim, images = dumped(workloads, name, folder, emulator)
    images.restore(*options(emulator))
    assert not emulator.log(op="change_handle")
    victim.verify()
    emulator.assert_good()


@two
def test_row_21_error_in_one_of_two_threads(folder, workloads, emulator):
    victim = start(workloads, "two", folder / "program", emulator)
    emulator.fault("cs", "error:5", node="renderD129", after=1)
    fails(emulator, victim, Images(folder / "images"), copy="sdma")
    victim.verify()


@pytest.mark.parametrize("size", [4096, 4096 * 3, (1 << 20) + 4096, (2 << 20) - 4096, (2 << 20) + 8192])
def test_row_22_sizes_of_packets(folder, workloads, emulator, size):
    """Not a byte more or less than there is, whatever the size of the buffers."""
    victim = workloads.start("kfd-compute", folder / "program", emulator, f"size={size}", "buffers=3")
    images = Images(folder / "images")
    images.dump(victim.pid, *options(emulator, copy="sdma"))
    victim.wait_gone()
    images.restore(*options(emulator, copy="sdma", max_buffer_size="64K"))
    victim.verify()
    emulator.assert_good()


# What is said of a restore, and of a GPU that is not as it was.
REFUSED = {
    "fewer": ({"gpus": 1}, "number of GPUs: there were 2, here are 1"),
    "smaller": ({"gpus": 2, "vram": "1G", "hives": "7"}, "vram_size was"),
    "other": ({"gpus": 2, "hives": "7", "set": ["0:device_id=1", "1:device_id=1"]}, "device_id was"),
    "pcie": ({"gpus": 2, "hives": "0"}, "number of XGMI groups"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_row_23_gpus_that_do_not_fit(folder, workloads, tidy, name):
    there, text = REFUSED[name]
    with Emulator(folder, gpus=2, hives="7") as emulator:
        victim, images = dumped(workloads, "two", folder, emulator)
    with Emulator(folder, **there) as emulator:
        assert text in images.restore(*options(emulator), expect=1)
        # The emulator's own look at its nodes ends when the kernel comes to it.
        assert not [entry for entry in emulator.log() if entry.op != "release"]
    with Emulator(folder, gpus=2, hives="9", ids="11,12") as emulator:
        images.restore(*options(emulator))
        victim.verify()


def test_row_23_switches(folder, workloads, tidy):
    with Emulator(folder) as emulator:
        victim, images = dumped(workloads, "one", folder, emulator)
    with Emulator(folder, vram="1G", set="0:fw_version=1") as emulator:
        assert "vram_size was" in images.restore(*options(emulator), expect=1)
        # By its option, and by the variable that CRIU has for it.
        assert "fw_version was" in images.restore(*options(emulator, vram_size_check="no"), expect=1)
        images.restore(*options(emulator, vram_size_check="no"), env={"KFD_FW_VER_CHECK": "0"})
        victim.verify()


@pytest.mark.parametrize("op,node", [("open", "renderD128"), ("open", "kfd"), ("gem_mmap", "*"), ("gem_va", "*")])
def test_row_24_errors_while_restoring(folder, workloads, emulator, op, node):
    victim, images = dumped(workloads, "around", folder, emulator)
    emulator.fault(op, "error:5", node=node) if node != "*" else emulator.fault(op, "error:5")
    images.restore(*options(emulator, copy="sdma"), expect=1)
    emulator.clear()
    assert_nothing(emulator, victim)
    assert not wrong(emulator)
    images.restore(*options(emulator))
    victim.verify()


def test_row_25_mappings_are_where_buffers_are(folder, workloads, emulator):
    """Offsets are others than before, and every mapping has the new one."""
    def offsets(pid):
        return sorted(int(line.split()[2], 16) for line in host.maps(pid) if "/dri/renderD" in line)

    victim = start(workloads, "one", folder / "program", emulator)
    before = offsets(victim.pid)
    images = Images(folder / "images")
    images.dump(victim.pid, *options(emulator))
    victim.wait_gone()
    images.restore(*options(emulator))
    after = offsets(victim.pid)
    assert len(before) == len(after) > 0 and not set(before) & set(after)
    assert {line.offset for line in emulator.state("bo")} >= set(after)
    victim.verify()




# Maps a buffer, and closes what it has mapped it through.
FORGETFUL = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from lib.kfd import Emulator
from lib.kfd_client import GTT, Client
client = Client(Emulator(sys.argv[2])).acquire()
handle, offset = client.alloc(0x40000000, 4096, GTT)
client.view(offset, 4096)[:4] = b"here"
# mmap keeps a duplicate.
for fd in range(3, 100):
    if os.path.exists(f"/proc/self/fd/{fd}") and any(name in os.readlink(f"/proc/self/fd/{fd}") for name in sys.argv[3:]):
        os.close(fd)
print(flush=True)
os.close(1)
time.sleep(9999)
"""


def mapped(pid):
    """What begins the mappings of render nodes."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in host.maps(pid):
            if "/dri/renderD" in line:
                memory.seek(int(line.partition("-")[0], 16))
                yield memory.read(4)


@pytest.mark.parametrize("closed", [["kfd", "renderD"], ["renderD"]], ids="-".join)
def test_mappings_whose_files_are_closed(folder, emulator, closed):
    """What only the mapping of is left is refused while the process is there; what kfd still knows comes back."""
    with subprocess.Popen([sys.executable, "-c", FORGETFUL, TOP / "test", folder, *closed], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, start_new_session=True) as victim:
        pid = victim.pid
        try:
            assert victim.stdout.readline()
            victim.stdout.close()
            images = Images(folder / "images")
            is_refused = "kfd" in closed
            text = images.dump(pid, *options(emulator), expect=1 if is_refused else 0)
            if is_refused:
                assert "mapping" in errors(text)[0] and "renderD128: the file that it is of is closed" in errors(text)[0]
                assert victim.poll() is None and list(mapped(pid))
                return
            victim.wait()
            images.restore(*options(emulator))
            assert list(mapped(pid)) == [b"here"]
            emulator.assert_good()
        finally:
            if os.path.exists(f"/proc/{pid}"):
                os.kill(pid, 9)
                host.reap()
