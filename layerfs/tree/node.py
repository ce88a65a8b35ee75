"""What a tree consists of: `FileStat` (attributes), `Node` (one visible entry), `Part` (where it lies).

Used by every floor above; the attributes are lstat(2)'s, in the kernel's own terms.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    import os

__all__ = ["FileStat", "Node", "Part"]


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
        return cls(
            found.st_mode,
            found.st_nlink,
            found.st_uid,
            found.st_gid,
            found.st_rdev,
            found.st_size,
            found.st_blocks,
            found.st_dev,
            found.st_ino,
            found.st_atime_ns,
            found.st_mtime_ns,
            found.st_ctime_ns,
        )

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
        entries: for a directory, its children once they were asked for.
    """

    name: bytes
    parent: Node | None
    stat: FileStat
    within: Part
    lower: tuple[Part, ...] = ()
    refusal: str | None = None
    entries: dict[bytes, Node] | None = field(default=None, repr=False)

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
        layer, directory = self.within
        if self.parent is None:
            return self.within
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
