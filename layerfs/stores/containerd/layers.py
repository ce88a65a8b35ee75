"""The layers of a containerd root: unpacked as a snapshot, or packed as a blob, or both."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from layerfs.ids import ChainID, InvalidID
from layerfs.model import Layer
from layerfs.stores.containerd.snapshotters import OVERLAYFS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layerfs.formats.containerdmeta import Namespace
    from layerfs.formats.snapshotdb import Snapshot
    from layerfs.hostdir import HostDir
    from layerfs.ids import BlobDigest, DiffID
    from layerfs.stores.blobs.layers import BlobLayer
    from layerfs.stores.containerd.snapshotters import Snapshotter

__all__ = ["ContainerdLayer", "Placed", "Snapshots", "chain_of_key", "disk_usage"]

_BLOCK = 512  # bytes that stat(2) counts in


class Placed(NamedTuple):
    """A snapshot, and whose it is.

    Attributes:
        snapshotter: has its files.
        snapshot: its record.
    """

    snapshotter: Snapshotter
    snapshot: Snapshot

    @property
    def place(self) -> str:
        """The name of its directory; of other snapshotters than overlayfs with theirs before it."""
        number = str(self.snapshot.number)
        return number if self.snapshotter.name == OVERLAYFS else f"{self.snapshotter.name}/{number}"

    @property
    def key(self) -> str:
        """What its namespace knows it by: a chain ID, a container's ID, or another word."""
        return self.snapshot.name.split("/", 2)[-1]


@dataclass(frozen=True, slots=True)
class ContainerdLayer(Layer):
    """A layer of an image, on those below it.

    Attributes:
        chain_id: its identity on top of those below.
        diff_id: sha256 of its tar, as the config says.
        parent: the layer below; None for a base.
        placed: its snapshot; None where it is not unpacked.
        packed: its blob; None where that is not in the content store.
        digest: of its blob, as the manifest says; None where it does not, or by another algorithm.
    """

    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    placed: Placed | None = None
    packed: BlobLayer | None = None
    digest: BlobDigest | None = None

    @property
    def cache_id(self) -> str | None:
        """The name of its snapshot's directory; None where it has none."""
        return self.placed.place if self.placed else None

    @property
    def size(self) -> int | None:
        """Bytes on disk that its snapshot took when it was made, as the engine has it; 0 without one."""
        return self.placed.snapshot.size if self.placed else 0


class Snapshots:
    """The snapshots that some namespaces have, by the keys that they are known by there."""

    def __init__(self, spaces: Sequence[Namespace], snapshotters: Mapping[str, Snapshotter]) -> None:
        """Those of `spaces`, the first of which that has a key counts."""
        self._spaces = spaces
        self._snapshotters = snapshotters

    def of(self, key: str) -> Placed | None:
        """The snapshot of a key; where several snapshotters have it, one whose files can be read."""
        found = list(self._every(key))
        readable = (item for item in found if item.snapshotter.is_readable)
        return next(readable, None) or next(iter(found), None)

    def _every(self, key: str) -> Iterator[Placed]:
        for space in self._spaces:
            for name, snapshotter in self._snapshotters.items():
                meta = space.snapshot(name, key)
                snapshot = snapshotter.snapshot(meta.name) if meta else None
                if snapshot:
                    yield Placed(snapshotter, snapshot)

    def all(self) -> Iterator[Placed]:
        """Every snapshot of every snapshotter that is one of these namespaces', by number."""
        names = {space.name for space in self._spaces}
        for snapshotter in self._snapshotters.values():
            for snapshot in sorted(snapshotter.all.values(), key=lambda item: item.number):
                if snapshot.name.partition("/")[0] in names:
                    yield Placed(snapshotter, snapshot)


def chain_of_key(key: str) -> ChainID | None:
    """The chain ID that a key is, or None."""
    try:
        return ChainID(key)
    except InvalidID:
        return None


def disk_usage(top: HostDir) -> int:
    """Bytes on disk of a directory and all below, each inode once, as containerd counts (`fs/du_unix.go`)."""
    found = top.lstat()
    blocks = {(found.st_dev, found.st_ino): found.st_blocks}
    pending = [b""]
    while pending:
        path = pending.pop()
        with top.subdir(path) as directory:
            for name, found in directory.scan():
                blocks[found.st_dev, found.st_ino] = found.st_blocks
                if stat.S_ISDIR(found.st_mode):
                    pending.append(path + b"/" + name if path else name)
    return _BLOCK * sum(blocks.values())
