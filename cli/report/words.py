"""Short pieces of text and markup that several sections of the page have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..units import human_size, short_id
from .markup import Html, element, joined, name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["called", "count", "names", "plain_name", "short", "size_words", "when"]


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


def plain_name(part: Mapping[str, Any]) -> str:
    """What to call an image or container; one without a name by the beginning of its ID."""
    return short_id(part["id"]) if part["name"] == part["id"] else str(part["name"])


def called(part: Mapping[str, Any]) -> Html:
    """The same as markup."""
    return short(part["id"]) if part["name"] == part["id"] else name(part["name"])


def when(moment: str | None) -> Html:
    """A time to the second, UTC; whole in its title."""
    if not moment:
        return Html("")
    day, _, clock = moment.partition("T")
    return element("span", f"{day} {clock[:8]}".strip(), title=moment, class_="when")


def names(parts: Iterable[str]) -> Html:
    """Several names in one cell."""
    made: list[str | Html] = []
    for part in parts:
        made += [", ", name(part)] if made else [name(part)]
    return joined(made)
