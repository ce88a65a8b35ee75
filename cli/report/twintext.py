"""The text of a twin: indented JSON in which a row of plain values is one line, for jq, grep and diff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..escape import json_text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["twin_text"]

_PIECES = 1000
"""How many lines are given at once."""


def twin_text(twin: dict[str, Any]) -> Iterator[bytes]:
    """The file of a twin, in pieces."""
    lines: list[str] = []
    for piece in _lines(twin, ""):
        lines.append(piece)
        if len(lines) == _PIECES:
            yield "".join(lines).encode()
            lines = []
    yield "".join([*lines, "\n"]).encode()


def _lines(value: Any, indent: str) -> Iterator[str]:
    if not isinstance(value, (dict, list)) or _is_row(value):
        yield json_text(value)
        return
    ends = "{}" if isinstance(value, dict) else "[]"
    items = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    inner, mark = f"\n{indent} ", ends[0]
    for key, item in items:
        yield f"{mark}{inner}" if key is None else f"{mark}{inner}{json_text(key)}: "
        yield from _lines(item, f"{indent} ")
        mark = ","
    yield f"\n{indent}{ends[1]}"


def _is_row(value: dict[str, Any] | list[Any]) -> bool:
    """Whether nothing in it has names of its own."""
    items = value.values() if isinstance(value, dict) else value
    return not any(isinstance(item, dict) or (isinstance(item, list) and not _is_row(item)) for item in items)
