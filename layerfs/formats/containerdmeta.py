"""containerd's `meta.db`: namespaces, and in each the names of images, blobs, snapshots and containers.

A namespace is there if its bucket is. A record that is malformed is reported and left out; the rest is read.

Source: containerd `core/metadata/buckets.go`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from layerfs.formats.bolt import open_bolt
from layerfs.formats.boltvalues import any_of, as_text, integer_of, labels_of, time_of
from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from layerfs.formats.bolt import Bucket
    from layerfs.formats.boltvalues import TypedValue

__all__ = ["MetaContainer", "MetaImage", "MetaSnapshot", "Namespace", "parse_meta"]

_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True)
class MetaImage:
    """A name of an image, which may be no reference: any text that is not empty.

    Attributes:
        digest, media_type, size: of what it names: an index, a manifest, or something else. Not checked.
        created_ns, updated_ns: ns since 1970, or None.
    """

    name: str
    digest: str
    media_type: str
    size: int
    created_ns: int | None
    updated_ns: int | None
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MetaSnapshot:
    """A snapshot as a namespace knows it.

    Attributes:
        key: what it is asked for by: a chain ID, a container's ID, …
        name: what the snapshotter knows it by; see `snapshotdb.Snapshot`.
        parent: the key of the one below in this namespace; empty for a base.
    """

    key: str
    name: str
    parent: str
    created_ns: int | None
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MetaContainer:
    """A container; of Docker's only those that run, and without a snapshot.

    Attributes:
        image: the name of its image.
        snapshot_key: its writable snapshot, in `snapshotter`; empty for Docker's.
        sandbox: the ID of its sandbox; empty where it has none.
        spec: the OCI runtime specification, as JSON; None where there is none.
        extensions: what others noted, by their names.
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


@dataclass(frozen=True, slots=True)
class Namespace:
    """What one namespace has.

    Attributes:
        images: by name.
        blobs: the size of each blob by its digest.
        snapshots: by snapshotter, then by key.
        containers: by ID.
        leases: the keys of snapshots that each lease keeps, by its ID, as (snapshotter, key).
    """

    name: str
    images: dict[str, MetaImage] = field(default_factory=dict)
    blobs: dict[str, int] = field(default_factory=dict)
    snapshots: dict[str, dict[str, MetaSnapshot]] = field(default_factory=dict)
    containers: dict[str, MetaContainer] = field(default_factory=dict)
    leases: dict[str, frozenset[tuple[str, str]]] = field(default_factory=dict)


def parse_meta(
    read: Callable[[int, int], bytes], size: int, report: Callable[[FormatError], None]
) -> dict[str, Namespace]:
    """Every namespace by its name; raises `FormatError` where the database cannot be read.

    Args:
        read: gives bytes of the file: from where, and how many.
        size: of the file.
        report: takes what is wrong with a record, which is left out.
    """
    version = open_bolt(read, size).bucket(b"v1")
    found: dict[str, Namespace] = {}
    for key, bucket in version.buckets() if version else ():
        if key != b"sandboxes":  # of version 3, beside the namespaces
            found[as_text(key)] = _namespace(as_text(key), bucket, report)
    return found


def _namespace(name: str, bucket: Bucket, report: Callable[[FormatError], None]) -> Namespace:
    parts = dict(bucket.buckets())

    def all_of(
        parent: Bucket | None, noun: str, parse: Callable[[str, Bucket], _Record]
    ) -> Iterator[tuple[str, _Record]]:
        for key, inner in parent.buckets() if parent else ():
            try:
                yield as_text(key), parse(as_text(key), inner)
            except FormatError as error:
                problem = f"{name}: {noun} {ascii(as_text(key))[1:-1]}: {error.problem}"
                report(FormatError(problem, expected=error.expected, found=error.found))

    content = parts.get(b"content")
    snapshotters = parts.get(b"snapshots")
    return Namespace(
        name,
        dict(all_of(parts.get(b"images"), "image", _image)),
        dict(all_of(content.bucket(b"blob") if content else None, "blob", _blob)),
        {
            as_text(key): dict(all_of(inner, "snapshot", _snapshot))
            for key, inner in (snapshotters.buckets() if snapshotters else ())
        },
        dict(all_of(parts.get(b"containers"), "container", _container)),
        dict(all_of(parts.get(b"leases"), "lease", _lease)),
    )


def _image(name: str, bucket: Bucket) -> MetaImage:
    target = bucket.bucket(b"target")
    if target is None:
        raise FormatError("names nothing", expected="a bucket target")
    said, times = dict(target.values()), dict(bucket.values())
    return MetaImage(
        name,
        as_text(said.get(b"digest", b"")),
        as_text(said.get(b"mediatype", b"")),
        integer_of(said.get(b"size", b"\0")),
        time_of(times.get(b"createdat")),
        time_of(times.get(b"updatedat")),
        labels_of(bucket),
    )


def _blob(_: str, bucket: Bucket) -> int:
    return integer_of(bucket.value(b"size") or b"\0")


def _snapshot(key: str, bucket: Bucket) -> MetaSnapshot:
    values = dict(bucket.values())
    if not values.get(b"name"):
        raise FormatError("the snapshotter's name for it is missing")
    return MetaSnapshot(
        key,
        as_text(values[b"name"]),
        as_text(values.get(b"parent", b"")),
        time_of(values.get(b"createdat")),
        labels_of(bucket),
    )


def _container(container_id: str, bucket: Bucket) -> MetaContainer:
    values = dict(bucket.values())
    extensions = bucket.bucket(b"extensions")

    def noted(key: bytes) -> str:
        return as_text(values.get(key, b""))

    return MetaContainer(
        container_id,
        noted(b"image"),
        noted(b"snapshotter"),
        noted(b"snapshotKey"),
        noted(b"sandboxid"),
        time_of(values.get(b"createdat")),
        labels_of(bucket),
        any_of(values[b"spec"]) if values.get(b"spec") else None,
        {as_text(key): any_of(value) for key, value in extensions.values()} if extensions else {},
    )


def _lease(_: str, bucket: Bucket) -> frozenset[tuple[str, str]]:
    snapshotters = bucket.bucket(b"snapshots")
    return frozenset(
        (as_text(snapshotter), as_text(key))
        for snapshotter, inner in (snapshotters.buckets() if snapshotters else ())
        for key, _ in inner.values()
    )
