"""The section of one image or container: its layers, where its bytes are, what is hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..units import human_size
from .markup import Html, element, joined, name
from .pictures import lane, waste_bars
from .tables import MOST_ROWS, Col, short, size_cell, table
from .treemap import treemap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["stack_section"]

Json = dict[str, Any]

_MOST_LANES = 200
_MOST_DIRECTORIES = 300


def stack_section(part: Json, number: int) -> Html:
    """All that the twin says of an image or container."""
    heading = element("h2", name(part["name"]), " ", element("small", short(part["id"])))
    if part["damage"]:
        return element(
            "section", heading, element("p", part["damage"], class_="s-error"), id=f"part-{number}"
        )
    return element("section", heading, *_parts(part, number), id=f"part-{number}")


def _parts(part: Json, number: int) -> Iterator[Html]:
    layers, waste = part["layers"], part["waste"]
    yield element(
        "p",
        f"{len(layers)} layers store {human_size(waste['stored'], 4)}, of which "
        f"{human_size(waste['wasted'], 4)} are shown nowhere. {len(part['hidden']):,} hidden or deleted files.",
    )
    yield table("Layers, base first", _layer_columns(), layers)
    yield _folded("Steps in full", *_steps(part))
    yield _folded(
        "Where the bytes are", treemap(part["directories"], number), _directory_table(part), is_open=True
    )
    yield _folded("Which layers waste", waste_bars(layers), _waste_table(layers))
    yield _folded("Hidden and deleted files", _hidden_table(part), is_open=bool(part["hidden"]))
    yield _folded("Paths with several versions", *_lanes(part))
    most = max(MOST_ROWS // max(len(layers), 1), 20)
    for layer in layers:
        title = f"Layer {layer['index']}: {_counted(layer)}"
        yield _folded(
            title, table(f"Changes of layer {layer['index']}", _change_columns(), _largest(layer), most)
        )


def _folded(title: str, *children: Html, is_open: bool = False) -> Html:
    return element(
        "details", element("summary", element("h3", title)), *children, **({"open": ""} if is_open else {})
    )


def _steps(part: Json) -> Iterator[Html]:
    rows = part.get("steps") or ()
    if not rows:
        yield element("p", "No history.", class_="none")
        return
    made = (
        element("li", element("code", name(row["created_by"] or row["comment"] or "not told")),
                element("small", " no layer") if row["empty_layer"] else Html(""))
        for row in rows
    )  # fmt: skip
    yield element("ol", *made, class_="steps")


def _layer_columns() -> Sequence[Col]:
    return (
        Col("#", lambda row: str(row["index"]), lambda row: row["index"]),
        Col("Step", lambda row: name((row["step"] or "")[:160])),
        Col("Size", lambda row: size_cell(row["size"]), lambda row: row["size"]),
        Col("Added", lambda row: _count(row, "added"), lambda row: row["counts"].get("added", 0)),
        Col("Changed", lambda row: _count(row, "modified", "metadata", "type"), _changed),
        Col("Deleted", lambda row: _count(row, "deleted"), lambda row: row["counts"].get("deleted", 0)),
        Col("Wasted", lambda row: size_cell(row["wasted"]), lambda row: row["wasted"]),
        Col("Diff ID", lambda row: short(row["diff_id"])),
        Col("Chain ID", lambda row: short(row["chain_id"])),
        Col("Place", lambda row: short(row["place"])),
    )


def _changed(row: Json) -> int:
    return sum(row["counts"].get(kind, 0) for kind in ("modified", "metadata", "type"))


def _count(row: Json, *kinds: str) -> str:
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
        Col("Size", lambda row: size_cell(row["size"]), lambda row: row["size"]),
        Col("Was", lambda row: "" if row["size_before"] is None else size_cell(row["size_before"])),
        Col("What differs", lambda row: ", ".join(row["attributes"])),
    )


def _directory_table(part: Json) -> Html:
    rows = sorted(part["directories"], key=lambda row: -(row["shown"] + row["wasted"]))
    total = sum(row["shown"] + row["wasted"] for row in rows) or 1
    columns = (
        Col("Directory", lambda row: name(row["path"])),
        Col("Layer", lambda row: str(row["layer"]), lambda row: row["layer"]),
        Col("Shown", lambda row: size_cell(row["shown"]), lambda row: row["shown"]),
        Col("Wasted", lambda row: size_cell(row["wasted"]), lambda row: row["wasted"]),
        Col("Part", lambda row: f"{100 * (row['shown'] + row['wasted']) / total:.1f} %"),
    )
    return table("Files in each directory itself, by layer", columns, rows, _MOST_DIRECTORIES, class_="sort")


def _waste_table(layers: Sequence[Json]) -> Html:
    columns = (
        Col("Layer", lambda row: str(row["index"]), lambda row: row["index"]),
        Col("Stored", lambda row: size_cell(row["stored"]), lambda row: row["stored"]),
        Col("Of it wasted", lambda row: size_cell(row["wasted"]), lambda row: row["wasted"]),
        Col("Hides of lower layers", lambda row: size_cell(row["hides"]), lambda row: row["hides"]),
    )
    return table("Waste by layer", columns, layers)


def _hidden_table(part: Json) -> Html:
    columns = (
        Col("Path", lambda row: name(row["path"])),
        Col("Size", lambda row: size_cell(row["size"]), lambda row: row["size"]),
        Col("In layer", lambda row: str(row["layer"]), lambda row: row["layer"]),
        Col("Hidden by", lambda row: f"layer {row['hidden_by']}: {row['how']}"),
        Col("Wasted", lambda row: size_cell(row["wasted"]), lambda row: row["wasted"]),
    )
    return table("Hidden and deleted files, still stored", columns, part["hidden"], class_="sort")


def _lanes(part: Json) -> Iterator[Html]:
    depth = len(part["layers"])
    columns = (
        Col("Path", lambda row: name(row["path"])),
        Col("Layers 1 to top", lambda row: lane(row["versions"], depth)),
        Col("Versions", _versions),
    )
    rows = sorted(part["lanes"], key=lambda row: (-len(row["versions"]), row["path"]))
    yield table("A dot is a version; hollow where a later layer hides it", columns, rows, _MOST_LANES)


def _versions(row: Json) -> Html:
    return joined(
        element("div", f"layer {item['layer']}: {human_size(item['size'], 4)}", _fate(item))
        for item in row["versions"]
    )


def _fate(item: Json) -> str:
    return f", {item['how']} in {item['hidden_by']}" if item["hidden_by"] else ", shown"
