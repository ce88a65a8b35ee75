from __future__ import annotations

import pytest

from layerfs.views.fuse.drivers import DRIVERS


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """The name of each FUSE driver in turn: every promise holds for all of them."""
    name: str = request.param
    return name
