"""The kinds of store, one line each; the package of a kind is imported only when a path is examined.

The module of a kind has `detect(path) -> bool`, which is cheap and does not raise for stores of other kinds;
and `open_kind(path, options) -> Store`, which raises `DataRootError`, saying what is there instead. It may
have `found_in(directory, name) -> str | None`, which describes an entry of a directory that is of this kind,
and `is_meant(path) -> bool`, which decides whether this kind is used if a path is also of a kind before it.
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
    "containers-storage": "layerfs.stores.containers_storage.kind",
    "archive": "layerfs.stores.archive.kind",
}
"""The module of each kind, in the order in which they are asked; for a path of no kind the first raises."""

STORES = {"overlay2": "docker", "containerd": "containerd"}
"""The values of `--store`, which chooses among several stores at one path, and their kinds."""

_LOOKED_AT = 200
_SHOWN = 5


class Options(NamedTuple):
    """How to read a store; each kind uses some of these.

    Attributes:
        metadata: the source of attributes of files; see `DataRoot.open`.
        userns: the user namespace of the engine; see `DataRoot.open`.
        platform: `os/architecture[/variant]` to choose from an image for several platforms.
        cache: where and how far blobs are decompressed; see `CacheOptions`.
        bolt_state: which state of bolt databases is read, `newest` or `previous`.
        namespace: which one of a containerd root is read, or `all`; None for the one that has images.
        store: which one is read where a path has several, a word of `STORES`; None for the one in use.
        searching: whether every store is being looked for: then none tells of the others beside it.
        additional_stores: paths of roots that have layers or images of a graph root, in the order in which
            they are looked through.
        driver: which one's layers are read of a graph root that several were used with; None for the usual.
        run_root: the path of what a graph root's engine keeps until the host starts anew; None for nothing.
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
    additional_stores: tuple[str, ...] = ()
    driver: str | None = None
    run_root: str | None = None


class _Kind(Protocol):
    def detect(self, path: str) -> bool:
        """Whether a store of this kind is at `path`."""

    def open_kind(self, path: str, options: Options) -> Store:
        """Open it."""


def open_store(path: str | Path, options: Options | None = None) -> Store:
    """Open the store at `path`, of any kind.

    Raises:
        DataRootError: it is of no kind, or cannot be read; the message says what it is. CorruptStore: it is
        so damaged that nothing can be read.
    """
    text = str(path)
    options = options or Options()
    chosen = _chosen(text, options.store)
    kind = _load(chosen)
    if options.namespace and not _has_namespaces(chosen):
        raise _no_namespaces(text, options.namespace)
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
    """The kind to open. `store` chooses only among kinds that can be at one path together."""
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


def _has_namespaces(kind: str) -> bool:
    return getattr(_load(kind), "HAS_NAMESPACES", False)


def _no_namespaces(path: str, wanted: str) -> NotADataRoot:
    """The error for a namespace of a store that has none; the other store there may have some."""
    others = [word for word, kind in STORES.items() if kind in kinds_at(path) and _has_namespaces(kind)]
    hint = f"--store {others[0]} reads the one that has" if others else "leave --namespace out"
    return NotADataRoot(f"{path}: the store has no namespaces, and no '{wanted}'", hint=hint)


def _not_meant(_path: str) -> bool:
    """`is_meant` of a kind that has none: the kind before it is used."""
    return False


def _stores_inside(path: str) -> list[tuple[str, str]]:
    """The stores in a directory that is not one itself, as (name, description)."""
    shown: list[tuple[str, str]] = []
    kinds = [_load(name) for name in KINDS]
    with HostDir.open(path) as directory:
        for name in sorted(directory.names())[:_LOOKED_AT]:
            words = (getattr(kind, "found_in", _nothing)(directory, name) for kind in kinds)
            if what := next(filter(None, words), None):
                shown.append((os.fsdecode(name), what))
    return shown[:_SHOWN]


def _nothing(_directory: HostDir, _name: bytes) -> None:
    """`found_in` of a kind that has none."""


def kinds_at(path: str) -> list[str]:
    """The kinds of the store at `path`, in the order of `KINDS`; never raises.

    There are several only for kinds that can be together; other kinds are not imported if one was found.
    """
    found = [kind for kind in STORES.values() if _load(kind).detect(path)]
    others = (kind for kind in KINDS if kind not in STORES.values())
    return found or [kind for kind in others if _load(kind).detect(path)][:1]


def _load(kind: str) -> _Kind:
    return cast("_Kind", importlib.import_module(KINDS[kind]))
