"""The rules of overlayfs as a model: a tree is built from the base up, each layer laid on what is there.

The union looks from above, layer by layer, and never builds a tree; so this shares no idea with it.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.support.inmemory import stored
from tests.support.layerspec import Dir, Link
from tests.support.snapshot import with_links

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from tests.support.layerspec import LayerSpec, Node
    from tests.support.snapshot import Entry, Snapshot

__all__ = ["model"]


@dataclass(slots=True)
class Shown:
    """An entry of the tree so far; `children` of a directory, `data` (a sha256) of a file that has any."""

    entry: Entry
    inode: Hashable
    children: dict[bytes, Shown] | None = None
    data: str | None = None


class Laying:
    """One layer on the tree of those below it."""

    def __init__(self, layer: LayerSpec, number: int, below: Shown | None, prefix: bytes) -> None:
        self._entries, self._number, self._below, self._prefix = stored(layer), number, below, prefix

    def laid(self, node: Dir, path: bytes, lower: Shown | None) -> Shown:
        """A directory of the layer on the one it merges with, if there is one."""
        children = dict(lower.children or {}) if lower else {}
        subdirectories = sum(isinstance(child, Dir) for child in node.children.values())
        entry = replace(self._entries[path], nlink=1 if lower else 2 + subdirectories)
        for name, child in node.children.items():
            where = path + b"/" + name if path else name
            marks = self._entries[where].xattrs
            if self._is_whiteout(where):
                children.pop(name, None)
                continue
            origin = self._origin(marks.get(self._prefix + b"redirect"), name, lower)
            if isinstance(child, Dir):
                merges = (
                    origin and origin.children is not None and marks.get(self._prefix + b"opaque") != b"y"
                )
                children[name] = self.laid(child, where, origin if merges else None)
            else:
                children[name] = self._file(child, where, origin)
        return Shown(self._presented(entry), (self._number, path), children)

    def _file(self, node: Node, path: bytes, origin: Shown | None) -> Shown:
        entry = self._entries[path]
        data = entry.content
        if self._prefix + b"metacopy" in entry.xattrs and stat.S_ISREG(entry.mode):
            data = origin.data if origin else None
        inode = node.index if isinstance(node, Link) else path
        return Shown(
            self._presented(replace(entry, nlink=len(entry.links))), (self._number, inode), data=data
        )

    def _origin(self, redirect: bytes | None, name: bytes, lower: Shown | None) -> Shown | None:
        """Where an entry goes on: under its name, or where its redirect leads."""
        if redirect is None or not redirect.startswith(b"/"):
            return lower.children.get(redirect or name) if lower and lower.children else None
        found = self._below
        for step in redirect[1:].split(b"/"):
            found = found.children.get(step) if found and found.children else None
        return found

    def _is_whiteout(self, path: bytes) -> bool:
        entry = self._entries[path]
        if stat.S_ISCHR(entry.mode):
            return entry.rdev == (0, 0)
        return stat.S_ISREG(entry.mode) and not entry.size and self._prefix + b"whiteout" in entry.xattrs

    def _presented(self, entry: Entry) -> Entry:
        """Marks are hidden, escaped ones lose one `overlay.`."""
        escaped = self._prefix + b"overlay."
        return replace(
            entry,
            xattrs={
                self._prefix + name.removeprefix(escaped) if name.startswith(escaped) else name: value
                for name, value in entry.xattrs.items()
                if name.startswith(escaped) or not name.startswith(self._prefix)
            },
        )


def model(stack: Sequence[LayerSpec], prefix: bytes = b"trusted.overlay.") -> Snapshot:
    """What a stack shows, uppermost first, where `prefix` is overlayfs's own."""
    tree: Shown | None = None
    for number, layer in enumerate(reversed(stack), 1):
        tree = Laying(layer, number, tree, prefix).laid(layer.root, b"", tree)
    assert tree
    found = dict(_walk(tree, b""))
    entries = {path: _readable(shown) for path, shown in found.items()}
    return with_links(entries, {path: shown.inode for path, shown in found.items()})


def _walk(shown: Shown, path: bytes) -> Iterator[tuple[bytes, Shown]]:
    yield path, shown
    for name, child in (shown.children or {}).items():
        yield from _walk(child, path + b"/" + name if path else name)


def _readable(shown: Shown) -> Entry:
    """The entry with its data; a file without any cannot be read."""
    if shown.data is None and stat.S_ISREG(shown.entry.mode):
        return replace(shown.entry, content=None, failures=("no data",))
    return replace(shown.entry, content=shown.data)
