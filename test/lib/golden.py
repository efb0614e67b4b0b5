# SPDX-License-Identifier: GPL-2.0-only
"""Images that CRIU 4.2 wrote of a tree against those that we wrote of the same tree, right after restoring it from the former: field
by field, page by page. What may differ is EXCEPTIONS, each with a check of our value by itself."""

import os
import re
import sys
from pathlib import Path

from lib.criu import TOP

# The decoder of the tree, which knows all fields of 4.2; Debian's is of 3.17 (test_golden.py compares the two).
sys.path.insert(0, str(TOP / "build/lib/python"))
PAGE = 4096

# Numbers that name something: they may be others, but the same thing has the same number everywhere. By field, the space.
NUMBERS = {
    "exe_file_id": "mapped", "cwd_id": "file", "root_id": "file", "regf_id": "file", "orig_id": "file", "files_id": "files",
    "vm_id": "vm", "fs_id": "fs", "sighand_id": "sighand", "pipe_id": "pipe", "shmid": "shmem", "inode_id": "memfd",
    "ino": "inode", "i_ino": "watched", "inode": "polled", "remap_id": "ghost", "dev": "device", "s_dev": "watched device",
}
# Where a field "id" is the number of a file.
FILE_ID = re.compile(r"(fdinfo|files)")

# What an image is a list of: the field that says which entry is which.
KEYS = {"vmas": "start", "fdinfo": "fd", "pipes-data": "pipe_id", "fifo-data": "pipe_id", "memfd": "inode_id",
        "remap-fpath": "orig_id", "tfd": "tfd", "wd": "wd"}

# Status of areas: files' (their shmid is a file's number), those of the kernel, and its vDSO.
FILE_AREA, KERNEL_AREA, VDSO = 0xc0, 0x100c, 0x8
GROWSDOWN = 0x100

NONE = 2**64 - 1
EINTR = 2**64 - 4
PF_FORKNOEXEC, PF_SUPERPRIV = 0x40, 0x100
O_TMPFILE = 0o20200000
# Arrays of the FPU's components, by the flag of /proc/cpuinfo: written if this CPU has it, golden's was another one.
COMPONENTS = {"ymmh_space": "avx", "bndreg_state": "mpx", "bndcsr_state": "mpx", "opmask_reg": "avx512f", "zmm_upper": "avx512f",
              "hi16_zmm": "avx512f", "pkru": "pku", "cet": "user_shstk"}
# Processor time is counted by ticks, and what is left of it is rounded up to the next.
TICK_NS = 10_000_000


def decode(path):
    from pycriu import images
    with open(path, "rb") as image:
        return images.load(image, pretty=False)["entries"]


def cpu_flags():
    text = Path("/proc/cpuinfo").read_text()
    return set(re.search(r"^flags\s*:(.*)", text, re.M)[1].split())


class Field:
    """A field that differs: golden's value and ours (None where there is no such field), and the messages around, innermost last."""

    def __init__(self, comparison, name, values, above):
        self.comparison, self.name = comparison, name
        self.golden, self.ours = values
        self.above = above


def is_called_again(field):
    """A call that sleeps for a time is called anew by our images where CRIU 4.2 makes it return EINTR (registers.c)."""
    a, b = field.above[-1]
    return (a["ax"] == EINTR and b["ax"] == a["orig_ax"] == b["orig_ax"] and b["ip"] == a["ip"] - 2)


def is_of_stopped_task(field):
    """A task that was restored stopped is in no call: the kernel's number of it is not restored."""
    return field.above[0][1]["tc"]["task_state"] == field.above[0][0]["tc"]["task_state"] == 3 and field.ours == NONE


def is_of_other_cpu(field):
    flag = COMPONENTS[field.name] in cpu_flags()
    return flag if field.golden is None else field.ours is None and not flag


def is_initial(field):
    """A CPU may count registers as in use that hold what they begin with."""
    (_, fpregs), (_, xsave) = field.above[-2:]
    values = {1: fpregs["st_space"], 2: fpregs["xmm_space"], 4: xsave.get("ymmh_space", [])}
    differing = field.golden ^ field.ours
    return not differing & ~sum(values) and not any(any(values[bit]) for bit in values if differing & bit)


def is_forked(field):
    """The restored task was forked by criu, which has used its privileges for it, and executed nothing."""
    return field.ours & ~PF_SUPERPRIV == (field.golden | PF_FORKNOEXEC) & ~PF_SUPERPRIV


def is_hexadecimal(field):
    """CRIU 4.2 takes the hexadecimal digits of /proc/PID/personality for decimal ones."""
    return field.ours == int(str(field.golden), 16)


def left_ns(timer):
    return timer["vsec"] * 10**9 + timer.get("vusec", 0) * 1000 + timer.get("vnsec", 0)


def has_run_on(field):
    """What is left of a timer is what was left less the time that has passed since, in its last period where it has one."""
    a, b = field.above[-1]
    period = a["isec"] * 10**9 + a.get("iusec", 0) * 1000 + a.get("insec", 0)
    passed = left_ns(a) - left_ns(b)
    if not left_ns(a) or not left_ns(b):
        return False
    if period and passed < -TICK_NS:
        passed += period
    return -TICK_NS <= passed <= field.comparison.elapsed_ns


def is_own_time_namespace(field):
    """A restored tree has a time namespace of its own, for its clocks."""
    roots = [decode(folder / "inventory.img")[0]["root_ids"]["time_ns_id"] for folder in (field.comparison.theirs, field.comparison.ours)]
    return (field.golden == roots[0] and field.ours != roots[1] and
            [path.name for path in field.comparison.ours.glob("timens-*")] == [f"timens-{field.ours}.img"])


def is_zombie(field):
    """CRIU 4.2 leaves garbage here for a zombie."""
    b = field.above[0][1]
    core = decode(field.comparison.ours / f"core-{b['pid']}.img")[0]
    return core["tc"]["task_state"] == 2 and b["threads"] == [b["pid"]]


def is_tmpfs_handle(field):
    """File handles are the file system's: tmpfs has its generation number and 64 bits of the inode's in 12 bytes."""
    b, watch = field.above[-1][1], field.above[-2][1]
    inode = b["handle"][0] >> 32 | (b["handle"][1] & 0xffffffff) << 32
    return b["bytes"] == 12 and b["type"] == 1 and inode == watch["i_ino"] and not any(b["handle"][2:]) and len(b["handle"]) == 16


def is_run_id(field):
    return re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", field.ours) is not None


def is_nameless_file(field):
    """O_TMPFILE made the file and cannot be set for what is there already."""
    return field.golden & O_TMPFILE == O_TMPFILE and field.ours == field.golden & ~O_TMPFILE


def is_lsm_of_host(field):
    profiles = Path("/sys/kernel/security/apparmor/profiles").exists()
    return field.ours == ("APPARMOR" if profiles else "SELINUX" if Path("/sys/fs/selinux/enforce").exists() else "NO_LSM")


def is_without_audit(field):
    return field.ours is None and not Path("/proc/self/loginuid").exists()


def is_exec_only(field):
    """Memory that can only be executed has a key of the kernel's on a CPU with protection keys; CRIU 4.2 does not save it."""
    mm = field.above[0][1]
    areas = [vma for vma in mm["vmas"] if vma.get("pkey")]
    return field.golden is None and areas and all(vma["prot"] == 4 and vma["pkey"] == mm["exec_only_pkey"] for vma in areas)


# Fields that may have another value: by image and path without the numbers in it, and what must then be true.
EXCEPTIONS = [
    (r"core\.thread_info\.gpregs\.(ax|ip)", is_called_again),
    (r"core\.thread_info\.gpregs\.orig_ax", is_of_stopped_task),
    (rf"core\.thread_info\.fpregs\.xsave\.({'|'.join(COMPONENTS)})", is_of_other_cpu),
    (r"core\.thread_info\.fpregs\.xsave\.xstate_bv", is_initial),
    (r"core\.tc\.flags", is_forked),
    (r"core\.tc\.personality", is_hexadecimal),
    (r"core\.tc\.loginuid", is_without_audit),
    (r"core\.tc\.timers\.(real|virt|prof)\.v(sec|usec)", has_run_on),
    (r"core\.tc\.timers\.posix\.v(sec|nsec)", has_run_on),
    (r"files\.tfd\.v(sec|nsec)", has_run_on),
    (r"ids\.time_ns_id", is_own_time_namespace),
    (r"mm\.(exec_only_pkey|vmas\.pkey)", is_exec_only),
    (r"pstree\.threads", is_zombie),
    (r"files\.(ify\.wd|ffy\.mark\.ie)\.f_handle\.(bytes|handle)", is_tmpfs_handle),
    (r"files\.reg\.flags", is_nameless_file),
    (r"inventory\.dump_criu_run_id", is_run_id),
    (r"inventory\.lsmtype", is_lsm_of_host),
]


class Comparison:
    """Golden's fields against ours; what numbers name is matched on the way."""

    def __init__(self, theirs, ours, elapsed_ns):
        self.theirs, self.ours, self.elapsed_ns = theirs, ours, elapsed_ns
        self.there, self.back, self.mapped = {}, {}, set()
        self.different = []
        self.used = set()

    def say(self, where, text):
        self.different.append(f"{where}: {text}")

    def say_field(self, where, name, values, above):
        place = re.sub(r"(-[0-9a-f]+)?[.]img|\[[^]]*\]", "", where)
        for pattern, is_right in EXCEPTIONS:
            if re.fullmatch(pattern, place) and is_right(Field(self, name, values, above)):
                self.used.add(pattern)
                return
        self.say(where, "golden has {}, ours {}".format(*("no such field" if value is None else value for value in values)))

    def number(self, space, a, b, where):
        """The same thing has the same number everywhere: a mapping, in both directions. A mapped file may share the number of a
        descriptor or not, as it comes: files() compares what they lead to."""
        if space == "mapped":
            self.mapped.add((a, b))
            return
        there = self.there.setdefault((space, a), b)
        back = self.back.setdefault((space, b), a)
        if there != b or back != a:
            self.say(where, f"golden's {space} {a} was ours {there}, ours {b} was golden's {back}")

    def space(self, name, where, message):
        if name == "shmid" and message.get("status", 0) & FILE_AREA or name == "id" and FILE_ID.match(where):
            return "file" if name == "id" else "mapped"
        return NUMBERS.get(name)

    def message(self, a, b, where, above):
        above = [*above, (a, b)]
        for key in {**a, **b}:
            place, space = f"{where}.{key}", self.space(key, where, a)
            if key not in a or key not in b:
                self.say_field(place, key, (a.get(key), b.get(key)), above)
            elif space and isinstance(a[key], int) and a[key] and b[key]:
                self.number(space, a[key], b[key], place)
            else:
                self.value(a[key], b[key], place, key, above)

    def value(self, a, b, where, name, above):
        if isinstance(a, dict) and isinstance(b, dict):
            self.message(a, b, where, above)
        elif isinstance(a, list) and isinstance(b, list) and a and isinstance(a[0], dict):
            self.entries(a, b, where, name, above)
        elif a != b:
            self.say_field(where, name, (a, b), above)

    def entries(self, a, b, where, name, above=()):
        """Two lists: by position, or by what says which entry is which."""
        if len(a) != len(b):
            self.say(where, f"golden has {len(a)} entries, ours {len(b)}")
        key = KEYS.get(name)
        if not key:
            for i, (x, y) in enumerate(zip(a, b)):
                self.message(x, y, f"{where}[{i}]", above)
            return
        b = {entry.get(key): entry for entry in b}
        for entry in a:
            which = entry.get(key)
            which = self.there.get((NUMBERS[key], which), which) if key in NUMBERS else which
            place = f"{where}[{which}]"
            if which in b:
                self.message(entry, b[which], place, above)
            else:
                self.say(place, f"ours has none: {entry}")

    def image(self, name, name_of_ours=None):
        path = self.ours / (name_of_ours or name)
        if not path.exists():
            self.say(name, f"ours has no {path.name}")
            return
        kind = re.sub(r"-[0-9a-f]+$", "", name.removesuffix(".img"))
        a, b = decode(self.theirs / name), decode(path)
        if kind == "mm":
            # Where another kernel wrote the image, a restored task has a new vDSO at another place, and golden's as plain memory.
            old = [(v["start"], v["end"]) for v in a[0]["vmas"] if v["status"] & KERNEL_AREA]
            a, b = ([{**e, "vmas": [v for v in e["vmas"] if not v["status"] & KERNEL_AREA and (v["start"], v["end"]) not in old]}
                     for e in entries] for entries in (a, b))
        self.entries(a, b, name, kind)

    def files(self):
        """Found by the descriptors, and by what has led to them; a path that a FIFO or a terminal names by way of its own entry."""
        a, b = ({entry["id"]: entry for entry in decode(folder / "files.img")} for folder in (self.theirs, self.ours))
        mapped = {golden for golden, _ in self.mapped}
        for number, entry in sorted(a.items(), key=lambda item: item[1]["type"] == "REG"):
            mine = self.there.get(("file", number))
            where = f"files.img[{entry['type']} {number}]"
            if mine in b:
                self.message(entry, b[mine], where, [])
            elif number not in mapped:
                self.say(where, f"ours has none: {entry}")
        for number, mine in self.mapped:
            x, y = ({kind: {key: value for key, value in inner.items() if key not in ("id", "flags", "pos")}
                     for kind, inner in entry.items() if isinstance(inner, dict)} for entry in (a[number], b[mine]))
            self.message(x, y, f"files.img[mapped {number}]", [])
        for number in b:
            if ("file", number) not in self.back and number not in {mine for _, mine in self.mapped}:
                self.say("files.img", f"nothing leads to our {b[number]}")

    def pages(self, folder, name):
        """By address: the flags and the bytes."""
        head, *entries = decode(folder / name)
        path = folder / f"pages-{head['pages_id']}.img"
        data = path.read_bytes() if path.exists() else b""
        pages, at = {}, 0
        for entry in entries:
            for i in range(entry["nr_pages"]):
                pages[entry["vaddr"] + i * PAGE] = entry["flags"], data[at:at + PAGE]
                at += PAGE
        if at != len(data):
            self.say(name, f"{path.name} has {len(data)} bytes, the page map {at}")
        return pages

    def task_memory(self, name):
        """The same pages with the same bytes. May differ: the vDSO's code, and there may be a new one; what the kernel writes into a registered rseq; a thread's few
        words above its stack pointer, its thread-local variables and the library's description of it, as threads poll. Ours may have one
        page of zeros more: that of the main stack just below the lowest, which a dump has used."""
        pid = name.removeprefix("pagemap-").removesuffix(".img")
        a, b = self.pages(self.theirs, name), self.pages(self.ours, name)
        areas, ours = (decode(folder / f"mm-{pid}.img")[0]["vmas"] for folder in (self.theirs, self.ours))
        new = [range(vma["start"], vma["end"]) for vma in ours if vma["status"] & VDSO]
        lively = self.lively(pid)
        for at in sorted({*a, *b}):
            area = next((vma for vma in areas if vma["start"] <= at < vma["end"]), None)
            where = f"{name} page {at:#x}"
            if at not in b:
                self.say(where, "ours has none")
            elif area is None:
                if not any(at in part for part in new):
                    self.say(where, "golden has no such area")
            elif at not in a:
                if not (area["flags"] & GROWSDOWN and at + PAGE in a and b[at][0] == a[at + PAGE][0] and not any(b[at][1])):
                    self.say(where, "golden has none")
            elif area["status"] & VDSO:
                continue
            elif a[at][0] != b[at][0]:
                self.say(where, f"golden has flags {a[at][0]}, ours {b[at][0]}")
            else:
                wrong = [i for i in range(PAGE) if a[at][1][i] != b[at][1][i] and not any(at + i in part for part in lively)]
                if wrong:
                    self.say(where, f"{len(wrong)} bytes differ, the first at {wrong[0]:#x}")

    def lively(self, pid):
        """Addresses at which a running thread changes its memory, or the kernel does."""
        task = next(entry for entry in decode(self.theirs / "pstree.img") if entry["pid"] == int(pid))
        parts = []
        for tid in task["threads"]:
            core = decode(self.theirs / f"core-{tid}.img")[0]
            regs, rseq = core["thread_info"]["gpregs"], core["thread_core"]["rseq_entry"]
            parts.append(range(rseq["rseq_abi_pointer"], rseq["rseq_abi_pointer"] + rseq["rseq_abi_size"]))
            if len(task["threads"]) > 1:
                parts += [range(regs["sp"], regs["sp"] + 64), range(regs["fs_base"] - 0x100, regs["fs_base"] + 0x900)]
        return parts

    def shared_memory(self, name):
        """By what names it; the same pages with the same bytes."""
        number = self.there.get(("shmem", int(re.search("[0-9]+", name)[0])))
        if number is None or not (self.ours / f"pagemap-shmem-{number}.img").exists():
            self.say(name, f"ours has no such image (number {number})")
            return
        a, b = self.pages(self.theirs, name), self.pages(self.ours, f"pagemap-shmem-{number}.img")
        for at in sorted({*a, *b}):
            if a.get(at) != b.get(at):
                self.say(f"{name} page {at:#x}", "differs" if at in a and at in b else "golden has none" if at in b else "ours has none")

    def clocks(self):
        """Ours are golden's, a moment later."""
        a = decode(self.theirs / "timens-0.img")[0]
        [path] = self.ours.glob("timens-*.img")
        b = decode(path)[0]
        for clock in ("monotonic", "boottime"):
            passed = (b[clock]["tv_sec"] - a[clock]["tv_sec"]) * 10**9 + b[clock]["tv_nsec"] - a[clock]["tv_nsec"]
            if not 0 <= passed <= self.elapsed_ns or {*a} != {*b}:
                self.say("timens", f"{clock} went on by {passed} ns in {self.elapsed_ns}")

    def ghosts(self):
        for (space, a), b in list(self.there.items()):
            if space == "ghost":
                self.image(f"ghost-file-{a:x}.img", f"ghost-file-{b:x}.img")

    def is_at_rest(self):
        """Programs wait by short sleeps: is each thread of ours in the call that golden has it in, and not between two of them?"""
        for path in self.theirs.glob("core-*.img"):
            a, b = (decode(folder / path.name)[0] for folder in (self.theirs, self.ours))
            if "thread_info" not in a or a.get("tc", {}).get("task_state") == 3:
                continue
            a, b = a["thread_info"]["gpregs"], b["thread_info"]["gpregs"]
            if (a["orig_ax"], a["sp"]) != (b["orig_ax"], b["sp"]) or b["ax"] not in (a["ax"], a["orig_ax"]):
                return False
        return True

    def all(self):
        names = sorted(path.name for path in self.theirs.glob("*.img"))
        first = ("inventory", "pstree", "core", "ids", "fs-", "mm-")
        own = ("fdinfo", "files", "pagemap", "pages", "timens", "ghost-file", "remap-fpath")
        for name in names:
            if name.startswith(first):
                self.image(name)
        for name in names:
            if match := re.match(r"fdinfo-([0-9]+)", name):
                self.image(name, f"fdinfo-{self.there.get(('files', int(match[1])))}.img")
        if "files.img" in names:
            self.files()
        for name in names:
            if not name.startswith((*first, *own)) or name.startswith("remap-fpath"):
                self.image(name)
        self.ghosts()
        for name in names:
            if name.startswith("pagemap-shmem"):
                self.shared_memory(name)
            elif name.startswith("pagemap-"):
                self.task_memory(name)
        if "timens-0.img" in names:
            self.clocks()
        self.no_more_than(names)

    def no_more_than(self, names):
        """As many images of each kind, and no others."""
        def kinds(images):
            found = {}
            for name in images:
                kind = re.sub(r"(-[0-9a-f]+)?[.]img$", "", name)
                found[kind] = found.get(kind, 0) + 1
            return found

        a, b = kinds(names), kinds(os.path.basename(path) for path in self.ours.glob("*.img"))
        for kind in {**a, **b}:
            if a.get(kind) != b.get(kind):
                self.say(kind, f"golden has {a.get(kind, 0)} images, ours {b.get(kind, 0)}")
