"""`metadata.db` of a containerd snapshotter: which directory each snapshot is, and what it stands on.

Source: containerd `core/snapshots/storage/bolt.go`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerfs.formats.boltvalues import as_bytes, as_text, integer_of, labels_of, time_of, unsigned_of
from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from layerfs.formats.bolt import Bucket

__all__ = ["ACTIVE", "COMMITTED", "VIEW", "Snapshot", "SnapshotDB"]

VIEW, ACTIVE, COMMITTED = "view", "active", "committed"
"""What a snapshot is: read-only on another, writable, or done, so that others may stand on it."""

_KINDS = {b"\1": VIEW, b"\2": ACTIVE, b"\3": COMMITTED}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot.

    Attributes:
        name: its key here: `<namespace>/<number>/<key>`.
        number: the name of its directory in `snapshots/`, as a number.
        kind: `VIEW`, `ACTIVE` or `COMMITTED`.
        parent: the name of the snapshot below; empty for a base.
        size: bytes on disk, directories included, when it was committed; None for others.
        created_ns: ns since 1970, or None.
        labels: those that the snapshotter was told.
    """

    name: str
    number: int
    kind: str
    parent: str
    size: int | None
    created_ns: int | None
    labels: Mapping[str, str]


class SnapshotDB:
    """The snapshots of one snapshotter; one that is malformed is told to `report`, and left out."""

    def __init__(self, root: Bucket, report: Callable[[FormatError], None]) -> None:
        """Those of the database whose outermost bucket is `root`."""
        version = root.bucket(b"v1")
        self._bucket = version.bucket(b"snapshots") if version else None
        self._report = report

    def snapshot(self, name: str) -> Snapshot | None:
        """The snapshot of a name."""
        found = self._bucket.bucket(as_bytes(name)) if self._bucket and name else None
        return self._parsed(name, found) if found else None

    @functools.cached_property
    def all(self) -> Mapping[str, Snapshot]:
        """Every snapshot by its name."""
        found = (self._parsed(as_text(key), inner) for key, inner in self._buckets())
        return {snapshot.name: snapshot for snapshot in found if snapshot}

    def _buckets(self) -> Iterator[tuple[bytes, Bucket]]:
        return self._bucket.buckets() if self._bucket else iter(())

    def _parsed(self, name: str, bucket: Bucket) -> Snapshot | None:
        try:
            return _snapshot(name, bucket)
        except FormatError as error:
            problem = f"snapshot {ascii(name)[1:-1]}: {error.problem}"
            self._report(FormatError(problem, expected=error.expected, found=error.found))
            return None


def _snapshot(name: str, bucket: Bucket) -> Snapshot:
    values = dict(bucket.values())
    kind = _KINDS.get(values.get(b"kind", b""))
    if kind is None or b"id" not in values:
        raise FormatError("no kind or no number", expected="both")
    return Snapshot(
        name,
        unsigned_of(values[b"id"]),
        kind,
        as_text(values.get(b"parent", b"")),
        integer_of(values[b"size"]) if b"size" in values else None,
        time_of(values.get(b"createdat")),
        labels_of(bucket),
    )
