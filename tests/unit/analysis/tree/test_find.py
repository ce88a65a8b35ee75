"""What fits in stacks in memory: against plain filters over a model's paths, and by hand."""

from __future__ import annotations

import hashlib
import stat

import pytest
from hypothesis import given, settings

from layerfs.analysis.tree.find import Contents, find, number_of
from layerfs.analysis.tree.predicates import any_of_types, at_least_down, empty, every, is_named
from layerfs.errors import LookupFailed, PathNotFound, TreeError, UnreadableEntry
from layerfs.tree.node import Part
from layerfs.tree.union import UnionTree
from tests.support.hiding import objects
from tests.support.inmemory import Unreadable, Watched, fail, overlay_of, stored, tree_of
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec, Link, Meta, Symlink
from tests.support.stacks import stacks
from tests.support.unionmodel import model

ANY = every([])


@settings(max_examples=20)
@given(stacks(max_layers=4))
def test_what_is_shown_and_what_is_hidden(stack: list[LayerSpec]) -> None:
    """All files: those of the tree, those that it hides, or both, parents first and names in byte order."""
    tree = tree_of(*stack)
    test = any_of_types("f")
    shown = [b"/" + path for path, entry in model(stack).items() if stat.S_ISREG(entry.mode)]
    held = objects([stored(layer) for layer in stack])
    hidden = [item.path for item in held if item.hidden and stat.S_ISREG(item.entry.mode)]
    live = [item.path for item in find(tree, test, fail)]
    gone = [item.path for item in find(tree, test, fail, live=False, deleted=True)]
    both = [item.path for item in find(tree, test, fail, deleted=True)]
    assert live == sorted(shown, key=_order)
    assert gone == sorted(hidden, key=_order)
    assert both == sorted([*shown, *hidden], key=_order)


def _order(path: bytes) -> list[bytes]:
    return path.split(b"/")


def test_a_directory_over_a_directory_is_no_finding() -> None:
    """Of a directory under another nothing is gone; under an opaque one what was in it is."""
    opaque = Meta(xattrs={b"trusted.overlay.opaque": b"y"})
    tree = tree_of(
        {b"d": Dir(), b"o": Dir(meta=opaque)}, {b"d": Dir({b"x": File()}), b"o": Dir({b"y": File()})}
    )
    assert [item.path for item in find(tree, ANY, fail, live=False, deleted=True)] == [b"/o/y"]


def test_empty_is_empty_in_the_tree_or_in_the_layer_that_has_it() -> None:
    """A directory of whiteouts is empty; a hidden one is judged by its own layer."""
    tree = tree_of(
        {b"d": Dir({b"f": WHITEOUT}), b"gone": WHITEOUT, b"kept": WHITEOUT},
        {b"d": Dir({b"f": File(b"x")}), b"gone": Dir(), b"kept": Dir({b"f": File(b"x")}), b"z": File()},
    )
    assert [item.path for item in find(tree, empty, fail)] == [b"/d", b"/z"]
    assert [item.path for item in find(tree, empty, fail, live=False, deleted=True)] == [b"/gone"]


def test_starts_are_kept_as_they_were_typed() -> None:
    """A link on the way is followed, the path printed begins with the start; depths count from there."""
    tree = tree_of({b"l": Symlink(b"d"), b"d": Dir({b"e": Dir({b"f": File()})})})
    assert [item.path for item in find(tree, ANY, fail, starts=[b"/l"])] == [b"/l"]
    assert [item.path for item in find(tree, ANY, fail, starts=[b"/l/"])] == [b"/l/", b"/l/e", b"/l/e/f"]
    deep = find(tree, at_least_down(1), fail, starts=[b"/l/e", b"/d"], depth=1)
    assert [item.path for item in deep] == [b"/l/e/f", b"/d/e"]


def test_a_start_that_is_gone_is_found_among_the_deleted() -> None:
    """A hidden start is a problem unless the deleted are wanted; one that never was is always one."""
    tree = tree_of({b"gone": WHITEOUT}, {b"gone": Dir({b"f": File()})})
    told: list[TreeError] = []
    assert not list(find(tree, ANY, told.append, starts=[b"/gone"]))
    found = find(tree, is_named("f"), fail, deleted=True, starts=[b"/gone"])
    assert [(item.path, item.part) for item in found] == [(b"/gone/f", Part(1, b"gone/f"))]
    assert not list(find(tree, ANY, told.append, deleted=True, starts=[b"/never"]))
    assert [type(error) for error in told] == [PathNotFound] * 2


def test_what_cannot_be_read_is_told_once_and_is_not_empty() -> None:
    """A directory that fails is found, told once even by both walks, and not taken for an empty one."""
    (layer,) = overlay_of({b"d": Dir({b"f": File()}), b"x": File(b"1")})
    tree = UnionTree([Unreadable(layer, b"d")])
    told: list[TreeError] = []
    assert [item.path for item in find(tree, ANY, told.append, deleted=True)] == [b"/", b"/d", b"/x"]
    assert [error.path for error in told] == [b"/d"]
    assert not list(find(tree, empty, lambda _: None))


def test_contents_of_findings() -> None:
    """Digests, targets and places of entries, hidden ones too; hard links are read once, metacopies below."""
    metacopy = File(b"", hole=4, meta=Meta(xattrs={b"trusted.overlay.metacopy": b""}))
    upper, lower = overlay_of(
        {b"m": metacopy, b"l": WHITEOUT},
        LayerSpec(
            Dir({b"m": File(b"data"), b"l": Symlink(b"x"), b"a": Link(0), b"b": Link(0)}), (File(b"y"),)
        ),
    )
    layers = [upper, watched := Watched(lower)]
    contents = Contents(layers)
    found = {item.path: item for item in find(UnionTree(layers), ANY, fail, deleted=True)}
    digests = {path: contents.sha256(found[path].part, found[path].stat) for path in (b"/m", b"/a", b"/b")}
    assert digests == {
        b"/m": hashlib.sha256(b"data").hexdigest(),
        **dict.fromkeys((b"/a", b"/b"), hashlib.sha256(b"y").hexdigest()),
    }
    assert watched.opened == [b"m", b"a"]
    assert contents.target(found[b"/l"].part) == b"x"
    assert contents.location(found[b"/l"].part) == "layer 1/l"
    with pytest.raises(UnreadableEntry):
        contents.target(found[b"/a"].part)


PASSWD = File(
    b"root:x:0:0::/:/bin/sh\n\nbroken\nbig:x:4294967295:1::/:\nbad:x:1a:1::/:\n33:x:7:7::/:\nbad:x:0012:1:"
)


@pytest.mark.parametrize(
    ("name", "number"), [("root", "0"), ("bad", "12"), ("33", "7"), ("34", "34"), ("0034", "0034")]
)
def test_a_name_is_the_number_that_the_tree_gives_it(name: str, number: str) -> None:
    """The tree's own passwd decides, by its first sound line; a number that is no name stands for itself."""
    tree = tree_of({b"etc": Dir({b"passwd": PASSWD})})
    assert number_of(tree, b"/etc/passwd", name) == number


@pytest.mark.parametrize("name", ["nobody", "big", "", "rooT", "\u0661"])
def test_a_name_that_is_not_listed_is_refused(name: str) -> None:
    """What the tree does not list has no number, and there is none beyond 32 bits."""
    for tree in (tree_of({b"etc": Dir({b"passwd": PASSWD})}), tree_of({})):
        with pytest.raises(LookupFailed):
            number_of(tree, b"/etc/passwd", name)
