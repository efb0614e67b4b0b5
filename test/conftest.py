# SPDX-License-Identifier: GPL-2.0-only
"""What all tests share: see Documentation/HOWTO-TEST.md."""

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib import criu, host, kfd, plugins, program  # noqa: E402


def pytest_configure(config):
    host.become_subreaper()
    # A shell starts what it runs in the background with SIGINT ignored, and so would the tool be.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    if not os.access(criu.CRIU, os.X_OK):
        raise pytest.UsageError(f"{criu.CRIU} is missing: run make")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if outcome.get_result().failed:
        item.has_failed = True


@pytest.fixture
def folder(request):
    """A folder of the test's own, outside of pytest's own tree so that paths stay short; kept if the test fails."""
    path = Path(tempfile.mkdtemp(prefix="criu-test-"))
    path.chmod(0o755)
    yield path
    if getattr(request.node, "has_failed", False):
        print(f"kept for a look: {path}")
    else:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(autouse=True)
def huge_pages(request):
    """As many as a program says that it needs are set aside while its test runs, where the machine has that much memory in one piece."""
    source = getattr(getattr(request.node, "callspec", None), "params", {}).get("source")
    wanted = int(program.settings(source).get("huge-pages", ["0"])[0]) if isinstance(source, Path) else 0
    file = Path("/proc/sys/vm/nr_hugepages")
    if not wanted or not os.access(file, os.W_OK):
        yield
        return
    before = int(file.read_text())
    file.write_text(str(before + wanted))
    got = int(file.read_text()) - before
    yield
    file.write_text(str(max(0, int(file.read_text()) - got)))


@pytest.fixture
def tidy(request):
    """Fails a test that leaves processes, descriptors or mounts behind; cleans up after one that has failed already."""
    fds, mounts, old = host.own_fds(), host.mounts(), set(host.children(os.getpid()))
    yield
    host.reap()
    if getattr(request.node, "has_failed", False):
        host.kill_children(old)
        return
    try:
        # A guardian may be a moment from its end.
        host.wait_until(lambda: (host.reap(), set(host.children(os.getpid())) <= old)[1], "no process is left")
    except AssertionError:
        pass
    left = host.kill_children(old)
    assert not left, f"left behind: {', '.join(left)}"
    assert host.own_fds() == fds, "descriptors were left open"
    assert host.mounts() == mounts, "mounts were left"


@pytest.fixture
def images(folder, tidy):
    return criu.Images(folder / "images")


@pytest.fixture
def counter(folder, images):
    """A small program that counts, and runs."""
    counter = program.Program(program.COUNTER, folder / "program")
    assert counter.wait_ready()
    return counter


@pytest.fixture(scope="module")
def own_mounts():
    """For whole modules that mount: pytestmark = pytest.mark.usefixtures("own_mounts")."""
    plugins.private_mounts()


@pytest.fixture
def emulator(folder, tidy, request):
    """The emulated driver of AMD GPUs; its options are the parameter."""
    with kfd.Emulator(folder, **getattr(request, "param", {})) as emulator:
        yield emulator


@pytest.fixture
def workloads():
    """Starts programs that use the emulated driver."""
    with kfd.Workloads() as workloads:
        yield workloads
