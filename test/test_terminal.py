# SPDX-License-Identifier: GPL-2.0-only
"""Jobs of an interactive shell in a terminal (tmux), dumped from outside and restored by hand in the same terminal."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lib import host
from lib.criu import CRIU, Images

ROWS, COLUMNS = 24, 80


class Terminal:
    """A tmux server of its own with one window that runs bash."""

    def __init__(self, folder):
        self.socket = str(folder / "tmux")
        self.folder = folder
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "-c", str(folder),
                  "env", "PS1=ready> ", "TERM=screen", "HOME=/nonexistent", "bash", "--norc", "--noprofile")
        self.wait_for("ready>")

    def tmux(self, *args):
        return subprocess.run(["tmux", "-S", self.socket, *args], check=True, capture_output=True, text=True).stdout

    def shell(self):
        return int(self.tmux("display-message", "-p", "#{pane_pid}"))

    def type(self, *keys):
        self.tmux("send-keys", *keys)

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def wait_for(self, text):
        host.wait_until(lambda: text in self.screen(), f"'{text}' on the screen\n{self.screen()}")

    def clear(self):
        self.type("C-l")

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def terminal(folder, tidy):
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    term = Terminal(folder)
    yield term
    term.close()
    host.wait_until(lambda: (host.reap(), not host.children(os.getpid()))[1], "end of the terminal")


def job_of(pid, name):
    return host.wait_until(lambda: next((p for p in host.children(pid) if host.name(p) == name), None), f"{name} runs")


def restore_here(terminal, images):
    """Types the command; the shell waits for it as for any job."""
    terminal.type(f"clear; {CRIU} restore -D {images.folder} -W {images.work} -v4 -o restore.log --shell-job", "Enter")


def test_vim(terminal, folder):
    if not shutil.which("vim"):
        pytest.skip("vim is not installed")
    file = folder / "text"
    file.write_text("first line\n")
    terminal.type("vim -u NONE -n text", "Enter")
    terminal.wait_for("first line")
    vim = job_of(terminal.shell(), "vim")
    terminal.type("o", "typed before")
    terminal.wait_for("typed before")
    images = Images(folder / "images")
    images.dump(vim, "--shell-job")
    terminal.wait_for("Killed")
    host.wait_until(lambda: host.name(vim) == "gone", "end of vim")
    restore_here(terminal, images)
    host.wait_until(lambda: host.name(vim) == "vim", f"vim is back\n{terminal.screen()}")
    terminal.type("Escape", "C-l")
    terminal.wait_for("typed before")
    terminal.type("o", "typed after", "Escape", ":wq", "Enter")
    host.wait_until(lambda: "typed after" in file.read_text(), "what was typed is in the file")
    terminal.wait_for("ready>")
    assert file.read_text() == "first line\ntyped before\ntyped after\n"


def test_top(terminal, folder):
    terminal.type("top -d 1", "Enter")
    terminal.wait_for("load average")
    top = job_of(terminal.shell(), "top")
    images = Images(folder / "images")
    images.dump(top, "--shell-job")
    terminal.wait_for("Killed")
    host.wait_until(lambda: host.name(top) == "gone", "end of top")
    restore_here(terminal, images)
    host.wait_until(lambda: host.name(top) == "top", f"top is back\n{terminal.screen()}")
    terminal.wait_for("load average")
    terminal.type("h")
    terminal.wait_for("Help for Interactive Commands")
    terminal.type("q")
    terminal.wait_for("load average")
    terminal.type("q")
    terminal.wait_for("ready>")


def test_leave_running(terminal, folder):
    terminal.type("top -d 1", "Enter")
    terminal.wait_for("load average")
    top = job_of(terminal.shell(), "top")
    for i in range(3):
        images = Images(folder / f"images{i}")
        images.dump(top, "--shell-job", "--leave-running")
    terminal.type("h")
    terminal.wait_for("Help for Interactive Commands")
    terminal.type("q")
    terminal.wait_for("load average")
    terminal.type("q")
    terminal.wait_for("ready>")


def test_shell_with_job(terminal, folder):
    """A shell within the shell, with a job of its own in the foreground and one that is stopped."""
    terminal.type("PS1='inner> ' bash --norc --noprofile", "Enter")
    terminal.wait_for("inner>")
    inner = job_of(terminal.shell(), "bash")
    terminal.type("sleep 1000", "Enter")
    job_of(inner, "sleep")
    terminal.type("C-z")
    terminal.wait_for("Stopped")
    terminal.type("top -d 1", "Enter")
    terminal.wait_for("load average")
    images = Images(folder / "images")
    pids = host.tree(inner)
    images.dump(inner, "--shell-job")
    terminal.wait_for("Killed")
    for pid in pids:
        host.wait_until(lambda: host.is_gone(pid), f"end of {pid}")
    restore_here(terminal, images)
    host.wait_until(lambda: host.name(inner) == "bash", f"the inner shell is back\n{terminal.screen()}")
    terminal.wait_for("load average")
    terminal.type("q")
    terminal.wait_for("inner>")
    terminal.type("jobs", "Enter")
    terminal.wait_for("Stopped")
    terminal.type("kill %1; fg", "Enter")
    terminal.wait_for("Terminated")
    terminal.type("exit", "Enter")
    terminal.wait_for("ready>")


def test_without_shell_job(terminal, folder):
    """A job is refused without the option, and does not notice."""
    terminal.type("sleep 1000", "Enter")
    sleep = job_of(terminal.shell(), "sleep")
    images = Images(folder / "images")
    log = images.dump(sleep, expect=1)
    assert "--shell-job" in log
    assert not list(Path(images.folder).iterdir())
    terminal.type("C-c")
    terminal.wait_for("ready>")
