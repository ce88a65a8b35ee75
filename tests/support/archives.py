"""Tars read with the standard library: what an export is compared with, and how."""

from __future__ import annotations

import io
import json
import posixpath
import stat
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["anonymous", "document", "images_of", "members", "names"]

_BLOCK = 512


def members(archive: bytes) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Every member with its content; names that are not UTF-8 have surrogates."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isreg() else None
            yield member, stream.read() if stream else b""


def names(archive: bytes) -> list[str]:
    """The name of every member, in order."""
    return [member.name for member, _ in members(archive)]


def document(archive: bytes, name: str) -> Any:
    """A JSON file of the archive."""
    return json.loads(next(content for member, content in members(archive) if member.name == name))


def images_of(archive: bytes) -> list[dict[str, Any]]:
    """The rows of `manifest.json`."""
    return list(document(archive, "manifest.json"))


_TYPE_BITS = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


def anonymous(archive: bytes) -> bytes:
    """The archive without names of users and groups, which Debian's Engine takes from its own host.

    Modes have the type's bits, as Engines wrote them that were older than 25.
    """
    found = bytearray(archive)
    kinds: dict[str, int] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            kind = kinds[member.linkname] if member.islnk() else _TYPE_BITS[member.type]
            kinds[member.name] = kind
            start = member.offset_data - _BLOCK
            header = found[start : start + _BLOCK]
            header[265:329] = bytes(64)
            is_marker = member.isreg() and posixpath.basename(member.name).startswith(".wh.")
            if member.size or not is_marker:
                header[100:108] = b"%07o\0" % (member.mode | kind)
            header[148:156] = b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
            found[start : start + _BLOCK] = header
    return bytes(found)
