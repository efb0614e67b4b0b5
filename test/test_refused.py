# SPDX-License-Identifier: GPL-2.0-only
"""Bad input: one sentence that names it, exit status 1, and nothing has happened."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from lib import host
from lib.criu import CRIU, Images
from lib.program import BUILT, Program

COUNTER = BUILT / "counter-plain"


@pytest.fixture
def images(folder, tidy):
    return Images(folder / "images")


@pytest.fixture
def counter(folder, images):
    program = Program(COUNTER, folder / "program")
    assert program.wait_ready()
    return program


def errors(log):
    return [line for line in log.splitlines() if "Error (" in line]


def assert_no_images(images):
    assert not list(images.folder.iterdir())


def test_no_such_pid(images):
    log = images.dump(4194303, expect=1)
    assert "4194303" in errors(log)[0]
    assert_no_images(images)


def test_zombie(images):
    child = subprocess.Popen(["true"])
    host.wait_until(lambda: Path(f"/proc/{child.pid}/stat").read_text().split()[2] == "Z", "a zombie")
    log = images.dump(child.pid, expect=1)
    assert str(child.pid) in errors(log)[0] and "zombie" in errors(log)[0]
    child.wait()
    assert_no_images(images)


def test_kernel_thread(images):
    if host.name(2) != "kthreadd":
        pytest.skip("no kernel threads in this pid namespace")
    log = images.dump(2, expect=1)
    assert "2" in errors(log)[0] and "kernel thread" in errors(log)[0]
    assert_no_images(images)


def test_itself(images):
    """Its own ancestors: here the test."""
    log = images.dump(os.getpid(), expect=1)
    assert str(os.getpid()) in errors(log)[0]
    assert_no_images(images)


def test_already_traced(images, counter):
    tracer = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-p", str(counter.pid)])
    try:
        host.wait_until(lambda: "TracerPid:\t0" not in Path(f"/proc/{counter.pid}/status").read_text(), "strace")
        log = images.dump(counter.pid, expect=1)
        assert str(counter.pid) in errors(log)[0] and "traced" in errors(log)[0], log
        assert str(tracer.pid) in log
        assert_no_images(images)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
    counter.verify()


def test_images_dir_is_a_file(images, counter):
    (images.work / "file").touch()
    done = subprocess.run([CRIU, "dump", "-t", str(counter.pid), "-D", images.work / "file"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 1 and "Not a directory" in done.stderr
    counter.verify()


def test_full_disk(images, counter):
    """A tmpfs too small for the images: the tree goes on."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", images.folder], check=True)
    try:
        log = images.dump(counter.pid, expect=1)
        assert "No space left" in log
        assert not (images.folder / "inventory.img").exists()
    finally:
        subprocess.run(["umount", images.folder], check=True)
    counter.verify()


def test_images_of_nothing(images):
    log = images.restore(expect=1)
    assert "inventory" in errors(log)[0]


def test_pid_taken(images, counter):
    images.dump(counter.pid, "--leave-running")
    before = host.snapshot(counter.pid)
    log = images.restore(expect=1)
    assert str(counter.pid) in errors(log)[0]
    assert not host.differences(before, host.snapshot(counter.pid))
    counter.verify()


@pytest.fixture
def gone(images, counter):
    """The images of a counter that was dumped and ended."""
    images.dump(counter.pid)
    counter.wait_gone()
    counter.forget_end()
    return counter


def test_no_inventory(images, gone):
    (images.folder / "inventory.img").unlink()
    log = images.restore(expect=1)
    assert "inventory" in errors(log)[0]
    assert host.name(gone.pid) == "gone"


def names(images):
    return sorted(path.name for path in images.folder.iterdir() if path.stat().st_size)


def test_truncated(images, gone):
    """Each image cut in half: refused by name; nothing remains."""
    for name in names(images):
        path = images.folder / name
        data = path.read_bytes()
        path.write_bytes(data[:len(data) // 2])
        log = images.restore(expect=None)
        path.write_bytes(data)
        if host.name(gone.pid) != "gone":
            pytest.fail(f"{name}: restored from half an image")
        assert name in log and errors(log), f"{name}: not named\n{log}"
    images.restore()
    gone.verify()


def test_wrong_magic(images, gone):
    for name in names(images):
        if name.startswith("pages-"):
            continue
        path = images.folder / name
        data = path.read_bytes()
        path.write_bytes(b"\xff\xff\xff\xff" + data[4:])
        log = images.restore(expect=None)
        path.write_bytes(data)
        assert host.name(gone.pid) == "gone", f"{name}: restored from an image with a wrong magic"
        assert name in log and errors(log), f"{name}: not named\n{log}"
    images.restore()
    gone.verify()


def test_flipped_bytes(images, gone):
    """Every byte of the first 4 KiB of every image, one at a time in strides: no crash, nothing runs, or it is all well."""
    stride = int(os.environ.get("CRIU_TEST_STRIDE", "97"))
    for name in names(images):
        path = images.folder / name
        data = path.read_bytes()
        for at in range(0, min(len(data), 4096), stride):
            path.write_bytes(data[:at] + bytes([data[at] ^ 0x5a]) + data[at + 1:])
            log = images.restore(expect=None)
            assert host.name(gone.pid) == "gone", f"{name}: restored with byte {at} changed\n{log}"
            assert errors(log), f"{name}, byte {at}: refused without a word"
        path.write_bytes(data)
    images.restore()
    gone.verify()


def test_changed_executable(images, folder, tidy):
    """Another program under the name of the one that was dumped."""
    program = folder / "counter"
    shutil.copy(COUNTER, program)
    victim = Program(program, folder / "program")
    assert victim.wait_ready()
    images.dump(victim.pid)
    victim.wait_gone()
    victim.forget_end()
    program.unlink()
    shutil.copy("/bin/true", program)
    log = images.restore(expect=1)
    assert str(program) in errors(log)[0]
    assert host.name(victim.pid) == "gone"
    program.unlink()
    log = images.restore(expect=1)
    assert str(program) in errors(log)[0]
