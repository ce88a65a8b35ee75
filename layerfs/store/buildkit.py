"""`buildkit/`: the records of BuildKit's cache, and which directories of `overlay2/` belong to it.

Sources: moby `builder/builder-next/adapters/snapshot/snapshot.go`, `builder/builder-next/controller.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.formats.buildkit import BuildKitRecord, BuildKitSnapshot, parse_records, parse_snapshots
from layerfs.store.files import parse_optional

if TYPE_CHECKING:
    from layerfs.hostdir import HostDir

__all__ = ["read_buildkit_records", "read_buildkit_snapshots"]

_SNAPSHOTS = "buildkit/snapshots.db"
_RECORDS = "buildkit/metadata_v2.db"
_LIMIT = 256 << 20


def read_buildkit_snapshots(root: HostDir) -> tuple[BuildKitSnapshot, ...]:
    """BuildKit's snapshots; none where it was never used. Raises `CorruptStore`."""
    return tuple(parse_optional(root, _SNAPSHOTS, parse_snapshots, _LIMIT) or ())


def read_buildkit_records(root: HostDir) -> tuple[BuildKitRecord, ...]:
    """The records of BuildKit's cache; none where it was never used. Raises `CorruptStore`."""
    return tuple(parse_optional(root, _RECORDS, parse_records, _LIMIT) or ())
