# SPDX-License-Identifier: GPL-2.0-only
"""Programs of test/cr, dumped without what the kernels of the last years brought (lib/older.py), and restored."""

import signal
import subprocess
import sys

import pytest

from lib import host, older
from lib.criu import CRIU, Images, run
from lib.program import BUILT, Program, settings, sources


def is_for_older(source):
    """Seccomp filters cannot be saved from under one; guard regions came later than the ways to see them."""
    conf = settings(source)
    return "fails" not in conf and not source.stem.startswith(("seccomp", "mem-guard"))


def test_check():
    """The filter does what it is for."""
    text = run("check", "--all", preexec_fn=older.kernel).stderr
    for feature in ("pagemap_scan", "procmap_query", "pidfd_namespaces", "bpf_task_vma"):
        assert f"{feature}: " in text


@pytest.mark.parametrize("source", [pytest.param(source, id=source.stem) for source in sources() if is_for_older(source)])
def test_program(source, folder, tidy):
    conf = settings(source)
    for feature in conf.get("needs", []):
        if run("check", "--feature", feature).returncode != 0:
            pytest.skip(f"needs the kernel feature {feature}")
    program = Program(BUILT / source.stem, folder / "program")
    if not program.wait_ready():
        program.wait_gone()
        pytest.skip(program.lack())
    images = Images(folder / "images")
    skip = conf.get("skip-compare", [])
    before = host.snapshot(program.pid, skip)
    images.dump(program.pid, *conf.get("options", []), *conf.get("dump-options", []), preexec_fn=older.kernel)
    program.wait_gone()
    for pid in {int(key.split(".")[0]) for key in before}:
        host.wait_until(lambda pid=pid: host.is_gone(pid), f"pid {pid}: end by the dump")
    program.forget_end()
    images.restore(*conf.get("options", []), *conf.get("restore-options", []))
    changed = host.differences(before, host.snapshot(program.pid, skip))
    assert not changed, "changed by dump and restore:\n" + "\n".join(changed)
    program.verify()


# Eight bytes for each page of it are half a minute's work for the kernel.
RESERVED = """
import mmap, signal
room = mmap.mmap(-1, 16 << 40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)  # MAP_NORESERVE
room[0] = 1
print(flush=True)
signal.pause()
"""


def test_empty_reservations_are_passed_over(folder, tidy):
    program = Program(BUILT / "mem-reserved", folder / "program")
    assert program.wait_ready()
    log = Images(folder / "images").dump(program.pid, "--leave-running", preexec_fn=older.kernel)
    assert "mappings are empty" in log
    program.verify()


def test_signal_while_a_reservation_is_scanned(folder, tidy):
    images = Images(folder / "images")
    log = images.work / "dump.log"
    victim = subprocess.Popen([sys.executable, "-c", RESERVED], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
    assert victim.stdout.readline() == b"\n"
    command = [CRIU, "dump", "-t", str(victim.pid), "-D", images.folder, "-W", images.work, "-v4", "-o", log.name]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=older.kernel) as tool:
        host.wait_until(lambda: log.exists() and "step memory" in log.read_text() or tool.poll() is not None, "memory is looked at")
        tool.send_signal(signal.SIGTERM)
        assert tool.wait() == 1
    text = log.read_text()
    assert "interrupted by SIGTERM" in text and " pages in " not in text, "the scan was ended"
    assert victim.poll() is None and not list(images.folder.iterdir())
    host.wait_until(lambda: host.state(victim.pid) == "S", "the victim goes on")
    victim.kill()
    victim.wait()
    victim.stdout.close()
