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
from layerfs.errors import CorruptStore, DataRootUnreadable, MalformedFile, MissingFile, reason
from layerfs.formats.snapshotdb import ACTIVE, Snapshot, SnapshotDB
from layerfs.stores.containerd.diskusage import disk_usage
from layerfs.stores.sealed import SealedDirs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from layerfs.formats.bolt import Bucket
    from layerfs.formats.errors import FormatError
    from layerfs.hostdir import HostDir

__all__ = ["NATIVE", "OVERLAYFS", "Snapshotter", "database_name", "has_database", "read_snapshotters"]

OVERLAYFS, NATIVE = "overlayfs", "native"

_PREFIX = "io.containerd.snapshotter.v1."
_READ = {OVERLAYFS: "/fs", NATIVE: ""}
"""The snapshotters whose snapshots are directories, and where below its number each tree lies."""

_MOST_DIGITS = 20  # of a number of 64 bits


class Snapshotter:
    """One snapshotter of a containerd root.

    Attributes:
        name: as namespaces call it.
        path: its directory, relative to the root.
        is_whole: whether a snapshot is a whole tree, and no layer on others.
        is_readable: whether its snapshots are directories that can be read.
        files: where in the directory of a snapshot its files are: nothing, or a name after a slash.
        has_records: whether its `metadata.db` is there and can be read.
    """

    has_records = True

    def __init__(
        self,
        root: HostDir,
        name: str,
        database: SnapshotDB,
        report: Callable[[CorruptStore], None],
    ) -> None:
        """The snapshotter called `name` below `root`, whose records are `database`; `report` takes damage."""
        self.name = name
        self.path = _PREFIX + name
        self.is_whole = name == NATIVE
        self.is_readable = name in _READ
        self.files = _READ.get(name, "")
        self._root = root
        self._database = database
        self._report = report

    @property
    def database_name(self) -> str:
        """Its `metadata.db`, as messages call it."""
        return database_name(self._root, self.name)

    @functools.cached_property
    def all(self) -> Mapping[str, Snapshot]:
        """Every snapshot by its name, also those whose record is lost; that is reported."""
        for snapshot in self._database.lost.values():
            self._tell_lost(snapshot)
        return {**self._database.lost, **self._database.all}

    def has_record(self, name: str) -> bool:
        """Whether there is a sound record of a name."""
        return self._database.snapshot(name) is not None

    def snapshot(self, name: str) -> Snapshot | None:
        """The snapshot of a name `<namespace>/<number>/<key>`; where its record is lost, that is reported."""
        found = self._database.snapshot(name)
        if found is None and (found := self._database.lost.get(name)):
            self._tell_lost(found)
        return found

    def _tell_lost(self, snapshot: Snapshot) -> None:
        used = f"it is snapshot {snapshot.number} by its links with others"
        name = self.record_name(snapshot.name)
        self._report(MissingFile(name, "there is no sound record of the snapshot").instead(used))

    def by_key(self, namespace: str, key: str) -> Snapshot | None:
        """The snapshot that a namespace made last for a key, by the names here alone."""
        names = self._by_key.get((namespace, key))
        return self.snapshot(names) if names else None

    @functools.cached_property
    def _by_key(self) -> Mapping[tuple[str, str], str]:
        found: dict[tuple[str, str], tuple[int, str]] = {}
        for name in {*self._database.names(), *self._database.lost}:
            namespace, _, rest = name.partition("/")
            number, _, key = rest.partition("/")
            at = namespace, key
            made = int(number) if number.isdecimal() and len(number) < _MOST_DIGITS else 0
            found[at] = max(found.get(at, (-1, "")), (made, name))
        return {at: name for at, (_, name) in found.items()}

    def path_of(self, number: int) -> str:
        """The directory of a snapshot, as messages call it."""
        return self._root.name_of(f"{self.path}/snapshots/{number}")

    def strangers(self) -> Iterator[tuple[str, int | None]]:
        """The leftovers' paths, and the bytes on disk of each; None where these cannot be counted."""
        for name in self.leftovers():
            path = os.fsencode(f"{self.path}/snapshots/") + name
            try:
                with self._root.subdir(path) as directory:
                    size: int | None = disk_usage(directory)
            except OSError:
                size = None
            yield self._root.name_of(path), size

    @functools.cached_property
    def numbers(self) -> Mapping[int, bytes]:
        """The directories of snapshots that there are, by number; read once."""
        found = self._snapshots
        names = found.names() if found else []
        return {
            int(name): name for name in names if name.isdigit() and not (name[:1] == b"0" and len(name) > 1)
        }

    def strays(self) -> list[Snapshot]:
        """The directories that no record is of, as snapshots without a name; by number."""
        known = {snapshot.number for snapshot in self.all.values()}
        there = sorted(number for number in self.numbers if number not in known)
        return [Snapshot("", number, ACTIVE, "", None, None, {}) for number in there]

    def leftovers(self) -> list[bytes]:
        """The other names among them, as `new-123456`; sorted."""
        found = self._snapshots
        return sorted(name for name in found.names() if not name.isdigit()) if found else []

    def tree(self, number: int) -> HostDir:
        """The files of a snapshot; a descriptor is held only while it is used. Raises `CorruptStore`."""
        path = f"{number}{self.files}"
        name = self._root.name_of(f"{self.path}/snapshots/{path}")
        try:
            return self._layers.open(path)
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise MissingFile(name, "the snapshot's directory is missing") from error
            if error.errno in (errno.EACCES, errno.EPERM):
                raise DataRootUnreadable(name) from error
            raise MalformedFile(name, reason(error)) from error

    def record_name(self, name: str) -> str:
        """The record of a name, as messages call it."""
        return f"{self.database_name}: {ascii(name)[1:-1]}"

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
    """The snapshotters in use, by name, overlayfs first, also those whose records are lost; that is reported.

    Args:
        root: the containerd root.
        report: takes what is wrong.
        state: which state of the databases is read, as of `read_boltfile`.
    """
    there = (os.fsdecode(name) for name in sorted(root.names()))
    names = [name.removeprefix(_PREFIX) for name in there if name.startswith(_PREFIX)]
    found: dict[str, Snapshotter] = {}
    for name in sorted(names, key=lambda name: (name != OVERLAYFS, name)):
        path = _database_of(name)
        database = None
        if has_database(root, name):
            database = attempt(report, functools.partial(_opened, root, path, report, state))
        records = SnapshotDB(database, _told(root.name_of(path), report))
        snapshotter = Snapshotter(root, name, records, report)
        snapshotter.has_records = database is not None
        if snapshotter.has_records or (snapshotter.is_readable and snapshotter.numbers):
            found[name] = snapshotter
    return found


def has_database(root: HostDir, name: str) -> bool:
    """Whether the snapshotter called `name` has a `metadata.db`, sound or not."""
    if "/" in name or "\0" in name:
        return False
    try:
        root.lstat(_database_of(name))
    except OSError:
        return False
    return True


def database_name(root: HostDir, name: str) -> str:
    """The `metadata.db` of a snapshotter, as messages call it."""
    return root.name_of(_database_of(name))


def _database_of(name: str) -> str:
    return f"{_PREFIX}{name}/metadata.db"


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
        MalformedFile(error.place(name), error.problem, expected=error.expected, found=error.found)
    )
