"""Writes a tree as a tar, as `docker export` and `docker commit` do.

Members are in the order of their names, a hard link after the file's first name; times are in whole seconds;
`security.capability` is the only extended attribute; sockets are left out.

Source: moby `pkg/archive/archive.go` (TarWithOptions, addTarFile), `archive_linux.go` (ConvertWrite).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, TypeAlias

from layerfs.errors import TreeError, UnreadableEntry
from layerfs.formats.tarheader import Header
from layerfs.formats.tarpack import END, pack, padding
from layerfs.formats.whiteouts import OPAQUE
from layerfs.tree.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from layerfs.formats.whiteouts import Dialect
    from layerfs.layertar import Buffer
    from layerfs.tree.content import Content
    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree

__all__ = ["TreeTar", "Write"]

Write: TypeAlias = "Callable[[Buffer], object]"

_TYPES = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}
_LINK, _FILE = b"1", b"0"
_SECOND = 1_000_000_000
_CHUNK = 1 << 20
_CAPABILITY = b"security.capability"
_REVISION_AT, _REVISION_2, _REVISION_3, _LENGTH_2 = 3, 2, 3, 20


class TreeTar:
    """Writes one tree as a tar."""

    def __init__(
        self,
        tree: UnionTree,
        write: Write,
        *,
        whiteouts: Dialect | None = None,
        content: Callable[[Node], Content] | None = None,
        skip: Callable[[TreeError], object] | None = None,
        top: Node | None = None,
    ) -> None:
        """Write `tree`.

        Args:
            tree: a union; or, with `whiteouts`, a single layer as it is on disk.
            write: called with each piece of the tar.
            whiteouts: the dialect of a layer: its whiteouts and opaque marks become `.wh.` members.
            content: opens a regular file; by default `tree` does.
            skip: called with the error of an entry that cannot be read, and is left out; by default the error
                is raised.
            top: the directory whose entries are written, named below it; by default the root.
        """
        self._tree = tree
        self._top = top or tree.root
        self._begin = len(self._top.path.rstrip(b"/")) + 1
        self._write = write
        self._whiteouts = whiteouts
        self._open = content or tree.open
        self._skip = skip
        self._first: dict[Hashable, bytes] = {}
        self._buffer = memoryview(bytearray(_CHUNK))

    def write_all(self) -> None:
        """Write the whole tar, end included; raises `TreeError` if something cannot be read."""
        for visit in walk(self._tree, self._top):
            try:
                if visit.node is not self._top:
                    self._add(visit.node)
                if visit.problem:
                    raise visit.problem
            except TreeError as error:
                if self._skip is None:
                    raise
                self._skip(error)
        self._write(END)

    def _add(self, node: Node) -> None:
        """Write one entry; of an entry that cannot be read, nothing is written."""
        kind = _TYPES.get(node.stat.kind)
        if kind is None:  # a socket
            return
        header = self._header(node, kind)
        if self._whiteouts is not None and kind == b"3" and header.device == (0, 0):
            directory, slash, name = header.name.rpartition(b"/")
            header = header._replace(name=directory + slash + b".wh." + name, type=_FILE, mode=0o600)
        if header.type == _FILE and header.size:
            self._regular(node, header)
            return
        self._write(pack(header))
        if self._whiteouts is not None and node.is_dir and self._is_opaque(node, self._whiteouts):
            marker = Header(header.name + b".wh..wh..opq", _FILE, header.mode & 0o777, *header[3:5], 0, 0)
            self._write(pack(marker))

    def _header(self, node: Node, kind: bytes) -> Header:
        found = node.stat
        name = node.path[self._begin :]
        header = Header(
            name + b"/" if node.is_dir else name,
            kind,
            found.mode,
            found.uid,
            found.gid,
            found.size if kind == _FILE else 0,
            found.mtime_ns // _SECOND * _SECOND,
            self._tree.readlink(node) if found.is_symlink else b"",
            (os.major(found.rdev), os.minor(found.rdev)) if kind in b"34" else (0, 0),
        )
        if capability := self._capability(node):
            header = header._replace(xattrs={_CAPABILITY: capability})
        if not node.is_dir and found.nlink > 1:
            first = self._first.setdefault((found.dev, found.ino), name)
            if first != name:
                header = header._replace(type=_LINK, linkname=first, size=0)
        return header

    def _capability(self, node: Node) -> bytes | None:
        """The file's capabilities, without the root ID of a user namespace, which means nothing elsewhere."""
        value = self._tree.xattr(node, _CAPABILITY)
        if value and value[_REVISION_AT : _REVISION_AT + 1] == bytes([_REVISION_3]):
            revision = bytes([_REVISION_2])
            return value[:_REVISION_AT] + revision + value[_REVISION_AT + 1 : _LENGTH_2]
        return value

    def _is_opaque(self, node: Node, dialect: Dialect) -> bool:
        return self._tree.xattr(node, dialect.opaque) == OPAQUE

    def _regular(self, node: Node, header: Header) -> None:
        """Write a file with content: exactly as many bytes as its header says."""
        with self._open(node) as file:
            self._write(pack(header))
            done = 0
            while done < header.size:
                try:
                    count = file.read_into(self._buffer[: header.size - done], done)
                except OSError as error:
                    raise UnreadableEntry(node.path, error.strerror) from error
                if not count:
                    raise UnreadableEntry(node.path, "became shorter while it was read")
                self._write(self._buffer[:count])
                done += count
        self._write(padding(header.size))
