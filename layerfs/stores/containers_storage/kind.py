"""The kind `containers-storage`: graph roots of Podman, CRI-O, Buildah and skopeo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.stores.containers_storage.places import found_in, is_graph_root

if TYPE_CHECKING:
    from layerfs.stores.containers_storage.store import GraphRoot
    from layerfs.stores.registry import Options

__all__ = ["detect", "found_in", "open_kind"]


def detect(path: str) -> bool:
    """Whether `path` is a graph root, or has one at the usual place below."""
    return is_graph_root(path)


def open_kind(path: str, options: Options) -> GraphRoot:
    """Open it; raises `DataRootError`, which says what is there instead."""
    from layerfs.stores.containers_storage.store import GraphRoot  # noqa: PLC0415 - not for another's path

    return GraphRoot.open(path, options)
