"""A layer's original tar, made anew: the headers of its `tar-split.json.gz`, the contents of its `diff/`.

The engine keeps no layer tars; it keeps what is needed to write them again byte for byte, and so it
keeps a second witness of every file's name, attributes and CRC-64. Used by `dataroot`.

Sources: vbatts/tar-split `tar/asm/assemble.go`; moby `layer/ro_layer.go` (TarStream).
"""

from __future__ import annotations

import errno
import gzip
import os
import zlib
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from layerfs.errors import MalformedFile, MissingFile, TreeError
from layerfs.formats import tarsplit
from layerfs.formats.errors import FormatError
from layerfs.formats.tarsplit import Member, Segment
from layerfs.tree.openfile import OpenFile
from layerfs.tree.overlay import RawLayer
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from layerfs.hostdir import HostDir
    from layerfs.store.layerdb import LayerDB, LayerRecord

__all__ = ["Buffer", "Fault", "LayerArchive"]

Buffer: TypeAlias = bytes | memoryview
"""What is written: valid only until the next is."""

_Part = TypeVar("_Part")

_CHUNK = 1 << 20
_LEADS_AWAY = (errno.ELOOP, errno.ENOTDIR)


class Fault(NamedTuple):
    """A file whose content is not what the archive had.

    Attributes:
        path: where it was unpacked to, below `diff/`.
        what: `missing`, `unreadable`, `type`, `size` or `content`.
        expected: as the archive has it: a size, or a CRC-64 as 16 hexadecimal digits.
        found: likewise, or why it cannot be read.
    """

    path: bytes
    what: str
    expected: str
    found: str


class LayerArchive:
    """The tar that a layer was registered from; its sha256 is the layer's diff ID.

    Attributes:
        record: the layer.
        name: its `tar-split.json.gz`, for messages.
        diff: its own tree as it is on disk.
    """

    def __init__(self, record: LayerRecord, layerdb: LayerDB, diff: HostDir) -> None:
        """The archive of `record`, unpacked in `diff`."""
        self.record = record
        self.name = layerdb.file_name(record.chain_id, "tar-split.json.gz")
        self.diff = diff
        self._layerdb = layerdb
        self._layer = RawLayer(diff)

    def members(self) -> Generator[Member | Segment, None, None]:
        """Every member in order, and the bytes after the last one.

        Raises:
            MissingFile: the layer has no tar-split data.
            MalformedFile: they are truncated or damaged; what came before was good.
        """
        yield from self._read(tarsplit.members)

    def size(self) -> int:
        """How many bytes the tar has; raises as `members`."""
        with closing(self._read(tarsplit.entries)) as entries:
            return sum(len(entry.payload) if isinstance(entry, Segment) else entry.size for entry in entries)

    def _read(self, parse: Callable[[gzip.GzipFile], Iterator[_Part]]) -> Generator[_Part, None, None]:
        fd = self._layerdb.tar_split(self.record.chain_id)
        if fd is None:
            raise MissingFile(
                self.name, "the file is missing", hint="the original tar cannot be told without it"
            )
        try:
            with os.fdopen(fd, "rb") as packed, gzip.GzipFile(fileobj=packed) as stream:
                yield from parse(stream)
        except FormatError as error:
            raise MalformedFile(
                self.name, error.problem, expected=error.expected, found=error.found
            ) from error
        except (OSError, EOFError, zlib.error) as error:
            raise MalformedFile(self.name, "not readable as gzip", found=str(error)) from error

    def rebuild(self, write: Callable[[Buffer], object]) -> Iterator[Fault]:
        """Write the whole tar, piece by piece, and name each file whose content is not the archive's.

        After the first fault what was written is no longer the original; whether to go on is the
        caller's. The end of the iteration is the end of the tar; that it is the right one only the
        sha256 of all that was written shows.

        Raises:
            CorruptStore: as `members`.
        """
        buffer = memoryview(bytearray(_CHUNK))
        with closing(self.members()) as members:
            for member in members:
                if isinstance(member, Segment):
                    write(member.payload)
                    continue
                write(member.raw)
                fault = self.content(member, write, buffer) if member.content.size else None
                if fault:
                    yield fault

    def content(self, member: Member, write: Callable[[Buffer], object], buffer: memoryview) -> Fault | None:
        """Write a member's content from disk, through `buffer`; what is wrong with it, or None."""
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
                crc = tarsplit.crc64(piece, crc)
                write(piece)
                size += count
            if size != wanted.size:
                return Fault(member.path, "size", str(wanted.size), str(file.size))
        if crc.to_bytes(8) != wanted.crc64:
            return Fault(member.path, "content", wanted.crc64.hex(), f"{crc:016x}")
        return None

    def open(self, path: bytes) -> OpenFile:
        """The regular file that was unpacked to `path`; raises `OSError`.

        A directory on the way may be a symbolic link of this same layer: it is followed, inside it.
        """
        try:
            return OpenFile(self._layer.open(path))
        except OSError as error:
            if error.errno not in _LEADS_AWAY:
                raise
        tree = UnionTree([RawLayer(self.diff)])
        return tree.open(tree.resolve(path, follow=False))


def _unreadable(member: Member, error: OSError) -> Fault:
    missing = error.errno in (errno.ENOENT, *_LEADS_AWAY)
    reason = str(error) if isinstance(error, TreeError) else error.strerror or str(error)
    what = "missing" if missing else "type" if error.errno in (errno.EINVAL, errno.EISDIR) else "unreadable"
    return Fault(member.path, what, f"a regular file of {member.content.size} bytes", reason)
