"""The way from a layer down to its base."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from layerfs.ids import ChainID
    from layerfs.model import Layer

__all__ = ["AnyLayer", "walk_down"]

AnyLayer = TypeVar("AnyLayer", bound="Layer")


def walk_down(
    top: ChainID, layer_of: Callable[[ChainID], AnyLayer | None], until: Collection[ChainID] = ()
) -> Iterator[AnyLayer]:
    """A layer and those that it stands on, uppermost first: each once, also where records lead in a circle.

    Args:
        top: the uppermost layer.
        layer_of: gives the layer of a chain ID; the walk ends where it gives None. What it raises is raised.
        until: layers at which to stop: neither they nor those below them are looked at.
    """
    seen: set[ChainID] = set()
    at: ChainID | None = top
    while at is not None and at not in until and at not in seen:
        layer = layer_of(at)
        if layer is None:
            return
        yield layer
        seen.add(at)
        at = layer.parent
