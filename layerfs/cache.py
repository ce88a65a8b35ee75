"""The cache of decompressed blobs: a directory of our own user's, and the only place the engine writes to.

A blob is decompressed once and kept as the plain tar it is, under the sha256 of the compressed bytes that
were read. What a file in use was known as is noted by its stamp (device, inode, size, times, place), so that
the second command on the same archive needs to read nothing again. Nothing that an archive claims is a key.

    <directory>/blobs/<sha256 of the compressed bytes>     the plain bytes
    <directory>/stamps/<sha256 of a stamp>                 JSON: digest, diff_id, size

Without a directory a blob is decompressed into memory, or into an unlinked file where it is large.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerfs.errors import CacheError, MalformedFile, reason
from layerfs.formats.compression import MEMORY_LIMIT, decompressed
from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.formats.compression import Compression

__all__ = ["Cache", "CacheOptions", "Packed", "Plain"]

_PIECE = 1 << 20
_IN_MEMORY = 64 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """How much may be used to decompress.

    Attributes:
        directory: where the cache is; None to keep nothing.
        scratch: where unlinked files go that are too large for memory.
        limit: bytes that the cache may hold; what was not used for the longest time goes first.
        largest: bytes that one blob may have when it is decompressed.
        reserve: bytes that stay free on the disk.
        memory: bytes that a decoder may use.
    """

    directory: str | None = None
    scratch: str = "/tmp"  # noqa: S108 - unlinked before it is written to
    limit: int = 20 << 30
    largest: int = 64 << 30
    reserve: int = 1 << 30
    memory: int = MEMORY_LIMIT


@dataclass(frozen=True, slots=True)
class Packed:
    """A compressed blob that is to be read.

    Attributes:
        label: its name in messages.
        fd: an open file that holds it.
        offset: where in it the blob begins.
        size: bytes of the blob.
        compression: what it is compressed with.
    """

    label: str
    fd: int
    offset: int
    size: int
    compression: Compression

    def stamp(self) -> str:
        """What tells this blob from others without reading it; changes when its file does."""
        found = os.fstat(self.fd)
        parts = (
            found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns,
            self.offset, self.size,
        )  # fmt: skip
        return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()

    def pieces(self, digest: Callable[[bytes], object]) -> Iterator[bytes]:
        """Its bytes, each given to `digest` first; raises `OSError`."""
        at, end = self.offset, self.offset + self.size
        while at < end:
            piece = os.pread(self.fd, min(_PIECE, end - at), at)
            if not piece:
                raise OSError(errno.EIO, "the file became shorter while it was read")
            digest(piece)
            yield piece
            at += len(piece)


@dataclass(frozen=True, slots=True)
class Plain:
    """A blob as it is without compression.

    Attributes:
        fd: an open file that holds it; the caller's.
        size: bytes.
        digest: sha256 of the compressed bytes, `sha256:` and hexadecimal digits.
        diff_id: sha256 of the plain bytes, likewise.
    """

    fd: int
    size: int
    digest: str
    diff_id: str


class Cache:
    """Gives blobs decompressed; see `CacheOptions`."""

    def __init__(
        self, options: CacheOptions, progress: Callable[[str, int, int], None] | None = None
    ) -> None:
        """Use what `options` say; `progress` is told the label of a packed blob, its bytes done, and all."""
        self._options = options
        self._progress = progress
        self._blobs = self._stamps = -1
        if options.directory is not None:
            top = _own_directory(options.directory)
            try:
                self._blobs, self._stamps = _below(top, "blobs"), _below(top, "stamps")
            finally:
                os.close(top)

    def plain(self, packed: Packed) -> Plain:
        """The blob without compression, from the cache where it is known.

        Raises:
            MalformedFile: it is damaged, larger than allowed, or needs more memory than allowed.
            CacheError: the cache cannot be written to, or the disk is full.
        """
        stamp = packed.stamp()
        if self._blobs >= 0 and (known := self._known(stamp)):
            return known
        fd, name = self._target(packed)
        try:
            found = self._unpack(packed, fd)
            if name:
                self._keep(name, stamp, found)
        except BaseException:
            os.close(fd)
            if name:
                with suppress(OSError):
                    os.unlink(name, dir_fd=self._blobs)
            raise
        return found

    # -- reading ---------------------------------------------------------------------------------

    def _known(self, stamp: str) -> Plain | None:
        """What a stamp was decompressed to, if that is still there as it was left."""
        try:
            with os.fdopen(_own_file(self._stamps, stamp), "rb") as note:
                told = json.loads(note.read(4096))
            digest, diff_id, size = str(told["digest"]), str(told["diff_id"]), int(told["size"])
            name = digest.removeprefix("sha256:")
            if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
                return None
            fd = _own_file(self._blobs, name)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if os.fstat(fd).st_size != size:
            os.close(fd)
            return None
        with suppress(OSError):
            os.utime(fd)  # what was used last is kept longest
        return Plain(fd, size, digest, diff_id)

    # -- writing ---------------------------------------------------------------------------------

    def _target(self, packed: Packed) -> tuple[int, str]:
        """A new file to decompress into, and its name in the cache; no name where nothing is kept."""
        try:
            if self._blobs >= 0:
                name = f".new-{secrets.token_hex(16)}"
                return os.open(name, _CREATE, 0o600, dir_fd=self._blobs), name
            if packed.size <= _IN_MEMORY // 4:
                return os.memfd_create("layer"), ""
            return _unlinked(self._options.scratch), ""
        except OSError as error:
            raise _refused(self._options, error) from error

    def _unpack(self, packed: Packed, fd: int) -> Plain:
        options, whole, plain, size = self._options, hashlib.sha256(), hashlib.sha256(), 0
        done = 0

        def read(piece: bytes) -> None:
            nonlocal done
            whole.update(piece)
            done += len(piece)
            if self._progress:
                self._progress(packed.label, done, packed.size)

        try:
            for content in decompressed(packed.pieces(read), packed.compression, options.memory):
                if size + len(content) > options.largest:
                    raise MalformedFile(
                        packed.label,
                        "too large when decompressed",
                        expected=f"at most {options.largest} bytes",
                        hint="--largest-layer allows more",
                    )
                if size // _PIECE % 64 == 0:
                    self._check_room(fd, packed)
                plain.update(content)
                _write(fd, content)
                size += len(content)
        except FormatError as error:
            hint = "--decoder-memory allows more" if "memory" in error.problem else None
            raise MalformedFile(
                packed.label, error.problem, expected=error.expected, found=error.found, hint=hint
            ) from error
        return Plain(fd, size, f"sha256:{whole.hexdigest()}", f"sha256:{plain.hexdigest()}")

    def _check_room(self, fd: int, packed: Packed) -> None:
        room = os.fstatvfs(fd)
        free = room.f_bavail * room.f_frsize
        if room.f_blocks and free < self._options.reserve:
            raise CacheError(
                f"{packed.label}: no room to decompress it: {free} bytes are free on the disk of the cache",
                hint="choose another disk with --cache-dir, or --no-cache for a scratch file",
            )

    def _keep(self, name: str, stamp: str, found: Plain) -> None:
        """Give a complete blob its name, and note what it was made of."""
        told = {"digest": found.digest, "diff_id": found.diff_id, "size": found.size}
        try:
            os.rename(
                name, found.digest.removeprefix("sha256:"), src_dir_fd=self._blobs, dst_dir_fd=self._blobs
            )
            note = f".new-{secrets.token_hex(16)}"
            with os.fdopen(os.open(note, _CREATE, 0o600, dir_fd=self._stamps), "wb") as file:
                file.write(json.dumps(told).encode())
            os.rename(note, stamp, src_dir_fd=self._stamps, dst_dir_fd=self._stamps)
            self._evict(found.digest.removeprefix("sha256:"))
        except OSError as error:
            raise _refused(self._options, error) from error

    def _evict(self, newest: str) -> None:
        """Remove what was not used for the longest time, until the rest fits."""
        found = []
        for name in os.listdir(self._blobs):
            with suppress(OSError):
                status = os.lstat(name, dir_fd=self._blobs)
                found.append((name == newest, status.st_mtime_ns, status.st_blocks * 512, name))
        total = sum(size for _, _, size, _ in found)
        for is_newest, _, size, name in sorted(found):
            if total <= self._options.limit or is_newest:
                return
            with suppress(OSError):
                os.unlink(name, dir_fd=self._blobs)
                total -= size


# -- the directory ---------------------------------------------------------------------------------


def _own_directory(path: str) -> int:
    """The cache's directory, made where it is missing; it must be ours alone."""
    try:
        os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
        return _checked(os.open(path, _DIRECTORY), path)
    except OSError as error:
        raise CacheError(
            f"{path}: the cache cannot be used: {reason(error)}",
            hint="choose another with --cache-dir, or none with --no-cache",
        ) from error


def _below(directory: int, name: str) -> int:
    try:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=directory)
        return _checked(os.open(name, _DIRECTORY, dir_fd=directory), name)
    except OSError as error:
        raise CacheError(f"the cache cannot be used: {name}: {reason(error)}") from error


def _checked(fd: int, name: str) -> int:
    found = os.fstat(fd)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(fd)
        raise CacheError(
            f"{name}: no directory for a cache: it must belong to you, and be closed to others (mode 0700)",
            hint="choose another with --cache-dir, or none with --no-cache",
        )
    return fd


def _own_file(directory: int, name: str) -> int:
    """A descriptor of a file of the cache; one that is not ours alone is none of it."""
    fd = os.open(name, _READ, dir_fd=directory)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(fd)
        raise OSError(errno.EPERM, "is not a file of the cache")
    return fd


def _unlinked(directory: str) -> int:
    """A file without a name."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
            raise
    path = f"{directory}/layerfs-{secrets.token_hex(16)}"
    fd = os.open(path, _CREATE, 0o600)
    os.unlink(path)
    return fd


def _write(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def _refused(options: CacheOptions, error: OSError) -> CacheError:
    where = options.directory or options.scratch
    return CacheError(
        f"{where}: cannot be written to: {reason(error)}",
        hint="choose another disk with --cache-dir, or --no-cache for a scratch file",
    )
