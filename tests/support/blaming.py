"""`histories`: what each layer did to each path, from the views of the stack up to every layer."""

from __future__ import annotations

import stat
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from tests.support.hiding import objects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.hiding import Cause, Held
    from tests.support.snapshot import Entry, Snapshot

__all__ = ["Happened", "histories"]

_PRIVATE = b"trusted.overlay."
_ESCAPED = b"trusted.overlay.overlay."


class Happened(NamedTuple):
    """What a layer did to a path; `seen` is what is seen since, or None."""

    layer: int
    action: str
    changes: frozenset[str]
    hidden: Cause | None
    seen: Held | None
    visible: bool


def histories(layers: Sequence[Path | Snapshot]) -> dict[bytes, list[Happened]]:
    """By absolute path, oldest first; `layers` are uppermost first."""
    found = {(item.path, item.layer): item for item in objects(layers)}
    views = [
        {item.path: item for item in objects(layers[-number:]) if item.hidden is None}
        for number in range(1, len(layers) + 1)
    ]
    told: defaultdict[bytes, list[Happened]] = defaultdict(list)
    before: dict[bytes, Held] = {}
    for number, view in enumerate(views, 1):
        for path in sorted(before.keys() | view.keys()):
            old, new = before.get(path), view.get(path)
            if old and new and old.layer == new.layer:
                continue
            action, changes = _action(old, new, again=path in told)
            hidden = found[path, old.layer].hidden if old and not new else None
            visible = new is not None and found[path, new.layer].hidden is None
            told[path].append(Happened(number, action, changes, hidden, new, visible))
        before = view
    return dict(told)


def _action(old: Held | None, new: Held | None, *, again: bool) -> tuple[str, frozenset[str]]:
    if new is None:
        return "hidden", frozenset()
    if old is None:
        return "revealed" if again else "added", frozenset()
    if stat.S_IFMT(old.entry.mode) != stat.S_IFMT(new.entry.mode):
        return "type changed", frozenset()
    changes = frozenset(_changes(old.entry, new.entry))
    opaque = new.entry.xattrs.get(_PRIVATE + b"opaque") == b"y" and stat.S_ISDIR(new.entry.mode)
    if (opaque and new.path != b"/") or changes & {"content", "target", "rdev"}:
        return "changed", changes
    return "metadata" if changes else "copied", changes


def _changes(old: Entry, new: Entry) -> Iterator[str]:
    for name in ("content", "target", "rdev", "mode", "uid", "gid"):
        if getattr(old, name) != getattr(new, name):
            yield name
    if old.mtime_ns != new.mtime_ns:
        yield "mtime"
    left, right = dict(_shown(old)), dict(_shown(new))
    if left.pop(b"security.capability", None) != right.pop(b"security.capability", None):
        yield "capability"
    if left != right:
        yield "xattr"


def _shown(entry: Entry) -> Iterator[tuple[bytes, bytes]]:
    """The attributes that a mount shows."""
    for name, value in entry.xattrs.items():
        if name.startswith(_ESCAPED):
            yield _PRIVATE + name.removeprefix(_ESCAPED), value
        elif not name.startswith(_PRIVATE):
            yield name, value
