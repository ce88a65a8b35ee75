"""Who did what on stacks in memory: against the views up to each layer, compared one by one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from layerfs.analysis.tree.blame import Blame, Content, Digests
from layerfs.errors import PathNotFound, TreeError
from layerfs.tree.union import UnionTree
from tests.support.blaming import histories
from tests.support.inmemory import Unreadable, fail, overlay_of, stored, tree_of
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec, Meta, Symlink
from tests.support.stacks import stacks

if TYPE_CHECKING:
    from layerfs.analysis.tree.blame import Event
    from tests.support.blaming import Happened


def _blame(tree: UnionTree) -> Blame:
    return Blame(tree, Digests(fail), fail)


def _told(event: Event) -> tuple[object, ...]:
    step = event.step
    seen = (step.after.path, step.after.layer, step.after.stat.mode) if step.after else None
    hidden = tuple(event.hidden or ()) if step.after is None else ()
    return step.layer, str(event.action), frozenset(event.changes), hidden, seen, step.visible


def _expected(item: Happened) -> tuple[object, ...]:
    seen = (item.seen.path, item.seen.layer, item.seen.entry.mode) if item.seen else None
    return item.layer, item.action, item.changes, tuple(item.hidden or ()), seen, item.visible


@settings(max_examples=30)
@given(stacks(max_layers=4))
def test_blame_is_what_the_views_up_to_each_layer_say(stack: list[LayerSpec]) -> None:
    """Every step of every path, its changes, its content, and which is visible, is what the views tell."""
    expected = histories([stored(layer) for layer in stack])
    blame = _blame(tree_of(*stack))
    for path, happened in expected.items():
        events = [blame.event(step) for step in blame.steps(path)]
        assert [_told(event) for event in events] == [_expected(item) for item in happened], path
        assert [blame.content(event.step).sha256 for event in events] == [
            item.seen.entry.content if item.seen else None for item in happened
        ]
    for hidden in (False, True):
        last = {
            step.path: _told(blame.event(step)) for step in blame.entries(b"/", recursive=True, hidden=hidden)
        }
        assert last == {
            path: _expected(happened[-1])
            for path, happened in expected.items()
            if path != b"/" and (hidden or happened[-1].visible)
        }


def test_each_action_has_its_word() -> None:
    """One path through every action, as a reader of the layers would tell it."""
    tree = tree_of(
        {b"f": File(b"two", meta=Meta(0o600))},
        {b"f": WHITEOUT},
        {b"f": Symlink(b"x")},
        {b"f": File(b"two", meta=Meta(0o600))},
        {b"f": File(b"two", meta=Meta(0o644))},
        {b"f": File(b"two", meta=Meta(0o644))},
        {b"f": File(b"one", meta=Meta(0o644))},
    )
    blame = _blame(tree)
    events = [blame.event(step) for step in blame.steps(b"/f")]
    assert [(event.step.layer, str(event.action), event.changes) for event in events] == [
        (1, "added", ()),
        (2, "changed", ("content",)),
        (3, "copied", ()),
        (4, "metadata", ("mode",)),
        (5, "type changed", ()),
        (6, "hidden", ()),
        (7, "revealed", ()),
    ]
    assert [blame.content(event.step) for event in events[3:6]] == [
        Content(hashlib.sha256(b"two").hexdigest()),
        Content(target=b"x"),
        Content(),
    ]


def test_a_moved_directory_reveals_what_is_in_it() -> None:
    """What a redirect moved is revealed at its new path; what had that path is gone."""
    moved = Meta(xattrs={b"trusted.overlay.redirect": b"old"})
    blame = _blame(
        tree_of(
            {b"new": Dir(meta=moved), b"old": WHITEOUT},
            {b"old": Dir({b"f": File(b"x")}), b"new": Dir({b"displaced": File()})},
        )
    )
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


def test_where_a_path_is() -> None:
    """A path that any layer has is itself; else links of the final tree are followed, or it is nowhere."""
    blame = _blame(
        tree_of({b"gone": WHITEOUT}, {b"gone": File(), b"d": Dir({b"f": File()}), b"l": Symlink(b"d")})
    )
    assert blame.locate(b"gone") == b"/gone"
    assert blame.locate(b"/l/f") == b"/d/f"
    assert blame.locate(b"//l/.") == b"/l"
    with pytest.raises(PathNotFound):
        blame.locate(b"/nothing")
    assert [blame.is_directory(path) for path in (b"/d", b"/l", b"/gone")] == [True, False, False]


def test_what_cannot_be_read_has_no_content() -> None:
    """A file that fails is told once, and its other steps stay."""
    (layer,) = overlay_of({b"f": File(b"x")})
    told: list[TreeError] = []
    blame = Blame(UnionTree([Unreadable(layer, b"f")]), Digests(told.append), told.append)
    (step,) = blame.steps(b"/f")
    assert [blame.content(step), blame.content(step)] == [Content(), Content()]
    assert [error.path for error in told] == [b"/f"]
