"""The outer container of an archive: its members by name, whether it is a tar or a directory.

Nothing leads out of it: names are cleaned, links are followed inside only, and of two members with one
name the last one counts, as for whoever unpacks it.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple, Protocol

from layerfs.errors import MalformedFile, reason
from layerfs.formats.tarindex import members
from layerfs.formats.tarsplit import clean_name
from layerfs.tree.stretch import Stretch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.formats.tarindex import TarMember
    from layerfs.hostdir import HostDir

__all__ = ["Blob", "DirectoryOuter", "Outer", "TarOuter"]

_MOST_LINKS = 40
_MOST_MEMBERS = 1 << 20
_MOST_SMALL = 32 << 20


class Blob(NamedTuple):
    """The bytes of one member.

    Attributes:
        label: its name in messages.
        fd: an open file that holds them; it stays open as long as the outer container.
        offset: where in it they begin.
        size: how many there are.
    """

    label: str
    fd: int
    offset: int
    size: int

    @property
    def content(self) -> Stretch:
        """The bytes to be read."""
        return Stretch.whole(self.fd, self.size, self.offset)

    def small(self) -> bytes:
        """All of them, of a document; raises `MalformedFile` where they are too many for one."""
        if self.size > _MOST_SMALL:
            raise MalformedFile(
                self.label, "too large", expected=f"at most {_MOST_SMALL} bytes", found=str(self.size)
            )
        try:
            return self.content.read()
        except OSError as error:
            raise MalformedFile(self.label, reason(error)) from error


class Outer(Protocol):
    """An archive or layout as a set of named blobs."""

    @property
    def label(self) -> str:
        """Its name in messages."""

    def names(self) -> Iterable[bytes]:
        """The cleaned names of its regular files and links."""

    def find(self, name: bytes) -> Blob | None:
        """The file of this name, links followed inside; None where there is none.

        Raises:
            MalformedFile: links lead out of it, or round in a circle.
        """


class TarOuter:
    """A tar that holds others."""

    def __init__(self, label: str, fd: int, size: int, offset: int = 0) -> None:
        """Read the headers of the tar in `fd`; raises `FormatError`."""
        self.label = label
        self._fd = fd
        self._members: dict[bytes, TarMember] = {}
        for member in members(lambda at, length: os.pread(fd, length, offset + at), size):
            name = clean_name(member.header.name)
            if name:
                self._members[name] = member
            if len(self._members) > _MOST_MEMBERS:
                raise MalformedFile(label, "too many members", expected=f"at most {_MOST_MEMBERS}")
        self._offset = offset

    def names(self) -> Iterable[bytes]:
        """The cleaned names of all members."""
        return self._members.keys()

    def find(self, name: bytes) -> Blob | None:
        """The member of this name; see `Outer`."""
        for _ in range(_MOST_LINKS):
            member = self._members.get(clean_name(name))
            if member is None:
                return None
            header = member.header
            if header.is_hard_link:
                name = header.linkname
            elif header.kind == stat.S_IFLNK:
                name = _target(self.label, name, header.linkname)
            elif header.kind == stat.S_IFREG and len(member.extents) <= 1 and not header.sparse:
                at = member.extents[0].offset if member.extents else 0
                return Blob(f"{self.label}:{os.fsdecode(name)}", self._fd, self._offset + at, member.size)
            else:
                return None
        raise MalformedFile(f"{self.label}:{os.fsdecode(name)}", "links that go round in a circle")


class DirectoryOuter:
    """A layout or an unpacked archive on disk."""

    def __init__(self, directory: HostDir) -> None:
        """Read `directory`."""
        self._directory = directory
        self._open: dict[bytes, Blob] = {}

    @property
    def label(self) -> str:
        """The directory's name in messages."""
        return self._directory.display

    def names(self) -> Iterable[bytes]:
        """What the directory holds at its top: enough to tell what it is."""
        return self._directory.names()

    def find(self, name: bytes) -> Blob | None:
        """The file of this name; see `Outer`."""
        for _ in range(_MOST_LINKS):
            name = clean_name(name)
            if name in self._open:
                return self._open[name]
            label = self._directory.name_of(name)
            try:
                if not stat.S_ISLNK(self._directory.lstat(name).st_mode):
                    return self._opened(name, label)
                name = _target(self.label, name, self._directory.readlink(name))
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR):
                    return None
                raise MalformedFile(label, reason(error)) from error
        raise MalformedFile(f"{self.label}:{os.fsdecode(name)}", "links that go round in a circle")

    def _opened(self, name: bytes, label: str) -> Blob:
        fd = self._directory.open_file(name)
        found = os.fstat(fd)
        self._open[name] = Blob(label, fd, 0, found.st_size)
        return self._open[name]


def _target(label: str, name: bytes, target: bytes) -> bytes:
    """What a symbolic link of an archive leads to; raises `MalformedFile` where that is outside of it."""
    parts = [] if target.startswith(b"/") else clean_name(name).split(b"/")[:-1]
    for part in target.split(b"/"):
        if part == b".." and not parts:
            raise MalformedFile(
                f"{label}:{os.fsdecode(name)}",
                "a link that leads out of the archive",
                found=os.fsdecode(target),
            )
        if part == b"..":
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)
