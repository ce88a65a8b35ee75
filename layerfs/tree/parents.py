"""Directories without a header in their layer's tar: containerd gives them what lower layers have there.

Mode, owner, time and attributes are those of the nearest lower layer that has the directory, as it was
unpacked there. Each layer is looked at alone: a mark of opaque hides nothing, but a whiteout, like
whatever else is no directory, ends the search.

Sources: containerd `pkg/archive/tar.go` (mkparent), `tar_unix.go` (copyDirInfo, copyUpXAttrs); continuity
`fs/path.go` (RootPath).
"""

from __future__ import annotations

import errno
import os
import threading
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from layerfs.tree.lower import join

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerfs.tree.source import StoredLayer

__all__ = ["Below", "Given", "Stack", "complete"]

_NOT_COPIED = b"trusted."
_MAX_SYMLINKS = 255
_one_at_a_time = threading.RLock()  # what is completed in one layer is completed in some below it too


class Given(NamedTuple):
    """What a directory passes on to the same one of a layer above.

    Attributes:
        mode: type and permissions.
        uid: numeric owner.
        gid: likewise.
        mtime_ns: kept only where nothing is made in the new directory.
        xattrs: those that are passed on: all but those of `trusted.`.
    """

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: Mapping[bytes, bytes]


class Stack:
    """Layers on each other, base first, that are asked what they give to those above.

    Every directory on the way is listed once in each layer. So it is known by name which layers have
    something there, and what a question costs does not grow with the number of layers.
    """

    def __init__(self) -> None:
        """Begin without a layer."""
        self._layers: list[StoredLayer] = []
        self._numbers: list[int] = []
        self._folders: dict[bytes, _Folder] = {}

    def __len__(self) -> int:
        """How many layers there are."""
        return len(self._layers)

    def add(self, layer: StoredLayer) -> None:
        """Put a layer on top."""
        self._numbers.append(len(self._layers))
        self._layers.append(layer)

    def given(self, path: bytes, top: int) -> Given | None:
        """What the directory at `path` of a layer takes of the lowest `top` layers; None if nothing.

        Raises:
            OSError: as a layer gives it.
        """
        number = top
        while (number := self._next(path, number)) >= 0:
            layer = self._layers[number]
            try:
                found = _followed(layer, path)
            except NotADirectoryError:
                return None
            if found is not None:
                return _given_by(layer, found)
        return None

    def _next(self, path: bytes, top: int) -> int:
        """The uppermost of the lowest `top` layers in which no name on the way to `path` is missing; or -1.

        It may be missing behind a link, or where a directory cannot be listed.
        """
        found, folder, having = -1, b"", self._numbers
        for name in path.split(b"/"):
            names = self._listed(folder, having, top)
            found = max(found, _last(names.others.get(name, ()), top), _last(names.unlisted, top))
            having = names.directories.get(name, [])
            folder = join(folder, name)
        return max(found, _last(having, top))

    def _listed(self, folder: bytes, having: Sequence[int], top: int) -> _Folder:
        """The names in a directory of those `having` it that are below `top`, and maybe of some above."""
        names = self._folders.setdefault(folder, _Folder())
        while names.count < len(having) and having[names.count] < top:
            number = having[names.count]
            names.count += 1
            try:
                for entry in self._layers[number].scan(folder):
                    kind = names.directories if entry.stat.is_dir else names.others
                    kind.setdefault(entry.name, []).append(number)
            except OSError:
                names.unlisted.append(number)
        return names


class _Folder:
    """The names in one directory: which layers have each, by their numbers, ascending."""

    def __init__(self) -> None:
        self.directories: dict[bytes, list[int]] = {}
        self.others: dict[bytes, list[int]] = {}
        self.unlisted: list[int] = []
        self.count = 0  # layers that were listed


def _last(numbers: Sequence[int], top: int) -> int:
    """The last of ascending numbers that is less than `top`; else -1."""
    place = bisect_left(numbers, top)
    return numbers[place - 1] if place else -1


class Below:
    """A layer that others stand on, and what it stands on itself."""

    def __init__(self, layer: StoredLayer, below: Callable[[], Below | None]) -> None:
        """Have `layer`; `below` is asked once, when the search goes on, and tells None at the base."""
        self.layer = layer
        self._ask: Callable[[], Below | None] | None = below
        self._below: Below | None = None

    def below(self) -> Below | None:
        """What it stands on."""
        if self._ask:
            self._below, self._ask = self._ask(), None
        return self._below


def complete(layer: StoredLayer, path: bytes, below: Callable[[], Below | None]) -> None:
    """Give the directory at `path` of a layer, if it has no header, what lower layers have.

    Those that it depends on and that have none either are completed before it: each is searched for once.

    Args:
        layer: has the directory.
        path: where it lies there.
        below: tells what the layer stands on.

    Raises:
        OSError: as a layer gives it.
    """
    with _one_at_a_time:
        pending = [(layer, path, below)]  # no recursion: there may be many layers, and deep paths
        while pending:
            layer, path, below = pending[-1]
            folder = path.rpartition(b"/")[0]
            taking = layer.implied(path)
            if taking is None:
                pending.pop()
            elif layer.implied(folder):
                pending.append((layer, folder, below))
            elif (found := _nearest(below(), path)) is None:
                taking(None)
            elif (place := found[0]).layer.implied(found[1]):
                pending.append((place.layer, found[1], place.below))
            else:
                taking(_given_by(place.layer, found[1]))


def _nearest(place: Below | None, path: bytes) -> tuple[Below, bytes] | None:
    """The uppermost layer that has the directory at `path`, and where it lies there."""
    while place is not None:
        try:
            found = _followed(place.layer, path)
        except NotADirectoryError:
            return None
        if found is not None:
            return place, found
        place = place.below()
    return None


def _followed(layer: StoredLayer, path: bytes) -> bytes | None:
    """Where the directory at `path` of a layer lies, links inside it followed; None where there is nothing.

    Raises:
        NotADirectoryError: something else is there, or on the way: then containerd refuses the layer.
    """
    at, links = b"", 0
    pending = path.split(b"/")[::-1]
    while pending:
        name = pending.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            at = at.rpartition(b"/")[0]
            continue
        here = join(at, name)
        if not layer.implied(here):  # such a directory's own entry would be completed first
            entry = layer.entry(here)
            if entry is None:
                return None
            if entry.stat.is_symlink and links < _MAX_SYMLINKS:
                links += 1
                target = layer.readlink(here)
                pending += target.split(b"/")[::-1]
                at = b"" if target.startswith(b"/") else at
                continue
            if not entry.stat.is_dir:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        at = here
    return at


def _given_by(layer: StoredLayer, path: bytes) -> Given | None:
    entry = layer.entry(path)
    if entry is None:
        return None
    names = (name for name in layer.xattr_names(path) if not name.startswith(_NOT_COPIED))
    values = ((name, layer.xattr(path, name)) for name in names)
    xattrs = {name: value for name, value in values if value is not None}
    return Given(entry.stat.mode, entry.stat.uid, entry.stat.gid, entry.stat.mtime_ns, xattrs)
