"""Members of an archive with equal paths that are spelled differently, such as `./etc/` and `/etc/`.

The engine unpacks one after the other: the last file is on disk; directories merge. A check must know in
advance which member is the last. As nearly no archive has such paths, a check begins without this knowledge;
if it meets one, it begins again with the list of repeated paths.

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
    """The archive has a path twice: the check must begin again, with the repeated paths."""


class Repeats:
    """The repeated paths of one layer.

    Attributes:
        size: bytes of the files that later members replaced.
    """

    def __init__(
        self,
        archive: KeptTar,
        counts: Mapping[bytes, int],
        content: LayerContent,
        found: LayerFindings,
    ) -> None:
        """`counts` tells how often each path comes; the rest collects contents and findings."""
        self.size = 0
        self._archive = archive
        self._left = dict(counts)
        self._content = content
        self._found = found
        self._kept: dict[bytes, Mapping[bytes, bytes]] = {}

    def __contains__(self, path: bytes) -> bool:
        """Whether a path is repeated."""
        return path in self._left

    def last(self, member: Member) -> Member | None:
        """The last member of its path, with merged attributes; None for an earlier one, which is skipped.

        Raises:
            PathRepeated: the repeated paths are not known.
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
        """Whether the file on disk has this replaced member's content too; then it is added to the tar."""
        try:
            file = self._archive.open(member.path)
        except OSError:
            return False
        with file:
            fd = file.backing_fd()
            return fd is not None and self._content.add_file(fd, member.content) is None
