"""Changes as rows and as lines of text."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from ..escape import printable
from ..table import Column, Table
from .entries import ENTRY_TABLE, Complaints, Entry, escaped, lossless, type_word

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.analysis.diff.changes import Change
    from layerfs.subject import Subject
    from layerfs.tree.node import Node

__all__ = ["LETTERS", "View"]

LETTERS = {"added": "A", "deleted": "D", "changed": "C", "modified": "M", "metadata": "P", "type": "T"}
"""A letter for each kind: Docker's A, C and D; M for content, P for properties, T for the type."""

_WIDTH = 10  # of the first word of a line


class View(NamedTuple):
    """The two trees that changes are of, and how to show them.

    Attributes:
        before: the first tree.
        after: the second.
        complaints: takes what cannot be read.
        docker: whether lines look as those of `docker diff`.
        hashes: whether contents are hashed.
    """

    before: Subject
    after: Subject
    complaints: Complaints
    docker: bool = False
    hashes: bool = False

    # -- lines ---------------------------------------------------------------------------------

    def line(self, change: Change) -> str:
        """A change as one line without its end."""
        if self.docker:
            return f"{LETTERS[change.kind]} {printable(lossless(change.path))}"
        slash = "/" if change.node.is_dir and change.node.parent and change.kind != "type" else ""
        details = ", ".join(self._details(change))
        return (
            f"{change.kind:{_WIDTH}}{escaped(change.path)}{slash}{self._arrow(change)}"
            f"{f' ({details})' if details else ''}"
        )

    def _arrow(self, change: Change) -> str:
        """Where an added or deleted link leads."""
        if change.kind not in ("added", "deleted"):
            return ""
        target = self._entry(change.after is not None, change.node).target
        return "" if target is None else f" -> {escaped(target)}"

    def _details(self, change: Change) -> list[str]:
        old, new = change.before, change.after
        words = []
        if old and new and change.kind == "type":
            words.append(f"{type_word(old.stat.mode)} -> {type_word(new.stat.mode)}")
        elif old and new:
            words += [self._detail(name, old, new) for name in change.attributes]
        if self.hashes:
            hashes = [self._hash(self.before, old), self._hash(self.after, new)]
            known = list(dict.fromkeys(digest for digest in hashes if digest))
            words += ["sha256 " + " -> ".join(known)] if known else []
        return words

    def _detail(self, name: str, old: Node, new: Node) -> str:
        was, now = old.stat, new.stat
        if name == "content":
            return f"{was.size} -> {now.size} bytes" if was.size != now.size else "content"
        if name == "target":
            targets = (self._entry(False, old).target, self._entry(True, new).target)
            return "target " + " -> ".join(escaped(target or b"") for target in targets)
        if name == "rdev":
            return f"device {_device(was.rdev)} -> {_device(now.rdev)}"
        if name == "mode":
            return f"mode {stat.S_IMODE(was.mode):04o} -> {stat.S_IMODE(now.mode):04o}"
        if name in ("uid", "gid"):
            return f"{name} {getattr(was, name)} -> {getattr(now, name)}"
        return name

    # -- rows ----------------------------------------------------------------------------------

    def table(self) -> Table[Change]:
        """A row a change; `before` and `after` hold every attribute of both entries."""
        columns: list[Column[Change]] = [
            Column("change", lambda change: str(change.kind), "Change", "CHANGE"),
            Column("", lambda change: LETTERS[change.kind], "Letter", "LETTER"),
            Column("path", lambda change: lossless(change.path), "Path", "PATH"),
            Column(
                "attributes",
                lambda change: list(change.attributes),
                "Attributes",
                "ATTRIBUTES",
                lambda change: ",".join(change.attributes),
            ),
            Column("before", lambda change: self._record(self.before, change.before)),
            Column("after", lambda change: self._record(self.after, change.after)),
        ]
        for name, word in _WORDS.items():
            columns.append(_word_column(name, "Before", lambda change: change.before, word))
            columns.append(_word_column(name, "After", lambda change: change.after, word))
        columns += [
            Column(
                "", lambda change: self._hash(self.before, change.before), "SHA256Before", "SHA256 BEFORE"
            ),
            Column("", lambda change: self._hash(self.after, change.after), "SHA256After", "SHA256 AFTER"),
        ]
        return Table(columns, ("Change", "Path", "Attributes", "SizeBefore", "SizeAfter"))

    def _record(self, subject: Subject, node: Node | None) -> dict[str, Any] | None:
        """All attributes of an entry."""
        from layerfs.analysis.diff.changes import xattrs
        from layerfs.errors import TreeError

        if node is None:
            return None
        record = ENTRY_TABLE.record(Entry.of(subject, node, self.complaints))
        del record["path"], record["name"]
        record["xattrs"] = None
        try:
            found = xattrs(subject.tree, node)
            record["xattrs"] = {lossless(name): lossless(value) for name, value in found.items()}
        except TreeError as error:
            self.complaints.add(error)
        if self.hashes:
            record["sha256"] = self._hash(subject, node)
        return record

    def _entry(self, is_after: bool, node: Node) -> Entry:
        return Entry.of(self.after if is_after else self.before, node, self.complaints)

    def _hash(self, subject: Subject, node: Node | None) -> str | None:
        """sha256 of a regular file, or None."""
        from layerfs.errors import TreeError, UnreadableEntry

        if node is None or not node.stat.is_file:
            return None
        digest = hashlib.sha256()
        try:
            with subject.tree.open(node) as file:
                for chunk in file.chunks():
                    digest.update(chunk)
        except TreeError as error:
            self.complaints.add(error)
            return None
        except OSError as error:
            self.complaints.add(UnreadableEntry(node.path, error.strerror))
            return None
        return digest.hexdigest()


def _device(rdev: int) -> str:
    return f"{os.major(rdev)},{os.minor(rdev)}"


_WORDS: dict[str, Callable[[Node], object]] = {
    "Type": lambda node: type_word(node.stat.mode),
    "Mode": lambda node: f"{stat.S_IMODE(node.stat.mode):04o}",
    "UID": lambda node: node.stat.uid,
    "GID": lambda node: node.stat.gid,
    "Size": lambda node: node.stat.size,
}


def _word_column(
    name: str, side: str, find: Callable[[Change], Node | None], word: Callable[[Node], object]
) -> Column[Change]:
    def value(change: Change) -> object:
        node = find(change)
        return None if node is None else word(node)

    return Column("", value, name + side, f"{name.upper()} {side.upper()}")
