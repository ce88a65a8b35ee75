"""The names in a directory of a union, before anything is asked of the entries: of a huge one, much sooner.

The types are what the directories on disk note (`d_type`, readdir(3)), so only devices are looked at, as each
may be a whiteout. What tells a whiteout by an attribute of a file is seen only by `UnionTree.children`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.tree.archived import ArchivedLayer
from layerfs.tree.lower import join
from layerfs.tree.overlay import OverlayLayer, RawLayer

if TYPE_CHECKING:
    from layerfs.tree.node import Node, Part
    from layerfs.tree.source import LayerSource
    from layerfs.tree.union import UnionTree

__all__ = ["glance"]


def glance(tree: UnionTree, node: Node) -> dict[bytes, int] | None:
    """The names in a directory, each with its file type bits (0 of what is no directory, file or link).

    None where a layer is not read from directories, or says what it has only when it is read whole.
    Raises `OSError` as a layer gives it.
    """
    found: dict[bytes, int] = {}
    hidden: set[bytes] = set()
    for part in node.parts:
        kinds = _listed(tree.layers[part.layer], part)
        if kinds is None:
            return None
        whiteouts = {name for name, kind in kinds if not kind and _is_whiteout(tree, part, name)}
        for name, kind in kinds:
            if name not in hidden and name not in whiteouts:
                found.setdefault(name, kind)
        hidden |= whiteouts
    return found


def _listed(layer: LayerSource, part: Part) -> list[tuple[bytes, int]] | None:
    stored = layer.stored if isinstance(layer, OverlayLayer) else layer
    if not isinstance(stored, RawLayer) or isinstance(stored, ArchivedLayer):
        return None
    with stored.directory.subdir(part.path) as directory:
        return directory.listing()


def _is_whiteout(tree: UnionTree, part: Part, name: bytes) -> bool:
    entry = tree.layers[part.layer].entry(join(part.path, name))
    return entry is None or entry.whiteout
