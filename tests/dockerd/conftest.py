"""One Engine for all tests that only ask: on a copy of the recorded root, which it has put in order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.engine import engine_on_copy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.engine import Engine


@pytest.fixture(scope="session")
def engine(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A running Engine; no test may change what it holds, so that our answers stay comparable with its."""
    with engine_on_copy(dataroot_path, tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.fixture
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The time zone in which `Engine.cli` runs the client."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()
