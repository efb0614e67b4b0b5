# SPDX-License-Identifier: GPL-2.0-only
"""The promises of the plugin contract on restore, G14 to G20 (and the halves of G7 and G16 that belong there). Each is a function
over the recorded calls; it is used on a good log and on mutated ones, which it must not accept. One dump serves all restores of a
tree, as a restore that fails leaves nothing. CRIU_PLUGINS=all fails every hook at every task in every way."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from lib import host, plugins
from lib.criu import CRIU, LIMIT, TOP, Images, errors
from lib.plugins import moved, places, refused, without

ALL = os.environ.get("CRIU_PLUGINS") == "all"
CRIT = TOP / "build/bin/crit"
STAGES = ("start", "namespaces", "forked", "files", "mappings", "memory", "held")

@pytest.fixture(scope="module", autouse=True)
def own_mounts():
    plugins.private_mounts()

class Tree:
    """A tree that was dumped and is gone; restored as often as wanted."""

    def __init__(self, folder, device, victims, program, *args, use=("recorder",), **options):
        self.folder = Path(folder)
        self.folder.mkdir()
        self.device = device
        self.victim = victims.start(program, self.folder / "program", *([] if program == "paths" else [device.path]), *args)
        self.pids = self.victim.pids
        self.fds = {pid: host.fds(pid) for pid in self.pids}
        self.plugins = plugins.Plugins(self.folder, device, *use)
        self.images = Images(self.folder / "images")
        self.images.dump(self.victim.pid, *self.plugins.options(**options), env=self.plugins.env)
        self.offsets = {h.node: h.offset for h in device.log(op="checkpoint")}
        self.gone()

        self.log_of_dump = plugins.read_log(self.plugins.log)

    def gone(self):
        self.victim.wait_gone()

    def restore(self, *words, expect=0, use=None, images=None, **options):
        """The log of the restore; the calls are in self.calls()."""
        self.victim.forget_end()
        self.plugins.forget()
        self.device.forget()
        if use is not None:
            self.plugins.use(*use)
        text = (images or self.images).restore(*words, *self.plugins.options(**options), expect=expect, env=self.plugins.env)
        if expect:
            self.assert_nothing()
        return text

    def begin(self, *words, **options):
        """A restore that goes on meanwhile."""
        self.victim.forget_end()
        self.plugins.forget()
        command = [CRIU, "restore", "-d", "-D", self.images.folder, "-W", self.images.work, *words, *self.plugins.options(**options)]
        return subprocess.Popen([str(word) for word in command], env={**os.environ, **self.plugins.env}, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def calls(self, **wanted):
        return plugins.select(plugins.read_log(self.plugins.log), **wanted)

    def verify(self):
        """It finds all as it was, and ends."""
        self.victim.verify()
        self.device.assert_good()
        for pid in self.pids:
            host.wait_until(lambda pid=pid: host.is_gone(pid), f"pid {pid}: end")

    def assert_nothing(self):
        host.wait_until(lambda: all([host.is_gone(pid) for pid in self.pids]), "nothing runs")
        host.wait_until(lambda: not self.device.handles(), "no file of the device is open")
        assert not self.device.quiet()

@pytest.fixture(scope="module")
def place():
    folder = Path(tempfile.mkdtemp(prefix="criu-test-"))
    folder.chmod(0o755)
    with plugins.FakeDevice(folder) as device, plugins.Victims() as victims:
        yield folder, device, victims
    shutil.rmtree(folder, ignore_errors=True)

def tree_fixture(name, program, *args, **kwargs):
    @pytest.fixture(scope="module", name=name)
    def fixture(place):
        folder, device, victims = place
        return Tree(folder / name, device, victims, program, *args, **kwargs)
    return fixture

# Three tasks, shared files, imports; six files each in permutations; two plugins.
family = tree_fixture("family", "family")
mixed = tree_fixture("mixed", "files", "b0,a0", "a1,b1", "b2,a2")
swapped = tree_fixture("swapped", "files", "b0,a0", "a1,b1", "b2,a2", use=("recorder-swapped",))
within = tree_fixture("within", "files", "b0,a0", "a1,b1", "b2,a2", use=("recorder-task",))
two = tree_fixture("two", "files", "c0,b0,a0", "a1,c1,b1", "b2,a2", use=("recorder", "other"))

@pytest.fixture(autouse=True)
def standard(request):
    """The plugins of a tree are those of its dump when a test begins; and nobody runs when it ends."""
    yield
    for name in ("family", "mixed", "two"):
        if name in request.fixturenames:
            tree = request.getfixturevalue(name)
            tree.plugins.use(*(("recorder", "other") if name == "two" else ("recorder",)))
            host.kill_tree(tree.victim.pid)
            host.wait_until(lambda tree=tree: all([host.is_gone(pid) for pid in tree.pids]), "it is gone")

# ---- G14 ----

def check_begun_first(log, names):
    """restore_begin() of every plugin is over, with success, before any process of a task calls anything."""
    tool = log[0].pid
    begun = [places(log, plugin=name, hook="restore_begin", event="leave", result=0) for name in names]
    assert all(len(at) == 1 for at in begun), "restore_begin: once for each"
    in_tasks = [i for i, entry in enumerate(log) if entry.pid != tool]
    assert in_tasks and max(at[0] for at in begun) < in_tasks[0]
    assert all(log[at[0]].pid == tool for at in begun)

def test_g14_begin_before_anything(two):
    two.restore()
    log = two.calls()
    two.verify()
    check_begun_first(log, ("recorder", "other"))
    refused(check_begun_first, moved(log, lambda e: e.hook == "restore_begin" and e.plugin == "other", len(log)), ("recorder", "other"))
    refused(check_begun_first, without(log, lambda e: e.hook == "restore_begin"), ("recorder", "other"))

def check_nothing_yet(pids, tool, mounts):
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")], "a process is there"
    assert host.read(f"/proc/{tool}/mountinfo") == mounts

def stopped(pid):
    return host.state(pid) == "T"

def test_g14_nothing_exists_when_it_is_called(mixed):
    """The tool stops in restore_begin(), and the host is looked at; stopped in a task's hook the check fails."""
    mounts = Path("/proc/self/mountinfo").read_text()
    for where in ("restore_begin", "barrier.forked"):
        with mixed.begin(fail=f"{where}:stop") as tool:
            host.wait_until(lambda w=where: mixed.calls(hook=w, event="enter"), where)
            host.wait_until(lambda t=tool: stopped(t.pid), "the tool stops")
            if where == "restore_begin":
                check_nothing_yet(mixed.pids, tool.pid, mounts)
            else:
                refused(lambda _log, t=tool: check_nothing_yet(mixed.pids, t.pid, mounts), None)
            tool.send_signal(signal.SIGCONT)
            assert tool.wait(LIMIT) == 0
        mixed.verify()

def lacks_nothing_of(tree, text, *words):
    """Refused with all the words, and no process was there: no hook ran in one."""
    causes = errors(text)
    assert causes and all(word in causes[0] for word in words), text[-3000:]
    log = tree.calls()
    assert not [e for e in log if e.hook not in ("probe", "exit")], "was begun"

def test_g14_missing(mixed):
    lacks_nothing_of(mixed, mixed.restore(expect=1, use=()), "recorder", "the images need it")

def test_g14_missing_without_a_directory(mixed):
    mixed.plugins.forget()
    text = mixed.images.restore(expect=1, env={"CRIU_LIBS_DIR": ""})
    lacks_nothing_of(mixed, text, "recorder", "the images need it")
    mixed.assert_nothing()

def test_g14_one_of_two_missing(two):
    lacks_nothing_of(two, two.restore(expect=1, use=("recorder",)), "other", "the images need it")

def test_g14_other_major(mixed):
    lacks_nothing_of(mixed, mixed.restore(expect=1, use=("recorder-newer",)), "recorder", "version 2.0", "version 1.1")

def test_g14_absent(mixed):
    lacks_nothing_of(mixed, mixed.restore(expect=1, probe="absent"), "recorder", "absent")

def test_g14_idle_is_used(mixed):
    """Idle is no refusal: the images say that it has something to do."""
    mixed.restore(probe="idle")
    mixed.verify()

def test_g14_needs(mixed):
    lacks_nothing_of(mixed, mixed.restore(expect=1, use=("recorder-need",)), "recorder", "no-such-driver")

# ---- G15 ----

def check_barriers(log, names):
    """barrier(S): once for each plugin in load order, in the coordinator, after all of S and before all of the next stage."""
    tool = log[0].pid
    got = [(e.plugin, e.hook) for e in log if e.event == "enter" and str(e.hook).startswith("barrier.")]
    assert got == [(name, f"barrier.{stage}") for stage in STAGES for name in names]
    assert {e.pid for e in log if str(e.hook).startswith("barrier.")} == {tool}
    work = {"forked": ["task_stage.forked"], "files": ["task_stage.files", "restore_file"],
            "mappings": ["task_stage.mappings", "update_mapping"]}
    for stage, hooks in work.items():
        inside = places(log, hook=hooks)
        before = places(log, hook=f"barrier.{STAGES[STAGES.index(stage) - 1]}")
        after = places(log, hook=f"barrier.{stage}")
        assert inside and before[-1] < inside[0] and inside[-1] < after[0], stage

def test_g15_stage_barriers(two):
    two.restore()
    log = two.calls()
    two.verify()
    names = ("other", "recorder")
    check_barriers(log, names)
    for stage in ("forked", "files", "mappings"):
        # One file later than the barrier; the barrier twice, in one plugin only, in the other order.
        first = places(log, hook=f"task_stage.{stage}", event="leave")[0]
        refused(check_barriers, moved(log, lambda e, x=log[first]: e is x, len(log)), names)
        refused(check_barriers, without(log, lambda e, s=stage: e.hook == f"barrier.{s}" and e.plugin == "other"), names)
    refused(check_barriers, log, tuple(reversed(names)))

def check_task_stages(log, n_tasks):
    for stage in ("forked", "files", "mappings"):
        entries = [e for e in log if e.hook == f"task_stage.{stage}" and e.event == "enter"]
        assert sorted(e.index for e in entries) == list(range(n_tasks)), stage
        assert all(e.pid == e.task for e in entries), "in the task's own process"

def test_g15_task_stages(family):
    family.restore()
    log = family.calls()
    family.verify()
    check_task_stages(log, 3)
    one = next(e for e in log if e.hook == "task_stage.files" and e.index == 1)
    refused(check_task_stages, without(log, lambda e: e is one), 3)
    refused(check_task_stages, log + [one], 3)

# ---- G7, G16 ----

def check_once(log, n_files):
    """Each open file is made once, by its first holder, before any mapping."""
    made = [e for e in log if e.hook == "restore_file" and e.event == "leave" and e.result == 0]
    assert sorted(e.file for e in made) == sorted({e.file for e in made}) and len(made) == n_files
    assert places(log, hook="restore_file")[-1] < places(log, hook="update_mapping")[0]

def test_g07_once_per_open_file(family):
    family.restore()
    log = family.calls()
    family.verify()
    check_once(log, 6)
    dumped = {e.file: e.task for e in family.log_of_dump if e.hook == "dump_file" and e.event == "enter"}
    assert dumped == {e.file: e.task for e in log if e.hook == "restore_file" and e.event == "enter"}
    last = plugins.select(log, hook="restore_file", event="leave")[-1]
    refused(check_once, log + [last], 6)
    refused(check_once, without(log, lambda e: e is last), 6)

def check_tree_order(log, first, second):
    """No file of the second class is begun anywhere before the last of the first is made everywhere."""
    made = places(log, hook="restore_file", event="leave", **{"class": first})
    begun = places(log, hook="restore_file", event="enter", **{"class": second})
    assert made and begun and made[-1] < begun[0]

def check_task_order(log, first, second):
    for index in {e.index for e in log if e.hook == "restore_file"}:
        check_tree_order([e for e in log if e.index == index], first, second)

def test_g16_tree_order(mixed, swapped):
    """Rules of the tree: a before b; the plugin with the rule the other way round shows what a broken order looks like."""
    mixed.restore()
    log = mixed.calls()
    mixed.verify()
    check_tree_order(log, "recorder.a", "recorder.b")
    swapped.restore(mapping_fd="yes", expect=None)
    other = swapped.calls()
    host.kill_tree(swapped.victim.pid)
    refused(check_tree_order, other, "recorder.a", "recorder.b")

def test_g16_task_order(within):
    within.restore()
    log = within.calls()
    within.verify()
    check_task_order(log, "recorder.a", "recorder.b")
    a = next(e for e in log if e.hook == "restore_file" and e.index == 1 and e["class"] == "recorder.a" and e.event == "leave")
    refused(check_task_order, moved(log, lambda e: e is a, len(log)), "recorder.a", "recorder.b")

def check_waited(log):
    """Who waits is called again, once, and only when there is what it waits for."""
    for file in {e.file for e in log if e.hook == "restore_file" and e["class"] == "recorder.b"}:
        results = [e.result for e in log if e.file == file and e.hook == "restore_file" and e.event == "leave"]
        assert results == [2, 0], f"file {file}: {results}"

@pytest.mark.parametrize("how", ["key", "class"])
def test_g16_wait(within, how):
    within.restore(wait=how)
    log = within.calls()
    within.verify()
    check_waited(log)
    within.restore()
    refused(check_waited, within.calls())
    within.verify()

def duration(log):
    at = [entry.at for entry in log]
    return max(at) - min(at)


@pytest.mark.parametrize("how,said", [
    ("deadlock", "class `recorder."), ("never", "key `never'"), ("get-never", "key `never'"),
])
def test_g16_waiting_that_cannot_end(mixed, how, said):
    """Said within a second, by the clock of the calls; what a machine takes for the same calls if nobody waits may be more."""
    mixed.restore()
    ordinary = duration(mixed.calls(hook="restore_file"))
    mixed.verify()
    text = mixed.restore(expect=1, wait=how)
    assert duration(mixed.calls(hook="restore_file")) < max(1_000_000, 10 * ordinary)
    assert "is not done after" not in text, "nobody waits for a deadline"
    cause = errors(text)[0]
    assert all(f"task {pid} waits for" in cause for pid in mixed.pids) and said in cause, cause
    check_ended_once(mixed.calls())

# ---- G17 ----

def check_met(log, released):
    """Nobody is through before all are there."""
    left = places(log, hook="task_stage.mappings", event="leave")
    assert len(left) == 3 and left[0] >= released

def meet(tree, barrier):
    """One of three stops on its way to the barrier; the log, and how long it was when that one went on."""
    with tree.begin(fail="task_stage.mappings:0:stop", barrier=barrier) as tool:
        host.wait_until(lambda: len(tree.calls(hook="task_stage.mappings", event="enter")) == 3, "all enter")
        host.wait_until(lambda: stopped(tree.pids[0]), "one stops")
        if barrier == "no":
            host.wait_until(lambda: len(tree.calls(hook="task_stage.mappings", event="leave")) == 2, "the others go on")
        length = len(tree.calls())
        os.kill(tree.pids[0], signal.SIGCONT)
        assert tool.wait(LIMIT) == 0
    log = tree.calls()
    tree.verify()
    return log, length

def test_g17_barrier(mixed):
    check_met(*meet(mixed, "yes"))
    refused(check_met, *meet(mixed, "no"))

def check_met_failed(log):
    """All others were through with -ECANCELED."""
    assert [e.result for e in log if e.hook == "task_stage.mappings" and e.event == "leave" and e.index != 1] == [-125, -125]


def test_g17_barrier_of_a_dead_one(mixed):
    """One is killed on its way to the barrier, while the others wait for it; without a barrier nobody waits."""
    for barrier in ("yes", "no"):
        with mixed.begin(fail="task_stage.mappings:1:stop", barrier=barrier) as tool:
            host.wait_until(lambda: len(mixed.calls(hook="task_stage.mappings", event="enter")) == 3, "all enter")
            host.wait_until(lambda: stopped(mixed.pids[1]), "one stops")
            os.kill(mixed.pids[1], signal.SIGKILL)
            assert tool.wait(LIMIT) == 1
        mixed.assert_nothing()
        if barrier == "yes":
            check_met_failed(mixed.calls())
            check_ended_once(mixed.calls())
        else:
            refused(check_met_failed, mixed.calls())


def test_g17_barrier_of_a_failed_one(mixed):
    text = mixed.restore(expect=1, barrier="yes", fail="task_stage.mappings:1:error")
    assert "plugin recorder: task_stage" in errors(text)[0] and f"pid {mixed.pids[1]}" in errors(text)[0]
    # Who has not got that far never comes to it.
    left = [e.result for e in mixed.calls(hook="task_stage.mappings", event="leave") if e.index != 1]
    assert set(left) <= {-125}
    assert len(left) == len([e for e in mixed.calls(hook="task_stage.mappings", event="enter") if e.index != 1])
    check_ended_once(mixed.calls())


def test_g17_exchange(family):
    """Numbers of buffers and descriptors of other processes: a wrong one would be seen by the program."""
    family.restore(mapping_fd="yes")
    family.verify()
    family.restore(mapping_fd="no")
    family.verify()

# ---- G18 ----

def check_offsets(maps, state):
    """Every mapping is of the buffer that the device has now."""
    assert maps and set(maps) <= set(state) and not [m for m in maps if maps[m] != state[m]], (maps, state)

def offsets_of_maps(tree):
    found = {}
    for pid in tree.pids:
        for line in host.maps(pid):
            if str(tree.device.path) in line:
                found[line.rpartition("/")[2]] = int(line.split()[2], 16)
    return found

def test_g18_answer_counts(mixed):
    mixed.restore()
    maps = offsets_of_maps(mixed)
    now = {h.node: h.offset for h in mixed.device.handles()}
    before = {e.node: e.offset for e in mixed.log_of_dump if e.hook == "dump_mapping"}
    check_offsets(maps, now)
    # The device has put them elsewhere: what was saved is wrong.
    assert before.keys() == now.keys()
    refused(lambda _log: check_offsets(before, now), None)
    mixed.verify()

def test_g18_error_counts(mixed):
    text = mixed.restore(expect=1, fail="update_mapping:b1:silent")
    cause = errors(text)[0]
    assert "plugin recorder: update_mapping" in cause and f"pid {mixed.pids[1]}" in cause and "b1" in cause
    check_ended_once(mixed.calls())

# ---- G19 ----

def check_resumed(log, pids):
    """For every task with device state, in tree order, in the coordinator, after all else but the end, in one go."""
    resumed = [e for e in log if e.hook == "resume_late" and e.event == "enter"]
    assert [e.task for e in resumed] == pids and {e.pid for e in resumed} == {log[0].pid}
    at = places(log, hook="resume_late")
    assert all(e.hook in ("resume_late", "restore_end", "exit") for e in log[at[0]:])
    assert places(log, hook="barrier.held")[-1] < at[0] and places(log, hook="restore_end")[0] > at[-1]

def test_g19_resume(family):
    family.restore()
    log = family.calls()
    family.verify()
    check_resumed(log, family.pids)
    refused(check_resumed, moved(log, lambda e: e.hook == "resume_late" and e.index == 2, 10), family.pids)
    refused(check_resumed, without(log, lambda e: e.hook == "resume_late" and e.index == 1), family.pids)
    refused(check_resumed, log, family.pids[::-1])

def check_none_runs(pids):
    for pid in pids:
        states = [host.state(tid) for tid in host.threads(pid)]
        assert states and all(state in "tT" for state in states), f"{pid} runs: {states}"

def test_g19_before_anything_runs(mixed):
    with mixed.begin(fail="resume_late:2:stop") as tool:
        host.wait_until(lambda: mixed.calls(hook="resume_late", index=2, event="enter"), "the last resume")
        host.wait_until(lambda: stopped(tool.pid), "the tool stops")
        check_none_runs(mixed.pids)
        tool.send_signal(signal.SIGCONT)
        assert tool.wait(LIMIT) == 0
    refused(lambda _log: check_none_runs(mixed.pids), None)
    mixed.verify()

@pytest.mark.parametrize("kind", ["error", "silent", "badresult", "segv"])
def test_g19_failing_resume(mixed, kind):
    """Exit status 1, the tree is gone, the cause is named."""
    text = mixed.restore(expect=1, fail=f"resume_late:1:{kind}")
    cause = errors(text)[0]
    assert "plugin recorder: resume_late" in cause and f"pid {mixed.pids[1]}" in cause
    check_ended_once(mixed.calls())

# ---- G20 ----

def check_ended_once(log, fate="failed", names=("recorder",)):
    """restore_end() once for each plugin that had begun, in the coordinator, with what became of it; then exit()."""
    begun = [e.plugin for e in log if e.hook == "restore_begin" and e.event == "leave" and e.result == 0]
    ended = [e for e in log if e.hook == "restore_end" and e.event == "enter"]
    assert sorted(e.plugin for e in ended) == sorted(begun) and sorted(begun) == sorted(names)
    assert all(e.fate == fate and e.final == 1 and e.pid == log[0].pid for e in ended)
    assert all(places(log, hook="exit", plugin=e.plugin, event="enter")[0] > places(log, hook="restore_end", plugin=e.plugin)[-1]
               for e in ended)

def test_g20_end(two):
    names = ("other", "recorder")
    two.restore()
    log = two.calls()
    two.verify()
    check_ended_once(log, "continues", names)
    end = next(e for e in log if e.hook == "restore_end")
    refused(check_ended_once, log + [end], "continues", names)
    refused(check_ended_once, without(log, lambda e: e is end), "continues", names)
    refused(check_ended_once, log, "failed", names)
    # The one whose beginning failed is not told of the end.
    two.restore(expect=1, fail="restore_begin:error")
    check_ended_once(two.calls(), names=("other",))
    two.restore(expect=1, other__fail="restore_begin:error")
    check_ended_once(two.calls(), names=())

def test_g20_a_beginning_that_succeeds_too_late(mixed):
    text = mixed.restore("--plugin-timeout", plugins.OVERRUN, expect=1, fail="restore_begin:late")
    assert f"plugin recorder: restore_begin: {plugins.OVERRUN_SAID}" in errors(text)[0]
    check_ended_once(mixed.calls())

def test_g20_a_failing_end_is_no_secret(mixed):
    text = mixed.restore(fail="restore_end:error")
    assert "plugin recorder: restore_end" in text
    check_ended_once(mixed.calls(), "continues")
    mixed.verify()

def check_fds(now, before):
    assert now == before

def test_g20_kept_descriptors(family):
    """What the plugin keeps is not among the task's, and in the way of none of them."""
    family.restore(keep="yes")
    now = {pid: host.fds(pid) for pid in family.pids}
    check_fds(now, family.fds)
    now[family.pids[1]][1000] = "/dev/null"
    refused(lambda _log: check_fds(now, family.fds), None)
    family.verify()

# ---- every hook, every way ----

IN_TOOL = ["restore_begin", *(f"barrier.{stage}" for stage in STAGES)]
IN_TASK = ["task_stage.forked", "task_stage.files", "restore_file", "task_stage.mappings", "update_mapping"]
PER_TASK = [*IN_TASK, "resume_late"]
KINDS = ["error", "hang", "segv", "kill", "int"]

def all_faults():
    for kind in KINDS:
        for hook in IN_TOOL + PER_TASK:
            for task in range(3) if hook in PER_TASK else [""]:
                yield hook, task, kind

def some_faults():
    """Every hook with an error at each task, each other kind at one task; hangs take a second and more."""
    for n, (hook, task, kind) in enumerate(all_faults()):
        if kind == "error" or (task in ("", n % 3) and (kind != "hang" or hook in ("barrier.files", "restore_file", "resume_late"))):
            yield hook, task, kind

@pytest.mark.parametrize("hook,task,kind", list(all_faults() if ALL else some_faults()))
def test_every_hook_fails(mixed, hook, task, kind):
    words = ["--plugin-timeout", plugins.OVERRUN] if kind == "hang" else []
    in_tool = hook not in IN_TASK
    status = -signal.SIGKILL if kind == "kill" and in_tool else None if kind == "int" else 1
    text = mixed.restore(*words, expect=status, fail=":".join(str(word) for word in (hook, task, kind) if word != ""))
    log = mixed.calls()
    if kind == "int":
        # Too late to be cancelled, or cancelled.
        if mixed.calls(hook="restore_end", fate="continues"):
            mixed.verify()
            return
        mixed.assert_nothing()
        check_ended_once(log, names=() if hook == "restore_begin" and not places(log, hook="restore_end") else ("recorder",))
        return
    if status == 1:
        check_ended_once(log, names=() if hook == "restore_begin" else ("recorder",))
        cause = errors(text)[0]
        assert "plugin recorder: " + hook.split(".")[0] in cause, cause
        assert task == "" or f"pid {mixed.pids[task]}" in cause, cause

# ---- the image ----

@pytest.fixture
def copy(mixed, folder):
    """Images that may be damaged: a copy, without digests."""
    images = Images(folder / "images")
    shutil.copytree(mixed.images.folder, images.folder, dirs_exist_ok=True)
    for path in images.folder.glob("digests*"):
        path.unlink()
    return images

def refused_image(tree, images, *words):
    text = tree.restore(expect=1, images=images)
    causes = errors(text)
    assert causes and all(word in causes[0] for word in words), causes or text[-2000:]
    assert not [e for e in tree.calls() if e.hook not in ("probe", "exit")], "something was begun"

def edit(images, change):
    path = images.folder / "plugins.img"
    data = json.loads(subprocess.run([CRIT, "decode", "-i", path], capture_output=True, check=True).stdout)
    data["entries"] = change(data["entries"])
    subprocess.run([CRIT, "encode", "-o", path], input=json.dumps(data).encode(), check=True)

def test_image_truncated(mixed, copy):
    path = copy.folder / "plugins.img"
    data = path.read_bytes()
    step = 1 if ALL else max(1, len(data) // 12)
    for size in range(0, len(data) - 1, step):
        path.write_bytes(data[:size])
        refused_image(mixed, copy)

def test_image_without_a_file_of_it(mixed, copy):
    (copy.folder / "plugins.img").unlink()
    refused_image(mixed, copy)

@pytest.mark.parametrize("kind", ["plugin", "file", "mapping", "data"])
def test_image_without_an_entry(mixed, copy, kind):
    def change(entries):
        at = next(i for i, entry in enumerate(entries) if kind in entry)
        return entries[:at] + entries[at + 1:]
    edit(copy, change)
    refused_image(mixed, copy)

@pytest.mark.parametrize("kind,key,value,said", [
    ("file", "class_name", "nobody.x", "nobody.x"), ("file", "class_name", "recorder.x", "recorder.x"),
    ("file", "pid", 4_000_000, "4000000"), ("file", "id", 0x7777, "no loaded plugin restores this file"),
    ("mapping", "class_name", "nobody.x", "nobody.x"), ("mapping", "pid", 4_000_000, "4000000"),
    ("mapping", "start", 0x1000, "no loaded plugin handles"), ("plugin", "name", "nobody", "nobody"), ("plugin", "version", "9.0", "9.0"),
    ("plugin", "version", "1.2", "1.2"), ("data", "plugin", "nobody", "nobody"),
])
def test_image_with_what_is_not_there(mixed, copy, kind, key, value, said):
    def change(entries):
        next(entry for entry in entries if kind in entry)[kind][key] = hex(value) if key == "start" else value
        return entries
    edit(copy, change)
    refused_image(mixed, copy, said)

def test_image_twice(mixed, copy):
    for kind in ("file", "mapping", "plugin"):
        saved = (copy.folder / "plugins.img").read_bytes()
        edit(copy, lambda entries, k=kind: entries + [next(e for e in entries if k in e)])
        refused_image(mixed, copy, "twice")
        (copy.folder / "plugins.img").write_bytes(saved)

def test_image_flipped(mixed, copy):
    """Every byte: refused before anything exists, or refused by the plugin, or restored; no crash, nothing left."""
    path = copy.folder / "plugins.img"
    data = path.read_bytes()
    for at in range(0, len(data), 1 if ALL else len(data) // 15):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1:])
        done = mixed.restore(expect=None, images=copy, wait="")
        if mixed.calls(hook="restore_end", fate="continues"):
            for pid in host.tree(mixed.victim.pid):
                os.kill(pid, signal.SIGKILL)
        else:
            assert errors(done), f"byte {at}"
        mixed.assert_nothing()

# ---- who needs what ----

def inventory(tree):
    out = subprocess.run([CRIT, "decode", "-i", tree.images.folder / "inventory.img"], capture_output=True, check=True).stdout
    return json.loads(out)["entries"][0]["plugins_entry"]

def test_images_name_what_they_need(mixed, two):
    assert inventory(mixed)["plugins"] == ["recorder"]
    assert sorted(inventory(two)["plugins"]) == ["other", "recorder"]

def test_plugin_that_owns_nothing_is_not_needed(place):
    folder, device, victims = place
    tree = Tree(folder / "none", device, victims, "paths", "/dev/null", use=("recorder", "other"))
    assert not inventory(tree).get("plugins")
    assert not (tree.images.folder / "plugins.img").exists()
    tree.restore(use=())
    assert not tree.calls()
    tree.victim.verify()

def test_plugin_absent_by_its_note(place):
    """Not loaded where the images name no plugin; but if they are so old that they cannot."""
    folder, device, victims = place
    tree = Tree(folder / "noted", device, victims, "paths", "/dev/null", use=("recorder-absent",))
    said = "recorder-absent.so: is not loaded: is absent, as there is no /proc/no/device"
    words, env = ("-L", tree.plugins.folder), {"CRIU_RECORDER_LOG": str(tree.plugins.log)}
    for is_old in (False, True):
        if is_old:
            path = tree.images.folder / "inventory.img"
            data = json.loads(subprocess.run([CRIT, "decode", "-i", path], capture_output=True, check=True).stdout)
            del data["entries"][0]["plugins_entry"]
            subprocess.run([CRIT, "encode", "-o", path], input=json.dumps(data).encode(), check=True)
            for digests in tree.images.folder.glob("digests*"):
                digests.unlink()
        tree.victim.forget_end()
        tree.plugins.forget()
        text = tree.images.restore(*words, env=env)
        assert (said in text) != is_old, text[-3000:]
        assert bool(tree.calls(hook="restore_end")) == is_old
        tree.victim.verify()
        tree.victim.wait_gone()

def test_images_load_what_they_name(mixed):
    """A note does not keep away the plugin that the images need: it answers for itself, without options."""
    mixed.plugins.use("recorder-absent")
    mixed.plugins.forget()
    mixed.victim.forget_end()
    mixed.images.restore("-L", mixed.plugins.folder, expect=None, env={"CRIU_RECORDER_LOG": str(mixed.plugins.log)})
    assert mixed.calls(hook="probe", event="leave")
