# SPDX-License-Identifier: GPL-2.0-only
"""Bad input: one sentence that names it, exit status 1, and nothing has happened."""

import ctypes
import errno
import os
import resource
import shutil
import signal
import struct
import subprocess
from pathlib import Path

import pytest

from lib import host
from lib.criu import CRIU, LIMIT, errors
from lib.program import BUILT, COUNTER, Program
from lib.victim import Victim


# How far apart the bytes are that are flipped, and the lengths to which images are cut; CRIU_FLIP=all takes each.
FLIP, CUT = (1, 1) if os.environ.get("CRIU_FLIP") == "all" else (499, 709)


def assert_no_images(images):
    assert not list(images.folder.iterdir())


def test_no_such_pid(images):
    log = images.dump(4194303, expect=1)
    assert "4194303" in errors(log)[0]
    assert_no_images(images)


def test_zombie(images):
    child = subprocess.Popen(["true"])
    host.wait_until(lambda: host.state(child.pid) == "Z", "a zombie")
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


def test_ancestor(images):
    log = images.dump(os.getpid(), expect=1)
    assert str(os.getpid()) in errors(log)[0] and "ancestor" in errors(log)[0]
    assert_no_images(images)


def test_itself(images):
    """A shell that becomes the tool has had the tool's pid before."""
    done = subprocess.run(["/bin/sh", "-c", f'echo $$; exec "{CRIU}" dump -t $$ -D "{images.folder}"'], capture_output=True, text=True,
                          check=False)
    pid = done.stdout.split()[0]
    assert done.returncode == 1 and f"pid {pid}: is this tool itself" in done.stderr
    assert_no_images(images)


def test_unsupported_file(images, folder, tidy):
    """The descriptor is named, before anything of it is written."""
    program = Program(BUILT / "socket-refused", folder / "program")
    assert program.wait_ready()
    before = host.snapshot(program.pid)
    log = images.dump(program.pid, expect=1)
    assert f"pid {program.pid}: fd " in errors(log)[0], log
    assert_no_images(images)
    assert not host.differences(before, host.snapshot(program.pid))
    program.verify()


def test_already_traced(images, counter):
    tracer = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-p", str(counter.pid)])
    try:
        host.wait_until(lambda: host.tracer(counter.pid), "strace")
        log = images.dump(counter.pid, expect=1)
        assert str(counter.pid) in errors(log)[0] and "traced" in errors(log)[0], log
        assert str(tracer.pid) in log
        assert_no_images(images)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
    counter.verify()


def test_images_dir(images, counter):
    """One that is none, is not there, or may not be written to, also by root: told before the tree is touched."""
    (images.work / "file").touch()
    command = [CRIU, "dump", "-t", str(counter.pid)]
    for folder, reason in ((images.work / "file", "Not a directory"), (images.work / "missing", "No such file"),
                           (images.work / "x" / ".." / "y", "No such file"), (images.work / ("x" * 300), "name too long"),
                           (images.work / ("x/" * 2100), "name too long"), ("", "not empty")):
        done = subprocess.run([*command, "-D", folder], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "--images-dir" in done.stderr and reason in done.stderr, done.stderr
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "none", images.folder], check=True)
    try:
        log = images.dump(counter.pid, expect=1)
        assert "--images-dir" in errors(log)[0] and "Read-only file system" in errors(log)[0]
        assert "freeze" not in log
    finally:
        subprocess.run(["umount", images.folder], check=True)
    counter.verify()


def is_immutable(path, yes):
    done = subprocess.run(["chattr", "+i" if yes else "-i", path], capture_output=True, check=False)
    return done.returncode == 0


def test_immutable(images, counter):
    if not is_immutable(images.folder, True):
        pytest.skip("this filesystem has no immutable directories")
    try:
        log = images.dump(counter.pid, expect=1)
        assert "--images-dir" in errors(log)[0] and "not permitted" in errors(log)[0]
    finally:
        is_immutable(images.folder, False)
    counter.verify()


def test_full_disk(images, folder, tidy):
    """Filesystems of all sizes that are too small for the images, and then one that is not: what was written is removed, the tree
    goes on."""
    victim = Victim(folder)
    before = host.mounts()
    for kib in (4, 8, 16, 32, 48, 64, 80, 96, 128, 192, 256, 512, 1024, 2048, 16384):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", images.folder], check=True)
        try:
            log = images.dump(victim.pid, *victim.options("-R"), env=victim.env, expect=None)
            left = sorted(path.name for path in images.folder.iterdir())
        finally:
            subprocess.run(["umount", images.folder], check=True)
        if "inventory.img" in left:
            assert not errors(log), log
            break
        assert not left and "No space left" in errors(log)[0], f"{kib} KiB: {left}\n{log}"
        victim.assert_unharmed()
        victim.assert_tidy()
    assert kib > 32 and "inventory.img" in left and host.mounts() == before
    for path in victim.program.folder.glob("link_remap*"):
        path.unlink()
    victim.assert_unharmed()
    victim.assert_tidy()
    victim.program.verify()


def test_file_size_limit(images, counter):
    """A limit on the size of files is an error, not the end of the tool."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))

    log = images.dump(counter.pid, "-v1", expect=1, preexec_fn=limit)
    assert "File too large" in errors(log)[0], log
    assert_no_images(images)
    counter.verify()


def test_two_dumps_into_one(images, counter, folder):
    """The second is refused as long as the first holds the directory, be it a script of its that lasts."""
    script = folder / "script"
    script.write_text(f"#!/bin/sh\necho > {folder}/there\nwhile ! test -e {folder}/go; do sleep 0.02; done\n")
    script.chmod(0o755)
    other = Program(COUNTER, folder / "other")
    assert other.wait_ready()
    first = subprocess.Popen([CRIU, "dump", "-R", "-t", str(counter.pid), "-D", images.folder, "-W", images.work, "-o", "first.log",
                              "--action-script", script], stdin=subprocess.DEVNULL)
    host.wait_until((folder / "there").exists, "the script of the first dump")
    for log in (images.dump(other.pid, expect=1), images.restore(expect=1)):
        assert "another criu" in errors(log)[0], log
    (folder / "go").touch()
    assert first.wait(LIMIT) == 0
    other.verify()
    images.dump(counter.pid)
    counter.wait_gone()
    counter.forget_end()
    images.restore()
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


# struct sock_filter: load the number of the call; pkey_alloc(2) ends with ENOSPC, as on a CPU without keys; the rest is allowed.
NO_KEYS = b"".join(struct.pack("HBBI", *step) for step in ((0x20, 0, 0, 0), (0x15, 0, 1, 330), (6, 0, 0, 0x50000 | errno.ENOSPC),
                                                         (6, 0, 0, 0x7fff0000)))


def take_keys_away():
    code = ctypes.create_string_buffer(NO_KEYS)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(NO_KEYS) // 8, ctypes.addressof(code)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, program, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP


def test_no_protection_keys(images, folder, tidy):
    program = Program(BUILT / "mem-pkey", folder / "program")
    if not program.wait_ready():
        pytest.skip(program.lack())
    pids = host.tree(program.pid)
    images.dump(program.pid)
    for pid in pids:
        host.wait_until(lambda pid=pid: host.is_gone(pid), f"pid {pid}: end")
    program.process.returncode = 0
    program.forget_end()
    log = images.restore(expect=1, preexec_fn=take_keys_away)
    assert "uses protection keys" in errors(log)[0] and "restore on a CPU with protection keys" in log
    assert host.name(program.pid) == "gone" and "step fork" not in log
    images.restore()
    program.verify()


@pytest.fixture
def busy(folder, tidy):
    """The images of a tree of threads, processes and files, which is gone; in the end it is restored from them."""
    victim = Victim(folder)
    victim.set = victim.images()
    victim.set.dump(victim.pid, *victim.options(), env=victim.env)
    victim.wait_gone()
    victim.files = victim.listing()
    yield victim
    victim.set.restore(*victim.options(), env=victim.env)
    victim.assert_unharmed()
    victim.program.verify()


def paths(victim):
    return sorted(path for path in victim.set.folder.iterdir() if path.stat().st_size)


def assert_refused(victim, path, what, name=None):
    """A restore fails, says why in so many words, and there is nothing of it; which image it is, where name asks for it."""
    log = victim.set.restore(*victim.options(), env=victim.env, expect=1)
    assert errors(log), f"{path.name}, {what}: refused without a word"
    assert not name or name in errors(log)[0], f"{path.name}, {what}: is not named\n{log}"
    assert not victim.is_here(), f"{path.name}, {what}: somebody is there\n{log}"
    # Contents of memory are read by those whose they are.
    assert "step fork" not in log or path.name.startswith(("pages-", "digests-")), f"{path.name}, {what}: processes were made\n{log}"


def changed(path, data):
    """As an editor does it: whoever has mapped the old file keeps it."""
    path.unlink()
    path.write_bytes(data)


def test_removed(busy):
    for path in paths(busy):
        if path.name.startswith("digests-"):
            continue
        data = path.read_bytes()
        path.unlink()
        assert_refused(busy, path, "removed", path.name)
        path.write_bytes(data)


def entry_ends(data):
    """Where a file may be cut without leaving half an entry, which is what is hardest to find."""
    at = 8
    while at < len(data):
        yield at
        at += 4 + int.from_bytes(data[at:at + 4], "little")


def test_truncated(busy):
    for path in paths(busy):
        data = path.read_bytes()
        lengths = {*range(0, min(len(data), 4096), CUT), len(data) // 2 & ~4095, len(data) - 1}
        if path.name.startswith("digests-"):
            lengths |= set(entry_ends(data))
        for length in sorted(lengths - {len(data)}):
            changed(path, data[:length])
            assert_refused(busy, path, f"cut to {length} bytes", None if path.name.startswith("digests-") else path.name)
        changed(path, data)
    busy.assert_undone()


def test_wrong_magic(busy):
    for path in paths(busy):
        if path.name.startswith("pages-"):
            continue
        data = path.read_bytes()
        changed(path, b"\xff\xff\xff\xff" + data[4:])
        assert_refused(busy, path, "another magic", path.name)
        changed(path, data)


def test_flipped_bytes(busy):
    """Bytes of the first 4 KiB of every image, one at a time."""
    for path in paths(busy):
        data = path.read_bytes()
        for at in range(0, min(len(data), 4096), FLIP):
            changed(path, data[:at] + bytes([data[at] ^ 0x5a]) + data[at + 1:])
            assert_refused(busy, path, f"byte {at} flipped")
        changed(path, data)
    busy.assert_undone()


def test_flipped_pages(busy):
    """Contents of memory that are not those of the dump are found out before an instruction of the tree is run."""
    for path in busy.set.folder.glob("pages-*.img"):
        data = path.read_bytes()
        for at in (0, len(data) // 3, len(data) // 2, len(data) - 1):
            changed(path, data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
            laps = busy.board()
            assert_refused(busy, path, f"byte {at} flipped", path.name)
            assert busy.board() == laps
        changed(path, data)


def restored_without(images, victim, path, *changes):
    """A file that the program needs is each of changes in turn (None: gone), which is refused by name; then it is as it was."""
    kept = path.with_name(path.name + ".kept")
    path.rename(kept)
    for change in changes:
        if change:
            change()
        log = images.restore(expect=1)
        assert str(path) in errors(log)[0], log
        assert "step fork" not in log, log
        assert host.name(victim.pid) == "gone"
        path.unlink(missing_ok=True)
    kept.rename(path)
    images.restore()
    victim.verify()


def other_build_id(source, path):
    """The same program, of the same size, but for the number that tells builds apart."""
    data = source.read_bytes()
    note = data.index(b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0") + 16
    path.write_bytes(data[:note] + bytes([data[note] ^ 1]) + data[note + 1:])
    path.chmod(0o755)


def test_changed_executable(images, folder, tidy):
    """Another program under the name of the one that was dumped, or a new build of it, or none."""
    program = folder / "counter"
    shutil.copy(COUNTER, program)
    victim = Program(program, folder / "program")
    assert victim.wait_ready()
    images.dump(victim.pid)
    victim.wait_gone()
    victim.forget_end()
    restored_without(images, victim, program, None, lambda: shutil.copy("/bin/true", program),
                     lambda: other_build_id(COUNTER, program), lambda: program.write_bytes(b""))


def test_changed_library(images, folder, tidy):
    # Not our own maps: where a test has moved us into a mount namespace of our own, they are not named from our root.
    maps = subprocess.run(["cat", "/proc/self/maps"], check=True, capture_output=True, text=True).stdout
    libc = next(Path(line.split(None, 5)[5].strip()) for line in maps.splitlines()
                if "/libc.so" in line or "/libc-" in line)
    library = folder / libc.name
    shutil.copy(libc, library)
    victim = Program(COUNTER, folder / "program", env={"LD_LIBRARY_PATH": str(folder)})
    assert victim.wait_ready()
    assert str(library) in Path(f"/proc/{victim.pid}/maps").read_text()
    images.dump(victim.pid)
    victim.wait_gone()
    victim.forget_end()
    restored_without(images, victim, library, None, lambda: library.write_bytes(libc.read_bytes() + b"x"),
                     lambda: other_build_id(libc, library))
