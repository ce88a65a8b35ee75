"""The columns DIFF ID, CHAIN ID and CACHE ID, and how tables show IDs: one definition for all commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..table import Column
from ..units import short_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["NONE", "cache_id_column", "chain_id_column", "diff_id_column", "id_words", "place_or_blob"]

NONE = "<none>"
"""The text of Docker's tables for a missing name or ID."""

Row = TypeVar("Row")


def id_words(*, full: bool, missing: str = "") -> Callable[[str | None], str]:
    """A function that shows an ID in full, or its first 12 digits; `missing` is shown for none."""

    def words(value: str | None) -> str:
        if value is None:
            return missing
        return value if full else short_id(value)

    return words


def diff_id_column(
    value: Callable[[Row], str | None], words: Callable[[str | None], str] | None = None
) -> Column[Row]:
    """The sha256 of a layer's tar.

    Args:
        value: gives the full ID of a row, or None.
        words: makes the text of the table; by default the full ID.
    """
    return _column("diff_id", "DiffID", "DIFF ID", value, words)


def chain_id_column(
    value: Callable[[Row], str | None], words: Callable[[str | None], str] | None = None
) -> Column[Row]:
    """The chain ID of a layer; see `diff_id_column`."""
    return _column("chain_id", "ChainID", "CHAIN ID", value, words)


def cache_id_column(
    value: Callable[[Row], str | None],
    words: Callable[[str | None], str] | None = None,
    called: str = "cache ID",
    cell: Callable[[Row], str] | None = None,
) -> Column[Row]:
    """The name of a layer's directory, of which the store says how it is `called`; see `diff_id_column`.

    With `cell` a table shows that of a row instead.
    """
    if cell:
        return Column("cache_id", value, "CacheID", called.upper(), cell)
    return _column("cache_id", "CacheID", called.upper(), value, words)


def place_or_blob(identity: Callable[[str | None], str]) -> Callable[[Mapping[str, str | None]], str]:
    """Where the layer of a row lies: one that is not unpacked is its blob alone."""

    def words(row: Mapping[str, str | None]) -> str:
        is_packed = row["cache_id"] is None and row["blob"] is not None
        return f"blob {identity(row['blob'])}" if is_packed else identity(row["cache_id"])

    return words


def _column(
    key: str,
    placeholder: str,
    header: str,
    value: Callable[[Row], str | None],
    words: Callable[[str | None], str] | None,
) -> Column[Row]:
    return Column(key, value, placeholder, header, words and (lambda row: words(value(row))))
