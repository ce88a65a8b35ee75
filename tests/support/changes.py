"""Differences between two snapshots by comparing every entry with every other: the model for `diff`."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from layerfs.analysis.diff.changes import Change
    from tests.support.snapshot import Entry, Snapshot

__all__ = ["Found", "changed_paths", "found", "refused"]

Found: TypeAlias = "dict[bytes, tuple[str, frozenset[str]]]"
"""What happened to each path, and which attributes differ."""

CAPABILITY = b"security.capability"


def changed_paths(before: Snapshot, after: Snapshot, *, without: Iterable[bytes] = ()) -> Found:
    """Every path that differs, but for those `without` and what is below them."""
    changes: Found = {}
    left_out = tuple(without)
    for path in {*before, *after}:
        if any(path == top or path.startswith(top + b"/") for top in left_out):
            continue
        if change := _change(before.get(path), after.get(path)):
            changes[b"/" + path] = change
    return changes


def refused(*snapshots: Snapshot) -> list[bytes]:
    """The paths that cannot be looked at or read in one of them."""
    return [path for entries in snapshots for path, entry in entries.items() if entry.failures]


def found(changes: Iterable[Change], *, without: Iterable[bytes] = ()) -> Found:
    """Our changes in the same form; fails where one path is told twice."""
    told: Found = {}
    left_out = tuple(b"/" + path for path in without)
    for change in changes:
        assert change.path not in told, change.path
        if not any(change.path == top or change.path.startswith(top + b"/") for top in left_out):
            told[change.path] = (change.kind, frozenset(change.attributes))
    return told


def _change(old: Entry | None, new: Entry | None) -> tuple[str, frozenset[str]] | None:
    if old is None or new is None:
        return ("added" if old is None else "deleted", frozenset())
    if stat.S_IFMT(old.mode) != stat.S_IFMT(new.mode):
        return ("type", frozenset())
    differing = frozenset(name for name, value in _VALUES.items() if value(old) != value(new))
    if not differing:
        return None
    return ("modified" if "content" in differing else "metadata", differing)


def _other_xattrs(entry: Entry) -> dict[bytes, bytes]:
    return {name: value for name, value in entry.xattrs.items() if name != CAPABILITY}


_VALUES: dict[str, Callable[[Entry], object]] = {
    "content": lambda entry: (entry.content, entry.size if entry.content is not None else None),
    "target": lambda entry: entry.target,
    "rdev": lambda entry: entry.rdev,
    "mode": lambda entry: entry.mode,
    "uid": lambda entry: entry.uid,
    "gid": lambda entry: entry.gid,
    "mtime": lambda entry: entry.mtime_ns,
    "capability": lambda entry: entry.xattrs.get(CAPABILITY),
    "xattr": _other_xattrs,
}
