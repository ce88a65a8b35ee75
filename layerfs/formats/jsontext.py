"""JSON from untrusted bytes, and typed access to it.

Parsers of this floor take a document apart with these functions, so a wrong type anywhere becomes a
`FormatError` that says where. Go's decoder matches keys without regard to case; so do we, exact
matches first.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from layerfs.formats.errors import FormatError
from layerfs.formats.gotime import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Json",
    "array",
    "flag",
    "integer",
    "load_array",
    "load_object",
    "mapping",
    "text",
    "texts",
    "time_ns",
]

Json: TypeAlias = "Mapping[str, Any]"

_NAMES = {dict: "an object", list: "an array", str: "a text", int: "an integer", bool: "true or false"}


def load_object(content: bytes) -> Json:
    """The JSON object in `content`; raises `FormatError` for anything else, however odd."""
    found = _load(content)
    if not isinstance(found, dict):
        raise FormatError("not a JSON object", found=_name(found))
    return found


def load_array(content: bytes) -> Sequence[Any]:
    """The JSON array in `content`; raises `FormatError` for anything else, however odd."""
    found = _load(content)
    if not isinstance(found, list):
        raise FormatError("not a JSON array", found=_name(found))
    return found


def _load(content: bytes) -> object:
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise FormatError("not UTF-8", found=f"byte 0x{content[error.start]:02x} at {error.start}") from error
    except json.JSONDecodeError as error:
        what = "truncated or invalid JSON"
        raise FormatError(what, found=f"{error.msg} at byte {error.pos} of {len(content)}") from error
    except (RecursionError, ValueError) as error:
        raise FormatError("JSON that cannot be read", found=str(error)[:80]) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


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
    return tuple(_checked(item, str, f"{key}[{index}]") for index, item in enumerate(array(document, key)))


def _typed(document: Json, key: str, kind: type, default: Any) -> Any:
    found = document.get(key)
    if found is None:
        folded = key.casefold()
        found = next((document[name] for name in document if name.casefold() == folded), None)
    return default if found is None else _checked(found, kind, key)


def _checked(found: Any, kind: type, where: str) -> Any:
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        raise FormatError(f"wrong type of {where}", expected=_NAMES[kind], found=_name(found))
    return found


def _name(found: object) -> str:
    return "null" if found is None else _NAMES.get(type(found), "a number")
