"""A layer in fuse-overlayfs's form with the attributes of its archive."""

from __future__ import annotations

from layerfs.stores.containers_storage.fuseform import FuseLayer
from layerfs.tree.archived import ArchivedLayer

__all__ = ["ArchivedFuseLayer"]


class ArchivedFuseLayer(ArchivedLayer, FuseLayer):
    """As `ArchivedLayer`; what is on disk is read as `FuseLayer` does, which comes next in the order."""
