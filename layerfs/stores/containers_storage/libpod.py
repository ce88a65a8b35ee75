"""libpod's databases in a graph root, or in its run root: what Podman knows of containers, pods and volumes.

Sources: podman `libpod/runtime.go` (getDBState), `libpod/sqlite_state.go`, `libpod/boltdb_state.go`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar

from layerfs.boltfile import read_boltfile
from layerfs.errors import CorruptStore, MalformedFile
from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import load_object, text
from layerfs.formats.libpod import (
    RawRecords,
    bolt_records,
    parse_libpod_container,
    parse_libpod_pod,
    sqlite_records,
)
from layerfs.model import Pod
from layerfs.sqlitefile import read_sqlitefile
from layerfs.stores.files import if_there

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerfs.formats.libpod import LibpodContainer, LibpodPod
    from layerfs.hostdir import HostDir

_Raw = TypeVar("_Raw")
_Parsed = TypeVar("_Parsed")

__all__ = ["BOLT", "SQLITE", "Libpod"]

SQLITE, BOLT = "db.sql", "libpod/bolt_state.db"
"""Where the databases lie below a root: that of Podman since 4.8, and the one before."""


class Libpod:
    """What the databases below some roots have; each is read once, when something of it is asked for."""

    def __init__(self, roots: Sequence[HostDir], report: Callable[[CorruptStore], None]) -> None:
        """Read the databases of these roots, the graph root first; `report` is told of damage."""
        self._roots = roots
        self._report = report
        self._is_whole = True
        self._volumes: dict[str, str] = {}

    @functools.cached_property
    def _databases(self) -> Mapping[str, RawRecords | None]:
        """The records of each database that is there, by its name in messages; None: it cannot be read."""
        found: dict[str, RawRecords | None] = {}
        for root in self._roots:
            for path, read in ((SQLITE, self._sqlite), (BOLT, self._bolt)):
                name = root.name_of(path)
                try:
                    records = if_there(root, path, functools.partial(read, root, path))
                except CorruptStore as error:
                    self._tell(error)
                    found[name] = None
                else:
                    if records is not None:
                        found[name] = records
        return found

    @property
    def is_there(self) -> bool:
        """Whether there is a database at all, readable or not."""
        return bool(self._databases)

    @property
    def is_whole(self) -> bool:
        """Whether each database that is there was read whole: what is not in them, libpod does not know."""
        return bool(self._databases) and self._is_whole

    def _tell(self, problem: CorruptStore) -> None:
        """Report damage of a database."""
        self._is_whole = False
        self._report(problem)

    @functools.cached_property
    def _read(self) -> tuple[dict[str, LibpodContainer | None], dict[str, LibpodPod]]:
        containers: dict[str, LibpodContainer | None] = {}
        pods: dict[str, LibpodPod] = {}
        for name, records in self._databases.items():
            if records is None:
                continue
            for raw in records.containers:
                found = self._parsed(f"{name}: container {_shown(raw.id)}", parse_libpod_container, raw)
                known = containers.setdefault(raw.id, found)
                # after a change from one database to the other both have it: the later word counts
                if known is None or (found and found.last_ns > known.last_ns):
                    containers[raw.id] = found
            for raw_pod in records.pods:
                pod = self._parsed(f"{name}: pod {_shown(raw_pod.id)}", parse_libpod_pod, raw_pod)
                if pod:
                    pods.setdefault(raw_pod.id, pod)
        return containers, pods

    @property
    def containers(self) -> Mapping[str, LibpodContainer | None]:
        """The containers by their IDs, which are unchecked; None for one whose record cannot be read."""
        return self._read[0]

    @functools.cached_property
    def pods(self) -> Mapping[str, Pod]:
        """The pods by their IDs, which are unchecked."""
        return {key: Pod(pod.name, "", "", key, None, pod.labels) for key, pod in self._read[1].items()}

    @property
    def has_volumes(self) -> bool:
        """Whether a database that can be read has any."""
        return any(records.volumes for records in self._databases.values() if records)

    def volume_path(self, name: str) -> str:
        """The directory of a volume on the engine's own host; empty where it is not known."""
        if name not in self._volumes:  # many containers may have one volume
            self._volumes[name] = self._volume_path(name)
        return self._volumes[name]

    def _volume_path(self, name: str) -> str:
        for records in filter(None, self._databases.values()):
            config = records.volumes.get(name)
            if not config:
                continue
            try:
                if found := text(load_object(config), "mountPoint"):
                    return found
            except FormatError as error:
                self._report(_malformed(f"volume {_shown(name)}", error))
            if parent := records.settings.get("volume-path"):
                return f"{parent}/{name}/_data"
        return ""

    @property
    def graph_root(self) -> str:
        """Where the engine had this graph root on its own host; empty where no database tells."""
        said = (records.settings.get("graph-root", "") for records in self._databases.values() if records)
        return next(filter(None, said), "")

    def _sqlite(self, root: HostDir, path: str) -> RawRecords:
        name = root.name_of(path)
        with read_sqlitefile(root, path, self._tell) as database:
            return sqlite_records(database, lambda error: self._tell(_malformed(name, error)))

    def _bolt(self, root: HostDir, path: str) -> RawRecords:
        return bolt_records(read_boltfile(root, path, self._tell))

    def _parsed(self, name: str, parse: Callable[[_Raw], _Parsed], raw: _Raw) -> _Parsed | None:
        """What `parse` makes of a record; None where it cannot be read, which is reported."""
        try:
            return parse(raw)
        except FormatError as error:
            self._report(_malformed(name, error))
            return None


def _malformed(name: str, error: FormatError) -> MalformedFile:
    return MalformedFile(name, error.problem, expected=error.expected, found=error.found)


def _shown(name: str) -> str:
    """A name from a record, in a message."""
    return ascii(name[:100])[1:-1]
