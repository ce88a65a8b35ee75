"""What a user types at `docker` and at `layerfs`, and both answers, as of the same moment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.support.command import layerfs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.engine import Engine

__all__ = ["both_answers"]

_ATTEMPTS = 5


def both_answers(engine: Engine, theirs: Sequence[str], ours: Sequence[str]) -> tuple[str, str]:
    """What the client and `layerfs` print about one data root.

    Ages are in words that change with the clock, each at a moment of its own (an exit has nanoseconds).
    So the client is asked again after `layerfs`, until both its answers are the same: then nothing
    changed in between. Fails the test where that never is.
    """
    expected = engine.cli(*theirs)
    for _ in range(_ATTEMPTS):
        found = layerfs(engine.root, *ours)
        earlier, expected = expected, engine.cli(*theirs)
        if _words(expected) == _words(earlier):
            assert (found.code, found.stderr) == (0, "")
            return expected, found.stdout
    raise AssertionError("the client's answer changes each time it is asked")


def _words(text: str) -> list[str]:
    """The words of an answer; the client prints labels in another order each time (a map of Go)."""
    return sorted(re.split(r'[\s,"]+', text))
