"""The section of one image or container: its layers, where its bytes are, what is hidden."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from ..escape import printable
from ..units import ellipsis
from .markup import Html, element, joined, name
from .pictures import lane, waste_bars
from .tables import Col, table
from .treemap import treemap
from .words import called, count, short, size_words, word_links

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["BRIEFLY", "Room", "stack_section"]

Json = dict[str, Any]

_LONGEST_STEP = 10_000
"""Characters of a step; the JSON has all of it."""

_DIGITS = re.compile("([0-9a-f]{12})[0-9a-f]{28,}")
"""Digests in steps: of each as much as of an ID."""


class Room(NamedTuple):
    """How much of an image or container the page shows; the twin has all of it.

    Attributes:
        brief: only its layers, its largest changes and hidden files, as there are many.
        layers: rows of layers.
        changes: rows of changes, of all its layers.
        hidden: rows of hidden files.
        lanes: paths with several versions.
        directories: rows of directories.
        tiles: rectangles of the picture.
    """

    brief: bool
    layers: int
    changes: int
    hidden: int
    lanes: int
    directories: int
    tiles: int

    @classmethod
    def of(cls, parts: int) -> Room:
        """The room for each of several parts: a page that a browser still opens at once has so many rows."""
        return cls(False, 200, *(max(whole // max(parts, 1), 10) for whole in (1200, 400, 150, 150, 400)))


BRIEFLY = (Room(True, 10, 5, 5, 0, 5, 12), Room(True, 10, 5, 5, 0, 0, 0))
"""The room where there are many: with a small picture of each, and where there are too many for that."""


def stack_section(part: Json, number: int, room: Room, numbers: Mapping[str, int]) -> Html:
    """What the twin says of an image or container.

    Args:
        part: its part of the twin.
        number: its number on the page.
        room: how much of it is shown.
        numbers: the numbers of all by their IDs.
    """
    up = element("a", "Contents", href="#contents", class_="up")
    heading = element("h2", called(part), " ", element("small", short(part["id"])), " ", up)
    if part["damage"] is not None or part["waste"] is None:
        return element(
            "section",
            heading,
            element("p", part["damage"] or "Its layers could not be read.", class_="s-error"),
            id=f"part-{number}",
        )
    return element("section", heading, *_parts(part, number, room, numbers), id=f"part-{number}")


def _parts(part: Json, number: int, room: Room, numbers: Mapping[str, int]) -> Iterator[Html]:
    layers, waste = part["layers"], part["waste"]
    hidden = count(len(part["hidden"]), "hidden or deleted file")
    yield element(
        "p",
        f"{count(len(layers), 'layer')} with {size_words(waste['stored'])} in files, of which "
        f"{size_words(waste['wasted'])} are shown nowhere; {hidden}.",
    )
    if room.brief:
        yield from _in_brief(part, number, room)
        return
    yield table("Layers, base first", _layer_columns(part), layers, room.layers)
    yield word_links("diff-id", "chain-id", "cache-id", "whiteout", "opaque", "copy-up")
    if "steps" in part:
        yield _folded("Steps in full", *_steps(part))
    yield _folded(
        "Where the bytes are",
        treemap(part["directories"], number, room.tiles),
        _directory_table(part, room),
        is_open=True,
    )
    yield _folded("Which layers waste", waste_bars(layers), _waste_table(layers))
    yield _folded("Hidden and deleted files", _hidden_table(part, room), is_open=bool(part["hidden"]))
    yield _folded("Paths with several versions", *_lanes(part, room))
    own = sum(layer["changes_in"] is None for layer in layers)
    for layer in layers:
        yield _folded(
            f"Layer {layer['index']}: {_counted(layer)}",
            _changes(layer, room.changes // max(own, 1), numbers),
        )


def _in_brief(part: Json, at: int, room: Room) -> Iterator[Html]:
    """What is told of one of many: of each list the beginning."""
    layers = part["layers"]
    number, step, size, _, _, _, wasted, _, chain, *_ = _layer_columns(part)
    changed = Col(
        "Changes", lambda row: f"{sum(row['counts'].values()):,}", lambda row: sum(row["counts"].values())
    )
    yield table("Layers, base first", (number, step, size, changed, wasted, chain), layers, room.layers)
    rows = [(layer["index"], row) for layer in layers for row in layer["changes"]]
    rows.sort(key=lambda row: (-row[1]["size"], row[1]["path"]))
    columns = (
        Col("Layer", lambda row: str(row[0]), lambda row: row[0]),
        Col("Change", lambda row: row[1]["kind"]),
        Col("Path", lambda row: name(row[1]["path"])),
        Col("Size", lambda row: size_words(row[1]["size"]), lambda row: row[1]["size"]),
    )
    if rows:
        yield _folded("Largest changes", table("Largest changes", columns, rows, room.changes))
    if part["hidden"]:
        yield _folded("Hidden and deleted files", _hidden_table(part, room))
    if room.tiles:
        yield _folded(
            "Where the bytes are", treemap(part["directories"], at, room.tiles), _directory_table(part, room)
        )


def _changes(layer: Json, most: int, numbers: Mapping[str, int]) -> Html:
    """What a layer changed; of one that was on the page before, where."""
    if layer["changes_in"] is None:
        return table(f"Changes of layer {layer['index']}", _change_columns(), _largest(layer), max(most, 3))
    target = numbers.get(layer["changes_in"])
    link = element("a", "is listed above", href=f"#part-{target}") if target else Html("is in the JSON")
    return element("p", "The same layer ", link, ", with its changes.", class_="none")


def _folded(title: str, *children: Html, is_open: bool = False) -> Html:
    return element(
        "details", element("summary", element("h3", title)), *children, **({"open": ""} if is_open else {})
    )


def _steps(part: Json) -> Iterator[Html]:
    rows = part["steps"]
    if not rows:
        yield element("p", "No history.", class_="none")
        return
    made = (
        element("li", element("code", name(_whole(row["created_by"] or row["comment"] or "not told"))),
                element("small", " no layer") if row["empty_layer"] else Html(""))
        for row in rows
    )  # fmt: skip
    yield element("ol", *made, class_="steps")


def _layer_columns(part: Json) -> Sequence[Col]:
    comments = _comments(part)
    place = Col("Place", lambda row: short(row["place"]))
    return (
        Col("#", lambda row: str(row["index"]), lambda row: row["index"]),
        Col(
            "Step",
            lambda row: element(
                "div", name(_brief(row["step"] or comments.get(row["index"], ""))), class_="step"
            ),
        ),
        Col("Size", lambda row: size_words(row["size"]), lambda row: row["size"]),
        Col("Added", lambda row: _total(row, "added"), lambda row: row["counts"].get("added", 0)),
        Col("Changed", lambda row: _total(row, "modified", "metadata", "type"), _changed),
        Col("Deleted", lambda row: _total(row, "deleted"), lambda row: row["counts"].get("deleted", 0)),
        Col("Wasted", lambda row: size_words(row["wasted"]), lambda row: row["wasted"]),
        Col("Diff ID", lambda row: short(row["diff_id"])),
        Col("Chain ID", lambda row: short(row["chain_id"])),
        *([place] if any(row["place"] for row in part["layers"]) else ()),
    )


def _comments(part: Json) -> dict[int, str]:
    """What the history says of layers beside the command, as of one that was imported; by their numbers."""
    steps = [step for step in part.get("steps", ()) if not step["empty_layer"]]
    if len(steps) != len(part["layers"]):
        return {}
    return {number: step["comment"] or "" for number, step in enumerate(steps, 1)}


def _brief(step: str) -> str:
    """A step as it fits a table; it is in full below."""
    return ellipsis(_DIGITS.sub(r"\1…", printable(step)), 160)


def _whole(step: str) -> str:
    """A step in full, but for one that would be most of the page."""
    return ellipsis(printable(step), _LONGEST_STEP)


def _changed(row: Json) -> int:
    return sum(row["counts"].get(kind, 0) for kind in ("modified", "metadata", "type"))


def _total(row: Json, *kinds: str) -> str:
    return f"{sum(row['counts'].get(kind, 0) for kind in kinds):,}"


def _counted(layer: Json) -> str:
    words = [f"{count:,} {kind}" for kind, count in layer["counts"].items() if count]
    return ", ".join(words) or "no change"


def _largest(layer: Json) -> list[Json]:
    return sorted(layer["changes"], key=lambda row: (-row["size"], row["path"]))


def _change_columns() -> Sequence[Col]:
    return (
        Col("Change", lambda row: row["kind"]),
        Col("Path", lambda row: name(row["path"])),
        Col("Type", lambda row: row["type"]),
        Col("Size", lambda row: size_words(row["size"]), lambda row: row["size"]),
        Col("Was", lambda row: "" if row["size_before"] is None else size_words(row["size_before"])),
        Col("What differs", lambda row: ", ".join(row["attributes"])),
    )


def _directory_table(part: Json, room: Room) -> Html:
    rows = sorted(part["directories"], key=lambda row: -_bytes(row))
    total = sum(map(_bytes, rows)) or 1
    columns = (
        Col("Directory", lambda row: name(row["path"])),
        Col("Layer", lambda row: str(row["layer"]), lambda row: row["layer"]),
        Col("Shown", lambda row: size_words(row["shown"]), lambda row: row["shown"]),
        Col("Wasted", lambda row: size_words(row["wasted"]), lambda row: row["wasted"]),
        Col("Part", lambda row: f"{100 * _bytes(row) / total:.1f} %", _bytes),
    )
    return table("Files in each directory itself, by layer", columns, rows, room.directories, class_="sort")


def _bytes(row: Json) -> int:
    return int(row["shown"] + row["wasted"])


def _waste_table(layers: Sequence[Json]) -> Html:
    columns = (
        Col("Layer", lambda row: str(row["index"]), lambda row: row["index"]),
        Col("Stored", lambda row: size_words(row["stored"]), lambda row: row["stored"]),
        Col("Of it wasted", lambda row: size_words(row["wasted"]), lambda row: row["wasted"]),
        Col("Hides of lower layers", lambda row: size_words(row["hides"]), lambda row: row["hides"]),
    )
    return table("Waste by layer", columns, layers)


def _hidden_table(part: Json, room: Room) -> Html:
    columns = (
        Col("Path", lambda row: name(row["path"])),
        Col("Size", lambda row: size_words(row["size"]), lambda row: row["size"]),
        Col("In layer", lambda row: str(row["layer"]), lambda row: row["layer"]),
        Col("Hidden by", lambda row: f"layer {row['hidden_by']}: {row['how']}"),
        Col("Wasted", lambda row: size_words(row["wasted"]), lambda row: row["wasted"]),
    )
    return table(
        "Hidden and deleted files, still stored", columns, part["hidden"], room.hidden, class_="sort"
    )


def _lanes(part: Json, room: Room) -> Iterator[Html]:
    depth = len(part["layers"])
    columns = (
        Col("Path", lambda row: name(row["path"])),
        Col("Layers 1 to top", lambda row: lane(row["versions"], depth)),
        Col("Versions", _versions),
    )
    rows = sorted(part["lanes"], key=lambda row: (-len(row["versions"]), row["path"]))
    yield table("A dot is a version; hollow where a later layer hides it", columns, rows, room.lanes)


def _versions(row: Json) -> Html:
    return joined(
        element("div", f"layer {item['layer']}: {size_words(item['size'])}", _fate(item))
        for item in row["versions"]
    )


def _fate(item: Json) -> str:
    return f", {item['how']} in {item['hidden_by']}" if item["hidden_by"] else ", shown"
