"""The only door to the evidence: directories held by descriptor, nothing followed, nothing written.

`HostDir` is an open directory of the data root. Everything below it is reached from its descriptor
without following a symbolic link, so a hostile tree cannot lead the reader onto the host's own
disk. Directories and regular files are the only things ever opened; FIFOs, sockets and devices are
only looked at. Access times are left alone where the kernel allows it (O_NOATIME).

Sources: open(2), xattr(7), proc_pid_fd(5).
"""

from __future__ import annotations

import errno
import functools
import os
import stat
import sys
import threading
from typing import TYPE_CHECKING, Self

from layerfs.hostfile import HostFile, Refused, kind_listed, refusal
from layerfs.reserves import enough, make_room
from layerfs.syscalls import PATH_CHUNK, open_beneath, own_mount, split_path
from layerfs.witness import noted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = [
    "HostDir",
    "Refused",
    "TooLarge",
    "check_depth",
    "check_direct",
    "empty_file",
    "is_there",
    "xattr_names_of",
    "xattr_of",
    "xattr_of_open",
]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_PATH_LIMIT = 1 << 15
"""Bytes of a path, eight times what a program can name: each step so deep down costs the way from the top."""

_READ_CHUNK = 1 << 16

_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()


class TooLarge(OSError):
    """A file exceeds the cap its reader allows."""


class HostDir:
    """An open directory of the evidence and what can be reached below it.

    All names and paths are bytes relative to this directory, without a leading slash; `b""` is the
    directory itself. Methods raise `OSError` as the kernel gives it, `Refused`, `TooLarge`, or
    `HostExhausted`, which is no `OSError`: it says nothing of the evidence.
    """

    __slots__ = ("_above", "_name", "_noatime", "_position", "_sealed", "fd")

    def __init__(self, fd: int, name: str | bytes, above: HostDir | None = None) -> None:
        """Take over `fd`; `name` is its name in messages, below `above` where that is given."""
        self.fd = fd
        self._name = name
        self._above = above
        self._position = threading.Lock()
        self._noatime: int = above._noatime if above else os.O_NOATIME  # noqa: SLF001 - of our own class
        self._sealed: bool = above._sealed if above else False  # noqa: SLF001

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a directory that the *user* named: the one place where links are followed."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        opening = functools.partial(os.open, path)
        try:
            fd = enough(opening, flags | os.O_NOATIME)
        except PermissionError:  # not its owner
            fd = enough(opening, flags)
        return cls(fd, os.fspath(path))

    @property
    def display(self) -> str:
        """The directory's name in messages."""
        return self._above.name_of(self._name) if self._above else os.fsdecode(self._name)

    def __enter__(self) -> Self:
        """Use as a context manager to close the descriptor at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the descriptor."""
        self.close()

    def __del__(self) -> None:
        """Close the descriptor of a directory that went out of use."""
        self.close()

    def close(self) -> None:
        """Close the descriptor; harmless when repeated."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def name_of(self, path: str | bytes) -> str:
        """The name of `path` below this directory, for messages."""
        text = os.fsdecode(path)
        return "/".join(part for part in (self.display, text) if part) or "."

    def subdir(self, path: bytes | str) -> HostDir:
        """The directory at `path`; raises ENOTDIR or ELOOP where a component is none or a link."""
        raw = os.fsencode(path)
        return HostDir(self._open(raw, _DIRECTORY), raw, self)

    def below(self, name: bytes) -> HostDir:
        """The directory `name` in this one, which may be closed before it; raises as `subdir`."""
        whole = b"/".join(part for part in (os.fsencode(self._name), name) if part)
        return HostDir(self._open(name, _DIRECTORY), whole, self._above)

    def at(self, path: bytes) -> HostDir:
        """The directory at `path`, which others may use too: not to be closed; raises as `subdir`."""
        return self.subdir(path)

    def sealed(self) -> HostDir:
        """The same directory, on a mount that only we have, which is read-only and notes no access.

        It keeps what O_NOATIME cannot: the access times of symbolic links, and of files that the
        kernel reads for a FUSE server. No device can be opened on it. What is mounted below it is not
        there. Where that is not allowed (CAP_SYS_ADMIN, Linux 5.12), this directory itself.
        """
        mount = own_mount(self.fd)
        if mount < 0:
            return self
        try:
            found = HostDir(os.open(".", _DIRECTORY | os.O_NOATIME, dir_fd=mount), self._name, self._above)
        except OSError:
            return self
        finally:
            os.close(mount)  # the mount lives on as long as something on it is open
        found._sealed = True
        return found

    def statvfs(self) -> os.statvfs_result:
        """The file system the directory is on."""
        return os.fstatvfs(self.fd)

    def names(self) -> list[bytes]:
        """Every name in the directory, in the file system's order."""
        return [os.fsencode(name) for name in enough(os.listdir, self.fd)]

    def scan(self) -> list[tuple[bytes, os.stat_result]]:
        """Every name with its lstat, in the file system's order; a name that vanishes is left out.

        Raises ENOENT where the directory itself was removed.
        """
        # a descriptor has one position, so another thread takes another descriptor
        if not self._position.acquire(blocking=False):
            with self.subdir(b"") as again:
                return again.scan()
        found: list[tuple[bytes, os.stat_result]] = []
        try:
            with enough(os.scandir, self.fd) as entries:
                for entry in entries:
                    try:
                        # as os.fsencode, but what the name is and how it is encoded is known
                        name = entry.name.encode(_ENCODING, _ERRORS)
                        found.append((name, entry.stat(follow_symlinks=False)))
                    except FileNotFoundError:
                        continue
        finally:
            self._position.release()
        if not found:
            self._check_still_there()
        return found

    def scan_at(self, path: bytes) -> list[tuple[bytes, os.stat_result]]:
        """As `scan`, of the directory at `path`."""
        with self.subdir(path) as directory:
            return directory.scan()

    def _check_still_there(self) -> None:
        """Raise ENOENT for a directory that was removed since it was opened: the C library lists it as empty.

        Some file systems count no links of directories, so what the kernel calls it must say so too.
        """
        if not os.fstat(self.fd).st_nlink and os.readlink(f"/proc/self/fd/{self.fd}").endswith(" (deleted)"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.display)

    def lstat(self, path: bytes | str = b"") -> os.stat_result:
        """The attributes of the entry itself."""
        raw = path if isinstance(path, bytes) else os.fsencode(path)
        if b"/" not in raw:
            return os.lstat(raw, dir_fd=self.fd) if raw else os.fstat(self.fd)
        fd = self._open(raw, _LOOK)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def readlink(self, path: bytes | str) -> bytes:
        """The target of a symbolic link, verbatim."""
        raw = os.fsencode(path)
        if b"/" not in raw:
            return os.readlink(raw, dir_fd=self.fd)
        fd = self._open(raw, _LOOK)
        try:
            return os.readlink(b"", dir_fd=fd)
        finally:
            os.close(fd)

    def open_file(self, path: bytes | str) -> int:
        """A descriptor for reading the regular file at `path`; anything else is `Refused`.

        The entry is held by an O_PATH descriptor while its type is checked, so it cannot turn into a
        device between the look and the open. On a sealed mount none is opened anyway.
        """
        raw = os.fsencode(path)
        if self._sealed and raw and b"/" not in raw and stat.S_ISREG(os.lstat(raw, dir_fd=self.fd).st_mode):
            return self.open_seen(raw)
        held = self._open(raw, _LOOK)
        try:
            self._check(held, raw)
            return self._without_atime(f"/proc/self/fd/{held}", _READ)
        finally:
            os.close(held)

    def open_seen(self, name: bytes) -> int:
        """A descriptor of the entry `name`, which an lstat of just now showed to be a regular file.

        For those who look at every entry anyway: half of `open_file`'s calls. What it turned into meanwhile,
        in a directory that is in use, is `Refused`.
        """
        fd = self._without_atime(name, _READ | os.O_NOFOLLOW)
        try:
            self._check(fd, name)
        except OSError:
            os.close(fd)
            raise
        return fd

    def _check(self, fd: int, name: bytes) -> None:
        kind = stat.S_IFMT(os.fstat(fd).st_mode)
        if kind != stat.S_IFREG:
            raise refusal(kind, self.name_of(name))

    def listing(self) -> list[tuple[bytes, int]]:
        """Every name with its kind (see `kind_listed`), in the file system's order; no lstat is made."""
        with enough(os.scandir, self.fd) as found:
            return [(os.fsencode(entry.name), kind_listed(entry)) for entry in found]

    def read(self, path: bytes | str, limit: int) -> bytes:
        """The whole content of the regular file at `path`; raises `TooLarge` above `limit` bytes."""
        fd = self.open_file(path)
        try:
            pieces: list[bytes] = []
            total = 0
            while piece := os.read(fd, _READ_CHUNK):
                total += len(piece)
                if total > limit:
                    raise TooLarge(errno.EFBIG, f"is larger than {limit} bytes", self.name_of(path))
                pieces.append(piece)
            return noted(b"".join(pieces), self.name_of, path)
        finally:
            os.close(fd)

    def file(self, path: bytes | str) -> HostFile:
        """The regular file at `path`, for reading parts of it."""
        return HostFile(self.open_file(path))

    def xattr_names(self, path: bytes = b"") -> list[bytes]:
        """The names of the entry's extended attributes that this process may see."""
        with _Located(self, path) as place:
            return [os.fsencode(name) for name in os.listxattr(place, follow_symlinks=not path)]

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """The value of one extended attribute, or None when the entry does not have it."""
        with _Located(self, path) as place:
            return xattr_of(place, name, follow_symlinks=not path)

    def _open(self, path: bytes, flags: int) -> int:
        """Open `path` below this directory, in pieces the kernel takes, following nothing."""
        if not path:
            return self._without_atime(".", flags)
        if b"/" not in path and path not in (b".", b".."):
            return self._without_atime(path, flags | os.O_NOFOLLOW)
        if len(path) <= PATH_CHUNK:
            return self._without_atime(path, flags, open_beneath)
        check_depth(path)
        at, opened = self.fd, -1
        try:
            while len(path) > PATH_CHUNK:
                head, path = split_path(path)
                below = open_beneath(head, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
                if opened >= 0:
                    os.close(opened)
                at = opened = below
            return self._without_atime(path, flags, open_beneath, at)
        finally:
            if opened >= 0:
                os.close(opened)

    def _without_atime(
        self, path: bytes | str, flags: int, opener: Callable[..., int] = os.open, at: int | None = None
    ) -> int:
        """Open with O_NOATIME while it is allowed (owner or CAP_FOWNER only; open(2)).

        `path` is below the directory `at`, by default this one.
        """
        dir_fd = self.fd if at is None else at
        if self._noatime and not flags & os.O_PATH:
            try:
                return opener(path, flags | os.O_NOATIME, dir_fd=dir_fd)
            except PermissionError:
                self._noatime = 0
            except OSError as error:
                make_room(error)
                return self._without_atime(path, flags, opener, at)
        return enough(functools.partial(opener, path, dir_fd=dir_fd), flags)


def xattr_of(place: bytes | int, name: bytes, *, follow_symlinks: bool = True) -> bytes | None:
    """One extended attribute of an open file (or of a path), or None when it has no such attribute."""
    try:
        return os.getxattr(place, name, follow_symlinks=follow_symlinks)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return None
        raise


def xattr_of_open(fd: int, name: bytes) -> bytes | None:
    """As `xattr_of`, of an open file that probably has none: to list nothing costs less than an error."""
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return None
        raise
    return xattr_of(fd, name) if names and os.fsdecode(name) in names else None


def check_depth(path: bytes) -> None:
    """Raise ENAMETOOLONG for a path that no step could reach without its whole way."""
    if len(path) > _PATH_LIMIT:
        raise OSError(errno.ENAMETOOLONG, f"lies deeper than {_PATH_LIMIT} bytes of path")


def check_direct(fd: int | None) -> None:
    """Raise what open(2) raises of O_DIRECT for this open file: EINVAL where its file system lacks it.

    Contents that are no file of their own (None) are read by the server, whatever the flag.
    """
    if fd is not None:
        os.close(os.open(f"/proc/self/fd/{fd}", _READ | os.O_DIRECT))


def empty_file() -> int:
    """A descriptor of an empty regular file that is on no disk."""
    return os.memfd_create("empty")


def is_there(path: str) -> bool:
    """Whether the host has something at a path that the user typed; a broken link counts."""
    return os.path.lexists(path)


def xattr_names_of(fd: int) -> list[bytes]:
    """The names of an open file's extended attributes."""
    return [os.fsencode(name) for name in os.listxattr(fd)]


class _Located:
    """A path the xattr calls understand, as they have no dirfd form: through /proc/self/fd."""

    __slots__ = ("_base", "_dir", "_name")

    def __init__(self, base: HostDir, path: bytes) -> None:
        """Locate `path` below `base`."""
        self._base = base
        parent, slash, self._name = path.rpartition(b"/")
        self._dir = base.subdir(parent) if slash else None

    def __enter__(self) -> bytes:
        """The path; valid inside the block."""
        fd = (self._dir or self._base).fd
        return b"/proc/self/fd/%d/%s" % (fd, self._name) if self._name else b"/proc/self/fd/%d" % fd

    def __exit__(self, *exc_info: object) -> None:
        """Close what was opened on the way."""
        if self._dir:
            self._dir.close()
