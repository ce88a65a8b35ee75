"""`KeptTar`: the tar a layer was unpacked from, as far as its store keeps it. All checks read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.formats.tarsplit import ArchiveMarks, Member, Paths, Segment
    from layerfs.hostdir import HostDir
    from layerfs.tree.content import Content

__all__ = ["KeptTar"]


class KeptTar(Protocol):
    """The headers and checksums of a layer's tar, and the unpacked files.

    Attributes:
        name: the file that has the tar or its headers, for messages.
        noun: the beginning of codes of findings about it: `tar-split`, or `tar`.
        diff: the unpacked directory of the layer.
        unclosed: whether the stream that `members` read has no end mark, although it may be complete.
    """

    name: str
    noun: str
    diff: HostDir
    unclosed: bool

    def members(self, seen: Paths | None = None, *, cut: bool = False) -> Iterator[Member | Segment]:
        """Every member in order, then the bytes behind the last one.

        Args:
            seen: gets the path of every member that makes an entry.
            cut: accept a stream without an end mark as complete.

        Raises:
            CorruptStore: the file is missing, truncated or damaged; members before that are good.
        """

    def marks(self) -> ArchiveMarks:
        """The whiteouts and opaque directories of the tar; raises as `members`."""

    def open(self, path: bytes) -> Content:
        """The regular file that was unpacked to `path`; raises `OSError`."""
