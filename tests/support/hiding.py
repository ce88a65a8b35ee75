"""`objects`: every object of a stack of layers and what hides it, found in a simple and slow way.

Nothing is merged and nothing carried along: each object is held against each layer above it.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, NamedTuple

from tests.support.snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.snapshot import Entry, Snapshot

__all__ = ["Cause", "Held", "objects", "wasted"]

_WHITEOUT = b"trusted.overlay.whiteout"
_OPAQUE = b"trusted.overlay.opaque"


class Cause(NamedTuple):
    """What hides an object: the number of the layer (1 is the base), how, and at which path."""

    by: int
    how: str
    at: bytes


class Held(NamedTuple):
    """An object of a layer; `path` is absolute."""

    path: bytes
    layer: int
    entry: Entry
    hidden: Cause | None


def objects(layers: Sequence[Path | Snapshot]) -> list[Held]:
    """Each object of each layer but whiteouts, with the first layer above that hides it.

    Args:
        layers: uppermost first, each as a directory or as what was seen of one.
    """
    trees = [layer if isinstance(layer, dict) else snapshot(layer) for layer in reversed(layers)]
    found: list[Held] = []
    for number, tree in enumerate(trees, 1):
        for path, entry in tree.items():
            if not _is_whiteout(entry):
                causes = (
                    Cause(by, *cause)
                    for by, upper in enumerate(trees[number:], number + 1)
                    for cause in _causes(path, entry.mode, upper)
                )
                found.append(Held(b"/" + path, number, entry, next(causes, None)))
    return found


def wasted(found: Sequence[Held]) -> int:
    """Bytes of all inodes but directories of which no name is visible, each once."""
    names = [item for item in found if not stat.S_ISDIR(item.entry.mode)]
    visible = {(item.layer, item.entry.links) for item in names if item.hidden is None}
    hidden = {(item.layer, item.entry.links): item.entry.size or 0 for item in names if item.hidden}
    return sum(size for inode, size in hidden.items() if inode not in visible)


def _is_whiteout(entry: Entry) -> bool:
    if stat.S_ISREG(entry.mode):
        return entry.size == 0 and _WHITEOUT in entry.xattrs
    return stat.S_ISCHR(entry.mode) and entry.rdev == (0, 0)


def _causes(path: bytes, mode: int, upper: Snapshot) -> Iterator[tuple[str, bytes]]:
    """How a layer above hides an object, outermost cause first."""
    names = path.split(b"/") if path else []
    for depth in range(1, len(names)):
        above = b"/".join(names[:depth])
        entry = upper.get(above)
        if entry is None:
            return
        if _is_whiteout(entry):
            yield "whiteout", b"/" + above
        elif not stat.S_ISDIR(entry.mode):
            yield "type changed", b"/" + above
        elif entry.xattrs.get(_OPAQUE) == b"y":
            yield "opaque", b"/" + above
    if entry := upper.get(path):
        same = stat.S_IFMT(entry.mode) == stat.S_IFMT(mode)
        how = "whiteout" if _is_whiteout(entry) else "replaced" if same else "type changed"
        yield how, b"/" + path
