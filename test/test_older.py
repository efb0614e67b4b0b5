# SPDX-License-Identifier: GPL-2.0-only
"""Programs of test/cr, dumped without what the kernels of the last years brought (lib/older.py), and restored."""

import pytest

from lib import host, older
from lib.criu import Images, run
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
