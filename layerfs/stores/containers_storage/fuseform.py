"""Layers that fuse-overlayfs stacks: their whiteouts and opaque marks, as the kernel would have them.

A whiteout is a file `.wh.NAME` beside the name, or a character device 0:0 of that name; a directory is opaque
by one of three attributes, or by a file `.wh..wh..opq` in it. A store has all of these, as what unpacks
images writes files, and containers leave devices and attributes. Names that begin with `.wh.` are never
shown. A name and its `.wh.` file in one layer are a whiteout.

`FuseLayer` stands where `RawLayer` would: a whiteout is a device, opaque is overlayfs's attribute. So the
union, and everything that asks for marks, reads it like any other layer.

Source: fuse-overlayfs `main.c` (load_dir, do_lookup_file, get_whiteout_name, is_directory_opaque,
can_access_xattr).
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

from layerfs.formats.unpacked import OPAQUE_MARKER, WHITEOUT
from layerfs.formats.whiteouts import OPAQUE, TRUSTED, USER
from layerfs.stores.containers_storage.overridden import OverriddenLayer
from layerfs.tree.lower import join

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.tree.content import Content
    from layerfs.tree.source import Entry

__all__ = ["FuseLayer"]

_OPAQUE_NAMES = (TRUSTED.opaque, USER.opaque, b"user.fuseoverlayfs.opaque")
"""The first of these that a directory has decides."""

_PRIVATE = (TRUSTED.prefix, USER.prefix, b"user.fuseoverlayfs.")
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


class FuseLayer(OverriddenLayer):
    """A `diff/` directory of a store whose mount program is fuse-overlayfs; to be read as `TRUSTED`."""

    @property
    def is_as_on_disk(self) -> bool:
        """Never: marks are shown as overlayfs has them."""
        return False

    @property
    def root_is_opaque(self) -> bool:
        """Whether nothing of lower layers shows at all: fuse-overlayfs asks the root like any directory."""
        return self._is_opaque(b"")

    def entry(self, path: bytes) -> Entry | None:
        """The entry at `path`, or None."""
        folder, _, name = path.rpartition(b"/")
        if name.startswith(WHITEOUT):
            return None
        marker = super().entry(join(folder, WHITEOUT + name)) if name else None
        return _whiteout(name, marker) if marker else super().entry(path)

    def scan(self, path: bytes) -> Iterable[Entry]:
        """Every entry of the directory at `path`."""
        shown: dict[bytes, Entry] = {}
        hidden: dict[bytes, Entry] = {}
        for entry in super().scan(path):
            if not entry.name.startswith(WHITEOUT):
                shown[entry.name] = entry
                continue
            name = entry.name[len(WHITEOUT) :]
            if name and not name.startswith(WHITEOUT):
                hidden[name] = _whiteout(name, entry)
        return (shown | hidden).values()

    def lies_at(self, path: bytes) -> bytes:
        """Of a whiteout that is a file beside the name, that file."""
        folder, _, name = path.rpartition(b"/")
        marker = join(folder, WHITEOUT + name)
        return marker if name and super().entry(marker) else path

    def marker(self, path: bytes, *, opaque: bool = False) -> bytes | None:
        """The `.wh.` file of a whiteout, or of an opaque directory without an attribute."""
        if opaque:
            return None if self.opaque_attribute(path) else join(path, OPAQUE_MARKER)
        found = self.lies_at(path)
        return None if found == path else found

    def opaque_attribute(self, path: bytes) -> bytes | None:
        """The first of the three attributes that a directory has."""
        found = super().xattr_names(path)
        return next((name for name in _OPAQUE_NAMES if name in found), None)

    def xattr_names(self, path: bytes) -> list[bytes]:
        """Every attribute that is no mark, and overlayfs's own on an opaque directory."""
        try:
            found = super().xattr_names(path)
        except FileNotFoundError:
            if self.entry(path) is None:
                raise
            return []  # a whiteout, which is on disk under another name
        names = [name for name in found if not name.startswith(_PRIVATE)]
        return [*names, TRUSTED.opaque] if self._is_opaque(path, found) else names

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """The value of one extended attribute."""
        if name != TRUSTED.opaque and name.startswith(_PRIVATE):
            return None
        try:
            if name == TRUSTED.opaque:
                return OPAQUE if self._is_opaque(path) else None
            return super().xattr(path, name)
        except FileNotFoundError:
            if self.entry(path) is None:
                raise
            return None  # as above

    def xattr_of_open(self, path: bytes, content: Content, name: bytes) -> bytes | None:
        """One extended attribute of the file at `path`, which is open as `content`."""
        return None if name.startswith(_PRIVATE) else super().xattr_of_open(path, content, name)

    def _is_opaque(self, path: bytes, names: Iterable[bytes] | None = None) -> bool:
        found = super().xattr_names(path) if names is None else names
        for name in _OPAQUE_NAMES:
            if name in found:
                return (super().xattr(path, name) or b"").startswith(OPAQUE)
        try:
            return self._directory.lstat(join(path, OPAQUE_MARKER)) is not None
        except OSError as error:
            if error.errno in _NOT_THERE:
                return False
            raise


def _whiteout(name: bytes, marker: Entry) -> Entry:
    """A whiteout of `name` as the kernel has it, with the owner and time of the marker."""
    found = marker.stat._replace(mode=stat.S_IFCHR, rdev=0, size=0, blocks=0, nlink=1)
    return marker._replace(name=name, stat=found)
