"""The kinds of store that can be read, each a line: its package is imported when a path is looked at.

The module of a kind has `detect(path) -> bool`, which is cheap, and never raises for what is another's; and
`open_kind(path, options) -> Store`, which raises `DataRootError`, with what the path is instead. It may have
`found_in(directory, name) -> str | None`: what an entry of a directory is, in words, where it is of its kind;
and `is_meant(path) -> bool`: whether it is read where a path is of a kind before it too.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from layerfs.boltfile import NEWEST
from layerfs.errors import NoStoreHere, NotADataRoot
from layerfs.hostdir import HostDir

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerfs.cache.options import CacheOptions
    from layerfs.store import Store

__all__ = ["KINDS", "STORES", "Options", "kinds_at", "open_store"]

KINDS = {
    "docker": "layerfs.stores.docker.kind",
    "containerd": "layerfs.stores.containerd.kind",
    "archive": "layerfs.stores.archive.kind",
}
"""The module of each kind, in the order in which they are asked; what is of no kind, the first one names."""

STORES = {"overlay2": "docker", "containerd": "containerd"}
"""What chooses of several stores at one path, as Docker calls each, and the kind that it is."""

_LOOKED_AT = 200
_SHOWN = 5


class Options(NamedTuple):
    """How a store is to be read; a kind takes of it what concerns it.

    Attributes:
        metadata: where the attributes of files come from; see `DataRoot.open`.
        userns: the user namespace of the engine; likewise.
        platform: `os/architecture[/variant]` that is meant where an image is there for several.
        cache: where and how far blobs are decompressed; see `CacheOptions`.
        bolt_state: which state of bolt databases is read, `newest` or `previous`.
        namespace: which one of a containerd root is read, or `all`; None for the one that has images.
        store: which one is read where a path has several, a word of `STORES`; None for the one in use.
        searching: whether every store is being looked for: then none tells of the others beside it.
        progress: told the label of a blob that is read as a whole, its bytes done, and all of them.
    """

    metadata: str = "auto"
    userns: str = "auto"
    platform: str | None = None
    cache: CacheOptions | None = None
    progress: Callable[[str, int, int], None] | None = None
    bolt_state: str = NEWEST
    namespace: str | None = None
    store: str | None = None
    searching: bool = False


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
    options = options or Options()
    kind = _load(_chosen(text, options.store))
    try:
        return kind.open_kind(text, options)
    except NoStoreHere as error:
        inside = _stores_inside(text)
        if not inside:
            raise
        listed = ", ".join(f"{name} ({what})" for name, what in inside)
        raise NoStoreHere(
            f"{text}: no store of images itself; in it there is {listed}",
            hint=f"choose one: {text.rstrip('/')}/{inside[0][0]}",
        ) from error


def _chosen(path: str, store: str | None) -> str:
    """The kind that is meant: the word `store` is for those that lie together, and leaves others alone."""
    found = kinds_at(path)
    together = {word: kind for word, kind in STORES.items() if kind in found}
    if store in together:
        return together[store]
    if store and together:
        there = " or ".join(f"--store {word}" for word in together)
        raise NotADataRoot(
            f"{path}: there is no {store} store of images", hint=f"what there is, {there} reads"
        )
    for kind in found[1:]:
        if getattr(_load(kind), "is_meant", _not_meant)(path):
            return kind
    return next(iter(found or KINDS))


def _not_meant(_path: str) -> bool:
    """Of a kind that does not say, what is before it is meant."""
    return False


def _stores_inside(path: str) -> list[tuple[str, str]]:
    """Every store in a directory that is none itself: its name, and what it is."""
    shown: list[tuple[str, str]] = []
    kinds = [_load(name) for name in KINDS]
    with HostDir.open(path) as directory:
        for name in sorted(directory.names())[:_LOOKED_AT]:
            words = (getattr(kind, "found_in", _nothing)(directory, name) for kind in kinds)
            if what := next(filter(None, words), None):
                shown.append((os.fsdecode(name), what))
    return shown[:_SHOWN]


def _nothing(_directory: HostDir, _name: bytes) -> None:
    """What a kind finds that does not look."""


def kinds_at(path: str) -> list[str]:
    """The kinds that what is at `path` is of, in the order of `KINDS`; never raises.

    They are several only of those that lie together; others are not even imported where there is one.
    """
    found = [kind for kind in STORES.values() if _load(kind).detect(path)]
    others = (kind for kind in KINDS if kind not in STORES.values())
    return found or [kind for kind in others if _load(kind).detect(path)][:1]


def _load(kind: str) -> _Kind:
    return cast("_Kind", importlib.import_module(KINDS[kind]))
