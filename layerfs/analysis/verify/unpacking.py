"""How engines unpack layers, as far as they do not do as Docker does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from layerfs.formats.unpacked import OPAQUE_MARKER, WHITEOUT

if TYPE_CHECKING:
    import os
    from collections.abc import Collection

    from layerfs.hostdir import HostDir

__all__ = ["KeptStat", "Unpacking", "is_marker_file", "marker_code"]


class KeptStat(Protocol):
    """Attributes that are kept beside entries, as by an engine that may not set them."""

    name: bytes
    """The extended attribute that has them."""

    def stat_of(self, directory: HostDir, name: bytes, found: os.stat_result) -> os.stat_result:
        """What an entry stands for, of which lstat(2) says `found`."""


class Unpacking(NamedTuple):
    """How an engine unpacks layers, where that is not as Docker does.

    Attributes:
        copies_up, marker_files, by_parts: see `Attributes`.
        rootless: likewise; engines whose marks are `user.overlay.*` are.
        root_modes: the modes that it gives `diff/` itself; none for those of other directories.
        kept: gives the attributes that are kept beside entries, where those on disk are not theirs.
    """

    copies_up: bool = False
    marker_files: bool = False
    by_parts: bool = False
    rootless: bool = False
    root_modes: Collection[int] = ()
    kept: KeptStat | None = None


def is_marker_file(directory: HostDir | None, name: bytes) -> bool:
    """Whether a whiteout, or a mark of opaque, is there as a file like any other."""
    try:
        return directory is not None and bool(directory.lstat(name))
    except OSError:
        return False


def marker_code(path: bytes) -> str | None:
    """The code of the finding for a file that no header names, and that is a mark; None for other files."""
    name = path.rpartition(b"/")[2]
    if not name.startswith(WHITEOUT):
        return None
    return "opaque-extra" if name == OPAQUE_MARKER else "whiteout-extra"
