"""`buildkit/`: the records of BuildKit's cache, and its snapshots, which own directories of `overlay2/`.

Sources: moby `builder/builder-next/adapters/snapshot/snapshot.go`, `builder/builder-next/controller.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from layerfs.boltfile import read_boltfile
from layerfs.errors import CorruptStore
from layerfs.formats.buildkit import BuildKitRecord, BuildKitSnapshot, parse_records, parse_snapshots
from layerfs.stores.files import if_there

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.formats.bolt import Bucket
    from layerfs.hostdir import HostDir

__all__ = ["Readable", "read_buildkit_records", "read_buildkit_snapshots"]

_SNAPSHOTS = "buildkit/snapshots.db"
_RECORDS = "buildkit/metadata_v2.db"

Item = TypeVar("Item")


class Readable(NamedTuple, Generic[Item]):
    """The readable records of a database, which may be damaged, and its problems."""

    items: tuple[Item, ...]
    problems: tuple[CorruptStore, ...]


def read_buildkit_snapshots(root: HostDir, state: str) -> Readable[BuildKitSnapshot]:
    """BuildKit's snapshots; `state` is that of `read_boltfile`. Empty if BuildKit was never used."""
    return _parsed(root, _SNAPSHOTS, state, parse_snapshots)


def read_buildkit_records(root: HostDir, state: str, path: str = _RECORDS) -> Readable[BuildKitRecord]:
    """The records of BuildKit's cache, likewise, from the database at `path` below the data root."""
    return _parsed(root, path, state, parse_records)


def _parsed(root: HostDir, path: str, state: str, parse: Callable[[Bucket], list[Item]]) -> Readable[Item]:
    problems: list[CorruptStore] = []
    found: list[Item] = []
    try:
        database = if_there(root, path, lambda: read_boltfile(root, path, problems.append, state))
        found = parse(database.root) if database else []
    except CorruptStore as error:
        problems.append(error.again())
    return Readable(tuple(found), tuple({str(problem): problem for problem in problems}.values()))
