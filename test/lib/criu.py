# SPDX-License-Identifier: GPL-2.0-only
"""The tool under test: runs criu in a way that a failure shows its log."""

import os
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
CRIU = os.environ.get("CRIU", str(TOP / "build/bin/criu"))

# A command that takes longer than this hangs.
LIMIT = 300


class CriuFailed(AssertionError):
    """criu exited with another status than expected; carries status and log."""

    def __init__(self, text, status, log):
        super().__init__(text)
        self.status = status
        self.log = log


def run(*args, env=None, cwd=None, **kwargs):
    """Runs criu; a CompletedProcess with stdout and stderr as text. No configuration of the host is read."""
    environment = {**os.environ, "HOME": "/nonexistent", **(env or {})}
    return subprocess.run([CRIU, *map(str, args)], env=environment, cwd=cwd, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, errors="replace", timeout=LIMIT, check=False, **kwargs)


def tail(path, lines=60):
    try:
        return "\n".join(Path(path).read_text(errors="replace").splitlines()[-lines:])
    except OSError as e:
        return str(e)


def errors(log):
    """The lines of a log that tell of errors, the cause first."""
    return [line for line in log.splitlines() if "Error (" in line]


class Images:
    """An image directory, with the work directory beside it."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.work = self.folder.with_name(self.folder.name + ".work")
        self.folder.mkdir()
        self.work.mkdir()

    def command(self, command, *options, expect=0, env=None, **kwargs):
        """Runs criu dump or restore here; returns the log. expect=None takes any exit status."""
        log = self.work / f"{command}.log"
        done = run(command, "-D", self.folder, "-W", self.work, "-v4", "-o", log.name, *options, env=env, **kwargs)
        text = log.read_text(errors="replace") if log.exists() else ""
        if expect is not None and done.returncode != expect:
            raise CriuFailed(f"criu {command} {' '.join(map(str, options))}: exit status {done.returncode}, "
                             f"not {expect}\n{done.stdout}{done.stderr}{tail(log)}", done.returncode, text + done.stderr)
        return text + done.stdout + done.stderr

    def dump(self, pid, *options, **kwargs):
        return self.command("dump", "-t", pid, *options, **kwargs)

    def restore(self, *options, **kwargs):
        return self.command("restore", "-d", *options, **kwargs)
