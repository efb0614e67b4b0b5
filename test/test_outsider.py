# SPDX-License-Identifier: GPL-2.0-only
"""Somebody else kills a process of the tree at the worst of moments: while the tool traces it. The tool ends soon, with an error
that names the process; of a restore nothing is left, what else was to be dumped goes on. Or the tool, while it holds something."""

import os
import signal
import subprocess

import pytest

from lib import host
from lib.criu import CRIU, LIMIT, Images, errors
from lib.program import BUILT, Program
from lib.victim import Victim, plan_names

DUMP = plan_names("dump", "-t", "1", "-D", "/")
RESTORE = plan_names("restore", "-D", "/")

FROZEN = DUMP[DUMP.index("collect"):DUMP.index("go-on") + 1]
TRACED = RESTORE[RESTORE.index("trace"):RESTORE.index("detach") + 1]


def all_dead(pid):
    """A process ends thread by thread."""
    return all(host.state(f"{pid}/task/{tid}") in "ZX" for tid in host.threads(pid))


def struck(victim, images, command, step, pid, *options):
    """Runs the command; when it has come to the step, the process is killed. Returns exit status and log."""
    env = {**os.environ, "HOME": "/nonexistent", **victim.env, "CRIU_FAIL_STEP": f"{step}:stop"}
    log = images.work / f"{command}.log"
    tool = subprocess.Popen([CRIU, command, "-D", images.folder, "-W", images.work, "-v4", "-o", log.name,
                             *map(str, victim.options(*options))], env=env, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        host.wait_until(lambda: host.state(tool.pid) == "T" or tool.poll() is not None, f"{step}: reached")
        assert tool.returncode is None, log.read_text()
        os.kill(pid, signal.SIGKILL)
        host.wait_until(lambda: all_dead(pid), f"pid {pid}: end")
        tool.send_signal(signal.SIGCONT)
        return tool.wait(LIMIT), log.read_text()
    finally:
        tool.kill()
        tool.wait()


@pytest.fixture(scope="module")
def dumped(tmp_path_factory):
    victim = Victim(tmp_path_factory.mktemp("outsider"))
    victim.set = victim.images()
    victim.set.dump(victim.pid, *victim.options(), env=victim.env)
    victim.wait_gone()
    victim.files = victim.listing()
    yield victim
    victim.set.restore(*victim.options(), env=victim.env)
    victim.assert_unharmed()
    victim.program.verify()


@pytest.mark.parametrize("options", [("-d",), ("-d", "--leave-stopped")], ids=["run", "stopped"])
@pytest.mark.parametrize("which", [0, -1], ids=["root", "leaf"])
@pytest.mark.parametrize("step", TRACED)
def test_restore(step, which, options, dumped):
    pid = dumped.pids[which]
    status, log = struck(dumped, dumped.set, "restore", step, pid, *options)
    assert status == 1, log
    assert f"pid {pid}: was killed by SIGKILL" in errors(log)[0], log
    dumped.assert_undone()


@pytest.mark.parametrize("step", FROZEN)
def test_dump(step, tmp_path, tidy):
    victim = Victim(tmp_path)
    images = victim.images()
    pid = victim.pids[-1]
    status, log = struck(victim, images, "dump", step, pid, "-t", victim.pid)
    assert status == 1, log
    assert f"pid {pid}: was killed by somebody else" in errors(log)[0], log
    assert not list(images.folder.iterdir()), "images were left"
    victim.assert_tidy()
    start = victim.board()
    host.wait_until(lambda: all(now > old for n, (old, now) in enumerate(zip(start[1:16], victim.board()[1:16])) if n != 7),
                    "the others go on")
    host.kill_children()


def test_unread_bytes_of_a_terminal_outlive_the_tool(tmp_path, tidy):
    """The tool is killed while they are taken out: whoever took them puts them back."""
    program = Program(BUILT / "tty-unread", tmp_path / "program")
    assert program.wait_ready(), program.result()
    run_dir = tmp_path / "run"
    run_dir.mkdir(mode=0o700)
    images = Images(tmp_path / "images")
    images.dump(program.pid, expect=-signal.SIGKILL, env={"CRIU_RUN_DIR": run_dir, "CRIU_FAIL_STEP": "task-tty:kill"})
    host.wait_until(lambda: (host.reap(), host.children(os.getpid()) == [program.pid])[1], "whoever took them ends")
    assert not list(images.folder.iterdir()) and not list(run_dir.iterdir())
    program.verify()
