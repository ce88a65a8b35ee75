"""The snapshotters of a containerd root: their snapshots, and the directories of the files.

A snapshotter is in use if it has a `metadata.db`: containerd makes directories for unused ones too.

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
"""The snapshotters whose snapshots are directories, and the place of the files below `snapshots/<number>`."""

_MOST_DIGITS = 20  # of a number of 64 bits


class Snapshotter:
    """One snapshotter of a containerd root.

    Attributes:
        name: its name, as in meta.db.
        path: its directory, relative to the root.
        is_whole: whether a snapshot has the whole tree, and not only one layer.
        is_readable: whether its snapshots are directories that can be read.
        files: where the files are in a snapshot's directory: empty, or a slash and a name.
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
        """The snapshotter `name` below `root`, with the records `database`; `report` is told of damage."""
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
        """The path of its `metadata.db`, for messages."""
        return database_name(self._root, self.name)

    @functools.cached_property
    def all(self) -> Mapping[str, Snapshot]:
        """Every snapshot by name; lost records are made good from others, and reported."""
        for snapshot in self._database.lost.values():
            self._tell_lost(snapshot)
        return {**self._database.lost, **self._database.all}

    def has_record(self, name: str) -> bool:
        """Whether there is a sound record of a name."""
        return self._database.snapshot(name) is not None

    def snapshot(self, name: str) -> Snapshot | None:
        """The snapshot `<namespace>/<number>/<key>`; a lost record is made good from others, and reported."""
        found = self._database.snapshot(name)
        if found is None and (found := self._database.lost.get(name)):
            self._tell_lost(found)
        return found

    def _tell_lost(self, snapshot: Snapshot) -> None:
        used = f"it is snapshot {snapshot.number} by its links with others"
        name = self.record_name(snapshot.name)
        self._report(MissingFile(name, "there is no sound record of the snapshot").instead(used))

    def by_key(self, namespace: str, key: str) -> Snapshot | None:
        """The newest snapshot of a namespace for a key, found by the names in this database only."""
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
        """The path of a snapshot's directory, for messages."""
        return self._root.name_of(f"{self.path}/snapshots/{number}")

    def strangers(self) -> Iterator[tuple[str, int | None]]:
        """The paths of leftovers, each with its bytes on disk; None if these cannot be counted."""
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
        """The numbers of the directories of snapshots on disk; read once."""
        found = self._snapshots
        names = found.names() if found else []
        return {
            int(name): name for name in names if name.isdigit() and not (name[:1] == b"0" and len(name) > 1)
        }

    def strays(self) -> list[Snapshot]:
        """The directories without a record, as snapshots without a name; sorted by number."""
        known = {snapshot.number for snapshot in self.all.values()}
        there = sorted(number for number in self.numbers if number not in known)
        return [Snapshot("", number, ACTIVE, "", None, None, {}) for number in there]

    def leftovers(self) -> list[bytes]:
        """Other names beside the numbered directories, such as `new-123456`; sorted."""
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
        """The record of a snapshot, for messages."""
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
    """The snapshotters in use, by name, overlayfs first; also those with lost records, which are reported.

    Args:
        root: the containerd root.
        report: is told of damage.
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
    """The path of a snapshotter's `metadata.db`, for messages."""
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
    """A function that reports damage of records as damage of the file `name`."""
    return lambda error: report(
        MalformedFile(error.place(name), error.problem, expected=error.expected, found=error.found)
    )
