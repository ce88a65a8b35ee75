"""A plugin of pytest that tells where the processors' time goes: `pytest -p tests.support.costs`.

Time of the clock says little where two workers share two processors with what they start. What is counted
is the time that the processors worked, for a test and for the processes that it waited for; a daemon that
is killed, or that goes on, is not among them.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

_TOLD = "cpu"
_LINES = 40

_before = 0.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--every 5` runs a fifth of the cases, which is enough to see what is dear."""
    parser.addoption("--every", type=int, default=1, help="run every Nth case of each test, and multiply")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the first case of each test, which makes what all share and counts once; every Nth of others."""
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        cases[_test(item.nodeid)].append(item)
    kept = {}
    for first, *others in cases.values():
        chosen = others[:: config.option.every]
        kept.update({first: 1.0, **{item: len(others) / len(chosen) for item in chosen}})
    for item, factor in kept.items():
        item.user_properties.append(("factor", factor))
    items[:] = [item for item in items if item in kept]


def pytest_sessionstart() -> None:
    """What was before any test is nobody's."""
    _since()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write into the report of each step of a test what it took."""
    report = yield
    report.user_properties = [*report.user_properties, (_TOLD, _since())]
    return report


def _since() -> float:
    """Seconds that the processors worked for this process, and for those it waited for, since last asked."""
    global _before
    now = sum(os.times()[:4])
    found, _before = now - _before, now
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The dearest modules and tests, and the sum of all."""
    modules: Counter[str] = Counter()
    tests: Counter[str] = Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        told = dict(getattr(report, "user_properties", ()))
        if _TOLD in told:
            seconds = told[_TOLD] * told["factor"]
            modules[report.nodeid.partition("::")[0]] += seconds
            tests[_test(report.nodeid)] += seconds
    terminalreporter.section(f"seconds of the processors, {sum(modules.values()):.0f} in all")
    for found in (modules, tests):
        for name, seconds in found.most_common(_LINES):
            terminalreporter.line(f"{seconds:8.1f}  {name}")
        terminalreporter.line("")


def _test(nodeid: str) -> str:
    """Without what tells the cases of a test apart."""
    return nodeid.partition("[")[0]
