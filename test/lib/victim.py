# SPDX-License-Identifier: GPL-2.0-only
"""A busy tree (test/cr/tree-busy.c) to which things are done that it must not notice, and what the tool may not leave behind."""

import os
import struct
from pathlib import Path

from lib import host
from lib.criu import CriuFailed, Images, run
from lib.program import BUILT, Program

THREADS = 20
# The main thread of the first process talks to the harness and does not compute.
IDLE = 7


def plan_names(command, *options):
    """The steps of a plan, and the points within them, as the refusal of a name that it does not have tells them."""
    done = run(command, *options, env={"CRIU_FAIL_STEP": "no-such-step"})
    line = done.stderr.splitlines()[0]
    assert done.returncode == 1 and "it has: " in line, done.stderr
    names = line.partition("it has: ")[2].split(", ")
    # The only points of a dump need a terminal: test_terminal.py.
    return [name for name in names if command != "dump" or not name.startswith("task-")]


class Victim:
    """The tree, its images and a run directory of its own, in a folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.run_dir = self.folder / "run"
        self.run_dir.mkdir(mode=0o700)
        self.env = {"CRIU_RUN_DIR": str(self.run_dir)}
        self.program = Program(BUILT / "tree-busy", self.folder / "program")
        assert self.program.wait_ready(), self.program.result()
        self.pid = self.program.pid
        self.pids = host.tree(self.pid)
        self.before = host.snapshot(self.pid)
        self.files = self.listing()
        self.n_images = 0

    def listing(self):
        return sorted(path.name for path in self.program.folder.iterdir())

    def images(self):
        self.n_images += 1
        return Images(self.folder / f"images{self.n_images}")

    def options(self, *more):
        return ("--link-remap", *more)

    def board(self):
        data = (self.program.folder / "board").read_bytes()
        return struct.unpack_from(f"{1 + THREADS}Q", data)

    def assert_computes(self):
        """Every thread goes on and finds its memory, registers and files as they were."""
        start = self.board()
        host.wait_until(lambda: all(now > old for n, (old, now) in enumerate(zip(start[1:], self.board()[1:])) if n != IDLE)
                        or self.board()[0], "every thread goes on")
        assert self.board()[0] == 0, self.program.errors()

    def assert_unharmed(self):
        """It looks as before, nobody traces it, it computes."""
        changed = host.differences(self.before, host.snapshot(self.pid))
        assert not changed, "changed:\n" + "\n".join(changed)
        for pid in self.pids:
            for tid in host.threads(pid):
                assert not host.tracer(tid) and host.state(tid) not in "Tt", host.read(f"/proc/{tid}/status")
        self.assert_computes()

    def is_here(self):
        return any(os.path.exists(f"/proc/{pid}") for pid in self.pids)

    def wait_gone(self):
        for pid in self.pids:
            host.wait_until(lambda pid=pid: host.is_gone(pid), f"pid {pid}: end")
        self.program.status = None
        self.program.process.returncode = 0
        self.program.forget_end()

    def journals(self):
        return sorted(path.name for path in self.run_dir.iterdir())

    def assert_tidy(self):
        """No journal, no link, no file of the tool's."""
        assert not self.journals(), "journals were left"
        now = self.listing()
        assert now == self.files, f"files in the program's folder: {now}, were: {self.files}"

    def assert_undone(self):
        """The tree that was to be restored is not there, nor anything of it."""
        host.wait_until(lambda: [host.is_gone(pid) for pid in self.pids] == [True] * len(self.pids), "nothing runs")
        self.assert_tidy()


__all__ = ["CriuFailed", "Victim", "plan_names"]
