"""`Stack`: layers laid out by a test, where our union of them must be the kernel's."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tests.support.kernel import kernel_snapshot, refusals
from tests.support.layerspec import Dir, LayerSpec, Meta, materialise_stack
from tests.support.snapshot import diff_snapshots
from tests.support.treeview import tree_snapshot, union_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.layerspec import Node
    from tests.support.snapshot import Snapshot

__all__ = ["OPAQUE", "TRUSTED", "USER", "Layout", "Stack", "names"]

TRUSTED = b"trusted.overlay."
USER = b"user.overlay."
OPAQUE = Meta(xattrs={TRUSTED + b"opaque": b"y"})
"""What makes a directory hide its lower content."""

Layout: TypeAlias = "dict[bytes, Node] | LayerSpec"
"""A layer; as a dict, what lies in its root."""


class Stack:
    """Layers on disk, and what they show."""

    def __init__(self, place: Path) -> None:
        """Make them below `place`, each as a directory named by its index."""
        self.place = place
        self.layers: list[Path] = []

    def make(self, *layers: Layout) -> list[Path]:
        """Make the layers, uppermost first."""
        specs = [layer if isinstance(layer, LayerSpec) else LayerSpec(Dir(layer)) for layer in layers]
        self.layers = materialise_stack(specs, self.place)
        return self.layers

    def shown(self, *layers: Layout, userxattr: bool = False, redirects: bool = False) -> Snapshot:
        """What the kernel shows of the layers, once ours is found to be the same."""
        made = self.make(*layers)
        expected = refusals(kernel_snapshot(made, userxattr=userxattr, redirects=redirects))
        actual = refusals(tree_snapshot(union_of(made, userxattr=userxattr)))
        assert diff_snapshots(expected, actual) == []
        return expected


def names(found: Snapshot) -> set[bytes]:
    """Every path but the root's."""
    return {path for path in found if path}
