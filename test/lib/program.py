# SPDX-License-Identifier: GPL-2.0-only
"""Programs of test/cr: starting them, and the talk that test/lib/crtest.h describes."""

import os
import re
import subprocess
from pathlib import Path

from lib import host
from lib.criu import TOP

BUILT = TOP / "build/test/cr"
COUNTER = BUILT / "counter-plain"
SOURCES = TOP / "test/cr"

# Words that may follow "criu-" in the comment at the top of a program.
WORDS = ("options", "dump-options", "restore-options", "needs", "fails", "variants", "skip-compare", "huge-pages")


def settings(source):
    """The lines "criu-<word>: text" of a program's comments, as a dictionary of lists of words."""
    found = {}
    for word, text in re.findall(r"criu-([a-z-]+):\s*(.*?)\s*(?:\*/)?$", source.read_text(), re.M):
        if word not in WORDS:
            raise ValueError(f"{source}: criu-{word} means nothing; known are {', '.join(WORDS)}")
        found[word] = [text] if word == "fails" else text.split()
    return found


def sources():
    return sorted(SOURCES.glob("*.c"))


class Program:
    """One run of a program: folder is its own, made here."""

    def __init__(self, path, folder, *args, env=None, **kwargs):
        self.folder = Path(folder)
        self.folder.mkdir()
        with open(self.folder / "out", "wb") as out, open(self.folder / "err", "wb") as err:
            # Of the descriptors only 0, 1, 2 are passed on; a session of its own has no terminal.
            self.process = subprocess.Popen([str(path), str(self.folder), *map(str, args)], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=err, cwd=self.folder, start_new_session=True,
                                            env={"PATH": os.environ["PATH"], **(env or {})}, **kwargs)
        self.pid = self.process.pid
        self.status = None

    def result(self):
        try:
            return (self.folder / "result").read_text()
        except FileNotFoundError:
            return ""

    def errors(self):
        return (self.folder / "err").read_text(errors="replace")

    def _reap(self):
        """Wait status once the root task has ended; it may be our child by birth or, restored, by adoption."""
        if self.status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # criu may be its parent just now.
                return None
            if pid:
                self.status = status
                self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.status

    def wait_ready(self):
        """Waits until it is set up; False if it asked to be skipped."""
        host.wait_until(lambda: self.result() or self._reap() is not None, f"{self.process.args[0]}: ready")
        if self.result().startswith("SKIP"):
            return False
        assert self.result() == "ready", f"{self.process.args[0]}: {self.result()} {self.errors()}"
        return True

    def lack(self):
        """Why it asked to be skipped, as a reason of pytest."""
        return f"this machine or kernel lacks what {Path(self.process.args[0]).name} needs: {self.result().removeprefix('SKIP').strip(' :')}"

    def wait_gone(self):
        """Waits until the root task has been killed by a dump."""
        host.wait_until(lambda: self._reap() is not None, f"pid {self.pid}: end of the task")
        return self.status

    def forget_end(self):
        """It is about to be restored."""
        self.status = None
        for name in ("trigger", "result"):
            (self.folder / name).unlink(missing_ok=True)
        (self.folder / "result").write_text("ready")

    def verify(self):
        """Has it check itself, and waits for the verdict and the end."""
        (self.folder / "trigger").touch()
        host.wait_until(lambda: self.result() != "ready" or self._reap() is not None, f"pid {self.pid}: a verdict")
        host.wait_until(lambda: self._reap() is not None, f"pid {self.pid}: end after the verdict {self.result()!r}")
        assert self.result() == "PASS" and os.waitstatus_to_exitcode(self.status) == 0, \
            f"{self.process.args[0]}: {self.result()} (wait status {self.status:#x}) {self.errors()}"
