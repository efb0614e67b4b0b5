# SPDX-License-Identifier: GPL-2.0-only
"""Many pipes and socket pairs: how many descriptors and system calls their restore takes, and pairs that cannot be."""

import contextlib
import json
import resource
import subprocess
import sys

import pytest

from lib import host
from lib.criu import TOP

CRIT = TOP / "build/bin/crit"

VICTIM = """
import os, signal, socket, sys
kind, n = sys.argv[1], int(sys.argv[2])
kept = [os.pipe() if kind == "pipe" else socket.socketpair() for i in range(n)]
child = os.fork() if kind == "socket-split" else None
if kind == "socket-split":
    for pair in kept:
        pair[child == 0].close()
open(f"ready-{child == 0}", "w").close()
signal.pause()
"""

LIMITS = (2030, 2030)


def limited():
    resource.setrlimit(resource.RLIMIT_NOFILE, LIMITS)


# What criu is run with; it writes a byte for each call of getsockopt(2).
COUNTER = """
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
int getsockopt(int fd, int level, int name, void *value, unsigned int *size)
{
	int count = open(getenv("COUNT_FILE"), O_WRONLY | O_APPEND | O_CLOEXEC);

	if (count >= 0 && write(count, "x", 1) == 1)
		close(count);
	return (int)syscall(SYS_getsockopt, fd, level, name, value, size);
}
"""


@contextlib.contextmanager
def pairs(kind, n, folder):
    """A process with that many; yields its pid, which is its own after a restore as well."""
    with subprocess.Popen([sys.executable, "-c", VICTIM, kind, str(n)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, cwd=folder, start_new_session=True,
                          preexec_fn=limited) as victim:
        ready = [folder / "ready-False"] + [folder / "ready-True"] * (kind == "socket-split")
        host.wait_until(lambda: all(path.exists() for path in ready) or victim.poll() is not None, "all are open")
        try:
            assert victim.poll() is None
            yield victim.pid
        finally:
            host.kill_tree(victim.pid)
            host.wait_until(lambda: (host.reap(), host.is_gone(victim.pid))[1], "the end of the victim")
    for path in ready:
        path.unlink()


def dump(images, pid):
    images.dump(pid)
    host.wait_until(lambda: (host.reap(), host.is_gone(pid))[1], "the end by the dump")


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_descriptors(kind, images, folder):
    """A limit under which the process could have them is enough for its restore, beside a few descriptors of the tool."""
    with pairs(kind, 1000, folder) as pid:
        before = host.fds(pid)
        dump(images, pid)
        images.restore(preexec_fn=limited)
        assert host.fds(pid).keys() == before.keys() and len(before) >= 2000


def test_more_descriptors_than_there_may_be(images, folder):
    """One end of each is for another process, and lies aside until that has taken it: the limit is named, and nothing is left. The tool
    raises it where it may."""
    with pairs("socket-split", 1000, folder) as pid:
        tree = host.tree(pid)
        assert len(tree) == 2
        dump(images, pid)
        log = images.restore(expect=None, preexec_fn=limited)
        if "Error (" in log:
            assert "ulimit -Hn" in log and all(host.is_gone(task) for task in tree)
            images.restore()
        assert len(host.fds(pid)) >= 1000


def test_calls_for_options(images, folder):
    """Options are asked for once for each type of socket, not of each."""
    (folder / "counter.c").write_text(COUNTER)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "counter.so", folder / "counter.c"], check=True)
    count = folder / "count"
    env = {"LD_PRELOAD": folder / "counter.so", "COUNT_FILE": count}
    counts = []
    for n in (10, 210):
        count.write_text("")
        with pairs("socket", n, folder) as pid:
            dump(images, pid)
            images.restore(env=env)
        counts.append(count.stat().st_size)
    assert 0 < counts[0] <= counts[1] < counts[0] + 200, counts


def test_pair_of_two_types(images, folder):
    with pairs("socket", 1, folder) as pid:
        dump(images, pid)
        path = images.folder / "files.img"
        files = json.loads(subprocess.run([CRIT, "decode", "-i", path], stdout=subprocess.PIPE, check=True).stdout)
        next(entry["usk"] for entry in files["entries"] if "usk" in entry)["type"] = "DGRAM"
        subprocess.run([CRIT, "encode", "-o", path], input=json.dumps(files).encode(), check=True)
        for digests in images.folder.glob("digests-*"):
            digests.unlink()
        log = images.restore(expect=1)
        assert "files.img: unix socket" in log and "that of its peer" in log
        assert host.is_gone(pid)
