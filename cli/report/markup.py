"""Makes HTML and SVG: the only place that writes a `<`, so that no text of a store can become markup.

A text is escaped twice: what is not plainly visible becomes what a terminal shows for it (`printable`),
and what HTML would read as markup becomes a reference. Sources: HTML Living Standard, 13.1.2 and 13.1.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..escape import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Html", "element", "elements_in", "joined", "name", "text"]

_MARKS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "`": "&#96;"})
_EMPTY = frozenset({"input", "meta"})
"""Elements that have no end tag. Those of SVG have one: a parser of HTML takes none of them for empty."""


class Html(str):
    """Markup that was made here; any other `str` is text, and is escaped."""

    __slots__ = ()


_LONGEST = 20_000
"""Characters of a text: a longer one would be most of the page. The twin has all of it."""


def text(value: str) -> Html:
    """A text as it is shown."""
    shown = printable(value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…")
    return Html(shown.translate(_MARKS))


def name(value: str) -> Html:
    """A name from a store: its direction does not reach what stands around it."""
    return element("bdi", value, dir="ltr")


def element(tag: str, *children: str | Html, **attributes: str | float | None) -> Html:
    """An element.

    Args:
        tag: its name, a constant of the code.
        children: markup, or text that is escaped.
        attributes: by name, `_` for `-`, a `_` behind a word of Python; None leaves an attribute out.
    """
    made = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if tag in _EMPTY:
        return Html(f"<{tag}{made}>")
    return Html(f"<{tag}{made}>{joined(children)}</{tag}>")


def elements_in(markup: Html) -> int:
    """How many elements it has, without those that have no end tag: text has no `<`, so each is one."""
    return markup.count("</")


def joined(children: Iterable[str | Html]) -> Html:
    """Several pieces as one."""
    return Html("".join(child if isinstance(child, Html) else text(child) for child in children))
