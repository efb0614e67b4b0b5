# SPDX-License-Identifier: GPL-2.0-only
"""crit: JSON of images and back, without losing a byte, in both forms; refusals; digests of what was edited."""

import base64
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from lib.criu import Images
from lib.program import BUILT, Program

CRIT = Path(__file__).resolve().parents[1] / "build/bin/crit"
FOWN = {"uid": 0, "euid": 0, "signum": 0, "pid_type": 0, "pid": 0}
DESC = {"key": 1, "uid": 0, "gid": 0, "cuid": 0, "cgid": 0, "mode": 384, "id": 0}


RAW = {"pages", "ifaddr", "route", "route6", "rule", "iptables", "ip6tables", "nftables", "tmpfs-dev"}


def text(data):
    return base64.encodebytes(data).decode()


IMAGES = {
    "inventory": {"magic": "INVENTORY", "entries": [{"img_version": 2, "lsmtype": "NO_LSM", "network_lock_method": 0}]},
    "service image": {"magic": "STATS", "entries": [{"restore": {
        "pages_compared": 1, "pages_skipped_cow": 2, "forking_time": 3, "restore_time": 4}}]},
    "pagemap": {"magic": "PAGEMAP", "entries": [
        {"pages_id": 1}, {"vaddr": 4096, "compat_nr_pages": 0, "flags": 6, "nr_pages": 3}]},
    "payload": {"magic": "PIPES_DATA", "entries": [
        {"pipe_id": 7, "bytes": 5, "size": 4096, "extra": text(b"bytes")},
        {"pipe_id": 8, "bytes": 0, "size": 4096, "extra": ""}]},
    "two payloads": {"magic": "TCP_STREAM", "entries": [{
        "inq_len": 2, "inq_seq": 1, "outq_len": 3, "outq_seq": 1, "opt_mask": 7, "snd_wscale": 0,
        "mss_clamp": 1460,
        "extra": {"inq": text(b"in"), "outq": text(b"out")}}]},
    "queue": {"magic": "IPCNS_MSG", "entries": [{
        "desc": DESC, "qbytes": 16384, "qnum": 1, "extra": [{"mtype": 5, "msize": 3}, text(b"msg")]}]},
    "semaphores": {"magic": "IPCNS_SEM", "entries": [{"desc": DESC, "nsems": 3, "extra": [1, 2, 3]}]},
    "segment": {"magic": "IPCNS_SHM", "entries": [{"desc": DESC, "size": 4096, "in_pagemaps": True}]},
    "ghost": {"magic": "GHOST_FILE", "entries": [
        {"uid": 0, "gid": 0, "mode": 33188, "dev": 266338304, "extra": text(b"all of it")}]},
    "ghost in chunks": {"magic": "GHOST_FILE", "entries": [
        {"uid": 0, "gid": 0, "mode": 33188, "chunks": True, "size": 20480},
        {"len": 4, "off": 4096, "extra": text(b"four")}]},
    "hints": {"magic": "VMAS", "entries": [
        {"start": 4096, "end": 8192, "pgoff": 0, "shmid": 0, "prot": 5, "flags": 0x4022, "status": 0x10201, "fd": -1}]},
    "unix name": {"magic": "UNIXSK", "entries": [{
        "id": 1, "ino": 2, "type": 1, "state": 10, "flags": 2, "uflags": 0, "backlog": 0, "peer": 0, "fown": FOWN,
        "opts": {"so_sndbuf": 1, "so_rcvbuf": 1, "so_snd_tmo_sec": 0, "so_snd_tmo_usec": 0, "so_rcv_tmo_sec": 0,
                 "so_rcv_tmo_usec": 0}, "name": "=00abstract=3D"}]},
}


def crit(*args, data=None, status=0):
    run = subprocess.run([CRIT, *args], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert run.returncode == status, run.stderr.decode()
    return run.stdout if status == 0 else run.stderr.decode()


def encode(image):
    return crit("encode", data=json.dumps(image).encode())


@pytest.mark.parametrize("name", IMAGES)
def test_json_and_back(name):
    packed = encode(IMAGES[name])
    assert json.loads(crit("decode", data=packed)) == IMAGES[name]
    assert encode(json.loads(crit("decode", "--pretty", data=packed))) == packed


def test_pretty_follows_the_hints():
    area = json.loads(crit("decode", "--pretty", data=encode(IMAGES["hints"])))["entries"][0]
    assert area["start"] == "0x1000"
    assert area["prot"] == "PROT_READ | PROT_EXEC"
    assert area["flags"] == "MAP_PRIVATE | MAP_ANON | 0x4000"
    assert area["status"] == "VMA_AREA_REGULAR | VMA_ANON_PRIVATE | 0x10000"
    ghost = json.loads(crit("decode", "--pretty", data=encode(IMAGES["ghost"])))["entries"][0]
    assert ghost["dev"] == "254:0"


def test_info_counts(folder):
    (folder / "a.img").write_bytes(encode(IMAGES["payload"]))
    assert json.loads(crit("info", folder / "a.img")) == {"magic": "PIPES_DATA", "count": 2}
    shown = json.loads(crit("show", "--nopl", folder / "a.img"))
    assert shown["entries"][0]["extra"] == "... <5B>"


def test_refusals_are_one_line(folder):
    (folder / "a.img").write_bytes(encode(IMAGES["payload"])[:-1])
    assert "PIPES_DATA entry 1: ends too early" in crit("show", folder / "a.img", status=1)
    (folder / "b.img").write_bytes(b"neither")
    assert "unknown magic" in crit("show", folder / "b.img", status=1)
    assert "no field 'nosuch'" in crit("encode", data=b'{"magic": "FS", "entries": [{"nosuch": 1}]}', status=1)
    assert "No such file" in crit("show", folder / "c.img", status=1)


def test_an_edited_image_is_no_longer_checked(folder):
    digests = {"magic": "DIGESTS", "entries": [
        {"name": "fs-1.img", "size": 20, "crc32c": 1}, {"name": "mm-1.img", "size": 20, "crc32c": 2}]}
    (folder / "digests-0").write_bytes(encode(digests))
    crit("encode", "-o", folder / "fs-1.img", data=b'{"magic": "FS", "entries": [{"cwd_id": 1, "root_id": 2}]}')
    left = json.loads(crit("decode", "-i", folder / "digests-0"))
    assert left["entries"] == digests["entries"][1:]


def test_an_edited_inventory_is_checked_anew(folder):
    """The digests of a dump end with its: without it they would not be whole."""
    program = Program(BUILT / "counter-plain", folder / "program")
    images = Images(folder / "images")
    assert program.wait_ready()
    images.dump(program.pid)
    program.wait_gone()
    program.forget_end()
    inventory, digests = images.folder / "inventory.img", images.folder / "digests-0"
    facts = json.loads(crit("decode", "-i", inventory))
    facts["entries"][0]["dump_criu_run_id"] = "another"
    crit("encode", "-o", inventory, data=json.dumps(facts).encode())
    assert json.loads(crit("decode", "-i", digests))["entries"][-1]["name"] == "inventory.img"
    images.restore()
    program.verify()


def test_golden_images_come_back():
    golden = os.environ.get("CRIU_GOLDEN_IMAGES")
    if not golden:
        pytest.skip("CRIU_GOLDEN_IMAGES names no folder")
    seen = set()
    for path in sorted(Path(golden).glob("*/*.img")):
        # One of each kind: starting Python for all of them takes minutes.
        kind = re.sub("-[0-9a-f]+[.].*", "", path.name)
        if kind in seen or kind in RAW:
            continue
        seen.add(kind)
        run = subprocess.run([CRIT, "decode", "-i", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        assert run.returncode == 0, f"{path}: {run.stderr.decode()}"
        assert crit("encode", data=run.stdout) == path.read_bytes(), path
    assert seen
