"""The section of a page that says what changed since an earlier report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .markup import Html, element, name
from .tables import Col, table
from .words import count, names, plain_name, short, size_words, when

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["compared_section", "verdict"]

Json = dict[str, Any]

_MOST, _MOST_PATHS = 150, 200
"""Rows of a table; the twin has all."""

_TOTALS = {
    "images": "images in the store",
    "containers": "containers",
    "layers": "layers",
    "size": "on disk, each layer once",
    "shared_size": "of it shared by images",
    "reclaimable_size": "needed by no container",
}


def verdict(part: Json) -> str:
    """The sentence that most readers want to know."""
    earlier = f"since the earlier report{_of(part['then'])}"
    if not part["differences"]:
        return f"Nothing changed {earlier}, in what both tell of."
    return f"{count(part['differences'], 'difference')} {earlier}: {', '.join(_by_kind(part))}."


def _by_kind(part: Json) -> Iterator[str]:
    for key in ("names", "images", "containers", "layers", "findings", "records"):
        number = sum(not row["change"].startswith("only") for row in part[key])
        if number:
            yield count(number, f"{'name of an image' if key == 'names' else key[:-1]}", _MANY.get(key))


_MANY = {"names": "names of images"}


def _of(side: Json) -> str:
    return f" of {side['ended'][:10]}" if side["ended"] else ""


def compared_section(twin: Json) -> Html:
    """What changed, the kinds of things in the order of the page; nothing where it is no comparison."""
    part = twin.get("compared")
    if part is None:
        return Html("")
    return element("section", element("h2", "What changed"), *_parts(part, _known(twin)), id="compared")


def _known(twin: Json) -> dict[str, str]:
    """What to call images and containers, also those that are gone."""
    lists = (twin["compared"]["images"], twin["compared"]["containers"], twin["images"], twin["containers"])
    return {row["id"]: plain_name(row) for rows in lists for row in rows}


def _parts(part: Json, known: Mapping[str, str]) -> Iterator[Html]:
    yield element("p", verdict(part))
    if not part["complete"]:
        yield element(
            "p",
            "One of the reports is about some images only. So what is in one of them alone may be in the "
            "other store too: it stands here as “only then” or “only now”, and is not counted.",
        )
    yield table("The two reports", _side_columns(), [("Then", part["then"]), ("Now", part["now"])])
    yield _listed("Figures of the whole store", _total_columns(), part["totals"])
    yield _listed("Names that mean other images", _name_columns(), part["names"])
    yield _listed("Images", _thing_columns(), part["images"])
    yield _listed("Containers", _thing_columns(), part["containers"])
    yield _listed("Layers", _layer_columns(known), part["layers"])
    yield from _changed_paths(part["layers"], known)
    for by in part["not_compared"]:
        yield element("p", f"What {by} finds was not compared: it did not look in both.", class_="none")
    yield _listed("Findings", _finding_columns(), part["findings"])
    yield _listed("Records", _record_columns(), part["records"])


def _listed(caption: str, columns: Sequence[Col], rows: Sequence[Json]) -> Html:
    return table(caption, columns, rows, _MOST, empty="no difference", class_="sort")


def _size_pair() -> tuple[Col, Col]:
    return (
        Col("Size then", lambda row: _known_size(row, "size_then"), lambda row: row["size_then"]),
        Col("Size now", lambda row: _known_size(row, "size"), lambda row: row["size"]),
    )


def _known_size(row: Json, key: str) -> str:
    """A size; of a thing that is in both reports it may be not known."""
    return size_words(row[key]) if row["change"] == "changed" else _size(row[key])


def _size(size: int | None) -> str:
    return "" if size is None else size_words(size)


def _change_column() -> Col:
    return Col("Change", lambda row: element("b", row["change"]))


def _side_columns() -> Sequence[Col]:
    return (
        Col("Report", lambda row: row[0]),
        Col("File", lambda row: name(row[1]["file"]) if row[1]["file"] else "this report"),
        Col("SHA-256", lambda row: short(row[1]["sha256"])),
        Col("Made (UTC)", lambda row: when(row[1]["ended"])),
        Col("By", lambda row: row[1]["tool"]),
        Col("Kind", lambda row: row[1]["kind"]),
        Col("Store", lambda row: name(row[1]["path"] or "")),
    )


def _total_columns() -> Sequence[Col]:
    def shown(key: str) -> Col:
        return Col(
            key.capitalize(),
            lambda row: size_words(row[key]) if "size" in row["what"] else f"{row[key]:,}",
            lambda row: row[key],
        )

    return Col("Figure", lambda row: _TOTALS.get(row["what"], row["what"])), shown("then"), shown("now")


def _name_columns() -> Sequence[Col]:
    return (
        _change_column(),
        Col("Name", lambda row: name(row["name"])),
        Col("Image then", lambda row: _ids(row["then"])),
        Col("Image now", lambda row: _ids(row["now"])),
    )


def _ids(owners: Sequence[str]) -> Html:
    return names(owners, cut=True)


def _thing_columns() -> Sequence[Col]:
    return (
        _change_column(),
        Col("Name", lambda row: "" if row["name"] == row["id"] else name(row["name"])),
        Col("ID", lambda row: short(row["id"])),
        *_size_pair(),
        Col("What differs", lambda row: ", ".join(row["what"])),
    )


def _layer_columns(known: Mapping[str, str]) -> Sequence[Col]:
    return (
        _change_column(),
        Col("Chain ID", lambda row: short(row["chain_id"]) or "a container's own"),
        Col("In", lambda row: _owner(row["of"], known)),
        Col("Number", lambda row: str(row["index"] or ""), lambda row: row["index"]),
        *_size_pair(),
        Col("What differs", lambda row: ", ".join(row["what"])),
        Col("Paths", lambda row: f"{len(row['paths']):,}", lambda row: len(row["paths"])),
    )


def _owner(identity: str, known: Mapping[str, str]) -> Html:
    return name(known[identity]) if identity in known else short(identity)


def _changed_paths(layers: Sequence[Json], known: Mapping[str, str]) -> Iterator[Html]:
    """The paths of layers that change others than they did: all layers in one table."""
    rows = [(layer, path) for layer in layers for path in layer["paths"]]
    if not rows:
        return
    columns = (
        Col("In", lambda row: _owner(row[0]["of"], known)),
        Col("Layer", lambda row: str(row[0]["index"] or ""), lambda row: row[0]["index"]),
        Col("Path", lambda row: name(row[1]["path"])),
        Col("Then", lambda row: row[1]["then"] or "not changed"),
        Col("Now", lambda row: row[1]["now"] or "not changed"),
        Col("Size then", lambda row: _size(row[1]["size_then"]), lambda row: row[1]["size_then"]),
        Col("Size now", lambda row: _size(row[1]["size"]), lambda row: row[1]["size"]),
    )
    yield table("Paths that a layer changes otherwise than then", columns, rows, _MOST_PATHS, class_="sort")


def _finding_columns() -> Sequence[Col]:
    return (
        _change_column(),
        Col("By", lambda row: row["by"]),
        Col("Severity", lambda row: element("b", row["severity"], class_=f"s-{row['severity']}")),
        Col("Code", lambda row: element("code", row["code"] or "")),
        Col("Where", lambda row: name(row["path"] or "")),
        Col("What", lambda row: name(row["message"])),
    )


def _record_columns() -> Sequence[Col]:
    return (
        _change_column(),
        Col("Record", lambda row: name(row["path"])),
        *_size_pair(),
        Col("SHA-256 then", lambda row: short(row["sha256_then"])),
        Col("SHA-256 now", lambda row: short(row["sha256"])),
    )
