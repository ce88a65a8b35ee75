"""The layers of a containerd root: unpacked as a snapshot, packed as a blob, or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import BrokenChain, MissingFile
from layerfs.ids import ChainID, InvalidID
from layerfs.model import Layer
from layerfs.stores.containerd.snapshotters import OVERLAYFS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerfs.errors import CorruptStore
    from layerfs.formats.containerdmeta import Namespace
    from layerfs.formats.snapshotdb import Snapshot
    from layerfs.ids import BlobDigest, DiffID
    from layerfs.stores.blobs.layers import BlobLayer
    from layerfs.stores.containerd.snapshotters import Snapshotter

__all__ = ["ContainerdLayer", "Placed", "Snapshots", "chain_of_key", "chain_to"]

_MOST = 500  # layers that overlayfs takes below one (Linux `fs/overlayfs/params.c`)


class Placed(NamedTuple):
    """A snapshot and its snapshotter.

    Attributes:
        snapshotter: has its files.
        snapshot: its record.
    """

    snapshotter: Snapshotter
    snapshot: Snapshot

    @property
    def place(self) -> str:
        """Its number; with another snapshotter than overlayfs after the name of that: `erofs/17`."""
        number = str(self.snapshot.number)
        return number if self.snapshotter.name == OVERLAYFS else f"{self.snapshotter.name}/{number}"

    @property
    def key(self) -> str:
        """Its key in the namespace: a chain ID, a container's ID, or another word."""
        return _key(self.snapshot.name)

    @property
    def key_below(self) -> str:
        """The key of the snapshot below it; empty for a base."""
        return _key(self.snapshot.parent)


@dataclass(frozen=True, slots=True)
class ContainerdLayer(Layer):
    """A layer of an image.

    Attributes:
        chain_id: its identity on top of those below.
        diff_id: sha256 of its tar, as the config says.
        parent: the layer below; None for a base.
        placed: its snapshot; None if it is not unpacked.
        packed: its blob; None if that is not in the content store.
        digest: of its blob, as in the manifest; None if it is not there, or of an unknown algorithm.
        blob_size: bytes of that blob, as in the manifest, whether the blob is there or not.
    """

    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    placed: Placed | None = None
    packed: BlobLayer | None = None
    digest: BlobDigest | None = None
    blob_size: int | None = None

    @property
    def cache_id(self) -> str | None:
        """The name of its snapshot's directory; None where it has none."""
        return self.placed.place if self.placed else None

    @property
    def size(self) -> int | None:
        """Bytes on disk that its snapshot took when it was made, as recorded; 0 without a snapshot."""
        return self.placed.snapshot.size if self.placed else 0

    @property
    def blob_digest(self) -> BlobDigest | None:
        """As `digest`."""
        return self.digest


class Snapshots:
    """The snapshots of some namespaces, by their keys.

    A snapshot that only one of meta.db and metadata.db has is found too, and reported.
    """

    def __init__(
        self,
        spaces: Sequence[Namespace],
        snapshotters: Mapping[str, Snapshotter],
        report: Callable[[CorruptStore], None],
        meta_name: str,
    ) -> None:
        """Know the snapshots of `spaces`; if several have a key, the first one counts.

        Args:
            spaces: the namespaces.
            snapshotters: have the files.
            report: takes what is wrong.
            meta_name: the path of meta.db, for messages.
        """
        self._spaces = spaces
        self._snapshotters = snapshotters
        self._report = report
        self._meta_name = meta_name

    def __bool__(self) -> bool:
        """Whether any snapshotter has records that can be read."""
        return any(snapshotter.has_records for snapshotter in self._snapshotters.values())

    def of(self, key: str) -> Placed | None:
        """The snapshot of a key; if several snapshotters have it, one whose files can be read."""
        found = self.every(key)
        readable = [item for item in found if item.snapshotter.is_readable]
        return next(iter(readable or found), None)

    def every(self, key: str) -> list[Placed]:
        """The snapshots of a key in all namespaces and snapshotters, in their order."""
        found = [
            placed
            for space in self._spaces
            for snapshotter in self._snapshotters.values()
            if (placed := self._named(space, snapshotter, key))
        ]
        return found or list(self._unnamed(key))

    def _named(self, space: Namespace, snapshotter: Snapshotter, key: str) -> Placed | None:
        """The snapshot of a snapshotter for a key of a namespace; if there is none, that is reported."""
        meta = space.snapshot(snapshotter.name, key)
        if meta and _key(meta.name) != key:
            return None  # without a record of its own it may be another namespace's
        snapshot = snapshotter.snapshot(meta.name) if meta else None
        if meta and snapshot is None and snapshotter.has_records:
            name = snapshotter.record_name(meta.name)
            self._report(MissingFile(name, "there is no sound record of the snapshot"))
        return Placed(snapshotter, snapshot) if snapshot else None

    def _unnamed(self, key: str) -> Iterator[Placed]:
        """Snapshots for a key that metadata.db has, and meta.db has not."""
        for space in self._spaces:
            for snapshotter in self._snapshotters.values():
                if snapshot := snapshotter.by_key(space.name, key):
                    name = f"{self._meta_name}: {space.name}: snapshot {ascii(key)[1:-1]}"
                    used = f"that of {snapshotter.database_name} is used"
                    self._report(MissingFile(name, "there is no record").instead(used))
                    yield Placed(snapshotter, snapshot)

    def is_unnamed(self, placed: Placed) -> bool:
        """Whether no namespace that is read has this snapshot."""
        metas = (space.snapshot(placed.snapshotter.name, placed.key) for space in self._spaces)
        return all(meta is None or meta.name != placed.snapshot.name for meta in metas)

    def below(self, top: Placed, until: str = "") -> tuple[tuple[Placed, ...], CorruptStore | None]:
        """A snapshot and all that it stands on, base first; and why the lowest is not the base.

        That is None, or that the one below it is missing, or is below itself. What the namespace notes of
        snapshots is used where the snapshotter's records are wrong, and this is reported.

        Args:
            top: the snapshot.
            until: the name of a snapshot; neither it nor what is below it is looked at.
        """
        found, problem = self._walk(top, until, noted=False)
        if problem:
            others, other_problem = self._walk(top, until, noted=True)
            if other_problem is None:
                self._report(problem.instead(f"what {self._meta_name} has is used"))
                return others, None
        return found, problem

    def _walk(
        self, top: Placed, until: str, *, noted: bool
    ) -> tuple[tuple[Placed, ...], CorruptStore | None]:
        """As `below`, by metadata.db only, or with `noted` by the parents in meta.db where it has them."""
        found, seen = [top], {top.snapshot.name}
        problem: CorruptStore | None = None
        while problem is None:
            at = found[-1]
            if until and at.snapshot.parent == until:
                break
            is_told, below = self._noted_below(at) if noted else (False, None)
            if not is_told and at.snapshot.parent:
                snapshot = at.snapshotter.snapshot(at.snapshot.parent)
                below = Placed(at.snapshotter, snapshot) if snapshot else None
                problem = None if below else _wrong_parent(at, None)
            if below is None:
                break
            if below.snapshot.name in seen:
                problem = _wrong_parent(at, below.snapshot)
            elif len(found) > _MOST:
                name = top.snapshotter.record_name(top.snapshot.name)
                problem = BrokenChain(name, "too many snapshots are below it")
            else:
                seen.add(below.snapshot.name)
                found.append(below)
        return tuple(reversed(found)), problem

    def _noted_below(self, at: Placed) -> tuple[bool, Placed | None]:
        """Whether meta.db has the parent of a snapshot, and the parent; None for a base."""
        for space in self._spaces:
            meta = space.snapshot(at.snapshotter.name, at.key)
            if meta and meta.name == at.snapshot.name:
                below = self._named(space, at.snapshotter, meta.parent) if meta.parent else None
                return below is not None or not meta.parent, below
        return False, None

    def all(self) -> Iterator[Placed]:
        """Every snapshot of these namespaces, and every directory without a record, by number."""
        names = {space.name for space in self._spaces}
        for snapshotter in self._snapshotters.values():
            for snapshot in sorted(snapshotter.all.values(), key=lambda item: item.number):
                if snapshot.name.partition("/")[0] in names:
                    yield Placed(snapshotter, snapshot)
            for snapshot in snapshotter.strays() if snapshotter.is_readable else ():
                yield Placed(snapshotter, snapshot)


def chain_of_key(key: str) -> ChainID | None:
    """The key as a chain ID; None if it is none."""
    try:
        return ChainID(key)
    except InvalidID:
        return None


def _wrong_parent(at: Placed, parent: Snapshot | None) -> CorruptStore:
    """The problem of a record whose parent is missing, or is above it."""
    name, said = at.snapshotter.record_name(at.snapshot.name), at.snapshot.parent
    if parent is None:
        return MissingFile(name, "the snapshot below has no sound record", expected=said)
    return BrokenChain(name, "the snapshot is below itself", found=said)


def chain_to(top: ContainerdLayer, known: Mapping[ChainID, ContainerdLayer]) -> tuple[ContainerdLayer, ...]:
    """A layer and all below it, base first; every layer in `known` has those below it there."""
    found = [top]
    while (parent := found[-1].parent) is not None:
        found.append(known[parent])
    return tuple(reversed(found))


def _key(name: str) -> str:
    """The key in a snapshotter's name `<namespace>/<number>/<key>`."""
    return name.split("/", 2)[-1]
