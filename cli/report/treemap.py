"""A squarified treemap of an image's bytes: layer, then directory, as SVG.

Source: Bruls, Huizing, van Wijk, "Squarified Treemaps" (2000).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from ..units import human_size
from .markup import Html, element

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["treemap"]

_WIDTH, _HEIGHT = 960.0, 420.0
_MOST = 400
"""Rectangles a picture has at most; the rest of a layer is one."""

_PALETTE = 8
_LETTER, _LINE = 6.6, 13.0
"""Width and height of a character of the labels, in units of the picture."""


class Box(NamedTuple):
    """A rectangle in the picture's units."""

    x: float
    y: float
    width: float
    height: float


class Tile(NamedTuple):
    """Bytes to show: `path` is empty for the rest of a layer."""

    path: str
    layer: int
    size: int
    wasted: int


def treemap(directories: Sequence[dict[str, Any]], number: int) -> Html:
    """The picture; empty where there are no bytes.

    Args:
        directories: as in the twin.
        number: of the picture on the page, for IDs.
    """
    layers: defaultdict[int, list[Tile]] = defaultdict(list)
    for row in directories:
        size = row["shown"] + row["wasted"]
        if size > 0:
            layers[row["layer"]].append(Tile(row["path"], row["layer"], size, row["wasted"]))
    if not layers:
        return Html("")
    sums = {layer: sum(tile.size for tile in tiles) for layer, tiles in layers.items()}
    total = sum(sums.values())
    order = sorted(layers, key=lambda layer: -sums[layer])
    parts: list[Html] = []
    for layer, box in zip(
        order, squarified([sums[layer] for layer in order], Box(0, 0, _WIDTH, _HEIGHT)), strict=True
    ):
        most = max(1, round(_MOST * sums[layer] / total))
        parts += _layer(_cut(sorted(layers[layer], key=lambda tile: -tile.size), most), box)
    title, described = f"map-t{number}", f"map-d{number}"
    label = "Bytes by layer and directory"
    text = f"{len(order)} layers, {human_size(total, 4)}. Hatched: wasted. The table below has the numbers."
    return element(
        "svg",
        element("title", label, id=title),
        element("desc", text, id=described),
        *parts,
        role="img",
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        class_="map",
        aria_labelledby=f"{title} {described}",
    )


def _cut(tiles: list[Tile], most: int) -> list[Tile]:
    """The largest, and one for all others."""
    if len(tiles) <= most:
        return tiles
    rest = tiles[most:]
    size, wasted = sum(tile.size for tile in rest), sum(tile.wasted for tile in rest)
    return [*tiles[:most], Tile("", tiles[0].layer, size, wasted)]


def _layer(tiles: list[Tile], box: Box) -> Iterator[Html]:
    tiles = sorted(tiles, key=lambda tile: -tile.size)
    for tile, place in zip(tiles, squarified([tile.size for tile in tiles], box), strict=True):
        yield _tile(tile, place)


def _tile(tile: Tile, box: Box) -> Html:
    what = tile.path or "other directories"
    wasted = f", {human_size(tile.wasted, 4)} of it wasted" if tile.wasted else ""
    title = element("title", f"{what}: layer {tile.layer}, {human_size(tile.size, 4)}{wasted}")
    place = {"x": f"{box.x:.1f}", "y": f"{box.y:.1f}", "height": f"{box.height:.1f}"}
    parts = [
        title,
        element("rect", width=f"{box.width:.1f}", class_=f"t{tile.layer % _PALETTE}", **place),
    ]
    if tile.wasted:
        width = box.width * tile.wasted / tile.size
        parts.append(element("rect", width=f"{width:.1f}", class_="w", **place))
    parts += _labels(tile, what, box)
    return element("g", *parts)


def _labels(tile: Tile, what: str, box: Box) -> Iterator[Html]:
    """The name and size, where there is room for them."""
    room = int((box.width - 8) / _LETTER)
    lines = (f"{tile.layer} {what}", human_size(tile.size))
    for number, line in enumerate(lines, 1):
        if room >= min(len(line), 6) and box.height >= number * _LINE + 4:
            cut = line if len(line) <= room else f"{line[: room - 1]}…"
            yield element("text", cut, x=f"{box.x + 4:.1f}", y=f"{box.y + number * _LINE:.1f}")


def squarified(sizes: Sequence[float], box: Box) -> list[Box]:
    """A rectangle in `box` for each size, which are the largest first, all above 0, as square as can be."""
    scale = box.width * box.height / sum(sizes) if sizes else 0
    areas = [size * scale for size in sizes]
    made: list[Box] = []
    at = 0
    while at < len(areas):
        side = max(min(box.width, box.height), 1e-9)
        end = at + 1
        while end < len(areas) and _worst(areas[at : end + 1], side) <= _worst(areas[at:end], side):
            end += 1
        row, box = _row(areas[at:end], box)
        made += row
        at = end
    return made


def _worst(areas: Sequence[float], side: float) -> float:
    """The worst ratio of sides in a row of these areas."""
    total = sum(areas)
    return max(side**2 * areas[0] / total**2, total**2 / (side**2 * areas[-1]))


def _row(areas: Sequence[float], box: Box) -> tuple[list[Box], Box]:
    """The rectangles of a row along the shorter side, and what is left of the box."""
    total = sum(areas)
    made: list[Box] = []
    if box.width >= box.height:
        depth, at = total / max(box.height, 1e-9), box.y
        for area in areas:
            length = area / max(depth, 1e-9)
            made.append(Box(box.x, at, depth, length))
            at += length
        return made, Box(box.x + depth, box.y, max(box.width - depth, 0.0), box.height)
    depth, at = total / max(box.width, 1e-9), box.x
    for area in areas:
        length = area / max(depth, 1e-9)
        made.append(Box(at, box.y, length, depth))
        at += length
    return made, Box(box.x, box.y + depth, box.width, max(box.height - depth, 0.0))
