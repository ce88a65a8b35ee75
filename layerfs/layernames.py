"""The names of layers that every kind of store has: chain and diff IDs, what its place is called, beginnings.

What the layers are is given; so every caller knows those that it can know. A kind of store that has more
names for a layer gives them by a subclass.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from layerfs.ids import ChainID, ContainerID, DiffID, ImageID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["HEX", "ID", "KnownLayer", "LayerNames", "Match", "hex_digits", "split_layer"]

HEX = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")
"""A digest or container ID, or the beginning of one."""

_DIGITS = 64

_AS_OF_LAYER = re.compile(r"(.+)@([0-9]{1,9})", re.DOTALL)
"""`IMAGE@N`; behind the `@` of a digest stands its algorithm, so the two cannot be confused."""

ID: TypeAlias = ContainerID | ImageID | ChainID | str
"""What a name is resolved to: of a layer without a chain ID its place."""


class Match(NamedTuple):
    """What a name fits.

    Attributes:
        id: of the thing.
        text: the name in full.
        meaning: how it was understood, as `cache ID`.
        above: whether it is a layer by what its files are, which a base may be too: then that is meant.
    """

    id: ID
    text: str
    meaning: str
    above: bool = False


class KnownLayer(NamedTuple):
    """What is known of a layer; at least one of chain ID and place.

    Attributes:
        chain_id: its place in a chain; None for what is no image's.
        diff_id: sha256 of its tar; likewise.
        place: what its kind of store calls where it lies, as Docker's cache ID; None where it has no name.
    """

    chain_id: ChainID | None
    diff_id: DiffID | None
    place: str | None = None

    @property
    def id(self) -> ChainID | str:
        """What it is told by."""
        found = self.chain_id or self.place
        assert found is not None  # noqa: S101 - what has neither is no layer
        return found


class LayerNames:
    """The names of some layers of a store.

    Attributes:
        place_meaning: what a place is called in messages.
    """

    place_meaning = "place"

    def __init__(self, layers: Callable[[], Iterable[KnownLayer]]) -> None:
        """Know the names of `layers`, which are asked for when a name could be one of theirs."""
        self._find_layers = layers

    def exact(self, name: str) -> list[Match]:
        """Every layer of an ID or a place in full."""
        looks = (self._by_place, self._by_diff_id, self.link, self.blob)
        return [match for look in looks for match in look(name)]

    def beginning(self, name: str) -> list[Match]:
        """Every layer of which a name begins so."""
        return [match for match in self.every_name() if self.begins(match, name)]

    @functools.cached_property
    def layers(self) -> Sequence[KnownLayer]:
        """The layers, found when they are first needed."""
        return list(self._find_layers())

    def link(self, name: str) -> Iterator[Match]:  # noqa: ARG002 - for subclasses
        """By the short name of a layer, in kinds of store that have those."""
        yield from ()

    def blob(self, name: str) -> Iterator[Match]:  # noqa: ARG002 - for subclasses
        """By the digest in full of a blob in a registry, in kinds of store that note those."""
        yield from ()

    def may_be_place(self, name: str) -> bool:  # noqa: ARG002 - for subclasses
        """Whether it is worth reading all layers for a name that is no digest."""
        return True

    def _by_place(self, name: str) -> Iterator[Match]:
        digits = hex_digits(name)
        for layer in self.layers if digits or self.may_be_place(name) else ():
            if layer.chain_id and layer.chain_id.hex == digits:
                yield Match(layer.id, layer.chain_id, "chain ID")
            if layer.place == name:
                yield Match(layer.id, name, self.place_meaning)

    def _by_diff_id(self, name: str) -> Iterator[Match]:
        if digits := hex_digits(name):
            for layer in self.layers:
                if layer.diff_id and layer.diff_id.hex == digits and str(layer.diff_id) != layer.chain_id:
                    yield Match(layer.id, layer.diff_id, "diff ID", above=True)

    def every_name(self) -> Iterator[Match]:
        """Every name of every layer."""
        for layer in self.layers:
            if layer.chain_id:
                yield Match(layer.id, layer.chain_id, "chain ID")
            if layer.diff_id and str(layer.diff_id) != layer.chain_id:
                yield Match(layer.id, layer.diff_id, "diff ID", above=True)
            if layer.place:
                yield Match(layer.id, layer.place, self.place_meaning)

    def begins(self, match: Match, name: str) -> bool:
        """Whether a name is the beginning of a text, given as a text of its kind may be."""
        if match.meaning == self.place_meaning:
            return match.text.startswith(name)
        digits = HEX.fullmatch(name)
        return digits is not None and match.text.partition(":")[2].startswith(digits[1])


def hex_digits(name: str) -> str | None:
    """The digits of a digest in full, given with its algorithm or without."""
    found = HEX.fullmatch(name)
    return found[1] if found and len(found[1]) == _DIGITS else None


def split_layer(name: str) -> tuple[str, int | None]:
    """`IMAGE@N` as the image's name and N; any other name, and None."""
    as_of = _AS_OF_LAYER.fullmatch(name)
    return (as_of[1], int(as_of[2])) if as_of else (name, None)
