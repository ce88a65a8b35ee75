"""Whether a document is as `report.schema.json` says: the part of JSON Schema (draft 7) that it uses.

Keys that the schema does not know are passed over, so that a twin of a later version with more in it can be
read too; nothing looks at them.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["first_fault"]

Json = dict[str, Any]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


def first_fault(value: Any) -> str | None:
    """The first place in a document that is not as the schema says, and what it should be; None: it is."""
    schema = _schema()
    return next(_faults(value, schema, schema["definitions"], "the document"), None)


@cache
def _schema() -> Json:
    found: Json = json.loads(files(__package__).joinpath("report.schema.json").read_text(encoding="utf-8"))
    return found


def _faults(value: Any, rule: Json, known: Json, place: str) -> Iterator[str]:
    while "$ref" in rule:
        rule = known[rule["$ref"].rpartition("/")[2]]
    if (wrong := _of_value(value, rule)) is not None:
        yield f"{place} {wrong}"
        return
    if isinstance(value, dict):
        yield from _of_object(value, rule, known, place)
    elif isinstance(value, list):
        most = rule.get("maxItems")
        if most is not None and len(value) > most:
            yield f"{place} has more than {most} items"
        items = rule.get("items", {})
        for number, item in enumerate(value):
            yield from _faults(item, items, known, f"{place}[{number}]")


def _of_object(value: Json, rule: Json, known: Json, place: str) -> Iterator[str]:
    for key in rule.get("required", ()):
        if key not in value:
            yield f"{place} has no {key}"
    stem = "" if place == "the document" else f"{place}."
    for key, of_key in rule.get("properties", {}).items():
        if key in value:
            yield from _faults(value[key], of_key, known, f"{stem}{key}")
    others = rule.get("additionalProperties")
    if isinstance(others, dict):
        for item in value.values():
            yield from _faults(item, others, known, f"a value of {place}")


def _of_value(value: Any, rule: Json) -> str | None:
    """What is wrong with a value itself."""
    kinds = rule.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_TYPES[kind](value) for kind in kinds):
        return f"is no {' or '.join(kinds)}"
    if "const" in rule and value != rule["const"]:
        return f"is not {rule['const']}"
    if "enum" in rule and value not in rule["enum"]:
        return f"is none of {', '.join(map(str, rule['enum']))}"
    if isinstance(value, str) and "pattern" in rule and not _pattern(rule["pattern"]).search(value):
        return f"is not of the form {rule['pattern']}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = rule.get("minimum"), rule.get("maximum")
        if (low is not None and value < low) or (high is not None and not value <= high):
            return f"is not from {low} to {high}"
    return None


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text.removesuffix("$") + r"\Z" if text.endswith("$") else text)
