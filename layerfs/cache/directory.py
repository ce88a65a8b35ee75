"""The directory of the cache: our own user's alone, and never inside of what is read.

Everything is reached from its descriptor, no link is followed, and files are created exclusively under a
name that nobody can guess; they get their real name when they are complete.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import CacheError, reason
from layerfs.reserves import enough

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["FOLDERS", "Folder", "Usage", "clear", "open_folders", "unlinked", "usage"]

FOLDERS = ("blobs", "notes")
"""What the cache keeps, each in a directory of its own."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = ".new-"
_BETWEEN_SCANS = 64  # files added until the directory is looked at again
_HINT = "choose another with --cache-dir, or none with --no-cache"


class Usage(NamedTuple):
    """What a cache holds: complete files of any kind, and the bytes that they take on disk."""

    files: int
    size: int


class Folder:
    """One directory of the cache, open."""

    def __init__(self, fd: int) -> None:
        """Take over `fd`."""
        self._fd = fd
        self._total = 0
        self._until_scan = 0

    def __del__(self) -> None:
        """Close it."""
        os.close(self._fd)

    def open(self, name: str) -> int:
        """A descriptor of a file; raises `HostExhausted` and `OSError`, also for one not ours alone."""
        fd = enough(functools.partial(os.open, name, dir_fd=self._fd), _READ)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            os.close(fd)
            raise OSError(errno.EPERM, "is not a file of the cache")
        return fd

    def new(self) -> tuple[int, str]:
        """A file to be written, and its name until it is complete; it is locked as long as it is open."""
        while True:
            name = _NEW + secrets.token_hex(16)
            fd = os.open(name, _CREATE, 0o600, dir_fd=self._fd)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                return fd, name
            os.close(fd)  # another took it for abandoned before it had its lock

    def keep(self, name: str, final: str) -> None:
        """Give a complete file its name; whatever had it is replaced."""
        os.rename(name, final, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(OSError):
            os.unlink(name, dir_fd=self._fd)

    def write(self, final: str, content: bytes) -> None:
        """Keep a small file."""
        fd, name = self.new()
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content)
                file.flush()
                self.keep(name, final)  # before it is closed, and so loses its lock
        except BaseException:
            self.remove(name)
            raise

    def evict(self, limit: int, keep: str, size: int) -> None:
        """Remove what was not used for the longest time until at most `limit` bytes are left.

        Args:
            limit: bytes.
            keep: the file that was added, which stays whatever its size.
            size: its bytes.
        """
        self._total, self._until_scan = self._total + size, self._until_scan - 1
        if self._until_scan > 0 and self._total <= limit:
            return  # what others may have added meanwhile is not worth a look at every file
        found: list[tuple[int, int, str]] = []
        for name in os.listdir(self._fd):
            with suppress(OSError):
                if name.startswith(_NEW):
                    self._remove_abandoned(name)
                    continue
                status = os.lstat(name, dir_fd=self._fd)
                found.append((status.st_mtime_ns, status.st_blocks * 512, name))
        total = sum(taken for _, taken, _ in found)
        for _, taken, name in sorted(found):
            if total > limit and name != keep:
                self.remove(name)
                total -= taken
        self._total, self._until_scan = total, _BETWEEN_SCANS

    def clear(self) -> Usage:
        """Remove every file that is not being written; returns what there was."""
        files = size = 0
        for name in os.listdir(self._fd):
            with suppress(OSError):
                status = os.lstat(name, dir_fd=self._fd)
                if name.startswith(_NEW):
                    self._remove_abandoned(name)
                else:
                    os.unlink(name, dir_fd=self._fd)
                files, size = files + 1, size + status.st_blocks * 512
        return Usage(files, size)

    def usage(self) -> Usage:
        """What there is."""
        found = []
        for name in os.listdir(self._fd):
            with suppress(OSError):
                found.append(os.lstat(name, dir_fd=self._fd).st_blocks * 512)
        return Usage(len(found), sum(found))

    def _remove_abandoned(self, name: str) -> None:
        """Remove the file of a process that ended while it wrote: it is not locked."""
        fd = self.open(name)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.remove(name)
        finally:
            os.close(fd)


def open_folders(path: str, avoid: Collection[tuple[int, int]] = ()) -> dict[str, Folder]:
    """The directories of the cache at `path`, made where they are missing.

    Args:
        path: of the cache.
        avoid: device and inode of directories below which nothing is made.

    Raises:
        CacheError: it is not ours alone, cannot be made, or lies below one of `avoid`.
        HostExhausted: there is no descriptor left to open them by.
    """
    path = os.path.abspath(path)
    try:
        return enough(functools.partial(_made, avoid=avoid), path)
    except OSError as error:
        raise CacheError(f"{path}: the cache cannot be used: {reason(error)}", hint=_HINT) from error


def _made(path: str, *, avoid: Collection[tuple[int, int]]) -> dict[str, Folder]:
    """As `open_folders`, of an absolute path; raises `CacheError` and `OSError`."""
    if avoid:
        _refuse_inside(path, avoid)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    top = _checked(os.open(path, _DIRECTORY), path)
    try:
        return {name: Folder(_below(top, path, name)) for name in FOLDERS}
    finally:
        os.close(top)


def clear(path: str) -> Usage:
    """Empty the cache at `path`; what there was. Nothing is made where there is none; raises `CacheError`."""
    return _sum(folder.clear() for folder in _existing(path))


def usage(path: str) -> Usage:
    """What the cache at `path` holds; raises `CacheError`."""
    return _sum(folder.usage() for folder in _existing(path))


def _existing(path: str) -> list[Folder]:
    return list(open_folders(path).values()) if os.path.lexists(path) else []


def _sum(parts: Iterable[Usage]) -> Usage:
    found = list(parts)
    return Usage(sum(part.files for part in found), sum(part.size for part in found))


def _below(top: int, path: str, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=top)
    return _checked(os.open(name, _DIRECTORY, dir_fd=top), f"{path}/{name}")


def _checked(fd: int, name: str) -> int:
    found = os.fstat(fd)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(fd)
        raise CacheError(
            f"{name}: no directory for a cache: it must belong to you, and be closed to others (mode 0700)",
            hint=_HINT,
        )
    return fd


def _refuse_inside(path: str, avoid: Collection[tuple[int, int]]) -> None:
    """Raise `CacheError` if `path`, or the part of it that exists, is in one of `avoid`."""
    fd = _nearest(path)
    try:
        while True:
            here = os.fstat(fd)
            if (here.st_dev, here.st_ino) in avoid:
                raise CacheError(f"{path}: the cache lies inside of what is read", hint=_HINT)
            above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = above
            found = os.fstat(fd)
            if (found.st_dev, found.st_ino) == (here.st_dev, here.st_ino):
                return
    finally:
        os.close(fd)


def _nearest(path: str) -> int:
    """A descriptor of the nearest directory above or at `path` that exists."""
    while True:
        try:
            return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            path = os.path.dirname(path)


def unlinked(directory: str) -> int:
    """A file without a name, on the disk of `directory`; raises `OSError`."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
    path = f"{directory}/layerfs-{secrets.token_hex(16)}"
    fd = os.open(path, _CREATE, 0o600)
    os.unlink(path)
    return fd
