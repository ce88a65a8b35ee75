"""Blobs decompressed: `Cache.plain` gives a blob without its compression, from the cache where it is known.

Without a directory, or for what cannot be known again, blobs are appended to one unlinked file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from layerfs.cache.directory import open_folders, unlinked
from layerfs.errors import CacheError, MalformedFile, reason
from layerfs.formats.compression import Compression, decompressed
from layerfs.formats.errors import FormatError
from layerfs.tree.openfile import OpenFile
from layerfs.tree.pooledfile import FilePool, PooledFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.cache.directory import Folder
    from layerfs.cache.options import CacheOptions
    from layerfs.hostdir import HostDir
    from layerfs.tree.pooledfile import Readable

__all__ = ["Cache", "Packed", "Plain"]

_PIECE = 1 << 20
_BETWEEN_CHECKS = 64 << 20  # bytes written until the disk is looked at again
_RECENT = 50_000_000  # ns in which a file may change and keep its times, as the kernel counts them coarsely
_MOST_NOTE = 4096
_PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class Packed:
    """A blob as it is stored in a file.

    Attributes:
        label: its name in messages.
        file: holds it.
        offset: where in the file it begins.
        size: bytes of the blob.
        compression: what it is compressed with.
    """

    label: str
    file: Readable
    offset: int
    size: int
    compression: Compression

    def stamp(self) -> tuple[str, int]:
        """What tells this blob from others without reading it, and when its file changed last, in ns."""
        found = self.file.status()
        parts = (
            found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns,
            self.offset, self.size,
        )  # fmt: skip
        return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest(), found.st_ctime_ns

    def pieces(self, told: Callable[[bytes], object]) -> Iterator[bytes]:
        """Its bytes, each piece given to `told` first; raises `MalformedFile`."""
        at, end = self.offset, self.offset + self.size
        while at < end:
            try:
                piece = self.file.pread(min(_PIECE, end - at), at)
            except OSError as error:
                raise MalformedFile(self.label, reason(error)) from error
            if not piece:
                raise MalformedFile(self.label, "the file became shorter while it was read")
            told(piece)
            yield piece
            at += len(piece)


@dataclass(frozen=True, slots=True)
class Plain:
    """A blob as it is without compression.

    Attributes:
        file: holds it.
        offset: where in it the blob begins.
        size: bytes.
        digest: sha256 of the bytes as they were stored, `sha256:` and hexadecimal digits.
        diff_id: sha256 of the plain bytes, likewise.
    """

    file: Readable
    offset: int
    size: int
    digest: str
    diff_id: str


class Cache:
    """Gives blobs decompressed, and notes what they are; safe to use from several threads."""

    def __init__(
        self, options: CacheOptions, progress: Callable[[str, int, int], None] | None = None
    ) -> None:
        """Use what `options` say; `progress` is told the label of a blob, its bytes done, and all of them.

        Nothing is made before something is to be kept.
        """
        self.options = options
        self._progress = progress
        self._pool = FilePool()
        self._lock = threading.RLock()
        self._folders: dict[str, Folder] | None = None
        self._scratch: OpenFile | None = None
        self._scratch_end = 0
        self._avoid: set[tuple[int, int]] = set()
        self._seen: dict[tuple[str, int], Plain] = {}  # what this process read itself, by stamp

    def avoid(self, directory: HostDir) -> None:
        """Never write below this directory; raises `CacheError` if the cache is in it."""
        found = directory.lstat()
        self._avoid.add((found.st_dev, found.st_ino))

    def unkept(self) -> Cache:
        """The same limits for what will not be seen again: nothing is kept."""
        return Cache(self.options._replace(directory=None), self._progress)

    @contextmanager
    def watched(self, told: Callable[[str, int, int], None]) -> Iterator[None]:
        """Within this context `told` is called for blobs that are read, instead of the first function."""
        before, self._progress = self._progress, told
        try:
            yield
        finally:
            self._progress = before

    def plain(self, packed: Packed, *, fresh: bool = False) -> Plain:
        """The blob without compression; one that has none is read to its end only where it is not known.

        Args:
            packed: the blob.
            fresh: read it now, whatever was noted of it before this process began.

        Raises:
            MalformedFile: it is damaged, larger than allowed, or needs more memory than allowed.
            CacheError: the cache cannot be used, or the disk is full.
        """
        stamp = packed.stamp()
        known = self._seen.get(stamp)
        if known is None and not fresh and self.options.directory is not None:
            known = self._known(packed)
        if known is None:
            known = self._seen[stamp] = self._read(packed, stamp)
        return known

    def _read(self, packed: Packed, stamp: tuple[str, int]) -> Plain:
        """Read a blob to its end, and note what it is."""
        if packed.compression is Compression.NONE:
            return self._in_place(packed, stamp)
        if self.options.directory is None:
            return self._to_scratch(packed)
        return self._to_cache(packed, stamp)

    # -- notes ---------------------------------------------------------------------------------

    def recall(self, packed: Packed) -> dict[str, Any]:
        """What was noted of a blob whose file did not change since; empty where nothing was."""
        if self.options.directory is None:
            return {}
        try:
            with os.fdopen(self._folder("notes").open(packed.stamp()[0]), "rb") as note:
                told = json.loads(note.read(_MOST_NOTE))
        except (OSError, ValueError, RecursionError):
            return {}
        return told if isinstance(told, dict) else {}

    def remember(self, packed: Packed, stamp: tuple[str, int], **told: object) -> None:
        """Note what was found out of a blob; not where its file changed just now, or while it was read.

        Args:
            packed: the blob.
            stamp: taken before it was read.
            told: values that JSON can write.
        """
        if self.options.directory is None or packed.stamp() != stamp:
            return
        if abs(time.time_ns() - stamp[1]) < _RECENT:
            return
        try:
            known = self.recall(packed) | told
            self._folder("notes").write(stamp[0], json.dumps(known).encode())
        except OSError as error:
            raise self._refused(error) from error

    # -- reading -------------------------------------------------------------------------------

    def _in_place(self, packed: Packed, stamp: tuple[str, int]) -> Plain:
        sha256, done = hashlib.sha256(), 0
        for piece in packed.pieces(sha256.update):
            done += len(piece)
            self._tell(packed, done)
        digest = _PREFIX + sha256.hexdigest()
        self.remember(packed, stamp, digest=digest, diff_id=digest, size=packed.size)
        return Plain(packed.file, packed.offset, packed.size, digest, digest)

    def _known(self, packed: Packed) -> Plain | None:
        """What a blob was decompressed to, if that is still there as it was left."""
        told = self.recall(packed)
        digest, diff_id, size = told.get("digest"), told.get("diff_id"), told.get("size")
        if not (_is_digest(digest) and _is_digest(diff_id) and isinstance(size, int)):
            return None
        if packed.compression is Compression.NONE:
            return Plain(packed.file, packed.offset, packed.size, str(digest), str(diff_id))
        name = str(digest).removeprefix(_PREFIX)
        try:
            fd = self._folder("blobs").open(name)
        except OSError:
            return None
        if os.fstat(fd).st_size != size:
            os.close(fd)
            return None
        with suppress(OSError):
            os.utime(fd)  # what was used last is kept longest
        return Plain(self._kept(packed, name, fd), 0, size, str(digest), str(diff_id))

    def _kept(self, packed: Packed, name: str, fd: int) -> PooledFile:
        """A file of the cache, which others may remove while it is closed: then it is made again."""

        def again() -> int:
            try:
                return self._folder("blobs").open(name)
            except OSError:
                fd, found = self._written(packed)
            if found.digest != _PREFIX + name:
                os.close(fd)
                raise OSError(errno.EIO, f"{packed.label}: changed while it was in use")
            return fd

        return PooledFile(self._pool, again, fd)

    # -- writing -------------------------------------------------------------------------------

    def _to_cache(self, packed: Packed, stamp: tuple[str, int]) -> Plain:
        fd, found = self._written(packed)
        name = found.digest.removeprefix(_PREFIX)
        file = self._kept(packed, name, fd)
        self.remember(packed, stamp, digest=found.digest, diff_id=found.diff_id, size=found.size)
        return replace(found, file=file)

    def _written(self, packed: Packed) -> tuple[int, Plain]:
        """Decompress a blob to the cache: an open file of it, the caller's, and what it is."""
        folder = self._folder("blobs")
        try:
            fd, name = folder.new()
        except OSError as error:
            raise self._refused(error) from error
        try:
            found = self._unpack(packed, fd, 0)
            final = found.digest.removeprefix(_PREFIX)
            folder.keep(name, final)
            folder.evict(self.options.limit, final, found.size)
            return folder.open(final), found
        except OSError as error:
            raise self._refused(error) from error
        finally:
            folder.remove(name)
            os.close(fd)

    def _to_scratch(self, packed: Packed) -> Plain:
        """Append a blob to the file that is not kept."""
        with self._lock:
            try:
                if self._scratch is None:
                    self._scratch = OpenFile(unlinked(self.options.scratch))
                fd = self._scratch.backing_fd()
                assert fd is not None  # noqa: S101 - it is never closed
                start = self._scratch_end
                found = self._unpack(packed, fd, start)
            except OSError as error:
                raise self._refused(error) from error
            self._scratch_end = start + found.size
            return replace(found, file=self._scratch, offset=start)

    def _unpack(self, packed: Packed, fd: int, start: int) -> Plain:
        """Write a blob, decompressed, to `fd` from `start` on; raises `OSError` of the host's disk alone."""
        stored, plain, size, done, checked = hashlib.sha256(), hashlib.sha256(), 0, 0, 0

        def read(piece: bytes) -> None:
            nonlocal done
            stored.update(piece)
            done += len(piece)
            self._tell(packed, done)

        self._check_room(fd, packed)
        try:
            for content in decompressed(packed.pieces(read), packed.compression, self.options.memory):
                self._check_size(packed, size + len(content))
                plain.update(content)
                _write(fd, content, start + size)
                size += len(content)
                if size - checked > _BETWEEN_CHECKS:
                    checked = size
                    self._check_room(fd, packed)
        except FormatError as error:
            hint = "--decoder-memory allows more" if "memory" in error.problem else None
            raise MalformedFile(
                packed.label, error.problem, expected=error.expected, found=error.found, hint=hint
            ) from error
        return Plain(OpenFile(-1), 0, size, _PREFIX + stored.hexdigest(), _PREFIX + plain.hexdigest())

    def _tell(self, packed: Packed, done: int) -> None:
        if self._progress:
            self._progress(packed.label, done, packed.size)

    def _check_size(self, packed: Packed, size: int) -> None:
        if size > self.options.largest:
            raise MalformedFile(
                packed.label,
                "too large when decompressed",
                expected=f"at most {self.options.largest} bytes",
                hint="--largest-layer allows more",
            )

    def _check_room(self, fd: int, packed: Packed) -> None:
        room = os.fstatvfs(fd)
        free, all_of_it = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
        if all_of_it and free < min(self.options.reserve, all_of_it // 20):
            raise CacheError(
                f"{packed.label}: no room to decompress it: {free} bytes are free on the disk of the cache",
                hint="choose another disk with --cache-dir",
            )

    def _folder(self, name: str) -> Folder:
        with self._lock:
            if self._folders is None:
                assert self.options.directory is not None  # noqa: S101 - callers ask first
                self._folders = open_folders(self.options.directory, self._avoid)
            return self._folders[name]

    def _refused(self, error: OSError) -> CacheError:
        where = self.options.directory or self.options.scratch
        return CacheError(
            f"{where}: cannot be written to: {reason(error)}",
            hint="choose another disk with --cache-dir, or --no-cache to keep nothing",
        )


def _is_digest(found: object) -> bool:
    digits = found.removeprefix(_PREFIX) if isinstance(found, str) else ""
    return len(digits) == 64 and set(digits) <= set("0123456789abcdef")


def _write(fd: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done
