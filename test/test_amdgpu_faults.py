# SPDX-License-Identifier: GPL-2.0-only
"""The amdgpu plugin when the driver fails, or its images are damaged. Every operation that a dump or a restore makes is failed, in
each way that the emulator has, first and later: the source goes on un-evicted, or the restore fails and removes all; success
means that all is right. CRIU_AMDGPU_FAULTS=all strikes each of the operations of a kind, not only the first two."""

import json
import os
import shutil
import subprocess

import pytest

from lib import host, plugins
from lib.amdgpu import assert_goes_on, assert_nothing, dumped, options, start, wrong
from lib.criu import TOP, Images

ALL = os.environ.get("CRIU_AMDGPU_FAULTS") == "all"
# In which way, and whether the call of the plugin ends by its deadline.
KINDS = {"error": "error:5", "done": "done:5", "interrupted": "error:4", "hang": "hang", "delay": "delay:20"}
DUMP = ("open", "version", "process_info", "checkpoint", "unpause", "prime_import", "prime_export", "gem_mmap", "list_handles",
        "gem_op", "cs", "wait_cs", "ctx", "gem_create", "gem_va", "gem_userptr", "info")
RESTORE = ("open", "version", "restore", "resume", "prime_import", "prime_export", "gem_mmap", "gem_create", "gem_close", "gem_va",
           "import_dmabuf", "map", "cs", "wait_cs", "ctx", "gem_userptr", "free")

pytestmark = pytest.mark.usefixtures("own_mounts")


def afters(op, kind):
    """Nobody can leave an open(2) that hangs in FUSE, and others that hang take a second each."""
    if kind == "hang":
        return range(1) if op in ("process_info", "checkpoint", "unpause", "cs", "restore", "resume", "list_handles", "prime_import") else ()
    return range(8 if ALL else 2)


def struck(emulator):
    return [entry for entry in emulator.log() if "fault" in entry]


def strike(emulator, op, kind, after):
    emulator.forget()
    emulator.fault(op, KINDS[kind], after=after, times=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["around", "share"])
def test_dump(folder, workloads, emulator, name, kind):
    """The dump fails or is right, the source goes on in any case; in the end it is dumped and restored."""
    victim = start(workloads, name, folder / "program", emulator)
    n_failed = 0
    for op in DUMP:
        for after in afters(op, kind):
            images = Images(folder / f"{op}{after}")
            strike(emulator, op, kind, after)
            text = images.dump(victim.pid, "--leave-running", "--plugin-timeout", plugins.OVERRUN, *options(emulator, copy="sdma"), expect=None)
            hit = struck(emulator)
            emulator.clear()
            assert_goes_on(emulator, victim)
            is_complete = (images.folder / "inventory.img").exists()
            assert is_complete == ("dump failed" not in text)
            # Without its engine a GPU's buffers are mapped; an interrupted call is made again.
            if hit and kind in ("error", "done", "hang") and op not in ("info", "ctx", "gem_va", "gem_userptr", "gem_create", "gem_mmap"):
                assert not is_complete or op == "unpause", f"{op} failed and nobody cared: {hit}"
            n_failed += not is_complete
            shutil.rmtree(images.folder)
            shutil.rmtree(images.work)
            if not hit:
                break
    assert n_failed or kind in ("delay", "interrupted")
    images = Images(folder / "images")
    images.dump(victim.pid, *options(emulator))
    victim.wait_gone()
    images.restore(*options(emulator))
    victim.verify()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["around", "share"])
def test_restore(folder, workloads, emulator, name, kind):
    """The restore fails and removes all, or is right."""
    victim, images = dumped(workloads, name, folder, emulator)
    n_failed = 0
    for op in RESTORE:
        for after in afters(op, kind):
            victim.forget_end()
            strike(emulator, op, kind, after)
            text = images.restore("--plugin-timeout", plugins.OVERRUN, *options(emulator, copy="sdma"), expect=None)
            hit = struck(emulator)
            emulator.clear()
            has_failed = "restore failed" in text
            n_failed += has_failed
            if hit and kind in ("error", "done", "hang") and op not in ("gem_mmap", "gem_create", "gem_va", "gem_userptr", "gem_close", "ctx", "free"):
                assert has_failed, f"{op} failed and nobody cared: {hit}"
            if has_failed:
                assert_nothing(emulator, victim)
            else:
                # It is right: it can be dumped again, and is as it was.
                assert not wrong(emulator)
                again = Images(folder / f"{op}{after}")
                again.dump(victim.pid, *options(emulator))
                victim.wait_gone()
                shutil.rmtree(again.folder)
                shutil.rmtree(again.work)
            if not hit:
                break
    assert n_failed or kind in ("delay", "interrupted")
    victim.forget_end()
    images.restore(*options(emulator))
    victim.verify()


@pytest.mark.parametrize("op,kind", [("checkpoint", "gpu-id:77"), ("process_info", "more-devices"), ("cs", "unsignalled")])
def test_driver_says_what_is_not_so(folder, workloads, emulator, op, kind):
    victim, images = start(workloads, "one", folder / "program", emulator), Images(folder / "images")
    emulator.fault(op, kind)
    images.dump(victim.pid, "--plugin-timeout", plugins.OVERRUN, *options(emulator, copy="sdma"), expect=1)
    emulator.clear()
    assert_goes_on(emulator, victim)
    victim.verify()


@pytest.mark.parametrize("op", ["process_info", "checkpoint", "prime_import", "cs", "unpause"])
def test_tool_is_killed(folder, workloads, emulator, op):
    """SIGKILL in the middle of an operation: its guardian lets the queues go on."""
    victim, images = start(workloads, "share", folder / "program", emulator), Images(folder / "images")
    emulator.fault(op, "kill:9", times=1)
    images.dump(victim.pid, *options(emulator, copy="sdma"), expect=-9)
    emulator.clear()
    host.wait_until(lambda: not [line for line in emulator.state("process") if line.paused or line.evicted], "all go on")
    host.wait_until(lambda: {line.opener for line in emulator.state("file")} <= set(victim.pids), "the tool's files are closed")
    assert_goes_on(emulator, victim)
    victim.verify()


@pytest.mark.parametrize("op", ["restore", "prime_import", "cs"])
def test_task_is_killed(folder, workloads, emulator, op):
    """A process that is being restored dies: all of it is removed."""
    victim, images = dumped(workloads, "share", folder, emulator)
    emulator.fault(op, "kill:9", times=1)
    images.restore(*options(emulator, copy="sdma"), expect=1)
    emulator.clear()
    assert_nothing(emulator, victim)
    victim.forget_end()
    images.restore(*options(emulator))
    victim.verify()


# ---- images ----

def crit(what, path="/dev/stdin", data=None):
    return subprocess.run([TOP / "build/bin/crit", what, "-i", path], input=data, capture_output=True, check=True).stdout



def names(images):
    return sorted(path.name for path in images.folder.glob("amdgpu-*"))


def damage(path, how):
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "head":
        path.write_bytes(data[:5])
    elif how == "short":
        path.write_bytes(data[:-1])
    elif how == "long":
        path.write_bytes(data + b"x")
    elif how == "first":
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    else:
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 0x80]))


@pytest.mark.parametrize("digests", ["with", "without"])
@pytest.mark.parametrize("name", ["around", "share-keep"])
def test_damaged_images(folder, workloads, emulator, name, digests):
    """Refused by the name of the image, before the device is touched. Without digests, damage that keeps sizes and messages as they
    were cannot be seen."""
    victim, images = dumped(workloads, name, folder, emulator)
    for image in names(images):
        for how in ("gone", "empty", "head", "short", "long", "first", "last"):
            if digests == "without" and (how == "last" or (how == "first" and "drm-pages" in image)):
                continue
            copy = Images(folder / "copy")
            shutil.copytree(images.folder, copy.folder, dirs_exist_ok=True)
            damage(copy.folder / image, how)
            if digests == "without":
                for path in copy.folder.glob("digests-*"):
                    path.unlink()
            text = copy.restore(*options(emulator), expect=1)
            assert image in text.splitlines()[-1], f"{how}: {text.splitlines()[-1]}"
            assert not emulator.log(), f"{image} {how}: the device was asked"
            shutil.rmtree(copy.folder)
            shutil.rmtree(copy.work)
    images.restore(*options(emulator))
    victim.verify()


# Contents are told from others of the same size by their digests only.
@pytest.mark.parametrize("kind,digests", [(kind, digests) for digests in ("with", "without")
                                          for kind in ("amdgpu-kfd-", "amdgpu-renderD-", "amdgpu-pages-", "amdgpu-dmabuf_")
                                          if (kind, digests) != ("amdgpu-pages-", "without")])
def test_swapped_images(folder, workloads, emulator, kind, digests):
    workload = "around" if kind == "amdgpu-renderD-" else "share-keep"
    _, images = dumped(workloads, workload, folder, emulator)
    one, two = [images.folder / name for name in names(images) if name.startswith(kind)][:2]
    if digests == "without":
        for path in images.folder.glob("digests-*"):
            path.unlink()
    a, b = one.read_bytes(), two.read_bytes()
    assert a != b
    one.write_bytes(b)
    two.write_bytes(a)
    text = images.restore(*options(emulator), expect=1)
    assert one.name in text.splitlines()[-1] or two.name in text.splitlines()[-1]
    assert not emulator.log()


@pytest.mark.parametrize("name,key,value,said", [
    ("amdgpu-kfd-", "size", 1 << 63, "its buffers are larger than any GPU"),
    ("amdgpu-renderD-", "size", 1 << 63, "a buffer is larger than any GPU"),
    ("amdgpu-renderD-", "handle", 0xfffffff0, "a handle is too high"),
])
def test_numbers_that_cannot_be(folder, workloads, emulator, name, key, value, said):
    """Sums of sizes do not begin again at 0, and nobody counts up to what an image says."""
    _, images = dumped(workloads, "around", folder, emulator)
    image = next(path for path in sorted(images.folder.glob(f"{name}*"))
                 if json.loads(crit("decode", path))["entries"][0].get("bo_entries"))
    data = json.loads(crit("decode", image))
    entry = data["entries"][0]["bo_entries"][-1]
    entry[key] = hex(value) if isinstance(entry[key], str) else value
    image.write_bytes(crit("encode", data=json.dumps(data).encode()))
    for path in images.folder.glob("digests-*"):
        path.unlink()
    text = images.restore(*options(emulator), expect=1)
    assert image.name in text.splitlines()[-1] and said in text.splitlines()[-1], text[-500:]
    assert not emulator.log()
