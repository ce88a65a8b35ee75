"""Texts that a page, a script, a style sheet or a table might take for more than text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fixtures.archives import Layer
from tests.support.layouts import Layout, as_directory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["INJECTIONS", "as_names", "injected", "injected_layout"]

INJECTIONS = (
    "</script><script>alert(1)</script>", "</title><h1>x", "</style><b>", "<!--", "]]>", "-->",
    '"onmouseover="alert(1)', "' onload='alert(1)", "`", "&lt;b&gt;", "&#60;b>", "{{.Name}}", "${x}", "%s",
    "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>", "\r\nx: y", "\x1b[31mred\x07", "a\u202egpj.exe",
    "\u2066x\u2069", "\ufeffbom", "line\u2028next", "x" + "\u0301" * 100, "\U0001f600", "n" * 250, "   ",
    "-dash", "..x", "=cmd|x", "</bdi></table>", "<input autofocus onfocus=alert(1)>", "<base href=//x>",
    "\x7f", "\x85",
)  # fmt: skip
"""Each is text that a record may have; without `/` and within 255 bytes it may be the name of a file."""


def as_names() -> list[str]:
    """Names of files that hold them."""
    return [text.replace("/", "\u2215") for text in INJECTIONS]


def injected_layout(path: Path) -> Path:
    """An OCI layout with each of them as a name, a link, a step, an author, a label and a comment.

    The names are added by one layer, and half of them deleted by the next.
    """
    below, above = Layer(), Layer()
    for name in as_names():
        below.file(name, b"x" * 100)
        below.symlink(f"link to {name}"[:250].strip(), name)
    for name in as_names()[::2]:
        above.whiteout(name)
    above.file("last", b"x")
    steps = [
        {
            "created": "2024-01-01T00:00:00Z",
            "created_by": text,
            "comment": text,
            "author": text,
            "empty_layer": True,
        }
        for text in INJECTIONS
    ]
    history = [*steps, {"created_by": "".join(INJECTIONS)}, {"created_by": "y" * 100_000}]
    layout = Layout()
    image = layout.image(
        [below.done(), above.done()],
        history=history,
        author="".join(INJECTIONS),
        config={"Labels": {text: text for text in INJECTIONS}, "Env": list(INJECTIONS)},
    )
    layout.name(image, "docker.io/library/app:1")
    return as_directory(layout.done(), path)


def injected(value: Any, texts: Sequence[str], number: int = 0) -> tuple[Any, int]:
    """A document of JSON with one of `texts` in place of each text, in turn; and how many there are."""
    if isinstance(value, str):
        return texts[number % len(texts)], number + 1
    if isinstance(value, list):
        made: list[Any] = []
        for item in value:
            one, number = injected(item, texts, number)
            made.append(one)
        return made, number
    if isinstance(value, dict):
        document: dict[str, Any] = {}
        for key, item in value.items():
            document[key], number = injected(item, texts, number)
        return document, number
    return value, number
