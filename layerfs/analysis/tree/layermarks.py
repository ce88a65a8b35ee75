"""The overlayfs marks of an entry of a layer, read from the device, file or directory that it is on disk.

Sources: Linux `Documentation/filesystems/overlayfs.rst`; the rules are those of `tree.overlay`.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import TreeError, UnreadableEntry

if TYPE_CHECKING:
    from layerfs.tree.node import Node
    from layerfs.tree.source import LayerSource

__all__ = ["NO_MARKS", "LayerMarks", "marks_of"]


class LayerMarks(NamedTuple):
    """The marks of one entry.

    Attributes:
        whiteout: it is a whiteout.
        opaque: a directory that hides what lower layers have in it.
        redirect: of a directory or metacopy: the path in lower layers, as written in the mark.
        metacopy: a file with attributes only; its data are in a lower layer.
    """

    whiteout: bool = False
    opaque: bool = False
    redirect: bytes | None = None
    metacopy: bool = False


NO_MARKS = LayerMarks()


def marks_of(layer: LayerSource, node: Node) -> LayerMarks:
    """The marks of an entry.

    Args:
        layer: the layer as overlayfs reads it.
        node: an entry of the tree of that layer alone, as it is on disk.

    Raises:
        TreeError: the marks cannot be read.
    """
    path = node.part.path
    try:
        if node.parent is None:  # in overlayfs the root of a layer is never opaque
            return LayerMarks(opaque=True) if layer.root_is_opaque else NO_MARKS
        if node.is_dir:
            opaque, redirect = layer.marks(path)
            return LayerMarks(opaque=opaque, redirect=redirect)
        if _may_be_whiteout(node) and (entry := layer.entry(path)) and entry.whiteout:
            return LayerMarks(whiteout=True)
        if node.stat.is_file and (found := layer.metacopy(path)):
            return LayerMarks(metacopy=True, redirect=found.redirect)
    except TreeError:
        raise
    except OSError as error:
        raise UnreadableEntry(node.path, f"{layer.label}: {error.strerror or error}") from error
    return NO_MARKS


def _may_be_whiteout(node: Node) -> bool:
    return (node.stat.kind == stat.S_IFCHR and node.stat.rdev == 0) or (
        node.stat.is_file and node.stat.size == 0
    )
