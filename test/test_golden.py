# SPDX-License-Identifier: GPL-2.0-only
"""Images that CRIU 4.2 wrote (shared/golden beside the checkout, or $CRIU_GOLDEN): they restore, and what is dumped of the restored
trees at once has the same fields with the same values. The programs live under /opt/criu-golden: a tmpfs of the test's own."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from lib.criu import CRIU, TOP
from lib import host, written
from lib.golden import VDSO, Comparison, decode

GOLDEN = Path(os.environ.get("CRIU_GOLDEN", TOP.parent / "shared/golden"))
DEBIAN = Path("/usr/bin/crit")
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
ROOM = """mount --make-rprivate /dev/pts && mount -t tmpfs -o mode=755 none "$0" &&
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts /dev/pts || exit
"$@"; s=$?; cat "$0"/log/* 2>/dev/null >&2; umount -l "$0"; exit $s"""


def check(golden, folder, case, *options, dump_to=None):
    _, pid, dump_options = meta(golden, case)
    wrapper = folder / "criu"
    wrapper.write_text(WRAPPER.format(criu=CRIU, out=dump_to or "/nonexistent", pid=pid, options=dump_options))
    wrapper.chmod(0o755)
    env = dict(os.environ)
    if not host.has_root_mount():
        # check.sh calls it as one does elsewhere.
        (folder / "bin").mkdir(exist_ok=True)
        (folder / "bin/unshare").write_text('#!/bin/sh\nexec /usr/bin/unshare --propagation unchanged "$@"\n')
        (folder / "bin/unshare").chmod(0o755)
        env["PATH"] = f"{folder}/bin:{env['PATH']}"
    PLACE.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        host.own_mounts("sh", "-c", ROOM, PLACE, golden / "check.sh", *options, "-p", wrapper, case),
        env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=300, check=False)
    assert done.returncode == 0, done.stdout + "\n".join(done.stderr.splitlines()[-60:])


@pytest.mark.parametrize("case", ROUND)
def test_round(case, golden, folder, tidy):
    check(golden, folder, case, "-r")


@pytest.mark.parametrize("case", ONCE)
def test_once(case, golden, folder, tidy):
    check(golden, folder, case)


def compare(golden, folder, case):
    for tries in range(10):
        ours = folder / f"again-{tries}"
        ours.mkdir()
        start = time.monotonic_ns()
        check(golden, folder, case, dump_to=ours)
        comparison = Comparison(meta(golden, case)[0], ours, time.monotonic_ns() - start)
        if comparison.is_at_rest():
            break
    comparison.all()
    assert not comparison.different, f"{len(comparison.different)} fields differ:\n" + "\n".join(comparison.different)
    return comparison


@pytest.mark.parametrize("case", ROUND)
def test_fields(case, golden, folder, tidy):
    compare(golden, folder, case)


@pytest.mark.parametrize("case", ["counter", "threads"])
def test_vdso_of_another_kernel(case, golden, folder, tidy):
    """The saved vDSO is no build of this kernel's, and other code: it stays where it was and leads to a new one."""
    other = folder / "golden"
    shutil.copytree(golden, other, symlinks=True)
    images, pid, _ = meta(other, case)
    pages = images / "pages-1.img"
    data = bytearray(pages.read_bytes())
    start = data.rindex(b"\x7fELF")
    build_id = data.index(b"\3\0\0\0GNU\0", start)
    assert b"linux-vdso" in data[start:start + 4096] and build_id < start + 4096
    data[build_id + 8] ^= 1
    # Behind all that the program headers name.
    data[start + 8191] ^= 1
    pages.write_bytes(data)
    comparison = compare(other, folder, case)
    old, new = ([(vma["start"], vma["end"]) for vma in decode(where / f"mm-{pid}.img")[0]["vmas"] if vma["status"] & VDSO]
                for where in (comparison.theirs, comparison.ours))
    assert len(old) == len(new) == 1 and old != new
    check(other, folder, case, "-r")


@pytest.mark.parametrize("case", ROUND)
def test_written(case, golden, folder, tidy):
    """What lib/written.py asks for is in golden's images, and so it is in ours; Debian's decoder reads ours as our own does."""
    ours = folder / "ours"
    ours.mkdir()
    check(golden, folder, case, dump_to=ours)
    faults = written.faults(meta(golden, case)[0]) + written.faults(ours)
    if DEBIAN.exists():
        faults += written.debian_differs(ours)
    assert not faults, "\n".join(faults)


@pytest.mark.skipif(not DEBIAN.exists(), reason=f"{DEBIAN} is not installed")
def test_crit_of_debian(golden, folder, tidy):
    """The command itself, on every image of one case."""
    ours = folder / "ours"
    ours.mkdir()
    check(golden, folder, "fds", dump_to=ours)
    for path in ours.glob("*.img"):
        if not path.name.startswith("pages-"):
            done = subprocess.run([DEBIAN, "decode", "-i", path], capture_output=True, text=True, check=False)
            assert done.returncode == 0 and done.stdout, f"{path.name}: {done.stderr}"
