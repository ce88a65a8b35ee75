"""Copying what is marked to a directory of the host: how much it is, and the copies. Nothing is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.errors import reason
from layerfs.tree.walk import Visit, walk
from layerfs.views.copyout import CopyOut, CopySource
from layerfs.views.copytree import copy_tree
from layerfs.views.place import BadTarget, open_target

from ..escape import printable
from ..units import human_size
from .spans import name_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from .questions import Found
    from .reader import Ticket

__all__ = ["amount", "copy_marked"]


def _visits(found: Found) -> Iterable[Visit]:
    """An entry and what is below it; of a hidden version itself alone."""
    if found.version or not found.node.is_dir:
        return (Visit(found.node, 0, last=True, entered=False, problem=None),)
    return walk(found.tree, found.node)


def _topmost(marked: Sequence[Found]) -> Iterator[Found]:
    """What is marked, without what lies in a marked directory of the tree."""
    within = {found.path.rstrip(b"/") for found in marked if found.node.is_dir and not found.version}
    for found in marked:
        path = found.path
        above = [path[:at] for at in range(len(path)) if path[at : at + 1] == b"/" and at]
        if found.gone or not within.intersection([*above, *([b""] if path != b"/" else [])]):
            yield found


def amount(marked: Sequence[Found], ticket: Ticket) -> tuple[int, int]:
    """How many entries are marked, with all below them, and the bytes of their files."""
    count = size = 0
    for found in _topmost(marked):
        for visit in ticket.watch(_visits(found)):
            count += 1
            size += visit.node.stat.size if visit.node.stat.is_file else 0
    return count, size


def copy_marked(
    marked: Sequence[Found], target: bytes, forbidden: Collection[tuple[int, int]], ticket: Ticket
) -> str:
    """Copy to the directory `target`, which is made or must be empty; a sentence about what was done.

    Each entry lies below it where it lies in the image, a hidden version with its layer behind the name.

    Raises:
        OSError: the host refuses the directory.
    """
    failed: list[str] = []
    count = size = 0
    try:
        fd = open_target(target, forbidden)
    except BadTarget as error:
        return f"nothing was copied: {name_text(target)} {error}"
    with CopyOut(fd, forbidden=forbidden) as copy:
        for found in _topmost(marked):
            _parents(copy, found)
            path = found.path.strip(b"/")
            path = path + b"@layer%d" % found.layer if found.gone else path
            for done in ticket.watch(copy_tree(found.tree, _visits(found), path, copy)):
                if done.error:
                    failed.append(f"{name_text(done.path)}: {reason(done.error)}")
                    continue
                count += 1
                size += done.node.stat.size if done.node.stat.is_file else 0
    failed += [f"{name_text(path)}: {reason(error)}" for path, error in copy.unfinished]
    lost = f"; not kept: {', '.join(printable(what) for what in copy.not_kept)}" if copy.not_kept else ""
    trouble = f"; {len(failed)} not copied, the first: {failed[0]}" if failed else ""
    return f"{count:,} entries, {human_size(size)}, copied to {name_text(target)}{lost}{trouble}"


def _parents(copy: CopyOut, found: Found) -> None:
    """Make the directories above an entry, with their attributes where the tree has them."""
    names = found.path.strip(b"/").split(b"/")[:-1]
    above = []
    node = found.node.parent
    while node is not None and node.parent is not None and not found.version:
        above.append(node)
        node = node.parent
    for depth in range(1, len(names) + 1):
        original = above[-depth] if depth <= len(above) else None
        copy.directory(b"/".join(names[:depth]), CopySource(found.tree, original) if original else None)
