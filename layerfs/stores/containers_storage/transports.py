"""The transport `containers-storage`: a graph root, and the name of an image in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.stores.containers_storage.kind import open_kind

if TYPE_CHECKING:
    from layerfs.stores.containers_storage.store import GraphRoot
    from layerfs.stores.registry import Options

__all__ = ["open_transport"]


def open_transport(transport: str, path: str, options: Options) -> GraphRoot:
    """Open the graph root at `path`; raises `DataRootError` where there is none."""
    del transport
    return open_kind(path, options)
