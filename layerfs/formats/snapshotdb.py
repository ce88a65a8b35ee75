"""`metadata.db` of a containerd snapshotter: which directory each snapshot is, and what it stands on.

Source: containerd `core/snapshots/storage/bolt.go`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from layerfs.formats.boltvalues import Leniently, as_bytes, as_text, texts_of, unsigned_of
from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerfs.formats.bolt import Bucket

__all__ = ["ACTIVE", "COMMITTED", "VIEW", "Snapshot", "SnapshotDB"]

VIEW, ACTIVE, COMMITTED = "view", "active", "committed"
"""What a snapshot is: read-only on another, writable, or done, so that others may stand on it."""

_UNKNOWN = "unknown"
"""Stands for the namespace of a snapshot of which only the number is known."""

_LABELS = b"labels"

_MORE = 0x80  # set in every byte of a varint but the last

_KINDS = {b"\1": VIEW, b"\2": ACTIVE, b"\3": COMMITTED}


class Snapshot(NamedTuple):
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

    def __init__(self, root: Bucket | None, report: Callable[[FormatError], None]) -> None:
        """Those of the database whose outermost bucket is `root`; None where that is lost."""
        version = root.bucket(b"v1") if root else None
        self._bucket = version.bucket(b"snapshots") if version else None
        self._links = version.bucket(b"parents") if version else None
        self._report = report
        self._read: dict[str, Snapshot] = {}

    def snapshot(self, name: str) -> Snapshot | None:
        """The snapshot of a name; each is read once, as many may stand on it."""
        if name in self._read:
            return self._read[name]
        bucket = self._bucket.bucket(as_bytes(name)) if self._bucket and name else None
        found = self._parsed(name, bucket) if bucket else None
        if found:
            self._read[name] = found
        return found

    @functools.cached_property
    def all(self) -> Mapping[str, Snapshot]:
        """Every snapshot by its name."""
        found = (self._parsed(as_text(key), inner) for key, inner in self._buckets())
        return {snapshot.name: snapshot for snapshot in found if snapshot}

    def names(self) -> Iterator[str]:
        """The name of every snapshot, sound or not; none is looked at."""
        return (as_text(key) for key, _ in self._buckets())

    @functools.cached_property
    def lost(self) -> Mapping[str, Snapshot]:
        """Every snapshot without a sound record that links tell of, with what it stands on or what is on it.

        Each snapshot but a base is linked with the one below: by both numbers, under its name. One whose
        number is another's is left out; what it stands on may have a name that nothing has.
        """
        records = self.all
        numbers = {link.name: link.number for link in self._all_links if link.name not in records}
        for link in self._all_links:
            parent = records[link.name].parent if link.name in records else ""
            if parent and parent not in records:
                numbers.setdefault(parent, link.below)
        taken = {snapshot.number: snapshot.name for snapshot in records.values()}
        named = {number: name for name, number in numbers.items()} | taken
        below = {link.name: named.get(link.below, f"{_UNKNOWN}/{link.below}") for link in self._all_links}
        bases = {link.below for link in self._all_links}
        return {
            name: Snapshot(
                name, number, COMMITTED if number in bases else ACTIVE, below.get(name, ""), None, None, {}
            )
            for name, number in numbers.items()
            if named[number] == name
        }

    @functools.cached_property
    def _all_links(self) -> Sequence[_Link]:
        found: list[_Link] = []
        for key, value in self._links.values() if self._links else ():
            try:
                found.append(_link(key, as_text(value)))
            except FormatError as error:
                self._report(error)
        return found

    def _buckets(self) -> Iterator[tuple[bytes, Bucket]]:
        return self._bucket.buckets() if self._bucket else iter(())

    def _parsed(self, name: str, bucket: Bucket) -> Snapshot | None:
        def told(error: FormatError) -> None:
            problem = f"snapshot {ascii(name)[1:-1]}: {error.problem}"
            self._report(FormatError(problem, expected=error.expected, found=error.found))

        try:
            return _snapshot(name, bucket, Leniently(told))
        except FormatError as error:
            told(error)
            return None


class _Link(NamedTuple):
    """What `v1/parents` tells of a snapshot: its number, and that of the one below."""

    name: str
    number: int
    below: int


def _link(key: bytes, name: str) -> _Link:
    """The link of a key: two unsigned varints, and a zero between them."""
    end = next((at for at, byte in enumerate(key) if byte < _MORE), len(key))
    if key[end + 1 : end + 2] != b"\0":
        raise FormatError("malformed link of a snapshot with the one below", found=key[:20].hex())
    return _Link(name, unsigned_of(key[end + 2 :]), unsigned_of(key))


def _snapshot(name: str, bucket: Bucket, lenient: Leniently) -> Snapshot:
    values, buckets = bucket.contents()
    kind = _KINDS.get(values.get(b"kind", b""))
    if kind is None or b"id" not in values:
        raise FormatError("no kind or no number", expected="both")
    return Snapshot(
        name,
        unsigned_of(values[b"id"]),
        kind,
        as_text(values.get(b"parent", b"")),
        lenient.integer(values.get(b"size")),
        lenient.time(values.get(b"createdat")),
        texts_of(buckets.get(_LABELS)),
    )
