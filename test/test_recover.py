# SPDX-License-Identifier: GPL-2.0-only
"""criu recover and pid namespaces: numbers of processes in a journal mean nothing in another one, so that it is left alone there,
and said where it can be undone. (What it undoes: test_kill.py, test_plugins_dump.py.)"""

import os
import re
import signal
import subprocess

import pytest

from lib import host
from lib.criu import CRIU, LIMIT, Images, run
from lib.program import BUILT
from lib.victim import Victim

# The first process of a pid namespace: a program, a dump of it that stops on its way, and a wait.
INSIDE = """setsid "$0" "$1/program" </dev/null >"$1/out" 2>&1 &
while ! [ -s "$1/program/result" ]; do sleep 0.02; done
echo $! >"$1/pid"
CRIU_FAIL_STEP=memory:stop "$2" dump -t $! -D "$1/images" -W "$1/images.work" -o dump.log -R </dev/null &
while ! [ -e "$1/end" ]; do sleep 0.02; done"""


@pytest.fixture
def run_dir(folder):
    (folder / "run").mkdir(mode=0o700)
    return folder / "run"


def journals(run_dir):
    return sorted(path.name for path in run_dir.iterdir())


def strike(tool, run_dir):
    """The tool, which has stopped, and its guardian are killed."""
    for pid in (*host.guardians(run_dir), tool):
        os.kill(pid, signal.SIGKILL)
        host.wait_until(lambda pid=pid: host.is_gone(pid) or host.state(pid) in "ZX", f"pid {pid}: end")
    assert len(journals(run_dir)) == 1


def assert_refused(done, left, run_dir):
    assert done.returncode == 1 and "of another pid namespace, left alone" in done.stderr, done.stdout + done.stderr
    assert journals(run_dir) == left, "a journal was touched"


def test_journal_of_an_outer_namespace(tmp_path, tidy):
    """From within nobody of it is seen."""
    victim = Victim(tmp_path)
    images = victim.images()
    tool = subprocess.Popen([CRIU, "dump", "-t", str(victim.pid), "-D", images.folder, "-W", images.work, *victim.options("-R")],
                            env={**os.environ, **victim.env, "CRIU_FAIL_STEP": "memory:stop"}, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    host.wait_until(lambda: host.state(tool.pid) == "T", "the tool stops")
    strike(tool.pid, victim.run_dir)
    tool.wait(LIMIT)
    left = victim.journals()
    done = subprocess.run(host.own_mounts("--pid", "--fork", "--kill-child", "--mount-proc", CRIU, "recover"), capture_output=True,
                          text=True, timeout=LIMIT, check=False, env={**os.environ, **victim.env})
    assert_refused(done, left, victim.run_dir)
    assert "run criu recover in that namespace, or outside of all containers" in done.stderr
    done = run("recover", env=victim.env)
    assert done.returncode == 0, done.stdout + done.stderr
    victim.assert_unharmed()
    victim.assert_tidy()
    victim.program.verify()


def test_journal_of_an_inner_namespace(folder, run_dir, tidy):
    """From outside it is refused with the command that goes there, which then does it."""
    Images(folder / "images")
    (folder / "program").mkdir()
    env = {**os.environ, "HOME": "/nonexistent", "CRIU_RUN_DIR": str(run_dir)}
    with subprocess.Popen(host.own_mounts("--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c", INSIDE,
                                          BUILT / "counter-plain", folder, CRIU), env=env, stdin=subprocess.DEVNULL) as inside:
        try:
            [tool] = host.wait_until(lambda: [pid for pid in host.tree(inside.pid) if host.name(pid) == "criu" and
                                              host.state(pid) == "T"], "the tool stops")
            program = next(pid for pid in host.tree(inside.pid) if host.name(pid) == "counter-plain")
            strike(tool, run_dir)
            left = journals(run_dir)
            done = run("recover", env=env)
            assert_refused(done, left, run_dir)
            told = re.search("run criu recover in there: (nsenter .*) criu recover", done.stderr)
            assert told, done.stderr
            done = subprocess.run([*told[1].split(), CRIU, "recover"], env=env, capture_output=True, text=True, timeout=LIMIT,
                                  check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            assert not journals(run_dir) and not host.tracer(program)
            (folder / "program/trigger").touch()
            host.wait_until(lambda: (folder / "program/result").read_text() == "PASS", "a verdict")
            (folder / "end").touch()
            assert inside.wait(LIMIT) == 0
        finally:
            inside.kill()
