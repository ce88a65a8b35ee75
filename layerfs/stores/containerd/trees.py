"""From snapshots to stacks of sources: a layer from its snapshot's directory, or else from its blob.

Sources: containerd `plugins/snapshots/overlay/overlay.go` (mounts), `plugins/snapshots/native/native.go`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, MalformedFile, MissingFile, reason
from layerfs.formats.whiteouts import TRUSTED
from layerfs.model import INIT, WHOLE, BareLayer
from layerfs.stores.containerd.layers import ContainerdLayer, chain_of_key, disk_usage
from layerfs.tree.overlay import OverlayLayer, RawLayer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerfs.ids import ChainID
    from layerfs.stores.blobs.layers import BlobLayer, LayerFiles
    from layerfs.stores.containerd.layers import Placed, Snapshots
    from layerfs.tree.source import LayerSource, StoredLayer

__all__ = ["Trees"]


class Trees:
    """Makes stacks and sources of the layers of one store."""

    def __init__(self, snapshots: Snapshots, files: LayerFiles) -> None:
        """Read snapshots of `snapshots`, and blobs by `files`."""
        self._snapshots = snapshots
        self._files = files

    # -- stacks --------------------------------------------------------------------------------

    def stack_of_chain(self, chain: Sequence[ContainerdLayer]) -> tuple[ContainerdLayer | BareLayer, ...]:
        """What makes the tree of a chain, base first: its snapshots, or what there is of them and its blobs.

        Raises:
            CorruptStore: a layer is neither unpacked nor packed, or the records of its snapshots are damaged.
        """
        top = chain[-1] if chain else None
        if top and top.placed and top.placed.snapshotter.is_readable:
            return self.stack(top.placed, {layer.chain_id: layer for layer in chain})
        return tuple(chain)

    def stack(
        self, placed: Placed, known: Mapping[ChainID, ContainerdLayer]
    ) -> tuple[ContainerdLayer | BareLayer, ...]:
        """What a snapshot stands on, and itself, base first; raises `CorruptStore`."""
        if placed.snapshotter.is_whole:
            return (self.bare(placed),)
        below = (placed._replace(snapshot=item) for item in placed.snapshotter.below(placed.snapshot))
        return tuple(self._layer(item, known) for item in below)

    def _layer(self, placed: Placed, known: Mapping[ChainID, ContainerdLayer]) -> ContainerdLayer | BareLayer:
        chain = chain_of_key(placed.key)
        layer = known.get(chain) if chain else None
        if layer is None:
            return self.bare(placed)
        # the same chain may be unpacked in several namespaces: each has a directory of its own
        return layer if layer.placed == placed else replace(layer, placed=placed)

    def bare(self, placed: Placed) -> BareLayer:
        """A snapshot as a layer without a chain ID."""
        if placed.snapshotter.is_whole:
            return BareLayer(placed.place, WHOLE)
        return BareLayer(placed.place, INIT if placed.snapshot.kind == "committed" else "directory")

    # -- sources -------------------------------------------------------------------------------

    def source(self, placed: Placed) -> LayerSource:
        """A snapshot as overlayfs reads it; a whole tree is that already; raises `CorruptStore`."""
        stored = self.stored(placed)
        return stored if placed.snapshotter.is_whole else OverlayLayer(stored, TRUSTED)

    def stored(self, placed: Placed) -> RawLayer:
        """A snapshot as it is on disk; raises `CorruptStore`."""
        snapshotter, number = placed.snapshotter, placed.snapshot.number
        if not snapshotter.is_readable:
            problem = (
                f"the files of the snapshotter {snapshotter.name} cannot be read, only blobs of its layers"
            )
            raise CorruptStore(snapshotter.path_of(number), problem)
        return RawLayer(snapshotter.tree(number))

    def source_of_layer(self, layer: ContainerdLayer) -> LayerSource:
        """A layer as overlayfs reads it; raises `CorruptStore`."""
        return OverlayLayer(self.stored_layer(layer), TRUSTED)

    def stored_layer(self, layer: ContainerdLayer) -> StoredLayer:
        """A layer as it was unpacked, or would be; raises `CorruptStore` where it is in neither form."""
        placed = layer.placed
        if placed and placed.snapshotter.is_readable and not placed.snapshotter.is_whole:
            return self.stored(placed)
        packed = self._packed(layer)
        self._files.tree(packed)  # its root is looked at now, so it is now that damage is told
        return self._files.stored(packed)

    def _packed(self, layer: ContainerdLayer) -> BlobLayer:
        if layer.packed:
            return layer.packed
        where = f"layer {layer.chain_id}"
        raise MissingFile(where, "it is not unpacked, and its blob is not in the content store")

    def disk_usage(self, placed: Placed) -> int:
        """Bytes on disk of a snapshot's files, directories too; raises `CorruptStore`."""
        directory = placed.snapshotter.tree(placed.snapshot.number)
        try:
            return disk_usage(directory)
        except OSError as error:
            raise MalformedFile(directory.display, reason(error)) from error
