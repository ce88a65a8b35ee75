"""What a user types at `docker` and at `layerfs`, and both answers, as of the same second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.support.command import layerfs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.engine import Engine

__all__ = ["both_answers"]

_ATTEMPTS = 5


def both_answers(engine: Engine, theirs: Sequence[str], ours: Sequence[str]) -> tuple[str, str]:
    """What the client and `layerfs` print about one data root.

    Ages are in words that change with the clock, so both must be asked within one second, which is
    the finest that the words can tell; fails the test where that never works.
    """
    for _ in range(_ATTEMPTS):
        before = int(time.time())
        expected = engine.cli(*theirs)
        found = layerfs(engine.root, *ours)
        if int(time.time()) == before:
            assert (found.code, found.stderr) == (0, "")
            return expected, found.stdout
    raise AssertionError("the machine is too slow to ask both within a second")
