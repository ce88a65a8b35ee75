"""Why a path is in a tree, or is not: `explain` gives the search, its verdict, and the path's history.

Whether something is there is what `UnionTree.resolve` said, and nothing else. Why nothing is there is told by
the versions of the path, and what hides them (`analysis.tree.versions`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layerfs.analysis.explain.damaged import SilentLayer, UnreadableLayer
from layerfs.analysis.explain.history import Past, past
from layerfs.analysis.explain.rows import Component, Cuts, Effect, component, root_component
from layerfs.analysis.tree.versions import How
from layerfs.errors import (
    NameTooLong,
    NotADirectory,
    PathNotFound,
    SymlinkLoop,
    TreeError,
)
from layerfs.tree.trace import TracedTree
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.tree.node import Node, Part
    from layerfs.tree.source import LayerSource
    from layerfs.tree.trace import Lookup

__all__ = ["Explanation", "Verdict", "explain"]


class Verdict(enum.StrEnum):
    """What becomes of a path.

    `DELETED`: a whiteout hides it. `CUT_OFF`: a directory above it was made anew. `REPLACED`: something else
    than a directory is where its directory was. `NOT_A_DIRECTORY`: as that, but it was never there. `NEVER`:
    no layer has it at this path. `BROKEN_LINK`, `LOOP`: a link on the way leads nowhere, or in a circle.
    `UNKNOWN`: a layer that is needed cannot be read.
    """

    SHOWN = "shown"
    DELETED = "deleted"
    CUT_OFF = "cut-off"
    REPLACED = "replaced"
    NOT_A_DIRECTORY = "not-a-directory"
    NEVER = "never"
    BROKEN_LINK = "broken-link"
    LOOP = "loop"
    UNKNOWN = "unknown"


_HIDDEN = {How.WHITEOUT: Verdict.DELETED, How.OPAQUE: Verdict.CUT_OFF}


@dataclass(slots=True)
class Explanation:
    """Why a path is there or not.

    Attributes:
        path: as it was asked for.
        verdict: what becomes of it.
        node: what is shown; None if nothing is.
        data: of a file that is shown, where its bytes lie; of a metacopy in a lower layer.
        components: each name that was looked up, in order.
        wanted: the path without links, whose history is told; of what is not there as far as links lead.
        past: its history.
        blocked: of `NOT_A_DIRECTORY` and `REPLACED`: what is in the way.
        link: of `BROKEN_LINK` and `LOOP`: the link.
        error: of `UNKNOWN`: why nothing can be told.
        likely: of `UNKNOWN`, where a whole layer is missing or damaged: what the others tell. Then all else
            is what they tell.
        kernel_lists: whether the kernel lists a name that it does not find: a whiteout in a directory that is
            not merged. None where the path is shown or cannot be told.
    """

    path: bytes
    verdict: Verdict
    node: Node | None = None
    data: Part | None = None
    components: list[Component] = field(default_factory=list)
    wanted: bytes = b"/"
    past: Past = field(default_factory=Past)
    blocked: Node | None = None
    link: Lookup | None = None
    error: TreeError | None = None
    likely: Verdict | None = None
    kernel_lists: bool | None = None

    @property
    def complete(self) -> bool:
        """Whether every layer that was looked at could be read, those that are hidden too."""
        if self.past.problems:
            return False
        rows = (row for part in self.components for row in part.rows)
        return self.error is None and all(row.held.error is None for row in rows)

    @property
    def last(self) -> Component:
        """The look-up that decided: of what is shown, or of what was not found."""
        at = self.node.path if self.node else None
        return next((part for part in self.components if part.path == at), self.components[-1])

    @property
    def is_shown(self) -> bool:
        """Whether something is there."""
        return self.verdict is Verdict.SHOWN


def explain(tree: UnionTree, path: bytes) -> Explanation:
    """Look a path up as `cat` would, links followed, and tell why the answer is what it is.

    Args:
        tree: of an image or a container; its layers are numbered from its base.
        path: absolute or relative to the root.
    """
    found = _explain(tree, path)
    if found.error is None or not any(isinstance(layer, UnreadableLayer) for layer in tree.layers):
        return found
    silent = [
        SilentLayer(layer.label, layer.problem) if isinstance(layer, UnreadableLayer) else layer
        for layer in tree.layers
    ]
    others = _explain(UnionTree(silent), path)
    others.likely, others.verdict, others.kernel_lists = others.verdict, Verdict.UNKNOWN, None
    others.error = found.error
    others.past.problems.append(found.error)
    return others


def _explain(tree: UnionTree, path: bytes) -> Explanation:
    """The explanation by all layers."""
    traced = TracedTree(tree.layers)
    found = Explanation(path, Verdict.UNKNOWN)
    try:
        node = traced.resolve(path)
        found.data = _data(traced, node)
    except TreeError as error:
        _judge(found, traced, error)
    else:
        found.verdict, found.node, found.wanted = Verdict.SHOWN, node, node.path
        found.past = past(tree, found.wanted)
    found.components = _components(tree.layers, traced.lookups)
    if not found.components or (found.node and found.node.parent is None):
        found.components.append(root_component(tree.layers))
    if found.verdict not in (Verdict.SHOWN, Verdict.UNKNOWN) and traced.lookups:
        found.kernel_lists = _is_ghost(traced.lookups[-1], found.components[-1])
    return found


def _data(tree: UnionTree, node: Node) -> Part | None:
    """Where the bytes of a file lie; raises for what is listed but leads nowhere: the kernel refuses it."""
    if node.refusal:
        tree.listing(node)
    return tree.data_part(node) if node.stat.is_file else None


def _judge(found: Explanation, tree: TracedTree, error: TreeError) -> None:
    """Why a path cannot be resolved."""
    names = [name for name in found.path.split(b"/") if name]
    number = _first_missing(tree, names)
    last = tree.lookups[-1] if tree.lookups else None
    found.link = _link(tree, names[:number])
    rest = [name for name in names[number:] if name not in (b".", b"..")]
    at = last.path if last else b"/"
    found.wanted = at if found.link else b"/".join([at.rstrip(b"/"), *rest])
    if isinstance(error, SymlinkLoop):
        found.verdict = Verdict.LOOP
        return
    if isinstance(error, NotADirectory):
        found.blocked = _in_the_way(tree, names, error)
        try:
            _data(tree, found.blocked)
        except TreeError as refused:  # as the kernel does when it looks it up
            found.error = refused
            return
    elif not isinstance(error, (PathNotFound, NameTooLong)):
        found.error = error
        return
    found.past = past(tree, found.wanted)
    found.verdict = Verdict.BROKEN_LINK if found.link else _why_hidden(found)


def _why_hidden(found: Explanation) -> Verdict:
    """What keeps a path from being shown, from the last thing that was shown there."""
    end = found.past.end
    if end is None or end.hidden is None:
        return Verdict.NOT_A_DIRECTORY if found.blocked else Verdict.NEVER
    if found.blocked:
        return Verdict.REPLACED
    return _HIDDEN.get(end.hidden.how, Verdict.REPLACED)


def _first_missing(tree: UnionTree, names: Sequence[bytes]) -> int:
    """How many of the names of a path are needed until it cannot be resolved."""
    good, bad = 0, len(names)
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            tree.resolve(b"/".join(names[:middle]))
            good = middle
        except TreeError:
            bad = middle
    return bad


def _link(tree: TracedTree, names: Sequence[bytes]) -> Lookup | None:
    """The lookup of the last name, if that is a link which cannot be followed."""
    try:
        node = tree.resolve(b"/".join(names), follow=False)
    except TreeError:
        return None
    at = (item for item in tree.lookups if item.found is node)
    return next(at, None) if node.stat.is_symlink else None


def _in_the_way(tree: TracedTree, names: Sequence[bytes], error: NotADirectory) -> Node:
    """What is no directory, although the path goes on, or ends in a slash."""
    found = (item.found for item in tree.lookups if item.found and item.found.path == error.path)
    return next(found, None) or tree.resolve(b"/".join(names))


def _components(layers: Sequence[LayerSource], lookups: Sequence[Lookup]) -> list[Component]:
    """The rows of each look-up; what is cut off at a directory stays cut off below it."""
    cuts: dict[Node, Cuts] = {}
    found: list[Component] = []
    for lookup in lookups:
        part = component(layers, lookup, cuts.get(lookup.directory, {}))
        if lookup.found:
            cuts[lookup.found] = part.cuts
        if part.rows:
            found.append(part)
    return found


def _is_ghost(lookup: Lookup, last: Component) -> bool:
    """Whether the kernel's listing has a name that it does not find.

    In a directory that is not merged it lists what is on the disk, whiteouts too (`ovl_iterate_real`).
    """
    alone = len(lookup.directory.parts) == 1 and lookup.directory.parent is not None
    return alone and any(row.effect is Effect.ABSENT for row in last.rows)
