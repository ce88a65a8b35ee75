"""BuildKit's `snapshots.db`: which layers and directories its cache holds.

Each bucket at the top is a snapshot; a value `committed` names its directory in `overlay2/`, a
value `chainid` the layer it became.

Source: moby `builder/builder-next/adapters/snapshot/snapshot.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerfs.formats.bolt import open_bolt
from layerfs.ids import ChainID, InvalidID

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BuildKitSnapshot", "parse_snapshots"]


_WANTED = (b"parent", b"committed", b"chainid")


@dataclass(frozen=True, slots=True)
class BuildKitSnapshot:
    """One snapshot.

    Attributes:
        key: its name.
        parent: the snapshot below, or empty.
        directories: names in `overlay2/` it may own (a name that is no directory there owns nothing).
        chain_id: the layer it stands for, or None.
    """

    key: str
    parent: str
    directories: tuple[str, ...]
    chain_id: ChainID | None


def parse_snapshots(read: Callable[[int, int], bytes], size: int) -> list[BuildKitSnapshot]:
    """Every snapshot of the database; arguments and errors as of `open_bolt`."""
    found = []
    for key, bucket in open_bolt(read, size).buckets():
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
