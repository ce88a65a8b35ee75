"""Rebuilds a layer's original tar from its headers, as the engine keeps them, and the contents in `diff/`.

The engine keeps no tars of layers, only what is needed to rebuild them byte for byte. That is also a second
record of every file's name, attributes and CRC-64.

Sources: vbatts/tar-split `tar/asm/assemble.go`; moby `layer/ro_layer.go` (TarStream).
"""

from __future__ import annotations

import errno
import os
import zlib
from collections import Counter
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from layerfs.errors import MalformedFile, MissingFile, reason
from layerfs.formats import tarsplit
from layerfs.formats.errors import FormatError
from layerfs.formats.tarsplit import Member, Segment
from layerfs.tree.overlay import RawLayer
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from io import RawIOBase

    from layerfs.formats.tarsplit import ArchiveMarks, Paths
    from layerfs.hostdir import HostDir
    from layerfs.ids import ChainID
    from layerfs.layertar import Buffer
    from layerfs.tree.content import Content
    from layerfs.tree.source import StoredLayer

__all__ = ["Fault", "LayerArchive", "TarSplits"]

_CHUNK = 1 << 20
_PACKED_CHUNK = 1 << 16
_LEADS_AWAY = (errno.ELOOP, errno.ENOTDIR)


class TarSplits(Protocol):
    """What has the tar-split files of layers: the headers of the tars from which they were unpacked."""

    def tar_split_name(self, chain: ChainID) -> str:
        """The path of a layer's file, for messages."""

    def tar_split(self, chain: ChainID) -> int | None:
        """A descriptor of it, or None where it is missing; raises `CorruptStore` where it cannot be read."""


class Fault(NamedTuple):
    """A file whose content differs from the archive.

    Attributes:
        path: where it was unpacked to, below `diff/`.
        what: `missing`, `unreadable`, `type`, `size` or `content`.
        expected: in the archive: a size, or a CRC-64 as 16 hexadecimal digits.
        found: on disk, in the same form; or why it cannot be read.
    """

    path: bytes
    what: str
    expected: str
    found: str


class LayerArchive:
    """The tar that a layer was registered from; its sha256 is the layer's diff ID.

    Attributes:
        chain_id: the layer.
        name: the file of its headers, for messages.
        noun: the beginning of codes of findings about it.
        diff: its unpacked directory.
        unclosed: whether the gzip stream that `members` read has no end mark.
    """

    noun = "tar-split"

    def __init__(
        self, chain: ChainID, splits: TarSplits, diff: HostDir, layer: StoredLayer | None = None
    ) -> None:
        """The archive of a layer.

        Args:
            chain: the layer.
            splits: has its headers.
            diff: where it was unpacked.
            layer: has its files, where these are not in `diff` under their names.
        """
        self.chain_id = chain
        self.name = splits.tar_split_name(chain)
        self.diff = diff
        self.unclosed = False
        self._splits = splits
        self._layer = layer or RawLayer(diff)

    def members(
        self, seen: Paths | None = None, *, cut: bool = False
    ) -> Generator[Member | Segment, None, None]:
        """Every member in order, then the bytes behind the last one.

        Args:
            seen: gets the path of every member that makes an entry.
            cut: accept a gzip stream without an end mark, as early engines wrote it, as complete.

        Raises:
            MissingFile: the layer has no tar-split data.
            MalformedFile: they are truncated or damaged; members before that are good.
        """
        with self._unzipped(cut=cut) as stream:
            yield from tarsplit.members(stream, seen)

    def repeated(self) -> dict[bytes, int]:
        """For each path that the archive has several times, how often; raises as `members`.

        A path can be spelled in several ways. The last file of a path is on disk; directories merge.
        """
        found: Counter[bytes] = Counter()
        with closing(self.members(cut=True)) as members:
            for member in members:
                if isinstance(member, Member) and member.again:
                    found[member.path] += 1
        return {path: count + 1 for path, count in found.items()}

    def overtaken(self) -> Iterator[Member]:
        """Every member whose path comes again later; raises as `members`."""
        left = self.repeated()
        with closing(self.members(cut=True)) as members:
            for member in members:
                if isinstance(member, Member) and member.header.is_entry and member.path in left:
                    left[member.path] -= 1
                    if left[member.path]:
                        yield member

    def marks(self) -> ArchiveMarks:
        """The whiteouts and opaque directories, from names only: faster than `members`; raises as that."""
        with self._unzipped() as stream:
            return tarsplit.archive_marks(stream)

    def read_through(self) -> None:
        """Read every line, but parse no header; sets `unclosed`; raises as `members`."""
        with self._unzipped(cut=True) as stream:
            for _ in tarsplit.entries(stream):
                pass

    @contextmanager
    def _unzipped(self, *, cut: bool = False) -> Iterator[_Unzipped]:
        fd = self._splits.tar_split(self.chain_id)
        if fd is None:
            raise MissingFile(
                self.name, "the file is missing", hint="the original tar cannot be told without it"
            )
        try:
            with os.fdopen(fd, "rb", buffering=0) as packed:
                stream = _Unzipped(packed, cut=cut)
                yield stream
                self.unclosed = stream.unclosed
        except FormatError as error:
            raise MalformedFile(
                self.name, error.problem, expected=error.expected, found=error.found
            ) from error
        except (OSError, EOFError, zlib.error) as error:
            raise MalformedFile(self.name, "not readable as gzip", found=_reason(error)) from error

    def size(self, *, cut: bool = False) -> int:
        """The bytes of the tar; arguments and errors as of `members`."""
        with closing(self.members(cut=cut)) as members:
            return sum(
                len(member.payload)
                if isinstance(member, Segment)
                else len(member.raw) + member.content.size * member.has_content
                for member in members
            )

    def rebuild(self, write: Callable[[Buffer], object], *, cut: bool = False) -> Iterator[Fault]:
        """Write the whole tar, piece by piece, and give each file whose content differs.

        After the first fault the tar is not the original; the caller decides whether to go on. The iteration
        ends with the tar. Only the sha256 of everything written shows whether it is the right one.

        Raises:
            CorruptStore: as `members`.
        """
        buffer = memoryview(bytearray(_CHUNK))
        with closing(self.members(cut=cut)) as members:
            for member in members:
                if isinstance(member, Segment):
                    write(member.payload)
                    continue
                write(member.raw)
                fault = self.content(member, write, buffer) if member.has_content else None
                if fault:
                    yield fault

    def content(self, member: Member, write: Callable[[Buffer], object], buffer: memoryview) -> Fault | None:
        """Write a member's content from disk, through `buffer`; returns its fault, or None."""
        from layerfs.formats.checksum import crc64  # noqa: PLC0415 - see there

        wanted, size, crc = member.content, 0, 0
        try:
            file = self.open(member.path)
        except OSError as error:
            return _unreadable(member, error)
        with file:
            while size <= wanted.size:
                try:
                    count = file.read_into(buffer, size)
                except OSError as error:
                    return _unreadable(member, error)
                if not count:
                    break
                piece = buffer[: min(count, wanted.size - size)]
                crc = crc64(piece, crc)
                write(piece)  # outside of `try`: an error of the output is no fault of the layer
                size += count
            if size != wanted.size:
                return Fault(member.path, "size", str(wanted.size), str(file.size))
        if crc.to_bytes(8) != wanted.crc64:
            return Fault(member.path, "content", wanted.crc64.hex(), f"{crc:016x}")
        return None

    def open(self, path: bytes) -> Content:
        """The regular file that was unpacked to `path`; raises `OSError`.

        A directory on the way may be a symbolic link of this layer; it is followed inside the layer.
        """
        try:
            return self._layer.open(path)
        except OSError as error:
            if error.errno not in _LEADS_AWAY:
                raise
        tree = UnionTree([self._layer])
        return tree.open(tree.resolve(path, follow=False))


class _Unzipped:
    """A gzip stream, decompressed piece by piece; several streams in a row are one, as in Go."""

    def __init__(self, packed: RawIOBase, *, cut: bool) -> None:
        """Decompress `packed`; with `cut` the end mark may be missing."""
        self._packed = packed
        self._cut = cut
        self.unclosed = False
        self._unpacker = zlib.decompressobj(wbits=31)
        self._waiting = b""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, none at the end; raises EOFError, zlib.error."""
        while True:
            if self._unpacker.eof:
                rest = (self._unpacker.unused_data or self._more()).lstrip(b"\0")
                if not rest:
                    return b""
                self._unpacker, self._waiting = zlib.decompressobj(wbits=31), rest
            packed = self._waiting or self._more()
            if not packed and self._cut:
                self.unclosed = True
                return b""
            if not packed:
                raise EOFError("the stream ends before its end")
            unpacked = self._unpacker.decompress(packed, size)
            self._waiting = self._unpacker.unconsumed_tail
            if unpacked:
                return unpacked

    def _more(self) -> bytes:
        return self._packed.read(_PACKED_CHUNK) or b""


def _reason(error: Exception) -> str:
    """The fault of a gzip stream in words, as those of zlib are numbers and names of its code."""
    return "damaged data" if isinstance(error, zlib.error) else reason(error)


def _unreadable(member: Member, error: OSError) -> Fault:
    missing = error.errno in (errno.ENOENT, *_LEADS_AWAY)
    why = error.strerror or reason(error)
    what = "missing" if missing else "type" if error.errno in (errno.EINVAL, errno.EISDIR) else "unreadable"
    return Fault(member.path, what, f"a regular file of {member.content.size} bytes", why)
