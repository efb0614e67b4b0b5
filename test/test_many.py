# SPDX-License-Identifier: GPL-2.0-only
"""Many dumps and restores: one tree again and again, many trees at once; nothing leaks.

CRIU_MANY_CYCLES (25) and CRIU_MANY_TREES (20) say how many."""

import concurrent.futures
import os
from pathlib import Path

from lib import host
from lib.criu import Images
from lib.program import BUILT, Program

CYCLES = int(os.environ.get("CRIU_MANY_CYCLES", "25"))
TREES = int(os.environ.get("CRIU_MANY_TREES", "20"))


def resident(pid):
    """Pages that are the tree's own, which must not become more with each cycle."""
    total = 0
    for task in host.tree(pid):
        lines = Path(f"/proc/{task}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty", "Anonymous")))
    return total


def again(program, folder, number):
    images = Images(folder / f"images{number}")
    pids = host.tree(program.pid)
    images.dump(program.pid)
    program.wait_gone()
    for pid in pids:
        host.wait_until(lambda pid=pid: host.is_gone(pid), f"pid {pid}: end by the dump")
    program.forget_end()
    images.restore()


def test_cycles(folder, tidy):
    """One tree, dumped and restored in a row: it stays the same in number, size and shape."""
    program = Program(BUILT / "pipe-data", folder / "program")
    assert program.wait_ready()
    before, size = host.snapshot(program.pid), None
    for number in range(CYCLES):
        again(program, folder, number)
        if number == 1:
            size = resident(program.pid)
    changed = host.differences(before, host.snapshot(program.pid))
    assert not changed, "\n".join(changed)
    assert resident(program.pid) <= size + 64, "the tree has grown"
    program.verify()


def test_at_once(folder, tidy):
    """Many trees, dumped at the same time by as many criu, and restored."""
    programs = [Program(BUILT / "counter-plain", folder / f"program{n}") for n in range(TREES)]
    assert all(program.wait_ready() for program in programs)
    images = [Images(folder / f"images{n}") for n in range(TREES)]
    with concurrent.futures.ThreadPoolExecutor(TREES) as pool:
        list(pool.map(lambda pair: pair[1].dump(pair[0].pid), zip(programs, images)))
    for program in programs:
        program.wait_gone()
        program.forget_end()
    with concurrent.futures.ThreadPoolExecutor(TREES) as pool:
        list(pool.map(lambda set_: set_.restore(), images))
    for program in programs:
        program.verify()
