"""What a tree needs from a layer: the `LayerSource` protocol.

`overlay.py` implements it for a layer's `diff/` directory, `archived.py` for one beside its archive.
Paths are bytes below the layer's root, without a leading slash; the root is `b""`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Hashable, Iterable

    from layerfs.tree.content import Content
    from layerfs.tree.node import FileStat
    from layerfs.tree.parents import Given

__all__ = ["NO_MARKS", "Entry", "LayerSource", "Marks", "StoredLayer", "Unmarked"]


class Entry(NamedTuple):
    """One entry of a layer's directory."""

    name: bytes
    stat: FileStat
    whiteout: bool


class Marks(NamedTuple):
    """What a directory of a layer says about the directories below it."""

    opaque: bool = False
    redirect: bytes | None = None


NO_MARKS = Marks()


class LayerSource(Protocol):
    """One layer's own tree. Methods raise `OSError` as the operating system gives it."""

    @property
    def label(self) -> str:
        """The layer's name in messages."""

    @property
    def identity(self) -> Hashable:
        """The same for sources that show the same: one directory, read in one way."""

    @property
    def root_is_opaque(self) -> bool:
        """Whether nothing of lower layers shows at all: never in overlayfs, which ignores a root's mark."""

    def lies_at(self, path: bytes) -> bytes:
        """Where what is at `path` lies below the place that `label` names: mostly just there."""

    def statvfs(self) -> os.statvfs_result:
        """The file system the layer lies on."""

    def entry(self, path: bytes) -> Entry | None:
        """The entry at `path`, or None where the layer has nothing there."""

    def scan(self, path: bytes) -> Iterable[Entry]:
        """Every entry of the directory at `path`, whiteouts included, in the layer's own order."""

    def marks(self, path: bytes) -> Marks:
        """The overlay marks of the directory at `path`."""

    def has_data(self, path: bytes, content: Content) -> bool:
        """Whether the regular file at `path`, open as `content`, has its own data: no metacopy."""

    def metacopy(self, path: bytes) -> Marks | None:
        """For a file that has attributes only: its marks (a redirect, perhaps); None for a whole file."""

    def readlink(self, path: bytes) -> bytes:
        """The target of the symbolic link at `path`."""

    def open(self, path: bytes) -> Content:
        """The content of the regular file at `path`."""

    def xattr_names(self, path: bytes) -> list[bytes]:
        """The extended attributes visible through the union."""

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """The value of one visible extended attribute, or None."""


class StoredLayer(LayerSource, Protocol):
    """A layer as it is stored: whiteouts are devices, marks are attributes, and every attribute shows."""

    def xattr_of_open(self, path: bytes, content: Content, name: bytes) -> bytes | None:
        """One extended attribute of the file at `path`, which is open as `content`."""

    def implied(self, path: bytes) -> Callable[[Given | None], None] | None:
        """For a directory that still lacks what lower layers give it: what takes this; see `tree.parents`."""


class Unmarked:
    """What every stored layer answers of overlayfs's marks: they mean nothing where they are plain data."""

    @property
    def root_is_opaque(self) -> bool:
        """No: a root is a directory like any other where marks are plain data."""
        return False

    def lies_at(self, path: bytes) -> bytes:
        """At its path."""
        return path

    def implied(self, path: bytes) -> Callable[[Given | None], None] | None:
        """None: a directory has all its attributes."""
        del path
        return None

    def marks(self, path: bytes) -> Marks:
        """None: marks are plain data here."""
        del path
        return NO_MARKS

    def has_data(self, path: bytes, content: Content) -> bool:
        """Always: a file's own bytes are shown."""
        del path, content
        return True

    def metacopy(self, path: bytes) -> Marks | None:
        """None: a file's own bytes are shown."""
        del path
        return None
