"""What became of a path, layer by layer, in the words of `blame`, without reading large files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layerfs.analysis.tree.blame import Action, Blame, Digests, Event
from layerfs.analysis.tree.versions import versions

if TYPE_CHECKING:
    from layerfs.analysis.tree.blame import Step
    from layerfs.analysis.tree.versions import Version
    from layerfs.errors import TreeError
    from layerfs.tree.union import UnionTree

__all__ = ["LARGEST_READ", "Past", "past"]

LARGEST_READ = 64 << 20
"""Bytes of a file whose content is read to tell whether it changed, or what its digest is."""


@dataclass(slots=True)
class Past:
    """The history of a path.

    Attributes:
        events: what layers did to it, oldest first.
        versions: what layers have of it, oldest first: also what was never shown.
        problems: what could not be read.
    """

    events: list[Event] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    problems: list[TreeError] = field(default_factory=list)

    @property
    def end(self) -> Event | None:
        """How it came to be hidden; None for what is shown, or never was."""
        last = self.events[-1] if self.events else None
        return last if last and last.step.after is None and last.hidden else None


def past(tree: UnionTree, path: bytes) -> Past:
    """The history of a path, without links, in the layers of a tree."""
    found = Past()
    blame = Blame(tree, Digests(found.problems.append), found.problems.append)
    found.events = [_event(blame, step) for step in blame.steps(path)]
    found.versions = list(versions(tree.layers, below=path, depth=0, problem=found.problems.append))
    return found


def _event(blame: Blame, step: Step) -> Event:
    """What a layer did; two large files of one size are taken for different ones, and not read."""
    before, after = step.before, step.after
    large = before and after and before.stat.is_file and after.stat.is_file and after.stat.size > LARGEST_READ
    return Event(step, Action.CHANGED) if large else blame.event(step)
