"""What every test can rely on: a clean environment, visible skips, nothing left behind.

Markers `dockerd`, `fuse`, `kernel` and `root` say what a test needs. What this machine lacks skips
the test with the reason, and the reasons are counted at the end. With LAYERFS_REQUIRE_ALL set, as
in CI, a test may be skipped only for want of what no package could bring.
"""

from __future__ import annotations

import collections
import gc
import os
import sys
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support import leftovers
from tests.support.capabilities import CAPABILITIES
from tests.support.processes import hear_signals

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from tests.support.reusable import Reusable

_REQUIRE_ALL = "LAYERFS_REQUIRE_ALL"
REQUIRE_ALL = bool(os.environ.get(_REQUIRE_ALL))

_unavailable = pytest.StashKey[set[str]]()
_has_failed = pytest.StashKey[bool]()

hypothesis.settings.register_profile(
    "default",
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("ci", hypothesis.settings.get_profile("default"), database=None)
hypothesis.settings.load_profile("ci" if REQUIRE_ALL else "default")


def pytest_configure(config: pytest.Config) -> None:
    """Forget the developer's own settings and the shell's, and work below one short directory."""
    config.stash[_unavailable] = set()
    hear_signals()
    # told to write no bytecode, each of the many processes that tests start would compile all anew
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in list(os.environ):
        if name.startswith(("DOCKER_", "LAYERFS_", "_LAYERFS_")) and name != _REQUIRE_ALL:
            del os.environ[name]
    if hasattr(config, "workerinput"):  # one of several processes, each of which is a session
        config.option.basetemp = str(leftovers.session_directory())
    elif config.option.basetemp is None:
        leftovers.sweep_dead_sessions()
        config.option.basetemp = str(leftovers.session_directory())
    # decompressed layers are kept in the session's directory, not in the developer's home
    os.environ["XDG_CACHE_HOME"] = f"{config.option.basetemp}/cache"


def pytest_collection_finish() -> None:
    """Spare the collector of garbage the thousands of tests: it would look at each of them time and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose markers name something that this machine lacks."""
    for name, find_missing in CAPABILITIES.items():
        if item.get_closest_marker(name) and (missing := find_missing()):
            if not missing.installable:
                item.config.stash[_unavailable].add(missing.reason)
            pytest.skip(missing.reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything is required, turn the avoidable skips into failures."""
    report = yield
    if report.failed:
        item.stash[_has_failed] = True
    reason = _reason(report) if report.skipped else None
    if REQUIRE_ALL and reason and reason not in item.config.stash[_unavailable]:
        report.outcome = "failed"
        report.longrepr = f"skipped, but nothing may be skipped here that could be installed: {reason}"
    # names that are no UTF-8 were logged; between processes a report goes as UTF-8
    report.sections = [(title, _printable(text)) for title, text in report.sections]
    return report


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _reason(report: pytest.TestReport) -> str | None:
    """Why a test was skipped; None for one that was expected to fail."""
    if hasattr(report, "wasxfail") or not isinstance(report.longrepr, tuple):
        return None
    return report.longrepr[2].removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not proved on this machine, and why, counted by reason."""
    skipped = map(_reason, terminalreporter.stats.get("skipped", ()))
    if skips := collections.Counter(filter(None, skipped)):
        terminalreporter.section("not run on this machine", sep="-", yellow=True)
        for reason, count in skips.most_common():
            terminalreporter.line(f"{count:5} skipped: {reason}")


def pytest_sessionfinish(exitstatus: int) -> None:
    """Remove the session's files, unless something failed and they may show why."""
    place = leftovers.session_directory()
    if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) and not leftovers.find(place):
        leftovers.remove(place)


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the session when its tests left a mount or a daemon; clean them up first."""
    place = tmp_path_factory.getbasetemp()
    yield
    if left := leftovers.find(place):
        leftovers.clean(place)
        pytest.fail("the tests left behind:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture(scope="session")
def dataroot_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded data root of `fixtures/`, unpacked once; a test must not change it."""
    from tests.support.fixture import fixture_root

    return fixture_root(tmp_path_factory)


@pytest.fixture(scope="session")
def shallow_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without the image of a hundred layers, see `support/shallow`; a test must not change it."""
    from tests.support.shallow import unpack_shallow

    return unpack_shallow(tmp_path_factory.mktemp("shallow"))


@pytest.fixture(scope="session")
def _reusable(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Reusable:
    from tests.support.reusable import Reusable

    return Reusable(dataroot_path, tmp_path_factory.mktemp("reusable"))


@pytest.fixture(scope="session")
def _reusable_shallow(shallow_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Reusable:
    from tests.support.reusable import Reusable

    return Reusable(shallow_path, tmp_path_factory.mktemp("reusable"))


@pytest.fixture
def copy(request: pytest.FixtureRequest, _reusable: Reusable, tmp_path: Path) -> Iterator[Path]:
    """A copy of the recorded data root that the test may damage; after a failure it is kept as it is."""
    yield from _lent(_reusable, request.node, tmp_path)


@pytest.fixture
def shallow_copy(
    request: pytest.FixtureRequest, _reusable_shallow: Reusable, tmp_path: Path
) -> Iterator[Path]:
    """Likewise, of `shallow_path`."""
    yield from _lent(_reusable_shallow, request.node, tmp_path)


def _lent(reusable: Reusable, node: pytest.Item, place: Path) -> Iterator[Path]:
    yield reusable.lend(place / "root")
    if not node.stash.get(_has_failed, False):
        reusable.take_back(place / "root")
