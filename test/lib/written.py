# SPDX-License-Identifier: GPL-2.0-only
"""What CRIU 4.2 always writes, by the description of the format (the fields marked W in facts/images.md, sections 3 to 34, whose
numbers are given here); the decoder sees to fields that are required. Debian's decoder, of 3.17, must read all of it as ours does."""

import json
import re
import stat
import subprocess

from lib.golden import FILE_AREA, PAGE, decode

NAMESPACES = "pid_ns_id net_ns_id ipc_ns_id uts_ns_id mnt_ns_id user_ns_id time_ns_id cgroup_ns_id"

# Message, by where it is: its fields. "field[n]" has n elements.
ALWAYS = {
    "inventory": "img_version fdinfo_per_id root_ids ns_per_id root_cg_set lsmtype network_lock_method plugins_entry dump_criu_run_id",  # 3
    "inventory.root_ids": f"vm_id files_id fs_id sighand_id {NAMESPACES}",                                                          # 2
    "ids": f"vm_id files_id fs_id sighand_id {NAMESPACES}",
    "pstree": "pid ppid pgid sid threads",                                                                                          # 4
    "core": "mtype",                                                                                                                # 5
    "core.thread_info": "clear_tid_addr gpregs fpregs tls[3]",
    "core.thread_info.gpregs": "mode",
    "core.thread_info.fpregs": "st_space[32] xmm_space[64] xsave",
    "core.thread_info.fpregs.xsave": "xstate_bv",
    "core.tc": "task_state exit_code personality flags blk_sigset comm",
    "core.tc.rlimits": "rlimits[16]",
    "core.thread_core": "futex_rla futex_rla_len sched_policy sched_nice sas signals_p creds comm rseq_entry cg_set",               # 5.5
    "core.thread_core.rseq_entry": "rseq_abi_pointer rseq_abi_size signature",
    "core.thread_core.creds": "cap_inh[2] cap_prm[2] cap_eff[2] cap_bnd[2] cap_amb[2] secbits",                                     # 32
    "fs": "cwd_id root_id umask",                                                                                                   # 6
    "mm": "mm_brk exe_file_id mm_saved_auxv vmas dumpable thp_disabled",                                                            # 7
    "mm.vmas": "start end pgoff shmid prot flags status fd",                                                                        # 8
    "files.reg": "flags pos fown name mode",                                                                                        # 12
    "files.fifo": "pipe_id regf_id",                                                                                                # 13
    "files.usk": "ns_id name opts",                                                                                                 # 14
    "files.usk.opts": "reuseaddr so_reuseport so_priority so_rcvlowat so_dontroute so_no_check so_broadcast so_keepalive "
                      "so_oobinline so_passcred so_passsec",                                                                       # 16
    "files.tty": "tty_info_id regf_id",                                                                                             # 18
    "files.efd": "counter", "files.sgfd": "sigmask", "files.pidfd": "ino nspid",                                                    # 19
    "files.epfd.tfd": "events data dev inode pos",
    "files.tfd": "clockid ticks settime_flags vsec vnsec isec insec",
    "files.ify.wd": "i_ino mask s_dev ignored_mask f_handle",                                                                       # 20
    "files.ify.wd.f_handle": "bytes type handle[16]",
    "files.ffy": "faflags evflags mark", "files.ffy.mark": "mask s_dev mflags ignored_mask",
    "files.ffy.mark.ie.f_handle": "bytes type handle[16]",
    "files.memfd": "pos inode_id",
    "files.nsf": "ns_id ns_cflag",                                                                                                  # 23
    "memfd": "name uid gid size shmid seals inode_id mode",                                                                         # 21
    "remap-fpath": "orig_id remap_id remap_type",                                                                                   # 12.1
    "ghost-file": "uid gid mode dev ino atim mtim",
    "pipes-data": "pipe_id bytes size", "fifo-data": "pipe_id bytes size",
    "filelocks": "flag type pid fd start len",                                                                                      # 25
    "timens": "monotonic boottime",                                                                                                 # 28
    "tty-info": "termios termios_locked winsize uid gid",
}
# Of a live leader besides.
LEADER = "timers rlimits signals_s oom_score_adj sigactions[62] child_subreaper"
ALIVE, DEAD, STOPPED = 1, 2, 3
FIELDS_OF_PAGES = "vaddr compat_nr_pages flags nr_pages"
O_WRONLY, O_APPEND = 0o1, 0o2000

DEBIAN = """
import json, sys
sys.path.insert(0, "/usr/lib/python3/dist-packages")
from pycriu import images
for path in sys.argv[1:]:
    with open(path, "rb") as image:
        print(json.dumps(images.load(image, pretty=False)))
"""


def missing(message, fields):
    for field in fields.split():
        name, _, length = field.rstrip("]").partition("[")
        if name not in message:
            yield f"has no {name}"
        elif length and len(message[name]) != int(length):
            yield f"{name} has {len(message[name])} elements, not {length}"


def walk(message, place):
    """Each message inside, with its place."""
    yield place, message
    for key, value in message.items():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                yield from walk(inner, f"{place}.{key}")


def of_core(core, tid, leader):
    """Which parts there are, and fields with a condition."""
    if tid != leader and "tc" in core:
        yield "a thread has tc"
    if tid != leader or core["tc"]["task_state"] != DEAD:
        yield from missing(core, "thread_info thread_core")
        if (tid == leader) == ("blk_sigset" in core["thread_core"]):
            yield "thread_core.blk_sigset belongs to threads other than the leader"
    elif {*core} != {"mtype", "tc"}:
        yield f"a zombie has {[*core]}"
    if tid == leader and core["tc"]["task_state"] != DEAD:
        yield from missing(core["tc"], LEADER)
        if ("stop_signo" in core["tc"]) != (core["tc"]["task_state"] == STOPPED):
            yield "stop_signo belongs to stopped tasks"


def of_reg(reg):
    has_size = stat.S_ISREG(reg.get("mode", 0)) and reg["flags"] & (O_WRONLY | O_APPEND) != O_WRONLY | O_APPEND
    if has_size != ("size" in reg):
        yield "size belongs to regular files that are not open for appending only"


def of_pagemap(folder, name, entries):
    head, *pieces = entries
    at = 0
    for piece in pieces:
        yield from missing(piece, FIELDS_OF_PAGES)
        if piece["compat_nr_pages"] or piece["vaddr"] < at or piece["vaddr"] % PAGE:
            yield f"{piece}: old count, out of order or not a page"
        at = piece["vaddr"] + piece["nr_pages"] * PAGE
    size = sum(piece["nr_pages"] for piece in pieces if piece["flags"] & 4) * PAGE
    path = folder / f"pages-{head['pages_id']}.img"
    if (path.stat().st_size if path.exists() else 0) != size:
        yield f"{path.name} has not {size} bytes"


def faults_of_image(folder, path, leaders):
    kind = re.sub("-(shmem-)?[0-9a-f]+$", "", path.name.removesuffix(".img"))
    entries = decode(path)
    if kind.startswith("pagemap"):
        yield from of_pagemap(folder, path.name, entries)
        return
    for entry in entries:
        if kind == "core":
            tid = int(path.name[5:-4])
            yield from of_core(entry, tid, leaders[tid])
        # A ghost's chunks follow its one entry.
        for place, message in walk(entry, kind) if "len" not in entry or kind == "filelocks" else ():
            for fault in missing(message, ALWAYS.get(place, "")):
                yield f"{place} {fault}"
            if place == "files.reg":
                yield from of_reg(message)
            elif place.endswith(".fown"):
                yield from missing(message, "uid euid signum pid_type pid")
            elif place == "mm.vmas" and message["status"] & FILE_AREA and "fdflags" not in message:
                yield f"area {message['start']:#x} has no fdflags"


def differences(theirs, ours, place):
    """What Debian's decoder read must be there, with the same value; ours knows more fields."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key, value in theirs.items():
            name = key
            if place.startswith("PAGEMAP") and key == "nr_pages":
                name = "compat_nr_pages"
            if name not in ours:
                yield f"{place}.{key}: only Debian's has it"
            else:
                yield from differences(value, ours[name], f"{place}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for i, (a, b) in enumerate(zip(theirs, ours)):
            yield from differences(a, b, f"{place}[{i}]")
    elif theirs != ours:
        yield f"{place}: Debian's has {theirs}, ours {ours}"


def images_of(folder):
    return [path for path in sorted(folder.glob("*.img")) if not path.name.startswith("pages-")]


def faults(folder):
    """Fields that are missing, as lines."""
    tree = decode(folder / "pstree.img")
    leaders = {**{tid: entry["pid"] for entry in tree for tid in entry["threads"]}, **{entry["pid"]: entry["pid"] for entry in tree}}
    return [f"{path.name}: {fault}" for path in images_of(folder) for fault in faults_of_image(folder, path, leaders)]


def debian_differs(folder):
    paths = images_of(folder)
    done = subprocess.run(["/usr/bin/python3", "-c", DEBIAN, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = []
    for path, line in zip(paths, done.stdout.splitlines(), strict=True):
        theirs = json.loads(line)
        found += [f"{path.name}: {text}" for text in differences(theirs["entries"], decode(path), theirs["magic"])]
    return found
