"""The kinds of store that can be read, each a line: its package is imported when a path is looked at.

The module of a kind has `detect(path) -> bool`, which is cheap, and never raises for what is another's; and
`open_kind(path, options) -> Store`, which raises `DataRootError`, with what the path is instead.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from layerfs.boltfile import NEWEST

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerfs.cache.options import CacheOptions
    from layerfs.store import Store

__all__ = ["KINDS", "Options", "detects", "open_store"]

KINDS = {
    "docker": "layerfs.stores.docker.kind",
    "archive": "layerfs.stores.archive.kind",
}
"""The module of each kind, in the order in which they are asked; what is of no kind, the first one names."""


class Options(NamedTuple):
    """How a store is to be read; a kind takes of it what concerns it.

    Attributes:
        metadata: where the attributes of files come from; see `DataRoot.open`.
        userns: the user namespace of the engine; likewise.
        platform: `os/architecture[/variant]` that is meant where an image is there for several.
        cache: where and how far blobs are decompressed; see `CacheOptions`.
        bolt_state: which state of bolt databases is read, `newest` or `previous`.
        progress: told the label of a blob that is read as a whole, its bytes done, and all of them.
    """

    metadata: str = "auto"
    userns: str = "auto"
    platform: str | None = None
    cache: CacheOptions | None = None
    progress: Callable[[str, int, int], None] | None = None
    bolt_state: str = NEWEST


class _Kind(Protocol):
    def detect(self, path: str) -> bool:
        """Whether what is at `path` is of this kind."""

    def open_kind(self, path: str, options: Options) -> Store:
        """Open it."""


def open_store(path: str | Path, options: Options | None = None) -> Store:
    """Open what is at `path`, of whatever kind it is.

    Raises:
        DataRootError: it is of no kind, and what it is then; or it cannot be read.
        CorruptStore: it is so damaged that nothing of it can be read.
    """
    text = str(path)
    names = list(KINDS.values())
    found = next((kind for kind in map(_load, names) if kind.detect(text)), None)
    return (found or _load(names[0])).open_kind(text, options or Options())


def detects(path: str) -> bool:
    """Whether what is at `path` is of a kind that can be read; never raises."""
    return any(_load(name).detect(path) for name in KINDS.values())


def _load(name: str) -> _Kind:
    return cast("_Kind", importlib.import_module(name))
