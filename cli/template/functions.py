"""The functions of Docker's templates, as Go calls them.

Source: docker/cli `templates/templates.go`; Go
`text/template/funcs.go`, `fmt`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..escape import json_text
from .fields import Fields, TemplateError
from .printf import go_struct, go_text, printf

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FUNCTIONS", "HEADER_FUNCTIONS", "truth"]


_WORD_START = re.compile(r"(?:^|(?<=[\x00-/:-@\[-^`{-\x7f\s])).", re.DOTALL)


def _raw(value: Any) -> Any:
    """The original of a value that `shown` or `govalues` made."""
    if hasattr(value, "raw"):
        return _raw(value.raw)
    if isinstance(value, Mapping):
        return {_raw(key): _raw(item) for key, item in value.items()}
    return [_raw(item) for item in value] if isinstance(value, list) else value


def truth(value: Any) -> bool:
    """Whether a value is true for `if`: the same values are empty in Go and in Python."""
    return bool(value)


def _json(value: Any) -> str:
    text = json_text(_raw(value))
    return _for_html(text) if type(value) is Fields else text


def _for_html(text: str) -> str:
    """The JSON of a row as Go writes it, with escapes for HTML, as a row marshals itself."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if value is None or isinstance(value, Mapping):
            value = _lookup(value or {}, key)
        elif isinstance(value, (list, str)):
            items = value if isinstance(value, list) else _bytes(value)
            if type(key) is not int:
                raise TemplateError(f"cannot index a list with {go_text(key)}")
            if not 0 <= key < len(items):
                raise TemplateError(f"index out of range: {key}")
            value = items[key]
        else:
            raise TemplateError(f"can't index {go_text(value)}")
    return value


def _lookup(value: Mapping[str, Any], key: Any) -> Any:
    """The item of a map; if it is missing, Go's zero value, which is "" in a map of strings."""
    if not isinstance(key, str):
        raise TemplateError(f"cannot index a map with {go_text(key)}")
    if key in value or isinstance(value, Fields):
        return value[key]
    return "" if all(isinstance(item, str) for item in value.values()) else None


def _slice(value: Any, *bounds: int) -> Any:
    if not isinstance(value, (list, str)) or any(type(bound) is not int for bound in bounds):
        raise TemplateError(f"can't slice {go_text(value)}")
    start, stop = (*bounds, *(0, len(value))[len(bounds) :])
    if not 0 <= start <= stop <= len(value):
        raise TemplateError(f"slice out of range: {start}:{stop}")
    return value[start:stop]


def _length(value: Any) -> int:
    if not isinstance(value, (Mapping, list, str)):
        raise TemplateError(f"len of {go_text(value)}")
    return len(_bytes(value) if isinstance(value, str) else value)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _join(items: Any, separator: str) -> str:
    if isinstance(items, Mapping):
        return separator.join(sorted(go_text(item) for item in items.values()))
    if items is not None and not isinstance(items, list):
        raise TemplateError(f"expected a list to join, not {go_text(items)}")
    return separator.join(go_text(item) for item in items or ())


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(_text(text))


def _upper(text: str) -> str:
    return "".join(map(_one_character, text, map(str.upper, _text(text))))


def _lower(text: str) -> str:
    return "".join(char.lower()[0] for char in _text(text))


def _title(text: str) -> str:
    return _WORD_START.sub(lambda match: _one_character(match[0], match[0].title()), text)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TemplateError(f"expected text, not {go_text(value)}")
    return value


def _one_character(char: str, changed: str) -> str:
    """`changed`, or `char` if that is longer: Go changes each character by itself."""
    return changed if len(changed) == 1 else char


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else text


def _comparable(first: Any, second: Any, *, ordered: bool = False) -> None:
    """Raise `TemplateError` for values that Go does not compare; nil equals only nil, and has no order."""
    if not ordered and None in (first, second):
        return
    if isinstance(first, (list, Mapping)) or isinstance(second, (list, Mapping)):
        raise TemplateError("uncomparable type: list or map")
    kinds = {str if isinstance(value, str) else type(value) for value in (first, second)}
    if kinds & {bool, type(None)} and ordered:
        raise TemplateError("invalid type for comparison")
    if len(kinds) > 1:
        raise TemplateError("incompatible types for comparison")


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise TemplateError("missing argument for comparison")
    for other in others:
        _comparable(first, other)
        if first == other:
            return True
    return False


def _less(first: Any, second: Any) -> bool:
    _comparable(first, second, ordered=True)
    return bool(first < second)


def _print(*values: Any) -> str:
    """Go's Sprint: a space between two values when neither is text."""
    text = ""
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            text += " "
        text += go_struct(value)
    return text


_HTML = {"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}


def _html(*values: Any) -> str:
    """Text for HTML, as Go escapes it."""
    return "".join(_HTML.get(char, char) for char in _print(*values))


def _js(*values: Any) -> str:
    """Text for a string of JavaScript, as Go escapes it."""
    return "".join(_JS.get(char) or _js_character(char) for char in _print(*values))


def _js_character(char: str) -> str:
    return char if char.isprintable() or char == "\x7f" else f"\\u{ord(char):04X}"


def _urlquery(*values: Any) -> str:
    """Text for the query of a URL."""
    from urllib.parse import quote_plus

    return quote_plus(_bytes(_print(*values)))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "json": _json,
    "split": _split,
    "join": _join,
    "title": _title,
    "lower": _lower,
    "upper": _upper,
    "pad": _pad,
    "truncate": lambda text, length: _text(text)[:length],
    "index": _index,
    "slice": _slice,
    "len": _length,
    "print": _print,
    "println": lambda *values: " ".join(map(go_struct, values)) + "\n",
    "printf": printf,
    "eq": _equal,
    "ne": lambda first, second: not _equal(first, second),
    "lt": _less,
    "le": lambda first, second: _less(first, second) or first == second,
    "gt": lambda first, second: not _less(first, second) and first != second,
    "ge": lambda first, second: not _less(first, second),
    "not": lambda value: not truth(value),
    "html": _html,
    "js": _js,
    "urlquery": _urlquery,
}
"""The functions by name, without `and` and `or`, which do not evaluate all their arguments."""

HEADER_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **FUNCTIONS,
    **dict.fromkeys(
        ("json", "split", "join", "title", "lower", "upper", "truncate"), lambda header, *_: header
    ),
}
"""The functions for the header line of a table: they do not change its words."""
