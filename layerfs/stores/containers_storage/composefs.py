"""Layers of a composefs store: a table of contents says what they hold, a pool of objects has the contents.

`diff/` is no tree there, but the pool: a file's content is `<2 hex digits>/<62 hex digits>`, its sha256. The
image of an EROFS file system, `composefs-data/composefs.blob`, was made of the same table and is not needed.
It has whiteouts as ordinary files, so the engine shows them, and what they hide; here they mean what they
mean in every other layer.

Sources: containers/storage `pkg/chunked/dump/dump.go`, `pkg/chunked/storage_linux.go`,
`drivers/overlay/composefs.go`.
"""

from __future__ import annotations

import errno
import hashlib
import stat
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import reason
from layerfs.formats.chunkedtoc import parse_toc
from layerfs.formats.tarsplit import clean_name
from layerfs.formats.unpacked import WHITEOUT
from layerfs.formats.whiteouts import TRUSTED
from layerfs.hostdir import empty_file
from layerfs.tree.openfile import OpenFile
from layerfs.tree.originals import Originals
from layerfs.tree.weights import MOST

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.formats.chunkedtoc import TocEntry
    from layerfs.formats.tarheader import Header
    from layerfs.hostdir import HostDir
    from layerfs.tree.content import Content
    from layerfs.tree.original import Original

__all__ = ["BLOB", "ObjectFault", "TocTree", "check_objects", "object_path"]

BLOB = b"composefs-data"
"""The directory beside `diff/` that only layers of a composefs store have."""


def object_path(digest: str) -> bytes:
    """The path in the pool of the content whose sha256 is `digest`, in hexadecimal digits."""
    return f"{digest[:2]}/{digest[2:]}".encode()


class TocTree:
    """The entries of one layer, as an engine would have unpacked them, and its contents.

    Attributes:
        originals: the entries.
        faults: what no engine would have unpacked so, and what was made of it: a sentence each.
        table: see there.
        has_whiteouts: whether the engine shows another tree, as it takes whiteouts for files.
    """

    def __init__(
        self,
        pool: HostDir,
        entries: Iterable[TocEntry],
        most: int = MOST,
        table: Callable[[], tuple[str, bytes]] | None = None,
    ) -> None:
        """Unpack `entries` in memory; raises `FormatError`.

        Args:
            pool: the layer's `diff/`, which holds the objects.
            entries: in order.
            most: how many there may be.
            table: gives the path of the table of contents, and what is in it; raises `CorruptStore`.
        """
        self.table = table
        self.originals = Originals((), TRUSTED.opaque, most)
        self.has_whiteouts = False
        self._pool = pool
        self._digests: dict[int, str] = {}
        for header, digest in entries:
            self._add(header, digest)
        self.originals.settle()
        self.faults = tuple(self.originals.faults)

    def _add(self, header: Header, digest: str) -> None:
        if clean_name(header.name).rpartition(b"/")[2].startswith(WHITEOUT):
            self.has_whiteouts = True
        if header.is_hard_link:
            header = self._as_linked(header)
        made = self.originals.add(header, header.size)
        if made is not None and header.kind == stat.S_IFREG:
            self._digests[made.number] = digest

    def _as_linked(self, link: Header) -> Header:
        """A hard link with the attributes of what it links to: the engine takes none of its own."""
        found = self.originals.find(clean_name(link.linkname))
        if found is None:
            return link  # which is told as a fault
        return link._replace(
            mode=stat.S_IMODE(found.mode),
            uid=found.uid,
            gid=found.gid,
            mtime_ns=found.mtime_ns or 0,
            xattrs=dict(found.xattrs),
        )

    def content(self, original: Original) -> Content:
        """The content of a regular file; raises `OSError`, which names the object."""
        digest = self._digests.get(original.number, "")
        if not original.size and not digest:
            return OpenFile(empty_file())
        if not digest:
            raise OSError(errno.EIO, "the table of contents gives no digest of it")
        path = object_path(digest)
        try:
            found = OpenFile(self._pool.open_file(path))
        except FileNotFoundError as error:
            raise OSError(errno.EIO, f"its object is missing: {self._pool.name_of(path)}") from error
        if found.size != original.size:
            there = f"{found.size} bytes, not {original.size}"
            found.close()
            raise OSError(errno.EIO, f"its object was altered: {self._pool.name_of(path)} has {there}")
        return found

    def place(self, original: Original) -> bytes | None:
        """The path of an object in the pool."""
        digest = self._digests.get(original.number)
        return object_path(digest) if digest else None

    def statvfs(self) -> os.statvfs_result:
        """The file system the pool is on."""
        return self._pool.statvfs()


class ObjectFault(NamedTuple):
    """An object that is not what the table of contents says.

    Attributes:
        digest: what it is called, and its content should be: the sha256 in hexadecimal digits.
        name: the file, for messages.
        what: `missing`, `unreadable` or `content`.
        found: the sha256 of what is there, or why it cannot be read.
    """

    digest: str
    name: str
    what: str
    found: str


def check_objects(pool: HostDir, content: bytes) -> Iterator[ObjectFault]:
    """Every object of a layer that is missing or altered, each once; raises `FormatError` of the table.

    Args:
        pool: the layer's `diff/`.
        content: its table of contents.
    """
    seen: set[str] = set()
    for header, digest in parse_toc(content):
        if header.kind != stat.S_IFREG or not digest or digest in seen:
            continue
        seen.add(digest)
        path = object_path(digest)
        name, hasher = pool.name_of(path), hashlib.sha256()
        try:
            with OpenFile(pool.open_file(path)) as file:
                for piece in file.chunks():
                    hasher.update(piece)
        except FileNotFoundError:
            yield ObjectFault(digest, name, "missing", "")
        except OSError as error:
            yield ObjectFault(digest, name, "unreadable", error.strerror or reason(error))
        else:
            if hasher.hexdigest() != digest:
                yield ObjectFault(digest, name, "content", hasher.hexdigest())
