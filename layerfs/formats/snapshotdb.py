"""`metadata.db` of a containerd snapshotter: which directory each snapshot is, and what it stands on.

Source: containerd `core/snapshots/storage/bolt.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerfs.formats.bolt import open_bolt
from layerfs.formats.boltvalues import as_text, integer_of, labels_of, time_of, unsigned_of
from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layerfs.formats.bolt import Bucket

__all__ = ["ACTIVE", "COMMITTED", "VIEW", "Snapshot", "parse_snapshot_db"]

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


def parse_snapshot_db(
    read: Callable[[int, int], bytes], size: int, report: Callable[[FormatError], None]
) -> dict[str, Snapshot]:
    """Every snapshot by its name; one that is malformed is given to `report`, and left out.

    Raises:
        FormatError: the database cannot be read.
    """
    version = open_bolt(read, size).bucket(b"v1")
    snapshots = version.bucket(b"snapshots") if version else None
    found: dict[str, Snapshot] = {}
    for key, bucket in snapshots.buckets() if snapshots else ():
        name = as_text(key)
        try:
            found[name] = _snapshot(name, bucket)
        except FormatError as error:
            problem = f"snapshot {ascii(name)[1:-1]}: {error.problem}"
            report(FormatError(problem, expected=error.expected, found=error.found))
    return found


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
