"""The last sections: the evidence of the reading, and how to read the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..topictexts import TEXTS
from .markup import Html, element, name
from .tables import Col, table
from .words import topic_name

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ending"]

Json = dict[str, Any]

_RULES = (
    ("Top down", "A name is looked for in the uppermost layer first, then in the next."),
    ("First wins", "The first file, link or device ends the search. A whiteout means: not here."),
    (
        "Directories pile up",
        "Directories of one name are shown as one, down to an opaque one, a whiteout or a file.",
    ),
    ("The top one speaks", "Mode, owner and times are those of the uppermost; contents are never merged."),
    ("Cut is cut", "Below a directory only those layers are asked that the directory was made of."),
    ("The root is never cut", "No layer can hide everything below it at once."),
)
_OWN_WORDS = {
    "layer": "What one build step changed, as a directory or a tar.",
    "wasted": "Bytes that are stored in a layer, and that the final tree shows under no name.",
    "freed by removal": "What the disk would gain if this image alone were removed.",
}
_WORDS = (
    "diff-id", "chain-id", "cache-id", "image-id", "whiteout", "opaque", "copy-up", "shared-size", "missing",
    "dangling", "hard-links", "metacopy", "redirect", "snapshot",
)  # fmt: skip
"""Topics of `layerfs explain` whose texts the page has."""

_MOST_RECORDS = 500


def ending(twin: Json, digest: str | None) -> Html:
    """The evidence, and the explanations."""
    return Html(_evidence(twin, digest) + _how())


def _evidence(twin: Json, digest: str | None) -> Html:
    evidence, root = twin["evidence"], twin["root"]
    facts = [*_facts(evidence), *_facts(root), ("sha256 of the twin", digest or "the twin was not written")]
    columns = (
        Col("Record", lambda row: name(row["path"])),
        Col("Bytes", lambda row: f"{row['size']:,}", lambda row: row["size"]),
        Col("SHA-256", lambda row: element("code", row["sha256"])),
    )
    listed = (element("div", element("dt", key), element("dd", name(value))) for key, value in facts)
    return element(
        "section",
        element("h2", "Evidence"),
        element("dl", *listed, class_="facts"),
        table("Every record that was read, once", columns, evidence["metadata_files"], _MOST_RECORDS),
        id="evidence",
    )


def _facts(part: Json) -> Iterator[tuple[str, str]]:
    for key, value in part.items():
        if isinstance(value, list):
            if key == "arguments":
                yield key, " ".join(value)
        elif value is not None:
            yield key.replace("_", " "), str(value)


def _how() -> Html:
    rules = (element("li", element("b", f"{title}. "), text) for title, text in _RULES)
    own = (element("div", element("dt", word), element("dd", text)) for word, text in _OWN_WORDS.items())
    return element(
        "section",
        element("h2", "How to read this"),
        element(
            "p",
            "Layers are numbered from 1, the base. An image shows them laid over each other by six rules:",
        ),
        element("ol", *rules),
        element("dl", *own, class_="facts"),
        *map(_word, _WORDS),
        id="how",
    )


def _word(topic: str) -> Html:
    """What `layerfs explain --topic` says; a link into a folded part opens it."""
    text = TEXTS[topic]
    return element(
        "details",
        element("summary", element("b", topic_name(topic)), f": {text.line}"),
        element("p", text.what, id=f"word-{topic}"),
        element("p", text.why),
        element("p", text.disk),
    )
