"""Who did what, on generated stacks: against the views up to every layer, compared one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from layerfs.analysis.blame import Blame, Digests
from tests.support.blaming import histories
from tests.support.kernel import check_trusted_xattrs, private_dir
from tests.support.layerspec import materialise_stack
from tests.support.stacks import stacks
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from layerfs.analysis.blame import Event
    from layerfs.errors import TreeError
    from tests.support.blaming import Happened
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
