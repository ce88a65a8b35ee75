"""`buildkit/`: which directories of `overlay2/` belong to BuildKit's cache.

Source: moby `builder/builder-next/adapters/snapshot/snapshot.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.formats.buildkit import BuildKitSnapshot, parse_snapshots
from layerfs.store.files import parse_optional

if TYPE_CHECKING:
    from layerfs.hostdir import HostDir

__all__ = ["read_buildkit_snapshots"]

_NAME = "buildkit/snapshots.db"
_LIMIT = 256 << 20


def read_buildkit_snapshots(root: HostDir) -> tuple[BuildKitSnapshot, ...]:
    """BuildKit's snapshots; none where it was never used. Raises `CorruptStore`."""
    return tuple(parse_optional(root, _NAME, parse_snapshots, _LIMIT) or ())
