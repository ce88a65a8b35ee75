"""Our union of generated layer stacks against the kernel's mount of the same directories."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.kernel import check_trusted_xattrs, kernel_snapshot, private_dir, refusals
from tests.support.layerspec import Dir, File, LayerSpec, materialise_stack
from tests.support.snapshot import diff_snapshots
from tests.support.stacks import redirect_stacks, stacks
from tests.support.treeview import tree_snapshot, union_of

if TYPE_CHECKING:
    from pathlib import Path

    from layerfs.tree.node import Node

pytestmark = pytest.mark.kernel


@settings(max_examples=200)
@given(stacks())
def test_generated_stacks_look_like_the_kernels(stack: list[LayerSpec]) -> None:
    """Every name, attribute, byte and hard link of any stack is the kernel's, in both mark dialects."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        layers = materialise_stack(stack, work)
        for userxattr in (False, True):
            expected = kernel_snapshot(layers, userxattr=userxattr)
            actual = tree_snapshot(union_of(layers, userxattr=userxattr))
            assert diff_snapshots(expected, actual) == [], f"userxattr={userxattr}"


@settings(max_examples=200)
@given(redirect_stacks())
def test_generated_redirects_look_like_the_kernels(stack: list[LayerSpec]) -> None:
    """Redirects and metacopies lead where the kernel follows them, and are refused where it refuses."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        layers = materialise_stack(stack, work)
        expected = refusals(kernel_snapshot(layers, redirects=True))
        assert diff_snapshots(expected, refusals(tree_snapshot(union_of(layers)))) == []


@settings(max_examples=100)
@given(st.one_of(stacks(), redirect_stacks()))
def test_asking_by_name_finds_what_listing_shows(stack: list[LayerSpec]) -> None:
    """An entry found by its name alone is the listed one in every respect, and nothing else is found."""
    with private_dir() as work:
        layers = materialise_stack(stack, work)
        walks = [step for layer in layers for step in os.walk(os.fsencode(layer))]
        names = {name for _, directories, files in walks for name in (*directories, *files)}
        listed, asked = union_of(layers), union_of(layers)
        pairs = [(listed.root, asked.root)]
        while pairs:
            shown, found = pairs.pop()
            assert _described(shown) == _described(found)
            if shown.is_dir and not shown.refusal:
                children = listed.children(shown)
                by_name = {name: child for name in names if (child := asked.child(found, name))}
                assert by_name.keys() == children.keys()
                pairs += [(children[name], child) for name, child in by_name.items()]


def test_a_node_asked_for_by_name_is_the_listed_one(tmp_path: Path) -> None:
    """Listing a directory keeps the nodes that were asked for: whoever has one need not learn of another."""
    tree = union_of(materialise_stack([LayerSpec(Dir({b"a": File(), b"b": File()}))] * 2, tmp_path))
    first = tree.child(tree.root, b"b")
    listed = tree.children(tree.root)
    assert sorted(listed) == [b"a", b"b"]
    assert listed[b"b"] is first
    assert tree.child(tree.root, b"b") is first
    assert [tree.child(tree.root, name) for name in (b"", b".", b"..", b"a/b", b"c")] == [None] * 5


def _described(node: Node) -> object:
    return node.name, node.stat, node.parts, node.refusal
