"""Amounts as users type them: sizes such as `10MB`, and limits that are a size or a part of a whole.

`parse_size` and `parse_limit` are callbacks of options.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from fractions import Fraction

__all__ = ["Limit", "parse_limit", "parse_size"]

_AMOUNT = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)\s*(?:([kmgtpe])(i?))?b?", re.IGNORECASE | re.ASCII)
_PERCENT = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)\s*%", re.ASCII)
_POWERS = "kmgtpe"


class Limit(NamedTuple):
    """A limit, in bytes or as a share of a whole from 0 to 1; `text` is what was typed."""

    text: str
    size: int | None = None
    share: Fraction | None = None

    def exceeded(self, part: int, whole: int) -> bool:
        """Whether `part` bytes of `whole` are more than this."""
        if self.size is not None:
            return part > self.size
        return self.share is not None and part > self.share * whole


def _size(text: str) -> int | None:
    match = _AMOUNT.fullmatch(text.strip())
    if not match:
        return None
    number, prefix, binary = match.groups()
    from fractions import Fraction  # with decimal: too large to load for who types no amount

    power = _POWERS.index(prefix.lower()) + 1 if prefix else 0
    return int(Fraction(number) * (1024 if binary else 1000) ** power)


def parse_size(ctx: click.Context | None, param: click.Parameter | None, text: str | None) -> int | None:
    """Bytes: `4096`, `10kB`, `1.5MB` (powers of 1000, as Docker prints), `64KiB` (of 1024)."""
    if text is None:
        return None
    size = _size(text)
    if size is None:
        raise click.BadParameter(f"{text!r} is no size; write 4096, 10kB, 1.5MB or 64KiB", ctx, param)
    return size


def parse_limit(ctx: click.Context | None, param: click.Parameter | None, text: str | None) -> Limit | None:
    """A size, or a percentage: `5%`."""
    if text is None:
        return None
    if match := _PERCENT.fullmatch(text.strip()):
        from fractions import Fraction  # as above

        return Limit(text, share=Fraction(match[1]) / 100)
    size = _size(text)
    if size is None:
        raise click.BadParameter(f"{text!r} is neither a size, as 10MB, nor a part, as 5%", ctx, param)
    return Limit(text, size=size)
