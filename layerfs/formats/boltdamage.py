"""Damage of a bolt database: what it is, and which keys may be lost by it."""

from __future__ import annotations

from typing import TypeAlias

from layerfs.formats.errors import FormatError

__all__ = ["EVERY_KEY", "Damaged", "KeyRange"]

KeyRange: TypeAlias = "tuple[bytes | None, bytes | None]"
"""The keys from the first on, before the last; None is without end."""

EVERY_KEY: KeyRange = (None, None)

_LONGEST_NAME = 96  # characters of a key in messages


class Damaged(FormatError):
    """A page, or a bucket, is not what it must be, and what it holds is lost.

    Attributes:
        page: its number; None for a fault inside a page.
        bucket: the names of the bucket and of those it is in, outermost first.
        first: the first key of the range that is lost; None where it is not known.
        last: the key behind the end of that range; None where it is not known.
    """

    def __init__(
        self, error: FormatError, page: int | None, bucket: tuple[bytes, ...], keys: KeyRange
    ) -> None:
        """Compose the message."""
        self.page = page
        self.bucket = bucket
        self.first, self.last = keys
        where = f"bolt page {page}: " if page is not None else "in a bolt page: "
        within = f"bucket {'/'.join(map(_shown, bucket))}" if bucket else "the outermost bucket"
        super().__init__(
            f"{where}{error.problem}: keys{_range_words(keys)} of {within} may be lost",
            expected=error.expected,
            found=error.found,
        )


def _range_words(keys: KeyRange) -> str:
    first = f" from {_shown(keys[0])}" if keys[0] else ""
    last = f" before {_shown(keys[1])}" if keys[1] is not None else ""
    return first + last


def _shown(key: bytes) -> str:
    text = key.decode("utf-8", "backslashreplace")
    return text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME] + "…"
