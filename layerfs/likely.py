"""What a name that means nothing may have been meant to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.formats.reference import Reference

__all__ = ["likely_names"]

_LONGEST = 300
"""Characters: comparing takes the square of them, and no name that is typed has more."""


def likely_names(name: str, references: Iterable[Reference], containers: Iterable[str]) -> list[str]:
    """The known names most like `name`, the likeliest first, three at most.

    A repository that has no tag `latest` is shown with a tag, as its name alone means nothing.
    """
    if len(name) > _LONGEST:
        return []
    shown: dict[str, str] = {}
    for reference in references:
        short = reference.familiar_name
        if reference.tag == "latest":
            shown[reference.familiar.lower()] = shown[short.lower()] = short
        else:
            shown[reference.familiar.lower()] = reference.familiar
            shown.setdefault(short.lower(), reference.familiar)
    shown.update((container.lower(), container) for container in containers)
    from difflib import get_close_matches  # noqa: PLC0415 - large, and only mistakes need it

    known = [text for text in shown if len(text) <= _LONGEST]
    return list(dict.fromkeys(shown[text] for text in get_close_matches(name.lower(), known)))
