"""The texts in the records of images and containers: environment, labels, histories, commands, and all else.

Each value of a JSON document is a text, and where it stands is its path, as `history[3].created_by`.
Names of members that are free, as those of labels, belong to the text: `config.Labels` has `version=1.25`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from layerfs.analysis.grep.texts import Text
from layerfs.tree.memory import MemoryContent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.analysis.store.forest import Owner

__all__ = ["record_texts"]

_FREE = ("Labels", "Annotations", "labels", "annotations")
"""Members whose own members have free names with texts."""


def record_texts(owner: Owner) -> Iterator[Text]:
    """The texts of a config, in their order; nothing of a container whose config is lost."""
    if owner.config is None:
        return
    pending: list[tuple[str, str, Any]] = [("", "", owner.config.raw)]
    while pending:
        path, name, value = pending.pop()
        if isinstance(value, dict) and value:
            free = path.rpartition(".")[2] in _FREE
            below = [_member(path, key, found, free=free) for key, found in value.items()]
            pending += reversed(below)
        elif isinstance(value, list):
            pending += reversed([(f"{path}[{place}]", "", found) for place, found in enumerate(value)])
        elif value not in (None, "") or name:
            yield _text(owner, path, name, value)


def _member(path: str, key: str, value: Any, *, free: bool) -> tuple[str, str, Any]:
    """A member of an object: its path, the name that belongs to its text, and its value."""
    if free or value in ({}, None):  # a set of names, as that of ports
        return path, key, value
    return f"{path}.{key}" if path else key, "", value


def _text(owner: Owner, path: str, name: str, value: Any) -> Text:
    words = _words(value)
    text = f"{name}={words}" if name and words else name or words
    data = text.encode("utf-8", "surrogatepass")
    return Text(
        path.encode("utf-8", "surrogatepass"), functools.partial(MemoryContent, data, path), owner=owner
    )


def _words(value: Any) -> str:
    """A value that is no collection with anything in it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value in ({}, None) else str(value)
