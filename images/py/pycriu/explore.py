# SPDX-License-Identifier: GPL-2.0-only
"""Looks at a whole image directory: processes, files, memory areas, resident pages."""
import os

from . import images

PAGE = 4096


class Folder:
    """Images of a directory, each read once."""

    def __init__(self, path):
        self._path = path
        self._cache = {}
        self._files = None

    def load(self, name, must_exist=True):
        """The entries of an image; none if it is missing and may be."""
        if name not in self._cache:
            path = os.path.join(self._path, name)
            if not must_exist and not os.path.exists(path):
                return []
            with open(path, "rb") as stream:
                self._cache[name] = images.load(stream)["entries"]
        return self._cache[name]

    def file(self, kind, number):
        """The entry of files.img with that id."""
        if self._files is None:
            self._files = {entry["id"]: entry for entry in self.load("files.img", must_exist=False)}
        return self._files.get(number, {"type": kind, "id": number})

    def path(self, kind, number):
        """What stands for a file in a list."""
        entry = self.file(kind, number)
        if "reg" in entry:
            return entry["reg"]["name"]
        if "pipe" in entry:
            return f"pipe[{entry['pipe']['pipe_id']}]"
        if "usk" in entry:
            socket = entry["usk"]
            name = f" {socket['name']}" if socket["name"] else ""
            return f"unix[{socket['ino']} ({socket['peer']}){name}]"
        return f"{kind}.{number}"

    def live(self):
        """Pids that have an address space."""
        for task in self.load("pstree.img"):
            if os.path.exists(os.path.join(self._path, f"mm-{task['pid']}.img")):
                yield task["pid"]


def show_ps(folder):
    tasks = folder.load("pstree.img")
    children = {}
    for task in tasks:
        children.setdefault(task["ppid"], []).append(task)
    print(f"{'PID':>7}{'PGID':>7}{'SID':>7}   COMM")
    todo = [(task, 0) for task in reversed(children.get(0, []))]
    while todo:
        task, depth = todo.pop()
        core = folder.load(f"core-{task['pid']}.img")[0]
        print(f"{task['pid']:7}{task['pgid']:7}{task['sid']:7}   {'    ' * depth}{core['tc']['comm']}")
        todo += [(child, depth + 1) for child in reversed(children.get(task["pid"], []))]


def show_fds(folder):
    for pid in folder.live():
        print(pid)
        table = folder.load(f"ids-{pid}.img")[0]["files_id"]
        for fd in folder.load(f"fdinfo-{table}.img", must_exist=False):
            print(f"\t{fd['fd']:7}: {folder.path(fd['type'], fd['id'])}")
        fs = folder.load(f"fs-{pid}.img")[0]
        print(f"\t{'cwd':>7}: {folder.path('REG', fs['cwd_id'])}")
        print(f"\t{'root':>7}: {folder.path('REG', fs['root_id'])}")


def _area_source(folder, vma):
    """Where an area comes from, with a blank before it."""
    status = vma["status"]
    if status & 0x8:
        return " [vdso]"
    if status & 0x1000:
        return " [vvar]"
    if status & 0x4:
        return " [vsyscall]"
    if status & 0x20:
        return " [heap]"
    if vma["flags"] & 0x100:
        return " [stack]"
    if status & (0x40 | 0x80):
        entry = folder.file("REG", vma["shmid"])
        if "reg" in entry:
            name = entry["reg"]["name"]
        elif "memfd" in entry:
            inodes = {inode["inode_id"]: inode for inode in folder.load("memfd.img", must_exist=False)}
            name = "memfd:" + inodes.get(entry["memfd"]["inode_id"], {}).get("name", "?")
        else:
            name = "unknown path"
        return f" {name}" + (f" + {vma['pgoff']:#x}" if vma["pgoff"] else "")
    return ""


def show_mems(folder):
    for pid in folder.live():
        print(pid)
        mm = folder.load(f"mm-{pid}.img")[0]
        print(f"\t{'exe':36}    {folder.path('REG', mm['exe_file_id'])}")
        for vma in mm["vmas"]:
            span = f"{vma['start']:08x}-{vma['end']:08x}"
            prot = "".join(letter if vma["prot"] & bit else "-" for letter, bit in (("r", 1), ("w", 2), ("x", 4)))
            shared = " (s)" if vma["flags"] & 0x1 else ""
            unmapped = "" if vma["status"] & 0x1 else " *"
            print(f"\t{span:36}{prot}{_area_source(folder, vma)}{shared}{unmapped}")


def show_rss(folder):
    for pid in folder.live():
        print(pid)
        vmas = folder.load(f"mm-{pid}.img")[0]["vmas"]
        last = None
        for run in folder.load(f"pagemap-{pid}.img")[1:]:
            n_pages = run.get("nr_pages", run["compat_nr_pages"])
            start, end = run["vaddr"], run["vaddr"] + n_pages * PAGE
            text = f"{start:x} / {n_pages}"
            for vma in vmas:
                if vma["end"] <= start or vma["start"] >= end or not vma["status"] & 0x1:
                    continue
                area = f"{vma['start']:08x} / {(vma['end'] - vma['start']) // PAGE}"
                area = "~" if vma is last else f"{area:19}{_area_source(folder, vma)}"
                print(f"\t{text:24}{area}".rstrip())
                text, last = "", vma
            if text:
                print(f"\t{text}")


VIEWS = {"ps": show_ps, "fds": show_fds, "mems": show_mems, "rss": show_rss}
