"""A new file on the host that gets its name only when it is complete.

It is written without a name (O_TMPFILE) in its directory, so nothing is left if the process is killed.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from typing import TYPE_CHECKING, Self

from layerfs.views.place import BadTarget, Destination, naming, open_destination

if TYPE_CHECKING:
    from collections.abc import Collection

    from layerfs.layertar import Buffer

__all__ = ["NewFile"]

_NAMELESS = os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BUFFER = 1 << 20


class NewFile:
    """A context manager: the file gets its name at the end of the block, or is removed if the block fails."""

    def __init__(self, path: bytes, forbidden: Collection[tuple[int, int]], *, force: bool = False) -> None:
        """Begin the file `path`.

        Args:
            path: as the user typed it.
            forbidden: `(st_dev, st_ino)` of directories that it must not be below.
            force: whether it may replace a regular file.

        Raises:
            BadTarget: it exists already, or is in a directory where nothing may be written. OSError: the file
            cannot be made.
        """
        place = open_destination(path, forbidden)
        self._directory, self._path = place.fd, path
        try:
            with naming(path):
                self._name = _file_name(place)
                self._replaces = self._check(force=force, forbidden=forbidden)
                fd, self._part = self._create()
        except BaseException:
            os.close(self._directory)
            raise
        self._file = io.BufferedWriter(io.FileIO(fd, "wb"), _BUFFER)

    def __enter__(self) -> Self:
        """Write inside the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        """Give the file its name, or remove it."""
        try:
            if kind is None:
                with naming(self._path):
                    self._finish()
        finally:
            self._discard()

    def write(self, piece: Buffer) -> None:
        """Append `piece`; raises `OSError` that names the file."""
        with naming(self._path):
            self._file.write(piece)

    def flush(self) -> None:
        """Write what is still held back: then nothing but the name is missing."""
        with naming(self._path):
            self._file.flush()

    def _check(self, *, force: bool, forbidden: Collection[tuple[int, int]] = ()) -> bool:
        """Whether a file of this name is there to be replaced; raises `BadTarget` if it must not be."""
        try:
            found = os.lstat(self._name, dir_fd=self._directory)
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(found.st_mode):
            raise BadTarget("is there already, and no regular file")
        if (found.st_dev, found.st_ino) in forbidden:
            raise BadTarget("is what is read: nothing is written there")
        if not force:
            raise BadTarget("is there already; --force replaces it")
        return True

    def _create(self) -> tuple[int, bytes | None]:
        """A descriptor of a file without a name; without O_TMPFILE, of one with a temporary name."""
        mode = 0o666
        try:
            return os.open(".", _NAMELESS, mode, dir_fd=self._directory), None
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):  # no O_TMPFILE here
                raise
        part = self._other_name()
        return os.open(part, _NEW, mode, dir_fd=self._directory), part

    def _other_name(self) -> bytes:
        """A name in the file's directory that nothing else uses."""
        return b".%s.%s.part" % (self._name[:200], os.urandom(6).hex().encode())

    def _finish(self) -> None:
        self._file.flush()
        if self._part is None and not self._replaces:
            self._link(self._name)
            return
        if self._part is None:  # link(2) cannot replace a file; rename(2) can, atomically
            part = self._other_name()
            self._link(part)
            self._part = part
        if not self._replaces and self._check(force=False):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.rename(self._part, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        self._part = None

    def _link(self, name: bytes) -> None:
        os.link(b"/proc/self/fd/%d" % self._file.fileno(), name, dst_dir_fd=self._directory)

    def _discard(self) -> None:
        """Close everything, and remove a file that still has its temporary name."""
        try:
            self._file.raw.close()  # buffered data are not wanted any more, or are flushed already
        finally:
            if self._part is not None:
                os.unlink(self._part, dir_fd=self._directory)
            os.close(self._directory)


def _file_name(place: Destination) -> bytes:
    if place.name is None:
        raise BadTarget("is a directory")
    return place.name
