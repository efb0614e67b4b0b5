# SPDX-License-Identifier: GPL-2.0-only
"""Every option with every command that lists it: it does what it says (TESTED names the test that shows it), or is refused in one
sentence before anything is touched. Values and sources of options are tested in test/unit/cli."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from lib import host
from lib.criu import CRIU, TOP, run
from lib.program import BUILT, COUNTER, Program

CRIT = TOP / "build/bin/crit"

# ---- the tables ----

READY_COMMANDS = ["dump", "restore", "release", "check", "recover", "plugin"]


def commands_of():
    """The commands that work, and how the macros of the commands column are spelt out."""
    text = (TOP / "criu/cli/commands.def").read_text()
    rows = re.findall(r'^COMMAND\((\w+), "([^"]+)", (\w+),', text, re.M)
    bits = {f"CMD_{word}": 1 << i for i, (word, _, _) in enumerate(rows)}
    bits["CMD_ALL"] = (1 << len(rows)) - 1
    for name, value in re.findall(r"#define (CMD_\w+)\s+\(([^()]*)\)$", (TOP / "criu/cli/commands.h").read_text(), re.M):
        bits[name] = eval(value, {}, bits)  # pylint: disable=eval-used
    ready = {name: bits[f"CMD_{word}"] for word, name, is_ready in rows if is_ready == "READY" and name not in ("exec", "show")}
    return ready, bits


COMMANDS, BITS = commands_of()
DEF = (TOP / "criu/cli/options.def").read_text()
AREAS = {word: text.replace('\\"', '"') for word, text in re.findall(r'^AREA\((\w+), "(.*)"\)$', DEF, re.M)}
# Name, letter, argument, mask of commands, READY or the area.
OPTIONS = [(name, letter.strip("'"), argument, eval(mask, {}, BITS), ready)  # pylint: disable=eval-used
           for name, letter, argument, mask, ready in
           re.findall(r'^OPTION\(\w+, "([^"]+)", (\'.\'|0), \w+, "([^"]*)", ([^,]+), (\w+),', DEF, re.M)]

EACH = READY_COMMANDS
TESTED = {
    "help": {"each": "test_cli.test_help"},
    "version": {"each": "test_cli.test_version"},
    "tree": {"dump": "test_refused.test_no_such_pid", "release": "test_hold.test_two_trees"},
    "images-dir": {"dump": "test_cli.test_refused", "restore": "test_cli.test_refused", "each": "test_options.test_log"},
    "work-dir": {"each": "test_options.test_log"},
    "log-file": {"each": "test_options.test_log"},
    "verbosity": {"each": "test_options.test_log"},
    "close": {"each": "test_options.test_close"},
    "config": {"each": "test_options.test_config"},
    "no-default-config": {"each": "test_options.test_config"},
    "deprecated": {"each": "test_options.test_deprecated"},
    "unprivileged": {"dump": "test_options.test_unprivileged", "restore": "test_options.test_unprivileged",
                     "check": "test_options.test_unprivileged_check"},
    "leave-running": {"dump": "test_run.test_stats"},
    "leave-stopped": {"each": "test_run.test_leave_stopped"},
    "restore-detached": {"restore": "test_options.test_detached"},
    "daemon": {"restore": "test_options.test_detached"},
    "restore-sibling": {"restore": "test_run.test_sibling"},
    "exec-cmd": {"restore": "test_run.test_exec_cmd"},
    "pidfile": {"restore": "test_run.test_pidfile"},
    "dry-run": {"each": "test_run.test_dry_run"},
    "log-pid": {"restore": "test_options.test_log_pid"},
    "report": {"each": "test_run.test_report"},
    "display-stats": {"each": "test_run.test_stats"},
    "timeout": {"dump": "test_options.test_timeout"},
    "freeze-cgroup": {"dump": "test_options.test_freeze_cgroup"},
    "action-script": {"each": "test_run.test_action_scripts"},
    "hold": {"restore": "test_hold.test_hold_and_release"},
    "shell-job": {"each": "test_terminal.test_without_shell_job"},
    "external": {"dump": "test_options.test_external_file", "restore": "test_options.test_matches_nothing_on_restore"},
    "inherit-fd": {"restore": "test_options.test_external_file"},
    "file-locks": {"each": "cr/lock-kinds.c"},
    "link-remap": {"dump": "cr/reg-link-remap.c"},
    "ghost-limit": {"dump": "cr/reg-ghost-refused.c"},
    "ghost-fiemap": {"dump": "test_options.test_ghost_fiemap"},
    "force-irmap": {"dump": "test_options.test_irmap"},
    "irmap-scan-path": {"dump": "test_options.test_irmap"},
    "evasive-devices": {"dump": "cr/device-evasive.c"},
    "file-validation": {"each": "test_options.test_file_validation"},
    "skip-file-rwx-check": {"restore": "test_options.test_skip_file_rwx_check"},
    "network-lock": {"dump": "test_options.test_network_lock"},
    "allow-uprobes": {"each": "test_options.test_allow_uprobes"},
    "manage-cgroups": {"each": "test_options.test_manage_cgroups"},
    "cpu-cap": {"each": "test_run.test_cpu_image"},
    "libdir": {"each": "test_options.test_libdir"},
    "plugin-opt": {"each": "test_options.test_plugin_opt"},
    "plugin-timeout": {"dump": "test_amdgpu_faults", "restore": "test_amdgpu_faults", "plugin": "test_options.test_plugin_timeout"},
    "feature": {"check": "test_cli.test_check_feature"},
    "extra": {"check": "test_options.test_check_categories"},
    "experimental": {"check": "test_options.test_check_categories"},
    "all": {"check": "test_options.test_check_categories"},
}


def test_every_option_is_classified():
    """Each pair that works has a test, and there are no others."""
    assert sorted(COMMANDS) == sorted(READY_COMMANDS) and len(OPTIONS) == DEF.count("\nOPTION(")
    ready = {name: [command for command, bit in COMMANDS.items() if mask & bit] for name, _, _, mask, word in OPTIONS if word == "READY"}
    assert sorted(TESTED) == sorted(ready)
    for name, commands in ready.items():
        row = TESTED[name]
        assert set(row) <= {*commands, "each"}, name
        for command in commands:
            where = row.get(command) or row.get("each")
            assert where, f"--{name}, criu {command}: nothing shows what it does"
            file, _, function = where.partition(".") if not where.endswith(".c") else (where, "", "")
            path = TOP / "test" / (file if file.endswith(".c") else f"{file}.py")
            assert path.exists(), where
            assert not function or re.search(rf"^def {function}\(", path.read_text(), re.M), where


ARGUMENTS = {"PID": "1", "FD": "0", "PORT": "1024", "IN=OUT": "a=b", "KEY:VALUE": "a:b", "NS:{PID|FILE}[,EXTRA]": "net:1",
             "TYPE:NAME": "apparmor:a", "[CTRL:]/PATH": "/a", "NS": "net", "MODE": "read"}
REFUSED = [(command, name, argument, word) for name, _, argument, mask, word in OPTIONS if word != "READY"
           for command, bit in COMMANDS.items() if mask & bit]


@pytest.mark.parametrize("command,name,argument,area", REFUSED, ids=lambda value: str(value).replace("/", "_"))
def test_refused(command, name, argument, area, tmp_path):
    """What comes later is refused by name, before anything is made."""
    word = f"--{name}" if not argument or name == "ext-unix-sk" else f"--{name}={ARGUMENTS.get(argument, 'a')}"
    if name == "pre-dump-mode":
        pytest.skip("of no command that works")
    done = run(command, word, *(["-t", 4194303] if command == "dump" else []), cwd=tmp_path)
    assert done.returncode == 1 and not done.stdout
    assert f"--{name}: {AREAS[area]}" in done.stderr, done.stderr
    assert not os.listdir(tmp_path)


def test_without_effect():
    """An option that its command does not have is warned of."""
    values = {"PID": "1", "FILE": "f", "SECONDS": "5", "SIZE": "1M", "METHOD": None}
    for name, _, argument, mask, _ in OPTIONS:
        if mask & COMMANDS["check"] or (argument and argument not in values):
            continue
        value = values.get(argument) or {"file-validation": "filesize", "network-lock": "none"}.get(name)
        done = run("check", f"--{name}={value}" if value else f"--{name}")
        assert done.returncode == 0 and f"--{name}: has no effect on criu check" in done.stderr, done.stderr


# ---- all commands ----

CALLS = {"dump": ["dump", "-t", "4194303"], "restore": ["restore"], "release": ["release", "-t", "4194303"], "check": ["check"],
         "recover": ["recover"], "plugin": ["plugin", "list"]}
each_command = pytest.mark.parametrize("command", READY_COMMANDS)


@pytest.fixture(name="env")
def _env(tmp_path):
    """A run directory of our own: what others hold or have left is not shown."""
    (tmp_path / "run").mkdir(mode=0o700)
    return {"CRIU_RUN_DIR": str(tmp_path / "run")}


@each_command
def test_log(command, tmp_path, env):
    """Work directory, log and level: of whichever command."""
    call = CALLS[command]
    (tmp_path / "work").mkdir()
    (tmp_path / "images").mkdir()
    with_images = ["-D", tmp_path / "images"]
    done = run(*call, *with_images, "-W", tmp_path / "work", "-v4", "-o", "log", env=env, cwd=tmp_path)
    text = (tmp_path / "work/log").read_text()
    assert "criu: version" in text and "Error (" not in done.stderr, done.stderr
    done = run(*call, *with_images, "-v1", "-o", "log", env=env, cwd=tmp_path)
    assert "criu: version" not in (tmp_path / "images/log").read_text()
    done = run(*call, *with_images, "-W", "missing", env=env, cwd=tmp_path)
    assert done.returncode == 1 and "--work-dir missing: open the directory" in done.stderr and not done.stdout
    assert "make it first" in done.stderr
    done = run(*call, "-D", "missing", env=env, cwd=tmp_path)
    assert done.returncode == 1 and "--images-dir missing: open the directory" in done.stderr and not done.stdout
    done = run(*call, *with_images, "-o", "no/log", env=env, cwd=tmp_path)
    assert done.returncode == 1 and "--log-file no/log" in done.stderr and not done.stdout


@each_command
def test_close(command, tmp_path, env):
    """A standard descriptor that is closed is nobody else's: neither is it heard, nor written into a file."""
    (tmp_path / "images").mkdir()
    read, write = os.pipe()
    call = [*CALLS[command], "-D", tmp_path / "images", "-v4"]
    report = ["--report", tmp_path / "report"] if command in ("dump", "restore") else []
    done = subprocess.run([CRIU, *call, *report, "--close", "2", "--close", "1", "--close", "1"], env={**os.environ, **env}, check=False,
                          stdin=subprocess.DEVNULL, stdout=write, stderr=write)
    os.close(write)
    assert os.read(read, 4096) == b""
    os.close(read)
    assert done.returncode == (1 if command in ("dump", "restore", "release") else 0)
    if report:
        assert json.loads((tmp_path / "report").read_text())["exit_code"] == 1
    done = run(*CALLS[command], "--close", "99", env=env)
    assert done.returncode == 1 and "--close: '99': Bad file descriptor" in done.stderr


def test_close_another(tmp_path):
    """A descriptor that the caller left open is closed before scripts are started."""
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\nreadlink /proc/$PPID/fd/* > {tmp_path}/open\nexit 1\n")
    script.chmod(0o755)
    victim = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        with open(tmp_path / "ours", "w", encoding="ascii") as ours:
            for options in ([], ["--close", ours.fileno()]):
                run("dump", "-t", victim.pid, "-D", tmp_path, "--action-script", script, *options, pass_fds=[ours.fileno()])
                assert (f"{tmp_path}/ours" in (tmp_path / "open").read_text()) == (not options)
    finally:
        victim.kill()
        victim.wait()


@each_command
def test_config(command, tmp_path, env):
    """Configuration files are those of all commands."""
    (tmp_path / ".criu").mkdir()
    (tmp_path / ".criu/default.conf").write_text("images-dir /nonexistent/home")
    (tmp_path / "conf").write_text("images-dir /nonexistent/conf\n")
    env = {**env, "HOME": str(tmp_path)}
    for options, folder in ([], "home"), (["--no-default-config", "-W", "/nonexistent/given"], "given"), (["--config", "conf"], "conf"):
        done = run(*CALLS[command], *options, env=env, cwd=tmp_path)
        assert done.returncode == 1 and f"/nonexistent/{folder}" in done.stderr, done.stderr
        assert folder == "home" or "/nonexistent/home" not in done.stderr


@each_command
def test_deprecated(command, env, tmp_path):
    """Nothing is, which one is told at the level of information."""
    assert "--deprecated: nothing is" in run(*CALLS[command], "--deprecated", "-v3", env=env, cwd=tmp_path).stderr
    assert "--deprecated" not in run(*CALLS[command], "--deprecated", env=env, cwd=tmp_path).stderr


# ---- dump and restore ----

@pytest.fixture
def gone(images, counter):
    """The images of a counter that was dumped and ended."""
    images.dump(counter.pid)
    counter.wait_gone()
    counter.forget_end()
    return counter


def decode(path):
    return json.loads(subprocess.run([CRIT, "decode", "-i", path], stdout=subprocess.PIPE, check=True).stdout)


def encode(path, text):
    """An image with other contents, which are nobody's but ours: there is no digest of them."""
    for digest in path.parent.glob("digests-*"):
        digest.unlink()
    subprocess.run([CRIT, "encode", "-o", path], input=json.dumps(text).encode(), check=True)


def warned(log, text):
    return any("Warn" in line and text in line for line in log.splitlines())


def test_unprivileged(images, counter):
    """Control groups are left out, as a user can neither read nor change all of them."""
    images.dump(counter.pid, "-R", "--unprivileged")
    core = images.folder / f"core-{counter.pid}.img"
    assert "cg_set" not in decode(core)["entries"][0]["thread_core"]
    images.dump(counter.pid)
    counter.wait_gone()
    counter.forget_end()
    text = decode(core)
    text["entries"][0]["thread_core"]["cg_set"] = 7
    encode(core, text)
    assert "control group of its own" in images.restore(expect=1)
    images.restore("--unprivileged")
    counter.verify()


def test_unprivileged_check(tmp_path):
    """Who says that he has no privileges need not be told so."""
    criu = shutil.copy(CRIU, tmp_path)
    for path in (*list(tmp_path.parents)[:3], tmp_path):
        if path != Path("/"):
            path.chmod(0o755)
    for options in ([], ["--unprivileged"]):
        done = subprocess.run([criu, "check", *options], user=65534, group=65534, extra_groups=[], capture_output=True, text=True,
                              check=False, env={**os.environ, "HOME": "/nonexistent"}, cwd="/")
        assert ("not run by root" in done.stderr) == (not options), done.stderr


def test_images_removed_meanwhile(images, counter, folder):
    """Images that nobody could find are none: the tree goes on."""
    script = folder / "script"
    script.write_text(f'#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" != pre-dump ] || rmdir {images.folder}\n')
    script.chmod(0o755)
    log = images.dump(counter.pid, "--action-script", script, expect=1)
    assert "create: No such file or directory" in log, log
    counter.verify()


def test_no_room_for_the_pid(images, gone, folder):
    """Known before anything is restored."""
    full = folder / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", full], check=True)
    try:
        (full / "other").write_bytes(b"x" * 4096)
        log = images.restore("--pidfile", full / "pid", expect=1)
        assert f"--pidfile {full}/pid: make room for the pid: No space left" in log, log
        assert host.name(gone.pid) == "gone" and not (full / "pid").exists()
        (full / "other").unlink()
        images.restore("--pidfile", full / "pid")
        assert (full / "pid").read_text() == str(gone.pid)
    finally:
        subprocess.run(["umount", full], check=True)
    gone.verify()


@pytest.mark.parametrize("name", ["./script", "nowhere"])
def test_script_that_is_not_there(name, images, counter, folder):
    """Relative paths are a trap: the work directory is where the tool is by then."""
    (folder / "script").write_text("#!/bin/sh\n")
    (folder / "script").chmod(0o755)
    log = images.dump(counter.pid, "--action-script", name, expect=1, cwd=folder)
    assert f"script {name}: start: No such file" in log and "from the work directory" in log, log
    counter.verify()


@pytest.mark.parametrize("option", ["--restore-detached", "--daemon"])
def test_detached(option, images, gone):
    images.command("restore", option)
    assert host.name(gone.pid) == COUNTER.name
    gone.verify()


def test_exec_cmd_that_is_not_there(images, gone, folder):
    """Known before anything is restored."""
    (folder / "text").write_text("no program")
    for name in ("no-such-program", folder / "text", folder):
        log = images.command("restore", "--exec-cmd", "--", name, expect=1)
        assert f"--exec-cmd {name}: there is no such program" in log and host.name(gone.pid) == "gone", log
    images.restore()
    gone.verify()


def test_log_pid(images, gone):
    images.restore("--log-pid")
    assert (images.work / f"restore.log.{gone.pid}").exists()
    gone.verify()


def test_log_pid_without_log(images, gone):
    done = run("restore", "-d", "-D", images.folder, "--log-pid")
    assert done.returncode == 0 and warned(done.stderr, "--log-pid: has no effect without --log-file")
    gone.verify()


def test_timeout(images, folder):
    """A process that cannot be stopped: it waits for a child that shares its memory, which waits for a fifo."""
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    code = f"import os; os.posix_spawn('/bin/true', ['true'], {{}}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, '{fifo}', os.O_RDONLY, 0)])"
    victim = subprocess.Popen(["/usr/bin/python3", "-c", code], start_new_session=True)
    try:
        host.wait_until(lambda: host.children(victim.pid), "the child")
        log = images.dump(victim.pid, "--timeout", 1, expect=1)
        assert "within 1 s" in log and not list(images.folder.iterdir()), log
    finally:
        with open(fifo, "w", encoding="ascii"):
            pass
        assert victim.wait(60) == 0


FREEZER = Path("/sys/fs/cgroup/freezer")


@pytest.fixture
def cgroup():
    path = FREEZER / f"criu-options-{os.getpid()}"
    try:
        path.mkdir()
        (path / "freezer.state").read_text()
    except OSError as e:
        pytest.skip(f"no freezer hierarchy: {e}")
    yield path
    path.rmdir()


def test_freeze_cgroup(cgroup, images, counter):
    """The tasks are stopped by it; of a group that they are not in one is told."""
    assert warned(images.dump(counter.pid, "-R", "--freeze-cgroup", cgroup), "which is not in it")
    (cgroup / "cgroup.procs").write_text(str(counter.pid))
    trace = images.work / "trace"
    subprocess.run(["strace", "-f", "-qq", "-e", "trace=write", "-o", trace, CRIU, "dump", "-R", "-t", str(counter.pid), "-D", images.folder,
                    "--freeze-cgroup", cgroup, "--manage-cgroups=none"], check=True, stdin=subprocess.DEVNULL)
    assert '"FROZEN"' in trace.read_text()
    assert (cgroup / "freezer.state").read_text() == "THAWED\n"
    counter.verify()


def test_manage_cgroups(cgroup, images, counter):
    """Other groups than the tool's are left out, or refused."""
    (cgroup / "cgroup.procs").write_text(str(counter.pid))
    assert "--manage-cgroups=none" in images.dump(counter.pid, "--manage-cgroups=soft", expect=1)
    images.dump(counter.pid, "--manage-cgroups=none")
    counter.wait_gone()
    counter.forget_end()
    core = images.folder / f"core-{counter.pid}.img"
    text = decode(core)
    text["entries"][0]["thread_core"]["cg_set"] = 7
    encode(core, text)
    assert "--manage-cgroups=none" in images.restore("--manage-cgroups", expect=1)
    images.restore("--manage-cgroups=ignore")
    assert cgroup.name not in Path(f"/proc/{counter.pid}/cgroup").read_text()
    counter.verify()


@pytest.mark.parametrize("command", ["dump", "restore"])
@pytest.mark.parametrize("mode", ["props", "full", "strict"])
def test_manage_cgroups_refused(mode, command, tmp_path):
    done = run(*CALLS[command], "-D", tmp_path, f"--manage-cgroups={mode}")
    assert done.returncode == 1 and AREAS["CGROUPS"] in done.stderr and "give none, soft or ignore" in done.stderr


@pytest.fixture
def sleeper(folder, images):
    """sleep(1) whose standard input is a file, or what else a test gives it."""
    started = []

    def start(stdin):
        process = subprocess.Popen(["sleep", "1000"], stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   cwd=folder, start_new_session=True)
        host.wait_until(lambda: host.name(process.pid) == "sleep", "sleep")
        started.append(process)
        return process

    yield start
    for process in started:
        os.kill(process.pid, signal.SIGKILL)
        os.waitpid(process.pid, 0)
        process.returncode = 0


def ended(process):
    assert os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1]) == -signal.SIGKILL


def test_external_file(sleeper, images, folder):
    """A file that is somebody else's is not looked for, but given."""
    (folder / "theirs").write_text("theirs")
    (folder / "given").write_text("given")
    with open(folder / "theirs", encoding="ascii") as theirs:
        victim = sleeper(theirs)
    mount = re.search(r"mnt_id:\s*(\d+)", Path(f"/proc/{victim.pid}/fdinfo/0").read_text()).group(1)
    key = f"file[{int(mount):x}:{(folder / 'theirs').stat().st_ino:x}]"
    log = images.dump(victim.pid, "--external", key)
    assert not warned(log, "--external"), log
    ended(victim)
    (folder / "theirs").unlink()
    assert f"--inherit-fd 'fd[N]:{key}'" in images.restore(expect=1)
    with open(folder / "given", encoding="ascii") as given:
        log = images.restore("--inherit-fd", f"fd[{given.fileno()}]:{key}", pass_fds=[given.fileno()])
    assert not warned(log, "--inherit-fd"), log
    assert os.readlink(f"/proc/{victim.pid}/fd/0") == str(folder / "given")


def test_external_terminal(sleeper, images):
    """The same with the slave end of a terminal."""
    master, slave = pty.openpty()
    other_master, other = pty.openpty()
    try:
        victim = sleeper(slave)
        st = os.fstat(slave)
        key = f"tty[{st.st_rdev:x}:{st.st_dev:x}]"
        assert f"--external {key}" in images.dump(victim.pid, expect=1)
        log = images.dump(victim.pid, "--external", key)
        assert not warned(log, "--external"), log
        ended(victim)
        log = images.restore("--inherit-fd", f"fd[{other}]:{key}", pass_fds=[other])
        assert not warned(log, "--inherit-fd"), log
        assert os.readlink(f"/proc/{victim.pid}/fd/0") == os.ttyname(other)
    finally:
        for fd in (master, slave, other_master, other):
            os.close(fd)


def test_inherited_pipe(sleeper, images):
    """A pipe whose other end is outside."""
    read, write = os.pipe()
    other_read, other_write = os.pipe()
    try:
        victim = sleeper(read)
        key = f"pipe:[{os.fstat(read).st_ino}]"
        images.dump(victim.pid)
        ended(victim)
        log = images.restore("--inherit-fd", f"fd[{other_read}]:{key}", pass_fds=[other_read])
        assert not warned(log, "--inherit-fd"), log
        assert os.readlink(f"/proc/{victim.pid}/fd/0") == f"pipe:[{os.fstat(other_read).st_ino}]"
    finally:
        for fd in (read, write, other_read, other_write):
            os.close(fd)


@pytest.mark.parametrize("options", [["-R"], ["--dry-run"]], ids=" ".join)
def test_matches_nothing(options, images, counter):
    """What names nothing is tolerated, as CRIU 4.2 does, but one is told."""
    log = images.dump(counter.pid, *options, "--external", "file[zz]:x", "--external", "tty[1:2]", "--irmap-scan-path", "/nonexistent")
    assert warned(log, "--external file[zz]:x: no open file") and warned(log, "--external tty[1:2]: no open file")
    assert warned(log, "--irmap-scan-path /nonexistent: cannot be looked through: No such file")
    counter.verify()


@pytest.mark.parametrize("option", [[], ["--dry-run"]], ids=" ".join)
def test_matches_nothing_on_restore(option, images, gone):
    log = images.restore("--inherit-fd", "fd[0]:pipe:[1]", "--external", "file[1:2]", *option)
    assert warned(log, "--inherit-fd fd[0]:pipe:[1]: no file of the images") and warned(log, "--external file[1:2]: has no effect")
    if option:
        images.restore()
    gone.verify()


@pytest.mark.parametrize("options,text", [
    (["--inherit-fd", "fd[0]:socket:[5]"], "--inherit-fd fd[0]:socket:[5]: sockets and memory files cannot"),
    (["--inherit-fd", "fd[0]:/memfd:x"], "--inherit-fd fd[0]:/memfd:x: sockets and memory files cannot"),
    (["--inherit-fd", "fd[0]:a", "--inherit-fd", "fd[1]:a"], "--inherit-fd fd[1]:a: fd[0] was given for it already"),
    (["--external", "mnt[a]:b"], "--external mnt[a]:b: dumping and restoring namespaces"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_inherit_refused(options, text, tmp_path):
    done = run("restore", "-D", tmp_path, *options)
    assert done.returncode == 1 and text in done.stderr, done.stderr


def test_irmap(images, folder):
    """The names of what is watched are looked for in folders, those given first."""
    program = Program(BUILT / "inotify-watches", folder / "program")
    assert program.wait_ready()
    text = "by looking through folders"
    assert text not in images.dump(program.pid, "-R")
    assert text in images.dump(program.pid, "--force-irmap", "--irmap-scan-path", program.folder)
    program.wait_gone()
    program.forget_end()
    images.restore()
    program.verify()


def test_ghost_fiemap(images, folder):
    """Holes are asked of the file system in one way or the other."""
    program = Program(BUILT / "reg-ghost", folder / "program")
    assert program.wait_ready()
    for option in ("--ghost-fiemap", "--no-ghost-fiemap"):
        trace = folder / "trace"
        word = [option] if option.startswith("--no") else []
        subprocess.run(["strace", "-f", "-qq", "-e", "trace=ioctl", "-o", trace, CRIU, "dump", "-R", "-t", str(program.pid), "-D",
                        images.folder, *word], check=True, stdin=subprocess.DEVNULL)
        assert ("FS_IOC_FIEMAP" in trace.read_text()) == (not word)
        assert list(images.folder.glob("ghost-file-*"))
    images.dump(program.pid, "--no-ghost-fiemap")
    program.wait_gone()
    program.forget_end()
    images.restore()
    program.verify()


@pytest.fixture
def copied(folder, images):
    """A counter whose program is ours to change."""
    path = folder / "counter"
    shutil.copy(COUNTER, path)
    program = Program(path, folder / "program")
    assert program.wait_ready()
    program.path = path
    return program


def change_build(path):
    """The same program, of the same size, but for the number that tells builds apart."""
    data = path.read_bytes()
    note = data.index(b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0") + 16
    path.unlink()
    path.write_bytes(data[:note] + bytes([data[note] ^ 1]) + data[note + 1:])
    path.chmod(0o755)


def build_ids(images):
    return [e for e in decode(images.folder / "files.img")["entries"] if e.get("reg", {}).get("build_id")]


def test_file_validation(images, copied):
    """By size, a new build is taken for the same, and a dump need not read the number."""
    images.dump(copied.pid, "-R", "--file-validation", "filesize")
    assert not build_ids(images)
    images.dump(copied.pid)
    assert build_ids(images)
    copied.wait_gone()
    copied.forget_end()
    change_build(copied.path)
    assert "another build" in images.restore(expect=1)
    images.restore("--file-validation", "filesize")
    copied.verify()


def test_skip_file_rwx_check(images, copied):
    images.dump(copied.pid)
    copied.wait_gone()
    copied.forget_end()
    copied.path.chmod(0o700)
    assert str(copied.path) in images.restore(expect=1)
    images.restore("--skip-file-rwx-check")
    copied.verify()


def test_network_lock(images, counter):
    """It is noted in the images, and a restore goes by them."""
    methods = set()
    for method in ("iptables", "nftables", "skip"):
        images.dump(counter.pid, "-R", "--network-lock", method)
        methods.add(decode(images.folder / "inventory.img")["entries"][0]["network_lock_method"])
    assert len(methods) == 3
    images.dump(counter.pid)
    counter.wait_gone()
    counter.forget_end()
    assert warned(images.restore("--network-lock", "skip"), "--network-lock: has no effect on criu restore")
    counter.verify()


@pytest.fixture
def uprobe(folder, copied):
    """A probe in the program's loop: the kernel maps a page of its own into who comes by."""
    trace = folder / "trace"
    trace.mkdir()
    if subprocess.run(["mount", "-t", "tracefs", "none", trace], check=False, capture_output=True).returncode:
        copied.verify()
        pytest.skip("no tracefs")

    def event(text):
        """Not by open(): it seeks, which the kernel does not want here."""
        fd = os.open(trace / "uprobe_events", os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    name = "criu_options_" + re.sub(r"\W", "_", folder.name)
    is_made = False
    try:
        # An instruction that the kernel does not emulate, but runs in its area.
        code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "--disassemble=crtest_path", copied.path], capture_output=True,
                              text=True, check=True).stdout
        offset = int(re.search(r"^ *(\w+):\s+(?:lea|mov)\b", code, re.M).group(1), 16)
        try:
            event(f"p:{name} {copied.path}:{offset:#x}\n")
            is_made = True
        except OSError as e:
            copied.verify()
            pytest.skip(f"no uprobes: {e}")
        (trace / f"events/uprobes/{name}/enable").write_text("1")
        host.wait_until(lambda: "[uprobes]" in Path(f"/proc/{copied.pid}/maps").read_text(), "the area")
        yield copied
    finally:
        if is_made:
            (trace / f"events/uprobes/{name}/enable").write_text("0")
            event(f"-:{name}\n")
        subprocess.run(["umount", trace], check=True)


def test_allow_uprobes(uprobe, images):
    assert "has uprobes" in images.dump(uprobe.pid, expect=1)
    images.dump(uprobe.pid, "--allow-uprobes")
    uprobe.wait_gone()
    uprobe.forget_end()
    assert "--allow-uprobes" in images.restore(expect=1)
    images.restore("--allow-uprobes")
    host.wait_until(lambda: "[uprobes]" in Path(f"/proc/{uprobe.pid}/maps").read_text(), "the area")
    uprobe.verify()


@pytest.mark.parametrize("command", ["dump", "restore", "plugin"])
def test_libdir(command, images, counter):
    """A directory that was named must be there."""
    images.dump(counter.pid)
    counter.wait_gone()
    counter.forget_end()
    if command == "dump":
        images.restore()
    call = ["dump", "-t", counter.pid] if command == "dump" else CALLS[command]
    done = run(*call, "-D", images.folder, "-L", images.folder / "none")
    assert done.returncode == 1 and f"{images.folder}/none: read the directory of the plugins" in done.stderr
    if command != "dump":
        images.restore()
    counter.verify()


@pytest.mark.parametrize("command", ["dump", "restore", "plugin"])
def test_plugin_opt(command, images, counter):
    """Of a plugin that is not there: somebody counts on it."""
    images.dump(counter.pid)
    counter.wait_gone()
    counter.forget_end()
    if command == "dump":
        images.restore()
    call = ["dump", "-t", counter.pid] if command == "dump" else CALLS[command]
    for option in ("none.key=value", "none.key"):
        done = run(*call, "-D", images.folder, "-L", images.folder, "--plugin-opt", option)
        assert done.returncode == 1 and f"--plugin-opt {option}: no plugin of this name" in done.stderr, done.stderr
    if command != "dump":
        images.restore()
    counter.verify()


def test_plugin_timeout():
    done = run("plugin", "list", "-L", TOP / "build/lib/criu", "--plugin-timeout", 17)
    assert done.returncode == 0 and "each call may take 17 s" in done.stdout


@pytest.mark.parametrize("words", [["list", "x"], ["explain", "x"], ["check", "x", "y"], ["frob"], []], ids=" ".join)
def test_plugin_words(words):
    done = run("plugin", *words)
    assert done.returncode == 1 and "Error (" in done.stderr and (not words or f"'{words[-1]}'" in done.stderr or words == ["frob"])


def test_check_categories():
    """--extra and --experimental each add their features, --all both."""
    rows = re.findall(r'^FEATURE\(\w+, "([^"]+)", ([123]),', (TOP / "criu/kernel/features.def").read_text(), re.M)
    assert {category for _, category in rows} == {"1", "2", "3"}
    missing = {"2": set(), "3": set()}
    for name, category in rows:
        if category != "1" and run("check", "--feature", name).returncode:
            missing[category].add(name)
    for options, expected in ([], set()), (["--extra"], missing["2"]), (["--experimental"], missing["3"]), \
            (["--all"], missing["2"] | missing["3"]):
        done = run("check", *options)
        assert {line.split(": ")[1] for line in done.stderr.splitlines() if "Error (" in line} == expected, done.stderr
        assert done.returncode == (1 if expected else 0)
    assert warned(run("check", "--extra", "--feature", "mnt_id").stderr, "--extra")
