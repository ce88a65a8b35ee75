"""The functions of Docker's templates, and how Go prints a value.

Source: docker/cli `templates/templates.go`; Go `text/template/funcs.go`, `fmt`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FUNCTIONS", "MISSING", "Fields", "TemplateError", "go_text", "truth"]


class TemplateError(ValueError):
    """The template cannot be parsed or applied."""


class Fields(dict[str, Any]):
    """A mapping with a fixed set of keys: another one is an error, not `<no value>`."""

    fixed = True


class _Missing:
    """What a key that is not there evaluates to."""


MISSING = _Missing()


def truth(value: Any) -> bool:
    """Whether `if` takes it: Go calls empty what Python does."""
    return value is not MISSING and bool(value)


def go_text(value: Any, *, top: bool = False) -> str:
    """A value as Go prints it with %v."""
    if value is None or value is MISSING:
        return "<no value>" if top else "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(go_text(item) for item in value) + "]"
    return str(value)


def _json(value: Any) -> str:
    text = json.dumps(None if value is MISSING else value, separators=(",", ":"), ensure_ascii=False)
    # like Go's encoder, and so that lone surrogates (bytes that are no UTF-8) can be printed
    return "".join(char if not 0xD800 <= ord(char) <= 0xDFFF else f"\\u{ord(char):04x}" for char in text)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, MISSING)
        elif isinstance(value, (list, tuple, str)):
            if not isinstance(key, int) or not 0 <= key < len(value):
                raise TemplateError(f"index out of range: {key}")
            value = value[key]
        else:
            raise TemplateError(f"can't index {go_text(value)}")
    return value


def _printf(form: str, *values: Any) -> str:
    plain = tuple(
        value if isinstance(value, (int, float)) and not isinstance(value, bool) else go_text(value)
        for value in values
    )
    return form.replace("%v", "%s").replace("%q", '"%s"') % plain


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else text


def _truncate(text: str, length: int) -> str:
    return text[:length]


def _equal(first: Any, *others: Any) -> bool:
    return any(first == other for other in others)


def _and(*values: Any) -> Any:
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if truth(value)), values[-1])


def _print(*values: Any) -> str:
    return "".join(go_text(value) for value in values)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "json": _json,
    "index": _index,
    "len": len,
    "join": lambda items, separator: separator.join(items or ()),
    "split": lambda text, separator: text.split(separator),
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "title": lambda text: text[:1].upper() + text[1:],
    "pad": _pad,
    "truncate": _truncate,
    "print": _print,
    "println": lambda *values: " ".join(go_text(value) for value in values) + "\n",
    "printf": _printf,
    "eq": _equal,
    "ne": lambda one, other: one != other,
    "lt": lambda one, other: one < other,
    "le": lambda one, other: one <= other,
    "gt": lambda one, other: one > other,
    "ge": lambda one, other: one >= other,
    "not": lambda value: not truth(value),
    "and": _and,
    "or": _or,
}
