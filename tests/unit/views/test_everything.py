"""The tree of a whole store: names of directories, what is kept open, and what is told of what cannot be."""

from __future__ import annotations

import errno
import json
import os
import stat
import string
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfs.errors import HostExhausted, MalformedFile, UnreadableEntry
from layerfs.ids import ContainerID
from layerfs.views.everything.contents import Contents, everything
from layerfs.views.everything.directories import Directory, Door
from layerfs.views.everything.hidden import hidden_tree
from layerfs.views.everything.names import as_bytes, component, original
from layerfs.views.everything.tree import EverythingTree
from tests.support.inmemory import tree_of
from tests.support.layerspec import Device, Dir, File
from tests.support.toystore import ToyStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from layerfs.tree.node import Node as TreeNode
    from layerfs.tree.union import UnionTree
    from tests.support.layerspec import Node

PLAIN = set(string.ascii_letters + string.digits + "._+,=@-%~")

names = st.one_of(st.text(max_size=90), st.text("\ud800\udcffa/"), st.binary(max_size=90).map(os.fsdecode))


@given(name=names)
def test_a_name_is_a_directorys_and_comes_back(name: str) -> None:
    """Whatever a name is: it has a safe, visible directory, which gives the name back unless it was cut."""
    raw = as_bytes(name)
    found = component(name)
    assert set(found) <= PLAIN
    assert 0 < len(found) <= 255
    assert not found.startswith((".", "-"))
    assert original(found) in (None, os.fsdecode(raw))
    assert (original(found) is None) == (not raw or "%~" in found)


@given(one=names, other=names)
def test_two_names_have_two_directories(one: str, other: str) -> None:
    """Also those that are cut, which have a digest."""
    assert (component(one) == component(other)) == (as_bytes(one) == as_bytes(other))
    assert component("x" * 300 + "1") != component("x" * 300 + "2")


class _Store(ToyStore):
    """With names that are no references, and containers."""

    containers_named: Mapping[str, str | None]

    def other_names(self) -> tuple[str, ...]:
        """Some that a directory could not have."""
        return ("../up", "a", "/", "", "\x1b[31mred", "n" * 300)

    def container_names(self) -> Mapping[ContainerID, str | None]:
        """One called like the directory of IDs, two called alike, and one without a name."""
        called = ("by-id", "same", "same", None, "../../etc", ":by-id")
        return {ContainerID(f"{number:064x}"): name for number, name in enumerate(called, 1)}


@pytest.fixture
def store(tmp_path: Path) -> _Store:
    """Images whose tags are called like the repositories below."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "file").write_text("content")
    tags = ("a:b", "a:c", "a/b:x", "a/b/c:y", "host.example:5000/team/app:1.0")
    (tmp_path / "toy.json").write_text(json.dumps({tag: ["base"] for tag in tags}))
    return _Store(str(tmp_path))


def _whole(store: ToyStore) -> EverythingTree:
    lock = threading.RLock()
    top = everything({"x": store}, lambda one: Contents(one, lock, str, listed=False))
    return EverythingTree(top, mtime_ns=1, device=-1, lock=lock)


def _names(tree: UnionTree, path: bytes) -> set[str]:
    return {name.decode() for name in tree.children(tree.resolve(path))}


def test_a_repository_is_a_directory_of_tags_and_repositories(store: _Store) -> None:
    """A tag that is called like a repository below has a colon in front; both are there."""
    tree = _whole(store)
    assert _names(tree, b"/images/a") == {"b", "c", "%3Ab"}
    assert _names(tree, b"/images/a/b") == {"x", "c"}
    assert _names(tree, b"/images/a/b/c") == {"y"}
    for path in (b"a/%3Ab", b"a/c", b"a/b/x", b"a/b/c/y", b"host.example%3A5000/team/app/1.0"):
        assert _names(tree, b"/images/" + path) == {"file"}


def test_other_names_and_containers_have_directories_as_well(store: _Store) -> None:
    """Whatever they are called; only a name that two containers have is none."""
    tree = _whole(store)
    names = _names(tree, b"/images")
    assert {"%2E.%2Fup", "%3Aa", "%2F", "%1B%5B31mred"} < names
    assert len(names) == 2 + 6
    assert _names(tree, b"/containers") == {"by-id", "%3Aby-id", "%3A%3Aby-id", "%2E.%2F..%2Fetc"}
    assert len(_names(tree, b"/containers/by-id")) == 6


def test_hidden_files_of_odd_names_are_all_there() -> None:
    """A file whose name with its layer is a directory's, one with such a name, and one of 255 bytes."""
    long = b"n" * 255
    lower: dict[bytes, Node] = {
        b"d@1": Dir({b"f": File(b"in")}),
        b"d": File(b"file"),
        b"d@1@1": File(b"x"),
        long: File(b"l"),
    }
    upper: dict[bytes, Node] = {name: Device(stat.S_IFCHR) for name in lower}
    tree = hidden_tree(tree_of(upper, lower), 1)
    found = {name: node for name, node in tree.children(tree.root).items() if not node.is_dir}
    assert sorted(tree.open(node).read() for node in found.values()) == [b"file", b"l", b"x"]
    assert tree.open(tree.resolve(b"/d@1/f@1")).read() == b"in"
    assert set(found) > {b"d@1@1", b"d@1@1@1"}
    assert max(map(len, found)) <= 255


class _Doors:
    """A tree of doors to small trees, and how often each was opened."""

    def __init__(self, number: int, most: int) -> None:
        self.opened: list[int] = []
        self.files = {index: b"%d" % index for index in range(number)}
        doors = {b"%d" % index: Door(self._opener(index)) for index in range(number)}
        self.tree = EverythingTree(
            Directory(lambda: doors), mtime_ns=1, device=-1, lock=threading.RLock(), most=most
        )

    def _opener(self, index: int) -> Callable[[], UnionTree]:
        def opened() -> UnionTree:
            self.opened.append(index)
            return tree_of({b"d": Dir({b"f": File(self.files[index])})})

        return opened

    def file(self, index: int) -> TreeNode:
        return self.tree.resolve(b"/%d/d/f" % index)


def test_few_trees_are_kept_open() -> None:
    """The last ones; what the kernel still knows of another is read from the tree opened again."""
    doors = _Doors(4, most=2)
    nodes = [doors.file(index) for index in range(4)]
    assert doors.opened == [0, 1, 2, 3]
    numbers = [doors.tree.inode(node) for node in nodes]
    assert len(set(numbers)) == 4
    for index in (3, 2):
        assert doors.tree.open(nodes[index]).read() == b"%d" % index
    assert doors.opened == [0, 1, 2, 3]
    assert doors.tree.open(nodes[0]).read() == b"0"
    assert doors.opened == [0, 1, 2, 3, 0]
    assert [doors.tree.inode(node) for node in nodes] == numbers


def test_a_tree_that_became_another_is_stale() -> None:
    """What the kernel knows of a tree is never answered from other layers."""
    trees = [tree_of({b"f": File(b"1")}), tree_of({b"f": File(b"2")}, {b"g": File(b"3")})]
    doors = {b"a": Door(lambda: trees.pop(0)), b"b": Door(lambda: tree_of({b"f": File(b"b")}))}
    tree = EverythingTree(Directory(lambda: doors), mtime_ns=1, device=-1, lock=threading.RLock(), most=1)
    node = tree.resolve(b"/a/f")
    assert tree.open(node).read() == b"1"
    tree.resolve(b"/b/f")
    with pytest.raises(UnreadableEntry) as refused:
        tree.open(node)
    assert refused.value.errno == errno.ESTALE


def test_what_cannot_be_opened_says_why() -> None:
    """Damage is found once, and told by an attribute; that the host is exhausted may pass."""
    asked: list[str] = []

    def damaged() -> UnionTree:
        asked.append("damaged")
        raise MalformedFile("some/file", "it is not what it should be")

    def exhausted() -> UnionTree:
        asked.append("exhausted")
        if len(asked) < 4:
            raise HostExhausted(errno.EMFILE)
        return tree_of({b"f": File(b"1")})

    doors = {b"damaged": Door(damaged), b"busy": Door(exhausted)}
    tree = EverythingTree(Directory(lambda: doors), mtime_ns=1, device=-1, lock=threading.RLock())
    door = tree.resolve(b"/damaged")
    for _ in range(2):
        with pytest.raises(UnreadableEntry, match="some/file: it is not what it should be") as refused:
            tree.children(door)
        assert refused.value.errno == errno.EIO
    assert tree.xattr(door, b"user.layerfs.error") == b"some/file: it is not what it should be"
    assert asked == ["damaged"]
    busy = tree.resolve(b"/busy")
    for _ in range(2):
        with pytest.raises(HostExhausted):
            tree.children(busy)
    assert set(tree.children(busy)) == {b"f"}
    assert tree.xattr(busy, b"user.layerfs.error") is None
