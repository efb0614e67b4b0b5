# SPDX-License-Identifier: GPL-2.0-only
"""Images that CRIU 4.2 wrote (shared/golden beside the checkout, or $CRIU_GOLDEN): they restore, and what is dumped of the restored
trees at once has the same fields with the same values. The programs live under /opt/criu-golden: a tmpfs of the test's own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lib.criu import CRIU, TOP

GOLDEN = Path(os.environ.get("CRIU_GOLDEN", TOP.parent / "shared/golden"))
PLACE = Path("/opt/criu-golden")
ROUND = ["counter", "threads", "tree", "memory", "fds", "signals", "creds"]
ONCE = ["chain", "predump", "uids", "tty"]

pytestmark = pytest.mark.skipif(not (GOLDEN / "check.sh").exists(), reason=f"{GOLDEN}: no golden images here")

# Between golden's restore and its check, the tree is dumped once more, so that what was restored can be compared.
WRAPPER = """#!/bin/sh
"{criu}" "$@" || exit
[ "$1" = restore ] && [ -d "{out}" ] && [ ! -e "{out}/inventory.img" ] || exit 0
exec "{criu}" dump -t {pid} -D "{out}" -W "{out}" -v4 -o dump.log --leave-running {options}
"""

# Numbers that name something: they may be others, but the same thing has the same number everywhere. By field, the space.
NUMBERS = {
    "exe_file_id": "file", "cwd_id": "file", "root_id": "file", "id": "description", "files_id": "files", "vm_id": "vm",
    "fs_id": "fs", "sighand_id": "sighand", "pipe_id": "inode", "shmid": "inode", "inode_id": "memfd", "ino": "inode",
    "i_ino": "inode", "remap_id": "ghost", "orig_id": "file", "pages_id": "pages", "mnt_id": "mount", "dev": "device",
    "regf_id": "file",
}
# Golden has an entry for the directory of each task: ours, one for each file.
MANY_TO_ONE = {"file"}

# What an image is a list of: the field that says which entry is which.
KEYS = {"vmas": "start", "pagemap": "vaddr", "fdinfo": "fd", "pipes-data": "pipe_id", "memfd": "inode_id", "remap-fpath": "orig_id",
        "tfd": "tfd", "wd": "wd"}

# They matter to open(2) only and are not set again: O_DIRECTORY, O_TMPFILE.
OPEN_ONLY = 0o20200000
FILE_AREA, KERNEL_AREA = 0xc0, 0x100c

# Compared by the program's own check only: pages (which are there depends on what has run), what lies on another file system.
NOT_COMPARED = ("pages-", "pagemap-", "timens-", "ghost-file-", "remap-fpath")

# Fields that may have another value, by their path, and why.
MAY_DIFFER = [
    (r"gpregs\.(ax|ip)", "a system call that was interrupted is called again, it does not return EINTR"),
    (r"gpregs\.orig_ax", "which call a stopped task was in is not restored: it has returned"),
    (r"xsave\.(opmask_reg|zmm_upper|hi16_zmm)", "state that not every CPU has"),
    (r"tc\.flags", "the kernel's own flags of a process, for information only"),
    (r"tc\.personality", "CRIU 4.2 takes its hexadecimal digits for decimal ones"),
    (r"(timers\.\S*|tfd\.)v(sec|usec|nsec)", "time goes on"),
    (r"time_ns_id", "a restored tree has a time namespace of its own, for its clocks"),
    (r"^pstree\S*threads\[0\]", "CRIU 4.2 writes garbage here for a zombie; nothing reads it"),
    (r"(dev|f_handle\.(bytes|type|handle\S*|mnt\S*)|inode)", "of the file system: golden's was another one"),
]

@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """A copy, with links that became files holding their target made links again."""
    copy = tmp_path_factory.mktemp("golden") / "golden"
    shutil.copytree(GOLDEN, copy, symlinks=True)
    for path in [*copy.glob("bin/*"), *copy.glob("images/**/parent")]:
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 100:
            target = path.read_text().strip()
            path.unlink()
            path.symlink_to(target)
    for path in [copy, *copy.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o200)
    for path in [*copy.glob("*.sh"), copy / "bin/golden"]:
        path.chmod(0o755)
    yield copy
    shutil.rmtree(copy.parent, ignore_errors=True)


def meta(golden, case):
    for line in (golden / "meta.tsv").read_text().splitlines():
        name, program, pid, others, kernel, images, state, dump_options, *_ = line.split("\t")
        if name == case:
            return golden / images, pid, "" if dump_options == "-" else dump_options
    raise AssertionError(f"{case}: not in meta.tsv")


# A mount namespace with a file system of its own for the programs, and pseudo-terminals of its own: those that the images name by
# their numbers are free in it, whoever uses terminals on this host. The node /dev/ptmx opens the instance that is at /dev/pts.
ROOM = """mount -t tmpfs -o mode=755 none "$0" && mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts /dev/pts || exit
"$@"; s=$?; cat "$0"/log/* 2>/dev/null >&2; exit $s"""


def check(golden, folder, case, *options, dump_to=None):
    _, pid, dump_options = meta(golden, case)
    wrapper = folder / "criu"
    wrapper.write_text(WRAPPER.format(criu=CRIU, out=dump_to or "/nonexistent", pid=pid, options=dump_options))
    wrapper.chmod(0o755)
    PLACE.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", ROOM, PLACE, golden / "check.sh", *options, "-p", wrapper, case],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=300, check=False)
    assert done.returncode == 0, done.stdout + "\n".join(done.stderr.splitlines()[-60:])


def without_id(entry):
    """An entry of files.img without the number that it has been found by."""
    return {key: without_id(value) if isinstance(value, dict) else value for key, value in entry.items() if key != "id"}


def drop_vdso(kind, entries):
    """Without the kernel's own areas: where another kernel wrote the image, a restored task has a new vdso at another place, and
    golden's is code that leads there."""
    if kind == "mm":
        return [{**entry, "vmas": [vma for vma in entry["vmas"] if not vma["status"] & KERNEL_AREA]} for entry in entries]
    return entries


def decode(path):
    """The entries, by the decoder of CRIU 4.2 itself where Debian's package has installed it."""
    try:
        from pycriu import images
    except ImportError:
        sys.path.append(str(TOP / "build/lib/python"))
        from pycriu import images
    with open(path, "rb") as image:
        return images.load(image, pretty=False)["entries"]


class Comparison:
    """Golden's fields against ours; what numbers name is matched on the way."""

    def __init__(self, theirs, ours):
        self.theirs, self.ours = theirs, ours
        self.there, self.back = {}, {}
        self.different = []

    def say(self, where, text):
        if not any(re.search(pattern, where) for pattern, _ in MAY_DIFFER):
            self.different.append(f"{where}: {text}")

    def number(self, space, a, b, where):
        """The same thing has the same number everywhere: a mapping, in both directions."""
        there = self.there.setdefault((space, a), b)
        back = self.back.setdefault((space, b), a)
        if there != b or (back != a and space not in MANY_TO_ONE):
            self.say(where, f"golden {a} was ours {there} and ours {b} golden {back}")

    def value(self, a, b, where, name=""):
        if isinstance(a, dict) and isinstance(b, dict):
            for key in a:
                if key not in b:
                    self.say(f"{where}.{key}", f"golden has {a[key]}, ours has no such field")
                elif key == "shmid" and a.get("status", 0) & FILE_AREA:
                    self.number("file", a[key], b[key], f"{where}.{key}")
                else:
                    self.value(a[key], b[key], f"{where}.{key}", key)
        elif isinstance(a, list) and isinstance(b, list):
            self.entries(a, b, where, name)
        elif name in NUMBERS and isinstance(a, int) and isinstance(b, int) and a and b:
            self.number(NUMBERS[name], a, b, where)
        elif a != b and not (where.endswith(".reg.flags") and a & ~OPEN_ONLY == b & ~OPEN_ONLY):
            self.say(where, f"golden has {a}, ours {b}")

    def entries(self, a, b, where, name):
        """Two lists: by position, or by what says which entry is which."""
        key = KEYS.get(name)
        if not key:
            if len(a) != len(b):
                self.say(where, f"golden has {len(a)}, ours {len(b)}")
            for i, (x, y) in enumerate(zip(a, b)):
                self.value(x, y, f"{where}[{i}]", name)
            return
        b = {entry.get(key): entry for entry in b}
        for entry in a:
            which = entry.get(key)
            which = self.there.get((NUMBERS[key], which), which) if key in NUMBERS else which
            place = f"{where}[{which:#x}]" if isinstance(which, int) else f"{where}[head]"
            if which in b:
                self.value(entry, b[which], place)
            else:
                self.say(place, f"ours has none: {entry}")

    def image(self, name, name_of_ours=None):
        path = self.ours / (name_of_ours or name)
        if not path.exists():
            self.say(name, f"ours has no {path.name}")
            return
        a, b = decode(self.theirs / name), decode(path)
        kind = re.sub(r"-[0-9]+$|-shmem-[0-9]+$|.img$", "", name.removesuffix(".img"))
        self.entries(drop_vdso(kind, a), drop_vdso(kind, b), name, kind)

    def files(self):
        ours = {entry["id"]: entry for entry in decode(self.ours / "files.img")}
        for entry in decode(self.theirs / "files.img"):
            number = entry["id"]
            mine = self.there.get(("description", number), self.there.get(("file", number)))
            where = f"files.img[{entry.get('type')} {number}]"
            if mine is None and entry.get("reg", {}).get("mode", 0) & 0o170000 == 0o010000:
                continue    # the path of a FIFO: no descriptor leads to it
            if mine not in ours:
                self.say(where, f"ours has none: {entry}")
            else:
                self.value(without_id(entry), without_id(ours[mine]), where)

    def all(self):
        names = sorted(path.name for path in self.theirs.glob("*.img") if not path.name.startswith(NOT_COMPARED))
        for name in names:
            if name.startswith(("inventory", "pstree", "core", "ids", "fs-", "mm")):
                self.image(name)
        for name in names:
            if match := re.match(r"fdinfo-([0-9]+)", name):
                self.image(name, f"fdinfo-{self.there.get(('files', int(match[1])))}.img")
        if "files.img" in names:
            self.files()
        for name in names:
            if not name.startswith(("inventory", "pstree", "core", "ids", "fs-", "mm", "fdinfo", "files")):
                self.image(name)


@pytest.mark.parametrize("case", ROUND)
def test_round(case, golden, folder, tidy):
    check(golden, folder, case, "-r")


@pytest.mark.parametrize("case", ONCE)
def test_once(case, golden, folder, tidy):
    check(golden, folder, case)


@pytest.mark.parametrize("case", ROUND)
def test_fields(case, golden, folder, tidy):
    ours = folder / "again"
    ours.mkdir()
    check(golden, folder, case, dump_to=ours)
    comparison = Comparison(meta(golden, case)[0], ours)
    comparison.all()
    assert not comparison.different, f"{len(comparison.different)} fields differ:\n" + "\n".join(comparison.different)
