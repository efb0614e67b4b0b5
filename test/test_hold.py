# SPDX-License-Identifier: GPL-2.0-only
"""criu restore --hold leaves the tree restored and stopped, and criu release lets it run: what both say, and that nothing is left
of a tree whose holder ends in between."""

import contextlib
import json
import os
import signal
import subprocess

import pytest

from lib import host
from lib.criu import CRIU, LIMIT, TOP, Images, errors, run
from lib.program import BUILT, COUNTER, SOURCES, Program, settings
from lib.victim import Victim


# Programs that a late end of the restore could harm: stops, signals, timers, parents.
KINDS = ("pdeath-root", "rseq-section", "seccomp-threads", "session-orphans", "signal-pending", "syscall-restart", "task-stopped",
         "thread-state", "timer-posix", "timerfd-clocks", "zombie-kinds")

# A plugin of the old kind whose device cannot be resumed.
FAILING_PLUGIN = r"""
#include <errno.h>
#include "criu-plugin.h"

static int resume(int pid)
{
	(void)pid;
	return -EIO;
}

CR_PLUGIN_REGISTER("unwilling", NULL, NULL)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__RESUME_DEVICES_LATE, resume)
"""


def threads(pids):
    return [tid for pid in pids for tid in host.threads(pid)]


def progress(pids):
    """What a task that runs cannot help changing: processor time, context switches, faults, system calls."""
    found = {}
    for tid in threads(pids):
        found[tid] = host.status(tid, "voluntary_ctxt_switches"), host.status(tid, "nonvoluntary_ctxt_switches"), \
            host.stat(tid)[7:15], host.read(f"/proc/{tid}/schedstat"), host.read(f"/proc/{tid}/syscall")
    return found


def let_others_run(folder):
    """Another program has come a good way meanwhile."""
    other = Program(BUILT / "tree-busy", folder / "other")
    assert other.wait_ready()
    board = folder / "other/board"
    start = board.read_bytes()[8:16]
    host.wait_until(lambda: board.read_bytes()[8:16] != start, "another program's progress")
    other.verify()


class Held(Victim):
    """The busy tree, dumped."""

    def __init__(self, folder):
        super().__init__(folder)
        self.set = self.images()
        self.set.dump(self.pid, *self.options(), env=self.env)
        self.wait_gone()
        self.files = self.listing()
        self.holder = None

    def hold(self, *options, expect=0, fail=None, **kwargs):
        env = {**self.env, **({"CRIU_FAIL_STEP": fail} if fail else {})}
        log = self.set.command("restore", "--hold", *self.options(*options), env=env, expect=expect, **kwargs)
        if not expect:
            self.holder = host.tracer(self.pid)
        return log

    def release(self, *options, expect=0):
        done = run("release", *options, env=self.env)
        assert done.returncode == expect, done.stdout + done.stderr
        assert not done.stdout
        return done.stderr

    def log(self):
        return (self.set.work / "restore.log").read_text()

    def sockets(self):
        return [name for name in self.journals() if name.endswith(".held")]

    def assert_held(self):
        """Every thread is stopped by the same tracer, which is in nobody's session, and there is a socket for the tree."""
        assert host.name(self.holder) == "criu" and os.getsid(self.holder) == self.holder
        for tid in threads(self.pids):
            assert host.state(tid) == "t" and host.tracer(tid) == self.holder
        assert [name.partition("-")[0] for name in self.sockets()] == [str(self.pid)]

    def assert_runs(self):
        self.assert_unharmed()
        self.assert_tidy_runs()

    def assert_tidy_runs(self):
        assert not self.journals()
        assert host.is_gone(self.holder)


@pytest.fixture
def victim(folder, tidy):
    return Held(folder)


def test_hold_and_release(victim):
    """Stopped when the command has returned, with its pid in the pidfile, and not one instruction further when others are."""
    victim.hold("--pidfile", "pid")
    assert (victim.set.work / "pid").read_text() == str(victim.pid)
    victim.assert_held()
    board, before = victim.board(), progress(victim.pids)
    assert not (victim.set.work / "stats-restore").exists()
    let_others_run(victim.folder)
    assert victim.board() == board and progress(victim.pids) == before
    victim.assert_held()
    assert victim.release("-t", victim.pid) == ""
    assert (victim.set.work / "stats-restore").stat().st_size > 8
    assert (victim.set.work / "pid").read_text() == str(victim.pid)
    victim.assert_runs()
    # Twice: nobody is there any more.
    assert "--tree" in victim.release("-t", victim.pid, expect=1)
    assert "no tree is held" in victim.release(expect=1)
    victim.assert_computes()
    victim.program.verify()


def test_only_one(victim):
    """It need not be named."""
    victim.hold()
    victim.release()
    victim.assert_runs()
    victim.program.verify()


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind, folder, tidy):
    (folder / "run").mkdir(mode=0o700)
    env = {"CRIU_RUN_DIR": str(folder / "run")}
    conf = settings(SOURCES / f"{kind}.c")
    program, images = Program(BUILT / kind, folder / "program"), Images(folder / "images")
    assert program.wait_ready()
    before = host.snapshot(program.pid, conf.get("skip-compare", []))
    images.dump(program.pid, *conf.get("options", []), *conf.get("dump-options", []), env=env)
    program.wait_gone()
    for pid in {int(key.split(".")[0]) for key in before}:
        host.wait_until(lambda pid=pid: host.is_gone(pid), f"pid {pid}: end by the dump")
    program.forget_end()
    images.command("restore", "--hold", *conf.get("options", []), *conf.get("restore-options", []), env=env)
    tids = threads(pid for pid in host.tree(program.pid) if host.state(pid) != "Z")
    assert {host.state(tid) for tid in tids} <= {"t", "T"}
    done = run("release", env=env)
    assert done.returncode == 0, done.stderr
    assert not host.differences(before, host.snapshot(program.pid, conf.get("skip-compare", [])))
    program.verify()


def test_wrong_pid(victim):
    victim.hold()
    for pid in (os.getpid(), victim.pids[1], victim.holder):
        assert f"{victim.pid} (tree-busy)" in victim.release("-t", pid, expect=1)
    victim.assert_held()
    victim.release("-t", victim.pid)
    victim.program.verify()


def test_nothing_was_held(folder):
    for run_dir in (folder, folder / "none"):
        done = run("release", env={"CRIU_RUN_DIR": str(run_dir)})
        assert done.returncode == 1 and "no tree is held" in done.stderr
    done = run("release", "-t", "1", env={"CRIU_RUN_DIR": str(folder)})
    assert done.returncode == 1 and "--tree 1: is not held" in done.stderr


def test_two_trees(folder, tidy):
    """Which one is to be said; the other stays as it is."""
    (folder / "run").mkdir(mode=0o700)
    env = {"CRIU_RUN_DIR": str(folder / "run")}
    programs, log = [], []
    for n in range(2):
        program, images = Program(COUNTER, folder / f"program{n}"), Images(folder / f"images{n}")
        assert program.wait_ready()
        images.dump(program.pid, env=env)
        program.wait_gone()
        program.forget_end()
        images.command("restore", "--hold", env=env)
        programs.append(program)
        log.append(images.work / "restore.log")
    done = run("release", env=env)
    both = ", ".join(f"{pid} (counter-plain)" for pid in sorted(program.pid for program in programs))
    assert done.returncode == 1 and f"several trees are held: {both}" in done.stderr and "add -t PID" in done.stderr
    for n in (1, 0):
        assert host.state(programs[n].pid) == "t"
        done = run("release", *(["-t", programs[n].pid] if n else []), env=env)
        assert done.returncode == 0, done.stderr
        programs[n].verify()
    assert not list((folder / "run").iterdir())


def test_who_asks_at_the_same_time(victim):
    """One of them is told that it runs now; the others, that it was not they."""
    victim.hold()
    many = [subprocess.Popen([CRIU, "release"], env={**os.environ, **victim.env}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             text=True) for _ in range(5)]
    ends = [(process.communicate(timeout=LIMIT)[1], process.returncode) for process in many]
    assert sorted(status for _, status in ends) == [0, 1, 1, 1, 1], ends
    assert all("no tree is held" in text or "somebody else" in text for text, status in ends if status), ends
    victim.assert_runs()
    victim.program.verify()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_holder_ends(sig, victim):
    """Nothing is left, neither of the tree nor of the pidfile; the images are good for another restore."""
    victim.hold("--pidfile", "pid")
    os.kill(victim.holder, sig)
    host.wait_until(lambda: host.is_gone(victim.holder), "the holder's end")
    host.wait_until(lambda: not victim.journals(), "the guardian's end")
    victim.assert_undone()
    assert not (victim.set.work / "pid").exists()
    if sig != signal.SIGKILL:
        assert f"interrupted by {sig.name}" in victim.log()
    assert "no tree is held" in victim.release(expect=1)
    victim.hold()
    victim.release()
    victim.assert_runs()
    victim.program.verify()


def test_holder_and_guardian_killed(victim):
    """criu recover removes what they left; until then the socket that nobody answers is known for what it is."""
    victim.hold()
    guardians = host.guardians(victim.run_dir)
    os.kill(victim.holder, signal.SIGSTOP)
    for pid in (*guardians, victim.holder):
        os.kill(pid, signal.SIGKILL)
    for pid in (*guardians, victim.holder, *victim.pids):
        host.wait_until(lambda pid=pid: host.is_gone(pid), f"pid {pid}: end")
    assert len(victim.journals()) == 2
    assert "no tree is held" in victim.release(expect=1)
    victim.hold()
    done = run("recover", env=victim.env)
    assert done.returncode == 0, done.stderr
    victim.assert_held()
    victim.release()
    victim.assert_runs()
    victim.program.verify()


@pytest.mark.parametrize("which", [0, 1, "guardian"])
def test_death_while_held(which, victim):
    """A task that is killed, or the guardian, ends the whole restore without being asked."""
    report = victim.folder / "report"
    victim.hold("--report", report)
    if which == "guardian":
        pid = next(pid for pid in host.children(victim.holder) if host.name(pid) == "criu-guardian")
    else:
        pid = victim.pids[which]
    os.kill(pid, signal.SIGKILL)
    host.wait_until(lambda: host.is_gone(victim.holder), "the holder's end")
    victim.assert_undone()
    assert f"pid {pid}: was killed" in errors(victim.log())[0]
    facts = json.loads(report.read_text())
    assert facts["exit_code"] == 1 and f"pid {pid}: was killed" in json.dumps(facts)
    victim.set.restore(*victim.options(), env=victim.env)
    victim.program.verify()


def test_scripts(victim):
    """Those that come after the hold may fail without harm, as ever."""
    calls, script = victim.folder / "calls", victim.folder / "script"
    script.write_text(f"#!/bin/sh\necho $CRTOOLS_SCRIPT_ACTION >> {calls}\ncase $CRTOOLS_SCRIPT_ACTION in *-resume) exit 3; esac\n")
    script.chmod(0o755)
    victim.hold("--action-script", script)
    assert calls.read_text().split() == ["pre-restore", "post-restore"]
    assert victim.release() == ""
    assert calls.read_text().split() == ["pre-restore", "post-restore", "pre-resume", "post-resume"]
    assert "post-resume: failed with status 3" in victim.log()
    victim.assert_runs()
    victim.program.verify()


@pytest.mark.parametrize("step", ["memory", "resume-devices", "resume-devices:after", "hold", "hold:term", "memory:term"])
def test_fails_before(step, victim):
    """The command says so, and nothing is left."""
    log = victim.hold("--pidfile", "pid", fail=step, expect=1)
    assert ("interrupted by SIGTERM" if "term" in step else f"{step.partition(':')[0]}: failed on request") in errors(log)[0]
    assert "criu: restore failed" in log
    victim.assert_undone()
    assert not (victim.set.work / "pid").exists()
    victim.set.restore(*victim.options(), env=victim.env)
    victim.program.verify()


@pytest.mark.parametrize("step", ["memory:kill", "hold:kill"])
def test_killed_before(step, victim):
    log = victim.hold(fail=step, expect=1)
    assert "was killed by SIGKILL" in log
    host.wait_until(lambda: not victim.journals(), "the guardian's end")
    victim.assert_undone()
    victim.set.restore(*victim.options(), env=victim.env)
    victim.program.verify()


@pytest.mark.parametrize("step", ["hold:after", "pre-resume-scripts", "detach"])
def test_fails_after(step, victim):
    """criu release says why."""
    victim.hold("--pidfile", "pid", fail=step)
    victim.assert_held()
    said = victim.release(expect=1)
    assert f"pid {victim.pid}: was not released: {step.partition(':')[0]}: failed on request" in said
    host.wait_until(lambda: host.is_gone(victim.holder), "the holder's end")
    victim.assert_undone()
    assert not (victim.set.work / "pid").exists()
    victim.set.restore(*victim.options(), env=victim.env)
    victim.program.verify()


@pytest.mark.parametrize("step", ["hold:kill-after", "detach:kill"])
def test_killed_after(step, victim):
    victim.hold(fail=step)
    assert "has ended without an answer" in victim.release(expect=1)
    host.wait_until(lambda: not victim.journals(), "the guardian's end")
    victim.assert_undone()
    victim.set.restore(*victim.options(), env=victim.env)
    victim.program.verify()


@contextlib.contextmanager
def stopped_command(victim):
    """The command, waiting, and the process that restores, which has stopped in the midst of it."""
    with subprocess.Popen([CRIU, "restore", "--hold", "-D", victim.set.folder, "-W", victim.set.work, "-o", "restore.log",
                           *victim.options()], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          env={**os.environ, **victim.env, "CRIU_FAIL_STEP": "memory:stop"}) as command:
        [holder] = host.wait_until(lambda: [pid for pid in host.children(command.pid) if host.state(pid) == "T"], "the stop")
        yield command, holder


def test_command_is_interrupted(victim):
    """What is sent to the command while it waits reaches who restores."""
    with stopped_command(victim) as (command, holder):
        command.send_signal(signal.SIGTERM)
        host.wait_until(lambda: int(host.status(holder, "ShdPnd") or "0", 16)
                        & 1 << signal.SIGTERM - 1, "the signal")
        os.kill(holder, signal.SIGCONT)
        assert command.wait(LIMIT) == 1
    assert "interrupted by SIGTERM" in victim.log()
    victim.assert_undone()
    victim.set.restore(*victim.options(), env=victim.env)
    victim.program.verify()


def test_command_is_killed(victim):
    """Nobody would know that there is something to be released."""
    with stopped_command(victim) as (command, holder):
        command.kill()
        assert command.wait(LIMIT) == -9
    os.kill(holder, signal.SIGCONT)
    host.wait_until(lambda: host.is_gone(holder), "the holder's end")
    assert "tell the command" in victim.log()
    victim.assert_undone()
    victim.set.restore(*victim.options(), env=victim.env)
    victim.program.verify()


def test_leaves_the_caller_alone(victim):
    """Neither the caller's output nor other descriptors of his stay open: who waits for their end need not wait for the release."""
    read, write = os.pipe()
    done = subprocess.run([CRIU, "restore", "--hold", "-D", victim.set.folder, "-W", victim.set.work],
                          env={**os.environ, **victim.env}, stdin=subprocess.DEVNULL, capture_output=True, check=False,
                          timeout=LIMIT, pass_fds=[write])
    os.close(write)
    assert done.returncode == 0 and not done.stdout and not done.stderr, done.stderr
    assert os.read(read, 1) == b""
    os.close(read)
    victim.release()
    host.wait_until(lambda: victim.is_here(), "the tree")
    victim.assert_unharmed()
    victim.program.verify()


def test_resume_of_a_device_fails(victim):
    """It is no success to be held: the command fails, with the plugin as cause."""
    libdir = victim.folder / "plugins"
    libdir.mkdir()
    (libdir / "unwilling.c").write_text(FAILING_PLUGIN)
    subprocess.run(["cc", "-shared", "-fPIC", f"-I{TOP}/plugins/include/criu", "-o", libdir / "unwilling.so", libdir / "unwilling.c"],
                   check=True)
    log = victim.hold("-L", libdir, expect=1)
    assert "unwilling" in errors(log)[0] and "criu: restore failed" in log, log
    victim.assert_undone()
    victim.set.restore(*victim.options(), env=victim.env)
    victim.program.verify()


@pytest.mark.parametrize("options", [["--leave-stopped"], ["-d", "-S"], ["--exec-cmd", "--", "true"]], ids=lambda options: options[0])
def test_refused(options, folder):
    images = Images(folder / "images")
    log = images.command("restore", "--hold", *options, expect=1)
    assert "--hold: cannot be used together with --" in log
    assert not list(images.work.iterdir())


def test_no_place_for_the_socket(folder):
    """Where criu release could not find the tree nothing is restored."""
    images = Images(folder / "images")
    (folder / "run").mkdir()
    (folder / "run").chmod(0o777)
    log = images.command("restore", "--hold", expect=1, env={"CRIU_RUN_DIR": str(folder / "run")})
    assert "--hold: open the run directory" in errors(log)[0]


def test_dry_run(victim):
    """Ignored: nothing is made that could be held."""
    victim.set.command("restore", "--hold", "--dry-run", env=victim.env)
    assert not victim.is_here() and not victim.journals()
    victim.set.restore(*victim.options(), env=victim.env)
    victim.program.verify()
