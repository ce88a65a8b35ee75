"""Members of an archive whose path comes again, spelled otherwise: `./etc/` and `/etc/`.

The engine unpacks one after the other: of files the last is on disk, directories add up. Which one is the
last has to be known before, and nearly no archive needs that; so a check begins without, and begins again
with the paths that are repeated when it must.

Source: moby `pkg/archive/archive.go` (Unpack).
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerfs.analysis.verify.kept import KeptTar
    from layerfs.analysis.verify.layercontent import LayerContent
    from layerfs.analysis.verify.layerfindings import LayerFindings
    from layerfs.formats.tarsplit import Member

__all__ = ["PathRepeated", "Repeats"]


class PathRepeated(Exception):
    """The archive names a path twice: the check has to be begun again."""


class Repeats:
    """The paths of one layer that come several times.

    Attributes:
        size: bytes of the files that others took the place of.
    """

    def __init__(
        self,
        archive: KeptTar,
        counts: Mapping[bytes, int],
        content: LayerContent,
        found: LayerFindings,
    ) -> None:
        """How often each path comes, and what takes contents and findings."""
        self.size = 0
        self._archive = archive
        self._left = dict(counts)
        self._content = content
        self._found = found
        self._kept: dict[bytes, Mapping[bytes, bytes]] = {}

    def __contains__(self, path: bytes) -> bool:
        """Whether it comes several times."""
        return path in self._left

    def last(self, member: Member) -> Member | None:
        """The member with all attributes its path has; None where another comes, and this one is passed over.

        Raises:
            PathRepeated: it is not known which is the last.
        """
        left = self._left.get(member.path)
        if left is None:
            if member.again:
                raise PathRepeated
            return member
        self._left[member.path] = left - 1
        kept = self._kept.pop(member.path, None)
        if member.header.kind == stat.S_IFDIR and kept:
            member = member._replace(header=member.header._replace(xattrs={**kept, **member.header.xattrs}))
        if left == 1:
            return member
        self._pass_over(member)
        return None

    def _pass_over(self, member: Member) -> None:
        header = member.header
        if header.kind == stat.S_IFDIR and header.xattrs:
            self._kept[member.path] = header.xattrs
        if header.kind == stat.S_IFREG:
            self.size += member.content.size
        if member.has_content and not self._has_same_content(member):
            self._content.whole = False
            message = "the archive has another file of this path after it: its tar cannot be rebuilt"
            self._found.add("member-overtaken", member.path, None, None, message)

    def _has_same_content(self, member: Member) -> bool:
        """Whether the file that is there now gives this member's content too; it is added to the tar."""
        try:
            file = self._archive.open(member.path)
        except OSError:
            return False
        with file:
            fd = file.backing_fd()
            return fd is not None and self._content.add_file(fd, member.content) is None
