"""Layers in memory: beside the same layer on disk, and what is no layer."""

from __future__ import annotations

import errno
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from layerfs.hostdir import HostDir
from layerfs.tree.memory import Inode, MemoryLayer
from layerfs.tree.overlay import RawLayer
from layerfs.tree.union import UnionTree
from tests.support.inmemory import layer_of
from tests.support.kernel import private_dir
from tests.support.layerspec import Dir, LayerSpec, Link, materialise
from tests.support.snapshot import diff_snapshots
from tests.support.stacks import layers
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.tree.source import StoredLayer
    from tests.support.layerspec import Node

FILE, DIRECTORY = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755


def _without_acls(node: Node) -> Node:
    """A list changes the mode on disk, and is changed by it: that is the host's file system, not ours."""
    if isinstance(node, Link):
        return node
    plain = {name: value for name, value in node.meta.xattrs.items() if not name.startswith(b"system.")}
    meta = replace(node.meta, xattrs=plain)
    if isinstance(node, Dir):
        children = {name: _without_acls(child) for name, child in node.children.items()}
        return replace(node, children=children, meta=meta)
    return replace(node, meta=meta)


@pytest.mark.root
@settings(max_examples=40)
@given(layers())
def test_a_layer_in_memory_is_the_one_on_disk(layer: LayerSpec) -> None:
    """Whatever a layer holds, its description in memory shows what a directory made of it shows."""
    shared = tuple(_without_acls(node) for node in layer.shared)
    plain = LayerSpec(_without_acls(layer.root), shared)  # type: ignore[arg-type]
    with private_dir() as work, HostDir.open(materialise(plain, work / "layer")) as directory:
        on_disk = tree_snapshot(UnionTree([RawLayer(directory)]))
        in_memory = tree_snapshot(UnionTree([layer_of(plain)]))
    assert diff_snapshots(on_disk, in_memory) == []


FAILURES: list[Callable[[StoredLayer], object]] = [
    lambda layer: layer.open(b"d"),
    lambda layer: layer.open(b"nothing"),
    lambda layer: layer.open(b"f/below"),
    lambda layer: layer.readlink(b"f"),
    lambda layer: layer.readlink(b"nothing"),
    lambda layer: layer.scan(b"f"),
    lambda layer: layer.scan(b"nothing"),
    lambda layer: layer.xattr_names(b"nothing"),
]
ANSWERS: list[Callable[[StoredLayer], object]] = [
    lambda layer: layer.entry(b"nothing"),
    lambda layer: layer.entry(b"f/below"),
    lambda layer: layer.entry(b"n" * 256),
    lambda layer: layer.xattr(b"f", b"user.nothing"),
    lambda layer: layer.open(b"f").seek(1, 3),
    lambda layer: layer.open(b"f").seek(1, 4),
    lambda layer: layer.open(b"f").pread(2, 2),
    lambda layer: layer.open(b"f").read(),
    lambda layer: layer.open(b"f").read_into(memoryview(bytearray(9)), 1),
    lambda layer: list(layer.open(b"big").chunks()),
    lambda layer: layer.open(b"f").size,
    lambda layer: layer.open(b"f").identity == layer.open(b"f").identity,
    lambda layer: layer.open(b"f").identity == layer.open(b"big").identity,
]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[StoredLayer, StoredLayer]:
    """One small layer on disk and in memory."""
    place = tmp_path_factory.mktemp("layer")
    (place / "d").mkdir()
    (place / "f").write_bytes(b"abc")
    (place / "big").write_bytes(big := bytes(3 << 19))
    made = MemoryLayer(
        {b"f": Inode(FILE, content=b"abc"), b"big": Inode(FILE, content=big), b"d/x": Inode(FILE)}
    )
    return RawLayer(HostDir.open(place)), made


@pytest.mark.parametrize("ask", FAILURES)
def test_what_is_not_there_fails_as_on_disk(
    ask: Callable[[StoredLayer], object], both: tuple[StoredLayer, StoredLayer]
) -> None:
    """The same request fails with the same error of the operating system."""
    numbers = []
    for layer in both:
        with pytest.raises(OSError, match=r".") as caught:
            ask(layer)
        numbers.append(errno.errorcode[caught.value.errno or 0])
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("ask", ANSWERS)
def test_what_is_there_is_answered_as_on_disk(
    ask: Callable[[StoredLayer], object], both: tuple[StoredLayer, StoredLayer]
) -> None:
    """The same request has the same answer."""
    on_disk, in_memory = both
    assert ask(on_disk) == ask(in_memory)


@pytest.mark.parametrize("offset", [3, 4, -1])
def test_seeking_past_the_end_fails(offset: int) -> None:
    """Beyond the last byte there is neither data nor a hole."""
    with pytest.raises(OSError, match="No such device") as caught:
        MemoryLayer({b"f": Inode(FILE, content=b"abc")}).open(b"f").seek(offset, 3)
    assert caught.value.errno == errno.ENXIO


def test_missing_directories_are_made_and_order_is_kept() -> None:
    """A path needs no entries above it; a later entry for a directory on the way counts all the same."""
    layer = MemoryLayer({b"b/c/f": Inode(FILE), b"a": Inode(FILE), b"b": Inode(DIRECTORY, uid=7)})
    assert [entry.name for entry in layer.scan(b"")] == [b"b", b"a"]
    made, given_ = layer.entry(b"b/c"), layer.entry(b"b")
    assert made
    assert (made.stat.mode, made.stat.uid, made.stat.nlink) == (DIRECTORY, 0, 2)
    assert given_
    assert (given_.stat.uid, given_.stat.nlink) == (7, 3)


def test_two_names_of_one_inode_are_a_hard_link() -> None:
    """The same object is one file; an equal one is another file, in this layer and in the next."""
    inode = Inode(FILE, content=b"x")
    first, second = (
        MemoryLayer({b"a": inode, b"b": inode, b"c": Inode(FILE, content=b"x")}) for _ in range(2)
    )
    found = [layer.entry(path) for layer in (first, second) for path in (b"a", b"b", b"c")]
    assert [entry and entry.stat.nlink for entry in found] == [2, 2, 1, 2, 2, 1]
    inodes = [entry and (entry.stat.dev, entry.stat.ino) for entry in found]
    assert inodes[0] == inodes[1]
    assert len(set(inodes)) == 4
    assert first.identity != second.identity


@pytest.mark.parametrize("path", [b"/a", b"a//b", b"a/", b"a/../b", b".", b"a\0b"])
def test_what_is_no_path_is_refused(path: bytes) -> None:
    """A path is names joined by slashes."""
    with pytest.raises(ValueError, match="no path below"):
        MemoryLayer({path: Inode(FILE)})


def test_only_directories_hold_entries_and_each_has_one_name() -> None:
    """A layer that no file system could hold is refused."""
    with pytest.raises(ValueError, match="not a directory"):
        MemoryLayer({b"f": Inode(FILE), b"f/below": Inode(FILE)})
    directory = Inode(DIRECTORY)
    with pytest.raises(ValueError, match="two names"):
        MemoryLayer({b"a": directory, b"b": directory})
