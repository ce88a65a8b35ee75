"""The union of generated stacks in memory against a model that lays layer on layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.inmemory import stored, tree_of
from tests.support.kernel import refusals
from tests.support.snapshot import diff_snapshots
from tests.support.stacks import redirect_stacks, stacks
from tests.support.treeview import tree_snapshot
from tests.support.unionmodel import model

if TYPE_CHECKING:
    from tests.support.layerspec import LayerSpec


@settings(max_examples=100)
@given(stacks(max_layers=5), st.booleans())
def test_a_stack_shows_what_the_model_does(stack: list[LayerSpec], userxattr: bool) -> None:  # noqa: FBT001
    """Names, types, attributes, contents, hard links: whatever is hidden, by whichever mark of a dialect."""
    expected = model(stack, b"user.overlay." if userxattr else b"trusted.overlay.")
    assert diff_snapshots(expected, tree_snapshot(tree_of(*stack, userxattr=userxattr))) == []


@settings(max_examples=150)
@given(redirect_stacks())
def test_redirects_lead_where_the_model_finds_them(stack: list[LayerSpec]) -> None:
    """Moved directories merge with what they were, metacopies have its data, or cannot be read."""
    expected = refusals(model(stack))
    assert diff_snapshots(expected, refusals(tree_snapshot(tree_of(*stack)))) == []


@settings(max_examples=60)
@given(st.one_of(stacks(max_layers=4), redirect_stacks(4)))
def test_asking_by_name_finds_what_listing_shows(stack: list[LayerSpec]) -> None:
    """An entry found by its name alone is the listed one in every respect, and nothing else is found."""
    names = {path.rpartition(b"/")[2] for layer in stack for path in stored(layer)} - {b""}
    listed, asked = tree_of(*stack), tree_of(*stack)
    pairs = [(listed.root, asked.root)]
    while pairs:
        shown, found = pairs.pop()
        assert (shown.name, shown.parts, shown.refusal) == (found.name, found.parts, found.refusal)
        assert shown.stat.mode == found.stat.mode
        if shown.is_dir and not shown.refusal:
            children = listed.children(shown)
            by_name = {name: child for name in names if (child := asked.child(found, name))}
            assert by_name.keys() == children.keys()
            pairs += [(children[name], child) for name, child in by_name.items()]
