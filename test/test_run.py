# SPDX-License-Identifier: GPL-2.0-only
"""What dump and restore do around the tree: log, pidfile, report, action scripts, how the tree goes on, who is its parent."""

import ctypes
import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from lib import host
from lib.criu import CRIU, LIMIT, TOP, run
from lib.program import BUILT, COUNTER, Program

CRIT = TOP / "build/bin/crit"
PR_CAPBSET_DROP, CAP_SYS_ADMIN = 24, 21


def crit(*args, data=None):
    return subprocess.run([CRIT, *args], input=data, stdout=subprocess.PIPE, check=True).stdout


def dumped(program, images, *options, **kwargs):
    images.dump(program.pid, *options, **kwargs)
    program.wait_gone()
    program.forget_end()


def test_log(counter, images):
    """Mode 0600, begun anew, with times and one line a message."""
    log = images.work / "dump.log"
    log.write_text("old\n")
    images.dump(counter.pid, "-R")
    text = log.read_text()
    assert "old\n" not in text and text.startswith("(00.")
    images.work.joinpath("x").mkdir()
    images.dump(counter.pid, "-R", "-o", "new.log")
    assert stat.S_IMODE((images.work / "new.log").stat().st_mode) == 0o600
    counter.verify()


def test_pidfile(counter, images):
    dumped(counter, images)
    pidfile = images.work / "pid"
    pidfile.write_text("mine")
    log = images.restore("--pidfile", "pid", expect=1)
    assert "--pidfile pid" in log and pidfile.read_text() == "mine"
    assert host.name(counter.pid) == "gone"
    pidfile.unlink()
    images.restore("--pidfile", "pid")
    assert pidfile.read_text() == str(counter.pid)
    assert stat.S_IMODE(pidfile.stat().st_mode) == 0o600
    counter.verify()


def test_pidfile_goes_with_a_failure(counter, images):
    """The pid is taken: what the restore had made is taken back."""
    images.dump(counter.pid, "-R")
    log = images.restore("--pidfile", "pid", expect=1)
    assert str(counter.pid) in log
    assert not (images.work / "pid").exists()
    counter.verify()


def test_leave_stopped(counter, images):
    images.dump(counter.pid, "--leave-stopped")
    host.wait_until(lambda: host.state(counter.pid) == "T", "it stops when it gets a CPU")
    os.kill(counter.pid, signal.SIGKILL)
    counter.wait_gone()
    counter.forget_end()
    images.restore("--leave-stopped")
    host.wait_until(lambda: host.state(counter.pid) == "T", "it stops when it gets a CPU")
    os.kill(counter.pid, signal.SIGCONT)
    counter.verify()


def command(images, *options):
    return [CRIU, "restore", "-D", str(images.folder), "-W", str(images.work), "-v4", "-o", "restore.log", *options]


def test_wait_for_the_tree(counter, images):
    """Without -d criu is the parent, waits, and succeeds whatever the tree exits with."""
    dumped(counter, images)
    with subprocess.Popen(command(images), stdin=subprocess.DEVNULL) as criu:
        host.wait_until(lambda: host.name(counter.pid) != "gone" and host.state(counter.pid) in "SR", "restore")
        host.wait_until(lambda: host.parent(counter.pid) == criu.pid, "criu as parent")
        (counter.folder / "trigger").touch()
        assert criu.wait(LIMIT) == 0
    assert counter.result() == "PASS"
    assert host.name(counter.pid) == "gone"


def test_exec_cmd(counter, images):
    """The command takes criu's place and is the parent."""
    dumped(counter, images)
    program = f"""
import os, sys
os.system("touch {counter.folder}/trigger")
pid, status = os.wait()
sys.exit(7 if (pid, status) == ({counter.pid}, 0) else 8)
"""
    with subprocess.Popen(command(images, "--exec-cmd", "--", "/usr/bin/python3", "-c", program), stdin=subprocess.DEVNULL) as criu:
        assert criu.wait(LIMIT) == 7
    assert counter.result() == "PASS"


def test_sibling(counter, images):
    """With -S the tree's parent is criu's parent."""
    dumped(counter, images)
    script = f'"$@"; echo $? > {images.work}/status; cut -d" " -f4 /proc/{counter.pid}/stat > {images.work}/parent; echo $$ > {images.work}/shell; wait'
    with subprocess.Popen(["/bin/sh", "-c", script, "sh", *command(images, "-d", "-S")], stdin=subprocess.DEVNULL) as shell:
        host.wait_until((images.work / "shell").exists, "end of the restore")
        assert (images.work / "status").read_text() == "0\n", (images.work / "restore.log").read_text()
        assert (images.work / "parent").read_text() == f"{shell.pid}\n"
        (counter.folder / "trigger").touch()
        host.wait_until(lambda: counter.result() == "PASS", "verdict")
        shell.wait(LIMIT)


def test_inherit_fd_debug(counter, images):
    dumped(counter, images)
    read, write = os.pipe()
    images.restore("--inherit-fd", f"debug[{write}]:restored here", pass_fds=[write])
    os.close(write)
    assert os.read(read, 100) == b"restored here"
    os.close(read)
    counter.verify()


def test_report(counter, images):
    """The same facts as the log, for programs; of success and of failure."""
    report = images.work / "report.json"
    images.dump(counter.pid, "-R", "--report", report)
    facts = json.loads(report.read_text())
    assert facts["command"] == "dump" and facts["exit_code"] == 0
    images.restore("--report", report, expect=1)
    facts = json.loads(report.read_text())
    assert facts["exit_code"] == 1 and str(counter.pid) in json.dumps(facts)
    counter.verify()


def test_dry_run(counter, images):
    """Nothing is written, stopped or made."""
    images.dump(counter.pid, "--dry-run")
    assert not list(images.folder.iterdir())
    assert host.state(counter.pid) in "SRD"
    dumped(counter, images)
    images.restore("--dry-run")
    assert host.name(counter.pid) == "gone"
    images.restore()
    counter.verify()


def test_action_scripts(counter, images):
    """Called in order, the one given last first, with what they need in their environment."""
    calls = images.work / "calls"
    for name in ("one", "two"):
        script = images.work / name
        script.write_text(f"#!/bin/sh\necho {name} $CRTOOLS_SCRIPT_ACTION ${{CRTOOLS_INIT_PID:-none}} $# >> {calls}\n"
                          "test -d $CRTOOLS_IMAGE_DIR\n")
        script.chmod(0o755)
    options = ["--action-script", images.work / "one", "--action-script", images.work / "two"]
    dumped(counter, images, *options)
    seen = [line.split() for line in calls.read_text().splitlines()]
    assert [line[:2] for line in seen] == [[name, action] for action in ("pre-dump", "post-dump") for name in ("two", "one")]
    assert all(line[2:] == [str(counter.pid), "0"] for line in seen)
    calls.unlink()
    images.restore(*options)
    seen = [line.split()[:2] for line in calls.read_text().splitlines()]
    assert seen == [[name, action] for action in ("pre-restore", "post-restore", "pre-resume", "post-resume") for name in ("two", "one")]
    counter.verify()


def test_programs_have_the_limits_of_the_caller(counter, images):
    """The tool has more descriptors for itself, not for scripts and the command."""
    seen, script = images.work / "seen", images.work / "script"
    script.write_text(f"#!/bin/sh\necho $(ulimit -Sn) $(ulimit -Hn) >> {seen}\n")
    script.chmod(0o755)
    shell, hard = 'ulimit -Sn 1000; exec "$@"', resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    common = ["-D", images.folder, "-W", images.work, "-v4", "--action-script", script]
    dump = [CRIU, "dump", "-t", str(counter.pid), "-o", "dump.log", *common]
    subprocess.run(["/bin/sh", "-c", shell, "sh", *dump], check=True, stdin=subprocess.DEVNULL, timeout=LIMIT)
    counter.wait_gone()
    counter.forget_end()
    restore = [CRIU, "restore", "-o", "restore.log", *common, "--exec-cmd", "--", script]
    subprocess.run(["/bin/sh", "-c", shell, "sh", *restore], check=True, stdin=subprocess.DEVNULL, timeout=LIMIT)
    # Two of the dump, four of the restore, and the command.
    assert seen.read_text() == f"1000 {hard}\n" * 7
    counter.verify()


def test_post_dump_script_fails(counter, images):
    """Its exit status is criu's, and the tree goes on."""
    script = images.work / "script"
    script.write_text('#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" != post-dump ] || exit 42\n')
    script.chmod(0o755)
    images.dump(counter.pid, "--action-script", script, expect=42)
    counter.verify()


def test_pre_dump_script_fails(counter, images):
    script = images.work / "script"
    script.write_text("#!/bin/sh\nexit 42\n")
    script.chmod(0o755)
    images.dump(counter.pid, "--action-script", script, expect=1)
    assert not (images.folder / "inventory.img").exists()
    counter.verify()


def test_stats(counter, images):
    text = images.dump(counter.pid, "-R", "--display-stats")
    assert "pages" in text.lower()
    assert (images.work / "stats-dump").stat().st_size > 8
    counter.verify()
    counter.forget_end()
    images.restore("--display-stats")
    assert (images.work / "stats-restore").stat().st_size > 8
    counter.verify()


def plain(*args, **kwargs):
    """criu with its log on stderr, as somebody at a terminal runs it."""
    return subprocess.run([CRIU, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          env={**os.environ, "HOME": "/nonexistent"}, **kwargs)


@pytest.mark.parametrize("args", [("dump", "-t", "4194303"), ("restore",), ("dump", "-t", "4194303", "-W", "nowhere")])
def test_error_is_said_once(args, images):
    done = plain(*args, "-D", images.folder)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert "Error (" in lines[0] and lines[-1] == f"criu: {args[0]} failed", done.stderr
    said = lines[0].partition("): ")[2]
    assert done.stderr.count(said) == 1, done.stderr
    done = plain(*args, "-D", images.folder, "-o", "log")
    assert done.stderr.count(said) == 1 and len(done.stderr.splitlines()) <= 3, done.stderr


def test_standard_descriptors_closed(counter, images):
    """What is opened does not take their place: nothing is written where it does not belong."""
    def close():
        os.closerange(0, 3)

    for command in (["dump", "-t", str(counter.pid)], ["restore", "-d"], ["check"]):
        done = subprocess.run([CRIU, *command, "-v4", *(["-D", images.folder] if command != ["check"] else [])], check=False,
                              close_fds=True, preexec_fn=close)
        assert done.returncode == 0, command
        if command[0] == "dump":
            counter.wait_gone()
            counter.forget_end()
    counter.verify()


def test_log_that_cannot_be_written(counter, images):
    """It is no reason to fail, but one hears of it."""
    done = plain("dump", "-t", counter.pid, "-D", images.folder, "-W", images.work, "-R", "-v4", "-o", "/dev/full")
    assert done.returncode == 0 and "the log has gaps" in done.stderr
    done = plain("dump", "-t", counter.pid, "-D", images.folder, "-W", images.work, "-R", "-v4", "-o", "nowhere/log")
    assert done.returncode == 1 and "--log-file nowhere/log" in done.stderr
    counter.verify()


def test_statistics_that_cannot_be_written(counter, images):
    """The tree is killed and its images are complete: that is a success."""
    (images.work / "stats-dump").mkdir()
    log = images.dump(counter.pid)
    assert "Warn" in log and "stats-dump" in log
    counter.wait_gone()
    counter.forget_end()
    (images.work / "stats-restore").mkdir()
    log = images.restore()
    assert "Warn" in log and "stats-restore" in log
    counter.verify()


def test_semaphores_that_are_not_told(images, folder, tidy):
    """Linux before 6.5 does not say which eventfds count as semaphores."""
    program = Program(BUILT / "eventfd-counter", folder / "program")
    assert program.wait_ready()
    is_told = run("check", "--feature", "fdinfo_eventfd_semaphore").returncode == 0
    log = images.dump(program.pid, "--leave-running")
    assert log.count("restored as plain counters") == (0 if is_told else 1)
    program.verify()


def test_without_time_namespaces(images, folder, tidy):
    """Who may make none restores with the clocks of the machine, and a warning."""
    def drop():
        assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) == 0

    program = Program(COUNTER, folder / "program", preexec_fn=drop)
    assert program.wait_ready()
    images.dump(program.pid)
    program.wait_gone()
    program.forget_end()
    assert "clocks: no time namespace can be made" in images.restore(preexec_fn=drop)
    program.verify()


def test_odd_names(folder, tidy):
    """Names need not be UTF-8, may have line ends and lie deep."""
    odd = os.fsencode(folder) + b"/" + b"/".join([b"d" * 250] * 12) + b"/\xff\n \\x"
    os.makedirs(odd)
    program, images = odd + b"/\xfecounter \n", odd + b"/images"
    shutil.copy(COUNTER, program)
    os.mkdir(images)
    victim = Program(os.fsdecode(program), os.fsdecode(odd + b"/folder"))
    assert victim.wait_ready()
    before = host.snapshot(victim.pid)
    done = subprocess.run([CRIU, "dump", "-t", str(victim.pid), "-D", images, "-o", b"\xfflog", "--report", b"\xffreport"],
                          capture_output=True, check=False, cwd=images)
    assert done.returncode == 0, done.stderr
    json.loads(Path(os.fsdecode(images + b"/\xffreport")).read_text())
    victim.wait_gone()
    victim.forget_end()
    done = subprocess.run([CRIU, "restore", "-d", "-D", images, "-o", b"\xfflog"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not host.differences(before, host.snapshot(victim.pid))
    victim.verify()


def test_few_descriptors(counter, images):
    """The tool raises its own limit as far as it may; where that is not enough it says so."""
    def few(n):
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    images.dump(counter.pid, preexec_fn=few(20))
    counter.wait_gone()
    counter.forget_end()
    log = images.restore(preexec_fn=few(7), expect=None)
    if host.name(counter.pid) == "gone":
        assert "Too many open files" in log
        images.restore(preexec_fn=few(20))
    counter.verify()


def test_images_without_limits(counter, images):
    """Such tasks have the limits that criu was started with, not those that it gives itself."""
    dumped(counter, images)
    image = images.folder / f"core-{counter.pid}.img"
    core = json.loads(crit("decode", "-i", image))
    assert len(core["entries"][0]["tc"].pop("rlimits")["rlimits"]) == 16
    crit("encode", "-o", image, data=json.dumps(core).encode())
    for path in images.folder.glob("digests-*"):
        path.unlink()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    images.restore(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard)))
    assert re.search(rf"^Max open files +1000 +{hard} ", Path(f"/proc/{counter.pid}/limits").read_text(), re.M)
    counter.verify()


def test_cpu_image(counter, images):
    """--cpu-cap notes what the CPU can do, and restore compares before anything exists."""
    dumped(counter, images, "--cpu-cap")
    image = images.folder / "cpuinfo.img"
    entry = json.loads(crit("decode", "-i", image))["entries"][0]["x86_entry"][0]
    assert entry["capability_ver"] == 2 and len(entry["capability"]) == 19
    assert entry["model_id"] in Path("/proc/cpuinfo").read_text()
    kept = image.read_bytes()

    other = json.loads(crit("decode", "-i", image))
    other["entries"][0]["x86_entry"][0]["stepping"] += 1
    crit("encode", "-o", image, data=json.dumps(other).encode())
    assert "cpuinfo.img: another CPU" in images.restore("--cpu-cap=cpu", expect=1)
    other["entries"][0]["x86_entry"][0]["capability"][0] |= 1 << 31 | 1 << 30
    other["entries"][0]["x86_entry"][0]["capability"][1] |= 1 << 31
    crit("encode", "-o", image, data=json.dumps(other).encode())
    assert "field capability: had" in images.restore("--cpu-cap=ins", expect=1)
    image.unlink()
    assert "cpuinfo.img" in images.restore("--cpu-cap", expect=1)
    assert not host.children(os.getpid())

    image.write_bytes(kept)
    images.restore("--cpu-cap")
    counter.verify()


def test_without_cpu_image(counter, images):
    dumped(counter, images, "--cpu-cap=none")
    assert not (images.folder / "cpuinfo.img").exists()
    images.restore("--cpu-cap=none")
    counter.verify()


def test_images_on_tmpfs(images, folder, tidy):
    """There pages files get huge pages as far as they fill them; where there is no room for all of one, the dump fails as ever."""
    program = Program(BUILT / "mem-private", folder / "program")
    assert program.wait_ready()
    size = 0
    for mib in (1, 3, 4, 5, 512):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", images.folder], check=True)
        try:
            log = images.dump(program.pid, "-R", expect=None)
            if mib < 512:
                assert "No space left" in log and not list(images.folder.glob("*.img"))
                continue
            pages = images.folder / "pages-1.img"
            size = pages.stat().st_size
            assert size > 2 * host.HUGE and pages.stat().st_blocks * 512 == size
            # All of it, unless making them takes long.
            assert not host.can_have_huge_files() or host.huge_bytes(pages) >= host.HUGE
            host.kill_tree(program.pid)
            program.wait_gone()
            program.forget_end()
            images.restore()
        finally:
            subprocess.run(["umount", images.folder], check=True)
    assert size
    program.verify()
