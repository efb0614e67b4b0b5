# SPDX-License-Identifier: GPL-2.0-only
"""Documentation/PLUGINS.md: its plugin is the one that is built, works, and what it shows of criu's output is what criu says."""

import re

import pytest

from lib import criu, plugins

TEXT = (criu.TOP / "Documentation/PLUGINS.md").read_text()
SOURCE = criu.TOP / "test/plugins/tutorial/tutorial.c"


@pytest.fixture(scope="module", autouse=True)
def own_mounts():
    plugins.private_mounts()


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.M | re.S)


def shown(command):
    """What the tutorial shows below this command line."""
    for block in blocks("console"):
        first, _, rest = block.partition("\n")
        if first == f"$ {command}":
            return rest
    raise AssertionError(f"PLUGINS.md does not show `{command}'")


def said(*args):
    done = criu.run(*args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_source_is_quoted():
    code = "\n".join(blocks("c"))
    assert code == SOURCE.read_text()
    assert len(code.splitlines()) < 150


@pytest.fixture
def loaded(folder):
    (folder / "lib").mkdir()
    (folder / "lib/tutorial.so").symlink_to(plugins.BUILT / "tutorial.so")
    return folder / "lib"


@pytest.mark.parametrize("word", ["list", "explain"])
def test_words(loaded, word):
    assert said("plugin", word, "-L", loaded) == shown(f"criu plugin {word} -L lib")


def test_check(loaded):
    text = said("plugin", "check", loaded / "tutorial.so")
    assert text.replace(f"{loaded}/", "lib/") == shown("criu plugin check lib/tutorial.so")


def devices(text, root, folder):
    """The device part of a dry run, with numbers and paths as in the text."""
    part = text[text.index("devices, in the order"):]
    names, spans = {root: "100"}, {}
    part = part.replace(f"{folder}/fakedev", "/mnt/fakedev")
    part = re.sub(r"pid (\d+)", lambda m: "pid " + names.setdefault(int(m[1]), str(100 + len(names))), part)
    return re.sub(r"mapping [0-9a-f]+-[0-9a-f]+", lambda m: spans.setdefault(m[0], "mapping 7f0000000000-7f0000001000"), part)


def test_dump_and_restore(folder, tidy, loaded):
    options = ["-L", loaded, "--plugin-opt", f"tutorial.device={folder}/fakedev"]
    with plugins.FakeDevice(folder) as device, plugins.Victims() as victims:
        program = victims.start("files", folder / "run", device.path, "b0,a0", "a1,b1")
        text = said("dump", "--dry-run", "-t", program.pid, *options)
        assert devices(text, program.pid, folder) == shown("criu dump --dry-run -t 100 -L lib"), devices(text, program.pid, folder)
        images = criu.Images(folder / "images")
        images.dump(program.pid, *options)
        program.wait_gone()
        text = said("restore", "--dry-run", "-D", images.folder, *options)
        assert devices(text, program.pid, folder) == shown("criu restore --dry-run -D images -L lib"), devices(text, program.pid, folder)
        images.restore("-d", *options)
        assert program.verify() is None
        device.assert_good()


def test_failed_dump_goes_on(folder, tidy, loaded):
    options = ["-L", loaded, "--plugin-opt", f"tutorial.device={folder}/fakedev"]
    with plugins.FakeDevice(folder) as device, plugins.Victims() as victims:
        program = victims.start("files", folder / "run", device.path, "a0,b0")
        device.fault("checkpoint", "error:5", after=1)
        log = criu.Images(folder / "images").dump(program.pid, *options, expect=1)
        assert "plugin tutorial: dump_file: pid" in log and "read the state" in log
        device.clear()
        device.assert_good()
        assert program.verify() is None
