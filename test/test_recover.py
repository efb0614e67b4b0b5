# SPDX-License-Identifier: GPL-2.0-only
"""criu recover and pid namespaces: numbers of processes in a journal mean nothing in another one, so that it is left alone there,
and said where it can be undone. (What it undoes: test_kill.py, test_plugins_dump.py.)"""

import os
import re
import shutil
import signal
import subprocess

import pytest

from lib import host
from lib.criu import CRIU, LIMIT, Images, run
from lib.program import BUILT, Program
from lib.victim import Victim

# The first process of a pid namespace: a program, a dump of it that stops on its way, and a wait.
# Field 22 of proc_pid_stat(5), which host.stat() counts from the third on.
START_TIME = 19
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


def stopped(images, env, step, command, *options):
    """The tool, stopped where that step begins."""
    tool = subprocess.Popen([CRIU, command, "-D", images.folder, "-W", images.work, "-v4", "-o", f"{command}.log", *map(str, options)],
                            env={**os.environ, "HOME": "/nonexistent", **env, "CRIU_FAIL_STEP": f"{step}:stop"},
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        host.wait_until(lambda: host.state(tool.pid) == "T" or tool.poll() is not None, f"{step}: the tool stops")
        assert tool.returncode is None, (images.work / f"{command}.log").read_text()
    except BaseException:
        tool.kill()
        tool.wait()
        raise
    return tool


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
    tool = stopped(images, victim.env, "memory", "dump", "-t", victim.pid, *victim.options("-R"))
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


def images_only(folder):
    """Without a work directory of its own, the tool works in the image directory."""
    images = Images(folder / "images")
    images.work.rmdir()
    images.work = images.folder
    return images


def taken_away(images, fate):
    """What somebody does with the images of a run that was killed."""
    if fate == "gone":
        shutil.rmtree(images.folder)
        return
    images.folder.rename(images.folder.with_name("images.away"))
    if fate == "replaced":
        images.folder.mkdir()


def brought_back(images, fate):
    if fate == "replaced":
        images.folder.rmdir()
    images.folder.with_name("images.away").rename(images.folder)


def recovered(env, run_dir):
    done = run("recover", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not journals(run_dir)
    return done.stdout + done.stderr


@pytest.mark.parametrize("fate", ["moved", "replaced", "gone"])
def test_dump_without_its_images(fate, folder, run_dir, tidy):
    """The temporary names of --link-remap are in the program's folder."""
    program, images, env = Program(BUILT / "reg-link-remap", folder / "program"), images_only(folder), {"CRIU_RUN_DIR": str(run_dir)}
    assert program.wait_ready()
    before = sorted(host.files_below(program.folder))
    tool = stopped(images, env, "memory", "dump", "-t", program.pid, "--link-remap", "-R")
    assert list(program.folder.glob("link_remap.*"))
    strike(tool.pid, run_dir)
    tool.wait(LIMIT)
    taken_away(images, fate)
    recovered(env, run_dir)
    assert sorted(host.files_below(program.folder)) == before
    program.verify()


@pytest.mark.parametrize("is_replaced", [False, True], ids=["moved", "replaced"])
def test_dump_whose_names_moved(is_replaced, folder, run_dir, tidy):
    """A folder that was moved itself cannot be told from one that was removed: what was left in it is named."""
    program, images, env = Program(BUILT / "reg-link-remap", folder / "program"), Images(folder / "images"), {"CRIU_RUN_DIR": str(run_dir)}
    assert program.wait_ready()
    tool = stopped(images, env, "memory", "dump", "-t", program.pid, "--link-remap", "-R")
    strike(tool.pid, run_dir)
    tool.wait(LIMIT)
    away = program.folder.rename(folder / "away")
    if is_replaced:
        program.folder.mkdir()
    told = recovered(env, run_dir)
    left = list(away.glob("link_remap.*"))
    assert left
    for path in left:
        assert re.search(rf"Warn .*undo: remove\S* {program.folder} \S+ {path.name}.*: its directory is not there", told), told
        path.unlink()
    if is_replaced:
        program.folder.rmdir()
    away.rename(program.folder)
    program.verify()


@pytest.mark.parametrize("fate", ["moved", "replaced"])
def test_restore_without_its_images(fate, folder, run_dir, tidy):
    """What is made for removed files, and the folders that they were in, are in the program's folder, too."""
    program, images, env = Program(BUILT / "reg-ghost", folder / "program"), images_only(folder), {"CRIU_RUN_DIR": str(run_dir)}
    assert program.wait_ready()
    images.dump(program.pid, env=env)
    program.wait_gone()
    program.forget_end()
    before = sorted(host.files_below(program.folder))
    tool = stopped(images, env, "memory", "restore", "-d")
    tree = host.tree(program.pid)
    assert list(program.folder.glob("ghost.cr.*.ghost"))
    strike(tool.pid, run_dir)
    tool.wait(LIMIT)
    taken_away(images, fate)
    recovered(env, run_dir)
    for pid in tree:
        host.wait_until(lambda pid=pid: host.is_gone(pid), f"pid {pid}: end")
    assert sorted(host.files_below(program.folder)) == before
    brought_back(images, fate)
    images.restore(env=env)
    program.verify()


@pytest.fixture
def plain(folder, run_dir, tidy):
    """Dumped: its restore makes nothing that it would record before it makes tasks."""
    program, images = Program(BUILT / "counter-plain", folder / "program"), Images(folder / "images")
    assert program.wait_ready()
    images.dump(program.pid, env={"CRIU_RUN_DIR": str(run_dir)})
    program.wait_gone()
    program.forget_end()
    program.images, program.env = images, {"CRIU_RUN_DIR": str(run_dir)}
    return program


def test_journal_of_a_plain_restore(plain, run_dir):
    """It names the tree, with the start time that it has for others: its own clocks are in a time namespace."""
    tool = stopped(plain.images, plain.env, "groups", "restore", "-d")
    [name] = journals(run_dir)
    assert name.startswith(f"{tool.pid}-")
    if os.path.exists("/proc/self/ns/time"):
        assert os.readlink(f"/proc/{plain.pid}/ns/time") != os.readlink("/proc/self/ns/time")
    start = host.stat(plain.pid)[START_TIME]
    assert f"kill-tree\0{plain.pid}\0{start}\0".encode() in (run_dir / name).read_bytes()
    strike(tool.pid, run_dir)
    tool.wait(LIMIT)
    assert f"kill-tree {plain.pid} " in recovered(plain.env, run_dir)
    host.wait_until(lambda: host.is_gone(plain.pid), "the end of what was restored")
    plain.images.restore(env=plain.env)
    plain.verify()


def test_journal_is_named_before_tasks_are(plain, run_dir):
    """A run directory that takes no name any more is met by the tool, not by a task that it has forked."""
    tool = stopped(plain.images, plain.env, "fork", "restore", "-d")
    assert not journals(run_dir)
    run_dir.rmdir()
    tool.send_signal(signal.SIGCONT)
    assert tool.wait(LIMIT) == 1
    # What a task says has its number before it.
    lines = (plain.images.work / "restore.log").read_text().splitlines()
    [told] = [line for line in lines if "Error (" in line]
    assert re.match(r"\([0-9.]+\) Error \(.*: undo journal: name ", told), told
    assert not any(f") {plain.pid}: " in line for line in lines)
    run_dir.mkdir(mode=0o700)
    plain.images.restore(env=plain.env)
    plain.verify()
