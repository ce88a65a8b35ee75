"""The members of an archive by name, for a tar and for a directory.

Names are cleaned, and links are followed only inside, so nothing leads out of it. Of two members with one
name the last one counts, as if it were unpacked.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple, Protocol

from layerfs.errors import MalformedFile, reason
from layerfs.formats.errors import FormatError
from layerfs.formats.tarindex import members, sole_files
from layerfs.formats.tarsplit import clean_name
from layerfs.tree.pooledfile import PooledFile
from layerfs.tree.stretch import Stretch
from layerfs.witness import LISTENERS, tell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from layerfs.formats.tarindex import TarMember
    from layerfs.hostdir import HostDir
    from layerfs.tree.pooledfile import FilePool, Readable

__all__ = ["MOST_SMALL", "Blob", "DirectoryOuter", "Outer", "TarOuter"]

_MOST_LINKS = 40
_MOST_MEMBERS = 1 << 21
_MOST_REPEATED = 100
MOST_SMALL = 32 << 20
"""The most bytes of a document."""


class Blob(NamedTuple):
    """The bytes of one member.

    Attributes:
        label: its name in messages.
        file: the file that has them.
        offset: where they begin in it.
        size: their number.
        place: the member's own name, links followed.
    """

    label: str
    file: Readable
    offset: int
    size: int
    place: bytes

    @property
    def content(self) -> Stretch:
        """The bytes, readable at offsets."""
        return Stretch.whole(self.file, self.size, self.offset)

    def small(self) -> bytes:
        """All bytes of a document; raises `MalformedFile` if it is too large."""
        if self.size > MOST_SMALL:
            raise MalformedFile(
                self.label, "too large", expected=f"at most {MOST_SMALL} bytes", found=str(self.size)
            )
        try:
            content = self.content.read()
        except OSError as error:
            raise MalformedFile(self.label, reason(error)) from error
        if LISTENERS:
            tell(self.label, content)
        return content


class Outer(Protocol):
    """An archive or layout as a set of named blobs.

    Attributes:
        label: its name in messages.
        fault: where and why its members could not be read to the end; None if they could.
        repeated: names that several members have, a hundred at most; the last one counts.
    """

    label: str
    fault: MalformedFile | None
    repeated: tuple[bytes, ...]

    def names(self) -> Iterable[bytes]:
        """The cleaned names of its regular files and links, as far as they are known beforehand."""

    def below(self, folder: bytes) -> Iterable[bytes]:
        """The names of the files and links in one folder, without the folder's name."""

    def find(self, name: bytes) -> Blob | None:
        """The file of this name, following links inside; None if there is none.

        Raises:
            MalformedFile: links lead out of it, or form a cycle; or it is no regular file.
        """


class TarOuter:
    """A tar with blobs in it.

    Attributes:
        label, fault, repeated: see `Outer`.
        whole: the tar itself.
        tops: the first components of all names, by which a root file system is recognised.
    """

    def __init__(self, label: str, file: Readable, begin: int, size: int) -> None:
        """Read the headers of the tar in `file`; raises `MalformedFile` if it is none."""
        self.label = label
        self.fault: MalformedFile | None = None
        self.whole = Blob(label, file, begin, size, b"")
        self.tops: set[bytes] = set()
        self._file = file
        # for a file its offset and size, for a link its target: this takes a third of a header's memory
        self._places: dict[bytes, tuple[int, int] | _Link | None] = {}
        repeated: dict[bytes, None] = {}
        try:
            for member in members(lambda at, length: file.pread(length, at), size, begin):
                self._add(member, repeated)
        except FormatError as error:
            self.fault = MalformedFile(label, error.problem, expected=error.expected, found=error.found)
            if not self.tops:
                raise self.fault from error
        except OSError as error:
            raise MalformedFile(label, reason(error)) from error
        self.repeated = tuple(repeated)

    def _add(self, member: TarMember, repeated: dict[bytes, None]) -> None:
        name, header = clean_name(member.header.name), member.header
        if not name:
            return
        self.tops.add(name.split(b"/", 1)[0])
        if header.kind == stat.S_IFDIR:
            return
        if name in self._places and len(repeated) < _MOST_REPEATED:
            repeated[name] = None
        if header.is_hard_link or header.kind == stat.S_IFLNK:
            self._places[name] = _Link(header.linkname, symbolic=not header.is_hard_link)
        elif header.kind == stat.S_IFREG and len(member.extents) <= 1 and not header.sparse:
            self._places[name] = (member.extents[0].offset if member.extents else 0, member.size)
        elif header.kind:
            self._places[name] = None
        if len(self._places) > _MOST_MEMBERS:
            raise FormatError("too many members", expected=f"at most {_MOST_MEMBERS}")

    def names(self) -> Iterable[bytes]:
        """The cleaned names of all members."""
        return self._places.keys()

    def below(self, folder: bytes) -> Iterable[bytes]:
        """See `Outer`."""
        prefix = folder + b"/"
        found = (name[len(prefix) :] for name in self._places if name.startswith(prefix))
        return [name for name in found if b"/" not in name]

    def find(self, name: bytes) -> Blob | None:
        """The member of this name; see `Outer`."""
        for _ in range(_MOST_LINKS):
            name = clean_name(name)
            if name not in self._places:
                return None
            place = self._places[name]
            label = f"{self.label}:{os.fsdecode(name)}"
            if place is None:
                raise MalformedFile(label, "no regular file")
            if not isinstance(place, _Link):
                return Blob(label, self._file, *place, name)
            name = _target(self.label, name, place.target) if place.symbolic else place.target
        raise MalformedFile(f"{self.label}:{os.fsdecode(name)}", "links that go round in a circle")

    def files(self) -> Mapping[bytes, bytes]:
        """As `sole_files`, for who wants to read it with other tools; read anew, as few ask.

        Nothing where the tar is damaged, which was told when it was opened.
        """
        whole = self.whole
        try:
            return sole_files(
                members(lambda at, length: whole.file.pread(length, at), whole.size, whole.offset)
            )
        except (FormatError, OSError):
            return {}

    def forget(self) -> None:
        """Free the names, which for a root file system are those of all entries."""
        self._places = {}


class _Link(NamedTuple):
    """A member that is a link to another."""

    target: bytes
    symbolic: bool


class DirectoryOuter:
    """A layout or an unpacked archive on disk; see `Outer` for its attributes."""

    fault: MalformedFile | None = None
    repeated: tuple[bytes, ...] = ()

    def __init__(self, directory: HostDir, pool: FilePool) -> None:
        """Read `directory`; `pool` keeps its files open."""
        self.label = directory.display
        self._directory = directory
        self._pool = pool
        self._known: dict[bytes, Blob] = {}

    def names(self) -> Iterable[bytes]:
        """The names at the top of the directory, which are enough to tell its form."""
        return self._directory.names()

    def below(self, folder: bytes) -> Iterable[bytes]:
        """See `Outer`; nothing if there is no such folder."""
        try:
            with self._directory.subdir(folder) as found:
                return found.names()
        except OSError:
            return []

    def find(self, name: bytes) -> Blob | None:
        """The file of this name; see `Outer`."""
        for _ in range(_MOST_LINKS):
            name = clean_name(name)
            if name in self._known:
                return self._known[name]
            label = self._directory.name_of(name)
            try:
                if not stat.S_ISLNK(self._directory.lstat(name).st_mode):
                    return self._opened(name, label)
                name = _target(self.label, name, self._directory.readlink(name))
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR):
                    return None
                if error.errno == errno.ELOOP:
                    raise MalformedFile(label, "reached through a symbolic link: not followed") from error
                raise MalformedFile(label, reason(error)) from error
        raise MalformedFile(f"{self.label}:{os.fsdecode(name)}", "links that go round in a circle")

    def _opened(self, name: bytes, label: str) -> Blob:
        """A blob of the present file; if the file is replaced later, reading fails."""
        fd = self._directory.open_file(name)
        first = os.fstat(fd)

        def again() -> int:
            fd = self._directory.open_file(name)
            now = os.fstat(fd)
            if (now.st_dev, now.st_ino, now.st_size) != (first.st_dev, first.st_ino, first.st_size):
                os.close(fd)
                raise OSError(errno.EIO, f"{label}: replaced while it was in use")
            return fd

        self._known[name] = Blob(label, PooledFile(self._pool, again, fd), 0, first.st_size, name)
        return self._known[name]


def _target(label: str, name: bytes, target: bytes) -> bytes:
    """The target of a symbolic link in an archive; raises `MalformedFile` if it is outside."""
    parts = name.split(b"/")[:-1]
    outside = target.startswith(b"/")
    for part in target.split(b"/"):
        if part == b"..":
            outside = outside or not parts
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    if outside:
        raise MalformedFile(
            f"{label}:{os.fsdecode(name)}", "a link that leads out of the archive", found=os.fsdecode(target)
        )
    return b"/".join(parts)
