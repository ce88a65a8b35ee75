"""Suggestions for an unknown word."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["did_you_mean"]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question for the end of an error message, with known words like `word`; empty if there are none."""
    from difflib import get_close_matches

    like = get_close_matches(word, list(known))
    return f"; did you mean {' or '.join(like)}?" if like else ""
