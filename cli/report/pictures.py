"""Small pictures as SVG: shared layers, waste of layers, the strip of time, and the lane of a path.

Each stands above a table with the same numbers, and says so to who cannot see it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..escape import printable
from ..units import ellipsis, human_size, short_id
from .markup import Html, element
from .words import count, plain_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["hatching", "lane", "sharing_matrix", "time_strip", "waste_bars"]

Json = dict[str, Any]

_CELL, _NAME_WIDTH, _MOST_IMAGES, _MOST_LAYERS, _MOST_EVENTS = 14, 190, 60, 110, 300
_MOST_BARS = 200
_LANE_STEP, _BAR_WIDTH = 14, 560


def hatching() -> Html:
    """What all pictures of the page fill wasted bytes with; shows nothing itself."""
    lines = element("path", d="M0 6L6 0")
    pattern = element("pattern", lines, id="hatch", width=6, height=6, patternUnits="userSpaceOnUse")
    return element("svg", element("defs", pattern), class_="defs", width=0, height=0, aria_hidden="true")


def sharing_matrix(images: Sequence[Json], sharing: Sequence[Json]) -> Html:
    """Images in lines, layers in columns, a filled cell where an image has a layer; empty with one image."""
    rows = sorted(images, key=lambda image: image["chain"])[:_MOST_IMAGES]
    if len(rows) < 2:
        return Html("")
    shared = {row["chain_id"] for row in sharing if len(row["images"]) > 1}
    columns = [
        chain
        for chain in dict.fromkeys(chain for image in rows for chain in image["chain"])
        if chain in shared
    ]
    if not columns:
        return element("p", "No two of these images share a layer.", class_="none")
    columns = columns[:_MOST_LAYERS]
    rows = [image for image in rows if shared.intersection(image["chain"])]
    wide = _CELL * len(columns)
    width, height = _NAME_WIDTH + wide + 4, _CELL * len(rows) + 4
    parts: list[Html] = []
    for line, image in enumerate(rows):
        y = line * _CELL
        parts.append(element("text", ellipsis(printable(plain_name(image)), 28), x=0, y=y + _CELL - 3))
        parts.append(element("rect", x=_NAME_WIDTH, y=y + 1, width=wide, height=_CELL - 2, class_="off"))
        chain = set(image["chain"])
        for start, end in _runs([column in chain for column in columns]):
            title = element("title", _run_title(image, columns[start:end]))
            place = {"x": _NAME_WIDTH + start * _CELL, "y": y + 1, "width": _CELL * (end - start)}
            parts.append(element("rect", title, height=_CELL - 2, class_="on", **place))
    lines = "".join(f"M{_NAME_WIDTH + at * _CELL} 0v{height}" for at in range(1, len(columns)))
    parts.append(element("path", d=lines, class_="grid"))
    said = f"{count(len(rows), 'image')} in lines, {count(len(columns), 'shared layer')} in columns."
    return _picture("matrix", "Which images share which layers", said, parts, width, height)


def _runs(held: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Where columns that follow each other are held: each as its first, and the one behind its last."""
    start = 0
    for is_held, group in groupby(held):
        end = start + len(list(group))
        if is_held:
            yield start, end
        start = end


def _run_title(image: Json, chains: Sequence[str]) -> str:
    """What a pointer on some cells shows."""
    ids = ", ".join(short_id(chain) for chain in chains[:8])
    more = f" and {len(chains) - 8} more" if len(chains) > 8 else ""
    return f"{plain_name(image)}: {ids}{more}"


def _picture(
    kind: str, title: str, described: str, parts: Iterable[Html], width: int, height: int, *, left: int = 0
) -> Html:
    """A picture with a name and a description that are read aloud, whose numbers are in the table below."""
    return element(
        "svg",
        element("title", title),
        element("desc", f"{described} The table below has the numbers."),
        *parts,
        role="img",
        class_=kind,
        aria_label=f"{title}. {described} The table below has the numbers.",
        viewBox=f"{-left} 0 {width} {height}",
        width=width,
        height=height,
    )


def waste_bars(layers: Sequence[Json]) -> Html:
    """Two bars a layer: what it stores, and what of that nobody sees."""
    most = max((layer["stored"] for layer in layers), default=0)
    if not most:
        return Html("")
    parts: list[Html] = []
    layers = layers[:_MOST_BARS]
    for line, layer in enumerate(layers):
        y = line * 20
        stored, wasted = (_BAR_WIDTH * layer[key] / most for key in ("stored", "wasted"))
        said = f"{human_size(layer['stored'], 4)}, {human_size(layer['wasted'], 4)} of it wasted"
        parts += (
            element("text", str(layer["index"]), x=0, y=y + 14),
            element("rect", x=36, y=y + 3, width=f"{stored:.1f}", height=14, class_="on"),
            element("rect", x=36, y=y + 3, width=f"{wasted:.1f}", height=14, class_="w"),
            element("text", said, x=f"{36 + stored + 6:.1f}", y=y + 14),
        )
    title = "Stored and wasted bytes of each layer"
    said = f"{count(len(layers), 'layer')}, at most {human_size(most, 4)} in one. Hatched: wasted."
    return _picture("bars", title, said, parts, 860, 20 * len(layers) + 4)


def time_strip(timeline: Json) -> Html:
    """Events above, files below, from the first to the last moment; empty where there are none."""
    first, last = (_seconds(timeline[key]) for key in ("first", "last"))
    if first is None or last is None or last <= first:
        return Html("")
    width, base = 900, 110
    most = max((bucket["files"] for bucket in timeline["buckets"]), default=0) or 1
    scale = width / (last - first)
    span = max(timeline["span_hours"] * 3600 * scale - 0.5, 0.8)
    parts: list[Html] = []
    for bucket in timeline["buckets"]:
        height = 70 * bucket["files"] / most
        at = ((_seconds(bucket["start"]) or first) - first) * scale
        parts.append(
            element("rect", element("title", f"{bucket['start']}: {bucket['files']} files"), x=f"{at:.1f}",
                    y=f"{base - height:.1f}", width=f"{span:.1f}", height=f"{height:.1f}", class_="on")
        )  # fmt: skip
    for event in timeline["events"][:_MOST_EVENTS]:
        at = ((_seconds(event["time"]) or first) - first) * scale
        title = element("title", f"{event['time']}: {event['what']} {event['text'][:200]}")
        parts.append(element("circle", title, cx=f"{at:.1f}", cy=20, r=4, class_="e"))
    parts += (
        element("line", x1=0, x2=width, y1=base, y2=base, class_="a"),
        element("text", str(timeline["first"])[:10], x=0, y=base + 16),
        element("text", str(timeline["last"])[:10], x=width, y=base + 16, text_anchor="end"),
    )
    said = f"{count(len(timeline['events']), 'event')} above, times of files below."
    return _picture("strip", "Events and file times", said, parts, width + 12, base + 22, left=6)


def lane(versions: Sequence[Json], depth: int) -> Html:
    """A dot for each layer that has a version of a path, hollow if it is hidden; a line while it is shown."""
    height, y = 16, 8
    parts: list[Html] = [element("title", "; ".join(_lane_words(versions)))]
    for version in versions:
        start = version["layer"]
        end = version["hidden_by"] or depth + 1
        parts.append(element("line", x1=_at(start), x2=_at(end) - 5, y1=y, y2=y, class_="a"))
        parts.append(
            element("circle", cx=_at(start), cy=y, r=4, class_="h" if version["hidden_by"] else "on")
        )
    width = _LANE_STEP * (depth + 1)
    return element(
        "svg", *parts, role="img", class_="lane", viewBox=f"0 0 {width} {height}", width=width, height=height
    )


def _lane_words(versions: Sequence[Json]) -> Iterator[str]:
    for version in versions:
        hidden = f", {version['how']} in layer {version['hidden_by']}" if version["hidden_by"] else ", shown"
        yield f"layer {version['layer']}: {human_size(version['size'], 4)}{hidden}"


def _at(layer: int) -> float:
    return layer * _LANE_STEP - 4


def _seconds(moment: str | None) -> float | None:
    if moment is None:
        return None
    try:
        return datetime.fromisoformat(moment[:19]).replace(tzinfo=UTC).timestamp()
    except ValueError:  # a year that datetime does not know
        return None
