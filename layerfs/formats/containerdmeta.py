"""containerd's `meta.db`: namespaces, and in each the names of images, blobs, snapshots and containers.

A namespace is there if its bucket is. A record that is malformed is reported and left out; the rest is read.

Sources: containerd `core/metadata/buckets.go`, and `migrations.go` of what older ones wrote.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from layerfs.formats.boltvalues import STRICTLY, Leniently, as_bytes, as_text, texts_of
from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from layerfs.formats.bolt import Bucket, Record
    from layerfs.formats.boltvalues import TypedValue

__all__ = ["MetaBlob", "MetaContainer", "MetaImage", "MetaLease", "MetaSnapshot", "Namespace", "parse_meta"]

_Record = TypeVar("_Record")
_Parser: TypeAlias = "Callable[[str, Record, Leniently], _Record]"

_PARTS = (b"images", b"content", b"snapshots", b"containers", b"leases", b"labels")


class MetaImage(NamedTuple):
    """A name of an image, which may be no reference: any text that is not empty.

    Attributes:
        digest, media_type, size: of its target: an index, a manifest, or something else. Not checked.
        created_ns, updated_ns: ns since 1970, or None.
        annotations: of the descriptor that it was imported by.
    """

    name: str
    digest: str
    media_type: str
    size: int
    created_ns: int | None
    updated_ns: int | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class MetaBlob(NamedTuple):
    """A blob that a namespace has.

    Attributes:
        size: bytes.
        created_ns: ns since 1970, or None.
    """

    digest: str
    size: int
    created_ns: int | None
    labels: Mapping[str, str]


class MetaLease(NamedTuple):
    """What keeps things from being collected.

    Attributes:
        created_ns: ns since 1970, or None.
        snapshots: the keys of snapshots that it keeps, as (snapshotter, key).
        blobs: the digests of blobs that it keeps.
    """

    id: str
    created_ns: int | None
    labels: Mapping[str, str]
    snapshots: frozenset[tuple[str, str]]
    blobs: frozenset[str]


class MetaSnapshot(NamedTuple):
    """A snapshot as a namespace knows it.

    Attributes:
        key: its name in the namespace: a chain ID, a container's ID, …
        name: its name in the snapshotter's database; see `snapshotdb.Snapshot`.
        parent: the key of the one below in this namespace; empty for a base.
    """

    key: str
    name: str
    parent: str
    created_ns: int | None
    labels: Mapping[str, str]


class MetaContainer(NamedTuple):
    """A container; of Docker's only those that run, and without a snapshot.

    Attributes:
        image: the name of its image.
        snapshot_key: its writable snapshot, in `snapshotter`; empty for Docker's.
        sandbox: the ID of its sandbox; empty where it has none.
        spec: the OCI runtime specification, as JSON; None where there is none.
        extensions: data of containerd's clients, by their names.
    """

    id: str
    image: str
    snapshotter: str
    snapshot_key: str
    sandbox: str
    created_ns: int | None
    labels: Mapping[str, str]
    spec: TypedValue | None
    extensions: Mapping[str, TypedValue]


class Namespace:
    """The records of one namespace, read when they are asked for; a record asked for by name is read alone.

    A malformed record is given to `report`, and otherwise treated as missing.
    """

    def __init__(
        self,
        name: str,
        bucket: Bucket | None,
        report: Callable[[FormatError], None],
        outside: Bucket | None = None,
    ) -> None:
        """Know a namespace.

        Args:
            name: of the namespace.
            bucket: has all of it; None where nothing is known of it but its name.
            report: told what is malformed.
            outside: has its sandboxes, before containerd 2.0; None where there is no such.
        """
        self.name = name
        self._bucket = bucket
        self._outside = outside
        self._report = report
        self._parents: dict[tuple[bytes, ...], Bucket] = {}

    def has(self, part: str) -> bool:
        """Whether one of its parts, such as `images` or `containers`, has any record."""
        found = _inner(self._bucket, (part.encode(),))
        return found is not None and next(iter(found.items()), None) is not None

    @functools.cached_property
    def images(self) -> Mapping[str, MetaImage]:
        """Every image by its name."""
        return dict(self._all("image", _image, b"images"))

    @functools.cached_property
    def blobs(self) -> Mapping[str, MetaBlob]:
        """Every blob by its digest."""
        return dict(self._all("blob", _blob, b"content", b"blob"))

    @functools.cached_property
    def snapshotters(self) -> Sequence[str]:
        """The snapshotters that have snapshots of it."""
        found = _inner(self._bucket, (b"snapshots",))
        return [as_text(key) for key, _ in found.buckets()] if found else []

    def snapshots(self, snapshotter: str) -> Mapping[str, MetaSnapshot]:
        """Every snapshot that a snapshotter has of it, by its key."""
        return dict(self._all("snapshot", _snapshot, b"snapshots", as_bytes(snapshotter)))

    @functools.cached_property
    def containers(self) -> Mapping[str, MetaContainer]:
        """Every container by its ID."""
        return dict(self._all("container", _container, b"containers"))

    @functools.cached_property
    def leases(self) -> Mapping[str, MetaLease]:
        """Every lease by its ID."""
        return dict(self._all("lease", _lease, b"leases"))

    def container(self, container_id: str) -> MetaContainer | None:
        """The container of an ID."""
        return self._one("container", _container, container_id, b"containers")

    def sandbox_extensions(self, sandbox: str) -> Mapping[str, TypedValue]:
        """What others noted of a sandbox that containerd itself knows (since 1.7), by their names."""
        found = self._one("sandbox", _sandbox, sandbox, b"sandboxes")
        older = _inner(self._outside, (b"sandboxes",)) if found is None else None
        record = older.record(as_bytes(sandbox)) if older else None
        return found or (record and self._parsed("sandbox", _sandbox, sandbox, record)) or {}

    def image(self, name: str) -> MetaImage | None:
        """The image of a name."""
        return self._one("image", _image, name, b"images")

    def blob(self, digest: str) -> MetaBlob | None:
        """The blob of a digest."""
        return self._one("blob", _blob, digest, b"content", b"blob")

    def snapshot(self, snapshotter: str, key: str) -> MetaSnapshot | None:
        """The snapshot of a key."""
        return self._one("snapshot", _snapshot, key, b"snapshots", as_bytes(snapshotter))

    def _all(self, noun: str, parse: _Parser[_Record], *path: bytes) -> Iterator[tuple[str, _Record]]:
        parent = _inner(self._bucket, path)
        for raw, record in parent.records() if parent else ():
            key = as_text(raw)
            if (found := self._parsed(noun, parse, key, record)) is not None:
                yield key, found

    def _one(self, noun: str, parse: _Parser[_Record], key: str, *path: bytes) -> _Record | None:
        parent = self._parents.get(path) or _inner(self._bucket, path)
        if parent:
            self._parents[path] = parent  # callers ask for thousands one by one
        record = parent.record(as_bytes(key)) if parent and key else None
        return self._parsed(noun, parse, key, record) if record else None

    def _parsed(self, noun: str, parse: _Parser[_Record], key: str, record: Record) -> _Record | None:
        try:
            return parse(key, record, STRICTLY)
        except FormatError:
            return self._told(noun, parse, key, record)

    def _told(self, noun: str, parse: _Parser[_Record], key: str, record: Record) -> _Record | None:
        """Parse once more, and report all that is malformed."""

        def told(error: FormatError) -> None:
            part = f"{self.name}: {noun} {ascii(key)[1:-1]}"
            self._report(FormatError(error.problem, expected=error.expected, found=error.found, part=part))

        try:
            return parse(key, record, Leniently(told))
        except FormatError as error:
            told(error)
            return None


def parse_meta(root: Bucket, report: Callable[[FormatError], None]) -> dict[str, Namespace]:
    """Every namespace by its name.

    Args:
        root: the outermost bucket of the database.
        report: called with the fault of each record that is left out.
    """
    version = root.bucket(b"v1")
    return {
        as_text(key): Namespace(as_text(key), bucket, report, root.bucket(key))
        for key, bucket in (version.buckets() if version else ())
        if key != b"sandboxes" or _is_namespace(bucket)
    }


def _is_namespace(bucket: Bucket) -> bool:
    """Whether `v1/sandboxes` is a namespace of that name, and not the sandboxes of one called `v1`."""
    return any(bucket.bucket(part) for part in _PARTS)


def _inner(bucket: Bucket | None, path: Iterable[bytes]) -> Bucket | None:
    """The bucket at a path of names, or None."""
    for name in path:
        bucket = bucket.bucket(name) if bucket else None
    return bucket


def _image(name: str, record: Record, lenient: Leniently) -> MetaImage:
    times, buckets = record
    target = buckets.get(b"target")
    if target is None:
        raise FormatError("names nothing", expected="a bucket target")
    said = target.contents()[0]
    return MetaImage(
        name,
        as_text(said.get(b"digest", b"")),
        as_text(said.get(b"mediatype", b"")),
        lenient.integer(said.get(b"size")) or 0,
        lenient.time(times.get(b"createdat")),
        lenient.time(times.get(b"updatedat")),
        texts_of(buckets.get(b"labels")),
        texts_of(buckets.get(b"annotations")),
    )


def _blob(digest: str, record: Record, lenient: Leniently) -> MetaBlob:
    values, buckets = record
    return MetaBlob(
        digest,
        lenient.integer(values.get(b"size")) or 0,
        lenient.time(values.get(b"createdat")),
        texts_of(buckets.get(b"labels")),
    )


def _snapshot(key: str, record: Record, lenient: Leniently) -> MetaSnapshot:
    values, buckets = record
    if not values.get(b"name"):
        raise FormatError("the snapshotter's name for it is missing")
    return MetaSnapshot(
        key,
        as_text(values[b"name"]),
        as_text(values.get(b"parent", b"")),
        lenient.time(values.get(b"createdat")),
        texts_of(buckets.get(b"labels")),
    )


def _container(container_id: str, record: Record, lenient: Leniently) -> MetaContainer:
    values, buckets = record

    def noted(key: bytes) -> str:
        return as_text(values.get(key, b""))

    return MetaContainer(
        container_id,
        noted(b"image"),
        noted(b"snapshotter"),
        noted(b"snapshotKey"),
        noted(b"sandboxid"),
        lenient.time(values.get(b"createdat")),
        texts_of(buckets.get(b"labels")),
        lenient.typed(values.get(b"spec")),
        _extensions(buckets.get(b"extensions"), lenient),
    )


def _sandbox(_: str, record: Record, lenient: Leniently) -> dict[str, TypedValue]:
    return _extensions(record[1].get(b"extensions"), lenient)


def _extensions(bucket: Bucket | None, lenient: Leniently) -> dict[str, TypedValue]:
    pairs = ((as_text(key), lenient.typed(value)) for key, value in (bucket.values() if bucket else ()))
    return {key: value for key, value in pairs if value}


def _lease(lease_id: str, record: Record, lenient: Leniently) -> MetaLease:
    values, buckets = record
    snapshotters, content = buckets.get(b"snapshots"), buckets.get(b"content")
    return MetaLease(
        lease_id,
        lenient.time(values.get(b"createdat")),
        texts_of(buckets.get(b"labels")),
        frozenset(
            (as_text(snapshotter), as_text(key))
            for snapshotter, inner in (snapshotters.buckets() if snapshotters else ())
            for key, _ in inner.values()
        ),
        frozenset(as_text(digest) for digest, _ in content.values()) if content else frozenset(),
    )
