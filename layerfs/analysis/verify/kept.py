"""What a layer was unpacked from, as far as its store keeps it: `KeptTar`, which every check reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.formats.tarsplit import ArchiveMarks, Member, Paths, Segment
    from layerfs.hostdir import HostDir
    from layerfs.tree.content import Content

__all__ = ["KeptTar"]


class KeptTar(Protocol):
    """The headers and checksums of a layer's tar, beside the files it was unpacked to.

    Attributes:
        name: the file that tells of the tar, for messages.
        noun: what this is, for the codes of findings: `tar-split`, or `tar` itself.
        diff: the layer's own tree as it is on disk.
        unclosed: whether `members` came to an end that was never written, but may be the right one.
    """

    name: str
    noun: str
    diff: HostDir
    unclosed: bool

    def members(self, seen: Paths | None = None, *, cut: bool = False) -> Iterator[Member | Segment]:
        """Every member in order, and the bytes after the last one.

        Args:
            seen: the path of every member that makes an entry is added to it.
            cut: take a stream that was never closed for complete.

        Raises:
            CorruptStore: what tells of the tar is missing, truncated or damaged; what came before was good.
        """

    def marks(self) -> ArchiveMarks:
        """The whiteouts and opaque directories; raises as `members`."""

    def open(self, path: bytes) -> Content:
        """The regular file that was unpacked to `path`; raises `OSError`."""
