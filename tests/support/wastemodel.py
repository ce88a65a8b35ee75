"""What overlapping layers waste, told naively: the tree after each layer, and what it no longer shows.

Knows whiteouts (device or attribute) and opaque directories; neither redirects nor metacopies.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Model", "inodes", "model"]

Parts: TypeAlias = tuple[bytes, ...]
Inodes: TypeAlias = dict[tuple[int, int], os.stat_result]


@dataclass(slots=True)
class Model:
    """The expected account; layers by number, 1 is the base."""

    stored: dict[int, int] = field(default_factory=dict)
    wasted: dict[int, int] = field(default_factory=dict)
    hides: dict[int, int] = field(default_factory=dict)
    paths: dict[bytes, int] = field(default_factory=dict)


def entries(top: bytes, parts: Parts = ()) -> Iterator[tuple[Parts, os.stat_result]]:
    """Everything below a directory, parents first."""
    for name in sorted(os.listdir(os.path.join(top, *parts))):
        found = os.lstat(os.path.join(top, *parts, name))
        yield (*parts, name), found
        if stat.S_ISDIR(found.st_mode):
            yield from entries(top, (*parts, name))


def inodes(directory: str | os.PathLike[str]) -> Inodes:
    """Every inode below a directory that is no directory itself."""
    found = (status for _, status in entries(os.fsencode(directory)))
    return {(item.st_dev, item.st_ino): item for item in found if not stat.S_ISDIR(item.st_mode)}


def model(layers: Sequence[Path]) -> Model:
    """The account of layers given uppermost first."""
    told = Model()
    tree: dict[Parts, os.stat_result] = {}
    home: dict[tuple[int, int], tuple[int, int]] = {}
    for number, layer in enumerate(reversed(layers), 1):
        own = inodes(layer)
        told.stored[number] = sum(item.st_size for item in own.values())
        told.wasted[number] = told.hides[number] = 0
        home.update({inode: (number, item.st_size) for inode, item in own.items()})
        before, tree = tree, _with(tree, os.fsencode(layer))
        names, shown = _names(before), _names(tree)
        for inode in names.keys() - shown.keys():
            holder, size = home[inode]
            told.wasted[holder] += size
            told.hides[number] += size
            path = b"/" + b"/".join(min(names[inode]))
            told.paths[path] = told.paths.get(path, 0) + size
    return told


def _names(tree: Mapping[Parts, os.stat_result]) -> dict[tuple[int, int], list[Parts]]:
    """The paths of each inode a tree shows, directories left out."""
    found: dict[tuple[int, int], list[Parts]] = {}
    for path, item in tree.items():
        if not stat.S_ISDIR(item.st_mode):
            found.setdefault((item.st_dev, item.st_ino), []).append(path)
    return found


def _with(below: Mapping[Parts, os.stat_result], layer: bytes) -> dict[Parts, os.stat_result]:
    """The tree once a layer lies on it."""
    tree = dict(below)
    for path, found in entries(layer):
        real = os.path.join(layer, *path)
        is_dir = stat.S_ISDIR(found.st_mode)
        merges = is_dir and path in below and stat.S_ISDIR(below[path].st_mode) and not _has(real, b"opaque")
        if not merges:
            for old in below:
                if old[: len(path)] == path:
                    tree.pop(old, None)
        if not _is_whiteout(real, found):
            tree[path] = found
    return tree


def _is_whiteout(path: bytes, found: os.stat_result) -> bool:
    if stat.S_ISCHR(found.st_mode):
        return found.st_rdev == 0
    return stat.S_ISREG(found.st_mode) and found.st_size == 0 and _has(path, b"whiteout")


def _has(path: bytes, mark: bytes) -> bool:
    """Whether an entry carries a mark: opaque counts as `y` alone, a whiteout as anything."""
    try:
        value = os.getxattr(path, b"trusted.overlay." + mark, follow_symlinks=False)
    except OSError:
        return False
    return value == b"y" or mark == b"whiteout"
