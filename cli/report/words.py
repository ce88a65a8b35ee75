"""Short pieces of text and markup that several sections of the page have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..units import human_size, short_id
from .markup import Html, element, joined, name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "MOST_NAMES",
    "called",
    "count",
    "linked",
    "names",
    "plain_name",
    "reference",
    "short",
    "size_words",
    "topic_name",
    "when",
    "word_links",
]

MOST_NAMES = 50
"""Names in one cell."""


def count(number: int, one: str, many: str | None = None) -> str:
    """A number and what it counts."""
    if number == 1:
        return f"1 {one}"
    return f"{f'{number:,}' if number else 'no'} {many or f'{one}s'}"


def size_words(size: int | None) -> str:
    """Bytes in words."""
    return "not known" if size is None else human_size(size, 4)


def short(identity: str | None) -> Html:
    """An ID cut to what people read, whole in its title."""
    if not identity:
        return Html("")
    digits = identity.rpartition(":")[2]
    return element("code", digits[:12], title=identity, class_="id")


def linked(identity: str, numbers: Mapping[str, int]) -> Html:
    """An ID that leads to the section of its image or container, where that has one."""
    number = numbers.get(identity)
    return short(identity) if number is None else element("a", short(identity), href=f"#part-{number}")


def topic_name(topic: str) -> str:
    """A word of `layerfs explain --topic` as it is written in a sentence."""
    return topic if topic == "copy-up" else topic.replace("-id", " ID").replace("-", " ")


def word_links(*topics: str) -> Html:
    """Links to what the page says of some words."""
    links = (element("a", topic_name(topic), href=f"#word-{topic}") for topic in topics)
    made: list[str | Html] = []
    for link in links:
        made += [", ", link] if made else ["In words: ", link]
    return element("p", *made, class_="none")


def plain_name(part: Mapping[str, Any]) -> str:
    """What to call an image or container; one without a name by the beginning of its ID."""
    return short_id(part["id"]) if part["name"] == part["id"] else str(part["name"])


def called(part: Mapping[str, Any]) -> Html:
    """The same as markup."""
    return short(part["id"]) if part["name"] == part["id"] else reference(part["name"])


def reference(whole: str) -> Html:
    """A name of an image; its digest is cut, and whole in the title."""
    stem, sign, digest = whole.partition("@sha256:")
    return element("bdi", f"{stem}{sign}{digest[:12]}", dir="ltr", title=whole) if sign else name(whole)


def when(moment: str | None) -> Html:
    """A time to the second, UTC; whole in its title."""
    if not moment:
        return Html("")
    day, _, clock = moment.partition("T")
    return element("span", f"{day} {clock[:8]}".strip(), title=moment, class_="when")


def names(parts: Sequence[str], *, cut: bool = False) -> Html:
    """Several names in one cell, or IDs, cut; of very many the first."""
    made: list[str | Html] = []
    for part in parts[:MOST_NAMES]:
        one = short(part) if cut else name(part)
        made += [", ", one] if made else [one]
    if len(parts) > MOST_NAMES:
        made.append(f", {len(parts) - MOST_NAMES:,} more")
    return joined(made)
