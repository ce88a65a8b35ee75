"""Which compression a blob has, by its first bytes; and decompression, piece by piece.

Names and media types are not used. As for the engines, a blob may consist of several gzip members, zstd
frames (also skippable ones), or bzip2 or xz streams.

Sources: RFC 1952, RFC 8878 (zstd), the .xz format 1.1.0; moby `pkg/archive/archive.go` (DetectCompression).
"""

from __future__ import annotations

import enum
import zlib
from typing import TYPE_CHECKING, Protocol

from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["HEAD_BYTES", "MEMORY_LIMIT", "UNPACKING", "Compression", "decompressed"]

HEAD_BYTES = 6
"""How many bytes of a blob `Compression.of` looks at."""

MEMORY_LIMIT = 128 << 20
"""Bytes that a decoder may use unless its caller allows more: a zstd window, all of xz."""

_PIECE = 1 << 20


class Compression(enum.StrEnum):
    """A compression format; `NONE` where the first bytes are of no known one."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    XZ = "xz"

    @classmethod
    def of(cls, head: bytes) -> Compression:
        """The compression of a blob that begins with `head`."""
        if head.startswith(b"\x1f\x8b"):
            return cls.GZIP
        if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
            return cls.ZSTD
        if head.startswith(b"BZh"):
            return cls.BZIP2
        return cls.XZ if head.startswith(b"\xfd7zXZ\0") else cls.NONE


UNPACKING = {
    Compression.NONE: None,
    Compression.GZIP: "zcat",
    Compression.ZSTD: "zstd -dc",
    Compression.BZIP2: "bzip2 -dc",
    Compression.XZ: "xz -dc",
}
"""The command that unpacks its standard input, for scripts."""


class _Decoder(Protocol):
    """Decompresses one member, frame or stream, with the interface of `bz2.BZ2Decompressor`."""

    @property
    def eof(self) -> bool:
        """Whether its end was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether it needs more input before it can give more content."""

    @property
    def unused_data(self) -> bytes:
        """The input behind the end of its stream."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Up to `max_length` bytes of content."""


class _GzipDecoder:
    """zlib's decompressor with the interface of the others."""

    def __init__(self) -> None:
        """Expect one gzip member."""
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        """As of `_Decoder`."""
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        """As of `_Decoder`."""
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        """As of `_Decoder`."""
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """As of `_Decoder`."""
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def decompressed(
    pieces: Iterable[bytes], compression: Compression, memory: int = MEMORY_LIMIT
) -> Iterator[bytes]:
    """The content of a blob in pieces of at most 1 MiB; `pieces` itself where it is not compressed.

    Args:
        pieces: the blob's bytes, in order.
        compression: what it is compressed with.
        memory: bytes that the decoder may use.

    Raises:
        FormatError: it is damaged, cut off, followed by something else, or needs more memory.
    """
    if compression is Compression.NONE:
        yield from pieces
        return
    make, errors = _decoder(compression, memory)
    try:
        yield from _streams(iter(pieces), make, padded=compression in (Compression.GZIP, Compression.XZ))
    except errors as error:
        raise _explained(compression, memory, error) from error


def _streams(pieces: Iterator[bytes], make: Callable[[], _Decoder], *, padded: bool) -> Iterator[bytes]:
    """The contents of all streams, one after the other; zeros may follow where `padded`."""
    rest = next(pieces, b"")
    while rest:
        decoder = make()
        while True:
            content = decoder.decompress(rest, _PIECE)
            rest = b""
            if content:
                yield content
            if decoder.eof:
                break
            if not content and decoder.needs_input:
                rest = next(pieces, b"")
                if not rest:
                    raise FormatError("the compressed data are cut off")
        rest = decoder.unused_data or next(pieces, b"")
        if padded:
            rest = rest.lstrip(b"\0") or next((piece for piece in map(_unpadded, pieces) if piece), b"")


def _unpadded(piece: bytes) -> bytes:
    return piece.lstrip(b"\0")


def _decoder(
    compression: Compression, memory: int
) -> tuple[Callable[[], _Decoder], tuple[type[Exception], ...]]:
    """A function that makes a decoder for one stream, and the errors that such a decoder raises."""
    if compression is Compression.GZIP:
        return _GzipDecoder, (zlib.error,)
    if compression is Compression.BZIP2:
        import bz2  # noqa: PLC0415 - few archives need it, and every command would load it

        return bz2.BZ2Decompressor, (OSError, EOFError)
    if compression is Compression.XZ:
        import lzma  # noqa: PLC0415 - likewise

        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memory), (lzma.LZMAError, EOFError)
    from layerfs.formats.zstd import decoder  # noqa: PLC0415 - only archives with zstd need the package

    return decoder(memory)


def _explained(compression: Compression, memory: int, error: Exception) -> FormatError:
    text = str(error)
    if "limit" in text.lower() or "too much memory" in text.lower():
        return FormatError(
            f"{compression} needs more memory than allowed to decompress it",
            expected=f"at most {memory} bytes",
        )
    return FormatError(f"damaged {compression} data", found=text)
