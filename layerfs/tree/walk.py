"""Walking a tree: every entry below a directory, parents first, names in byte order.

Not recursive, so the depth of a hostile tree is no limit.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import TreeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree

__all__ = ["Visit", "walk"]

_NAME = attrgetter("name")


class Visit(NamedTuple):
    """One entry met on a walk.

    Attributes:
        node: the entry.
        depth: 0 for where the walk began.
        last: whether no sibling follows.
        entered: whether what is below it is visited next.
        problem: why the entries of this directory cannot be read, or None.
    """

    node: Node
    depth: int
    last: bool
    entered: bool
    problem: TreeError | None


def walk(
    tree: UnionTree, top: Node, *, depth: int | None = None, keep: Callable[[Node], bool] = lambda _node: True
) -> Iterator[Visit]:
    """Visit `top` and what is below it.

    Args:
        tree: what `top` belongs to.
        top: a directory, or the only entry to visit.
        depth: how many levels below `top` to visit; None is all.
        keep: whether to visit an entry below `top`, and what is below that.
    """
    pending = [(top, 0, True)]
    while pending:
        node, level, last = pending.pop()
        enter = node.is_dir and (depth is None or level < depth)
        problem: TreeError | None = None
        children: list[Node] = []
        if enter:
            try:
                children = [child for child in _entries(tree, node) if keep(child)]
            except TreeError as error:
                problem = error
        yield Visit(node, level, last, enter and not problem, problem)
        below = [(child, level + 1, index == len(children)) for index, child in enumerate(children, 1)]
        pending += reversed(below)


def _entries(tree: UnionTree, directory: Node) -> list[Node]:
    """What is in a directory, by name; nothing is kept, so that memory does not grow with the tree."""
    known = directory.entries
    nodes = known.values() if known is not None and known.complete else tree.listing(directory).nodes()
    return sorted(nodes, key=_NAME)
