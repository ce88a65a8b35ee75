"""`metadata.db` of a containerd snapshotter: the directory and the parent of each snapshot.

Source: containerd `core/snapshots/storage/bolt.go`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from layerfs.formats.boltvalues import STRICTLY, Leniently, as_bytes, as_text, texts_of, unsigned_of
from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerfs.formats.bolt import Bucket, Record

__all__ = ["ACTIVE", "COMMITTED", "VIEW", "Snapshot", "SnapshotDB"]

VIEW, ACTIVE, COMMITTED = "view", "active", "committed"
"""The kinds of snapshots: read-only, writable, and finished (only such a one can be a parent)."""

_UNKNOWN = "unknown"
"""The namespace in the name of a snapshot of which only the number is known."""

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
        size: bytes on disk, directories included, as measured when it was committed; None if it was not.
        created_ns: ns since 1970, or None.
        labels: the labels that the snapshotter was given.
    """

    name: str
    number: int
    kind: str
    parent: str
    size: int | None
    created_ns: int | None
    labels: Mapping[str, str]


class SnapshotDB:
    """The snapshots of one snapshotter; a malformed one is given to `report`, and left out."""

    def __init__(self, root: Bucket | None, report: Callable[[FormatError], None]) -> None:
        """The snapshots in the database with the outermost bucket `root`; None where that is lost."""
        version = root.bucket(b"v1") if root else None
        self._bucket = version.bucket(b"snapshots") if version else None
        self._links = version.bucket(b"parents") if version else None
        self._report = report
        self._read: dict[str, Snapshot] = {}

    def snapshot(self, name: str) -> Snapshot | None:
        """The snapshot of a name, or None; each is read only once, as it may be the parent of many."""
        if name in self._read:
            return self._read[name]
        record = self._bucket.record(as_bytes(name)) if self._bucket and name else None
        found = self._parsed(name, record) if record else None
        if found:
            self._read[name] = found
        return found

    @functools.cached_property
    def all(self) -> Mapping[str, Snapshot]:
        """Every snapshot by its name."""
        records = self._bucket.records() if self._bucket else ()
        found = (self._parsed(as_text(key), record) for key, record in records)
        return {snapshot.name: snapshot for snapshot in found if snapshot}

    def names(self) -> Iterator[str]:
        """The name of every snapshot, sound or not; the records are not read."""
        return (as_text(key) for key, _ in (self._bucket.buckets() if self._bucket else ()))

    @functools.cached_property
    def lost(self) -> Mapping[str, Snapshot]:
        """Snapshots without a sound record, as far as the links in `v1/parents` tell of them, by name.

        Each snapshot with a parent has a link: the numbers of both, and its name. A snapshot is left out if
        another has its number. The name of its parent may be made up (`unknown/<number>`), where only the
        number is known.
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

    def _parsed(self, name: str, record: Record) -> Snapshot | None:
        try:
            return _snapshot(name, record, STRICTLY)
        except FormatError:
            return self._told(name, record)

    def _told(self, name: str, record: Record) -> Snapshot | None:
        """Parse once more, and report all that is malformed."""

        def told(error: FormatError) -> None:
            part = f"snapshot {ascii(name)[1:-1]}"
            self._report(FormatError(error.problem, expected=error.expected, found=error.found, part=part))

        try:
            return _snapshot(name, record, Leniently(told))
        except FormatError as error:
            told(error)
            return None


class _Link(NamedTuple):
    """A link of `v1/parents`: the number of a snapshot, and that of its parent."""

    name: str
    number: int
    below: int


def _link(key: bytes, name: str) -> _Link:
    """Parse a key of `v1/parents`: two unsigned varints with a zero between them."""
    end = next((at for at, byte in enumerate(key) if byte < _MORE), len(key))
    if key[end + 1 : end + 2] != b"\0":
        raise FormatError("malformed link of a snapshot with the one below", found=key[:20].hex())
    return _Link(name, unsigned_of(key[end + 2 :]), unsigned_of(key))


def _snapshot(name: str, record: Record, lenient: Leniently) -> Snapshot:
    values, buckets = record
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
