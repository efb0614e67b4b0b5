# SPDX-License-Identifier: GPL-2.0-only
"""Damaged images, with the list of digests that would refuse them taken away: the parsers themselves refuse what they cannot use,
without a crash. CRIU_FLIP=all changes every byte of the first 4 KiB of every image, else some, chosen by CRIU_FLIP_SEED (1)."""

import os
import random
from concurrent.futures import ThreadPoolExecutor
import shutil

import pytest

from lib.criu import run
from lib.victim import Victim

ALL = os.environ.get("CRIU_FLIP") == "all"
SEED = int(os.environ.get("CRIU_FLIP_SEED", "1"))
SAMPLE = 12


@pytest.fixture
def images(tmp_path, tidy):
    """Images of a tree that is gone, without digests."""
    victim = Victim(tmp_path)
    images = victim.images()
    images.dump(victim.pid, *victim.options(), env=victim.env)
    victim.wait_gone()
    for path in images.folder.glob("digests-*"):
        path.unlink()
    yield images
    assert not victim.is_here() and not victim.journals()


def dry_run(folder, what):
    """Refused in words or accepted, never a crash."""
    done = run("restore", "--dry-run", "-D", folder, "-W", folder)
    assert done.returncode in (0, 1), f"{what}: exit status {done.returncode}\n{done.stderr}"
    assert done.returncode == 0 or "Error (" in done.stderr, f"{what}: refused without a word"
    return done.returncode


def damage(images, tmp_path, change):
    """Each image, changed by change(data), which yields (what, new data); a copy of the folder for each image."""
    def one(name):
        folder = tmp_path / f"copy-{name}"
        shutil.copytree(images.folder, folder)
        data = (folder / name).read_bytes()
        results = []
        for what, new in change(data):
            (folder / name).write_bytes(new)
            results.append(dry_run(folder, f"{name}, {what}"))
        shutil.rmtree(folder)
        return results

    names = sorted(path.name for path in images.folder.glob("*.img") if path.stat().st_size and not path.name.startswith("pages-"))
    with ThreadPoolExecutor(2) as pool:
        return [result for results in pool.map(one, names) for result in results]


def test_flipped(images, tmp_path):
    chance = random.Random(SEED)

    def change(data):
        positions = range(min(len(data), 4096))
        for at in positions if ALL else sorted(chance.sample(positions, min(SAMPLE, len(positions)))):
            yield f"byte {at}", data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1:]

    assert 1 in damage(images, tmp_path, change)


def test_truncated(images, tmp_path):
    def change(data):
        for size in sorted({0, 1, 4, 7, 8, 11, 12, len(data) // 2, len(data) - 1} & set(range(len(data)))):
            yield f"{size} bytes", data[:size]

    assert 1 in damage(images, tmp_path, change)
