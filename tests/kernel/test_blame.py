"""Who did what, on generated stacks: against the views up to every layer, compared one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from layerfs.analysis.tree.blame import Blame, Digests
from tests.support.blaming import histories
from tests.support.judge import TRUSTED, names
from tests.support.kernel import check_trusted_xattrs, kernel_snapshot, private_dir
from tests.support.layerspec import WHITEOUT, Dir, File, Meta, materialise_stack
from tests.support.stacks import stacks
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from layerfs.analysis.tree.blame import Event
    from layerfs.errors import TreeError
    from tests.support.blaming import Happened
    from tests.support.judge import Stack
    from tests.support.layerspec import LayerSpec

pytestmark = pytest.mark.kernel


def _told(event: Event) -> tuple[object, ...]:
    step = event.step
    seen = (step.after.path, step.after.layer, step.after.stat.mode) if step.after else None
    hidden = tuple(event.hidden or ()) if step.after is None else ()
    return (step.layer, str(event.action), frozenset(event.changes), hidden, seen, step.visible)


def _expected(item: Happened) -> tuple[object, ...]:
    seen = (item.seen.path, item.seen.layer, item.seen.entry.mode) if item.seen else None
    return (item.layer, item.action, item.changes, tuple(item.hidden or ()), seen, item.visible)


@settings(max_examples=150)
@given(stacks(max_layers=6))
def test_blame_is_what_the_views_up_to_each_layer_say(stack: list[LayerSpec]) -> None:
    """Every step of every path, what it changed, and which is visible, is what comparing the views tells."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        layers = materialise_stack(stack, work)
        expected = histories(layers)
        problems: list[TreeError] = []
        digests = Digests(problems.append)
        tree = union_of(layers)
        blame = Blame(tree, digests, problems.append)
        for path, happened in expected.items():
            events = [blame.event(step) for step in blame.steps(path)]
            assert [_told(event) for event in events] == [_expected(item) for item in happened], path
            assert [blame.content(event.step).sha256 for event in events] == [
                item.seen.entry.content if item.seen else None for item in happened
            ]
        for hidden in (False, True):
            last = {
                step.path: _told(blame.event(step))
                for step in blame.entries(b"/", recursive=True, hidden=hidden)
            }
            assert last == {
                path: _expected(happened[-1])
                for path, happened in expected.items()
                if path != b"/" and (hidden or happened[-1].visible)
            }
        assert problems == []


def test_a_moved_directory_reveals_what_is_in_it(stack: Stack) -> None:
    """What a redirect moved is revealed at its new path; what had that path is gone."""
    moved = Meta(xattrs={TRUSTED + b"redirect": b"old"})
    layers = stack.make(
        {b"new": Dir(meta=moved), b"old": WHITEOUT},
        {b"old": Dir({b"f": File(b"x")}), b"new": Dir({b"displaced": File()})},
    )
    assert set(names(kernel_snapshot(layers, redirects=True))) == {b"new", b"new/f"}
    problems: list[TreeError] = []
    blame = Blame(union_of(layers), Digests(problems.append), problems.append)
    told = {
        path: [(event.step.layer, str(event.action)) for event in map(blame.event, blame.steps(path))]
        for path in (b"/new", b"/new/f", b"/new/displaced", b"/old/f")
    }
    assert told == {
        b"/new": [(1, "added"), (2, "changed")],
        b"/new/f": [(2, "revealed")],
        b"/new/displaced": [(1, "added"), (2, "hidden")],
        b"/old/f": [(1, "added"), (2, "hidden")],
    }
    assert problems == []
