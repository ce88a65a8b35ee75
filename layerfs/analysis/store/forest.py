"""All layers of a store as a forest: each layer once, on its parent.

Images share their lower layers, so a question about all images is answered by one walk from the bases
upwards. The forest also has the layers of containers, and directories for layers that belong to neither.

Sources: moby `layer/layer_store.go`, `layer/filestore.go`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from layerfs.analysis.store.holders import Holders
from layerfs.damage import attempt
from layerfs.errors import CorruptStore
from layerfs.model import BareLayer, Container, Image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from layerfs.ids import ChainID, DiffID
    from layerfs.model import Layer
    from layerfs.store import Store
    from layerfs.tree.source import LayerSource

__all__ = ["Forest", "Owner", "Stage"]

Owner: TypeAlias = Image | Container
"""An image or container."""


@dataclass(slots=True, eq=False)
class Stage:
    """A layer in a forest.

    A `Subject` has the one tree of a name. A stage is part of the trees of many images. It knows the stages
    above it, and exists also for a damaged or missing layer, of which no tree can be made.

    Attributes:
        below: its parent; None for a base, and where it is not known.
        number: 1 for a base; None where the layers below are not known.
        cache_id: the name of its directory; None where no record tells it, not even a damaged one.
        chain_id: of an image's layer; None for layers of containers and for leftovers.
        diff_id: of an image's layer; None for layers of containers and for leftovers.
        record: its record in the store; None where that is damaged or missing.
        used: whether anything needs it; None where that is not known, because of damage.
        twin: the stage of the same layer in the same directory, as another namespace records it.
        owners: the images and containers of which it is the top layer.
        above: the stages directly on it.
        first: the index of its owners in `Forest.owners`; the owners of the stages above follow.
        last: the index behind the last of these.
    """

    below: Stage | None
    number: int | None
    cache_id: str | None
    chain_id: ChainID | None = None
    diff_id: DiffID | None = None
    record: Layer | None = None
    used: bool | None = True
    twin: Stage | None = None
    owners: list[Owner] = field(default_factory=list)
    above: list[Stage] = field(default_factory=list)
    first: int = 0
    last: int = 0

    def chain(self) -> list[Stage]:
        """This stage and all below it, uppermost first."""
        found = [self]
        while (below := found[-1].below) is not None:
            found.append(below)
        return found


class Forest:
    """The stages of one store, or of some images and containers of it.

    Attributes:
        holders: what needs each layer.
        bases: the stages without a parent.
        owners: every image and container with layers, in the order of `walk`.
        by_chain: the stages of images' layers.
    """

    def __init__(self, root: Store, owners: Iterable[Owner] | None = None) -> None:
        """Read the records of `root`; damage is reported to it.

        Args:
            root: the store.
            owners: take only the layers of these; None for all layers of the store.
        """
        self._root = root
        self.holders = Holders.of(root)
        self.by_chain: dict[ChainID, Stage] = {}
        self.bases: list[Stage] = []
        self.owners: list[Owner] = []
        self._own: dict[str, Stage] = {}
        if owners is None:
            self._add_everything()
        else:
            self._add_chosen(owners)
        self._number_owners()

    def __len__(self) -> int:
        """How many stages there are."""
        return len(self.by_chain) + len(self._own)

    def walk(self) -> Iterator[tuple[Stage, bool]]:
        """Every stage twice: with True before the stages above it, with False after them."""
        pending = [(stage, True) for stage in reversed(self.bases)]
        while pending:
            stage, entering = pending.pop()
            yield stage, entering
            if entering:
                pending.append((stage, False))
                pending += [(above, True) for above in reversed(stage.above)]

    def stages(self) -> Iterator[Stage]:
        """Every stage, lower ones first."""
        return (stage for stage, entering in self.walk() if entering)

    def owners_of(self, stage: Stage) -> list[Owner]:
        """The images and containers whose tree has the layer of `stage`."""
        return self.owners[stage.first : stage.last]

    def source(self, stage: Stage) -> LayerSource | None:
        """A layer as overlayfs reads it; None if it is missing or damaged, which is reported."""
        layer = stage.record or (BareLayer(stage.cache_id) if stage.cache_id else None)
        return attempt(self._root.report, lambda: self._root.source(layer)) if layer else None

    def shows(self, image: Image, layers: Sequence[LayerSource]) -> bool:
        """Whether these, uppermost first, are the layers of `image` as they are read here."""
        stage = self.by_chain.get(image.chain[-1]) if image.chain else None
        own = [self.source(item) for item in stage.chain()] if stage else []
        return len(own) == len(layers) and all(
            mine is not None and mine.identity == given.identity
            for mine, given in zip(own, layers, strict=True)
        )

    # -- building ------------------------------------------------------------------------------

    def _add_everything(self) -> None:
        for image in self._root.images():
            self._add_image(image)
        for layer in self.holders.layers.values():
            self._add_layer(layer)
        for chain in self._root.chain_ids():
            if chain not in self.by_chain:  # a damaged layer that no image has
                self._layer_stage(None, chain, None).number = None
        for container in self._root.containers():
            self._add_container(container)
        self._add_leftovers()

    def _add_chosen(self, owners: Iterable[Owner]) -> None:
        for owner in {owner.id: owner for owner in owners}.values():
            if isinstance(owner, Image):
                self._add_image(owner)
                continue
            layer = self.holders.layers.get(owner.top) if owner.top else None
            if layer:
                self._add_layer(layer)
            self._add_container(owner)

    def _add_image(self, image: Image) -> None:
        """Add the layers of an image, with chain IDs computed from its config."""
        below: Stage | None = None
        for diff_id, chain in zip(image.config.diff_ids, image.chain, strict=True):
            below = self._layer_stage(below, chain, diff_id)
        if below:
            below.owners.append(image)

    def _add_layer(self, layer: Layer) -> None:
        """Add a layer that may be of no image, on its parents if they are sound."""
        if layer.chain_id in self.by_chain:
            return
        try:
            chain: Sequence[Layer] = self._root.chain_below(layer.chain_id, until=self.by_chain)
        except CorruptStore as error:
            self._root.report(error)
            self._layer_stage(None, layer.chain_id, layer.diff_id).number = None
            return
        parent = chain[0].parent if chain else None
        below = self.by_chain[parent] if parent else None
        for record in chain:
            below = self._layer_stage(below, record.chain_id, record.diff_id)

    def _layer_stage(self, below: Stage | None, chain: ChainID, diff_id: DiffID | None) -> Stage:
        found = self.by_chain.get(chain)
        if found is None:
            record = self.holders.layers.get(chain)
            cache_id = self._root.place_of_chain(chain)
            number = 1 if below is None else below.number and below.number + 1
            used = self.holders.held(chain) or (False if self.holders.complete else None)
            found = Stage(below, number, cache_id, chain, diff_id, record, used)
            self.by_chain[chain] = self._attached(found)
        return found

    def _add_container(self, container: Container) -> None:
        """Add the own layers of a container; they are bases if the layers below them are damaged."""
        below = self.by_chain.get(container.top) if container.top else None
        for layer in container.own:
            number = below.number and below.number + 1 if below else (None if container.top else 1)
            below = self._own[layer.cache_id] = self._attached(Stage(below, number, layer.cache_id))
        if container.own and below:
            below.owners.append(container)

    def _add_leftovers(self) -> None:
        """Add the directories that no record of a layer or container names: BuildKit's, or nobody's."""
        known = {stage.cache_id for stage in self.by_chain.values()} | self._own.keys()
        for cache_id in self._root.places():
            if cache_id not in known:
                used = cache_id in self.holders.directories or (False if self.holders.complete else None)
                chain = self._root.chain_of_twin(cache_id)
                twin = self.by_chain.get(chain) if chain else None
                self._own[cache_id] = self._attached(Stage(None, None, cache_id, used=used, twin=twin))

    def _attached(self, stage: Stage) -> Stage:
        (stage.below.above if stage.below else self.bases).append(stage)
        return stage

    def _number_owners(self) -> None:
        for stage, entering in self.walk():
            if entering:
                stage.first = len(self.owners)
                self.owners += stage.owners
            else:
                stage.last = len(self.owners)
