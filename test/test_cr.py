# SPDX-License-Identifier: GPL-2.0-only
"""Every program of test/cr, dumped and restored in several ways; the program itself says whether all is well."""

import pytest

from lib import host
from lib.criu import Images, run
from lib.program import BUILT, Program, settings, sources

VARIANTS = ("plain", "running", "twice")


def dump_and_restore(program, images, conf, compare=True):
    """The tree is gone after the dump and looks the same after the restore."""
    common = conf.get("options", [])
    skip = conf.get("skip-compare", [])
    before = host.snapshot(program.pid, skip)
    images.dump(program.pid, *common, *conf.get("dump-options", []))
    program.wait_gone()
    for pid in {int(key.split(".")[0]) for key in before}:
        host.wait_until(lambda pid=pid: host.is_gone(pid), f"pid {pid}: end by the dump")
    program.forget_end()
    images.restore(*common, *conf.get("restore-options", []))
    if compare:
        changed = host.differences(before, host.snapshot(program.pid, skip))
        assert not changed, "changed by dump and restore:\n" + "\n".join(changed)


def leave_running(program, folder, conf):
    """A tree dumped with --leave-running goes on and passes; what was dumped of it passes too."""
    common = conf.get("options", [])
    skip = conf.get("skip-compare", [])
    images = Images(folder / "images")
    before = host.snapshot(program.pid, skip)
    images.dump(program.pid, "--leave-running", *common, *conf.get("dump-options", []))
    changed = host.differences(before, host.snapshot(program.pid, skip))
    assert not changed, "changed by the dump:\n" + "\n".join(changed)
    program.verify()
    program.forget_end()
    images.restore(*common, *conf.get("restore-options", []))
    program.verify()


def refused(program, folder, conf):
    """The dump fails with the text expected, and the tree does not notice."""
    images = Images(folder / "images")
    before = host.snapshot(program.pid)
    log = images.dump(program.pid, *conf.get("options", []), *conf.get("dump-options", []), expect=1)
    assert conf["fails"][0] in log, log
    assert not (images.folder / "inventory.img").exists()
    assert not host.differences(before, host.snapshot(program.pid))
    program.verify()


def variants_of(source):
    conf = settings(source)
    return ["refused"] if "fails" in conf else conf.get("variants", VARIANTS)


@pytest.mark.parametrize("source,variant", [
    pytest.param(source, variant, id=f"{source.stem}-{variant}") for source in sources() for variant in variants_of(source)
])
def test_program(source, variant, folder, tidy):
    conf = settings(source)
    for feature in conf.get("needs", []):
        if run("check", "--feature", feature).returncode != 0:
            pytest.skip(f"needs the kernel feature {feature}")
    program = Program(BUILT / source.stem, folder / "program")
    if not program.wait_ready():
        program.wait_gone()
        pytest.skip(program.lack())
    if variant == "refused":
        refused(program, folder, conf)
    elif variant == "running":
        leave_running(program, folder, conf)
    else:
        for round_ in range(2 if variant == "twice" else 1):
            dump_and_restore(program, Images(folder / f"images{round_}"), conf)
        program.verify()
    left = [path.name for path in (folder / "program").glob("link_remap*")]
    assert not left, f"left in the program's folder: {left}"
