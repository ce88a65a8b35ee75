"""A tree with its numbered layers, and what made each: `open_subject` gives one for a name.

Who shows a tree asks the `Subject` which layer an entry comes from, and never computes a layer's number.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore
from layerfs.layernames import split_layer
from layerfs.model import INIT, WHOLE, BareLayer, Container, Image, Layer, LayerInfo
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerfs.model import Named
    from layerfs.store import Store
    from layerfs.tree.node import Node
    from layerfs.tree.source import LayerSource

__all__ = [
    "KINDS",
    "LayerChoiceError",
    "Subject",
    "by_layers",
    "layers_of",
    "numbered",
    "open_subject",
    "split_layer",
    "subject_of",
]

KINDS = ("container", "image", "layer")
"""What a name can mean, in the order in which it is looked for."""


class LayerChoiceError(ValueError):
    """A layer was chosen by number twice, or of what is no image."""


@dataclass(frozen=True)
class Subject:
    """A tree, its layers, and what it is of.

    Attributes:
        store: where it is from.
        tree: the tree.
        title: what to call it.
        layers: its layers, uppermost first as in the tree; none in an image of no layers.
        of: what the tree is of; None for a part that has no name, as what is below a top layer.
        alone: of one layer as it is on disk that layer, as overlayfs reads it; None for a union.
    """

    store: Store
    tree: UnionTree
    title: str
    layers: tuple[LayerInfo, ...]
    of: Named | None = None
    alone: LayerSource | None = None

    def layer_of(self, node: Node) -> LayerInfo | None:
        """The layer an entry of the tree comes from; None in an image of no layers."""
        return self.layers[node.part.layer] if self.layers else None

    def layer(self, number: int) -> LayerInfo:
        """The layer of a number; 1 is the base."""
        return self.layers[self._index(number)]

    def source(self, number: int) -> LayerSource:
        """The layer of a number, to read from."""
        return self.tree.layers[self._index(number)]

    def _index(self, number: int) -> int:
        """Where in `layers` the layer of a number is, of a subject `by_layers`."""
        return len(self.layers) - number

    def created_by(self, number: int) -> str | None:
        """The history entry that made the layer of a number; None for a container's own layers.

        It is read from the image that the subject is, or that its container was made from.
        """
        return self._commands.get(number)

    def own_kind(self, number: int) -> str | None:
        """What a container's own layer is, as `BareLayer.kind` has it; None for every other layer."""
        own = self.of.own if isinstance(self.of, Container) else ()
        place = self.layer(number).cache_id
        return next((layer.kind for layer in own if layer.cache_id == place), None)

    @functools.cached_property
    def _commands(self) -> Mapping[int, str]:
        from layerfs.analysis.store.history import history  # noqa: PLC0415 - few ask what made a layer
        from layerfs.analysis.store.stack import made_from  # noqa: PLC0415 - likewise

        image = self.of if isinstance(self.of, Image) else None
        if isinstance(self.of, Container):
            image = made_from(self.store, self.of)
        rows = history(self.store, image) if image else ()
        return {row.number: row.entry.created_by for row in rows if row.number is not None}


def open_subject(
    store: Store,
    name: str,
    *,
    up_to: int | None = None,
    layer: int | None = None,
    kinds: Sequence[str] | None = None,
) -> Subject:
    """The tree that a name means.

    Args:
        store: where to look.
        name: an image, a container or a layer; `IMAGE@N` is the image as of its layer N, as with `up_to`.
        up_to: the image as of its layer of this number; 1 is the base.
        layer: the layer of this number alone, as it is on disk.
        kinds: what the name may mean, some of `KINDS`; None is all, or an image where a number is given.

    Raises:
        LookupFailed: nothing has this name, or several have, or there is no layer of that number.
        CorruptStore: a layer that is needed is missing or damaged.
        LayerChoiceError: more than one of `@N`, `up_to` and `layer` is given, or the name is no image's.
    """
    image, number = split_layer(name)
    if (number, up_to, layer).count(None) < 2:
        raise LayerChoiceError(f"{name}: a layer is chosen more than once")
    if number is not None:
        name, up_to = image, number
    if up_to is None and layer is None:
        return subject_of(store, store.names.anything(name, kinds or KINDS), name)
    found = store.names.anything(name, kinds) if kinds else store.names.image_or_container(name)
    if not isinstance(found, Image):
        raise LayerChoiceError(f"{name} is no image, whose layers have numbers")
    title = _title(found, name)
    if up_to is not None:
        store.layer_number(found, up_to, name)
        tree = store.tree(found, up_to=up_to)
        chain: Sequence[Layer | BareLayer] = store.chain(found, up_to)
        stack = chain if len(chain) == len(tree.layers) else store.stack(chain[-1])
        return Subject(store, tree, f"{title} up to layer {up_to}", numbered(stack), found)
    assert layer is not None  # noqa: S101 - one of the two is given
    record = store.record(found.chain[store.layer_number(found, layer, name) - 1])
    layers = (LayerInfo.of(layer, record),)
    source = store.source(record)
    return Subject(store, store.tree(record), f"{title} layer {layer} alone", layers, record, source)


def subject_of(store: Store, found: Named, name: str) -> Subject:
    """The whole tree of something that was called `name`; raises `CorruptStore`."""
    alone = store.source(found) if isinstance(found, (BareLayer, Layer)) else None
    return Subject(store, store.tree(found), _title(found, name), layers_of(store, found), found, alone)


def by_layers(subject: Subject, up_to: int | None = None) -> Subject:
    """An image or container as its layers alone, one for each number, as they were packed.

    Mostly that is the subject itself. What a kind of store has between the layers of an image is left out,
    and what it unpacks as one whole tree is read from the layers' blobs.

    Args:
        subject: the image, perhaps as of a layer, or the container.
        up_to: the number of that layer.

    Raises:
        CorruptStore: a layer can be read in no other form.
    """
    depth = len(subject.layers)
    if [layer.number for layer in subject.layers] == [*range(depth, 0, -1)]:
        return subject
    from layerfs.analysis.store.stack import container_layers  # noqa: PLC0415 - few stores get here

    store, owner = subject.store, subject.of
    assert isinstance(owner, (Container, Image))  # noqa: S101 - a layer has one number, or none
    layers: Sequence[Layer | BareLayer] = (
        store.chain(owner, up_to) if isinstance(owner, Image) else container_layers(store, owner)
    )
    tree = UnionTree([store.source(layer) for layer in reversed(layers)])
    return replace(subject, tree=tree, layers=numbered(layers))


def layers_of(store: Store, found: Named) -> tuple[LayerInfo, ...]:
    """The layers of the tree of `found`, uppermost first.

    A layer alone has no number where the layers below it are damaged.

    Raises:
        CorruptStore: a layer of an image or container is missing or damaged.
    """
    if isinstance(found, (Container, Image)):
        return numbered(store.stack(found))
    try:
        return numbered(store.stack(found))[:1]
    except CorruptStore:
        return (LayerInfo.of(None, found),)


def numbered(stack: Sequence[Layer | BareLayer]) -> tuple[LayerInfo, ...]:
    """The layers of a stack, which is base first, with their numbers, uppermost first.

    What lies between the layers of an image, or stands for all of them, has no number.
    """
    found: list[LayerInfo] = []
    number = 0
    for layer in stack:
        between = isinstance(layer, BareLayer) and layer.kind in (INIT, WHOLE) and not layer.container_id
        number += not between
        found.append(LayerInfo.of(None if between else number, layer))
    return tuple(reversed(found))


def _title(found: Named, name: str) -> str:
    """What to call it: of an image's names the one that was used."""
    if isinstance(found, Image):
        known = (text for text in (name, f"{name}:latest") if text in found.every_name)
        return next(known, found.name)
    if isinstance(found, Container):
        return found.name
    return found.cache_id if isinstance(found, BareLayer) else found.chain_id
