"""The snapshotters of a containerd root: which snapshots there are, and where the files of each lie.

A snapshotter is in use where it has a `metadata.db`; containerd makes the directory of each that it knows.

Sources: containerd `core/snapshots/storage/bolt.go`, `plugins/snapshots/overlay/overlay.go`,
`plugins/snapshots/native/native.go`.
"""

from __future__ import annotations

import errno
import functools
import os
from typing import TYPE_CHECKING

from layerfs.boltfile import read_boltfile
from layerfs.damage import attempt
from layerfs.errors import BrokenChain, CorruptStore, DataRootUnreadable, MalformedFile, MissingFile, reason
from layerfs.formats.snapshotdb import SnapshotDB
from layerfs.stores.sealed import SealedDirs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layerfs.formats.bolt import Bucket
    from layerfs.formats.errors import FormatError
    from layerfs.formats.snapshotdb import Snapshot
    from layerfs.hostdir import HostDir

__all__ = ["NATIVE", "OVERLAYFS", "Snapshotter", "read_snapshotters"]

OVERLAYFS, NATIVE = "overlayfs", "native"

_PREFIX = "io.containerd.snapshotter.v1."
_READ = {OVERLAYFS: "/fs", NATIVE: ""}
"""The snapshotters whose snapshots are directories, and where below its number each tree lies."""

_MOST = 500  # layers that overlayfs takes below one (Linux `fs/overlayfs/params.c`)


class Snapshotter:
    """One snapshotter of a containerd root.

    Attributes:
        name: as namespaces call it.
        path: its directory, relative to the root.
        is_whole: whether a snapshot is a whole tree, and no layer on others.
        is_readable: whether its snapshots are directories that can be read.
    """

    def __init__(
        self,
        root: HostDir,
        name: str,
        database: SnapshotDB,
    ) -> None:
        """The snapshotter called `name` below `root`, whose records are `database`."""
        self.name = name
        self.path = _PREFIX + name
        self.is_whole = name == NATIVE
        self.is_readable = name in _READ
        self._root = root
        self._database = database

    @property
    def all(self) -> Mapping[str, Snapshot]:
        """Every snapshot by its name."""
        return self._database.all

    def snapshot(self, name: str) -> Snapshot | None:
        """The snapshot of a name `<namespace>/<number>/<key>`."""
        return self._database.snapshot(name)

    def below(self, snapshot: Snapshot) -> tuple[Snapshot, ...]:
        """A snapshot and all that it stands on, base first.

        Raises:
            CorruptStore: one is missing, or is below itself.
        """
        found = [snapshot]
        seen = {snapshot.name}
        while found[-1].parent:
            at = found[-1]
            below = self.snapshot(at.parent)
            if below is None:
                raise MissingFile(self._record(at), "the snapshot below has no record", expected=at.parent)
            if below.name in seen or len(found) > _MOST:
                problem = "the snapshot is below itself" if below.name in seen else "too many snapshots"
                raise BrokenChain(self._record(at), problem, found=at.parent)
            seen.add(below.name)
            found.append(below)
        return tuple(reversed(found))

    def path_of(self, number: int) -> str:
        """The directory of a snapshot, as messages call it."""
        return self._root.name_of(f"{self.path}/snapshots/{number}")

    def numbers(self) -> dict[int, bytes]:
        """The directories of snapshots that there are, by number."""
        found = self._snapshots
        names = found.names() if found else []
        return {
            int(name): name for name in names if name.isdigit() and not (name[:1] == b"0" and len(name) > 1)
        }

    def leftovers(self) -> list[bytes]:
        """The other names among them, as `new-123456`; sorted."""
        found = self._snapshots
        return sorted(name for name in found.names() if not name.isdigit()) if found else []

    def tree(self, number: int) -> HostDir:
        """The files of a snapshot; a descriptor is held only while it is used. Raises `CorruptStore`."""
        path = f"{number}{_READ[self.name]}"
        name = self._root.name_of(f"{self.path}/snapshots/{path}")
        try:
            return self._layers.open(path)
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise MissingFile(name, "the snapshot's directory is missing") from error
            if error.errno in (errno.EACCES, errno.EPERM):
                raise DataRootUnreadable(name) from error
            raise MalformedFile(name, reason(error)) from error

    def _record(self, snapshot: Snapshot) -> str:
        return f"{self._root.name_of(self.path)}/metadata.db: {ascii(snapshot.name)[1:-1]}"

    @functools.cached_property
    def _snapshots(self) -> HostDir | None:
        try:
            return self._root.subdir(f"{self.path}/snapshots")
        except OSError:
            return None

    @functools.cached_property
    def _layers(self) -> SealedDirs:
        return SealedDirs(self._root, f"{self.path}/snapshots", self._snapshots)


def read_snapshotters(
    root: HostDir, report: Callable[[CorruptStore], None], state: str
) -> dict[str, Snapshotter]:
    """The snapshotters in use, by name, overlayfs first; what cannot be read is reported, and left out.

    Args:
        root: the containerd root.
        report: takes what is wrong.
        state: which state of the databases is read, as of `read_boltfile`.
    """
    names = [os.fsdecode(name).removeprefix(_PREFIX) for name in sorted(root.names()) if _is_one(root, name)]
    found: dict[str, Snapshotter] = {}
    for name in sorted(names, key=lambda name: (name != OVERLAYFS, name)):
        path = f"{_PREFIX}{name}/metadata.db"
        database = attempt(report, functools.partial(_opened, root, path, report, state))
        if database is not None:
            found[name] = Snapshotter(root, name, SnapshotDB(database, _told(root.name_of(path), report)))
    return found


def _is_one(root: HostDir, name: bytes) -> bool:
    if not name.startswith(_PREFIX.encode()):
        return False
    try:
        root.lstat(name + b"/metadata.db")
    except OSError:
        return False
    return True


def _opened(root: HostDir, path: str, report: Callable[[CorruptStore], None], state: str) -> Bucket:
    try:
        return read_boltfile(root, path, report, state).root
    except OSError as error:
        name = root.name_of(path)
        if error.errno in (errno.EACCES, errno.EPERM):
            raise DataRootUnreadable(name) from error
        raise MalformedFile(name, reason(error)) from error


def _told(name: str, report: Callable[[CorruptStore], None]) -> Callable[[FormatError], None]:
    """What reports damage of records as that of a file."""
    return lambda error: report(
        MalformedFile(name, error.problem, expected=error.expected, found=error.found)
    )
