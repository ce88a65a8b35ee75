"""Destinations of an image layout: a tar, or a directory of the host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, Self

from layerfs.formats.tarheader import Header
from layerfs.formats.tarpack import END, pack, padding
from layerfs.views.place import naming, open_target

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from layerfs.views.export.members import Write

__all__ = ["Destination", "Directory", "Tar"]

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BUFFER = 1 << 20


class Destination(Protocol):
    """Takes files one after the other; their names are relative, and made by `layout`."""

    def directory(self, name: str) -> None:
        """Make a directory."""

    def file(self, name: str, size: int, produce: Callable[[Write], object]) -> None:
        """Make a file of `size` bytes; `produce` is given a function that writes them."""


class Tar:
    """A tar without times and owners, so that the same files give the same bytes."""

    def __init__(self, write: Write) -> None:
        """Write through `write`."""
        self._write = write

    def __enter__(self) -> Self:
        """Add files inside the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        """End the archive if the block succeeded: an unfinished one must not look whole."""
        if kind is None:
            self._write(END)

    def directory(self, name: str) -> None:
        """Add a directory."""
        self._write(pack(Header(name.encode() + b"/", b"5", 0o755, 0, 0, 0, 0)))

    def file(self, name: str, size: int, produce: Callable[[Write], object]) -> None:
        """Add a file."""
        self._write(pack(Header(name.encode(), b"0", 0o644, 0, 0, size, 0)))
        produce(self._write)
        self._write(padding(size))


class Directory:
    """A new or empty directory; everything made in it is removed if the block fails."""

    def __init__(self, path: bytes, forbidden: Collection[tuple[int, int]]) -> None:
        """Open or make `path`; raises as `place.open_target`."""
        self._existed = os.path.isdir(path)
        self._path = path
        self._top = open_target(path, forbidden)
        self._made: list[tuple[str, bool]] = []

    def __enter__(self) -> Self:
        """Add files inside the block."""
        if not self._existed:
            os.fchmod(self._top, 0o777 & ~_umask())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        """Keep the files, or remove them if the block failed."""
        try:
            if kind is not None:
                self._remove()
        finally:
            os.close(self._top)

    def directory(self, name: str) -> None:
        """Make a directory."""
        with naming(self._place(name)):
            os.mkdir(name, dir_fd=self._top)
        self._made.append((name, True))

    def file(self, name: str, size: int, produce: Callable[[Write], object]) -> None:
        """Make a file; its size is what `produce` writes."""
        del size
        with naming(self._place(name)):
            fd = os.open(name, _NEW, 0o666, dir_fd=self._top)
            self._made.append((name, False))
            with os.fdopen(fd, "wb", buffering=_BUFFER) as file:
                produce(file.write)

    def _place(self, name: str) -> bytes:
        return os.path.join(self._path, os.fsencode(name))

    def _remove(self) -> None:
        for name, is_directory in reversed(self._made):
            (os.rmdir if is_directory else os.unlink)(name, dir_fd=self._top)
        if not self._existed:
            os.rmdir(self._path)


def _umask() -> int:
    with open("/proc/self/status", "rb") as status:
        found = next(line for line in status if line.startswith(b"Umask:"))
    return int(found.split()[1], 8)
