"""The sections about the store as a whole: images and what they share, findings, times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..escape import printable
from ..units import ellipsis, short_id
from .markup import Html, element, joined, name
from .pictures import sharing_matrix, time_strip
from .tables import Col, table
from .words import MOST_NAMES, called, linked, names, reference, short, size_words, when, word_links

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["findings_section", "images_section", "timeline_section"]

Json = dict[str, Any]

_MOST_OWNERS = 400
"""Rows of the table of images, and of the one of containers."""


def images_section(twin: Json, numbers: Mapping[str, int]) -> Html:
    """The images, and the layers that several of them have.

    Args:
        twin: what is shown.
        numbers: of the sections of images and containers, by ID.
    """
    shared = [row for row in twin["sharing"] if len(row["images"]) + len(row["containers"]) > 1]
    return element(
        "section",
        element("h2", "Images and what they share"),
        table(
            "Images",
            _image_columns(numbers),
            twin["images"],
            _MOST_OWNERS,
            empty=_none(twin, "images"),
            class_="sort",
        ),
        table(
            "Containers",
            _container_columns(twin, numbers),
            twin["containers"],
            _MOST_OWNERS,
            class_="sort",
        ),
        word_links("image-id", "shared-size", "dangling", "chain-id"),
        sharing_matrix(twin["images"], twin["sharing"]),
        table(
            "Layers that more than one image or container has",
            _shared_columns(twin["names"]),
            shared,
            class_="sort",
        ),
        id="images",
    )


def _none(twin: Json, kind: str) -> str:
    """That there are none, and how many the store has of which the report is not."""
    number = twin["totals"][kind]
    return f"none in this report, of {number:,} in the store" if number else "none"


def _size_column(heading: str, key: str) -> Col:
    return Col(heading, lambda row: size_words(row[key]), lambda row: row[key])


def _image_columns(numbers: Mapping[str, int]) -> Sequence[Col]:
    return (
        Col("Names", lambda row: _references(row["references"])),
        Col("ID", lambda row: linked(row["id"], numbers)),
        Col("Created", lambda row: when(row["created"])),
        Col("Platform", lambda row: row["platform"] or ""),
        Col("Layers", lambda row: str(len(row["chain"])), lambda row: len(row["chain"])),
        _size_column("Size", "size"),
        _size_column("Shared", "shared_size"),
        _size_column("Unique", "unique_size"),
        _size_column("Freed by removal", "freed_size"),
    )


def _references(texts: Sequence[str]) -> Html:
    """Names of an image; digests cut, and whole in the title."""
    made: list[str | Html] = []
    for whole in texts[:MOST_NAMES] or ["<none>"]:
        made += [", ", reference(whole)] if made else [reference(whole)]
    if len(texts) > MOST_NAMES:
        made.append(f", {len(texts) - MOST_NAMES:,} more")
    return joined(made)


def _container_columns(twin: Json, numbers: Mapping[str, int]) -> Sequence[Col]:
    known = twin["names"]
    pod = Col("Pod", lambda row: name(row["pod"] or ""))
    return (
        Col("Name", called),
        Col("ID", lambda row: linked(row["id"], numbers)),
        Col("Image", lambda row: name(known[row["image"]]) if row["image"] in known else short(row["image"])),
        Col("Created", lambda row: when(row["created"])),
        *([pod] if any(row["pod"] for row in twin["containers"]) else ()),
    )


def _shared_columns(known: Mapping[str, str]) -> Sequence[Col]:
    def called_by(key: str) -> Callable[[Json], Html]:
        return lambda row: names(_named(row[key], known))

    return (
        Col("Chain ID", lambda row: short(row["chain_id"])),
        _size_column("Size", "size"),
        Col("Images", lambda row: str(len(row["images"])), lambda row: len(row["images"])),
        Col("Their names", called_by("images")),
        Col("Containers", called_by("containers")),
    )


def _named(owners: Sequence[str], known: Mapping[str, str], most: int = 10) -> list[str]:
    """What to call some images or containers; of very many the first, those with a name before the others."""
    called_by = [(item, known.get(item, item)) for item in owners]
    named = [(name == item, short_id(item) if name == item else name) for item, name in called_by]
    shown = [text for _, text in sorted(named)[:most]]
    return [*shown, f"{len(owners) - most} more"] if len(owners) > most else shown


def findings_section(twin: Json) -> Html:
    """What doctor and verify found, and what could not be read."""
    found = twin["findings"]
    parts = [element("h2", "Findings")]
    if found is None:
        parts.append(element("p", "doctor does not examine this kind of store.", class_="none"))
    else:
        parts.append(table("What doctor found", _doctor_columns(), found))
    if twin["verified"] is not None:
        parts.append(table("What verify found", _verify_columns(), twin["verified"]))
    if twin["problems"]:
        columns = (Col("What", name),)
        parts.append(table("What could not be read", columns, twin["problems"]))
    return element("section", *parts, id="findings")


def _doctor_columns() -> Sequence[Col]:
    return (
        *_verify_columns(),
        Col("On disk", lambda row: size_words(row["bytes"]), lambda row: row["bytes"]),
        Col("What could be done", lambda row: row["suggestion"]),
    )


def _verify_columns() -> Sequence[Col]:
    return (
        Col("Severity", lambda row: element("b", row["severity"], class_=f"s-{row['severity']}")),
        Col("Code", lambda row: element("code", row["code"])),
        Col("Where", lambda row: name(row["path"])),
        Col("What", lambda row: joined((row["message"], *_difference(row)))),
    )


def _difference(row: Json) -> list[str | Html]:
    parts: list[str | Html] = []
    for key, word in (("expected", "; expected "), ("actual", "; found ")):
        if row[key] is not None:
            parts += [word, name(row[key])]
    return parts


def timeline_section(twin: Json) -> Html:
    """When images were built and files changed."""
    timeline = twin["timeline"]
    known = {part["id"]: part["name"] for part in (*twin["images"], *twin["containers"])}
    odd = [
        element("li", f"{item['files']:,} files are {item['side']} this time, as far as {item['extreme']}.")
        for item in timeline["outliers"]
    ]
    columns = (
        Col("Time (UTC)", lambda row: when(row["time"])),
        Col("What", lambda row: row["what"]),
        Col("Of", lambda row: names(_named([item for item in row["owners"] if item in known], known, 3))),
        Col("Layer", lambda row: str(row["layer"] or ""), lambda row: row["layer"]),
        Col("Step", lambda row: name(ellipsis(printable(row["text"]), 300))),
    )
    return element(
        "section",
        element("h2", "Timeline"),
        element(
            "p",
            "Above: what the engine noted. Below: how many files were last changed then; each layer once.",
        ),
        time_strip(timeline),
        element("ul", *odd) if odd else Html(""),
        table("What the engine noted", columns, timeline["events"]),
        id="timeline",
    )
