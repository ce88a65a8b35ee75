"""Copies entries of a layer or a tree to a directory of the host.

`CopyOut` writes only below one directory, of which it has a descriptor. It opens every component of a path
from the one before, follows no link, and enters only directories that it made itself or was told to add to.
So hostile names, links, or somebody who changes directories at the same time cannot lead it elsewhere.
Nothing is overwritten unless asked for.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
import stat
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from layerfs.views.content import copy_content
from layerfs.views.place import identity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from typing import Self

    from layerfs.tree.node import FileStat, Node
    from layerfs.tree.union import UnionTree

__all__ = ["CopyOut", "CopySource", "NotCopied"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMELESS = os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC
_SET_ID = stat.S_ISUID | stat.S_ISGID
_HELD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_TAKEN = (
    *(errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EINVAL),  # no privilege, or not on this file system
    *(errno.E2BIG, errno.ERANGE, errno.ENOSPC),  # more attributes than an inode here has room for
)


class NotCopied(OSError):
    """The original is a FIFO, socket or device, which is not made on the host unless asked for."""


class CopySource(NamedTuple):
    """An entry to copy: a node of a tree, or one of a hidden version (`versions.node_of`)."""

    tree: UnionTree
    node: Node

    @property
    def stat(self) -> FileStat:
        """Its attributes."""
        return self.node.stat

    def xattrs(self) -> Iterator[tuple[bytes, bytes]]:
        """Its extended attributes as the union shows them, without overlayfs's own."""
        for name in self.tree.xattr_names(self.node):
            value = self.tree.xattr(self.node, name)
            if value is not None:
                yield name, value


class _Made(NamedTuple):
    """A directory that copies are made in, and the original that gives it its attributes at the end."""

    identity: tuple[int, int]
    original: CopySource | None


class CopyOut:
    """Makes copies below one directory; as a context manager it finishes directories at the end.

    Attributes:
        not_kept: attributes that the host refused to set, each with how often.
        unfinished: directories whose attributes could not be set, each with the error.
    """

    def __init__(
        self,
        fd: int,
        *,
        merge: bool = False,
        replace: bool = False,
        specials: bool = False,
        forbidden: Collection[tuple[int, int]] = (),
    ) -> None:
        """Copy below the directory `fd`, which is closed at the end.

        Args:
            fd: a descriptor of the directory for the copies.
            merge: enter directories that are there already; they keep their attributes.
            replace: put copies in the place of other entries, and give directories that are there
                the attributes of the originals. A directory is never replaced.
            specials: make FIFOs, sockets and devices.
            forbidden: `(st_dev, st_ino)` of directories that are never entered, and of files never replaced.
        """
        self.not_kept: Counter[str] = Counter()
        self.unfinished: list[tuple[bytes, OSError]] = []
        self._merge, self._replace, self._specials = merge, replace, specials
        self._forbidden = forbidden
        self._top = fd
        self._at, self._at_path = os.dup(fd), b""
        self._made: dict[bytes, _Made] = {b"": _Made(identity(fd), None)}
        self._links: dict[tuple[UnionTree, int, int], bytes] = {}

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

    def directory(self, path: bytes, original: CopySource | None) -> None:
        """Make the directory `path` unless it is made already; its parent must be.

        Args:
            path: relative, without `.` and `..`.
            original: gives it its attributes when everything is copied; without one its mode stays 0700.
        """
        if not path and self._replace:
            self._made[path] = self._made[path]._replace(original=original)
        if path in self._made:
            return
        parent, name = self._parent(path)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not self._merge:
                raise
            self._made[path] = _Made(self._existing(parent, name), original if self._replace else None)
        else:
            fd = os.open(name, _DIRECTORY, dir_fd=parent)
            try:
                self._made[path] = _Made(identity(fd), original)
            finally:
                os.close(fd)

    def _existing(self, parent: int, name: bytes) -> tuple[int, int]:
        """Open a directory that exists already; raises `FileExistsError` for anything else, also a link."""
        try:
            fd = os.open(name, _DIRECTORY, dir_fd=parent)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise FileExistsError(errno.EEXIST, "is there already, and no directory") from error
            raise
        try:
            found = identity(fd)
        finally:
            os.close(fd)
        if found in self._forbidden:
            raise OSError(errno.EPERM, "is the data root, where nothing is written")
        return found

    def has(self, path: bytes) -> bool:
        """Whether the directory `path` was made or added to already."""
        return path in self._made

    def file(self, path: bytes, original: CopySource) -> None:
        """Copy an entry that is no directory to `path`, whose parent must have been made.

        A copy that fails or is interrupted leaves nothing. A second name of a file becomes a hard link.

        Args:
            path: relative, without `.` and `..`.
            original: the entry.

        Raises:
            NotCopied: it is a FIFO, socket or device, and these are not wanted.
            OSError: the original cannot be read, or the copy not be written.
        """
        parent, name = self._parent(path)
        found = original.stat
        key = (original.tree, found.dev, found.ino)
        if found.nlink > 1 and key in self._links:
            self._put(parent, name, functools.partial(self._link, self._links[key], parent))
        else:
            self._put(parent, name, functools.partial(self._maker(found), parent, original))
        if found.nlink > 1:
            self._links.setdefault(key, path)

    def new_file(self, path: bytes) -> int:
        """A descriptor to write to of a new file `path`, whose parent must have been made."""
        parent, name = self._parent(path)
        return os.open(name, _NEW, 0o666, dir_fd=parent)

    def _maker(self, found: FileStat) -> Callable[[int, CopySource, bytes], None]:
        if found.is_file:
            return self._regular
        if found.is_symlink:
            return self._symlink
        if self._specials:
            return self._special
        raise NotCopied(errno.EINVAL, "a FIFO, socket or device: not created")

    def _put(self, parent: int, name: bytes, make: Callable[[bytes], None]) -> None:
        """Make an entry that is not there, or, with `replace`, in the place of another."""
        there = _status(parent, name)
        if there is None:
            make(name)
        elif stat.S_ISDIR(there.st_mode):
            raise IsADirectoryError(errno.EISDIR, "is there already, a directory")
        elif not self._replace:
            raise FileExistsError(errno.EEXIST, "is there already")
        elif (there.st_dev, there.st_ino) in self._forbidden:
            raise OSError(errno.EPERM, "is what is read, where nothing is written")
        else:
            new = b".layerfs-" + secrets.token_hex(8).encode()
            make(new)
            try:
                os.rename(new, name, src_dir_fd=parent, dst_dir_fd=parent)
            finally:  # rename(2) does nothing if both are names of one file
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(new, dir_fd=parent)

    # -- places --------------------------------------------------------------------------------

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        """The directory of an entry, as a descriptor open until the next call; and the entry's name."""
        directory, _, name = path.rpartition(b"/")
        if name in (b"", b".", b".."):
            raise ValueError(f"no name: {path!r}")
        if directory != self._at_path:
            fd = self._open(directory)
            os.close(self._at)
            self._at, self._at_path = fd, directory
        return self._at, name

    def _open(self, path: bytes) -> int:
        """Open a directory that was made here: from the current one, or, if that fails, from the top.

        A walk goes from one directory to its neighbours; opening each deep one from the top would be slow.
        """
        try:
            return self._go(os.dup(self._at), self._at_path, path)
        except OSError:
            return self._go(os.dup(self._top), b"", path)

    def _go(self, fd: int, at: bytes, path: bytes) -> int:
        """Open `path`, going up from the directory `at` (open as `fd`) to the common parent, then down."""
        while at and at != path and not path.startswith(at + b"/"):
            at = at.rpartition(b"/")[0]
            fd = self._enter(fd, b"..", at)
        for name in filter(None, path[len(at) :].split(b"/")):
            at = at + b"/" + name if at else name
            fd = self._enter(fd, name, at)
        return fd

    def _enter(self, fd: int, name: bytes, path: bytes) -> int:
        """Open `name` in `fd`, and close `fd`; raises `OSError` unless it is the directory made as `path`."""
        try:
            below = os.open(name, _DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        made = self._made.get(path)
        if made is None or made.identity != identity(below):
            os.close(below)
            raise OSError(errno.EXDEV, "is not the directory that was made here", os.fsdecode(path))
        return below

    # -- kinds ---------------------------------------------------------------------------------

    def _link(self, first: bytes, parent: int, name: bytes) -> None:
        directory, _, first_name = first.rpartition(b"/")
        fd = self._open(directory)
        try:
            os.link(first_name, name, src_dir_fd=fd, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(fd)

    def _regular(self, parent: int, original: CopySource, name: bytes) -> None:
        """Make a file that has no name until it is complete; without O_TMPFILE, it is removed on failure."""
        with original.tree.open(original.node) as source:
            fd, named = _create(parent, name)
            try:
                copy_content(source, fd)
                self._dress(fd, original)
                if not named:
                    os.link(b"/proc/self/fd/%d" % fd, name, dst_dir_fd=parent)
            except BaseException:
                if named:
                    os.unlink(name, dir_fd=parent)
                raise
            finally:
                os.close(fd)

    def _symlink(self, parent: int, original: CopySource, name: bytes) -> None:
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

    def _special(self, parent: int, original: CopySource, name: bytes) -> None:
        """Make a FIFO, socket or device; nobody may open it before its attributes are set."""
        found = original.stat
        os.mknod(name, found.kind, found.rdev, dir_fd=parent)
        try:
            fd = os.open(name, _HELD, dir_fd=parent)
            try:
                if os.fstat(fd).st_mode != found.kind:
                    raise OSError(errno.EXDEV, "is not what was made here")
                self._dress(b"/proc/self/fd/%d" % fd, original)
            finally:
                os.close(fd)
        except BaseException:
            os.unlink(name, dir_fd=parent)
            raise

    def _finish(self) -> None:
        """Set the attributes of the directories, inner ones first, as they may forbid to enter or write."""
        for path, made in reversed(self._made.items()):  # each directory was made after its parent
            if made.original is not None:
                try:
                    self._finish_one(path, made.original)
                except OSError as error:
                    self.unfinished.append((path, error))

    def _finish_one(self, path: bytes, original: CopySource) -> None:
        # from the parent, as a finished directory may not allow to go up from it
        parent, name = self._parent(path) if path else (self._top, b".")
        fd = self._enter(os.dup(parent), name, path)
        try:
            self._dress(fd, original)
        finally:
            os.close(fd)

    # -- attributes ----------------------------------------------------------------------------

    def _dress(self, place: int | bytes, original: CopySource) -> None:
        """Set the attributes: the owner first, as that clears set-ID bits and capabilities; times last."""
        found = original.stat
        mode = stat.S_IMODE(found.mode) & ~_SET_ID  # as cp(1): only the original owner keeps them
        with self._privilege("owner"):
            os.chown(place, found.uid, found.gid)
            mode = stat.S_IMODE(found.mode)
        for name, value in original.xattrs():
            with self._privilege(os.fsdecode(name)):
                os.setxattr(place, name, value)
        os.chmod(place, mode)
        with self._privilege("times"):
            os.utime(place, ns=(found.atime_ns, found.mtime_ns))

    @contextlib.contextmanager
    def _privilege(self, what: str) -> Iterator[None]:
        """Go on if the host refuses to set an attribute, and count it."""
        try:
            yield
        except OSError as error:
            if error.errno not in _NOT_TAKEN:
                raise
            self.not_kept[what] += 1


def _status(parent: int, name: bytes) -> os.stat_result | None:
    """The attributes of a name in a directory; None where there is nothing."""
    try:
        return os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        return None


def _create(parent: int, name: bytes) -> tuple[int, bool]:
    """A descriptor of a new file, and whether it has its name already."""
    try:
        return os.open(".", _NAMELESS, 0o600, dir_fd=parent), False
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):  # no O_TMPFILE here
            raise
    return os.open(name, _NEW, 0o600, dir_fd=parent), True
