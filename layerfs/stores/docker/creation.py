"""Which directories were made when a container was: what is left to tell where its mount record is lost.

An engine notes when it begins to make a container, and next makes the directory of the -init layer and its
`link`, which is never written again; nobody else makes -init layers. So containers and -init layers take
turns in time. Where they do, without a gap in it, each belongs to the one before; where several were made
at once, or one of them is gone, nothing is told of all that were made about then. Nor does a copy tell
that kept no times.

Sources: moby `daemon/create.go`, `layer/layer_store.go` (CreateRWLayer), `daemon/graphdriver/overlay2`.
"""

from __future__ import annotations

import itertools
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

from layerfs.ids import CacheID, ContainerID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["made_together"]

_APART = 1_000_000_000
"""Nanoseconds after which one has nothing to do with the other; mostly an engine takes a thousandth."""

_CLOCK = 10_000_000
"""Nanoseconds by which times of files are behind the clock: the kernel takes that of its last tick."""

_Event: TypeAlias = "tuple[int, ContainerID | CacheID]"


def made_together(
    begun: Mapping[ContainerID, int], made: Mapping[CacheID, int]
) -> dict[ContainerID, CacheID]:
    """Which read-write layer is a container's, as far as that can be told.

    Args:
        begun: when each container was begun, in nanoseconds.
        made: when the -init layer of each of these was made.
    """
    events: list[_Event] = [(when - _CLOCK, container) for container, when in begun.items()]
    events += ((when, directory) for directory, when in made.items())
    found: dict[ContainerID, CacheID] = {}
    for group in _groups(sorted(events, key=itemgetter(0))):
        pairs = {one: other for one, other in itertools.pairwise(group) if isinstance(one, ContainerID)}
        turns = {one: other for one, other in pairs.items() if isinstance(other, CacheID)}
        if 2 * len(turns) == len(group):
            found |= turns
    return found


def _groups(events: Sequence[_Event]) -> Iterator[list[ContainerID | CacheID]]:
    """What was made soon after each other, in order of time."""
    group: list[ContainerID | CacheID] = []
    last = 0
    for when, what in events:
        if group and when - last > _APART:
            yield group
            group = []
        group.append(what)
        last = when
    yield group
