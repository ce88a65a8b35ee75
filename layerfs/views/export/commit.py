"""Makes the tar of a layer that has no archive, as `docker commit` would.

Source: moby `daemon/commit.go` (exportContainerRw), `daemon/graphdriver/overlay2/overlay.go` (Diff).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.errors import UnsupportedOverlay
from layerfs.tree.walk import walk
from layerfs.views.export.members import TreeTar

if TYPE_CHECKING:
    from layerfs.model import BareLayer
    from layerfs.store import Store
    from layerfs.tree.content import Content
    from layerfs.tree.node import Node
    from layerfs.views.export.members import Write

__all__ = ["write_bare_layer"]


def write_bare_layer(root: Store, layer: BareLayer, write: Write) -> None:
    """Write the changes of a layer against the layers below it, deletions as `.wh.` members.

    Raises:
        CorruptStore: it, or a layer below it, is not known, or missing. UnsupportedOverlay: it has a renamed
        directory (a redirect), which a tar of changes cannot express. TreeError: something cannot be read.
    """
    own = root.tree(layer)
    whole = root.tree_below(layer)
    for visit in walk(own, own.root):
        if visit.node.is_dir and own.xattr(visit.node, root.dialect.redirect) is not None:
            raise UnsupportedOverlay(visit.node.path, "a renamed directory: no tar of changes can tell that")

    def content(node: Node) -> Content:
        """The content as its mount shows it: that of a metacopy is in a lower layer."""
        return whole.open(whole.resolve(node.path, follow=False))

    TreeTar(own, write, whiteouts=root.dialect, content=content).write_all()
