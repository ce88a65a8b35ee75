"""Equal files in layers in memory, against comparing every inode with every other."""

from __future__ import annotations

import stat
from collections import defaultdict
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from layerfs.analysis.tree.duplicates import Duplicates, FileName
from layerfs.errors import CorruptStore, LayerfsError, UnreadableEntry
from tests.support.inmemory import Unreadable, Watched, overlay_of, stored
from tests.support.layerspec import Dir, File, LayerSpec, Link, Meta
from tests.support.stacks import layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.analysis.tree.duplicates import Group
    from layerfs.tree.overlay import OverlayLayer


def _search(
    sources: Sequence[OverlayLayer],
    *,
    min_size: int = 1,
    allocated: bool = False,
    told: list[LayerfsError] | None = None,
) -> list[Group]:
    found = Duplicates(
        [lambda layer=layer: layer for layer in sources],  # type: ignore[misc]
        min_size=min_size,
        allocated=allocated,
        problem=None if told is None else told.append,
    )
    seen: list[tuple[str, int]] = []
    groups = found.search(lambda part, amount, total: seen.extend([(part, total)] * amount))
    assert all(seen.count(item) == item[1] for item in seen), "every part is told of to its end"
    return groups


@settings(max_examples=30)
@given(st.lists(layers(), min_size=1, max_size=4), st.integers(0, 3))
def test_groups_are_those_of_equal_contents(specs: list[LayerSpec], min_size: int) -> None:
    """Every content that several inodes of any layers have, with all names of each; nothing else."""
    expected: defaultdict[str, set[frozenset[FileName]]] = defaultdict(set)
    for index, spec in enumerate(specs):
        for entry in stored(spec).values():
            if stat.S_ISREG(entry.mode) and entry.content and (entry.size or 0) >= max(min_size, 1):
                expected[entry.content].add(frozenset(FileName(index, path) for path in entry.links))
    groups = _search(overlay_of(*specs), min_size=min_size)
    assert {group.sha256: {frozenset(copy.places) for copy in group.copies} for group in groups} == {
        content: copies for content, copies in expected.items() if len(copies) > 1
    }
    assert sum(len(group.copies) for group in groups) == sum(len(c) for c in expected.values() if len(c) > 1)
    order = [(-group.saved, group.sha256) for group in groups]
    assert order == sorted(order)
    assert all(group.saved == group.size * (len(group.copies) - 1) for group in groups)


def test_only_sizes_that_occur_twice_are_read() -> None:
    """A file of a unique length is not opened, nor a hard link twice, nor an empty file."""
    spec = LayerSpec(
        Dir({b"a": Link(0), b"b": Link(0), b"one": File(b"1"), b"e": File(), b"f": File()}), (File(b"22"),)
    )
    sources = [
        Watched(layer)
        for layer in overlay_of(spec, {b"x": File(b"22"), b"y": File(b"23"), b"z": File(b"333")})
    ]
    (group,) = _search(sources)
    assert [copy.places for copy in group.copies] == [
        (FileName(0, b"a"), FileName(0, b"b")),
        (FileName(1, b"x"),),
    ]
    assert [source.opened for source in sources] == [[b"a"], [b"x", b"y"]]


def test_blocks_instead_of_lengths() -> None:
    """What is saved may be counted in blocks on disk."""
    (group,) = _search(overlay_of({b"a": File(b"1"), b"b": File(b"1")}), allocated=True)
    assert (group.saved, group.size) == (512, 1)


def test_a_metacopy_has_no_content_to_compare() -> None:
    """Its bytes are zeros that nobody sees."""
    metacopy = File(b"", hole=2, meta=Meta(xattrs={b"trusted.overlay.metacopy": b""}))
    zeros = File(b"", hole=2)
    assert _search(overlay_of({b"a": metacopy, b"b": zeros})) == []
    assert len(_search(overlay_of({b"a": metacopy, b"b": zeros, b"c": zeros}))[0].copies) == 2


def test_damage_is_told_and_the_rest_is_compared() -> None:
    """A layer, directory or file that cannot be read is told; the others are searched."""
    layers_ = overlay_of(
        {b"a": File(b"1"), b"d": Dir({b"f": File(b"1")})}, {b"a": File(b"1"), b"b": File(b"1")}
    )
    told: list[LayerfsError] = []
    (group,) = _search([Unreadable(layers_[0], b"d"), Unreadable(layers_[1], b"a")], told=told)
    assert [copy.places for copy in group.copies] == [(FileName(0, b"a"),), (FileName(1, b"b"),)]
    assert [(type(error), error.path) for error in told if isinstance(error, UnreadableEntry)] == [
        (UnreadableEntry, b"/d"),
        (UnreadableEntry, b"/a"),
    ]


def test_a_layer_that_cannot_be_opened_is_told() -> None:
    """Its place in the count stays."""

    def missing() -> OverlayLayer:
        raise CorruptStore("overlay2/x/diff", "no layer")

    told: list[LayerfsError] = []
    found = Duplicates([missing, lambda: overlay_of({b"a": File(b"1")})[0]], problem=told.append)
    parts: list[str] = []
    assert found.search(lambda part, _amount, _total: parts.append(part)) == []
    assert parts == ["listing", "listing"]
    assert (found.files, found.taken, len(told)) == (1, 1, 1)
