"""Layers of an image, a container or a store, each with its names, the step that made it, and its users.

Sources: OCI image-spec `config.md` (history and layers), moby `layer/filestore.go`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from layerfs.analysis.store.holders import Holders
from layerfs.analysis.store.stack import made_from, own_layers
from layerfs.damage import attempt
from layerfs.errors import BrokenChain, CorruptStore
from layerfs.ids import chain_id
from layerfs.model import NOWHERE, BareLayer, Layer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layerfs.ids import ChainID, DiffID, ImageID
    from layerfs.model import Blob, Container, Image
    from layerfs.store import Store

__all__ = ["LayerRow", "LayerTable"]


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer, what made it, and what needs it.

    A listing also shows layers with a damaged record, and layers of no tree, which have no `LayerInfo`. And
    the users of a layer are known only when the whole store was read, which a tree does not need.

    Attributes:
        index: its number in its chain, 1 for the base; None if the chain is broken.
        diff_id: sha256 of its uncompressed tar; None for a layer without a record.
        chain_id: its chain ID; None for a layer without a record.
        parent: the chain ID of the layer below; None for a base layer, and if the layer below has none.
        layer: its record, or a `BareLayer` for one without; None if the record is damaged or missing.
        size: bytes as the engine counts them; None if not known.
        link: its short name, such as the one in `overlay2/l/`; None if it has none.
        directory: its directory, as a path relative to that of the store; None if it is missing.
        created_by: the history entry that made it; in a list of all layers, that of the image with the fewest
            layers.
        images: the images that need it, newest first.
        containers: the containers that need it, newest first.
        buildkit: whether BuildKit's cache needs it.
    """

    index: int | None
    diff_id: DiffID | None
    chain_id: ChainID | None
    parent: ChainID | None
    layer: Layer | BareLayer | None
    size: int | None
    link: str | None
    directory: str | None
    created_by: str | None
    images: tuple[Image, ...]
    containers: tuple[Container, ...]
    buildkit: bool

    @property
    def cache_id(self) -> str | None:
        """The name of its directory."""
        return self.layer.cache_id if self.layer else None

    @property
    def blob_size(self) -> int | None:
        """Bytes of its blob, in kinds of store that keep it."""
        return self.layer.blob_size if isinstance(self.layer, Layer) else None

    @property
    def kind(self) -> str:
        """`layer`, or what `BareLayer.kind` says."""
        return self.layer.kind if isinstance(self.layer, BareLayer) else "layer"


class LayerTable:
    """The layers of one store, with who holds them."""

    def __init__(self, root: Store, holders: Holders | None = None) -> None:
        """Read the layers of `root`; `holders` if they are known already."""
        self._root = root
        self.holders = holders or Holders.of(root)
        self._made_by: dict[ImageID, Mapping[ChainID, str]] = {}

    def of_image(self, image: Image) -> list[LayerRow]:
        """The layers of an image, base first, by its config; a missing one is reported."""
        made_by = self.made_by(image)
        parents = (None, *image.chain)
        numbered = enumerate(zip(image.config.diff_ids, image.chain, parents, strict=False), 1)
        return [
            self._row((index, diff_id, chain, parent), _record(self._root, chain), made_by.get(chain))
            for index, (diff_id, chain, parent) in numbered
        ]

    def of_container(self, container: Container) -> list[LayerRow]:
        """The layers of a container, its own last; raises `CorruptStore`."""
        own = own_layers(self._root, container)
        image = made_from(self._root, container)
        if image:
            rows = self._standing(container, self.of_image(image))
        else:
            rows = self.of_chain(self._root.layers_below(container))
        for layer in own:
            rows.append(self._bare(len(rows) + 1, rows[-1].chain_id if rows else None, layer))
        return rows

    def _standing(self, container: Container, rows: list[LayerRow]) -> list[LayerRow]:
        """The rows of an image's layers, but with the directories that a container of it uses."""
        try:
            chain = {layer.chain_id: layer for layer in self._root.layers_below(container)}
        except CorruptStore:  # reported with the rows
            return rows
        return [self._elsewhere(row, chain.get(row.chain_id)) if row.chain_id else row for row in rows]

    def _elsewhere(self, row: LayerRow, layer: Layer | None) -> LayerRow:
        if layer is None or layer.cache_id == row.cache_id:
            return row
        directory, link = self._root.place(layer)
        return replace(row, layer=layer, size=layer.size, link=link, directory=directory)

    def blobs(self, diff_id: DiffID | None) -> tuple[Blob, ...]:
        """The blobs of a layer in registries, from the records of pulls and pushes; reports damaged ones."""
        return self._root.blobs(diff_id)

    def of_chain(self, chain: Sequence[Layer]) -> list[LayerRow]:
        """The layers of a chain, base first."""
        return [self._found(index, layer) for index, layer in enumerate(chain, 1)]

    def of_root(self) -> list[LayerRow]:
        """Every sound layer: parents before children, the children of a layer directly after it."""
        return [self._found(index, layer) for index, layer in _parents_first(self._root, self.holders.layers)]

    def of_layer(self, layer: Layer | BareLayer) -> LayerRow:
        """The row of one layer; a defect of the layers below it is reported."""
        if isinstance(layer, BareLayer):
            return self._of_bare(layer)
        index = attempt(self._root.report, lambda: len(self._root.chain_below(layer.chain_id)))
        return self._found(index, layer)

    def _of_bare(self, layer: BareLayer) -> LayerRow:
        index = parent = None
        try:
            stack = self._root.stack(layer)
            index = len(stack)
            parent = stack[-2].chain_id if index > 1 and isinstance(stack[-2], Layer) else None
        except CorruptStore as error:
            self._root.report(error)
        return self._bare(index, parent, layer)

    def _bare(self, index: int | None, parent: ChainID | None, layer: BareLayer) -> LayerRow:
        """The row of a layer without a record."""
        directory, link = self._root.place(layer)
        size = self._root.content_size(layer) if directory else None
        owner = layer.container_id
        containers = (self._root.load_container(owner),) if owner else ()
        buildkit = not owner and layer.cache_id in self.holders.directories
        place = (index, None, None, parent)
        return LayerRow(*place, layer, size, link, directory, None, (), containers, buildkit)

    def _found(self, index: int | None, layer: Layer) -> LayerRow:
        images = self.holders.images.get(layer.chain_id, ())
        # the image with the fewest layers above it is the closest to the build that made it
        maker = min(images, key=lambda image: len(image.config.diff_ids), default=None)
        created_by = self.made_by(maker).get(layer.chain_id) if maker else None
        return self._row((index, layer.diff_id, layer.chain_id, layer.parent), layer, created_by)

    def made_by(self, image: Image) -> Mapping[ChainID, str]:
        """The step that made each layer of an image, as far as its history tells."""
        if image.id not in self._made_by:
            steps = (entry.created_by for entry in image.config.history if not entry.empty_layer)
            self._made_by[image.id] = dict(zip(image.chain, steps, strict=False))
        return self._made_by[image.id]

    def _row(
        self,
        place: tuple[int | None, DiffID, ChainID, ChainID | None],
        layer: Layer | None,
        created_by: str | None,
    ) -> LayerRow:
        index, diff_id, chain, parent = place
        directory, link = self._root.place(layer) if layer else NOWHERE
        return LayerRow(
            index,
            diff_id,
            chain,
            parent,
            layer,
            layer.size if layer else None,
            link,
            directory,
            created_by,
            self.holders.images.get(chain, ()),
            self.holders.containers.get(chain, ()),
            chain in self.holders.buildkit,
        )


def _record(root: Store, chain: ChainID) -> Layer | None:
    return attempt(root.report, lambda: root.record(chain))


def _parents_first(root: Store, layers: Mapping[ChainID, Layer]) -> Iterator[tuple[int | None, Layer]]:
    """Each layer with its number in its chain, None if the chain is broken."""
    above: dict[ChainID, list[Layer]] = defaultdict(list)
    pending: list[tuple[int | None, Layer]] = []
    for layer in sorted(layers.values(), key=lambda item: item.chain_id, reverse=True):
        if not _is_sound(root, layer):
            pending.append((None, layer))
        elif layer.parent is None:
            pending.append((1, layer))
        else:
            above[layer.parent].append(layer)
    while pending:
        index, layer = pending.pop()
        yield index, layer
        pending += [(index + 1 if index else None, child) for child in above[layer.chain_id]]


def _is_sound(root: Store, layer: Layer) -> bool:
    """Whether the layer's parent exists and its chain ID is right; reports it if not."""
    computed = chain_id(layer.parent, layer.diff_id)
    if computed != layer.chain_id:
        name = f"{root.record_name(layer.chain_id)}/parent"
        problem = "diff and parent do not make this chain ID"
        root.report(BrokenChain(name, problem, expected=layer.chain_id, found=computed))
        return False
    return layer.parent is None or _record(root, layer.parent) is not None
