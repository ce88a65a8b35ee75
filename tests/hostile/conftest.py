from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hostile.demo import Demo

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def demo(shallow_copy: Path) -> Demo:
    """The image `demo` in a copy of the recorded root that the test may damage."""
    return Demo(shallow_copy)
