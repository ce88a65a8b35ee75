"""The table of contents of a zstd:chunked layer: `zstd-chunked-manifest`, which is JSON.

An entry has what the header of a tar has, and the sha256 of a file's content. `chunk` entries say where more
of the file before them lies in the compressed blob: of no interest once the layer is on disk.

Source: containers/storage `pkg/chunked/internal/minimal/compression.go` (TOC, FileMetadata),
`pkg/chunked/dump/dump.go` (what composefs makes of it).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, NamedTuple

from layerfs.formats.errors import FormatError
from layerfs.formats.gotime import parse_time
from layerfs.formats.jsontext import Wanted, array, fields, load_object, mapping, texts_by_name
from layerfs.formats.tarheader import Header

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerfs.formats.jsontext import Json

__all__ = ["MAX_BYTES", "TOC", "TocEntry", "parse_toc"]

TOC = "zstd-chunked-manifest"
"""The key of the document of a layer that is its table of contents."""

MAX_BYTES = 150 << 20
"""The most bytes of a table that the engine takes."""

_TYPES = {
    "reg": b"0",
    "hardlink": b"1",
    "symlink": b"2",
    "char": b"3",
    "block": b"4",
    "dir": b"5",
    "fifo": b"6",
}
_CHUNK = "chunk"
_FIELDS = Wanted.of(
    ("type", str, ""),
    ("name", str, ""),
    ("linkName", str, ""),
    ("mode", int, 0),
    ("size", int, 0),
    ("uid", int, 0),
    ("gid", int, 0),
    ("modtime", str, ""),
    ("devMajor", int, 0),
    ("devMinor", int, 0),
    ("xattrs", dict, {}),
    ("digest", str, ""),
)
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MOST = 1 << 63  # numbers are of 64 bits, with a sign


class TocEntry(NamedTuple):
    """One entry.

    Attributes:
        header: what a tar would say of it; of a hard link the engine takes the names alone.
        digest: the sha256 of a regular file's content in hexadecimal digits; empty for an empty file.
    """

    header: Header
    digest: str


def parse_toc(content: bytes) -> Iterator[TocEntry]:
    """The entries in order, without chunks.

    Raises:
        FormatError: it is no table, or an entry in it is malformed.
    """
    for number, item in enumerate(array(load_object(content), "entries")):
        try:
            found = _entry(mapping({"entry": item}, "entry"))
        except FormatError as error:
            raise FormatError(
                error.problem, expected=error.expected, found=error.found, part=f"entry {number}"
            ) from error
        if found:
            yield found


def _entry(item: Json) -> TocEntry | None:
    kind, name, link, mode, size, uid, gid, modified, major, minor, xattrs, digest = fields(item, _FIELDS)
    if kind == _CHUNK:
        return None
    if kind not in _TYPES:
        raise FormatError("unknown type", expected=" or ".join(_TYPES), found=ascii(kind[:60]))
    if not all(0 <= number < _MOST for number in (mode, size, uid, gid, major, minor)):
        raise FormatError("a number is out of range", expected="64 bits, and not below 0")
    if "\0" in name or "\0" in link:
        raise FormatError("a name with a NUL in it")
    if digest and not _DIGEST.fullmatch(digest):
        raise FormatError("not a digest of a file", expected="sha256:<hex>", found=ascii(digest[:80]))
    header = Header(
        name.encode(),
        _TYPES[kind],
        mode & 0o7777,
        uid,
        gid,
        size if kind == "reg" else 0,
        (parse_time(modified) or 0) if modified else 0,
        link.encode(),
        (major, minor),
        _xattrs(mapping(item, "xattrs")) if xattrs else {},
    )
    return TocEntry(header, digest.partition(":")[2])


def _xattrs(found: Json) -> Mapping[bytes, bytes]:
    """Extended attributes; their values are in base64."""
    try:
        return {
            name.encode(): base64.b64decode(value, validate=True)
            for name, value in texts_by_name(found).items()
        }
    except (binascii.Error, ValueError) as error:
        raise FormatError("an extended attribute is not in base64") from error
