# SPDX-License-Identifier: GPL-2.0-only
"""The conformance kit of plugins (test/plugins): the fake device, its victims, criu with plugins, and the logs of both. All that is
started ends with its `with`."""

import contextlib
import ctypes
import fcntl
import os
import struct
import subprocess
from pathlib import Path

from lib import host
from lib.criu import TOP
from lib.program import Program

BUILT = TOP / "build/test/plugins"

# --plugin-timeout for a call that hangs, in seconds: the calls before it must not take as long on a machine that has other things to do.
OVERRUN = 3
OVERRUN_SAID = f"is not done after {OVERRUN}000 ms"

CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x4000, 1 << 18, 2
_libc = ctypes.CDLL(None, use_errno=True)


def private_mounts():
    """Whoever calls this has mounts of its own from now on: what is mounted is gone with it, whatever happens."""
    if _libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNS)")
    # In a chroot there is no mount at / to take out of the propagation.
    _libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None)


def parse(line):
    """'key=value key=value' as a dictionary; what looks like a number is one."""
    fields = {}
    for word in line.split():
        key, _, value = word.partition("=")
        fields[key] = int(value) if value.lstrip("-").isdigit() else value
    return fields


class Entry(dict):
    """A line of a log: entry.op and entry["op"] are the same; what is not there is None."""

    def __getattr__(self, key):
        return self.get(key)


def read_log(path):
    """A log of a recording plugin (or of the device) as a list of entries, in the order of its lines."""
    try:
        text = Path(path).read_text(errors="replace")
    except FileNotFoundError:
        return []
    return [Entry(parse(line)) for line in text.splitlines()]


def select(entries, **wanted):
    """Those entries whose fields are as wanted; a wanted value may be a collection: any of it."""
    def fits(entry):
        return all(entry.get(key) in value if isinstance(value, (tuple, list, set)) else entry.get(key) == value
                   for key, value in wanted.items())
    return [entry for entry in entries if fits(entry)]


def calls(path, plugin=None, event="enter", **wanted):
    """The calls that plugins got, in order: by default one entry a call (its beginning)."""
    if plugin:
        wanted["plugin"] = plugin
    return select(read_log(path), event=event, **wanted)


# ---- logs that a check must not accept ----

def refused(check, *args):
    """What is broken is seen."""
    try:
        check(*args)
    except AssertionError:
        return
    raise AssertionError(f"{check.__name__} does not see what is broken")


def moved(log, is_it, to):
    """The log with the entries that is_it() names before index `to` of the others."""
    rest = [entry for entry in log if not is_it(entry)]
    return rest[:to] + [entry for entry in log if is_it(entry)] + rest[to:]


def without(log, is_it):
    return [entry for entry in log if not is_it(entry)]


def changed(log, is_it, **fields):
    return [Entry({**entry, **fields}) if is_it(entry) else entry for entry in log]


def places(log, **wanted):
    """Where in the log such entries are."""
    return [i for i, entry in enumerate(log) if select([entry], **wanted)]


# ioctls of test/plugins/fakedev/fakedev.h, for tests of the device itself.
def _number(direction, number, size):
    return direction << 30 | size << 16 | 0xfa << 8 | number


READ, WRITE = 2, 1
REGS = _number(READ | WRITE, 1, 16)
BUFFER = _number(READ | WRITE, 2, 16)
RUN = _number(WRITE, 3, 4)
EXPORT = _number(READ, 4, 4)
IMPORT = _number(WRITE, 5, 4)
INFO = _number(READ, 6, 40)
LOCK, UNLOCK, PAUSE, UNPAUSE, RESUME = (_number(WRITE, n, 8) for n in range(16, 21))
CHECKPOINT = _number(READ | WRITE, 24, 64)
RESTORE = _number(READ | WRITE, 25, 64)


class FakeDevice:
    """The fake device, mounted at FOLDER/fakedev, for the time of a `with`."""

    def __init__(self, folder, name="fakedev"):
        self.path = Path(folder) / name
        self.server = None

    def __enter__(self):
        self.path.mkdir(parents=True, exist_ok=True)
        self.server = subprocess.Popen([BUILT / "fakedev", self.path], stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            host.wait_until(lambda: self.server.poll() is not None or (self.path / "control").exists(), "fake device: mounted")
            assert self.server.poll() is None, f"fake device: ended with {self.server.returncode}"
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # Who hangs in the device goes on as soon as nobody serves it.
        _libc.umount2(os.fsencode(self.path), MNT_DETACH)
        if self.server.poll() is None:
            self.server.kill()
        self.server.wait()
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def command(self, text):
        """See test/plugins/fakedev/commands.c."""
        fd = os.open(self.path / "control", os.O_WRONLY)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def fault(self, op, kind, **more):
        self.command(f"fault {op} {kind} " + " ".join(f"{key}={value}" for key, value in more.items()))

    def clear(self):
        self.command("clear")

    def forget(self):
        self.command("forget")

    def log(self, **wanted):
        return select(read_log(self.path / "log"), **wanted)

    def state(self):
        """A first entry with counts, then handles, then processes that are not in their usual state."""
        return read_log(self.path / "state")

    def handles(self):
        return [entry for entry in self.state() if "handle" in entry]

    def wrong(self):
        """All that broke a rule of the device."""
        return [entry for entry in self.log() if "wrong" in entry]

    def quiet(self):
        """Processes that are locked or paused, and handles that are halted."""
        return [entry for entry in self.state() if "process" in entry or "halted" in str(entry.get("state")).split(",")]

    def assert_good(self):
        """No rule was broken, nobody is left locked, paused or halted."""
        assert not self.wrong(), f"rules of the device were broken: {self.wrong()}"
        assert not self.quiet(), f"left quiet: {self.quiet()}"

    def process(self, what, pid, owner=0):
        """LOCK, UNLOCK, PAUSE, UNPAUSE or RESUME of a process."""
        fd = os.open(self.path / "control", os.O_RDWR)
        try:
            fcntl.ioctl(fd, what, struct.pack("II", pid, owner))
        finally:
            os.close(fd)


class Victim(Program):
    """A program of test/plugins/programs, with all tasks that it had when it was ready."""

    def wait_ready(self):
        ready = super().wait_ready()
        self.pids = host.tree(self.pid)
        return ready

    def wait_gone(self):
        """Waits until a dump has ended all of them, and nothing is left of them; then it may be restored."""
        status = super().wait_gone()
        for pid in self.pids[1:]:
            host.wait_until(lambda pid=pid: host.is_gone(pid), f"pid {pid}: end")
        self.forget_end()
        return status


class Victims(contextlib.ExitStack):
    """Programs of test/plugins/programs; what is left of them at the end is killed."""

    def start(self, name, folder, *args, **kwargs):
        program = Victim(BUILT / name, folder, *args, **kwargs)
        self.callback(_end, program)
        assert program.wait_ready(), program.result()
        return program


def _end(program):
    """The tree, be it the one that was started or a restored one with its pids."""
    host.kill_tree(program.pid)
    host.reap()
    if program.process.returncode is None:
        program.process.returncode = 0


class Plugins:
    """A plugin directory with some of the kit's plugins, their common log, and the options for criu.

    recorder = Plugins(folder, device, "recorder", "other")
    images.dump(pid, *recorder.options(fail="dump_file:1:error"), env=recorder.env)
    recorder.calls(hook="dump_file")"""

    def __init__(self, folder, device, *names, **options):
        self.folder = Path(folder) / "plugins"
        self.log = Path(folder) / "plugins.log"
        self.device = device
        self.standing = options
        self.folder.mkdir(exist_ok=True)
        self.use(*names)
        # Plugins of v0.2 have no options.
        self.env = {"CRIU_V02_LOG": str(self.log), "CRIU_V02_DEVICE": str(device.path) if device else ""}

    def use(self, *names):
        """Exactly these are loaded from now on. "10-other=other": by another file name."""
        for path in self.folder.iterdir():
            path.unlink()
        for name in names:
            as_, _, of = name.partition("=")
            (self.folder / f"{as_}.so").symlink_to(BUILT / f"{of or as_}.so")
        self.names = {(name.partition("=")[2] or name).split("-")[0] for name in names}
        return self

    def options(self, **values):
        """-L and --plugin-opt; mapping_fd="no" sets recorder.mapping-fd, and other__fail="..." other.fail."""
        words = ["-L", self.folder]
        for plugin in sorted(self.names & {"recorder", "other", "rival"}):
            words += ["--plugin-opt", f"{plugin}.log={self.log}"]
            if self.device:
                words += ["--plugin-opt", f"{plugin}.device={self.device.path}"]
        for key, value in {**self.standing, **values}.items():
            plugin, _, option = key.rpartition("__")
            words += ["--plugin-opt", f"{plugin or 'recorder'}.{option.replace('_', '-')}={value}"]
        return words

    def calls(self, plugin=None, event="enter", **wanted):
        return calls(self.log, plugin, event, **wanted)

    def forget(self):
        self.log.unlink(missing_ok=True)
