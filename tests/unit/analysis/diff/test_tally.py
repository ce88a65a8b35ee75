"""Changes counted, by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.analysis.diff.difference import differences
from layerfs.analysis.diff.layerchanges import step
from layerfs.analysis.diff.tally import Tally
from layerfs.tree.union import UnionTree
from tests.support.inmemory import fail, overlay_of, tree_of
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec, Link, Meta, Symlink

if TYPE_CHECKING:
    from tests.support.inmemory import Layout

BASE: Layout = {
    b"changed": File(b"1"),
    b"gone": File(b"12345"),
    b"mode": File(b"123", meta=Meta(0o600)),
    b"type": File(b"1234567"),
    b"d": Dir({b"same": File(b"xx")}),
}
ABOVE: Layout = {
    b"changed": File(b"22"),
    b"gone": WHITEOUT,
    b"mode": File(b"123", meta=Meta(0o644)),
    b"type": Symlink(b"four"),
    b"d": Dir({b"same": File(b"xx")}),
    b"new": Dir({b"a": File(b"abc"), b"b": File(b"d")}),
}


def test_entries_and_bytes_of_each_kind() -> None:
    """Directories are entries without bytes; of what is gone the old length counts, else the new one."""
    lower = overlay_of(BASE)
    tally = Tally.of(differences(UnionTree(lower), UnionTree([*overlay_of(ABOVE), *lower]), fail))
    assert tally.entries == {"added": 3, "modified": 1, "deleted": 1, "metadata": 1, "type": 1}
    assert tally.size == {"added": 4, "modified": 2, "deleted": 5, "metadata": 3, "type": 4}
    assert tally.new_size == 13
    assert tally.identical == tally.identical_size == 0


def test_a_file_of_several_names_counts_its_bytes_once() -> None:
    """Each name is an entry; the bytes are the inode's."""
    linked = LayerSpec(Dir({b"a": Link(0), b"b": Link(0), b"c": Link(1)}), (File(b"123"), File(b"1")))
    tally = Tally.of(differences(UnionTree(()), tree_of(linked), fail))
    assert (tally.entries["added"], tally.size["added"]) == (3, 4)


def _layers(*stack: Layout) -> list[Tally]:
    """The tally of each layer, base first, as `changes --layer` finds them."""
    tree = tree_of(*stack)
    tallies = []
    for number in range(1, len(stack) + 1):
        tally = Tally(0)
        for change in differences(*step(tree, number), fail, same=tally.add_same):
            tally.add(change)
        tallies.append(tally)
    return tallies


def test_a_layers_bytes_are_all_counted_once() -> None:
    """What differs and what does not is together what the layer stores."""
    first, second = _layers(ABOVE, BASE)
    assert first.new_size + first.identical_size == 1 + 5 + 3 + 7 + 2
    assert second.new_size + second.identical_size == 2 + 3 + 4 + 2 + 3 + 1
    assert (second.identical, second.identical_size) == (2, 2)  # /d and /d/same


def test_a_linked_file_that_partly_differs_is_no_identical_bytes() -> None:
    """One name is as it was, the other is new: the inode's bytes are those of the new one, once."""
    linked = LayerSpec(Dir({b"a": Link(0), b"b": Link(0)}), (File(b"123"),))
    _, above = _layers(linked, {b"a": File(b"123")})
    assert (above.identical, above.identical_size, above.new_size) == (1, 0, 3)


def test_what_a_redirect_moves_is_not_of_the_layer() -> None:
    """The entries of a moved directory are new at their path, but their bytes stay where they are."""
    moved = Dir(meta=Meta(xattrs={b"trusted.overlay.redirect": b"old"}))
    _, above = _layers({b"new": moved, b"old": WHITEOUT}, {b"old": Dir({b"f": File(b"12345")})})
    assert above.entries == {"added": 2, "deleted": 2}
    assert above.new_size == 0


def test_a_step_is_a_layer_and_what_it_stands_on() -> None:
    """Layer 1 stands on nothing, the last one makes the whole tree."""
    tree = tree_of({b"c": File()}, {b"b": File()}, {b"a": File()})
    shown = [[sorted(side.children(side.root)) for side in step(tree, number)] for number in (1, 2, 3)]
    assert shown == [
        [[], [b"a"]],
        [[b"a"], [b"a", b"b"]],
        [[b"a", b"b"], [b"a", b"b", b"c"]],
    ]
