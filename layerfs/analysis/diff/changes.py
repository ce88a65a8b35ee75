"""One path of two trees: what changed (`Change`, `Kind`), and the comparison of its two entries."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import TreeError, UnreadableEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from layerfs.tree.content import Content
    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree

__all__ = ["ATTRIBUTES", "CAPABILITY", "Change", "Comparison", "Kind", "xattrs"]

ATTRIBUTES = ("content", "target", "rdev", "mode", "uid", "gid", "mtime", "capability", "xattr")
"""The attributes in which two entries of one type can differ, in the order of output."""

CAPABILITY = b"security.capability"

_CHUNK = 1 << 20


class Kind(enum.StrEnum):
    """What happened to a path.

    `METADATA` is a change only of attributes, which include the link target and the device number. `CHANGED`
    is Docker's word for every change but an addition or a deletion.
    """

    ADDED = "added"
    DELETED = "deleted"
    MODIFIED = "modified"
    METADATA = "metadata"
    TYPE = "type"
    CHANGED = "changed"


class Change(NamedTuple):
    """A path that is not the same in two trees.

    Attributes:
        kind: what happened to it.
        before: its entry in the first tree, or None.
        after: its entry in the second tree, or None; at least one of the two is not None.
        attributes: which of `ATTRIBUTES` differ, if both are of one type.
    """

    kind: Kind
    before: Node | None
    after: Node | None
    attributes: tuple[str, ...] = ()

    @property
    def node(self) -> Node:
        """The entry of the second tree, or else that of the first."""
        node = self.after or self.before
        assert node is not None  # noqa: S101 - a change is of something
        return node

    @property
    def path(self) -> bytes:
        """The absolute path."""
        return self.node.path


class Comparison:
    """Compares entries of two trees.

    What cannot be read is reported to `complain`, and does not count as a difference.
    """

    def __init__(
        self,
        before: UnionTree,
        after: UnionTree,
        complain: Callable[[TreeError], None],
        ignore: Collection[str] = (),
    ) -> None:
        """Compare entries of `before` with entries of `after` in all attributes but those to `ignore`."""
        self._trees = before, after
        self._complain = complain
        self._ignore = frozenset(ignore)

    def change(self, before: Node | None, after: Node | None) -> Change | None:
        """How one path differs, or None where it does not."""
        if before is None or after is None:
            return Change(Kind.DELETED if after is None else Kind.ADDED, before, after)
        if before.stat.kind != after.stat.kind:
            return Change(Kind.TYPE, before, after)
        attributes = self.attributes(before, after)
        if not attributes:
            return None
        return Change(Kind.MODIFIED if "content" in attributes else Kind.METADATA, before, after, attributes)

    def attributes(self, before: Node, after: Node) -> tuple[str, ...]:
        """Which of `ATTRIBUTES` differ between two entries of one type."""
        found = {name for name in self._plain(before, after) if name not in self._ignore}
        for read in (self._of_content, self._of_target, self._of_xattrs):
            try:
                found.update(read(before, after))
            except TreeError as error:
                self._complain(error)
        return tuple(name for name in ATTRIBUTES if name in found)

    def _plain(self, before: Node, after: Node) -> Iterator[str]:
        """The attributes of lstat(2) that differ."""
        old, new = before.stat, after.stat
        if old.mode != new.mode:
            yield "mode"
        if old.uid != new.uid:
            yield "uid"
        if old.gid != new.gid:
            yield "gid"
        if old.mtime_ns != new.mtime_ns:
            yield "mtime"
        if old.rdev != new.rdev:
            yield "rdev"

    def _of_content(self, before: Node, after: Node) -> Iterator[str]:
        if "content" not in self._ignore and before.stat.is_file and not self._same_bytes(before, after):
            yield "content"

    def _same_bytes(self, before: Node, after: Node) -> bool:
        """Whether two files have the same content; reads them only if they are two inodes of equal size."""
        if before.stat.size != after.stat.size:
            return False
        with self._trees[0].open(before) as old, self._trees[1].open(after) as new:
            return _same_file(old, new) or _equal_bytes(old, new, after)

    def _of_target(self, before: Node, after: Node) -> Iterator[str]:
        if "target" in self._ignore or not before.stat.is_symlink:
            return
        if self._trees[0].readlink(before) != self._trees[1].readlink(after):
            yield "target"

    def _of_xattrs(self, before: Node, after: Node) -> Iterator[str]:
        if {"xattr", "capability"} <= self._ignore:
            return
        old, new = xattrs(self._trees[0], before), xattrs(self._trees[1], after)
        if old.pop(CAPABILITY, None) != new.pop(CAPABILITY, None) and "capability" not in self._ignore:
            yield "capability"
        if old != new and "xattr" not in self._ignore:
            yield "xattr"


def xattrs(tree: UnionTree, node: Node) -> dict[bytes, bytes]:
    """Every extended attribute that the union shows of an entry, sorted by name; raises `TreeError`."""
    found = {name: tree.xattr(node, name) for name in tree.xattr_names(node)}
    return {name: value for name, value in sorted(found.items()) if value is not None}


def _same_file(old: Content, new: Content) -> bool:
    """Whether both are the same file of the store."""
    return old.identity == new.identity


def _equal_bytes(old: Content, new: Content, node: Node) -> bool:
    offset = 0
    while True:
        try:
            left, right = old.pread(_CHUNK, offset), new.pread(_CHUNK, offset)
        except OSError as error:
            raise UnreadableEntry(node.path, error.strerror) from error
        if left != right or not left:
            return left == right
        offset += len(left)
