"""A squarified treemap of an image's bytes: layer, then directory, as SVG.

Source: Bruls, Huizing, van Wijk, "Squarified Treemaps" (2000).
"""

from __future__ import annotations

from collections import defaultdict
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, NamedTuple

from ..escape import printable
from ..units import human_size
from .markup import Html, element
from .words import count, size_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Box", "Tile", "rolled_up", "squarified", "treemap"]

_WIDTH, _HEIGHT = 960.0, 420.0
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
    """Bytes to show.

    Attributes:
        path: a directory, in which the files are.
        layer: the layer that has them.
        size: bytes shown and wasted.
        wasted: of these, the wasted ones.
        below: whether files of directories below it are among them.
    """

    path: str
    layer: int
    size: int
    wasted: int
    below: bool = False


def treemap(directories: Sequence[dict[str, Any]], number: int, most: int = 400) -> Html:
    """The picture; empty where there are no bytes.

    Args:
        directories: as in the twin.
        number: of the picture on the page, for IDs.
        most: rectangles that it has at most, or one a layer.
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
    boxes = squarified([sums[layer] for layer in order], Box(0, 0, _WIDTH, _HEIGHT))
    for layer, box in zip(order, boxes, strict=True):
        parts += _layer(rolled_up(layers[layer], max(1, most * sums[layer] // total)), box)
    title, described = f"map-t{number}", f"map-d{number}"
    label = "Bytes by layer and directory"
    text = f"{count(len(order), 'layer')}, {size_words(total)}. Hatched: wasted. The table has the numbers."
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


def rolled_up(tiles: Sequence[Tile], most: int) -> list[Tile]:
    """At most so many tiles of a layer: the smallest become a part of the directory above, in turn."""
    kept = {tile.path: tile for tile in tiles}
    smallest = [(tile.size, tile.path) for tile in tiles]
    heapify(smallest)
    while len(kept) > most and smallest:
        size, path = heappop(smallest)
        if path == "/" or path not in kept or kept[path].size != size:  # the top stays; this one has grown
            continue
        tile = kept.pop(path)
        above = path.rpartition("/")[0] or "/"
        other = kept.get(above, Tile(above, tile.layer, 0, 0))
        grown = Tile(above, tile.layer, other.size + size, other.wasted + tile.wasted, below=True)
        kept[above] = grown
        heappush(smallest, (grown.size, above))
    return sorted(kept.values(), key=lambda tile: (-tile.size, tile.path))


def _layer(tiles: Sequence[Tile], box: Box) -> Iterator[Html]:
    for tile, place in zip(tiles, squarified([tile.size for tile in tiles], box), strict=True):
        yield _tile(tile, place)


def _tile(tile: Tile, box: Box) -> Html:
    below = " and what is below it" if tile.below else ""
    wasted = f", {size_words(tile.wasted)} of it wasted" if tile.wasted else ""
    title = element("title", f"{tile.path}{below}: layer {tile.layer}, {size_words(tile.size)}{wasted}")
    place = {"x": f"{box.x:.1f}", "y": f"{box.y:.1f}", "height": f"{box.height:.1f}"}
    parts = [
        title,
        element("rect", width=f"{box.width:.1f}", class_=f"t{tile.layer % _PALETTE}", **place),
    ]
    if tile.wasted:
        height = box.height * tile.wasted / tile.size
        place |= {"y": f"{box.y + box.height - height:.1f}", "height": f"{height:.1f}"}
        parts.append(element("rect", width=f"{box.width:.1f}", class_="w", **place))
    parts += _labels(tile, box)
    return element("g", *parts)


def _labels(tile: Tile, box: Box) -> Iterator[Html]:
    """The layer, the name and the size, where there is room for them."""
    room = int((box.width - 8) / _LETTER)
    lines = (f"{tile.layer} {_end(tile, room - 1 - len(str(tile.layer)))}", human_size(tile.size))
    for number, line in enumerate(lines, 1):
        if room >= min(len(line), 8) and box.height >= number * _LINE + 4:
            shown = line if len(line) <= room else f"{line[: room - 1]}…"
            yield element("text", shown, x=f"{box.x + 4:.1f}", y=f"{box.y + number * _LINE:.1f}")


def _end(tile: Tile, room: int) -> str:
    """As many of the last components of its path as there is room for, at least one."""
    path = printable(tile.path).rstrip("/") + ("/" if tile.below or tile.path == "/" else "")
    if len(path) <= room:
        return path
    start = path.find("/", len(path) - room + 1)
    if start in (-1, len(path) - 1):
        start = path.rfind("/", 0, -1)
    return f"…{path[start:]}" if start > 0 else path


def squarified(sizes: Sequence[float], box: Box) -> list[Box]:
    """A rectangle in `box` for each size, which are the largest first, all above 0, as square as can be."""
    scale = box.width * box.height / sum(sizes) if sizes else 0
    if not scale * min(sizes, default=0):  # beside a very large one there is no room at all for this
        return [Box(box.x, box.y, 0.0, 0.0)] * len(sizes) if not scale else _flat(sizes, box)
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


def _flat(sizes: Sequence[float], box: Box) -> list[Box]:
    """The same where the smallest would have no area: one beside the other."""
    total, at, made = sum(sizes), box.x, []
    for size in sizes:
        made.append(Box(at, box.y, box.width * size / total, box.height))
        at += made[-1].width
    return made


def _worst(areas: Sequence[float], side: float) -> float:
    """The worst ratio of sides in a row of these areas."""
    total = sum(areas)
    return max(side**2 * areas[0] / total**2, total**2 / (side**2 * areas[-1]))


def _row(areas: Sequence[float], box: Box) -> tuple[list[Box], Box]:
    """The rectangles of a row along the shorter side, and what is left of the box.

    Their lengths are parts of the side, so that a row as thin as a rounding error does not leave the box.
    """
    total = sum(areas)
    made: list[Box] = []
    if box.width >= box.height:
        depth, at = min(total / max(box.height, 1e-9), box.width), box.y
        for area in areas:
            length = box.height * area / total
            made.append(Box(box.x, at, depth, length))
            at += length
        return made, Box(box.x + depth, box.y, max(box.width - depth, 0.0), box.height)
    depth, at = min(total / max(box.width, 1e-9), box.height), box.x
    for area in areas:
        length = box.width * area / total
        made.append(Box(at, box.y, length, depth))
        at += length
    return made, Box(box.x, box.y + depth, box.width, max(box.height - depth, 0.0))
