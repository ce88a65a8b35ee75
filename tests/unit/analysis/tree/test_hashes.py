"""Digests of files in memory, beside what hashlib says of the same bytes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from layerfs.analysis.tree.hashes import every_version, hashes, shown_files
from layerfs.errors import PathNotFound, TreeError, UnreadableEntry
from layerfs.tree.union import UnionTree
from tests.support.hiding import objects
from tests.support.inmemory import Unreadable, Watched, fail, overlay_of, stored, tree_of
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec, Link, Meta
from tests.support.stacks import stacks
from tests.support.unionmodel import model

if TYPE_CHECKING:
    from collections.abc import Sequence


@settings(max_examples=15)
@given(stacks(max_layers=4))
def test_what_a_tree_shows(stack: list[LayerSpec]) -> None:
    """Each regular file once, in the byte order of paths, with the digest of its content."""
    tree = tree_of(*stack)
    found = list(hashes(tree, shown_files(tree, [tree.root], fail), "sha256", 2))
    shown = {b"/" + path: entry.content for path, entry in model(stack).items() if entry.content}
    assert [(item.file.path, item.digest) for item in found] == sorted(shown.items())


@settings(max_examples=15)
@given(stacks(max_layers=4))
def test_every_version_of_it(stack: list[LayerSpec]) -> None:
    """Every object of every layer that is a file, hidden or not, by path and oldest first."""
    tree = tree_of(*stack)
    found = list(hashes(tree, every_version(tree, [b"/"], fail), "sha256", 2))
    held = [item for item in objects([stored(layer) for layer in stack]) if item.entry.content]
    expected = sorted((item.path, item.layer, item.entry.content, item.hidden) for item in held)
    numbers = [len(stack) - item.file.part.layer for item in found]
    assert [
        (item.file.path, number, item.digest, item.file.hidden)
        for item, number in zip(found, numbers, strict=True)
    ] == expected


@pytest.mark.parametrize("algorithm", ["sha256", "md5", "sha1", "sha512"])
@pytest.mark.parametrize("threads", [1, 4])
def test_any_number_of_threads_keeps_the_order(algorithm: str, threads: int) -> None:
    """More files than are begun at a time come in their order, each with its own digest."""
    tree = tree_of({b"%04d" % number: File(b"%d" % number) for number in range(300)})
    found = list(hashes(tree, shown_files(tree, [tree.root], fail), algorithm, threads))
    assert [item.digest for item in found] == [
        hashlib.new(algorithm, b"%d" % number).hexdigest() for number in range(300)
    ]


def test_a_file_of_several_names_is_read_once() -> None:
    """Hard links are one file: opened once, told under each name."""
    (layer,) = overlay_of(LayerSpec(Dir({b"a": Link(0), b"b": Link(0), b"c": File(b"x")}), (File(b"y"),)))
    watched = Watched(layer)
    tree = UnionTree([watched])
    found = list(hashes(tree, shown_files(tree, [tree.root], fail), "md5", 1))
    expected = [hashlib.md5(content, usedforsecurity=False).hexdigest() for content in (b"y", b"y", b"x")]
    assert [item.digest for item in found] == expected
    assert sorted(watched.opened) == [b"a", b"c"]


def test_a_metacopy_has_the_digest_of_its_data() -> None:
    """Of a file whose attributes alone were copied up, content and place are those further down."""
    metacopy = File(b"", hole=4, meta=Meta(xattrs={b"trusted.overlay.metacopy": b""}))
    tree = tree_of({b"f": metacopy}, {b"f": File(b"data")})
    (found,) = hashes(tree, shown_files(tree, [tree.root], fail), "sha256", 1)
    assert found.digest == hashlib.sha256(b"data").hexdigest()
    assert (found.file.part.layer, found.file.data.layer) == (0, 1)


def test_what_cannot_be_read_has_an_error_instead() -> None:
    """A file that fails is told in its place; a directory that fails is told and left out."""
    (layer,) = overlay_of({b"bad": File(b"x"), b"d": Dir({b"in": File()}), b"good": File(b"y")})
    tree = UnionTree([Unreadable(layer, b"bad", b"d")])
    told: list[TreeError] = []
    found = list(hashes(tree, shown_files(tree, [tree.root], told.append), "sha256", 2))
    assert [(item.file.path, item.digest is None, type(item.error)) for item in found] == [
        (b"/bad", True, UnreadableEntry),
        (b"/good", False, type(None)),
    ]
    assert _paths(told) == [b"/d"]


def test_paths_that_are_nowhere_are_told() -> None:
    """A start that no layer has is a problem; a hidden one is none; what two starts hold comes once."""
    tree = tree_of({b"gone": WHITEOUT}, {b"gone": File(b"1"), b"d": Dir({b"f": File()})})
    told: list[TreeError] = []
    found = every_version(tree, [b"/gone", b"/d", b"/d/f", b"/nothing"], told.append)
    assert [file.path for file in found] == [b"/d/f", b"/gone"]
    assert [type(error) for error in told] == [PathNotFound]


def _paths(errors: Sequence[TreeError]) -> list[bytes]:
    return [error.path for error in errors]
