# SPDX-License-Identifier: GPL-2.0-only
"""The amdgpu plugin on the emulated driver: what workloads have is there again, and in which order the driver was asked. How often
each is done: CRIU_AMDGPU_TIMES (1)."""

import subprocess
from pathlib import Path

import pytest

from lib import host, plugins
from lib.amdgpu import CRIU_OPS, PLUGIN, WORKLOADS, assert_goes_on, dumped, options, start, times
from lib.criu import TOP, Images
from lib.kfd import Emulator
from lib.program import Program

TIMES = times("CRIU_AMDGPU_TIMES")

pytestmark = pytest.mark.usefixtures("own_mounts")


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
    images = Images(folder / "images")
    with Emulator(folder, gpus=WORKLOADS[name][1]) as emulator:
        victim = start(workloads, name, folder / "program", emulator)
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


@pytest.mark.parametrize("round_", range(TIMES))
@pytest.mark.parametrize("name", WORKLOADS)
def test_leave_running(folder, workloads, tidy, name, round_):
    """The source goes on, and what was dumped of it can be restored later."""
    images = Images(folder / "images")
    with Emulator(folder, gpus=WORKLOADS[name][1]) as emulator:
        victim = start(workloads, name, folder / "program", emulator)
        emulator.forget()
        images.dump(victim.pid, "--leave-running", *options(emulator))
        check_order(emulator, emulator.log())
        assert_goes_on(emulator, victim)
        emulator.assert_good()
        victim.verify()
        host.wait_until(lambda: not emulator.state("process"), "it is gone")
        victim.forget_end()
        images.restore(*options(emulator))
        victim.verify()
        emulator.assert_good()


def test_private_namespaces():
    """All of it in namespaces of pids, mounts and network of its own."""
    done = subprocess.run(host.own_mounts("--pid", "--fork", "--kill-child", "--mount-proc", "--net", "/usr/bin/python3", "-m", "pytest",
                           "-q", "-p", "no:cacheprovider", TOP / "test/test_amdgpu.py", "-k",
                           "test_workload and (share-keep or family or after)"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


def test_images_and_work_apart(folder, workloads, emulator):
    """The working directory is neither of the two, and nothing of the plugin's is in the work directory."""
    victim, images = dumped(workloads, "one", folder, emulator)
    (folder / "elsewhere").mkdir()
    assert list(images.folder.glob("amdgpu-*"))
    assert not list(images.work.glob("amdgpu-*"))
    images.restore(*options(emulator), cwd=folder / "elsewhere")
    victim.verify()
    emulator.assert_good()


def test_inventory(folder, workloads, emulator):
    """The images say that they need the plugin, by the name that CRIU has for it, and are refused without it."""
    _, images = dumped(workloads, "one", folder, emulator)
    (folder / "empty").mkdir()
    assert b"amdgpu_plugin" in (images.folder / "inventory.img").read_bytes()
    assert "amdgpu_plugin" in images.restore("-L", folder / "empty", expect=1)


def test_absent(folder, workloads, emulator):
    """Without the device the plugin says so, and harms nobody; but images that need it are refused."""
    _, images = dumped(workloads, "one", folder, emulator)
    words = ["-L", PLUGIN, "--plugin-opt", f"amdgpu.topology={folder}/nowhere"]
    assert "absent" in images.restore(*words, expect=1)
    if not Path("/dev/kfd").exists():
        assert "plugin amdgpu_plugin: the images need it, and says that its device is absent" in images.restore("-L", PLUGIN, expect=1)
    program = Program(TOP / "build/test/cr/pipe-data", folder / "other")
    program.wait_ready()
    pids = host.tree(program.pid)
    other = Images(folder / "other-images")
    assert "plugin amdgpu: is absent" in other.dump(program.pid, *words)
    program.wait_gone()
    host.reap()
    host.wait_until(lambda: all(host.is_gone(pid) for pid in pids[1:]), "all have ended")
    program.forget_end()
    other.restore(*words)
    program.verify()


@pytest.mark.skipif(Path("/dev/kfd").exists(), reason="the driver is here")
def test_not_even_loaded(folder):
    """Where nobody asks for it, its note says that it is absent."""
    program = Program(TOP / "build/test/cr/pipe-data", folder / "other")
    program.wait_ready()
    text = Images(folder / "images").dump(program.pid, "-R", "-L", PLUGIN)
    assert "amdgpu_plugin.so: is not loaded: is absent, as there is no /dev/kfd" in text
    program.verify()


def as_of_criu(images, rename=None):
    """Makes the set one that CRIU's own plugin might have written: it says nothing of owners, and has no digests."""
    for path in [images.folder / "plugins.img", *images.folder.glob("plugins"), *images.folder.glob("digests-*")]:
        path.unlink(missing_ok=True)
    for old, new in (rename or {}).items():
        (images.folder / old).rename(images.folder / new)


@pytest.mark.parametrize("name", ["one", "two", "threads"])
def test_images_of_criu(folder, workloads, tidy, name):
    with Emulator(folder, gpus=WORKLOADS[name][1]) as emulator:
        victim, images = dumped(workloads, name, folder, emulator)
        as_of_criu(images)
        images.restore(*options(emulator))
        victim.verify()
        emulator.assert_good()


def test_images_of_criu_with_real_id(folder, workloads, tidy):
    """Its second dump after a restore elsewhere names contents by an id that nothing else tells."""
    with Emulator(folder, ids="4096") as emulator:
        victim, images = dumped(workloads, "one", folder, emulator)
        contents = next(images.folder.glob("amdgpu-pages-*")).name
        as_of_criu(images, {contents: contents.replace("1000", "0777")})
        images.restore(*options(emulator))
        victim.verify()
        emulator.assert_good()


@pytest.mark.parametrize("name", ["share-keep", "around"])
def test_crit(folder, workloads, emulator, name):
    """The images can be read, and written again as they were."""
    _, images = dumped(workloads, name, folder, emulator)
    paths = [path for path in images.folder.glob("amdgpu-*") if "pages" not in path.name]
    assert len(paths) > 3
    for path in paths:
        shown, again = folder / "shown", folder / path.name
        subprocess.run([TOP / "build/bin/crit", "decode", "-i", path, "-o", shown], check=True)
        subprocess.run([TOP / "build/bin/crit", "encode", "-i", shown, "-o", again], check=True)
        assert again.read_bytes() == path.read_bytes()
