"""A data root of one image whose layers a test lays out, and where its layers lie."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.support.layerspec import materialise
from tests.support.rootbuilder import RootBuilder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.layerspec import LayerSpec
    from tests.support.rootbuilder import BuiltLayer

__all__ = ["image_of"]


def image_of(place: Path, *layers: LayerSpec, name: str = "test:1") -> tuple[Path, list[BuiltLayer]]:
    """A data root with an image of these layers, base first; its path, and the layers, base first.

    The history says `step N` of the layer N.
    """
    builder = RootBuilder(place)
    built: list[BuiltLayer] = []
    for spec in layers:
        built.append(builder.layer(built[-1] if built else None, partial(materialise, spec)))
    history = [{"created_by": f"step {number}"} for number in range(1, len(layers) + 1)]
    builder.image(built[-1], name, config={"history": history})
    return builder.finish(), built
