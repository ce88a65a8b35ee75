"""A tree whose entries have the layer they come from in extended attributes `user.layerfs.*`.

In a mount getfattr(1) reads them; they are listed only on request, so that copies of a mount do not get them.
If a file has an attribute of such a name itself, that is shown. Linux allows `user.*` only on regular files
and directories (xattr(7)); for other entries there are `layerfs stat` and `blame`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerfs.model import LayerInfo
    from layerfs.tree.node import Node

__all__ = ["TracedTree"]

_PREFIX = b"user.layerfs."
_VALUE_LIMIT = 1 << 16
"""XATTR_SIZE_MAX of linux/limits.h."""


class TracedTree(UnionTree):
    """A tree with the additional attributes `layer`, `diff_id`, `chain_id`, `created_by` and `versions`."""

    def __init__(
        self,
        tree: UnionTree,
        infos: Sequence[LayerInfo],
        created_by: Callable[[int], str | None],
        *,
        listed: bool,
    ) -> None:
        """Show `tree` with them.

        Args:
            tree: the tree to show.
            infos: its layers, uppermost first.
            created_by: called with a layer's number, gives the command that made it; called only when
                somebody reads the attribute.
            listed: whether listxattr(2) names the attributes.
        """
        super().__init__(tree.layers)
        self._infos = infos
        self._created_by = created_by
        self._listed = listed

    def xattr_names(self, node: Node) -> list[bytes]:
        """As in `UnionTree`; with `listed` followed by the names of these."""
        names = super().xattr_names(node)
        if self._listed and (node.is_dir or node.stat.is_file):
            ours = (_PREFIX + name for name in _VALUES if self._value(node, name) is not None)
            names += [name for name in ours if name not in names]
        return names

    def xattr(self, node: Node, name: bytes) -> bytes | None:
        """As in `UnionTree`, or the value of one of these."""
        value = super().xattr(node, name)
        if value is None and name.startswith(_PREFIX):
            value = self._value(node, name.removeprefix(_PREFIX))
        return value

    def _value(self, node: Node, name: bytes) -> bytes | None:
        if name not in _VALUES or not self._infos:
            return None
        value = _VALUES[name](self, node, self._infos[node.part.layer])
        return str(value).encode(errors="surrogateescape")[:_VALUE_LIMIT] if value else None

    def command_of(self, number: int) -> str | None:
        """The command that made the layer of a number."""
        return self._created_by(number)

    def versions_of(self, node: Node) -> str:
        """A line for each version of the path, oldest first: the layer, and what hides it."""
        from layerfs.analysis.tree.versions import versions  # noqa: PLC0415 - before a mount is ready nobody asks

        lines = []
        for version in versions(self.layers, below=node.path, depth=0):
            hidden = version.hidden
            state = f"hidden by {self._number(hidden.by)} ({hidden.how})" if hidden else "visible"
            lines.append(f"{self._number(version.layer)} {state}")
        return "\n".join(lines)

    def _number(self, place: int) -> int:
        """The number of the layer that is `place` in this stack, where 1 is the lowest."""
        return self._infos[-place].number or place


_VALUES: Mapping[bytes, Callable[[TracedTree, Node, LayerInfo], object]] = {
    b"layer": lambda _tree, _node, info: info.number,
    b"diff_id": lambda _tree, _node, info: info.diff_id,
    b"chain_id": lambda _tree, _node, info: info.chain_id,
    b"created_by": lambda tree, _node, info: info.number and tree.command_of(info.number),
    b"versions": lambda tree, node, _info: tree.versions_of(node),
}
"""The attributes; not of a tree, which would be in a cycle then: a server that opens many collects none."""
