"""The first section: a few figures, and the sentences that most readers want to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .comparepage import verdict
from .markup import Html, element, joined
from .words import count, size_words

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["glance"]

Json = dict[str, Any]


def glance(twin: Json) -> Html:
    """Figures, then sentences; what is wrong comes first."""
    return element(
        "section",
        element("h2", "At a glance"),
        element("ul", *(element("li", sentence) for sentence in _sentences(twin)), class_="verdicts"),
        element("dl", *_figures(twin), class_="figures"),
        id="glance",
    )


def _figures(twin: Json) -> Iterator[Html]:
    totals = twin["totals"]
    parts = [*twin["images"], *twin["containers"]]
    wasted = sum(part["waste"]["wasted"] for part in parts if part["waste"])
    figures = (
        (_images_words(twin), f"{totals['images']:,}"),
        ("containers", f"{totals['containers']:,}"),
        ("layers", f"{totals['layers']:,}"),
        ("on disk, each layer once", size_words(totals["size"])),
        ("of it shared by images", size_words(totals["shared_size"])),
        ("wasted in what is reported", size_words(wasted)),
    )
    for words, value in figures:
        yield element("div", element("dt", words), element("dd", value))


def _sentences(twin: Json) -> Iterator[str | Html]:
    if "compared" in twin:
        yield _leading(verdict(twin["compared"]), "compared", "What changed")
    findings = twin["findings"]
    if findings is None:
        yield "This kind of store has no records that could be examined as a whole."
    else:
        bad = sum(row["severity"] != "note" for row in findings)
        notes = f", and {count(len(findings) - bad, 'note')}" if len(findings) > bad else ""
        said = f"doctor found {count(bad, 'error or warning', 'errors or warnings')}{notes}."
        yield _leading(said, "findings", "Findings")
    if twin["verified"] is None:
        yield "The files of layers were not compared with their archives: --verify does that."
    else:
        yield _leading(f"verify found {count(len(twin['verified']), 'difference')}.", "findings", "Findings")
    if twin["problems"]:
        yield _leading(f"{count(len(twin['problems']), 'thing')} could not be read.", "findings", "Findings")
    hidden = sum(len(part["hidden"]) for part in (*twin["images"], *twin["containers"]))
    yield f"{count(hidden, 'hidden or deleted file is', 'hidden or deleted files are')} still in the layers."


def _images_words(twin: Json) -> str:
    """What the first figure counts: a report of all leaves out the images that are only steps of others."""
    steps = twin["scope"] == "all" and twin["totals"]["images"] > len(twin["images"])
    return "images in the store, with intermediate ones" if steps else "images in the store"


def _leading(sentence: str, section: str, title: str) -> Html:
    """A sentence, and where more of it stands."""
    return joined((sentence, " ", element("a", title, href=f"#{section}")))
