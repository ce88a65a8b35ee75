"""Compares a layer of a composefs store with its tar: objects, table of contents, and headers.

Every object must hash to its name; the tar made of headers and objects must hash to the diff ID; and the
table of contents, from which the engine makes the tree, must say of every entry what its header says.

Source: containers/storage `drivers/overlay/composefs.go`, `pkg/chunked/dump/dump.go`.
"""

from __future__ import annotations

import os
import stat
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.verify.attributes import kind_words, xattr_words
from layerfs.errors import CorruptStore
from layerfs.formats.chunkedtoc import parse_toc
from layerfs.formats.errors import FormatError
from layerfs.formats.gotime import format_time
from layerfs.formats.whiteouts import TRUSTED
from layerfs.stores.containers_storage.checks.rebuilt import rebuilt
from layerfs.stores.containers_storage.composefs import TocTree, check_objects
from layerfs.tree.originals import Originals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.analysis.verify.layerfindings import LayerFindings
    from layerfs.ids import DiffID
    from layerfs.stores.containers_storage.parts import Stored
    from layerfs.stores.layerarchive import LayerArchive
    from layerfs.tree.original import Original

__all__ = ["ObjectsCheck"]

_CODES = {
    "missing": ("object-missing", "the object is missing"),
    "unreadable": ("unreadable", "the object cannot be read"),
    "content": ("object-altered", "the content does not hash to its name"),
}


class ObjectsCheck:
    """Checks one layer."""

    def __init__(
        self, stored: Stored, archive: LayerArchive, found: LayerFindings, told: Callable[[int], object]
    ) -> None:
        """Check a layer: its tar is `archive`; `found` collects; `told` gets the number of bytes."""
        self._part = stored.part
        self._own = stored.record.id
        self._archive = archive
        self._found = found
        self._told = told
        self._toc_name = stored.part.directory.name_of(stored.part.toc_path(self._own))

    def run(self, diff_id: DiffID) -> tuple[bool, int]:
        """Compare everything; whether the tar is the one of `diff_id`, and its size; raises `OSError`."""
        try:
            toc = self._part.toc(self._own)
            damaged = self._objects(toc)
        except (CorruptStore, FormatError):
            return False, 0  # found in its record
        made = rebuilt(self._archive, diff_id, self._found, self._told)
        if not damaged:  # else they are the reason
            for fault in made.faults:
                name = f"{self._toc_name}: {os.fsdecode(fault.path)}"
                message = "the table of contents gives it another content than the tar has"
                self._found.add("toc-altered", name, fault.expected, fault.found, message)
        if made.is_whole:
            self._entries(toc)
        return made.proven and not made.faults, made.size

    def _objects(self, toc: bytes) -> bool:
        """Hash every object; whether one is not what it is called."""
        before = self._found.total
        for fault in check_objects(self._archive.diff, toc):
            code, message = _CODES[fault.what]
            found = f"sha256:{fault.found}" if fault.what == "content" else fault.found or None
            self._found.add(code, fault.name, f"sha256:{fault.digest}", found, message)
        return self._found.total > before

    def _entries(self, toc: bytes) -> None:
        """Compare what the table says of entries with their headers."""
        with closing(self._archive.members(cut=True)) as members:
            wanted = Originals(members, TRUSTED.opaque)
        found = TocTree(self._archive.diff, parse_toc(toc)).originals
        for path, difference in differences(wanted.root, found.root):
            self._found.entries += 1
            name = f"{self._toc_name}: {os.fsdecode(path)}"
            message = f"{difference.what} is not that of the tar"
            self._found.add("toc-altered", name, difference.expected, difference.found, message)


class Difference(NamedTuple):
    """What two entries do not have in common."""

    what: str
    expected: str | None
    found: str | None


def differences(wanted: Original, found: Original) -> Iterator[tuple[bytes, Difference]]:
    """What differs in two trees, with the paths of the entries; where one has none, the entry itself."""
    pending = [(b"", wanted, found)]
    while pending:
        path, one, other = pending.pop()
        for difference in _of_entry(one, other):
            yield path, difference
        ours, theirs = one.children or {}, other.children or {}
        for name in sorted(ours.keys() | theirs.keys()):
            below = path + b"/" + name if path else name
            if name in ours and name in theirs:
                pending.append((below, ours[name], theirs[name]))
            else:
                yield below, Difference("the entry", _kind(ours.get(name)), _kind(theirs.get(name)))


def _kind(entry: Original | None) -> str | None:
    return kind_words(entry.mode) if entry else None


def _of_entry(one: Original, other: Original) -> Iterator[Difference]:
    if one.kind != other.kind:
        yield Difference("the type", kind_words(one.mode), kind_words(other.mode))
        return
    ours, theirs = _said(one), _said(other)
    if not one.has_header:
        ours["the modification time"] = theirs["the modification time"]
    for what, value in ours.items():
        if value != theirs[what]:
            yield Difference(what, value, theirs[what])
    for key in sorted(one.xattrs.keys() | other.xattrs.keys()):
        old, new = one.xattrs.get(key), other.xattrs.get(key)
        if old != new:
            words = [None if value is None else xattr_words(key, value) for value in (old, new)]
            yield Difference("an extended attribute", words[0], words[1])


def _said(entry: Original) -> dict[str, str]:
    """What is compared of an entry, in words."""
    return {
        "the mode": "" if entry.kind == stat.S_IFLNK else f"{stat.S_IMODE(entry.mode):04o}",
        "the owner": f"{entry.uid}:{entry.gid}",
        "the modification time": format_time(entry.mtime_ns or 0),
        "the target": os.fsdecode(entry.target),
        "the device": f"{os.major(entry.rdev)}:{os.minor(entry.rdev)}",
    }
