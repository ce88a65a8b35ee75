"""Differences as `docker diff` prints them: added, changed, deleted, judged by attributes only.

Docker never compares contents: a file counts as changed by its size, modification time, mode,
owner, device number or capability. The contents of a deleted directory are left out, and a directory counts
as changed if anything in it changed.

Source: moby `pkg/archive/changes.go`, `changes_unix.go`, `changes_linux.go` of v20.10.24.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from layerfs.analysis.diff.changes import CAPABILITY, Change, Kind
from layerfs.analysis.diff.difference import Walk
from layerfs.errors import TreeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layerfs.analysis.diff.difference import Pair
    from layerfs.tree.node import FileStat
    from layerfs.tree.union import UnionTree

__all__ = ["docker_changes", "same_time"]

_NANO = 10**9


def docker_changes(
    before: UnionTree,
    after: UnionTree,
    complain: Callable[[TreeError], None],
    *,
    skip: Callable[[bytes], bool] | None = None,
) -> list[Change]:
    """The changes that `docker diff` would print, sorted by path; arguments as of `differences`."""
    visited: dict[bytes, Pair] = {}
    found: dict[bytes, Change] = {}
    for pair in Walk(before, after, complain, skip, into_deleted=False):
        if pair.node.parent is None:
            continue
        path = pair.node.path
        if pair.node.is_dir:
            visited[path] = pair
        kind = _kind(before, after, pair, complain)
        if kind is not None:
            found[path] = Change(kind, *pair)
            _mark_above(path, visited, found)
    return [found[path] for path in sorted(found)]


def _mark_above(path: bytes, visited: Mapping[bytes, Pair], found: dict[bytes, Change]) -> None:
    """Count the directories above a change as changed, but for the root."""
    above = path.rpartition(b"/")[0]
    while above and above not in found:
        found[above] = Change(Kind.CHANGED, *visited[above])
        above = above.rpartition(b"/")[0]


def _kind(
    before: UnionTree, after: UnionTree, pair: Pair, complain: Callable[[TreeError], None]
) -> Kind | None:
    """The change of one path, without regard to what is below it."""
    if pair.before is None:
        return Kind.ADDED
    if pair.after is None:
        return Kind.DELETED
    if _stat_differs(pair.before.stat, pair.after.stat):
        return Kind.CHANGED
    try:
        same = before.xattr(pair.before, CAPABILITY) == after.xattr(pair.after, CAPABILITY)
    except TreeError as error:
        complain(error)
        return None
    return None if same else Kind.CHANGED


def _stat_differs(old: FileStat, new: FileStat) -> bool:
    """Docker's `statDifferent`."""
    if (old.mode, old.uid, old.gid, old.rdev) != (new.mode, new.uid, new.gid, new.rdev):
        return True
    # Docker tests only the bit of S_IFDIR, which block devices and sockets have too
    if old.mode & stat.S_IFDIR:
        return False
    return old.size != new.size or not same_time(old.mtime_ns, new.mtime_ns)


def same_time(old_ns: int, new_ns: int) -> bool:
    """Whether times are equal, or one lost its fraction and their seconds are equal."""
    old, new = divmod(old_ns, _NANO), divmod(new_ns, _NANO)
    return old[0] == new[0] and (old[1] == new[1] or not old[1] or not new[1])
