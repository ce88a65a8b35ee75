"""What the kernel is told of generated trees, by listings and by names, is what the trees show."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from layerfs.errors import TreeError
from layerfs.views.fuse.nodetable import NodeTable
from layerfs.views.fuse.packed import attributes_of
from layerfs.views.fuse.protocol import ATTR, DIRENTPLUS, ENTRY_OUT, ROOT_ID
from tests.support.inmemory import tree_of
from tests.support.layerspec import Dir, File, LayerSpec, Link
from tests.support.stacks import redirect_stacks, stacks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree

ROOM = DIRENTPLUS.size + 300
"""Bytes of a page: one entry of the longest name, or two of short ones."""


class Told(NamedTuple):
    """An entry as the kernel is told of it."""

    name: bytes
    node_id: int
    attributes: tuple[int, ...]
    offset: int


def _told(page: bytes) -> Iterator[Told]:
    at = 0
    while at < len(page):
        node_id, *fields = DIRENTPLUS.unpack_from(page, at)
        *_, offset, length, _kind = fields
        name = page[at + DIRENTPLUS.size : at + DIRENTPLUS.size + length]
        yield Told(name, node_id, tuple(fields[5:21]), offset)
        at += (DIRENTPLUS.size + length + 7) & ~7


def _listed(nodes: NodeTable, node_id: int, room: int = ROOM) -> list[Told]:
    """A whole directory, page by page, without `.` and `..`."""
    found: list[Told] = []
    while page := list(_told(nodes.page(node_id, found[-1].offset if found else 0, room))):
        found += page
    assert [entry.offset for entry in found] == list(range(1, len(found) + 1))
    assert [(entry.name, entry.node_id) for entry in found[:2]] == [(b".", 0), (b"..", 0)]
    return found[2:]


def _asked(nodes: NodeTable, node_id: int, name: bytes) -> Told:
    entry = nodes.look_up(node_id, name)
    assert entry is not None
    held, *fields = ENTRY_OUT.unpack(entry)
    return Told(name, held, tuple(fields[5:]), 0)


def _shown(tree: UnionTree, node: Node) -> tuple[int, ...]:
    return attributes_of(node.stat, tree.inode(node), node.nlink)


def _check(nodes: NodeTable, tree: UnionTree, told: Told, node: Node) -> None:
    """What was told of an entry is what the tree shows, however it is asked."""
    assert told.attributes == _shown(tree, node)
    assert nodes.attributes(told.node_id) == ATTR.pack(*told.attributes)
    held = nodes[told.node_id]
    assert (held.parts, held.refusal) == (node.parts, node.refusal) or node.stat.nlink > 1
    assert _shown(tree, held) == told.attributes


@settings(max_examples=60)
@given(st.one_of(stacks(max_layers=4), redirect_stacks(4)), st.randoms(use_true_random=False))
def test_what_is_told_is_what_the_tree_shows(stack: list[LayerSpec], random: Random) -> None:
    """Names, attributes and places; one ID a file, before its directory is listed and afterwards."""
    tree = tree_of(*stack)
    nodes = NodeTable(tree)
    given_out = {ROOT_ID: 1}
    pending = [(ROOT_ID, tree.root)]
    while pending:
        node_id, node = pending.pop()
        try:
            children = tree.children(node)
        except TreeError:
            continue
        first = {name: _asked(nodes, node_id, name) for name in children if random.random() < 0.3}
        listed = {told.name: told for told in _listed(nodes, node_id)}
        assert list(listed) == list(children)
        later = {name: _asked(nodes, node_id, name) for name in children if random.random() < 0.3}
        assert nodes.look_up(node_id, b"no such name") is None
        for told in (*first.values(), *listed.values(), *later.values()):
            assert told.node_id == listed[told.name].node_id
            given_out[told.node_id] = given_out.get(told.node_id, 0) + 1
            _check(nodes, tree, told, children[told.name])
        pending += [(listed[name].node_id, child) for name, child in children.items() if child.is_dir]
    order = [node_id for node_id, count in given_out.items() for _ in range(count) if node_id != ROOT_ID]
    random.shuffle(order)
    for node_id in order:
        assert node_id in nodes
        given_out[node_id] -= 1
        assert nodes.forget(node_id, 1) == (given_out[node_id] == 0)
        assert (node_id in nodes) == (given_out[node_id] > 0)
    assert set(nodes._apart) == {ROOT_ID}
    assert set(nodes._entered) <= {ROOT_ID}
    assert len(nodes._listed) <= 1, (
        "the root's own, if anything in it had an ID of another kind, or nothing is"
    )


def test_names_of_one_file_share_an_id() -> None:
    """Wherever its names are, and whichever way they are asked for; another layer's file is another."""
    shared = (File(b"one"), File(b"two"))
    layer = LayerSpec(
        Dir({b"a": Link(0), b"b": Link(0), b"d": Dir({b"c": Link(0), b"x": Link(1)}), b"x": Link(1)}), shared
    )
    nodes = NodeTable(tree_of(layer))
    above = {told.name: told.node_id for told in _listed(nodes, ROOT_ID)}
    below = {told.name: told.node_id for told in _listed(nodes, above[b"d"])}
    assert above[b"a"] == above[b"b"] == below[b"c"] == _asked(nodes, ROOT_ID, b"a").node_id
    assert above[b"x"] == below[b"x"] != above[b"a"]
    assert not nodes.forget(above[b"a"], 3)
    assert nodes.forget(above[b"a"], 1)
    again = _asked(nodes, above[b"d"], b"c").node_id
    assert _asked(nodes, ROOT_ID, b"b").node_id == again


def test_a_listing_is_dropped_with_its_last_entry() -> None:
    """Memory follows what the kernel keeps: not one entry less makes it go, and it comes again when asked."""
    nodes = NodeTable(tree_of({b"d": Dir({b"1": File(), b"2": File()})}))
    (directory,) = (told.node_id for told in _listed(nodes, ROOT_ID))
    one, two = (told.node_id for told in _listed(nodes, directory))
    assert nodes.forget(one, 1)
    assert two in nodes
    assert nodes[two].path == b"/d/2"
    assert nodes.forget(two, 1)
    assert [told.name for told in _listed(nodes, directory)] == [b"1", b"2"]


def test_a_listing_that_was_only_prepared_is_dropped_with_its_directory() -> None:
    """What nobody asked for after all does not stay behind."""
    nodes = NodeTable(tree_of({b"d": Dir({b"1": File()})}))
    (directory,) = (told.node_id for told in _listed(nodes, ROOT_ID))
    nodes.prepare(directory)
    assert b"/d" in {folder.node.path for folder in nodes._listed.values()}
    before = len(nodes._listed)
    nodes.forget(directory, 1)
    assert len(nodes._listed) < before
    assert b"/d" not in {folder.node.path for folder in nodes._listed.values()}
