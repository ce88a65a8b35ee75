"""BuildKit's databases: the snapshots of its cache with their layers and directories, and its cache records.

In `snapshots.db` each bucket at the top is a snapshot; a value `committed` names its directory in
`overlay2/`, a value `chainid` the layer it became. In `metadata_v2.db` the bucket `_main` has a bucket for
each record, whose values are JSON objects with the key `value`.

Sources: moby `builder/builder-next/adapters/snapshot/snapshot.go`; buildkit `cache/metadata.go`,
`cache/metadata/metadata.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import flag, integer, load_object, text
from layerfs.ids import ChainID, InvalidID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.formats.bolt import Bucket
    from layerfs.formats.jsontext import Json

__all__ = ["BuildKitRecord", "BuildKitSnapshot", "parse_records", "parse_snapshots"]

_WANTED = (b"parent", b"committed", b"chainid")


@dataclass(frozen=True, slots=True)
class BuildKitSnapshot:
    """One snapshot.

    Attributes:
        key: its name.
        parent: the key of the snapshot below, or empty.
        directories: names in `overlay2/` that may be its own; some of them may not exist there.
        chain_id: the chain ID of its layer, or None.
    """

    key: str
    parent: str
    directories: tuple[str, ...]
    chain_id: ChainID | None


def parse_snapshots(root: Bucket) -> list[BuildKitSnapshot]:
    """Every snapshot in the database with the outermost bucket `root`; raises what the bucket raises."""
    found = []
    for key, bucket in root.buckets():
        values = {
            name: value.decode("utf-8", "replace") for name, value in bucket.values() if name in _WANTED
        }
        name = key.decode("utf-8", "replace")
        committed = values.get(b"committed", "")
        own = tuple(dict.fromkeys(filter(None, (committed, name, f"{committed or name}-init"))))
        found.append(
            BuildKitSnapshot(
                name, values.get(b"parent", ""), own, _chain_id(name, values.get(b"chainid", ""))
            )
        )
    return found


def _chain_id(key: str, text: str) -> ChainID | None:
    """The chain ID noted, or the key where that is one (layers of pulled images)."""
    for candidate in (text, key):
        try:
            return ChainID(candidate)
        except InvalidID:
            continue
    return None


@dataclass(frozen=True, slots=True)
class BuildKitRecord:
    """One record of the build cache.

    Attributes:
        key: its name.
        parent: the record it is built on, or empty.
        kind: what made it, such as `source.local`; `regular` where nothing is noted.
        description: in BuildKit's words.
        size: bytes; None where BuildKit has not computed them.
        created_ns: when it was made, in ns since the epoch, or None.
        last_used_ns: when it was last used, in ns since the epoch, or None.
        usage_count: how often it was used.
        snapshot: the key of its snapshot.
        has_files: whether it has a snapshot; a record that is only a blob has none.
        twin: the key of another record with the same content, which is counted instead of this one; or empty.
        chain_id: the chain ID of its content as a layer, or None.
        blob: the digest of the layer's blob, or empty.
    """

    key: str
    parent: str
    kind: str
    description: str
    size: int | None
    created_ns: int | None
    last_used_ns: int | None
    usage_count: int
    snapshot: str
    has_files: bool
    twin: str
    chain_id: ChainID | None = None
    blob: str = ""


def parse_records(root: Bucket) -> list[BuildKitRecord]:
    """Every cache record in the database with the outermost bucket `root`; raises what the bucket raises."""
    main = root.bucket(b"_main")
    return [_record(key.decode("utf-8", "replace"), bucket) for key, bucket in main.buckets()] if main else []


def _record(key: str, bucket: Bucket) -> BuildKitRecord:
    noted: Json = dict(_noted(bucket))
    size = integer(noted, "snapshot.size") if "snapshot.size" in noted else -1
    return BuildKitRecord(
        key=key,
        parent=text(noted, "cache.parent"),
        kind=text(noted, "cache.recordType") or "regular",
        description=text(noted, "cache.description"),
        size=None if size < 0 else size,
        created_ns=integer(noted, "cache.createdAt") or None,
        last_used_ns=integer(noted, "cache.lastUsedAt") or None,
        usage_count=integer(noted, "cache.usageCount"),
        snapshot=text(noted, "cache.snapshot") or key,
        has_files=not flag(noted, "cache.blobonly"),
        twin=text(noted, "cache.equalMutable"),
        chain_id=_chain_id("", text(noted, "cache.chainID")),
        blob=text(noted, "cache.blob"),
    )


def _noted(bucket: Bucket) -> Iterator[tuple[str, object]]:
    """The values of a record that are JSON; others are ignored, as versions of BuildKit differ in them."""
    for name, value in bucket.values():
        try:
            yield name.decode("utf-8", "replace"), load_object(value).get("value")
        except FormatError:
            continue
