"""The page of a report, made from its twin and nothing else, piece by piece."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from .ending import ending
from .glance import glance
from .markup import Html, element, joined
from .stackpage import stack_section
from .storepage import findings_section, images_section, timeline_section

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["page"]

Json = dict[str, Any]


def page(twin: Json, twin_digest: str | None) -> Iterator[str]:
    """The page in pieces.

    Args:
        twin: what it shows.
        twin_digest: the sha256 of the twin's file; None where none is written.
    """
    style, script = (_ours(name) for name in ("style.css", "script.js"))
    yield "<!doctype html>\n"
    yield f'<html lang="en"><head>{_head(twin, style, script)}</head><body>\n'
    yield element("a", "Skip to the contents", href="#contents", class_="skip")
    yield _switch()
    yield _header(twin)
    yield _contents(twin)
    yield "<main>\n"
    yield glance(twin)
    yield images_section(twin)
    for number, part in enumerate((*twin["images"], *twin["containers"]), 1):
        yield stack_section(part, number)
    yield findings_section(twin)
    yield timeline_section(twin)
    yield ending(twin, twin_digest)
    yield f"</main>\n<script>{script}</script></body></html>\n"


def _ours(name: str) -> str:
    """A file of this package: it is inlined as it is, so its digest can be told in the policy."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _head(twin: Json, style: str, script: str) -> str:
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return joined(
        (
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=policy),
            element("meta", name="referrer", content="no-referrer"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("title", _title(twin)),
            Html(f"<style>{style}</style>"),
        )
    )


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _title(twin: Json) -> str:
    parts = [*twin["images"], *twin["containers"]]
    about = parts[0]["name"] if len(parts) == 1 else f"{len(twin['images'])} images"
    return f"layerfs report: {about}"


def _switch() -> Html:
    """The choice of colours; the style sheet reads it, so it works without a script."""
    return element(
        "div",
        element("input", type="checkbox", id="other-colours"),
        element("label", "Other colours", for_="other-colours"),
        class_="switch",
    )


def _header(twin: Json) -> Html:
    root = twin["root"]
    where = element("bdi", root["path"], dir="ltr") if root.get("path") else Html("a store")
    when = twin["evidence"].get("ended")
    return element(
        "header",
        element("h1", _title(twin)),
        element("p", "Read from ", where, f", kind {root['kind']}", f", {when[:19]}Z" if when else "", "."),
    )


def _contents(twin: Json) -> Html:
    parts = [
        element("li", element("a", part["name"], href=f"#part-{number}"))
        for number, part in enumerate((*twin["images"], *twin["containers"]), 1)
    ]
    items = [("glance", "At a glance"), ("images", "Images and what they share")]
    last = [
        ("findings", "Findings"),
        ("timeline", "Timeline"),
        ("evidence", "Evidence"),
        ("how", "How to read this"),
    ]
    links = [element("li", element("a", words, href=f"#{name}")) for name, words in items]
    inner = element("ol", *parts) if len(parts) <= 200 else Html("")
    links.append(element("li", element("a", "Each image and container", href="#part-1"), inner))
    links += [element("li", element("a", words, href=f"#{name}")) for name, words in last]
    return element(
        "nav", element("h2", "Contents"), element("ol", *links), id="contents", aria_label="Contents"
    )
