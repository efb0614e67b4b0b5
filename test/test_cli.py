# SPDX-License-Identifier: GPL-2.0-only
"""The command line as scripts see it: exit status, what goes to stdout and what to stderr. Values and files of options are
tested in test/unit/cli."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lib.criu import CRIU, TOP, run


@pytest.mark.parametrize("args", [[], ["foo"], ["dump", "more", "-t", "1"], ["dump", "--foo"], ["dump", "-t"], ["-Z"]],
                         ids=lambda args: " ".join(args) or "nothing")
def test_usage(args):
    """What is not understood: usage on stdout, the reason on stderr, 1."""
    done = run(*args)
    assert done.returncode == 1
    assert done.stdout.startswith("\nUsage:\n  criu dump")
    assert done.stderr.startswith("Error (")


@pytest.mark.parametrize("args", [["-h"], ["--help"], ["dump", "--help"], ["--foo", "-h"], ["-h", "foo"]], ids=" ".join)
def test_help(args):
    done = run(*args)
    assert done.returncode == 0 and not done.stderr
    assert "--images-dir" in done.stdout and "Commands:" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if not line.startswith("  criu"))


@pytest.mark.parametrize("args", [["-V"], ["--version"], ["--vers"]], ids=" ".join)
def test_version(args):
    done = run(*args)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Version: 4.2\n", "")


@pytest.mark.parametrize("command", ["exec", "show"])
def test_removed(command):
    done = run(command, "-D", "/tmp")
    assert done.returncode == 255 and not done.stdout and "removed" in done.stderr


@pytest.mark.parametrize("args,text", [
    (["dump", "-t", "0"], "--tree: '0' is not accepted; give the number of a process"),
    (["dump", "-t", "abc"], "--tree: 'abc'"),
    (["dump"], "--tree: not given"),
    (["dump", "-t", "1", "-D", "/nonexistent/dir"], "--images-dir /nonexistent/dir"),
    (["restore", "-D", "/nonexistent/dir"], "--images-dir /nonexistent/dir"),
    (["dump", "-t", "1", "-W", "/nonexistent/dir"], "--work-dir /nonexistent/dir"),
    (["dump", "-t", "1", "-o", "no/such/log"], "--log-file no/such/log"),
    (["restore", "--report", "/nonexistent/report"], "--report /nonexistent/report"),
    (["pre-dump", "-t", "1"], "criu pre-dump: incremental dumps"),
    (["dump", "-t", "1", "--lazy-pages"], "--lazy-pages: lazy migration"),
    (["swrk", "3"], "criu swrk: the RPC service"),
    (["check", "--feature", "foo"], "--feature foo: no such feature"),
    (["check", "--ms"], "--ms: was removed"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_refused(args, text, tmp_path):
    """Refused in one sentence that names what is wrong, without usage, before anything is made."""
    done = run(*args, cwd=tmp_path)
    assert done.returncode == 1 and not done.stdout
    assert text in done.stderr, done.stderr
    assert not os.listdir(tmp_path)


def test_not_ready_touches_nothing(tmp_path):
    victim = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        done = run("dump", "-t", victim.pid, "-D", tmp_path, "--tcp-established")
        assert done.returncode == 1 and not os.listdir(tmp_path)
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


@pytest.mark.parametrize("args", [["dump", "--foo"], ["-Z"], ["dump", "--=x"]], ids=" ".join)
def test_unknown_option(args):
    done = run(*args)
    assert f"{args[-1]}: no such option\n`criu --help' lists all" in done.stderr, done.stderr


@pytest.mark.parametrize("script", ["quickstart", "check"])
def test_scripts_say_that_they_need_root(script, tmp_path):
    """At once, and not by way of what fails without."""
    for path in (*list(tmp_path.parents)[:3], tmp_path):
        if path != Path("/"):
            path.chmod(0o755)
    (tmp_path / "scripts").mkdir()
    shutil.copy(TOP / "scripts" / script, tmp_path / "scripts")
    done = subprocess.run([tmp_path / "scripts" / script], user=65534, group=65534, extra_groups=[], capture_output=True, text=True,
                          check=False, cwd="/")
    assert done.returncode == 1 and not done.stdout and f"{script}: run it as root" in done.stderr
    assert os.listdir(tmp_path) == ["scripts"]


def test_check():
    done = run("check")
    assert (done.returncode, done.stdout) == (0, "Looks good.\n"), done.stderr


@pytest.mark.parametrize("args", [["check"], ["check", "--feature", "mnt_id"], ["--help"], ["--version"]], ids=" ".join)
def test_full_output(args):
    """An answer that does not reach whoever asked is a failure."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([CRIU, *args], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "stdout: write: No space left on device" in done.stderr


@pytest.mark.parametrize("level", ["-v4", "-v9", "-vvvvvvv", "--verbosity=5"])
def test_everything_is_logged(level):
    """Levels above the highest are the highest."""
    done = run("check", level)
    assert done.returncode == 0, done.stderr


def test_check_log(tmp_path):
    """The log of a check is a file where one is named, in the work directory."""
    done = run("check", "-v4", "-W", tmp_path, "-o", "log")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Looks good.\n", "")
    assert "criu: version" in (tmp_path / "log").read_text()
    done = run("check", "-W", tmp_path / "missing")
    assert done.returncode == 1 and not done.stdout and "--work-dir" in done.stderr


def test_check_feature():
    done = run("check", "--feature", "mnt_id")
    assert (done.returncode, done.stdout) == (0, "mnt_id is supported\n"), done.stderr


def test_check_all():
    done = run("check", "--all")
    if done.returncode == 0:
        assert done.stdout == "Looks good.\n"
    else:
        assert done.stdout.startswith("Looks good but some kernel features are missing")
        assert done.stderr.count("Error (") > 0


def test_configuration_file(tmp_path):
    """Read before the command line, and named with its line where it is wrong."""
    config = tmp_path / "criu.conf"
    config.write_text("# ours\nimages-dir /nonexistent/configured\n")
    done = run("restore", "--config", config)
    assert "--images-dir /nonexistent/configured" in done.stderr
    done = run("restore", "--config", config, "-D", "/nonexistent/given")
    assert "--images-dir /nonexistent/given" in done.stderr
    config.write_text("shell-job\nno-such-thing\n")
    done = run("restore", env={"CRIU_CONFIG_FILE": str(config)})
    assert done.returncode == 1 and f"{config}: line 2" in done.stderr


def test_configuration_file_that_is_none(tmp_path):
    """One that was named and is not there is no error (scripts count on it), but one is told; one that is no text is refused."""
    for options, env in (["--config", "nowhere"], {}), ([], {"CRIU_CONFIG_FILE": "nowhere"}):
        done = run("check", *options, env=env, cwd=tmp_path)
        assert done.returncode == 0 and "Warn" in done.stderr and "nowhere: there is no such configuration file" in done.stderr
    assert not run("check", env={"HOME": str(tmp_path)}).stderr
    (tmp_path / "image").write_bytes(b"\0shell-job\n")
    done = run("check", "--config", tmp_path / "image")
    assert done.returncode == 1 and "image: is no configuration file" in done.stderr
    done = run("check", "--config", tmp_path)
    assert done.returncode == 1 and "Is a directory" in done.stderr
    (tmp_path / "secret").write_text("shell-job\n")
    (tmp_path / "secret").chmod(0)
    if not os.access(tmp_path / "secret", os.R_OK):
        assert "Permission denied" in run("check", "--config", tmp_path / "secret").stderr


def test_home_configuration_file(tmp_path):
    (tmp_path / ".criu").mkdir()
    (tmp_path / ".criu/default.conf").write_text("images-dir /nonexistent/home\n")
    env = {"HOME": str(tmp_path)}
    assert "/nonexistent/home" in run("restore", env=env).stderr
    assert "/nonexistent/home" not in run("restore", "--no-default-config", "-D", "/nonexistent/x", env=env).stderr
    assert "/nonexistent/home" not in run("restore", "--config", "/nonexistent/c", "-D", "/nonexistent/x", env=env).stderr


def test_manual_and_completion():
    """Every option that works is in the manual and in the completion, and nothing else."""
    names = subprocess.run([TOP / "build/list-options", "names"], capture_output=True, text=True, check=True).stdout
    manual = (TOP / "build/doc/criu.8").read_text()
    completion = (TOP / "build/doc/criu.bash").read_text()
    helped = run("--help").stdout
    assert len(names.splitlines()) > 80
    for line in names.splitlines():
        name, short, is_ready, _no_form = line.split("\t")
        in_manual = "\\fB\\-\\-" + name.replace("-", "\\-") + "\\fR" in manual.split(".SH OPTIONS")[1].split(".SH CONFIG")[0]
        assert in_manual == (is_ready == "1"), name
        assert (f"--{name} " in completion) == (is_ready == "1"), name
        assert any(f"--{name}" in line.replace("[", " ").split() for line in helped.splitlines()) == (is_ready == "1"), name
        if short != "-" and is_ready == "1":
            assert f"\\fB\\-{short}\\fR" in manual, name
    done = subprocess.run(["man", "-l", "--warnings", "-Tutf8", TOP / "build/doc/criu.8"], capture_output=True, text=True,
                          check=False) if os.path.exists("/usr/bin/man") else None
    if done:
        assert done.returncode == 0 and not done.stderr
