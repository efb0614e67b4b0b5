# SPDX-License-Identifier: GPL-2.0-only
"""Images of every program of test/cr: what CRIU 4.2 always writes is in them (lib/written.py), and Debian's crit, where it is installed,
decodes every one of them and reads the same as ours."""

from pathlib import Path

import pytest

from lib import host, written
from lib.criu import Images, run
from lib.program import BUILT, Program, settings, sources

DEBIAN = Path("/usr/lib/python3/dist-packages/pycriu")


@pytest.mark.parametrize("source", [pytest.param(source, id=source.stem) for source in sources() if "fails" not in settings(source)])
def test_written(source, folder, tidy):
    conf = settings(source)
    for feature in conf.get("needs", []):
        if run("check", "--feature", feature).returncode != 0:
            pytest.skip(f"needs the kernel feature {feature}")
    program = Program(BUILT / source.stem, folder / "program")
    if not program.wait_ready():
        program.wait_gone()
        pytest.skip(program.lack())
    images = Images(folder / "images")
    pids = {int(key.split(".")[0]) for key in host.snapshot(program.pid)}
    images.dump(program.pid, *conf.get("options", []), *conf.get("dump-options", []))
    program.wait_gone()
    for pid in pids:
        host.wait_until(lambda pid=pid: host.is_gone(pid), f"pid {pid}: end by the dump")
    faults = written.faults(images.folder)
    if DEBIAN.exists():
        faults += written.debian_differs(images.folder)
    assert not faults, "\n".join(faults)
