"""Damage that does not stop an answer: it is reported, and what it hides is None."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from layerfs.errors import CorruptStore

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["attempt"]

Value = TypeVar("Value")


def attempt(report: Callable[[CorruptStore], object], read: Callable[[], Value]) -> Value | None:
    """What `read` gives; None where it raises `CorruptStore`, of which `report` is told."""
    try:
        return read()
    except CorruptStore as error:
        report(error)
        return None
