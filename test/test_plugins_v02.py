# SPDX-License-Identifier: GPL-2.0-only
"""Plugins of the interface of CRIU 4.2: the call sequences, the symbols of the host, and the defects of that design, which ours must
not have, one test each (test_defect_2a_NN_...). What reaches the hooks is /dev/fuse, a character device that the tool cannot dump.

Numbers without a test, and why:
  07  registers of threads that cannot be set again: no way to provoke it from outside
  08  exit() in pre-dump: there is no pre-dump command yet; init() is told 0 (dump) and 2 (restore), 1 is pre-dump's
  19  external mounts, 20 external unix sockets, 22 external network devices: nothing calls these hooks yet"""

import json
import os
import subprocess

import pytest

from lib import host, plugins
from lib.criu import CRIU, LIMIT, TOP, Images, errors

CRIT = TOP / "build/bin/crit"
FUSE = "/dev/fuse"
SYMBOLS = """criu_get_image_dir add_inventory_plugin check_and_remove_inventory_plugin print_on_level opts criu_run_id root_item
has_children find_unused_fd_pid fdstore_add fdstore_get shmalloc send_fds __recv_fds img_streamer_open read_fd_link fi_strategy
alarm_timeouted close_fds compel_wait_task parse_pid_status set_compel_interrupt_only_mode""".split()


@pytest.fixture(scope="module", autouse=True)
def own_mounts():
    plugins.private_mounts()


@pytest.fixture
def victims(tidy):
    with plugins.Victims() as victims:
        yield victims


class Run:
    """A program with /dev/fuse in one or two tasks, plugins, images."""

    def __init__(self, folder, victims, *names, words=("fork",), device=None, program="paths", device_path=FUSE, **env):
        self.program = victims.start(program, folder / "program", *([device.path] if device else []), *words,
                                     *([device_path] if program == "paths" and device_path else []))
        self.pids = self.program.pids
        self.plugins = plugins.Plugins(folder, device, *names)
        self.env = {**self.plugins.env, "CRIU_V02_MATCH": FUSE, "CRIU_LEGACY_MATCH": FUSE, **env}
        self.images = Images(folder / "images")

    def dump(self, *words, expect=0, env=None, **options):
        self.plugins.forget()
        text = self.images.dump(self.program.pid, *words, *self.plugins.options(**options), expect=expect, env={**self.env, **(env or {})})
        if expect == 0:
            self.program.wait_gone()
        return text

    def restore(self, *words, expect=0, env=None, **options):
        self.plugins.forget()
        text = self.images.restore(*words, *self.plugins.options(**options), expect=expect, env={**self.env, **(env or {})})
        if expect:
            host.wait_until(lambda: all([host.is_gone(pid) for pid in self.pids]), "nothing runs")
        return text

    def calls(self, **wanted):
        return self.plugins.calls(**wanted)

    def names(self, plugin):
        return [e.hook for e in self.calls(plugin=plugin) if e.hook != "inventory"]

    def verify(self):
        self.program.verify()

    def decode(self, name):
        out = subprocess.run([CRIT, "decode", "-i", self.images.folder / name], capture_output=True, check=True).stdout
        return json.loads(out)["entries"][0]

    def inventory(self):
        return self.decode("inventory.img")["plugins_entry"].get("plugins", [])


@pytest.fixture
def start(folder, victims):
    return lambda *names, **more: Run(folder, victims, *names, **more)


@pytest.fixture
def device(folder, tidy):
    with plugins.FakeDevice(folder) as device:
        yield device


# ---- sequences ----

DUMP = ["init", *["PAUSE_DEVICES"] * 2, *["CHECKPOINT_DEVICES"] * 2, *["DUMP_EXT_FILE"] * 2, "DUMP_DEVICES_LATE", "exit"]
RESTORE = ["init", "RESTORE_INIT", "POST_FORKING", *["RESTORE_EXT_FILE"] * 2, *["RESUME_DEVICES_LATE"] * 2, "exit"]


def check_sequence(names, wanted):
    """POST_FORKING goes along with the tasks that have begun."""
    assert [n for n in names if n != "POST_FORKING"] == [n for n in wanted if n != "POST_FORKING"]
    assert names.count("POST_FORKING") == wanted.count("POST_FORKING")


@pytest.mark.parametrize("name", ["v02", "legacy", "v02-old"])
def test_sequence(start, name):
    run = start(name)
    run.dump()
    who = str(run.plugins.folder / "legacy.so") if name == "legacy" else name
    plugin = "legacy" if name == "legacy" else name
    log = run.calls(plugin=plugin)
    check_sequence(run.names(plugin), DUMP)
    for hook in ("PAUSE_DEVICES", "CHECKPOINT_DEVICES"):
        assert [e.host for e in log if e.hook == hook] == run.pids
    assert [e.host for e in log if e.hook == "DUMP_DEVICES_LATE"] == run.pids[:1]
    assert len({e.pid for e in log}) == 1, "in the tool"
    assert run.inventory() == ([] if name == "legacy" else [who])
    if name != "legacy":
        assert (log[0].stage, log[-1].stage, log[-1].ret) == (0, 0, 0)
    run.restore()
    log = run.calls(plugin=plugin)
    check_sequence(run.names(plugin), RESTORE)
    tool = log[0].pid
    assert sorted(e.pid for e in log if e.hook == "RESTORE_EXT_FILE") == sorted(run.pids), "in the processes of the tasks"
    assert {e.pid for e in log if e.hook not in ("RESTORE_EXT_FILE", "inventory")} == {tool}
    assert [e.host for e in log if e.hook == "RESUME_DEVICES_LATE"] == run.pids
    if name != "legacy":
        assert (log[0].stage, log[-1].stage, log[-1].ret) == (2, 2, 0)
    run.verify()


@pytest.fixture
def block(folder):
    """A block device, which is nothing the tool dumps and can be mapped: 16 pages, each full of its number."""
    path = folder / "disk"
    path.write_bytes(b"".join(bytes([i]) * 4096 for i in range(16)))
    done = subprocess.run(["losetup", "--find", "--show", path], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine gives no loop device: {done.stderr.strip()}")
    yield done.stdout.strip()
    subprocess.run(["losetup", "--detach", done.stdout.strip()], check=True)


MAPPED_DUMP = ["init", "PAUSE_DEVICES", "CHECKPOINT_DEVICES", "HANDLE_DEVICE_VMA", "HANDLE_DEVICE_VMA", "DUMP_EXT_FILE",
               "DUMP_DEVICES_LATE", "exit"]
MAPPED_RESTORE = ["init", "RESTORE_INIT", "POST_FORKING", "RESTORE_EXT_FILE", "UPDATE_VMA_MAP", "UPDATE_VMA_MAP",
                  "RESUME_DEVICES_LATE", "exit"]


def mappings_of(pid, path):
    """By address: offset and first byte of what is mapped."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in host.maps(pid):
            if line.endswith(path):
                words = line.split()
                start = int(words[0].partition("-")[0], 16)
                memory.seek(start)
                found.append((start, words[1], int(words[2], 16), memory.read(1)[0]))
    return found


@pytest.mark.parametrize("name", ["v02", "v02-old"])
@pytest.mark.parametrize("shift", [0, 8192])
def test_mappings(start, block, name, shift):
    """HANDLE_DEVICE_VMA and UPDATE_VMA_MAP; a page of a private mapping is ours, whatever the device has there (defect 24)."""
    env = {"CRIU_V02_MATCH": block, **({"CRIU_V02_SHIFT": str(shift)} if shift else {})}
    run = start(name, words=("map", block), device_path=None, **env)
    before = mappings_of(run.pids[0], block)
    assert sorted((mode, offset, byte) for _, mode, offset, byte in before) == [("rw-p", 4096, ord("o")), ("rw-s", 0, 0)]
    run.dump()
    assert run.names(name) == MAPPED_DUMP
    asked = run.calls(hook="HANDLE_DEVICE_VMA")
    assert {(e.path, e.rdev) for e in asked} == {(block, os.stat(block).st_rdev)} and all(int(str(e.mode), 8) >> 12 == 6 for e in asked)
    vmas = [vma for vma in run.decode(f"mm-{run.pids[0]}.img")["vmas"] if vma["shmid"] and vma["status"] >> 27 & 1]
    assert [int(str(vma["start"]), 0) for vma in vmas] == [start for start, *_ in before]
    run.restore()
    check_sequence(run.names(name), MAPPED_RESTORE)
    calls = run.calls(hook="UPDATE_VMA_MAP")
    assert [(e.path, e.start, e.offset, e.fd) for e in calls] == [(block, start, offset, -1) for start, _, offset, _ in before]
    assert {e.pid for e in calls} == set(run.pids), "in the process of the task"
    assert mappings_of(run.pids[0], block) == [
        (start, mode, offset + shift, byte if mode == "rw-p" else shift // 4096) for start, mode, offset, byte in before]
    run.verify()


def test_mapping_that_nobody_takes(start, block):
    run = start("v02", words=("map", block), device_path=None, CRIU_V02_MATCH=block)
    text = run.dump(expect=1, env={"CRIU_V02_FAIL": "HANDLE_DEVICE_VMA=-95"})
    assert block in errors(text)[0] and "mapping" in errors(text)[0], errors(text)
    run.verify()


def test_defect_2a_10_failing_update(start, block):
    run = start("v02", words=("map", block), device_path=None, CRIU_V02_MATCH=block)
    run.dump()
    text = run.restore(expect=1, env={"CRIU_V02_FAIL": "UPDATE_VMA_MAP=-5"})
    assert "plugin v02: UPDATE_VMA_MAP" in errors(text)[0] and block in text


# ---- what the host offers ----

def test_symbols():
    out = subprocess.run(["nm", "-D", "--defined-only", CRIU], capture_output=True, text=True, check=True).stdout
    kinds = {line.split()[-1].partition("@")[0]: line.split()[-2] for line in out.splitlines()}
    assert not [name for name in SYMBOLS if name not in kinds]
    data = {"opts", "criu_run_id", "root_item", "fi_strategy"}
    assert not [n for n in SYMBOLS if (kinds[n] in "BDRV") != (n in data)]
    out = subprocess.run(["readelf", "-W", "--dyn-syms", CRIU], capture_output=True, text=True, check=True).stdout
    sizes = {line.split()[7].partition("@")[0]: int(line.split()[2], 0) for line in out.splitlines() if len(line.split()) > 7 and
             line.split()[2].isdigit()}
    assert sizes["opts"] == 512 and sizes["criu_run_id"] == 37


def test_host_functions(start):
    run = start("host")
    run.dump("-R", "--timeout", 77, expect=None)
    first = run.calls(hook="try", what="init")[0]
    assert (first.stage, first.final, first.timeout, first.stream, first.id, first.children) == (0, 1, 77, 0, 36, 1)
    assert run.inventory() == ["host"]
    text = run.dump("--timeout", 5)
    log = {e.what: e for e in run.calls(hook="try")}
    assert "host: said this" in text
    assert (log["init"].stage, log["init"].final, log["init"].timeout, log["init"].alarm) == (0, 2, 5, 0)
    assert (log["link"].length, log["link"]["is"], log["link"].small, log["link"].bad) == (9, 1, -1, -1)
    assert log["send_fds"].good == 70
    run.restore()
    entries = run.calls(hook="try")
    log = {e.what: e for e in entries}
    assert (log["init"].stage, log["init"].children) == (2, 1) and log["images"].inventory == 1 and log["send_fds"].good == 70
    stores = [e for e in entries if e.what == "store"]
    assert sorted(e.pid for e in stores) == sorted(run.pids)
    assert {(e.link, e.images, e.unknown) for e in stores} == {(FUSE, 1, -1)}
    assert sorted(e.own for e in stores) == [1, 2] and all(e.unused > 3 for e in stores)
    assert log["shared"].tasks == 2
    run.verify()


def test_many_kept_descriptors(start):
    """A few thousand more than a socket takes by itself."""
    run = start("host")
    run.dump()
    run.restore(env={"CRIU_HOST_KEEP": "6000"})
    entry = run.calls(hook="try", what="many")[0]
    assert (entry.first, entry.last, entry.good, entry.none, entry.bad) == (1, 6000, entry.of, -1, -1)
    assert sorted(e.own for e in run.calls(hook="try", what="store")) == [6001, 6002], "behind them, in the tasks"
    run.verify()


def test_missing_plugin_is_named(start):
    run = start("v02")
    run.dump()
    run.plugins.use()
    text = run.restore(expect=1)
    assert "v02" in errors(text)[0] and "the images need it" in errors(text)[0]
    run.plugins.use("v02")
    run.restore()
    run.verify()


# ---- defects ----

def test_defect_2a_01_later_failure_counts(start):
    run = start("v02")
    text = run.dump(expect=1, env={"CRIU_FAIL_STEP": "inventory"})
    assert len(run.calls(hook="DUMP_DEVICES_LATE")) == 1
    assert errors(text)
    assert run.calls(plugin="v02")[-1].hook == "exit" and run.calls(plugin="v02")[-1].ret != 0
    run.verify()


def test_defect_2a_02_all_get_phase_hooks(start):
    run = start("v02", "v02-second", "legacy")
    run.dump()
    for hook in ("PAUSE_DEVICES", "CHECKPOINT_DEVICES", "DUMP_DEVICES_LATE"):
        for plugin in ("v02", "v02-second", "legacy"):
            pids = run.pids if hook != "DUMP_DEVICES_LATE" else run.pids[:1]
            assert [e.host for e in run.calls(plugin=plugin, hook=hook)] == pids, (plugin, hook)
    run.restore()
    for plugin in ("v02", "v02-second", "legacy"):
        assert [e.host for e in run.calls(plugin=plugin, hook="RESUME_DEVICES_LATE")] == run.pids
        for hook in ("RESTORE_INIT", "POST_FORKING"):
            assert len(run.calls(plugin=plugin, hook=hook)) == 1, (plugin, hook)
    run.verify()


@pytest.mark.parametrize("names,order", [(("a=v02", "b=v02-second"), ["v02", "v02-second"]),
                                         (("b=v02", "a=v02-second"), ["v02-second", "v02"])])
def test_defect_2a_03_order_of_names(start, names, order):
    run = start(*names)
    run.dump("-R", expect=None)
    assert [e.plugin for e in run.calls(hook="init")] == order
    assert [e.plugin for e in run.calls(hook="exit")] == order
    # The first of them takes the files.
    assert {e.plugin for e in run.calls(hook="DUMP_EXT_FILE")} == {order[0]}
    run.verify()


def test_defect_2a_04_retry_flag_is_initialised(start):
    run = start("v02")
    run.dump()
    run.restore()
    assert {e.retry for e in run.calls(hook="RESTORE_EXT_FILE")} == {0}
    run.verify()


def test_defect_2a_05_retry_ends(start):
    """One task, one file: it is tried again once others are there, and when nobody could make progress any more that is said at once."""
    run = start("v02", words=())
    run.dump()
    text = run.restore(expect=1, env={"CRIU_V02_RETRY": "1000"})
    assert f"task {run.pids[0]} waits for another try of file" in errors(text)[0]
    run.restore(env={"CRIU_V02_RETRY": "1"})
    assert [e["try"] for e in run.calls(hook="RESTORE_EXT_FILE")] == [0, 1]
    run.verify()


def test_defect_2a_06_exit_sees_the_script(start, folder):
    script = folder / "script"
    script.write_text('#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" != post-dump ]\n')
    script.chmod(0o755)
    run = start("v02")
    run.dump("--action-script", script, expect=1)
    assert [e.ret != 0 for e in run.calls(hook="exit")] == [True]
    run.verify()


@pytest.mark.parametrize("step", ["resume", "go-on"])
def test_defect_2a_07_exit_though_nobody_could_go_on(start, device, step):
    """Where giving the threads back fails, the plugins are told all the same and nothing stays paused."""
    run = start("v02", "recorder", device=device, program="files", words=("b0,a0", "a1,b1"))
    run.dump("-R", expect=1, env={"CRIU_FAIL_STEP": step})
    assert [e.ret != 0 for e in run.calls(plugin="v02", hook="exit")] == [True]
    for opening, closing in (("pause.task", "resume.task"), ("pre_dump.task", "post_dump.task")):
        opened, closed = ([e.task for e in run.calls(plugin="recorder", hook=hook)] for hook in (opening, closing))
        assert opened == run.pids and sorted(closed) == sorted(opened), closing
    host.wait_until(lambda: not any(host.tracer(pid) for pid in run.pids), "nobody is traced")
    device.assert_good()
    run.verify()


def test_defect_2a_09_failing_resume(start):
    run = start("v02")
    run.dump()
    text = run.restore(expect=1, env={"CRIU_V02_FAIL": "RESUME_DEVICES_LATE=-5"})
    assert "plugin v02: RESUME_DEVICES_LATE" in errors(text)[0] and str(run.pids[0]) in errors(text)[0]
    assert [e.ret != 0 for e in run.calls(hook="exit")] == [True]


@pytest.fixture
def mapped(start, device):
    return start("recorder", device=device, program="files", words=("b0,a0", "a1,b1"))


def test_defect_2a_10_failing_mapping(mapped):
    mapped.dump()
    for node in ("a0", "b1"):
        text = mapped.restore(expect=1, fail=f"update_mapping:{node}:silent")
        assert "update_mapping" in errors(text)[0] and node in errors(text)[0]


def test_defect_2a_11_pause_before_anything_is_frozen(mapped, device):
    """The tool stops in PAUSE_DEVICES of the last task: all of them run and nobody traces them."""
    command = [CRIU, "dump", "-t", mapped.program.pid, "-R", "-D", mapped.images.folder, *mapped.plugins.options(fail="pause.task:1:stop")]
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tool:
        host.wait_until(lambda: host.state(tool.pid) == "T", "the tool stops")
        assert all(not host.tracer(pid) and host.state(pid) in "SRD" for pid in mapped.pids)
        tool.send_signal(18)
        assert tool.wait(LIMIT) == 0
    mapped.verify()
    device.assert_good()


def test_defect_2a_12_hanging_call(mapped, device):
    text = mapped.dump("--plugin-timeout", plugins.OVERRUN, expect=1, fail="pre_dump.task:1:hang")
    assert "pre_dump.task" in errors(text)[0].replace("pre_dump:", "pre_dump.task:") and str(mapped.pids[1]) in errors(text)[0]
    mapped.verify()
    device.assert_good()


def test_defect_2a_13_calls_say_for_whom(mapped):
    mapped.dump()
    for hook in ("dump_file", "dump_mapping"):
        assert sorted((e.task, e.node) for e in mapped.calls(hook=hook)) == \
            sorted(zip([mapped.pids[0]] * 2 + [mapped.pids[1]] * 2, ["a0", "b0", "a1", "b1"])), hook
    mapped.restore()
    assert {(e.task, e.node) for e in mapped.calls(hook="update_mapping")} == \
        {(e.task, e.node) for e in mapped.calls(hook="restore_file")}
    mapped.verify()


def test_defect_2a_14_only_the_owner_is_asked(start, device):
    run = start("recorder", "other", device=device, program="files", words=("c0,b0,a0", "a1,c1,b1"))
    run.dump()
    run.restore()
    for hook in ("restore_file", "update_mapping"):
        assert {e.node[0] for e in run.calls(plugin="recorder", hook=hook)} == {"a", "b"}
        assert {e.node[0] for e in run.calls(plugin="other", hook=hook)} == {"c"}
    run.verify()


def test_defect_2a_15_what_cannot_be_loaded_breaks_nothing(start):
    run = start("v02")
    (run.plugins.folder / "a.so").write_text("no library")
    (run.plugins.folder / "b.so").symlink_to("/lib/x86_64-linux-gnu/libz.so.1")
    text = run.dump()
    assert "a.so: is not loaded" in text
    run.restore()
    run.verify()


def test_defect_2a_16_version_of_before(start):
    """A descriptor of version 0.1.0 is the plugin's, not ours to free. (Its sequence: test_sequence.)"""
    run = start("v02-old", "v02")
    run.dump()
    assert len(run.calls(plugin="v02-old", hook="exit")) == 1
    run.restore()
    run.verify()


def test_defect_2a_17_exact_names(start):
    run = start("host")
    run.dump()
    assert run.inventory() == ["host"], "twice added is once"
    run.restore()
    entry = run.calls(hook="try", what="inventory")[0]
    assert (entry.prefix, entry.exact, entry.again) == (0, 1, 0)
    run.verify()


@pytest.mark.parametrize("nodes", ["a0", "b0"])
def test_defect_2a_18_what_owns_is_named(start, device, nodes):
    """Whatever kind of file it owns."""
    run = start("recorder", device=device, program="files", words=(nodes,))
    run.dump()
    assert run.inventory() == ["recorder"]
    run.restore()
    run.verify()


def test_defect_2a_21_un_paused_when_all_is_captured(mapped):
    """Nothing is captured behind POST_DUMP_DEVICES, and DUMP_DEVICES_LATE of v0.2."""
    text = mapped.dump()
    steps = [line.split()[-1] for line in text.splitlines() if " step " in line]
    late = steps.index("post-dump-devices")
    assert all(steps.index(step) < late for step in ("memory", "devices-after-memory", "mappings", "memfds"))
    assert mapped.calls(hook="post_dump.begin")[0].at > max(e.at for e in mapped.calls(hook="dump_mapping"))


def test_defect_2a_23_options_at_their_offsets(start):
    run = start("host")
    for words, final in ((("-R",), 1), (("-s",), 3)):
        run.dump(*words, "--timeout", 9, expect=None)
        entry = run.calls(hook="try", what="init")[0]
        assert (entry.final, entry.timeout, entry.stream) == (final, 9, 0)
        if final == 3:
            host.wait_until(lambda: all(host.state(pid) == "T" for pid in run.pids), "stopped")
            for pid in run.pids:
                os.kill(pid, 18)
    run.verify()


@pytest.mark.parametrize("hook", ["pause.task:1", "pre_dump.task:1", "dump_file:1", "post_dump.task:1"])
def test_defect_2a_26_crash_of_a_plugin(mapped, device, hook):
    text = mapped.dump(expect=1, fail=f"{hook}:segv")
    assert "crashed by signal 11" in errors(text)[0] and hook.split(":")[0] in errors(text)[0]
    mapped.verify()
    device.assert_good()


@pytest.mark.parametrize("hook,late", [("init", False), ("PAUSE_DEVICES", False), ("CHECKPOINT_DEVICES", False), ("DUMP_EXT_FILE", False),
                                       ("DUMP_DEVICES_LATE", True)])
@pytest.mark.parametrize("how,said", [("segv", "crashed by signal 11"), ("hang", plugins.OVERRUN_SAID)])
def test_defect_2a_26_v02_alone(start, hook, late, how, said):
    """Calls of this interface are guarded also where no plugin of the contract is loaded."""
    run = start("v02")
    text = run.dump("--plugin-timeout", plugins.OVERRUN, expect=1, env={"CRIU_V02_FAIL": f"{hook}={how}"})
    assert f"plugin v02: {hook}" in errors(text)[0] and said in errors(text)[0], errors(text)
    assert len(run.calls(hook="exit")) == (hook != "init")
    run.verify()


@pytest.mark.parametrize("hook", ["RESTORE_INIT", "RESUME_DEVICES_LATE"])
def test_defect_2a_26_v02_alone_on_restore(start, hook):
    run = start("v02")
    run.dump()
    text = run.restore(expect=1, env={"CRIU_V02_FAIL": f"{hook}=segv"})
    assert f"plugin v02: {hook}" in errors(text)[0] and "crashed by signal 11" in errors(text)[0]


def test_defect_2a_25_threads_that_stay(start):
    """A plugin whose thread runs to the end hides neither success nor what went wrong."""
    run = start("v02", CRIU_V02_THREAD="1")
    text = run.dump(expect=1, env={"CRIU_V02_FAIL": "CHECKPOINT_DEVICES=-5"})
    assert "CHECKPOINT_DEVICES" in errors(text)[0]
    run.dump()
    run.restore()
    run.verify()
