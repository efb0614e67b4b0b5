# SPDX-License-Identifier: GPL-2.0-only
"""Real programs, dumped and restored several times while they work: the output is that of an undisturbed run.

CRIU_APPS_CYCLES says how often each is dumped and restored (3), CRIU_APPS_SCALE makes the work larger (1; 10 is xz of 300 MB). On a
machine where it comes to its end before that, it is made larger still."""

import hashlib
import os
import shutil
import subprocess

import pytest

from lib import host
from lib.criu import TOP, CriuFailed, Images

CYCLES = int(os.environ.get("CRIU_APPS_CYCLES", "3"))
SCALE = float(os.environ.get("CRIU_APPS_SCALE", "1"))
# Processor time, in ticks, that the tree gets between two dumps: it is then somewhere else in its work.
TICKS = 10
LARGEST = 64

PYTHON_WORK = """
import hashlib, subprocess, sys, threading
results = [None] * 4
def work(i):
    h = b"seed %d" % i
    for n in range(ROUNDS):
        h = hashlib.sha256(h * 50).digest()
        if n % (ROUNDS // 4) == 0:
            out = subprocess.run(["sh", "-c", "echo $((%d + %d)); sleep 0.05" % (i, n)], stdout=subprocess.PIPE).stdout
            h += out
    results[i] = h.hex()
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print("\\n".join(results))
"""

PERL_WORK = """
use strict; use Digest::SHA qw(sha256_hex);
my @readers;
for my $i (0..3) {
    pipe(my $r, my $w) or die; my $pid = fork // die;
    if (!$pid) {
        close $r; my $h = $i;
        for my $n (1..ROUNDS) { $h = sha256_hex($h x 20); print $w "$n $h\\n" if $n % (ROUNDS/10) == 0; }
        close $w; exit 0;
    }
    close $w; push @readers, $r;
}
for my $r (@readers) { while (<$r>) { print; } }
1 while wait() > 0;
"""

JAVA_WORK = """
public class Work {
    public static void main(String[] a) throws Exception {
        Thread[] t = new Thread[3]; long[] r = new long[3];
        for (int k = 0; k < 3; k++) { final int i = k; t[k] = new Thread(() -> {
            long s = i; for (long n = 0; n < ROUNDSL; n++) { s = s * 6364136223846793005L + 1442695040888963407L;
                if ((n & 0xfffff) == 0) { byte[] b = new byte[1 << 20]; int at = (int) (n % 100); b[at] = (byte) s; s += b[at]; } }
            r[i] = s; }); t[k].start(); }
        for (Thread x : t) x.join();
        for (long x : r) System.out.println(x);
    }
}
"""

NODE_WORK = """
let s = 1n, out = []; const crypto = require('crypto');
function step(n) { let h = String(n); for (let i = 0; i < ROUNDS; i++) h = crypto.createHash('sha256').update(h).digest('hex');
    out.push(h); if (n < 40) setTimeout(() => step(n + 1), 1); else console.log(out.join('\\n')); }
step(0);
"""

SQL_WORK = """
import sqlite3, hashlib
db = sqlite3.connect("work.db")
db.execute("create table t (n integer primary key, h text)")
for n in range(ROUNDS):
    with db:
        db.executemany("insert into t values (?, ?)", ((n * 100 + i, hashlib.md5(b"%d" % (n * 100 + i)).hexdigest()) for i in range(100)))
print(db.execute("pragma integrity_check").fetchone(), db.execute("select count(*), max(h), min(h) from t").fetchone())
"""


def rounds(n):
    return str(max(10, int(n)) // 10 * 10)


def noise(path, megabytes):
    """The same bytes each time, which compress by half or so."""
    with open(path, "wb") as f:
        block = b""
        for n in range(int(megabytes * 16)):
            block = hashlib.sha256(block + b"%d" % n).digest()
            f.write((block.hex().encode() * 1024)[:65536])


def lines(path, megabytes):
    with open(path, "w") as f:
        value = 12345
        for _ in range(int(megabytes * (1 << 20) / 10)):
            value = (value * 1103515245 + 12345) & 0x7fffffff
            f.write(f"{value:09d}\n")


def xz(folder, scale):
    noise(folder / "input", 30 * scale)
    return ["xz", "-T2", "-1", "-k", "-c", "--block-size=4MiB", "input"]


def sort(folder, scale):
    lines(folder / "input", 100 * scale)
    (folder / "tmp").mkdir()
    return ["sort", "-S", "16M", "-T", "tmp", "--parallel=2", "input"]


def script(interpreter, name, text, n):
    def prepare(folder, scale):
        (folder / name).write_text(text.replace("ROUNDS", rounds(n * scale)))
        return [*interpreter, name]
    return prepare


def make(folder, scale):
    shutil.copytree(TOP, folder / "tree", ignore=shutil.ignore_patterns("build", ".git"))
    times = max(1, int(scale / SCALE))
    return ["sh", "-c", f"for n in $(seq {times}); do rm -rf tree/build; make -C tree -j2 build/lib/libcompel.a >log 2>&1; echo $?; done; "
                        "nm tree/build/lib/libcompel.a | grep -c ' T '"]


def pipeline(folder, scale):
    lines(folder / "input", 60 * scale)
    return ["sh", "-c", "cat input | tr 0-4 5-9 | grep -v 77 | sed s/5/five/ | sha256sum"]


APPS = {
    "xz": (xz, "xz"),
    "sort": (sort, "sort"),
    "sqlite3": (script(["/usr/bin/python3"], "work.py", SQL_WORK, 1000), None),
    "python3": (script(["/usr/bin/python3"], "work.py", PYTHON_WORK, 40000), None),
    "perl": (script(["perl"], "work.pl", PERL_WORK, 200000), "perl"),
    "make": (make, None),
    "pipeline": (pipeline, None),
    "java": (script(["java"], "Work.java", JAVA_WORK, 400000000), "java"),
    "node": (script(["node"], "work.js", NODE_WORK, 12000), "node"),
}


class App:
    """One run in a folder of its own; the output file is what counts."""

    def __init__(self, name, folder, scale):
        self.folder = folder
        folder.mkdir()
        command = APPS[name][0](folder, scale)
        with open(folder / "out", "wb") as out, open(folder / "err", "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder,
                                            start_new_session=True)
        self.pid = self.process.pid
        self.status = None

    def ended(self):
        if self.status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid:
                self.status = status
                self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def ticks(self):
        """Processor time of the tree, of children that have ended too."""
        total = 0
        for pid in host.tree(self.pid):
            total += sum(map(int, host.stat(pid)[11:15]))
        return total

    def work_on(self):
        """Lets it work; False if it came to its end."""
        start = self.ticks()
        host.wait_until(lambda: self.ended() or abs(self.ticks() - start) >= TICKS, f"{self.process.args}: progress")
        return not self.ended()

    def result(self):
        host.wait_until(self.ended, f"{self.process.args}: its end", 600)
        assert os.waitstatus_to_exitcode(self.status) == 0, (self.folder / "err").read_text(errors="replace")
        return (self.folder / "out").read_bytes()


class Undisturbed:
    """Outputs by application and size, computed once; and the size that an application has come to."""

    def __init__(self, folder_of):
        self.folder_of = folder_of
        self.known = {}
        self.scales = {}

    def output(self, name, scale):
        if (name, scale) not in self.known:
            folder = self.folder_of(name) / "work"
            self.known[name, scale] = App(name, folder, scale).result()
            shutil.rmtree(folder)
        return self.known[name, scale]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return Undisturbed(tmp_path_factory.mktemp)


def need(name):
    program = APPS[name][1]
    if program and not shutil.which(program):
        pytest.skip(f"{program} is not installed")


def cycles(name, folder, undisturbed, cycle):
    """Calls cycle(app, images), which dumps, as often as is asked for. Where the work comes to its end before that, the same with more."""
    need(name)
    scale = undisturbed.scales.setdefault(name, SCALE)
    while scale <= SCALE * LARGEST:
        expected = undisturbed.output(name, scale)
        app = App(name, folder / f"work-{scale:g}", scale)
        done = 0
        while done < CYCLES and app.work_on():
            images = Images(folder / f"images-{scale:g}-{done}")
            try:
                cycle(app, images)
            except CriuFailed:
                # It may have come to its end between the look and the dump.
                if app.ended():
                    break
                raise
            shutil.rmtree(images.folder)
            done += 1
        assert app.result() == expected
        print(f"{name}: size {scale:g}, dumped {done} times")
        if done == CYCLES:
            return
        shutil.rmtree(app.folder)
        scale *= 2
        undisturbed.scales[name] = scale
    pytest.fail(f"{name}: the work was over before {CYCLES} dumps, however much it was")


@pytest.mark.parametrize("name", APPS)
def test_kill_and_restore(name, folder, tidy, undisturbed):
    def cycle(app, images):
        images.dump(app.pid, "--file-locks", "--link-remap", "--ghost-limit", "1G")
        host.wait_until(app.ended, "end of the dumped tree")
        host.wait_until(lambda: (host.reap(), not host.children(os.getpid()))[1], "end of all that was dumped")
        app.status = None
        images.restore("--file-locks")

    cycles(name, folder, undisturbed, cycle)


@pytest.mark.parametrize("name", APPS)
def test_leave_running(name, folder, tidy, undisturbed):
    def cycle(app, images):
        images.dump(app.pid, "--leave-running", "--file-locks", "--link-remap", "--ghost-limit", "1G")
        # What --link-remap leaves for a restore is not wanted here.
        for left in host.files_below(app.folder):
            if left.name.startswith("link_remap."):
                left.unlink()

    cycles(name, folder, undisturbed, cycle)
