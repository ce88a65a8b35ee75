"""What a twin tells of a store, without where that lies on the host."""

from __future__ import annotations

from typing import Any

__all__ = ["without_place"]

Json = dict[str, Any]

_PLACES = ("findings", "verified", "problems")


def without_place(twin: Json, path: str) -> Json:
    """The parts of a twin that quote paths of the host, in which none tells where the store lies."""
    top = path.rstrip("/")
    return {
        key: _replaced(_replaced(twin[key], f"{top}/"), f"{top}:") if top else twin[key] for key in _PLACES
    }


def _replaced(value: Any, top: str) -> Any:
    if isinstance(value, str):
        return value.replace(top, "")
    if isinstance(value, list):
        return [_replaced(item, top) for item in value]
    if isinstance(value, dict):
        return {key: _replaced(item, top) for key, item in value.items()}
    return value
