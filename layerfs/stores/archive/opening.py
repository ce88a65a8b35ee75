"""Opens an archive that the user named: a file, a directory, or standard input.

Other files are recognised by their first bytes, so that the error can say what they are.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from layerfs.cache.blobs import Packed
from layerfs.cache.spool import open_named, open_standard_input, spool
from layerfs.errors import DataRootUnreadable, MalformedFile, NotAnArchive
from layerfs.formats import tarheader
from layerfs.formats.compression import HEAD_BYTES, Compression
from layerfs.hostdir import HostDir
from layerfs.stores.archive.contents import form_of
from layerfs.stores.blobs.outer import DirectoryOuter, TarOuter
from layerfs.tree.openfile import OpenFile
from layerfs.tree.pooledfile import shared_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.cache.blobs import Cache
    from layerfs.stores.archive.archived import Form
    from layerfs.stores.blobs.outer import Outer
    from layerfs.tree.pooledfile import Readable

__all__ = ["STDIN", "OpenedArchive", "found_in", "is_archive", "open_archive"]

STDIN = "-"
"""The path that means standard input."""

_STDIN_LABEL = "standard input"
_SHOWN = 5
_LOOKED_AT = 200

_OTHERS = (
    (0, b"PK\x03\x04", "a zip file"),
    (0, b"\x7fELF", "a program"),
    (0, b"hsqs", "a squashfs image"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"QFI\xfb", "a disk image (qcow2)"),
    (0, b"Rar!", "a RAR file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip file"),
    (0, b"!<arch>", "an ar archive, as a Debian package"),
    (0, b"\xed\xab\xee\xdb", "an RPM package"),
    (0, b"070701", "a cpio archive"),
    (0, b"SIMPLE", "a FITS file"),
    (1024, b"\xe2\xe1\xf5\xe0", "an EROFS image"),
    (1080, b"\x53\xef", "an image of an ext2, ext3 or ext4 file system"),
    (0, b"XFSB", "an image of an XFS file system"),
    (510, b"\x55\xaa", "an image of a disk"),
)
"""Other kinds of files: where in the file, which bytes, and what it is."""


class OpenedArchive(NamedTuple):
    """An archive, open.

    Attributes:
        outer: its members.
        form: its form.
        directory: the open directory; None for a file.
        again: whether the next command can open the same bytes by the same path.
        inode: device and inode of the file or directory.
    """

    outer: Outer
    form: Form
    directory: HostDir | None
    again: bool
    inode: tuple[int, int]


def is_archive(path: str) -> bool:
    """Whether this kind opens a path: every file, and directories with a layout or an unpacked archive."""
    try:
        with HostDir.open(path) as directory:
            return form_of(DirectoryOuter(directory, shared_files())) is not None
    except NotADirectoryError:
        return True
    except (OSError, MalformedFile):
        return path == STDIN


def open_archive(path: str, cache: Cache) -> OpenedArchive:
    """Open the archive at `path`.

    Raises:
        NotAnArchive: it is something else, as the message says. DataRootUnreadable: it may not be read.
        CorruptStore: it is damaged. CacheError: there is no room for the decompressed archive, or for
        standard input.
    """
    if path == STDIN:
        return _of_file(_STDIN_LABEL, open_standard_input(), cache)
    try:
        directory = HostDir.open(path)
    except PermissionError as error:
        raise DataRootUnreadable(path) from error
    except NotADirectoryError:
        return _of_file(path, _opened(path), cache)
    except OSError as error:
        raise NotAnArchive(f"{path}: {error.strerror}", hint="choose another with --root") from error
    cache.avoid(directory)
    outer = DirectoryOuter(directory, shared_files())
    form = form_of(outer)
    if form is None:
        raise NotAnArchive(
            f"{path}: a directory without images: neither an OCI layout nor an unpacked archive",
            hint=_inside(directory) or _shown(outer.names()),
        )
    found = directory.lstat()
    return OpenedArchive(outer, form, directory, again=True, inode=(found.st_dev, found.st_ino))


def _opened(path: str) -> int:
    try:
        return open_named(path)
    except PermissionError as error:
        raise DataRootUnreadable(path) from error
    except OSError as error:
        where = "" if error.errno != errno.ENXIO else " (a socket, or a device that is not there)"
        raise NotAnArchive(f"{path}: {error.strerror}{where}", hint="choose another with --root") from error


def _of_file(label: str, fd: int, cache: Cache) -> OpenedArchive:
    source = OpenFile(fd)
    named = source.status()
    mode = named.st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        what = "a terminal or another device" if stat.S_ISCHR(mode) else "a block device"
        raise NotAnArchive(f"{label}: {what}, and no archive")
    again = stat.S_ISREG(mode)
    file: Readable = source if again else spool(source, label, cache.options)
    begin, size = 0, file.status().st_size
    compression = Compression.of(file.pread(HEAD_BYTES, 0))
    if compression is not Compression.NONE:
        keeper = cache if again else cache.unkept()
        plain = keeper.plain(Packed(label, file, 0, size, compression))
        file, begin, size = plain.file, plain.offset, plain.size
    _check_tar(label, file, begin, size)
    outer = TarOuter(label, file, begin, size)
    form = form_of(outer)
    if form is None:
        raise NotAnArchive(
            f"{label}: a tar without images, and not one of a root file system", hint=_hint(outer)
        )
    return OpenedArchive(outer, form, None, again, (named.st_dev, named.st_ino))


def _check_tar(label: str, file: Readable, begin: int, size: int) -> None:
    """Raise `NotAnArchive`, which says what the file is, unless it begins like a tar."""
    head = file.pread(min(size, 4096), begin)
    if len(head) < tarheader.BLOCK or not tarheader.is_header(head[: tarheader.BLOCK]):
        raise NotAnArchive(f"{label}: {_what_else(head)}: neither an archive of images nor a tar")


def _what_else(head: bytes) -> str:
    if not head:
        return "an empty file"
    for at, mark, what in _OTHERS:
        if head[at : at + len(mark)] == mark:
            return what
    if not any(head):
        return "a file of zeros"
    if head.lstrip()[:1] in (b"{", b"["):
        return "a JSON document"
    text = head[:512].decode("utf-8", "replace")
    return (
        "a text" if text.isprintable() or text.replace("\n", "").replace("\t", "").isprintable() else "data"
    )


def _hint(outer: TarOuter) -> str:
    """A hint for a tar without images at its top: the directory with some, or what is in the tar."""
    for top in sorted(outer.tops):
        if _has(outer, top + b"/index.json") or _has(outer, top + b"/manifest.json"):
            name = ascii(os.fsdecode(top))[1:-1]
            return f"the images are in {name}/ of it: unpack it, or pack what is in {name}/ alone"
    return _shown(outer.tops)


def _inside(directory: HostDir) -> str:
    """The layouts and archives in a directory, for a hint."""
    found = [(name, found_in(directory, name)) for name in sorted(directory.names())[:_LOOKED_AT]]
    slashes = {name for name, what in found if what and stat.S_ISDIR(directory.lstat(name).st_mode)}
    shown = [
        f"{ascii(os.fsdecode(name))[1:-1]}{'/' * (name in slashes)} ({what})" for name, what in found if what
    ]
    return f"there is in it: {', '.join(shown[:_SHOWN])}" if shown else ""


def found_in(directory: HostDir, name: bytes) -> str | None:
    """A description of a directory's entry, if it may be an archive; follows no link."""
    try:
        mode = directory.lstat(name).st_mode
        if stat.S_ISDIR(mode):
            with directory.subdir(name) as inner:
                form = form_of(DirectoryOuter(inner, shared_files()))
                return None if form is None else str(form)
        if not stat.S_ISREG(mode):
            return None
        with directory.file(name) as file:
            head = file.read(0, max(HEAD_BYTES, tarheader.BLOCK))
    except (OSError, MalformedFile):
        return None
    if len(head) < tarheader.BLOCK:
        return None
    if Compression.of(head) is not Compression.NONE:
        return "a compressed file"
    return "a tar" if tarheader.is_header(head[: tarheader.BLOCK]) else None


def _has(outer: Outer, name: bytes) -> bool:
    try:
        return outer.find(name) is not None
    except MalformedFile:
        return False


def _shown(names: Iterable[bytes]) -> str:
    found = sorted(ascii(os.fsdecode(name))[1:-1] for name in names)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"it holds {', '.join(found[:_SHOWN])}{more}" if found else "it is empty"
