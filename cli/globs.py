"""Shell patterns for paths inside a tree, as options take them."""

from __future__ import annotations

import fnmatch
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Globs"]


class Globs:
    """Patterns of which one must match: the whole path if it has a slash, else the last component."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Take the patterns; `*` also stands for slashes, as in find(1)'s -path."""
        given = [pattern.rstrip("/") or "/" for pattern in patterns]
        self._paths = _either("/" + pattern.lstrip("/") for pattern in given if "/" in pattern)
        self._names = _either(pattern for pattern in given if "/" not in pattern)

    def fits(self, path: bytes) -> bool:
        """Whether a pattern matches this path."""
        text = os.fsdecode(path)
        return bool(self._paths.match(text) or self._names.match(text.rpartition("/")[2]))

    def fits_or_above(self, path: bytes) -> bool:
        """Whether a pattern matches the path or a directory above it."""
        while path:
            if self.fits(path):
                return True
            path = path.rpartition(b"/")[0]
        return False


def _either(patterns: Iterable[str]) -> re.Pattern[str]:
    """A regular expression for any of the patterns; without patterns it matches nothing."""
    return re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")
