# SPDX-License-Identifier: GPL-2.0-only
"""What a test may leave behind on the host, and what a process looks like from outside."""

import array
import ctypes
import os
import re
import signal
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
# Only what hangs takes that long, on a machine however slow.
SECONDS = 180


def become_subreaper():
    """Restored trees, whose criu has exited, and orphans come to us: we can wait for them and see what is left."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def wait_until(condition, what, seconds=SECONDS):
    """Polls until condition() is true; returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.01)


def read(path):
    """A file of /proc; nothing if whose it is ends meanwhile: that can be seen on open (ENOENT) and on read (ESRCH)."""
    try:
        return Path(path).read_text(errors="surrogateescape")
    except OSError:
        return ""


def listed(folder):
    """The names in a folder of /proc; none if whose it is ends meanwhile."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def threads(pid):
    return sorted(map(int, listed(f"/proc/{pid}/task")))


def pids():
    """Everybody's."""
    return sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit())


def stat(pid):
    """Fields of /proc/PID/stat from the third, its state, on; of who is not there only the state, which is then 'X'."""
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split() or ["X"]


def state(pid):
    return stat(pid)[0]


def status(pid, key):
    """The text of a line of /proc/PID/status; nothing of who is not there."""
    return "".join(line.partition(":")[2].strip() for line in read(f"/proc/{pid}/status").splitlines() if line.startswith(f"{key}:"))


def tracer(pid):
    """Who traces it: 0 for nobody, also of who is not there."""
    return int(status(pid, "TracerPid") or 0)


def maps(pid):
    """The lines of /proc/PID/maps."""
    return read(f"/proc/{pid}/maps").splitlines()


def fds(pid):
    """What its descriptors are, by number; one that it closes while we look is none."""
    found = {}
    for fd in listed(f"/proc/{pid}/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            pass
    return found


def guardians(run_dir):
    """Those that hold a journal of this run directory. Of a mount namespace that was made in a chroot the links have longer paths."""
    return [pid for pid in pids() if name(pid) == "criu-guardian" and any(f"{run_dir}/" in link for link in links(pid))]


def children(pid):
    """Direct children of all threads of a process."""
    return [int(word) for tid in threads(pid) for word in read(f"/proc/{pid}/task/{tid}/children").split()]


def tree(pid):
    """The process and everything below it, parents first."""
    found = [pid]
    for child in children(pid):
        found += tree(child)
    return found


def reap():
    """Takes up the children that have ended; their wait statuses by pid."""
    ended = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def is_gone(pid):
    """True once no such process is there; one that has ended and is ours by adoption is taken up."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
    return not os.path.exists(f"/proc/{pid}")


def kill_tree(pid):
    """Ends whoever is there of it; a pid that somebody else has, who is not below us, is left alone."""
    for one in tree(pid):
        if _is_below(one):
            try:
                os.kill(one, signal.SIGKILL)
            except ProcessLookupError:
                pass


def parent(pid):
    """0 for who is not there."""
    return int([*stat(pid), "0"][1])


def _is_below(pid):
    while pid > 1 and pid != os.getpid():
        pid = parent(pid)
    return pid == os.getpid()


def kill_children(keep=()):
    """Kills whatever still runs below us; returns what it was."""
    killed = []
    for _ in range(100):
        left = [pid for child in children(os.getpid()) if child not in keep for pid in tree(child)]
        if not left:
            break
        for pid in left:
            killed.append(f"{pid} ({name(pid)})")
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.01)
        reap()
    return killed


def name(pid):
    return read(f"/proc/{pid}/comm").strip() or "gone"


def links(pid):
    return list(fds(pid).values())


def files_below(folder):
    """Of a folder in which somebody works: what goes away while we look is left out."""
    return [Path(at) / name for at, _, names in os.walk(folder) for name in names]


def own_fds():
    return len(os.listdir("/proc/self/fd"))


def mounts():
    return sorted(line.split(" ", 4)[4] for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines())


# Lines of /proc/PID/status that a dump and a restore must not change.
STATUS = ("Name", "Umask", "Tgid", "NStgid", "Pid", "Uid", "Gid", "Groups", "Threads", "SigQ_", "SigPnd", "ShdPnd", "SigBlk",
          "SigIgn", "SigCgt", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters",
          "THP_enabled", "Cpus_allowed", "VmLck")


def _normal(link):
    """Inode numbers of nameless things are given anew, and names of files that have none any more matter to nobody."""
    if link.endswith(" (deleted)"):
        return "deleted"
    return re.sub(r"^(pipe|socket|/memfd:[^ ]*|anon_inode):.*?(\[\d+\])?$", lambda m: re.sub(r"\d+", "N", m.group(0)), link)


def _task(pid):
    proc = Path(f"/proc/{pid}")
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text(errors="surrogateescape").splitlines() if ":\t" in line)
    facts = {f"status.{k}": status[k].strip() for k in STATUS if k in status}
    stat = (proc / "stat").read_text(errors="surrogateescape").rpartition(")")[2].split()
    facts["pgid"], facts["sid"] = stat[2], stat[3]
    facts["nice"] = stat[16]
    for file in ("cmdline", "limits", "oom_score_adj", "loginuid", "personality", "environ"):
        try:
            facts[file] = (proc / file).read_text(errors="replace")
        except OSError:
            facts[file] = None
    for link in ("cwd", "root", "exe"):
        try:
            facts[link] = os.readlink(proc / link)
        except OSError:
            facts[link] = None
    for fd, what in fds(pid).items():
        facts[f"fd.{fd}"] = _normal(what)
    facts["threads"] = threads(pid)
    return facts


def _maps(pid):
    """Mappings as (range, protection, offset, name); neighbours that differ in nothing are one."""
    lines = []
    for line in Path(f"/proc/{pid}/maps").read_text(errors="surrogateescape").splitlines():
        span, perms, offset, device, _inode, *path = line.split(None, 5)
        start, end = (int(x, 16) for x in span.split("-"))
        path = path[0] if path else ""
        is_file = path.startswith("/")
        key = (perms, device if is_file else "", path)
        if lines and lines[-1][1] == start and lines[-1][3] == key and not is_file:
            lines[-1][1] = end
        else:
            lines.append([start, end, int(offset, 16) if is_file else 0, key])
    return [(f"{a:x}-{b:x}", o, *k) for a, b, o, k in lines]


def snapshot(pid, skip=()):
    """All that is visible from outside of a tree, to be compared before a dump and after a restore."""
    facts = {}
    for task in tree(pid):
        # Of a zombie nobody can see more than its parent does.
        if state(task) in "ZX":
            facts[f"{task}"] = "gone"
            continue
        try:
            for key, value in _task(task).items():
                if key.split(".")[0] not in skip and key not in skip:
                    facts[f"{task}.{key}"] = value
            if "maps" not in skip:
                for span, *rest in _maps(task):
                    facts[f"{task}.map.{span}"] = rest
        except OSError:
            facts[f"{task}"] = "gone"
    return facts


def differences(before, after):
    return [f"{key}: now {after.get(key)!r}, was {before.get(key)!r}"
            for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]


def has_root_mount():
    """Not in a chroot whose folder nothing is mounted on."""
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        return any(line.split()[4] == "/" for line in mounts)


def own_mounts(*options):
    """unshare(1) with a mount namespace from which nothing gets out. Without a root mount there is none that could be taken out of the
    propagation; what is mounted on has to be, and --mount-proc does that."""
    return ["unshare", "--mount", *([] if has_root_mount() else ["--propagation", "unchanged"]), *options]


MADV_COLLAPSE = 25
KPF_THP = 22
HUGE = 2 << 20


class _Mapping:
    """A file, mapped where huge pages can be."""

    def __init__(self, fd, size):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.mmap.restype = ctypes.c_void_p
        self.libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        self.size = size
        room = self.libc.mmap(None, size + HUGE, 0, 0x22, -1, 0)
        self.address = (room + HUGE - 1) // HUGE * HUGE
        self.room = ctypes.c_void_p(room), ctypes.c_size_t(size + HUGE)
        assert self.libc.mmap(self.address, size, 3, 0x11, fd, 0) == self.address, os.strerror(ctypes.get_errno())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.libc.munmap(*self.room)

    def collapse(self):
        return self.libc.madvise(ctypes.c_void_p(self.address), ctypes.c_size_t(self.size), MADV_COLLAPSE) == 0

    def huge_bytes(self):
        for at in range(self.address, self.address + self.size, 4096):
            ctypes.c_char.from_address(at).value  # pylint: disable=expression-not-assigned
        with open("/proc/self/pagemap", "rb", 0) as pagemap, open("/proc/kpageflags", "rb", 0) as kpageflags:
            entries = array.array("Q", os.pread(pagemap.fileno(), self.size // 4096 * 8, self.address // 4096 * 8))
            numbers = [entry & (1 << 55) - 1 for entry in entries if entry >> 63]
            flags = [int.from_bytes(os.pread(kpageflags.fileno(), 8, number * 8), sys.byteorder) for number in numbers]
        return 4096 * sum(flag >> KPF_THP & 1 for flag in flags)


def can_have_huge_files():
    """Does this kernel make huge pages of what is in a file on tmpfs, when asked to?"""
    fd = os.memfd_create("probe")
    try:
        os.truncate(fd, HUGE)
        os.pwrite(fd, b"x", 0)
        with _Mapping(fd, HUGE) as mapping:
            return mapping.collapse()
    finally:
        os.close(fd)


def huge_bytes(path):
    """How much of a file on tmpfs is in huge pages."""
    with open(path, "r+b") as file, _Mapping(file.fileno(), os.stat(path).st_size) as mapping:
        return mapping.huge_bytes()
