"""The page of a report, made from its twin and nothing else, piece by piece."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from .comparepage import compared_section
from .ending import ending
from .glance import glance
from .markup import Html, element, elements_in, joined
from .pictures import hatching
from .stackpage import BRIEFLY, Room, stack_section
from .storepage import findings_section, images_section, timeline_section
from .words import called, count, plain_name, when

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["page"]

Json = dict[str, Any]

_MOST_ELEMENTS = 24_000
"""Elements of a page: a browser opens these at once. What has no room is counted, and in the twin."""

_IN_LISTS = 4
"""Elements of a line in the contents, and of a link in a table."""

_MOST_OPEN = 30
"""How many of them the contents name without being asked."""


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
    yield hatching()
    yield _switch()
    yield _header(twin)
    before = [glance(twin), compared_section(twin)]
    after = [findings_section(twin), timeline_section(twin), ending(twin, twin_digest)]
    others = sum(map(elements_in, (*before, images_section(twin, {}), *after)))
    parts, sections = _sections(twin, _MOST_ELEMENTS - others)
    numbers = {part["id"]: number for number, part in enumerate(parts, 1)}
    yield _contents(twin, parts)
    yield "<main>\n"
    yield from (*before, images_section(twin, numbers), *sections, *after)
    yield f"</main>\n<script>{script}</script></body></html>\n"


def _sections(twin: Json, room: int) -> tuple[list[Json], list[Html]]:
    """The images and containers that have sections of their own, and these: all in full, or most in brief."""
    number = len(twin["images"]) + len(twin["containers"])
    for share in (Room.of(number), *BRIEFLY):
        made = _fitting(twin, share, room, room // 2 if share is BRIEFLY[-1] else 0)
        if len(made[0]) == number:
            break
    return made


def _fitting(twin: Json, share: Room, room: int, reserve: int) -> tuple[list[Json], list[Html]]:
    """The first images and containers that there is room for, at least one; images leave `reserve` of it."""
    images, containers = twin["images"], twin["containers"]
    numbers: dict[str, int] = {}
    parts: list[Json] = []
    sections: list[Html] = []
    for owners, left in ((images, reserve if containers else 0), (containers, 0)):
        for part in owners:
            numbers.setdefault(part["id"], len(parts) + 1)
            section = stack_section(part, len(parts) + 1, share, numbers)
            size = elements_in(section) + _IN_LISTS
            if parts and room - size < left:
                del numbers[part["id"]]
                break
            room -= size
            parts.append(part)
            sections.append(section)
    return parts, sections


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
    images, containers = twin["images"], twin["containers"]
    if len(images) + len(containers) == 1:
        return f"layerfs report: {plain_name((images or containers)[0])}"
    counts = [count(len(images), "image")] if images or not containers else []
    counts += [count(len(containers), "container")] if containers else []
    return f"layerfs report: {' and '.join(counts)}"


def _switch() -> Html:
    """The choice of colours; the style sheet reads it, so it works without a script."""
    return element(
        "div",
        element("input", type="checkbox", id="other-colours"),
        element("label", "Light or dark", for_="other-colours"),
        class_="switch",
    )


def _header(twin: Json) -> Html:
    root = twin["root"]
    where = element("bdi", root["path"], dir="ltr") if root.get("path") else Html("a store")
    ended = twin["evidence"].get("ended")
    return element(
        "header",
        element("h1", _title(twin)),
        element(
            "p",
            "Read from ",
            where,
            f", kind {root['kind']}",
            *((", ", when(ended), " UTC") if ended else ()),
            ".",
        ),
    )


def _contents(twin: Json, parts: list[Json]) -> Html:
    items = [("glance", "At a glance"), ("images", "Images and what they share")]
    if "compared" in twin:
        items.insert(1, ("compared", "What changed"))
    last = [
        ("findings", "Findings"),
        ("timeline", "Timeline"),
        ("evidence", "Evidence"),
        ("how", "How to read this"),
    ]
    links = [element("li", element("a", words, href=f"#{name}")) for name, words in items]
    links += _each_part(twin, parts)
    links += [element("li", element("a", words, href=f"#{name}")) for name, words in last]
    return element(
        "nav", element("h2", "Contents"), element("ol", *links), id="contents", aria_label="Contents"
    )


def _each_part(twin: Json, parts: list[Json]) -> list[Html]:
    """The line of the contents with all images and containers; none where there are none."""
    left = len(twin["images"]) + len(twin["containers"]) - len(parts)
    if not parts:
        return []
    links = (
        element("li", element("a", called(part), href=f"#part-{number}"))
        for number, part in enumerate(parts, 1)
    )
    listed = element("ol", *links, class_="parts")
    words = f"Each image and container ({len(parts)})"
    note = f" {left:,} more have no section: the JSON has them, and `layerfs report NAME`." if left else ""
    if len(parts) <= _MOST_OPEN:
        return [element("li", element("a", words, href="#part-1"), note, listed)]
    return [element("li", element("details", element("summary", words), listed), note)]
