"""Directories that stay open while entries in them come by, as a tar goes through its tree."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from layerfs.errors import TreeError
from layerfs.tree.overlay import RawLayer
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from layerfs.hostdir import HostDir

__all__ = ["HeldDirs"]

_HELD = 16
_SHORT = 1 << 12  # bytes of a path; how deep a longer one may go is for `HostDir.subdir` to say
_LEADS_AWAY = (errno.ELOOP, errno.ENOTDIR)


class HeldDirs:
    """The directories of a layer that were asked for last; they are not to be closed."""

    def __init__(self, top: HostDir) -> None:
        """Below `top`."""
        self._top = top
        self._held: dict[bytes, HostDir] = {}

    def at(self, path: bytes) -> HostDir:
        """The directory at `path`, from the one it is in if that is held: a way of one step.

        Raises:
            OSError: as `HostDir.subdir`.
        """
        held = self._held
        found = held.pop(path, None)
        if found is None:
            parent, _, name = path.rpartition(b"/")
            above = held.get(parent) if name and len(path) < _SHORT else None
            found = self._top.subdir(path) if above is None else above.below(name)
            if len(held) >= _HELD:
                del held[next(iter(held))]
        held[path] = found  # behind those that were asked for before
        return found

    def resolve(self, path: bytes) -> tuple[HostDir, bytes]:
        """The directory at `path`, or the one of this layer to which links on the way lead; and where it is.

        Raises:
            OSError: as `HostDir.subdir`.
        """
        try:
            return self.at(path), path
        except OSError as error:
            if error.errno not in _LEADS_AWAY:
                raise
            try:
                place = UnionTree([RawLayer(self._top)]).resolve(path).part.path
                return self._top.subdir(place), place
            except (TreeError, OSError):
                raise error from None
