"""Makes stacks of sources: each layer from its snapshot's directory, or else from its blob.

Sources: containerd `plugins/snapshots/overlay/overlay.go` (mounts), `plugins/snapshots/native/native.go`.
"""

from __future__ import annotations

import logging
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, DataRootUnreadable, MalformedFile, MissingFile, reason
from layerfs.formats.whiteouts import TRUSTED
from layerfs.model import INIT, WHOLE, BareLayer
from layerfs.stores.containerd.diskusage import disk_usage
from layerfs.stores.containerd.layers import ContainerdLayer, chain_of_key, chain_to
from layerfs.tree.overlay import OverlayLayer, RawLayer
from layerfs.tree.parents import Below

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerfs.hostdir import HostDir
    from layerfs.ids import ChainID
    from layerfs.stores.blobs.layers import BlobLayer, LayerFiles
    from layerfs.stores.containerd.layers import Placed, Snapshots
    from layerfs.stores.containerd.snapshotters import Snapshotter
    from layerfs.tree.source import LayerSource, StoredLayer

__all__ = ["Trees"]

_log = logging.getLogger(__name__)


class Trees:
    """Makes stacks and sources of the layers of one store."""

    def __init__(
        self,
        snapshots: Snapshots,
        files: LayerFiles,
        report: Callable[[CorruptStore], None],
        known: Callable[[], Mapping[ChainID, ContainerdLayer]],
    ) -> None:
        """Read snapshots and blobs; damage that is made good is reported.

        Args:
            snapshots: the snapshots.
            files: reads blobs.
            report: is told of damage that is made good.
            known: gives the layers of images by chain ID.
        """
        self._snapshots = snapshots
        self._files = files
        self._report = report
        self._known = known
        self._told: set[str] = set()
        self._stacked: weakref.WeakValueDictionary[ChainID, Below] = weakref.WeakValueDictionary()

    # -- stacks --------------------------------------------------------------------------------

    def stack_of_chain(self, chain: Sequence[ContainerdLayer]) -> tuple[ContainerdLayer | BareLayer, ...]:
        """The layers for the tree of a chain, base first: snapshots if they are there, else blobs.

        If the snapshots are damaged, that is reported, and the order is that of the chain.
        """
        top = chain[-1] if chain else None
        if top and top.placed and top.placed.snapshotter.is_readable:
            try:
                return self.stack(top.placed, {layer.chain_id: layer for layer in chain}, whole=True)
            except DataRootUnreadable:
                raise
            except CorruptStore as error:
                self._report(error.instead("the image is made of the layers of its config"))
        return tuple(chain)

    def stack(
        self, placed: Placed, known: Mapping[ChainID, ContainerdLayer], *, whole: bool = False
    ) -> tuple[ContainerdLayer | BareLayer, ...]:
        """A snapshot and all below it, base first.

        If records below are damaged, the rest is that of a layer in `known`.

        Args:
            placed: the snapshot.
            known: the layers of images by chain ID.
            whole: whether the directories of all snapshots must be there that are no layers of `known`.

        Raises:
            CorruptStore: it is not known what is below, or a directory is missing.
        """
        if placed.snapshotter.is_whole:
            return (self.item(placed, {}, whole=whole),)
        own, problem = self._snapshots.below(placed)
        lower: tuple[ContainerdLayer, ...] = ()
        if problem:
            number, layer = self._told_by(own, known, problem)
            self._report(problem.instead(f"layer {layer.chain_id} tells what is below"))
            own, lower = own[number:], chain_to(layer, known)
        return *lower, *(self.item(item, known, whole=whole) for item in own)

    def _told_by(
        self, own: Sequence[Placed], known: Mapping[ChainID, ContainerdLayer], problem: CorruptStore
    ) -> tuple[int, ContainerdLayer]:
        """A layer that replaces the lowest snapshots, and the number of these; raises `problem` if none can.

        If a snapshot is missing, it is the layer next to that; in a circle it is the uppermost.
        """
        keys = [own[0].key_below, *(item.key for item in own)]
        numbers = range(len(keys)) if isinstance(problem, MissingFile) else range(len(own), -1, -1)
        for number in numbers:
            chain = chain_of_key(keys[number])
            if chain and (layer := known.get(chain)):
                return number, layer
        raise problem

    def item(
        self, placed: Placed, known: Mapping[ChainID, ContainerdLayer], *, whole: bool = False
    ) -> ContainerdLayer | BareLayer:
        """The layer that a snapshot is, of `known` where it is of an image; `whole` as in `stack`."""
        chain = chain_of_key(placed.key)
        layer = known.get(chain) if chain else None
        if layer and layer.placed == placed:
            return layer
        if layer and layer.placed and placed.snapshot.name:
            # the same chain may be unpacked in several namespaces: each has a directory of its own
            return replace(layer, placed=placed)
        if whole:
            placed.snapshotter.tree(placed.snapshot.number)
        return self.bare(placed)

    def bare(self, placed: Placed) -> BareLayer:
        """A snapshot as a layer without a chain ID."""
        if placed.snapshotter.is_whole:
            return BareLayer(placed.place, WHOLE)
        return BareLayer(placed.place, INIT if placed.snapshot.kind == "committed" else "directory")

    # -- sources -------------------------------------------------------------------------------

    def source(self, placed: Placed) -> LayerSource:
        """A snapshot as overlayfs reads it, or a whole tree as it is; raises `CorruptStore`."""
        stored = self.stored(placed)
        return stored if placed.snapshotter.is_whole else OverlayLayer(stored, TRUSTED)

    def stored(self, placed: Placed) -> RawLayer:
        """A snapshot as it is on disk; raises `CorruptStore`."""
        return RawLayer(_files(placed))

    def source_of_layer(self, layer: ContainerdLayer) -> LayerSource:
        """A layer as overlayfs reads it; raises `CorruptStore`."""
        return OverlayLayer(self.stored_layer(layer), TRUSTED)

    def stored_layer(self, layer: ContainerdLayer) -> StoredLayer:
        """A layer as it was or would be unpacked; raises `CorruptStore` if it has no snapshot and no blob."""
        placed = layer.placed
        if placed and placed.snapshotter.is_readable and not placed.snapshotter.is_whole:
            try:
                return self.stored(placed)
            except DataRootUnreadable:
                raise
            except CorruptStore as error:
                if layer.packed is None:
                    raise
                self._report(error.instead(f"its blob is read: {layer.packed.blob.label}"))
        packed = self._packed(layer)
        if placed and not placed.snapshotter.is_readable:
            self._tell_unreadable(placed.snapshotter)
        self._files.tree(packed)  # damage is to be reported now, not at the first access
        return self._files.stored(packed)

    def below(self, chain: ChainID | None) -> Below | None:
        """The layer of a chain ID, for those above; None below a base, or if it is unreadable (reported)."""
        layer = self._known().get(chain) if chain else None
        if chain is None or layer is None:
            return None
        found = self._stacked.get(chain)
        if found is None:
            try:
                stored = self.stored_layer(layer)
            except CorruptStore as error:
                shown = "directories above it without a header in their tar are shown as 0755 of root"
                self._report(error.instead(shown))
                return None
            found = self._stacked[chain] = Below(stored, lambda: self.below(layer.parent))
        return found

    def _packed(self, layer: ContainerdLayer) -> BlobLayer:
        if layer.packed:
            return layer.packed
        where, problem = f"layer {layer.chain_id}", "it is not unpacked"
        if layer.placed and not layer.placed.snapshotter.is_readable:
            problem = f"the files of the snapshotter {layer.placed.snapshotter.name} cannot be read"
        raise MissingFile(where, f"{problem}, and its blob is not in the content store")

    def _tell_unreadable(self, snapshotter: Snapshotter) -> None:
        """Log once that the files of a snapshotter cannot be read."""
        if snapshotter.name not in self._told:
            self._told.add(snapshotter.name)
            _log.warning(
                "the files of the snapshotter %s cannot be read: its layers are read from their blobs",
                ascii(snapshotter.name)[1:-1],
            )

    @staticmethod
    def size(placed: Placed) -> int:
        """Bytes on disk of a snapshot, with directories: as recorded when it was committed, or else now.

        Raises:
            CorruptStore: no size is recorded, and the files cannot be read.
        """
        if placed.snapshot.size is not None:
            return placed.snapshot.size
        directory = _files(placed)
        try:
            return disk_usage(directory)
        except OSError as error:
            raise MalformedFile(directory.display, reason(error)) from error


def _files(placed: Placed) -> HostDir:
    """The directory of a snapshot's files; raises `CorruptStore`."""
    snapshotter, number = placed.snapshotter, placed.snapshot.number
    if not snapshotter.is_readable:
        problem = f"the files of the snapshotter {snapshotter.name} cannot be read, only blobs of its layers"
        raise CorruptStore(snapshotter.path_of(number), problem)
    return snapshotter.tree(number)
