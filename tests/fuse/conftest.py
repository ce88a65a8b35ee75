from __future__ import annotations

import pytest

from layerfs.views.fuse.drivers import DRIVERS
from tests.support.mounts import VARIANTS


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    """The name of each FUSE driver in turn, in each of its modes."""
    name: str = request.param
    return name


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """The name of each FUSE driver in turn: every promise holds for all of them."""
    name: str = request.param
    return name
