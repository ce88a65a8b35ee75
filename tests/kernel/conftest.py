"""What the tests against the kernel share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.judge import Stack

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """An empty place for a test's layers."""
    return Stack(tmp_path)
