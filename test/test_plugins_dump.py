# SPDX-License-Identifier: GPL-2.0-only
"""The promises of the plugin contract on dump, G1 to G13. Each is a function over the recorded calls; it is used on a good log and on
mutated ones, or those of a plugin with other rules, which it must not accept. One tree is dumped again and again and goes on each
time. CRIU_PLUGIN_ALL=1 fails every hook at every task in every way, and tries every pair of permutations."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lib import host, plugins
from lib.criu import CRIU, LIMIT, TOP, Images, errors, run
from lib.plugins import changed, moved, places, refused, without

ALL = os.environ.get("CRIU_PLUGIN_ALL") == "1"
OPENING = {"pause": "resume", "pre_dump": "post_dump"}


@pytest.fixture(scope="module", autouse=True)
def own_mounts():
    plugins.private_mounts()


@pytest.fixture(scope="module")
def place():
    folder = Path(tempfile.mkdtemp(prefix="criu-test-"))
    folder.chmod(0o755)
    with plugins.FakeDevice(folder) as device, plugins.Victims() as victims:
        yield folder, device, victims
    shutil.rmtree(folder, ignore_errors=True)


def status_of(pid):
    """The first letter of its state, and who traces it."""
    return host.state(pid), host.tracer(pid)


class Tree:
    """A tree that goes on after each dump."""

    def __init__(self, folder, device, victims, program, *args, use=("recorder",)):
        self.folder = Path(folder)
        self.folder.mkdir()
        self.device = device
        self.victim = victims.start(program, self.folder / "program", *([] if program == "paths" else [device.path]), *args)
        self.pids = self.victim.pids
        self.plugins = plugins.Plugins(self.folder, device, *use)
        self.run_dir = self.folder / "run"
        self.run_dir.mkdir(mode=0o700)
        self.n = 0

    def words(self, *words, **options):
        self.n += 1
        self.plugins.forget()
        self.device.forget()
        self.images = Images(self.folder / f"images{self.n}")
        self.env = {**self.plugins.env, "CRIU_RUN_DIR": str(self.run_dir)}
        return [*words, *self.plugins.options(**options)]

    def dump(self, *words, expect=0, keep=("-R",), **options):
        words = self.words(*keep, *words, **options)
        return self.images.dump(self.victim.pid, *words, expect=expect, env=self.env)

    def log(self, *words, use=None, **options):
        """All entries of a dump that succeeds."""
        if use:
            self.plugins.use(*use)
        self.dump(*words, **options)
        self.assert_goes_on()
        return self.calls()

    def begin(self, *words, **options):
        words = self.words("-R", *words, **options)
        command = [CRIU, "dump", "-t", self.victim.pid, "-D", self.images.folder, "-W", self.images.work, "-v4", "-o", "dump.log", *words]
        return subprocess.Popen([str(word) for word in command], env={**os.environ, **self.env, "HOME": "/nonexistent"},
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def calls(self, **wanted):
        return plugins.select(plugins.read_log(self.plugins.log), **wanted)

    def text(self):
        return (self.images.work / "dump.log").read_text(errors="replace")

    def guardians(self):
        return host.guardians(self.run_dir)

    def assert_goes_on(self):
        """Everybody runs, nobody is traced, the device is quiet for nobody and saw nothing wrong."""
        host.wait_until(lambda: not self.guardians(), "the guardian's end")
        host.wait_until(lambda: all([status_of(pid)[1] == 0 and status_of(pid)[0] not in "Tt" for pid in self.pids]), "the tree runs")
        self.device.assert_good()


def tree_fixture(name, program, *args, scope="module", **kwargs):
    @pytest.fixture(scope=scope, name=name)
    def fixture(place):
        folder, device, victims = place
        return Tree(folder / name, device, victims, program, *args, **kwargs)
    return fixture


family = tree_fixture("family", "family")
many = tree_fixture("many", "many", "2", "4", use=("other",))
mixed = tree_fixture("mixed", "files", "c0,b0,a0", "a1,c1,b1", "b2,a2,c2", use=("recorder", "other"))
plain = tree_fixture("plain", "paths", "/dev/null")


@pytest.fixture(autouse=True)
def standard(request):
    """Each test begins with the usual plugins."""
    for name, use in (("family", ("recorder",)), ("mixed", ("recorder", "other")), ("plain", ("recorder",))):
        if name in request.fixturenames:
            request.getfixturevalue(name).plugins.use(*use)


# ---- G1 ----

def check_load_order(log, names):
    assert [e.plugin for e in plugins.select(log, hook="probe", event="enter")] == list(names)
    assert [e.plugin for e in plugins.select(log, hook="pause.begin", event="enter")] == list(names)


def test_g01_load_order(mixed):
    first = mixed.log(use=("20-other=other", "10-recorder=recorder"))
    second = mixed.log(use=("10-other=other", "20-recorder=recorder"))
    check_load_order(first, ("recorder", "other"))
    check_load_order(second, ("other", "recorder"))
    refused(check_load_order, second, ("recorder", "other"))


def check_silent(log, name):
    assert {e.hook for e in log if e.plugin == name} == {"probe"}


@pytest.mark.parametrize("answer", ["idle", "absent"])
def test_g01_idle_and_absent_are_not_called(plain, answer):
    check_silent(plain.log(probe=answer, fail="pause.task:error,exit:segv"), "recorder")
    refused(check_silent, plain.log(), "recorder")


def without_options(tree, *words):
    """The log of a dump in which no option of a plugin is given: what the recorder records, it records by its variable."""
    tree.words()
    return tree.images.dump(tree.victim.pid, "-R", "-L", tree.plugins.folder, *words,
                            env={"CRIU_RUN_DIR": str(tree.run_dir), "CRIU_RECORDER_LOG": str(tree.plugins.log)})


def test_g01_absent_by_its_note(plain):
    """Not even loaded; the others are called as ever, and so is it where it has what it names, or where options are given."""
    plain.plugins.use("10-a=recorder-absent", "20-b=other", "30-c=recorder-absent")
    text = without_options(plain)
    for name in ("10-a", "30-c"):
        assert f"{name}.so: is not loaded: is absent, as there is no /proc/no/device" in text, text[-3000:]
    assert "plugin other: is active" in text, text[-3000:]
    assert not plain.calls(plugin="recorder")
    for name in ("recorder-here", "recorder"):
        plain.plugins.use(name)
        without_options(plain)
        assert plain.calls(plugin="recorder", hook="exit"), name
    plain.log(use=("recorder-absent",))
    assert plain.calls(plugin="recorder", hook="exit"), "its options are given"
    for option, said in (("recorder.number=many", "not a number"), ("recorder.nothing=1", "no such option"), ("nobody.x=1", "no plugin")):
        assert said in plain.dump("--plugin-opt", option, expect=None), option
    plain.assert_goes_on()


def test_g01_note_without_sense(plain):
    plain.plugins.use("recorder-noted", "other")
    text = without_options(plain)
    assert "recorder-noted.so: is not loaded: has a note of criu that makes no sense" in text, text[-3000:]
    assert "plugin other: is active" in text, text[-3000:]
    plain.assert_goes_on()


def test_g01_what_is_no_plugin_is_skipped(family):
    (family.plugins.folder / "aa.so").write_bytes(b"no plugin")
    (family.plugins.folder / "bb.so").write_bytes((plugins.BUILT / "recorder.so").read_bytes()[:3000])
    text = family.dump()
    assert "aa.so: is not loaded" in text and "bb.so: is not loaded" in text, text[-3000:]
    family.assert_goes_on()


# ---- G2 ----

def check_one_owner(log, owner_of):
    owners = {}
    for entry in plugins.select(log, hook=("dump_file", "dump_mapping"), event="enter"):
        owners.setdefault(entry.node, set()).add(entry.plugin)
    assert owners and all(found == {owner_of[node[0]]} for node, found in owners.items()), owners


def test_g02_one_owner(mixed):
    log = mixed.log()
    owner_of = {"a": "recorder", "b": "recorder", "c": "other"}
    check_one_owner(log, owner_of)
    one = plugins.select(log, hook="dump_file", event="enter")[0]
    refused(check_one_owner, log + [plugins.Entry({**one, "plugin": "rival"})], owner_of)
    overriding = mixed.log(use=("recorder", "other", "rival-overrides"))
    check_one_owner(overriding, {**owner_of, "a": "rival"})
    refused(check_one_owner, overriding, owner_of)


def check_refused(text, *words):
    causes = errors(text)
    assert causes and all(word in causes[0] for word in words), text[-3000:]


def test_g02_doubly_claimed(family):
    family.plugins.use("recorder", "rival")
    text = family.dump(expect=1)
    check_refused(text, "recorder.a", "rival.a")
    refused(check_refused, text, "recorder.a", "other.c")
    check_untouched(text, family.calls())
    refused(check_untouched, text, [plugins.Entry({"hook": "pause.begin"})])
    refused(check_untouched, text + " step freeze\n", family.calls())
    family.assert_goes_on()
    told = family.dump("--dry-run", keep=(), expect=1)
    check_refused(told, "recorder.a", "rival.a")
    check_untouched(told, family.calls())


def check_untouched(text, log):
    """Nobody was paused, frozen or asked for anything but whose a file is."""
    assert {entry.hook for entry in log} <= {"probe", "exit"}
    steps = [line.split()[-1] for line in text.splitlines() if " step " in line]
    assert "look" in steps and not {"pre-dump-scripts", "pause-devices", "freeze"} & set(steps), steps


class Opener:
    """A process that maps a file of the device, and opens and closes it when it is told to."""

    CODE = """
import fcntl, mmap, os, signal, struct, sys
path, fds = sys.argv[1], []
if sys.argv[2:]:
    fd = os.open(path, os.O_RDWR)
    buffer = bytearray(struct.pack("QQ", 4096, 0))
    fcntl.ioctl(fd, int(sys.argv[2]), buffer)
    memory = mmap.mmap(fd, 4096, offset=struct.unpack("QQ", buffer)[1])
    # mmap keeps a duplicate.
    os.closerange(3, 64)
signal.signal(signal.SIGUSR1, lambda *_: fds.append(os.open(path, os.O_RDWR)))
signal.signal(signal.SIGUSR2, lambda *_: os.close(fds.pop()))
while True:
    signal.pause()
"""

    def __init__(self, folder, device, node, *words):
        self.folder, self.device, self.node = Path(folder), device, device.path / node
        self.folder.mkdir()
        self.plugins = plugins.Plugins(self.folder, device, "recorder", "rival")
        self.images = Images(self.folder / "images")
        self.process = subprocess.Popen([sys.executable, "-c", self.CODE, self.node, *words], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.pid = self.process.pid

    def is_listening(self):
        assert self.process.poll() is None
        caught = int(host.status(self.pid, "SigCgt") or "0", 16)
        return caught & 1 << signal.SIGUSR2 - 1 and status_of(self.pid)[0] == "S"

    def __enter__(self):
        host.wait_until(self.is_listening, "it listens")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def is_open(self):
        return str(self.node) in host.links(self.pid)

    def tell(self, is_open):
        self.process.send_signal(signal.SIGUSR1 if is_open else signal.SIGUSR2)
        host.wait_until(lambda: self.is_open() == is_open, "it opens or closes")

    def dump(self, do=None, **options):
        """What do() changes while the tool stands still in the hook that is told to stop."""
        self.plugins.forget()
        command = [CRIU, "dump", "-t", self.pid, "-R", "-D", self.images.folder, "-W", self.images.work, "-v4", "-o", "dump.log",
                   *self.plugins.options(**options)]
        with subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as tool:
            try:
                if do:
                    host.wait_until(lambda: status_of(tool.pid)[0] == "T", "the tool stops in the hook")
                    do()
                    tool.send_signal(signal.SIGCONT)
                status = tool.wait(LIMIT)
            finally:
                tool.kill()
        return status, (self.images.work / "dump.log").read_text(errors="replace"), self.plugins.calls()


def test_g02_doubly_claimed_mapping(place):
    folder, device, _ = place
    with Opener(tempfile.mktemp(dir=folder), device, "a2", str(plugins.BUFFER)) as opener:
        assert not opener.is_open()
        assert str(opener.node) in host.read(f"/proc/{opener.pid}/maps")
        status, text, log = opener.dump()
    assert status == 1
    check_refused(text, "mapping", "recorder.a", "rival.a")
    check_untouched(text, log)


def test_g02_opened_behind_the_look(place):
    """It is looked for again when nothing can change any more; then all that was paused is resumed."""
    folder, device, _ = place
    with Opener(tempfile.mktemp(dir=folder), device, "a2") as opener:
        status, text, log = opener.dump(lambda: opener.tell(True), fail="pause.task:stop")
        assert status == 1
        check_refused(text, "recorder.a", "rival.a")
        refused(check_untouched, text, log)
        check_closed(plugins.read_log(opener.plugins.log), ("recorder", "rival"))
        host.wait_until(lambda: status_of(opener.pid) == ("S", 0), "it goes on")
    device.assert_good()


def test_g02_closed_while_looked_at(place):
    """What two have claimed and what is no longer there is nothing."""
    folder, device, _ = place
    with Opener(tempfile.mktemp(dir=folder), device, "a2") as opener:
        opener.tell(True)
        status, text, log = opener.dump(lambda: opener.tell(False), fail="claims:stop", log_claims="yes")
        assert status == 0, text[-3000:]
        assert "was open and is not any more" in text
        assert plugins.select(log, hook="claims", node="a2")
        check_closed([e for e in plugins.read_log(opener.plugins.log) if e.hook != "claims"], ("recorder", "rival"))
        host.wait_until(lambda: status_of(opener.pid) == ("S", 0), "it goes on")
    device.assert_good()


# ---- G3 ----

def check_order(log, *classes):
    """Class by class, in each by task and descriptor; and the positions say so."""
    files = plugins.select(log, hook="dump_file", event="enter")
    keys = [(classes.index(e["class"]), e.index, e.fd) for e in files]
    assert keys and keys == sorted(keys)
    assert [e.position for e in files] == list(range(1, len(files) + 1))


def test_g03_rules_are_kept(mixed):
    log = mixed.log()
    check_order(log, "recorder.a", "recorder.b", "other.c")
    last = plugins.select(log, hook="dump_file", event="enter")[-1]
    refused(check_order, moved(log, lambda e: e is last, 0), "recorder.a", "recorder.b", "other.c")


def test_g03_the_other_rule_the_other_order(family):
    check_order(family.log(), "recorder.a", "recorder.b")
    # Nothing is dumped before the buffer that it imports, says the device of some; here only the order counts.
    swapped = family.log(use=("recorder-swapped",))
    check_order(swapped, "recorder.b", "recorder.a")
    refused(check_order, swapped, "recorder.a", "recorder.b")


@pytest.mark.parametrize("plugin,words", [
    ("recorder-cycle", ("recorder.a before recorder.b", "recorder.b before recorder.a")),
    ("recorder-required", ("nobody.x", "recorder")),
])
def test_g03_refused(family, plugin, words):
    family.plugins.use(plugin)
    check_refused(family.dump(expect=1), *words)
    assert {call.hook for call in family.calls()} <= {"probe", "exit"}
    family.assert_goes_on()
    done = run("plugin", "explain", "-L", family.plugins.folder)
    assert done.returncode == 1
    check_refused(done.stderr, *words)


@pytest.mark.parametrize("openings", list(itertools.product(itertools.permutations(("a", "a", "b")), repeat=2)) if ALL else
                         [(one, two) for one, two in zip([*itertools.permutations(("a", "a", "b"))],
                                                         reversed([*itertools.permutations(("b", "a", "a"))]))],
                         ids=lambda openings: "-".join("".join(order) for order in openings))
def test_g03_opened_in_any_order(place, openings):
    """Two tasks, three files each, of two classes: the calls do not depend on which was opened first."""
    folder, device, victims = place
    nodes = [",".join(f"{letter}{i}" for i, letter in enumerate(order)) for order in openings]
    with plugins.Victims() as own:
        tree = Tree(tempfile.mktemp(dir=folder), device, own, "files", *nodes)
        log = tree.log()
        tree.victim.verify()
        for pid in tree.pids:
            host.wait_until(lambda pid=pid: host.is_gone(pid), "its end")
    check_order(log, "recorder.a", "recorder.b")
    files = plugins.select(log, hook="dump_file", event="enter")
    assert [(e["class"], e.index) for e in files] == [("recorder.a", 0), ("recorder.a", 0), ("recorder.a", 1), ("recorder.a", 1),
                                                      ("recorder.b", 0), ("recorder.b", 1)]
    phases = [(e.hook, e.index) for e in log if e.event == "enter" and e.hook not in ("dump_file", "dump_mapping", "claims")]
    assert phases == expected_phases(2)


def expected_phases(n):
    forward, backward = list(range(n)), list(reversed(range(n)))
    found = [("probe", None)]
    for phase, order in (("pause", forward), ("pre_dump", forward), ("post_dump", backward), ("resume", backward)):
        found += [(f"{phase}.begin", None), *((f"{phase}.task", index) for index in order), (f"{phase}.end", None)]
    return [*found, ("exit", None)]


def check_neither_sees_the_other(log, n_tasks):
    """Both get every phase, and only their own files."""
    for name in ("recorder", "other"):
        hooks = [(e.hook, e.index) for e in log if e.plugin == name and e.event == "enter" and
                 e.hook not in ("dump_file", "dump_mapping", "claims")]
        assert hooks == expected_phases(n_tasks), name
    for entry in log:
        if entry.node:
            assert (entry.node[0] == "c") == (entry.plugin == "other")


def test_g02_two_plugins_at_once(mixed):
    log = mixed.log()
    check_neither_sees_the_other(log, 3)
    refused(check_neither_sees_the_other, without(log, lambda e: e.plugin == "other" and e.hook == "post_dump.task"), 3)
    refused(check_neither_sees_the_other, changed(log, lambda e: e.node == "c0", plugin="recorder"), 3)


# ---- G4 ----

def check_foretold(text, log):
    """What --dry-run prints is what is done."""
    lines = [line.split() for line in text.splitlines() if " fd " in line and ": class " in line]
    told = [(int(line[0]), int(line[2]), int(line[4].rstrip(":"))) for line in lines]
    done = [(e.position, e.task, e.fd) for e in plugins.select(log, hook="dump_file", event="enter")]
    assert told and told == done, (told, done)


def test_g04_dry_run_tells_the_order(mixed):
    log = mixed.log()
    told = mixed.dump("--dry-run", keep=())
    mixed.assert_goes_on()
    check_foretold(told, log)
    assert "rule 1 of recorder" in told and "rule 1 of other" in told
    refused(check_foretold, told, list(reversed(log)))
    assert not plugins.select(mixed.calls(), hook=("pause.task", "pre_dump.task", "dump_file")), "a dry run only looks"


def test_g04_explain(mixed):
    done = run("plugin", "explain", "-L", mixed.plugins.folder)
    assert done.returncode == 0, done.stderr
    at = [done.stdout.index(name + ",") for name in ("recorder.a", "recorder.b", "other.c", "@memory")]
    assert at == sorted(at) and "before recorder.b (rule 1 of recorder)" in done.stdout, done.stdout
    assert "restore order:" in done.stdout
    late = run("plugin", "explain", "-L", mixed.plugins.use("recorder-late").folder).stdout
    assert late.index("@memory,") < late.index("recorder.a,"), late


# ---- G5 ----

def check_two_phases(log):
    ends = [places(log, hook=hook, event="leave") for hook in ("pause.end", "pre_dump.end")]
    assert all(ends)
    assert ends[0][-1] < places(log, hook="pre_dump.begin", event="enter")[0]
    assert ends[1][-1] < places(log, hook=("dump_file", "dump_mapping"), event="enter")[0]
    assert places(log, hook=("dump_file", "dump_mapping"), event="leave")[-1] < places(log, hook="post_dump.begin")[0]


def test_g05_two_phases(mixed):
    log = mixed.log()
    check_two_phases(log)
    for hook in ("pause.end", "pre_dump.end"):
        refused(check_two_phases, moved(log, lambda e, h=hook: e.hook == h and e.plugin == "recorder", len(log)))


def check_frozen(pids, is_frozen):
    assert [status_of(pid)[1] != 0 for pid in pids] == [is_frozen] * len(pids)


@pytest.mark.parametrize("hook,is_frozen", [("pause.task:2", False), ("pre_dump.task:0", True)])
def test_g05_when_tasks_are_frozen(family, hook, is_frozen):
    with family.begin(fail=f"{hook}:stop") as tool:
        host.wait_until(lambda: status_of(tool.pid)[0] == "T", "the tool stops in the hook")
        check_frozen(family.pids, is_frozen)
        refused(check_frozen, family.pids, not is_frozen)
        tool.send_signal(signal.SIGCONT)
        assert tool.wait(LIMIT) == 0, family.text()[-3000:]
    family.assert_goes_on()


# ---- G6 ----

def check_manifest(log, truth):
    """`truth`: by pid, how many open files of the device it has."""
    for hook in ("pre_dump.task", "post_dump.task"):
        found = {e.task: e.files for e in plugins.select(log, hook=hook, event="enter")}
        assert found == truth, hook
    assert all(e.files == truth[e.task] for e in plugins.select(log, hook="dump_file"))
    assert all(e.files == 0 for e in plugins.select(log, hook="pause.task"))


def test_g06_manifest(family):
    log = family.log()
    # a0, b0, and each child's own; the parent has a0 three times, the second child closed both.
    truth = dict(zip(family.pids, (2, 4, 2)))
    check_manifest(log, truth)
    refused(check_manifest, changed(log, lambda e: e.hook == "post_dump.task" and e.index == 1, files=3), truth)
    files = {e.node: e for e in plugins.select(log, hook="dump_file", event="enter")}
    assert {node: e.holders for node, e in files.items()} == {"a0": 4, "b0": 2, "a1": 1, "b1": 1, "a2": 1, "b2": 1}
    for entry in files.values():
        assert os.readlink(f"/proc/{entry.task}/fd/{entry.fd}").endswith("/" + entry.node)
    mapped = {(e.task, e.start) for e in plugins.select(log, hook="dump_mapping", event="enter")}
    real = {(pid, int(line.split("-")[0], 16)) for pid in family.pids for line in host.maps(pid)
            if str(family.device.path) in line}
    assert mapped == real


# ---- G7 ----

def check_once(log, n_files, n_mappings):
    dumped = plugins.select(log, hook="dump_file", event="enter")
    assert len(dumped) == n_files == len({e.file for e in dumped})
    assert len(plugins.select(log, hook="dump_mapping", event="enter")) == n_mappings
    for mapping in plugins.select(log, hook="dump_mapping", event="enter"):
        file = places(log, hook="dump_file", event="leave", file=mapping.of)
        assert file and file[0] < log.index(mapping)
    assert all(e.index == 0 for e in dumped if e.node in ("a0", "b0")), "on behalf of the first holder"


def test_g07_once_per_open_file(family):
    log = family.log()
    n = len(plugins.select(log, hook="dump_mapping", event="enter"))
    assert n
    check_once(log, 6, n)
    one = plugins.select(log, hook="dump_file", event="enter")[0]
    refused(check_once, log + [one], 6, n)
    refused(check_once, without(log, lambda e: e is one), 6, n)
    refused(check_once, moved(log, lambda e: e.hook == "dump_mapping", 0), 6, n)
    refused(check_once, changed(log, lambda e: e.node == "a0", index=1), 6, n)


# ---- G8 ----

def check_closed(log, names=("recorder",)):
    """For each opening call that succeeded exactly one closing one, in reverse order."""
    for name in names:
        own = plugins.select(log, plugin=name)
        for opening, closing in OPENING.items():
            opened = [e.index for e in plugins.select(own, hook=f"{opening}.task", event="leave", result=0)]
            closed = [e.index for e in plugins.select(own, hook=f"{closing}.task", event="enter")]
            assert closed == opened[::-1], f"{name}: {closing}: {closed}, opened: {opened}"
            begun = len(plugins.select(own, hook=f"{opening}.begin", event="leave", result=0))
            for part in ("begin", "end"):
                assert len(plugins.select(own, hook=f"{closing}.{part}", event="enter")) == begun, f"{closing}.{part}"


def test_g08_closed_in_reverse(mixed):
    log = mixed.log()
    names = ("recorder", "other")
    check_closed(log, names)
    # Plugins too.
    assert [e.plugin for e in plugins.select(log, hook="resume.begin", event="enter")] == \
        [e.plugin for e in plugins.select(log, hook="pause.begin", event="enter")][::-1]
    for hook in ("post_dump.task", "resume.task"):
        one = plugins.select(log, hook=hook, event="enter", index=0, plugin="other")[0]
        refused(check_closed, without(log, lambda e, x=one: e is x), names)
        refused(check_closed, log + [one], names)
        refused(check_closed, moved(log, lambda e, x=one: e is x, 0), names)


def test_g08_a_device_left_paused_is_seen(place):
    """A plugin that unpauses nothing; with a device of its own, which stays like that."""
    folder, _, _ = place
    with plugins.FakeDevice(folder, "fakedev-left") as device, plugins.Victims() as own:
        tree = Tree(folder / "left", device, own, "family")
        tree.log()
        tree.dump(unpause="no")
        refused(tree.assert_goes_on)


def check_outcome(log, hook, fate, final):
    entries = plugins.select(log, hook=[f"{hook}.{part}" for part in ("begin", "task", "end")], event="enter")
    assert entries and {(e.fate, e.final) for e in entries} == {(fate, final)}, [(e.hook, e.fate, e.final) for e in entries]


def test_g08_outcome(family):
    log = family.log()
    fate = plugins.select(log, hook="resume.task")[0].fate
    check_outcome(log, "post_dump", fate, 0)
    check_outcome(log, "resume", fate, 1)
    assert "continue" in fate.lower()
    refused(check_outcome, changed(log, lambda e: e.hook == "resume.end", final=0), "resume", fate, 1)
    family.dump(expect=1, fail="dump_file:error")
    log = family.calls()
    bad = plugins.select(log, hook="resume.task")[0].fate
    assert "fail" in bad.lower()
    check_outcome(log, "post_dump", bad, 1)
    check_outcome(log, "resume", bad, 1)
    family.assert_goes_on()


def test_g08_failing_post_dump_script(family):
    """It fails after the device phase; without -R the tree would have been killed. It goes on, and plugins hear it."""
    script = family.folder / "script"
    script.write_text('#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" != post-dump ]\n')
    script.chmod(0o755)
    text = family.dump("--action-script", script, keep=(), expect=1)
    log = family.calls()
    assert "post-dump" in errors(text)[0], errors(text)
    check_closed(log)
    assert {e.fate.lower()[:4] for e in plugins.select(log, hook="resume.task", event="enter")} == {"fail"}
    check_outcome(log, "resume", plugins.select(log, hook="resume.task")[0].fate, 1)
    family.assert_goes_on()


HOOKS = [f"{phase}.{part}" for phase in ("pause", "pre_dump", "post_dump", "resume") for part in ("begin", "end")]
AT_TASKS = [f"{phase}.task" for phase in ("pause", "pre_dump", "post_dump", "resume")] + ["dump_file", "dump_mapping"]
KINDS = ("error", "hang", "segv", "int", "kill", "both")


def matrix():
    for kind in KINDS:
        for hook in HOOKS:
            if ALL or kind == "error":
                yield f"{hook}:{kind}"
        for i, hook in enumerate(AT_TASKS):
            for task in range(3):
                # Each hook and each kind at some task; hangs take seconds.
                if ALL or (task == i % 3 and (kind != "hang" or hook in ("pre_dump.task", "dump_file"))):
                    yield f"{hook}:{task}:{kind}"


@pytest.mark.parametrize("where", matrix())
def test_g08_every_hook_failed(family, where):
    hook, kind = where.split(":")[0], where.rpartition(":")[2]
    if kind in ("kill", "both"):
        killed(family, where.replace(":both", ":stop"), kind == "both")
        return
    text = family.dump("--plugin-timeout", plugins.OVERRUN, expect=None, fail=where)
    log = family.calls()
    assert places(log, hook=hook), "it was called"
    check_closed(log)
    family.assert_goes_on()
    said = {"error": "fails as it was asked to", "hang": plugins.OVERRUN_SAID, "segv": "crashed by signal 11"}
    if kind in said:
        assert said[kind] in text and f"plugin recorder: {hook}" in "".join(errors(text)[:1]), text[-3000:]
    elif not hook.startswith("resume"):
        assert errors(text), "interrupted"


@pytest.mark.parametrize("kind,said", [("error", "fails as it was asked to"), ("segv", "crashed by signal 11"),
                                       ("hang", plugins.OVERRUN_SAID), ("badresult", "returned 7")])
@pytest.mark.parametrize("hook", ["probe", "claims"])
def test_g08_questions_that_fail(family, hook, kind, said):
    """Of those that open nothing."""
    text = family.dump("--plugin-timeout", plugins.OVERRUN, expect=1, fail=f"{hook}:{kind}", log_claims="yes")
    check_refused(text, f"plugin recorder: {hook}", said)
    check_closed([e for e in family.calls() if e.hook != "claims"])
    family.assert_goes_on()


@pytest.mark.parametrize("hook", ["pause.begin", "pause.task:1", "pause.end", "pre_dump.begin", "pre_dump.task:1", "dump_file:1",
                                  "post_dump.task:1", "resume.task:1"])
def test_g08_success_that_comes_too_late(family, hook):
    """It fails the dump for that, and what it has opened is closed."""
    text = family.dump("--plugin-timeout", plugins.OVERRUN, expect=1, fail=f"{hook}:late")
    check_refused(text, f"plugin recorder: {hook.split(':')[0]}", plugins.OVERRUN_SAID)
    log = family.calls()
    assert plugins.select(log, hook=hook.split(":")[0], event="leave", result=0)
    check_closed(log)
    family.assert_goes_on()
    # The closing call that came late has closed: nothing is left to be undone.
    assert not plugins.select(log, hook="recover")


@pytest.mark.parametrize("kind", ["heap", "alloc"])
@pytest.mark.parametrize("hook", ["pause.task:1", "pre_dump.task:1", "dump_file:1", "post_dump.task:1"])
def test_g08_left_with_the_lock_of_the_allocator(family, hook, kind):
    """Whoever allocates next would wait for ever."""
    with family.begin("--plugin-timeout", plugins.OVERRUN, fail=f"{hook}:{kind}") as tool:
        try:
            assert tool.wait(LIMIT) != 0
        finally:
            tool.kill()
    host.wait_until(lambda: not family.guardians(), "the guardian's end")
    family.assert_goes_on()
    assert not list(family.run_dir.iterdir()), "a journal was left"


def killed(tree, where, with_guardian):
    """The tool is killed within a hook; its guardian, or `criu recover` after both are gone, undoes what it recorded."""
    with tree.begin(fail=where) as tool:
        if with_guardian:
            host.wait_until(lambda: status_of(tool.pid)[0] == "T", "the tool stops in the hook")
            for pid in tree.guardians():
                os.kill(pid, signal.SIGKILL)
            tool.kill()
        assert tool.wait(LIMIT) == -signal.SIGKILL
    host.wait_until(lambda: not tree.guardians(), "the guardian's end")
    if with_guardian:
        done = run("recover", env=tree.env)
        assert done.returncode == 0, done.stdout + done.stderr
    check_recovered(tree.calls())
    tree.assert_goes_on()
    assert not list(tree.run_dir.iterdir()), "a journal was left"


@pytest.mark.parametrize("hook", ["resume.begin", "resume.task:0", "resume.task:2", "resume.end"])
def test_g08_killed_when_the_tree_is_gone(place, hook):
    """The dump is complete and the tree was killed: what fails or dies afterwards takes nothing away."""
    folder, device, _ = place
    for kind, status in (("error", 0), ("kill", -signal.SIGKILL)):
        with plugins.Victims() as own:
            tree = Tree(tempfile.mktemp(dir=folder), device, own, "family")
            tree.dump(keep=(), expect=status, fail=f"{hook}:{kind}")
            check_closed(tree.calls()) if kind == "error" else None
            tree.victim.wait_gone()
            host.wait_until(lambda tree=tree: not tree.guardians(), "the guardian's end")
            assert (tree.images.folder / "inventory.img").exists()
            assert not device.quiet()
            tree.images.restore(*tree.plugins.options(), env=tree.env)
            tree.victim.verify()
            for pid in tree.pids:
                host.wait_until(lambda pid=pid: host.is_gone(pid), f"pid {pid}: end")


def test_g08_failures_behind_success(place):
    """What fails when nothing can be taken back any more is a warning of the report, with its plugin."""
    folder, device, _ = place
    with plugins.Victims() as own:
        tree = Tree(tempfile.mktemp(dir=folder), device, own, "family")
        report = tree.folder / "report.json"

        def warnings():
            found = json.loads(report.read_text())
            assert found["success"] and "cause" not in found
            return [(warning["plugin"], warning["text"].split(": ")[1]) for warning in found.get("warnings", [])]

        tree.dump("--report", report)
        assert not warnings()
        tree.dump("--report", report, fail="exit:segv")
        assert warnings() == [("recorder", "exit")]
        tree.assert_goes_on()
        tree.dump("--report", report, "--plugin-timeout", plugins.OVERRUN, keep=(), fail="resume.task:1:error,exit:hang")
        assert warnings() == [("recorder", "resume.task"), ("recorder", "exit")]
        tree.victim.wait_gone()
        text = tree.images.restore("--report", report, *tree.plugins.options(fail="restore_end:error,exit:segv"), env=tree.env)
        assert warnings() == [("recorder", "restore_end"), ("recorder", "exit")], text
        tree.victim.verify()
        for pid in tree.pids:
            host.wait_until(lambda pid=pid: host.is_gone(pid), f"pid {pid}: end")


# ---- G9 ----

def check_serial(log):
    assert len({e.tid for e in log}) == 1
    for one, two in zip(log[::2], log[1::2]):
        assert (one.event, two.event, one.hook) == ("enter", "leave", two.hook)


def check_one_per_task(log):
    """Never two calls of one task at a time."""
    inside = set()
    for entry in plugins.select(log, hook="dump_file"):
        if entry.event == "enter":
            assert entry.task not in inside
            inside.add(entry.task)
        else:
            inside.discard(entry.task)


def overlaps(log):
    return any(one.event == two.event == "enter" for one, two in itertools.pairwise(plugins.select(log, hook="dump_file")))


def test_g09_serial_unless_asked(many):
    serial = many.log(use=("other",))
    check_serial(serial)
    # Workers do not trace the tasks.
    many.device.command("strict 0")
    many.device.fault("checkpoint", "delay:200")
    try:
        parallel = many.log(use=("other-parallel",))
        free = many.log(use=("other-free",))
    finally:
        many.device.clear()
        many.device.command("strict 1")
    refused(check_serial, parallel)
    assert overlaps(parallel) and not overlaps(serial), "tasks at the same time"
    check_one_per_task(parallel)
    refused(check_one_per_task, free)
    for log in (parallel, free):
        check_closed(log, ("other",))
        check_two_phases(log)


def overlapping_plugins(log):
    """Was a file of one plugin begun while one of the other was not done?"""
    inside = []
    for entry in plugins.select(log, hook="dump_file"):
        if entry.event == "enter":
            if any(plugin != entry.plugin for plugin, _ in inside):
                return True
            inside.append((entry.plugin, entry.file))
        else:
            inside.remove((entry.plugin, entry.file))
    return False


def test_g09_parallel_classes_without_a_rule(place):
    """Nothing orders recorder.a and other.c, and each task has files of one of them: they are handled like those of one class. With
    files of both in a task they still go one by one there; a rule, or a class that is not PARALLEL, keeps them apart."""
    folder, device, _ = place
    device.command("strict 0")
    device.fault("checkpoint", "delay:200")
    try:
        with plugins.Victims() as own:
            apart = Tree(tempfile.mktemp(dir=folder), device, own, "files", "a0,a1", "c0,c1", use=("recorder-parallel", "other-parallel"))
            together = apart.log()
            one_is_serial = apart.log(use=("recorder-parallel", "other-serial"))
            ruled = apart.log(use=("recorder-parallel", "other-ruled"))
        with plugins.Victims() as own:
            tree = Tree(tempfile.mktemp(dir=folder), device, own, "files", "a0,c0,a1,c1", use=("recorder-parallel", "other-parallel"))
            mixed_tasks = tree.log()
    finally:
        device.clear()
        device.command("strict 1")
    assert overlapping_plugins(together)
    assert not overlapping_plugins(one_is_serial) and not overlapping_plugins(ruled)
    check_one_per_task(mixed_tasks)
    for log, n in ((together, 2), (one_is_serial, 2), (ruled, 2), (mixed_tasks, 1)):
        check_closed(log, ("recorder", "other"))
        check_neither_sees_the_other(log, n)
        check_two_phases(log)


# ---- G10 ----

def check_context(log):
    """The counter lives in the plugin's context, the marks of what was locked in the tasks'; all in one process."""
    assert len({e.pid for e in log}) == 1
    counts = [e.call for e in plugins.select(log, event="enter")]
    assert counts == list(range(1, len(counts) + 1))


def test_g10_context(family):
    log = family.log()
    check_context(log)
    refused(check_context, changed(log, lambda e: e.hook == "exit", call=1))
    refused(check_context, changed(log, lambda e: e.hook == "resume.end", pid=1))


# ---- G11 ----

def check_budget(log, timeout):
    left = [e.left for e in plugins.select(log, event="enter")]
    assert left and all(timeout - 25000 < one <= timeout for one in left) and min(left) > 0


def test_g11_budget(family):
    own, given = family.log(), family.log("--plugin-timeout", "30")
    check_budget(own, 60000)
    check_budget(given, 30000)
    refused(check_budget, own, 30000)


@pytest.mark.parametrize("kind", ["hang", "cancel"])
def test_g11_overrun(family, kind):
    text = family.dump("--plugin-timeout", plugins.OVERRUN, expect=1, fail=f"dump_file:1:{kind}")
    check_refused(text, "plugin recorder: dump_file: pid", plugins.OVERRUN_SAID)
    assert "--plugin-timeout" in text
    check_closed(family.calls())
    family.assert_goes_on()


# ---- G12 ----

def check_recovered(log):
    """Each that was left locked or paused when the tool died is undone, by a call that has nothing but its record."""
    for undo, opening, closing in (("lock", "pause", "resume"), ("pause", "pre_dump", "post_dump")):
        held = {e.host for e in plugins.select(log, hook=f"{opening}.task", event="leave", result=0)
                if undo == "lock" or e.files}
        held -= {e.host for e in plugins.select(log, hook=f"{closing}.task", event="leave", result=0)}
        undone = plugins.select(log, hook="recover", undo=undo, event="leave")
        assert held <= {e.host for e in undone}, f"{undo}: {held}, undone: {undone}"
        assert all(e.result == 0 for e in undone) and len(undone) == len({e.host for e in undone})


@pytest.mark.parametrize("with_guardian", [False, True], ids=["tool", "both"])
def test_g12_journal(family, with_guardian):
    killed(family, f"dump_file:1:{'stop' if with_guardian else 'kill'}", with_guardian)
    log = family.calls()
    assert len(plugins.select(log, hook="recover", event="enter")) == 6
    refused(check_recovered, without(log, lambda e: e.hook == "recover"))


# ---- G13 ----

@pytest.mark.parametrize("kind,words", [
    ("badresult", ("returned 7, which has no meaning here",)), ("silent", ("Input/output error",)), ("error", ("as it was asked to",)),
])
@pytest.mark.parametrize("hook", ["pause.task:1", "pre_dump.task:1", "dump_file:a1", "dump_mapping:a1", "post_dump.task:1",
                                  "resume.task:1"])
def test_g13_first_cause(family, hook, kind, words):
    text = family.dump(expect=1, fail=f"{hook}:{kind}")
    name = hook.split(":")[0]
    cause = (f"plugin recorder: {name}: pid {family.pids[1]}", *words)
    check_refused(text, *cause)
    refused(check_refused, text, "plugin other")
    if name != "resume.task":
        # What fails later does not hide it.
        check_refused(family.dump(expect=1, fail=f"{hook}:{kind},resume.end:error"), *cause)
    check_closed(family.calls())
    family.assert_goes_on()


# ---- commands and options ----

def command(*words, env=None):
    done = run(*words, env=env)
    return done.returncode, done.stdout, done.stderr


def test_plugin_list(mixed):
    status, out, err = command("plugin", "list", "-L", mixed.plugins.folder)
    assert status == 0, err
    for text in ("recorder 1.1: recorder.so", "class recorder.a", "class recorder.b", "class other.c", "barrier meet of recorder.a",
                 "--plugin-opt recorder.number=number: logged by probe() (default 4K)", "[CRIU_RECORDER_LOG]"):
        assert text in out, (text, out)
    assert out.index("other 1.1") < out.index("recorder 1.1")
    mixed.plugins.use("v02")
    status, out, err = command("plugin", "list", "-L", mixed.plugins.folder)
    assert status == 0 and "interface of CRIU 4.2 (v0.2): v02.so" in out, out + err


def test_plugin_list_absent(mixed):
    """Shown as others are, and why it would not be loaded."""
    said = "absent on this host: there is no /proc/no/device"
    mixed.plugins.use("recorder-absent", "other")
    status, out, err = command("plugin", "list", "-L", mixed.plugins.folder)
    assert status == 0 and "recorder 1.1: recorder-absent.so" in out and out.count(said) == 1, out + err
    assert "recorder.a" in command("plugin", "explain", "-L", mixed.plugins.folder)[1]
    status, out, err = command("plugin", "check", plugins.BUILT / "recorder-absent.so")
    assert status == 0 and said in out and "is all right" in out, out + err
    assert "absent on" not in command("plugin", "check", plugins.BUILT / "recorder-here.so")[1]
    status, out, err = command("plugin", "check", plugins.BUILT / "recorder-noted.so")
    assert status == 1 and "has a note of criu that makes no sense" in err, out + err


def test_plugin_list_timeout(mixed):
    for words, said in (((), "each call may take 60 s\n"), (("--plugin-timeout", "7"), "each call may take 7 s (--plugin-timeout)\n")):
        status, out, err = command("plugin", "list", "-L", mixed.plugins.folder, *words)
        assert status == 0 and out.count(said) == 2, out + err


def test_plugin_directory(mixed, folder):
    here, empty = mixed.plugins.folder, folder / "empty"
    empty.mkdir()
    assert "recorder 1.1" in command("plugin", "list", env={"CRIU_LIBS_DIR": str(here)})[1]
    status, out, _ = command("plugin", "list", "-L", empty, env={"CRIU_LIBS_DIR": str(here)})
    assert status == 0 and f"no plugins in {empty}" in out, "-L counts more"
    for words, env in ((("-L", folder / "none"), None), ((), {"CRIU_LIBS_DIR": str(folder / "none")})):
        status, out, err = command("plugin", "list", *words, env=env)
        assert status == 1 and str(folder / "none") in err and "--libdir" in err, err


def test_plugin_check(folder):
    status, out, err = command("plugin", "check", plugins.BUILT / "recorder.so")
    assert status == 0 and "recorder.so is all right" in out, out + err
    status, out, err = command("plugin", "check", plugins.BUILT / "recorder-cycle.so")
    assert status == 1 and "recorder.a before recorder.b" in err and "recorder.b before recorder.a" in err, err
    whole = (plugins.BUILT / "recorder.so").read_bytes()
    for name, data in (("text.so", b"text"), ("header.so", whole[:64]), ("cut.so", whole[:5000]), ("none.so", b"")):
        (folder / name).write_bytes(data)
        status, out, err = command("plugin", "check", folder / name)
        assert status == 1 and f"{name}: cannot be loaded" in err, f"{name}: {status} {out}{err}"
    status, out, err = command("plugin", "check", plugins.BUILT / "v02.so")
    assert status == 0, err
    assert command("plugin", "check", folder / "missing.so")[0] == 1
    assert command("plugin", "check")[0] == 1
    assert command("plugin", "sing")[0] == 1


def test_foreign_library_is_skipped(family):
    """A shared object that is no plugin."""
    library = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/libc.so" in line)
    (family.plugins.folder / "aa.so").symlink_to(library)
    text = family.dump()
    assert "aa.so" in text
    check_closed(family.calls())
    family.assert_goes_on()


@pytest.mark.parametrize("option,words", [
    ("nobody.x=1", ("nobody.x=1", "no plugin of this name")),
    ("recorder.nothing=1", ("recorder.nothing=1", "no such option")),
    ("recorder.number=many", ("recorder.number", "`many' is not a number")),
    ("recorder.lock=perhaps", ("recorder.lock", "`perhaps' is not yes or no")),
    ("recorder", ("plugin-opt",)),
])
def test_plugin_opt_errors(family, option, words):
    done = run("plugin", "list", "-L", family.plugins.folder, "--plugin-opt", option)
    assert done.returncode == 1 and all(word in done.stderr for word in words), done.stderr
    text = family.dump("--plugin-opt", option, expect=None)
    assert all(word in text for word in words), text[-2000:]
    assert not family.calls()
    family.assert_goes_on()


def test_plugin_opt_values(family):
    for given, number in (((), 4096), (("--plugin-opt", "recorder.number=0x10"), 16), (("--plugin-opt", "recorder.number=2M"), 2 << 20),
                          (("--plugin-opt", "recorder.number=1", "--plugin-opt", "recorder.number=-3"), -3)):
        log = family.log(*given)
        assert plugins.select(log, hook="probe")[0].number == number


def test_stats(family):
    """Time, calls and bytes of each plugin and hook are in the statistics of the run."""
    log = family.log()
    done = subprocess.run([TOP / "build/bin/crit", "decode", "-i", family.images.work / "stats-dump"], capture_output=True, check=True).stdout
    found = {(entry["plugin"], entry["hook"]): entry for entry in json.loads(done)["entries"][0]["plugins"]}
    n = {hook: len(plugins.select(log, hook=hook, event="enter")) for hook in ("probe", "pause.task", "dump_file", "resume.task")}
    assert {hook: found["recorder", hook]["calls"] for hook in n} == n
    assert found["recorder", "dump_file"]["microseconds"] > 0 and found["recorder", "images"]["bytes"] > 0


@pytest.mark.parametrize("value", ["", "x", "-1"])
def test_plugin_timeout_errors(family, folder, value):
    done = run("dump", "-t", family.victim.pid, "-D", folder, "--plugin-timeout", value)
    assert done.returncode != 0 and "plugin-timeout" in done.stderr, done.stderr


def test_needs(family):
    family.plugins.use("recorder-need")
    check_refused(family.dump(expect=1), "plugin recorder", "no-such-driver")
    assert not plugins.select(family.calls(), hook="pause.begin")
    family.assert_goes_on()
