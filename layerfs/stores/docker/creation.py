"""Finds a container's directories by the time they were made, if its mount record is lost.

An engine records when it begins to make a container. Next it makes the directory of the -init layer and its
`link`, which is never written again; nothing else makes -init layers. So in order of time, containers and
-init layers alternate, and an -init layer belongs to the container before it. If several were made at about
the same time, or one of them is gone, no answer is given for any of them; nor in a copy that did not keep
times.

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
"""Nanoseconds from a container to its -init layer at most; an engine usually takes about a millisecond."""

_CLOCK = 10_000_000
"""Nanoseconds by which times of files may be behind the clock: the kernel takes the time of its last tick."""

_Event: TypeAlias = "tuple[int, ContainerID | CacheID]"


def made_together(
    begun: Mapping[ContainerID, int], made: Mapping[CacheID, int]
) -> dict[ContainerID, CacheID]:
    """The read-write layer of each container for which times tell it.

    Args:
        begun: the time in each container's config, in nanoseconds.
        made: for each read-write layer when its -init layer was made, in nanoseconds.
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
    """Groups of what was made within a short time, in order of time."""
    group: list[ContainerID | CacheID] = []
    last = 0
    for when, what in events:
        if group and when - last > _APART:
            yield group
            group = []
        group.append(what)
        last = when
    yield group
