"""What a container changed, as its own engine tells it: Podman goes by its layer, all others as Docker does.

Podman does so where the kernel's overlayfs mounts layers. Then a directory that was removed and made again is
told as deleted, with what is in it now, and not with what was; and a directory in which only a file changed
is not told, if its own attributes are as they were.

Source: containers/storage `pkg/archive/changes.go` (changes), `changes_linux.go` (OverlayChanges).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.analysis.diff.changes import Change, Kind
from layerfs.analysis.diff.dockerdiff import docker_changes, same_time
from layerfs.errors import TreeError, UnreadableEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.store import Store
    from layerfs.tree.node import Node
    from layerfs.tree.source import Entry, LayerSource
    from layerfs.tree.union import UnionTree

__all__ = ["engine_changes", "layer_changes"]


def engine_changes(
    store: Store,
    before: UnionTree,
    after: UnionTree,
    complain: Callable[[TreeError], None],
    *,
    skip: Callable[[bytes], bool] | None = None,
) -> list[Change]:
    """What a container of `store` changed, as its engine's own command tells it; see `docker_changes`."""
    changes = layer_changes if store.changes_by_layer else docker_changes
    found = changes(before, after, complain, skip=skip)
    return [change for change in found if change.path not in store.hidden_changes]


def layer_changes(
    before: UnionTree,
    after: UnionTree,
    complain: Callable[[TreeError], None],
    *,
    skip: Callable[[bytes], bool] | None = None,
) -> list[Change]:
    """The changes, sorted by path; arguments as of `dockerdiff.docker_changes`.

    A whiteout of what is not there is left out. What an opaque directory of a lower layer hides was not
    there, so what is there now is added; Podman finds it in the layer below, and calls it changed.
    """
    layer = after.layers[0]
    found: dict[bytes, Change] = {}
    pending: list[tuple[Node | None, Node]] = [(before.root, after.root)]
    while pending:
        old_above, new_above = pending.pop()
        for entry in _entries(layer, new_above, complain):
            try:
                old = before.child(old_above, entry.name) if old_above and old_above.is_dir else None
                new = None if entry.whiteout else after.child(new_above, entry.name)
                node = new or old
                if node is None or (skip and skip(node.path)):
                    continue
                kind = _kind(layer, old, new)
            except TreeError as error:
                complain(error)
                continue
            if kind:
                found[node.path] = Change(kind, old, None if kind is Kind.DELETED else new)
            if kind in (Kind.ADDED, Kind.DELETED):
                _mark_above(before, new_above, found)
            if new and new.is_dir:
                pending.append((old, new))
    return [found[path] for path in sorted(found)]


def _entries(layer: LayerSource, directory: Node, complain: Callable[[TreeError], None]) -> Iterator[Entry]:
    """What the layer has in a directory."""
    path = directory.path.strip(b"/")
    try:
        yield from layer.scan(path)
    except OSError as error:
        complain(UnreadableEntry(directory.path, f"{layer.label}: {error.strerror or error}"))


def _kind(layer: LayerSource, old: Node | None, new: Node | None) -> Kind | None:
    """The change of one path; None for a directory whose own attributes are as they were."""
    if old is None:
        return Kind.ADDED
    if new is None:
        return Kind.DELETED
    if new.is_dir and layer.marks(new.path.strip(b"/")).opaque:
        return Kind.DELETED
    if not (old.is_dir and new.is_dir):
        return Kind.CHANGED
    is_same = (old.stat.size, old.stat.mode) == (new.stat.size, new.stat.mode)
    return None if is_same and same_time(old.stat.mtime_ns, new.stat.mtime_ns) else Kind.CHANGED


def _mark_above(before: UnionTree, directory: Node | None, found: dict[bytes, Change]) -> None:
    """Tell of the directories above an addition or a deletion, but for the root."""
    while directory and directory.parent:
        if directory.path not in found:
            old = before.resolve(directory.path, follow=False)
            found[directory.path] = Change(Kind.CHANGED, old, directory)
        directory = directory.parent
