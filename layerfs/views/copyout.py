"""Copying out of the evidence: entries of a layer or a tree made anew in a directory of the host.

`CopyOut` writes below one directory that it holds by descriptor, and nowhere else: every component is
opened from the one before, following no link, and only directories it made itself are entered, so
neither hostile names, nor links, nor somebody who meddles at the same time lead it elsewhere.
Nothing is ever overwritten. Used by the command `deleted`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Self

    from layerfs.tree.node import FileStat, Node
    from layerfs.tree.union import UnionTree

__all__ = ["BadTarget", "CopyOut", "NotCopied", "Original", "open_target"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMELESS = os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC
_CHUNK = 1 << 20
_SET_ID = stat.S_ISUID | stat.S_ISGID
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NOT_TAKEN = (
    *(errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EINVAL),  # no privilege, or not on this file system
    *(errno.E2BIG, errno.ERANGE, errno.ENOSPC),  # more attributes than an inode here has room for
)


class BadTarget(ValueError):
    """The directory to write to is not one that may be written to; the message says why."""


class NotCopied(OSError):
    """A FIFO, socket or device: it has no content, and none is made on the host."""


class Original(NamedTuple):
    """What is copied: an entry of a tree, visible or, as `versions.node_of` makes it, hidden."""

    tree: UnionTree
    node: Node

    @property
    def stat(self) -> FileStat:
        """Its attributes."""
        return self.node.stat

    def xattrs(self) -> Iterator[tuple[bytes, bytes]]:
        """Its extended attributes as the union shows them, without those that are overlayfs's own."""
        for name in self.tree.xattr_names(self.node):
            value = self.tree.xattr(self.node, name)
            if value is not None:
                yield name, value


# -- where it goes -------------------------------------------------------------------------------


def open_target(path: bytes, forbidden: Collection[tuple[int, int]]) -> int:
    """A descriptor of the directory `path`: a new one for its owner alone, or one that is empty.

    Args:
        path: as the user gave it; its last component must not be a symbolic link.
        forbidden: `(st_dev, st_ino)` of directories that it must neither be nor be below.

    Raises:
        BadTarget: it is not empty, no directory, a link, or lies where nothing may be written.
        OSError: the host refuses.
    """
    name = path.rstrip(b"/") or path
    try:
        fd = os.open(name, _DIRECTORY)
    except FileNotFoundError:
        return _make_target(name, forbidden)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise BadTarget("is a link, or no directory") from error
        raise
    try:
        _check_place(fd, forbidden)
        _check_empty(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _make_target(path: bytes, forbidden: Collection[tuple[int, int]]) -> int:
    directory, name = os.path.split(path)
    parent = os.open(directory or b".", _PLACE)
    try:
        _check_place(parent, forbidden)
        os.mkdir(name, 0o700, dir_fd=parent)
        return os.open(name, _DIRECTORY, dir_fd=parent)
    finally:
        os.close(parent)


def _check_empty(fd: int) -> None:
    if os.listdir(fd):
        raise BadTarget("is not empty")


def _check_place(fd: int, forbidden: Collection[tuple[int, int]]) -> None:
    """Go up to the host's root by `..`, which no link can bend."""
    at, below = os.dup(fd), None
    try:
        while (here := _identity(at)) != below:
            if here in forbidden:
                raise BadTarget("lies in the data root, where nothing is written")
            below, above = here, os.open("..", _PLACE, dir_fd=at)
            os.close(at)
            at = above
    finally:
        os.close(at)


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


# -- copying -------------------------------------------------------------------------------------


class _Made(NamedTuple):
    """A directory of ours, and what it is to look like in the end."""

    identity: tuple[int, int]
    original: Original | None


class CopyOut:
    """Makes copies below one directory; as a context manager it finishes directories at the end.

    Attributes:
        not_kept: attributes that the host does not let us keep, with how often.
        unfinished: directories that could not be given their attributes, and why.
    """

    def __init__(self, fd: int) -> None:
        """Take over `fd`, an empty directory's."""
        self.not_kept: Counter[str] = Counter()
        self.unfinished: list[tuple[bytes, OSError]] = []
        self._top = fd
        self._at, self._at_path = os.dup(fd), b""
        self._made: dict[bytes, _Made] = {b"": _Made(_identity(fd), None)}
        self._links: dict[tuple[int, int], bytes] = {}

    def __enter__(self) -> Self:
        """Copy inside the block."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Give the directories made their attributes, however the block ended."""
        try:
            self._finish()
        finally:
            os.close(self._at)
            os.close(self._top)

    def directory(self, path: bytes, original: Original | None) -> None:
        """Make the directory `path` unless it is made already; its parent must be.

        Args:
            path: relative, without `.` and `..`.
            original: what it takes its attributes from when all is copied; without one it stays
                its owner's alone.
        """
        if path in self._made:
            return
        parent, name = self._parent(path)
        os.mkdir(name, 0o700, dir_fd=parent)
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            self._made[path] = _Made(_identity(fd), original)
        finally:
            os.close(fd)

    def has(self, path: bytes) -> bool:
        """Whether the directory `path` was made here."""
        return path in self._made

    def file(self, path: bytes, original: Original) -> None:
        """Copy what is no directory to `path`, whose parent must have been made.

        What is interrupted or fails leaves nothing. A second name of a file becomes a hard link.

        Args:
            path: relative, without `.` and `..`.
            original: the entry.

        Raises:
            NotCopied: it is a FIFO, socket or device.
            OSError: the original cannot be read, or the copy not be written.
        """
        parent, name = self._parent(path)
        found = original.stat
        key = (found.dev, found.ino)
        if found.nlink > 1 and key in self._links:
            self._link(self._links[key], parent, name)
        elif found.is_file:
            self._regular(parent, name, original)
        elif found.is_symlink:
            self._symlink(parent, name, original)
        else:
            raise NotCopied(errno.EINVAL, "a FIFO, socket or device: not created")
        if found.nlink > 1:
            self._links.setdefault(key, path)

    # -- places --------------------------------------------------------------------------------

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        """The directory an entry goes into, which stays open until the next call, and its name."""
        directory, _, name = path.rpartition(b"/")
        if name in (b"", b".", b".."):
            raise ValueError(f"no name: {path!r}")
        if directory != self._at_path:
            fd = self._open(directory)
            os.close(self._at)
            self._at, self._at_path = fd, directory
        return self._at, name

    def _open(self, path: bytes) -> int:
        """A descriptor of a directory of ours: from where we are if it is below, else from the top."""
        nearby = self._at_path and path.startswith(self._at_path + b"/")
        fd = os.dup(self._at if nearby else self._top)
        done = self._at_path if nearby else b""
        for name in filter(None, path[len(done) :].split(b"/")):
            done = done + b"/" + name if done else name
            try:
                below = os.open(name, _DIRECTORY, dir_fd=fd)
            finally:
                os.close(fd)
            fd = below
            made = self._made.get(done)
            if made is None or made.identity != _identity(fd):
                os.close(fd)
                raise OSError(errno.EXDEV, "is not the directory that was made here", os.fsdecode(done))
        return fd

    # -- kinds ---------------------------------------------------------------------------------

    def _link(self, first: bytes, parent: int, name: bytes) -> None:
        directory, _, first_name = first.rpartition(b"/")
        fd = self._open(directory)
        try:
            os.link(first_name, name, src_dir_fd=fd, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(fd)

    def _regular(self, parent: int, name: bytes, original: Original) -> None:
        """A file without a name until it is complete; where the host has no such files, a removed one."""
        with original.tree.open(original.node) as source:
            fd, named = _create(parent, name)
            try:
                _copy_content(source.fileno(), fd)
                self._dress(fd, original)
                if not named:
                    os.link(b"/proc/self/fd/%d" % fd, name, dst_dir_fd=parent)
            except BaseException:
                if named:
                    os.unlink(name, dir_fd=parent)
                raise
            finally:
                os.close(fd)

    def _symlink(self, parent: int, name: bytes, original: Original) -> None:
        os.symlink(original.tree.readlink(original.node), name, dir_fd=parent)
        try:
            found = original.stat
            with self._privilege("owner"):
                os.chown(name, found.uid, found.gid, dir_fd=parent, follow_symlinks=False)
            for attribute, value in original.xattrs():
                with self._privilege(os.fsdecode(attribute)):
                    place = b"/proc/self/fd/%d/%s" % (parent, name)
                    os.setxattr(place, attribute, value, follow_symlinks=False)
            with self._privilege("times"):
                os.utime(name, ns=(found.atime_ns, found.mtime_ns), dir_fd=parent, follow_symlinks=False)
        except BaseException:
            os.unlink(name, dir_fd=parent)
            raise

    def _finish(self) -> None:
        """The directories, inner ones first, as a finished one may no longer be entered or written."""
        for path, made in sorted(self._made.items(), reverse=True):
            if made.original is not None:
                try:
                    self._finish_one(path, made.original)
                except OSError as error:
                    self.unfinished.append((path, error))

    def _finish_one(self, path: bytes, original: Original) -> None:
        fd = self._open(path)
        try:
            self._dress(fd, original)
        finally:
            os.close(fd)

    # -- attributes ----------------------------------------------------------------------------

    def _dress(self, fd: int, original: Original) -> None:
        """Owner first, as that clears set-ID bits and capabilities; times last."""
        found = original.stat
        mode = stat.S_IMODE(found.mode) & ~_SET_ID  # as cp(1): without its owner a set-ID file is another's
        with self._privilege("owner"):
            os.fchown(fd, found.uid, found.gid)
            mode = stat.S_IMODE(found.mode)
        for name, value in original.xattrs():
            with self._privilege(os.fsdecode(name)):
                os.setxattr(fd, name, value)
        os.fchmod(fd, mode)
        with self._privilege("times"):
            os.utime(fd, ns=(found.atime_ns, found.mtime_ns))

    @contextlib.contextmanager
    def _privilege(self, what: str) -> Iterator[None]:
        """Go on where the host does not let us keep an attribute, and count it."""
        try:
            yield
        except OSError as error:
            if error.errno not in _NOT_TAKEN:
                raise
            self.not_kept[what] += 1


def _create(parent: int, name: bytes) -> tuple[int, bool]:
    """A new file to write, and whether it has its name already."""
    try:
        return os.open(".", _NAMELESS, 0o600, dir_fd=parent), False
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):  # of the file system, or of the kernel
            raise
    return os.open(name, _NEW, 0o600, dir_fd=parent), True


def _copy_content(source: int, target: int) -> None:
    """All bytes, holes left as holes."""
    size = os.fstat(source).st_size
    offset = 0
    while offset < size:
        try:
            start = os.lseek(source, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # a hole to the end
        end = os.lseek(source, start, os.SEEK_HOLE)
        offset = _copy_range(source, target, start, end)
        if offset < end:  # the file became shorter
            raise OSError(errno.EIO, "the file changed while it was read")
    os.ftruncate(target, size)


def _copy_range(source: int, target: int, start: int, end: int) -> int:
    """Copy the bytes of one range; where it ended."""
    while start < end and (data := os.pread(source, min(_CHUNK, end - start), start)):
        view = memoryview(data)
        while view:
            written = os.pwrite(target, view, start)
            view, start = view[written:], start + written
    return start
