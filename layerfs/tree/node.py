"""What a tree consists of: `FileStat` (attributes), `Node` (one visible entry), `Part` (where it lies).

The attributes are lstat(2)'s, in the kernel's own terms.
"""

from __future__ import annotations

import operator
import stat
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["Entries", "FileStat", "Node", "Part"]

_FIELDS = operator.attrgetter(
    "st_mode", "st_nlink", "st_uid", "st_gid", "st_rdev", "st_size", "st_blocks", "st_dev", "st_ino",
    "st_atime_ns", "st_mtime_ns", "st_ctime_ns",
)  # fmt: skip


class FileStat(NamedTuple):
    """Attributes of an entry: times in integer nanoseconds, sizes in bytes, blocks of 512 bytes."""

    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    size: int
    blocks: int
    dev: int
    ino: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        """The attributes that stat(2) returned, without the floats Python adds."""
        return tuple.__new__(
            cls, _FIELDS(found)
        )  # as _make does: every entry of every layer goes through here

    @property
    def kind(self) -> int:
        """The file type bits, as `stat.S_IFREG` and its siblings."""
        return stat.S_IFMT(self.mode)

    @property
    def is_dir(self) -> bool:
        """Whether this is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether this is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        """Whether this is a symbolic link."""
        return stat.S_ISLNK(self.mode)


class Part(NamedTuple):
    """A place in one layer: its index in the stack (0 is uppermost) and the path below its root."""

    layer: int
    path: bytes


class Entries(dict[bytes, "Node"]):
    """The known entries of a directory, by name.

    Attributes:
        complete: whether these are all, in the kernel's order; else only names that were asked for.
        asked: how many names were asked for while it was not complete.
    """

    __slots__ = ("asked", "complete")

    def __init__(
        self, entries: Mapping[bytes, Node] = MappingProxyType({}), *, complete: bool = False
    ) -> None:
        """Begin with `entries`."""
        super().__init__(entries)
        self.complete = complete
        self.asked = 0


@dataclass(slots=True, eq=False)
class Node:
    """One visible entry of a tree; trees make these, everybody else reads them.

    Attributes:
        name: the last component; empty for the root.
        parent: the directory it is in; None for the root.
        stat: attributes of the topmost object: nothing is ever merged but the names in a directory.
        within: the place in a layer where that object's directory lies (for the root: its own place).
        lower: for a directory, the places in lower layers that merge into it, uppermost first.
        refusal: why this entry cannot be followed further, or None.
        entries: for a directory, its children as far as they were asked for.
    """

    name: bytes
    parent: Node | None
    stat: FileStat
    within: Part
    lower: tuple[Part, ...] = ()
    refusal: str | None = None
    entries: Entries | None = field(default=None, repr=False)

    @property
    def path(self) -> bytes:
        """The absolute path inside the tree."""
        names: list[bytes] = []
        node: Node | None = self
        while node is not None and node.parent is not None:
            names.append(node.name)
            node = node.parent
        return b"/" + b"/".join(reversed(names))

    @property
    def part(self) -> Part:
        """The place in a layer where the topmost object lies."""
        if self.parent is None:
            return self.within
        layer, directory = self.within
        return Part(layer, directory + b"/" + self.name if directory else self.name)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every place that contributes to this entry, uppermost first."""
        return (self.part, *self.lower)

    @property
    def nlink(self) -> int:
        """The link count overlayfs shows: 1 for a merged directory, else the backing file's own."""
        return 1 if self.lower else self.stat.nlink

    @property
    def is_dir(self) -> bool:
        """Whether this is a directory."""
        return self.stat.is_dir
