"""The entries of a tree as rows, and how their names look on a terminal."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from ..main import EXIT_CODES, FINDINGS
from ..messages import say_error
from ..table import Column, Table
from ..units import rfc3339

if TYPE_CHECKING:
    from layerfs.analysis.tree.layermarks import LayerMarks
    from layerfs.errors import TreeError
    from layerfs.subject import Subject
    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree

__all__ = [
    "ENTRY_COLUMNS",
    "ENTRY_TABLE",
    "STAT_WORDS",
    "Complaints",
    "Entry",
    "escaped",
    "lossless",
    "type_word",
]

_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char_device",
    stat.S_IFBLK: "block_device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_ESCAPES = dict(zip("\a\b\t\n\v\f\r \\", (rf"\{letter}" for letter in "abtnvfr \\"), strict=True))

STAT_WORDS = {
    stat.S_IFREG: "regular file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFCHR: "character special file",
    stat.S_IFBLK: "block special file",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
"""What stat(1) calls each type; of a regular file without content it has another word."""

MARK_WORDS = ("whiteout", "opaque", "redirect", "metacopy")
"""The marks of overlayfs in an entry of a layer: the fields of `LayerMarks`."""


class Complaints:
    """Errors about single entries, which do not stop a command; `code` is its exit code.

    An error about something that was asked for counts more than one met on the way.
    """

    def __init__(self, *asked: bytes, met: int = FINDINGS) -> None:
        """No errors yet.

        Args:
            asked: the paths that the user named.
            met: the exit code for errors on the way, if 1 means something else.
        """
        self._asked = [_plain(path) for path in asked]
        self._met = met
        self.code = 0

    def ask(self, tree: UnionTree, *paths: bytes, follow: bool = False) -> None:
        """Add paths that the user named, and where the links of a tree lead from there.

        With `follow` links at their ends too.
        """
        from layerfs.analysis.tree.find import without_links

        for path in paths:
            self._asked += [_plain(path), without_links(tree, path, follow=follow)]

    def add(self, error: TreeError) -> None:
        """Report an error, and note whether it prevents an answer about a path that was asked for.

        It does if it is about such a path, or about an unreadable directory above it.
        """
        at, below = _plain(error.path), _plain(error.path).rstrip(b"/") + b"/"
        if any(path == at or path.startswith(below) for path in self._asked):
            self.refuse(error)
        else:
            say_error(error)
            self.code = self.code or self._met

    def refuse(self, error: TreeError) -> None:
        """Report an error about a path that was asked for, also if links led elsewhere."""
        say_error(error)
        self.code = EXIT_CODES["TreeError"]


def _plain(path: bytes) -> bytes:
    return b"/" + b"/".join(name for name in path.split(b"/") if name not in (b"", b"."))


class Entry(NamedTuple):
    """An entry of a subject's tree.

    Attributes:
        subject: the tree's subject.
        node: the entry.
        target: the target of a symbolic link.
        marks: its marks; None except in the tree of a single layer.
    """

    subject: Subject
    node: Node
    target: bytes | None
    marks: LayerMarks | None = None

    @classmethod
    def of(cls, subject: Subject, node: Node, complaints: Complaints) -> Entry:
        """The entry of `node`; an unreadable link, or mark, is a complaint."""
        from layerfs.analysis.tree.layermarks import marks_of
        from layerfs.errors import TreeError

        target = marks = None
        try:
            if node.stat.is_symlink:
                target = subject.tree.readlink(node)
            if subject.alone:
                marks = marks_of(subject.alone, node)
        except TreeError as error:
            complaints.add(error)
        return cls(subject, node, target, marks)

    @property
    def layer(self) -> int | None:
        """The number of the layer that supplied it; 1 is the base."""
        layer = self.subject.layer_of(self.node)
        return layer.number if layer else None

    @property
    def is_device(self) -> bool:
        """Whether it has a device number."""
        return self.node.stat.kind in (stat.S_IFCHR, stat.S_IFBLK)

    @property
    def is_whiteout(self) -> bool:
        """Whether it is only a whiteout."""
        return self.marks is not None and self.marks.whiteout

    @property
    def mark_words(self) -> list[str]:
        """The words of its marks, such as `whiteout`; usually none."""
        return [word for word in MARK_WORDS if getattr(self.marks, word, None) not in (None, False)]

    @property
    def mark_text(self) -> str:
        """The marks as text behind a name: `[opaque]`, or nothing."""
        words = self.mark_words
        if self.marks and self.marks.redirect is not None:
            words[words.index("redirect")] = f"redirect to {escaped(self.marks.redirect)}"
        return f"[{', '.join(words)}]" if words else ""


def escaped(name: bytes) -> str:
    r"""A name as `ls -b` shows it: `\n`, `\ `, `\\`, and octal for what is not printable UTF-8."""
    text = lossless(name)
    if text.isprintable() and _ESCAPES.keys().isdisjoint(text):  # nearly all names, and much faster
        return text
    return "".join(map(_escaped_character, text))


def _escaped_character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))


def lossless(raw: bytes) -> str:
    r"""Bytes as text; those that are no UTF-8 become `\udcXX`, from which they can be restored."""
    return raw.decode("utf-8", "surrogateescape")


def type_word(mode: int) -> str:
    """The type of an entry in a word."""
    return _TYPES.get(stat.S_IFMT(mode), "unknown")


def _rdev(entry: Entry) -> dict[str, int] | None:
    if not entry.is_device:
        return None
    number = entry.node.stat.rdev
    return {"major": os.major(number), "minor": os.minor(number)}


def _redirect(entry: Entry) -> str | None:
    target = entry.marks and entry.marks.redirect
    return None if target is None else lossless(target)


def _target(entry: Entry) -> str | None:
    return None if entry.target is None else lossless(entry.target)


def _column(key: str, placeholder: str, value: Any) -> Column[Entry]:
    return Column(key, value, placeholder, placeholder.upper())


ENTRY_COLUMNS: tuple[Column[Entry], ...] = (
    _column("path", "Path", lambda entry: lossless(entry.node.path)),
    _column("name", "Name", lambda entry: lossless(entry.node.name or b"/")),
    _column("type", "Type", lambda entry: type_word(entry.node.stat.mode)),
    _column("mode", "Mode", lambda entry: f"{stat.S_IMODE(entry.node.stat.mode):04o}"),
    _column("uid", "UID", lambda entry: entry.node.stat.uid),
    _column("gid", "GID", lambda entry: entry.node.stat.gid),
    _column("size", "Size", lambda entry: entry.node.stat.size),
    _column("mtime", "MTime", lambda entry: rfc3339(entry.node.stat.mtime_ns)),
    _column("target", "Target", _target),
    _column("nlink", "NLink", lambda entry: entry.node.nlink),
    _column("inode", "Inode", lambda entry: entry.subject.tree.inode(entry.node)),
    _column("rdev", "Rdev", _rdev),
    _column("layer", "Layer", lambda entry: entry.layer),
    Column(
        "marks",
        lambda entry: None if entry.marks is None else entry.mark_words,
        "Marks",
        "MARKS",
        lambda entry: ",".join(entry.mark_words),
    ),
    _column("redirect", "Redirect", _redirect),
)
"""The columns of an entry, with stable JSON keys; `layer` is a number, 1 for the base.

`marks` and `redirect` are null except in the tree of a single layer.
"""

ENTRY_TABLE = Table(ENTRY_COLUMNS, ("Layer", "Type", "Mode", "UID", "GID", "Size", "MTime", "Path"))
