"""`Original`: an entry of a layer as the engine unpacked it from the layer's archive."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from layerfs.formats.unpacked import stored_xattrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerfs.tree.parents import Given

__all__ = ["NO_XATTRS", "Original"]

NO_XATTRS: Mapping[bytes, bytes] = MappingProxyType({})
_DIRECTORY = stat.S_IFDIR | 0o755
_TYPE = 0o170000  # what `stat.S_IFMT` keeps of a mode, without a call for each look at one


@dataclass(slots=True, eq=False)
class Original:
    """An entry as it was unpacked.

    Attributes:
        number: distinct in its layer; the names of one inode share it, as they share this object.
        mode: type and permissions.
        uid: numeric owner.
        gid: likewise.
        mtime_ns: None for what has no header: nobody knows when it was unpacked.
        size: bytes of content of a regular file.
        rdev: the number of a device; 0 with a character device is a whiteout.
        links: names of a file; of a directory 2 and those in it.
        target: of a symbolic link.
        xattrs: as the disk had them, marks of overlayfs too.
        children: of a directory, by name.
    """

    number: int
    mode: int = _DIRECTORY
    uid: int = 0
    gid: int = 0
    mtime_ns: int | None = None
    size: int = 0
    rdev: int = 0
    links: int = 1
    target: bytes = b""
    xattrs: Mapping[bytes, bytes] = field(default_factory=lambda: NO_XATTRS)
    children: dict[bytes, Original] | None = None

    @property
    def has_header(self) -> bool:
        """Whether it has one of its own; a directory that something in it made may have none."""
        return self.mtime_ns is not None

    @property
    def kind(self) -> int:
        """The file type bits, as `stat.S_IFREG`."""
        return self.mode & _TYPE

    def drop(self) -> None:
        """Take a name from this entry, and from all that is below it; other names of its files stay."""
        pending = [self]
        while pending:
            entry = pending.pop()
            if entry.kind == stat.S_IFDIR:
                pending += (entry.children or {}).values()
            else:
                entry.links -= 1

    def inherit(self, within: Original | None, given: Given | None) -> None:
        """Take what the same directory has further down; what came in a header of its own, later, stays.

        Args:
            within: the directory it lies in, if that has the mode which it had when this one was made.
            given: what is taken; None where there is no such directory.
        """
        is_bare = not self.has_header
        if given is None:
            if is_bare and within and within.mode & stat.S_ISGID:
                self.gid = within.gid  # as of all that mkdir(2) makes there
            return
        if is_bare:
            self.mode, self.uid, self.gid = given.mode, given.uid, given.gid
            if self.children is None:  # else it has the time of its last entry
                self.mtime_ns = given.mtime_ns
        if given.xattrs:
            self.xattrs = {**stored_xattrs(given.xattrs, self.kind, self.mode), **self.xattrs}
