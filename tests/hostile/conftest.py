from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hostile.demo import Demo
from tests.support.fixture import private_copy

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def demo(dataroot_path: Path, tmp_path: Path) -> Demo:
    """The image `demo` in a copy of the recorded root that the test may damage."""
    return Demo(private_copy(dataroot_path, tmp_path / "root"))
