"""The target of copies: a descriptor of a directory of the host that is not below the data root.

The user names it, so links on the way to it are followed. Whether it is below the data root is found out from
the descriptor, so it does not matter by which path.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import LayerfsError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


__all__ = [
    "BadTarget",
    "Destination",
    "identity",
    "naming",
    "open_destination",
    "open_target",
]

_ADDED_TO = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_DIRECTORY = _ADDED_TO | os.O_NOFOLLOW
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class BadTarget(ValueError):
    """Nothing may be written to this place; the message says why."""


class Destination(NamedTuple):
    """The target of a copy.

    Attributes:
        fd: a descriptor of a directory.
        name: the name to make or replace in it; None where the directory itself was named.
    """

    fd: int
    name: bytes | None


def open_target(path: bytes, forbidden: Collection[tuple[int, int]]) -> int:
    """A descriptor of the directory `path`, which is made (mode 0700) or must be empty.

    Args:
        path: as the user gave it; its last component must not be a symbolic link.
        forbidden: `(st_dev, st_ino)` of directories that it must neither be nor be below.

    Raises:
        BadTarget: it is not empty, no directory, a link, or in a directory where nothing may be written.
        OSError: the host refuses.
    """
    with naming(path):
        return _open_target(path.rstrip(b"/") or path, forbidden)


def _open_target(name: bytes, forbidden: Collection[tuple[int, int]]) -> int:
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


def open_destination(path: bytes, forbidden: Collection[tuple[int, int]]) -> Destination:
    """The place to which cp(1) would copy: into the directory `path`, or to that name in its parent.

    Args:
        path: as the user gave it; a link to a directory is one.
        forbidden: `(st_dev, st_ino)` of directories that it must neither be nor be below.

    Raises:
        BadTarget: it is in a directory where nothing may be written, or ends in a slash and is no directory.
        OSError: it cannot be opened; or its parent does not exist.
    """
    with naming(path):
        return _open_destination(path, forbidden)


@contextlib.contextmanager
def naming(path: bytes) -> Iterator[None]:
    """Put `path`, as the user knows it, into every `OSError` of the block, whatever part of it failed."""
    try:
        yield
    except LayerfsError:
        raise
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fsdecode(path)) from error


def _open_destination(path: bytes, forbidden: Collection[tuple[int, int]]) -> Destination:
    name: bytes | None = None
    try:
        fd = os.open(path, _ADDED_TO)
    except (FileNotFoundError, NotADirectoryError) as error:
        directory, name = os.path.split(path.rstrip(b"/"))
        if name in (b"", b".", b".."):
            raise
        if path.endswith(b"/") and isinstance(error, NotADirectoryError):
            raise BadTarget("is no directory") from error
        fd = os.open(directory or b".", _ADDED_TO)
    try:
        _check_place(fd, forbidden)
    except BaseException:
        os.close(fd)
        raise
    return Destination(fd, name)


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
        raise BadTarget("is not empty: give a new directory, or an empty one")


def _check_place(fd: int, forbidden: Collection[tuple[int, int]]) -> None:
    """Raise `BadTarget` if a directory above is forbidden; goes up by `..`, which is no link."""
    at, below = os.dup(fd), None
    try:
        while (here := identity(at)) != below:
            if here in forbidden:
                raise BadTarget("lies in the data root, where nothing is written")
            below, above = here, os.open("..", _PLACE, dir_fd=at)
            os.close(at)
            at = above
    finally:
        os.close(at)


def identity(fd: int) -> tuple[int, int]:
    """`(st_dev, st_ino)` of an open file or directory."""
    found = os.fstat(fd)
    return found.st_dev, found.st_ino
