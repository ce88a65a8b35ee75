"""A layer's tar and the snapshot that containerd unpacked from it, for `analysis.verify`.

containerd changes headers before it unpacks (`unpacking`). It unpacks a base layer with nothing below it, so
there a whiteout only deletes earlier members.

Source: containerd `pkg/archive/tar.go` (applyNaive), `tar_unix.go`, `core/diff/apply/apply_linux.go`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING

from layerfs.errors import MalformedFile, reason
from layerfs.formats import tarindex
from layerfs.formats.checksum import crc64
from layerfs.formats.errors import FormatError
from layerfs.formats.tarsplit import ArchiveMarks, FilePayload, Member, Paths, Segment, clean_name
from layerfs.formats.unpacked import OPAQUE_MARKER, WHITEOUT
from layerfs.stores.containerd.unpacking import as_unpacked
from layerfs.tree.overlay import RawLayer
from layerfs.tree.stretch import Stretch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layerfs.cache.blobs import Plain
    from layerfs.formats.tarindex import TarMember
    from layerfs.hostdir import HostDir
    from layerfs.tree.content import Content

__all__ = ["BlobTar"]

_PIECE = 1 << 20


class BlobTar:
    """See `analysis.verify.kept.KeptTar`, also for its attributes.

    Attributes:
        is_base: whether it is a base layer, unpacked with nothing below it.
    """

    noun = "tar"
    unclosed = False

    def __init__(self, name: str, plain: Plain, diff: HostDir, *, is_base: bool) -> None:
        """The tar `plain` of the blob called `name`, unpacked in `diff`."""
        self.name = name
        self.diff = diff
        self.is_base = is_base
        self._plain = plain
        self._layer = RawLayer(diff)

    def members(self, seen: Paths | None = None, *, cut: bool = False) -> Iterator[Member | Segment]:
        """See `KeptTar`; the bytes between contents are segments."""
        del cut
        seen = Paths() if seen is None else seen
        dropped = self._dropped() if self.is_base else frozenset()
        done = self._plain.offset
        for number, member in enumerate(self._entries()):
            if number in dropped:
                continue
            begin = member.extents[0].offset if member.extents else done
            yield from self._segments(done, begin)
            path = clean_name(member.header.name)
            again = path in seen
            seen.add(path)
            done = begin if member.header.sparse else begin + (member.size if member.extents else 0)
            yield self._member(member, path, again=again)
        yield from self._segments(done, self._plain.offset + self._plain.size)

    def repeated(self) -> dict[bytes, int]:
        """The paths that the tar has more than once, with their number."""
        dropped = self._dropped() if self.is_base else frozenset()
        counts = Counter(
            clean_name(member.header.name)
            for number, member in enumerate(self._entries())
            if number not in dropped
        )
        return {path: count for path, count in counts.items() if count > 1}

    def marks(self) -> ArchiveMarks:
        """The whiteouts, except those of paths that the tar has itself, and the opaque directories."""
        paths, opaque, whiteouts = Paths(), set(), set()
        for member in self._entries():
            path = clean_name(member.header.name)
            parent, _, name = path.rpartition(b"/")
            if name == OPAQUE_MARKER:
                opaque.add(parent)
            elif name.startswith(WHITEOUT):
                whiteouts.add(_hidden(path))
            else:
                paths.add(path)
        return ArchiveMarks(frozenset(opaque), frozenset(path for path in whiteouts if path not in paths))

    def open(self, path: bytes) -> Content:
        """The regular file that was unpacked to `path`; raises `OSError`."""
        return self._layer.open(path)

    def _entries(self) -> Iterator[TarMember]:
        """Every member; raises `MalformedFile`."""
        file, offset, size = self._plain.file, self._plain.offset, self._plain.size
        try:
            yield from tarindex.members(lambda at, length: file.pread(length, at), size, offset)
        except FormatError as error:
            raise MalformedFile(
                self.name, error.problem, expected=error.expected, found=error.found
            ) from error
        except OSError as error:
            raise MalformedFile(self.name, reason(error)) from error

    def _dropped(self) -> frozenset[int]:
        """The numbers of members of a base that a whiteout after them deletes, or a mark of opaque.

        That deletes directories without a header before it, and so all that is in them.
        """
        paths = [clean_name(member.header.name) for member in self._entries()]
        last: dict[bytes, int] = {}
        first: dict[bytes, int] = {}
        opaque: dict[bytes, list[int]] = {}
        for number, path in enumerate(paths):
            parent, _, name = path.rpartition(b"/")
            if name == OPAQUE_MARKER:
                opaque.setdefault(parent, []).append(number)
            elif name.startswith(WHITEOUT):
                last[_hidden(path)] = number
            else:
                first.setdefault(path, number)
        if not last and not opaque:
            return frozenset()
        return frozenset(
            number
            for number, path in enumerate(paths)
            if any(last.get(above, -1) > number for above in _with_parents(path))
            or (opaque and _is_in_bare(number, path, first, opaque))
        )

    def _segments(self, begin: int, end: int) -> Iterator[Segment]:
        for at in range(begin, end, _PIECE):
            yield Segment(self._read(at, min(_PIECE, end - at)))

    def _read(self, at: int, size: int) -> bytes:
        try:
            return self._plain.file.pread(size, at)
        except OSError as error:
            raise MalformedFile(self.name, reason(error)) from error

    def _member(self, member: TarMember, path: bytes, *, again: bool) -> Member:
        header = as_unpacked(member.header)
        payload = FilePayload(header.name, member.size, self._checksum(member, path))
        return Member(b"", header, payload, path, again)

    def _checksum(self, member: TarMember, path: bytes) -> bytes:
        """The CRC-64 of a content; of a sparse one, which may be huge, only if the file is as long."""
        if not member.size or (member.header.sparse and not self._is_as_long(path, member.size)):
            return b""
        found = 0
        try:
            for piece in Stretch(self._plain.file, member.size, member.extents).chunks():
                found = crc64(piece, found)
        except OSError as error:
            raise MalformedFile(self.name, reason(error)) from error
        return found.to_bytes(8)

    def _is_as_long(self, path: bytes, size: int) -> bool:
        try:
            return self.diff.lstat(path).st_size == size
        except OSError:
            return False


def _is_in_bare(
    number: int, path: bytes, first: Mapping[bytes, int], opaque: Mapping[bytes, Sequence[int]]
) -> bool:
    """Whether a member lies in a directory that has no header before a mark of opaque above deletes it.

    Args:
        number: of the member.
        path: of the member.
        first: the number of the first header of each path.
        opaque: the numbers of the marks of each directory, ascending.
    """
    above = [*_with_parents(path), b""][::-1]
    soonest: float = math.inf  # the next mark of any directory above
    for at, folder in enumerate(above[:-1]):
        if at and first.get(folder, math.inf) > soonest:
            return True
        marks = opaque.get(folder, ())
        place = bisect_right(marks, number)
        if place < len(marks):
            soonest = min(soonest, marks[place])
    return False


def _hidden(path: bytes) -> bytes:
    """The path that the whiteout at `path` hides."""
    parent, _, name = path.rpartition(b"/")
    hidden = name[len(WHITEOUT) :]
    return parent + b"/" + hidden if parent else hidden


def _with_parents(path: bytes) -> Iterator[bytes]:
    while path:
        yield path
        path = path.rpartition(b"/")[0]
