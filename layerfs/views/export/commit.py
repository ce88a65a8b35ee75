"""A container's own layer as the tar that `docker commit` would make of it. Used by the command `export`.

Source: moby `daemon/commit.go` (exportContainerRw), `daemon/graphdriver/overlay2/overlay.go` (Diff).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.errors import MissingFile, UnsupportedOverlay
from layerfs.tree.walk import walk
from layerfs.views.export.members import TreeTar

if TYPE_CHECKING:
    from layerfs.dataroot import DataRoot
    from layerfs.model import Container
    from layerfs.tree.content import Content
    from layerfs.tree.node import Node
    from layerfs.views.export.members import Write

__all__ = ["write_container_layer"]


def write_container_layer(root: DataRoot, container: Container, write: Write) -> None:
    """Write what the container changed, deletions as `.wh.` members.

    Raises:
        CorruptStore: its layers are not known, or not there.
        UnsupportedOverlay: a directory was renamed in a way that no tar of changes can tell.
        TreeError: something cannot be read.
    """
    if container.mount is None:
        raise MissingFile(f"layerdb/mounts/{container.id}", "the layers of the container are not known")
    own = root.raw_tree(container.mount.mount_id)
    whole = root.tree(container)
    for visit in walk(own, own.root):
        if visit.node.is_dir and own.xattr(visit.node, root.dialect.redirect) is not None:
            raise UnsupportedOverlay(visit.node.path, "a renamed directory: no tar of changes can tell that")

    def content(node: Node) -> Content:
        """What the container sees: the bytes of a file whose attributes alone changed lie further down."""
        return whole.open(whole.resolve(node.path, follow=False))

    TreeTar(own, write, whiteouts=root.dialect, content=content).write_all()
