"""`tar_split`: what an engine keeps of the archive of a directory, written without layerfs.

The directory is a layer as it lies on disk: whiteouts and opaque marks become the archive's.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import stat
import tarfile
from typing import TYPE_CHECKING

from fastcrc.crc64 import go_iso

from tests.support.snapshot import at_path, open_below

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["lines_of", "tar_split"]

_OPAQUE = b"trusted.overlay.opaque"
_KINDS = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


def tar_split(directory: Path) -> bytes:
    """The `tar-split.json.gz` of a layer's directory, its root under the name `/`; sockets are left out."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return lines_of(_members(fd))
    finally:
        os.close(fd)


def lines_of(members: Iterator[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """The same of any members with their contents."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream:
        padding = b""
        for info, content in members:
            header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            _write(stream, {"type": 2, "payload": _text(padding + header)})
            _write(stream, _content(info.name, content))
            padding = bytes(-len(content) % 512)
        _write(stream, {"type": 2, "payload": _text(padding + bytes(1024))})
    return packed.getvalue()


def _write(stream: gzip.GzipFile, entry: dict[str, object]) -> None:
    stream.write(json.dumps(entry).encode() + b"\n")


def _text(payload: bytes) -> str:
    return base64.b64encode(payload).decode()


def _content(name: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": 1, "payload": None}
    raw = name.encode("utf-8", "surrogateescape")
    try:
        entry["name"] = raw.decode()
    except UnicodeDecodeError:
        entry["name_raw"] = _text(raw)
    if content:
        entry |= {"size": len(content), "payload": _text(go_iso(content).to_bytes(8))}
    return entry


def _members(top: int) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    yield _info(top, b".", b"/"), b""
    yield from _marker(top, b".", b"")
    first: dict[int, bytes] = {}
    pending = [b""]
    while pending:
        directory = pending.pop()
        fd = open_below(top, directory)
        try:
            for name in sorted(map(os.fsencode, os.listdir(fd))):
                path = directory + b"/" + name if directory else name
                found = os.lstat(name, dir_fd=fd)
                if stat.S_ISSOCK(found.st_mode):
                    continue
                if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
                    yield tarfile.TarInfo(_name(directory, b".wh." + name)), b""
                    continue
                info = _info(fd, name, path)
                if stat.S_ISDIR(found.st_mode):
                    pending.append(path)
                elif found.st_ino in first:
                    info.type, info.linkname = tarfile.LNKTYPE, os.fsdecode(first[found.st_ino])
                elif found.st_nlink > 1:
                    first[found.st_ino] = path
                content = _bytes(fd, name) if info.isreg() else b""
                info.size = len(content)
                yield info, content
                if stat.S_ISDIR(found.st_mode):
                    yield from _marker(fd, name, path)
        finally:
            os.close(fd)


def _info(fd: int, name: bytes, path: bytes) -> tarfile.TarInfo:
    """The header of an entry, with nanoseconds and every attribute."""
    found = os.lstat(name, dir_fd=fd)
    info = tarfile.TarInfo(os.fsdecode(path))
    info.type = _KINDS[stat.S_IFMT(found.st_mode)]
    info.mode = stat.S_IMODE(found.st_mode)
    info.uid, info.gid = found.st_uid, found.st_gid
    info.pax_headers = {"mtime": f"{found.st_mtime_ns // 10**9}.{found.st_mtime_ns % 10**9:09}"}
    if stat.S_ISLNK(found.st_mode):
        info.linkname = os.fsdecode(os.readlink(name, dir_fd=fd))
    info.devmajor, info.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
    place = at_path(fd, name)
    for attribute in os.listxattr(place, follow_symlinks=False):
        value = os.getxattr(place, attribute, follow_symlinks=False)
        if (os.fsencode(attribute), value) != (_OPAQUE, b"y"):
            info.pax_headers[f"SCHILY.xattr.{attribute}"] = os.fsdecode(value)
    return info


def _marker(fd: int, name: bytes, path: bytes) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """What marks an opaque directory."""
    try:
        opaque = os.getxattr(at_path(fd, name), _OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return
    if opaque:
        yield tarfile.TarInfo(_name(path, b".wh..wh..opq")), b""


def _name(directory: bytes, name: bytes) -> str:
    return os.fsdecode(directory + b"/" + name if directory else name)


def _bytes(fd: int, name: bytes) -> bytes:
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd), "rb") as file:
        return file.read()
