# SPDX-License-Identifier: GPL-2.0-only
"""The emulated driver of AMD GPUs (test/plugins/kfd-emu), for the time of a `with`, its log, and programs that use it."""

import contextlib
import errno
import os
import subprocess
from pathlib import Path

import pytest

from lib import host
from lib.plugins import BUILT, MNT_DETACH, Victim, _end, _libc, parse, read_log, select

# The roots of a plugin, as options of it.
ROOTS = {"kfd": "dev/kfd", "dri": "dev/dri", "topology": "topology", "dmabuf": "dev/dmabuf"}


class Emulator:
    """with Emulator(folder, gpus=2, hives="7") as emulator: ... Options as in test/plugins/kfd-emu/README, a value or a list of
    values each. With the same folder, another one can take the place of one that has ended: nodes have the same names."""

    def __init__(self, folder, **options):
        self.root = Path(folder) / "gpu"
        self.options = options
        self.server = None

    def __enter__(self):
        self.root.mkdir(parents=True, exist_ok=True)
        words = [f"--{key.replace('_', '-')}={value}" for key, values in self.options.items()
                 for value in (values if isinstance(values, list) else [values])]
        subprocess.run(["rm", "-rf", self.root / "topology"], check=True)
        self.server = subprocess.Popen([BUILT / "kfd-emu", *words, self.root], stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            host.wait_until(lambda: self.server.poll() is not None or (self.root / "dev/control").exists(), "kfd-emu: mounted")
            assert self.server.poll() is None, f"kfd-emu: ended with {self.server.returncode}"
            self._probe()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _probe(self):
        try:
            os.close(os.open(self.root / "dev/kfd", os.O_RDWR))
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            pytest.skip("this kernel has no FUSE passthrough (CONFIG_FUSE_PASSTHROUGH, Linux 6.9)")
        self.forget()

    def __exit__(self, *_):
        # Who hangs in the device goes on as soon as nobody serves it.
        _libc.umount2(os.fsencode(self.root / "dev"), MNT_DETACH)
        if self.server.poll() is None:
            self.server.kill()
        self.server.wait()

    def roots(self, plugin="amdgpu"):
        """The options of a plugin that say where all is."""
        return [word for key, path in ROOTS.items() for word in ("--plugin-opt", f"{plugin}.{key}={self.root / path}")]

    def ids(self):
        """The real ids of the GPUs, in the order of the topology."""
        paths = sorted((self.root / "topology/nodes").iterdir(), key=lambda path: int(path.name))
        return [number for number in (int((path / "gpu_id").read_text()) for path in paths) if number]

    def command(self, text):
        """See test/plugins/kfd-emu/faults.c."""
        fd = os.open(self.root / "dev/control", os.O_WRONLY)
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
        return select(read_log(self.root / "dev/log"), **wanted)

    def state(self, key=None, **wanted):
        """Lines of state; with key those that begin with it: gpu, file, process, queue, device, bo."""
        lines = (self.root / "dev/state").read_text().splitlines()
        return select([type("Line", (dict,), {"__getattr__": dict.get})(parse(line)) for line in lines
                       if not key or line.startswith(f"{key}=")], **wanted)

    def wrong(self):
        """All that broke a rule."""
        return [entry for entry in self.log() if "wrong" in entry]

    def assert_good(self):
        """No rule was broken, nobody is left paused or evicted, every queue runs."""
        assert not self.wrong(), f"rules of the driver were broken: {self.wrong()}"
        left = [line for line in self.state("process") if line.evicted or line.paused or line.blocked]
        assert not left, f"left paused: {left}"
        stuck = [line for line in self.state("queue") if line.stuck or line.evicted]
        assert not stuck, f"queues do not run: {stuck}"


class Workloads(contextlib.ExitStack):
    """Programs of test/plugins/kfd-programs; what is left of them at the end is killed."""

    def start(self, name, folder, emulator, *args, **kwargs):
        program = Victim(BUILT / name, folder, emulator.root, *args, **kwargs)
        self.callback(_end, program)
        assert program.wait_ready(), program.result()
        return program
