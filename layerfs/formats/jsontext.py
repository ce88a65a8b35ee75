"""JSON from untrusted bytes, and typed access to it.

The parsers of this package use these functions, so a wrong type anywhere becomes a `FormatError` that says
where. Keys match without regard to case, exact matches first, as in Go's decoder.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

from layerfs.formats.errors import FormatError
from layerfs.formats.gotime import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Json",
    "Wanted",
    "array",
    "fields",
    "flag",
    "integer",
    "load_object",
    "load_objects",
    "mapping",
    "objects_by_name",
    "text",
    "texts",
    "texts_by_name",
    "time_ns",
]

Json: TypeAlias = "Mapping[str, Any]"

_NAMES = {dict: "an object", list: "an array", str: "a text", int: "an integer", bool: "true or false"}


_HALF_A_PAIR = re.compile(r"u[dD][89a-fA-F][0-9a-fA-F]{2}")
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|" + _HALF_A_PAIR.pattern + "|.)",
    re.DOTALL,
)
"""An escape of JSON; a surrogate pair is one."""


def load_object(content: bytes) -> Json:
    """The JSON object in `content`; raises `FormatError` for anything else.

    Half a surrogate pair in a text becomes U+FFFD, as in Go.
    """
    found: Json = _loaded(content, dict)
    return found


def load_objects(content: bytes) -> Sequence[Json]:
    """The objects of the JSON array in `content`; raises as `load_object`."""
    found = _loaded(content, list)
    return [_checked(item, dict, f"[{index}]") for index, item in enumerate(found)]


def _loaded(content: bytes, kind: type) -> Any:
    try:
        found = _DECODER.decode(_whole_characters(content.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise FormatError("not UTF-8", found=f"byte 0x{content[error.start]:02x} at {error.start}") from error
    except json.JSONDecodeError as error:
        what = "truncated or invalid JSON"
        raise FormatError(what, found=f"{error.msg} at byte {error.pos} of {len(content)}") from error
    except FormatError:
        raise
    except RecursionError as error:
        raise FormatError("JSON that cannot be read", found="arrays or objects nested too deep") from error
    except ValueError as error:  # the only ValueError left is Python's limit of digits
        raise FormatError("JSON that cannot be read", found="a number of thousands of digits") from error
    if not isinstance(found, kind):
        raise FormatError(f"not a JSON {_NAMES[kind].split()[-1]}", found=_name(found))
    return found


def _whole_characters(document: str) -> str:
    """The text of a JSON document, half surrogate pairs replaced."""
    if "\\u" not in document or not _HALF_A_PAIR.search(document):
        return document
    return _ESCAPE.sub(
        lambda escape: "\\ufffd" if _HALF_A_PAIR.fullmatch(escape[0], 1) else escape[0], document
    )


def _refuse_constant(name: str) -> None:
    raise FormatError("truncated or invalid JSON", found=name)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


class Wanted(NamedTuple):
    """Fields of an object: the key of each, its type, and what it is where it is missing or null."""

    keys: tuple[str, ...]
    kinds: tuple[type, ...]
    defaults: tuple[Any, ...]

    @classmethod
    def of(cls, *wanted: tuple[str, type, Any]) -> Self:
        """Of key, type and default of each."""
        return cls(*zip(*wanted, strict=True))


def fields(document: Json, wanted: Wanted) -> list[Any]:
    """Some fields of an object at once, in the order in which they are asked for; as `text` and the others.

    For objects that come by ten thousands: where every key that it has is asked for, none of the missing
    ones can be there in other letters, and need not be looked for.
    """
    found = list(map(document.get, wanted.keys))
    has_others = len(document) > len(found) - found.count(None)
    for place, value in enumerate(found):
        kind = wanted.kinds[place]
        if type(value) is kind:
            continue
        key = wanted.keys[place]
        if value is None and has_others:
            value = _alike(document, key)  # noqa: PLW2901 - the same field, in other letters
        found[place] = wanted.defaults[place] if value is None else _checked(value, kind, key)
    return found


def text(document: Json, key: str) -> str:
    """A text; empty where it is missing or null, as in Go."""
    found: str = _typed(document, key, str, "")
    return found


def integer(document: Json, key: str) -> int:
    """An integer; 0 where it is missing or null, as in Go."""
    found: int = _typed(document, key, int, 0)
    return found


def time_ns(document: Json, key: str) -> int | None:
    """A time in ns since the epoch; None where it is missing, empty, or Go's zero time."""
    found = text(document, key)
    return parse_time(found) if found else None


def flag(document: Json, key: str) -> bool:
    """A truth value; false where it is missing or null, as in Go."""
    found: bool = _typed(document, key, bool, default=False)
    return found


def mapping(document: Json, key: str) -> Json:
    """An object; empty where it is missing or null."""
    found: Json = _typed(document, key, dict, {})
    return found


def array(document: Json, key: str) -> Sequence[Any]:
    """An array; empty where it is missing or null."""
    found: Sequence[Any] = _typed(document, key, list, [])
    return found


def texts(document: Json, key: str) -> tuple[str, ...]:
    """An array of texts; empty where it is missing or null."""
    found = array(document, key)
    if all(type(item) is str for item in found):
        return tuple(found)
    return tuple(_checked(item, str, f"{key}[{index}]") for index, item in enumerate(found))


def texts_by_name(document: Json) -> dict[str, str]:
    """The texts of an object whose keys are not fixed; null becomes the empty text."""
    return {name: "" if found is None else _checked(found, str, name) for name, found in document.items()}


def objects_by_name(document: Json) -> dict[str, Json]:
    """The objects of an object whose keys are not fixed; null becomes the empty object."""
    return {name: {} if found is None else _checked(found, dict, name) for name, found in document.items()}


def _typed(document: Json, key: str, kind: type, default: Any) -> Any:
    """The value of a field.

    Looking for a missing key goes through all keys. So `key` must be a fixed name: for keys that come from
    the document there are `texts_by_name` and `objects_by_name`.
    """
    found = document.get(key)
    if type(found) is kind:  # the usual case, made fast: large stores have 100,000s of fields
        return found
    if found is None:
        found = _alike(document, key)
    return default if found is None else _checked(found, kind, key)


def _alike(document: Json, key: str) -> Any:
    """The value of the first key that is equal without regard to case; None where there is none."""
    size = len(key)
    for name in document:
        if len(name) == size and name.casefold() == key.casefold():
            return document[name]
    return None


def _checked(found: Any, kind: type, where: str) -> Any:
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        raise FormatError(f"wrong type of {where}", expected=_NAMES[kind], found=_name(found))
    return found


def _name(found: object) -> str:
    return "null" if found is None else _NAMES.get(type(found), "a number")
