"""What a word that means nothing may have been meant to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["did_you_mean"]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question to put behind an error: the known words most like `word`; empty where none is like it."""
    from difflib import get_close_matches

    like = get_close_matches(word, list(known))
    return f"; did you mean {' or '.join(like)}?" if like else ""
