"""The chosen store as one tree of directories: what `mount --all` serves."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from .escape import printable
from .options import selected_namespace, selected_root
from .stores import open_root, store_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    import click

    from layerfs.store import Store
    from layerfs.tree.union import UnionTree

__all__ = ["chosen_parts", "whole_tree"]

_NO_DISK = -1


def chosen_parts(context: click.Context) -> Mapping[str, Store]:
    """The chosen store, by its path; or each of its namespaces, by its name, if several are filled."""
    from layerfs.errors import NotADataRoot
    from layerfs.stores.registry import open_store

    path = selected_root(context)
    if selected_namespace(context) is None:
        options = store_options(context)
        try:
            names = open_store(path, options._replace(namespace="all")).namespaces()
        except NotADataRoot:  # it has no namespaces; what else may be wrong is told below
            names = ()
        if len(names) > 1:
            return {name: open_store(path, options._replace(namespace=name)) for name in names}
    return {path: open_root(context)}


def whole_tree(stores: Mapping[str, Store], *, listed: bool) -> UnionTree:
    """The tree of everything; `listed` as in `TracedTree`."""
    from layerfs.views.everything.contents import Contents, everything
    from layerfs.views.everything.tree import EverythingTree

    lock = threading.RLock()
    top = everything(stores, lambda store: Contents(store, lock, printable, listed=listed))
    disks = sorted(device for store in stores.values() for device, _ in store.evidence())
    path = next(iter(stores.values())).path
    return EverythingTree(top, mtime_ns=_time_of(path), device=disks[0] if disks else _NO_DISK, lock=lock)


def _time_of(path: str) -> int:
    """The time of what was opened, so that the next mount of it has the same; 0 for standard input."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
