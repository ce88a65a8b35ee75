"""The recorded store of Docker 29, and the answers of that Engine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.recorded import Recorded
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def docker29(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data root of a Docker 29 that was killed; to be read only."""
    return unpack_sample("docker29-containerd", tmp_path_factory.mktemp("docker29"))


@pytest.fixture(scope="session")
def answers() -> Recorded:
    """What that Engine and its client said of it."""
    return Recorded("docker29-containerd-recorded")


@pytest.fixture
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The time zone in which the client ran."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()
