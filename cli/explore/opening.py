"""What the browser opens: an image, container or layer with numbered layers; its tree as of one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore
from layerfs.model import Container, Image, LayerInfo
from layerfs.subject import Subject, by_layers, numbered, split_layer, subject_of
from layerfs.tree.union import UnionTree

from ..units import short_id

if TYPE_CHECKING:
    from layerfs.model import Named
    from layerfs.store import Store

__all__ = ["Stack", "open_stack", "stack_of"]


@dataclass(frozen=True, slots=True)
class Stack:
    """A subject whose layers have the numbers 1 (the base) to `depth`, and the word that names it."""

    subject: Subject
    word: str

    @property
    def depth(self) -> int:
        """How many layers it has."""
        return len(self.subject.layers)

    @property
    def title(self) -> str:
        """Its name for people: of an image without one the beginning of its ID."""
        title = self.subject.title
        return short_id(title) if title.startswith("sha256:") else title

    def as_of(self, number: int) -> UnionTree:
        """The tree of the layers up to one; of number 0 an empty one."""
        return UnionTree(self.subject.tree.layers[self.depth - number :])

    def word_as_of(self, number: int) -> str:
        """How a command line names the tree as of a layer."""
        if number == self.depth or not isinstance(self.subject.of, Image):
            return self.word
        return f"{split_layer(self.word)[0]}@{number}"


def open_stack(store: Store, name: str) -> Stack:
    """What a name means; raises as `open_subject`."""
    word, number = split_layer(name)
    if number is None:
        return stack_of(store, store.names.anything(name), name)
    image = store.names.image(word)
    store.layer_number(image, number, word)
    whole = by_layers(subject_of(store, image, word))
    layers = whole.layers[-number:]
    tree = UnionTree(whole.tree.layers[-number:])
    return Stack(replace(whole, tree=tree, layers=layers), name)


def stack_of(store: Store, found: Named, name: str) -> Stack:
    """The layers of what was found under a name; of a layer also those below it, where they are known."""
    subject = subject_of(store, found, name)
    if isinstance(found, (Container, Image)):
        return Stack(by_layers(subject), name)
    try:
        stack = store.stack(found)
    except CorruptStore:
        layers = (LayerInfo.of(1, found),)
        return Stack(replace(subject, tree=UnionTree([store.source(found)]), layers=layers, alone=None), name)
    tree = UnionTree([store.source(layer) for layer in reversed(stack)])
    count = len(stack)
    named = tuple(layer._replace(number=count - index) for index, layer in enumerate(numbered(stack)))
    return Stack(replace(subject, tree=tree, layers=named, alone=None), name)
