"""Directories without a header in many layers: the way down is no recursion, and each layer is asked once."""

from __future__ import annotations

import stat
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from fixtures.archives import Layer
from layerfs.formats.tarindex import members
from layerfs.tree.parents import Below
from layerfs.tree.tarlayer import TarLayer, TarTree

if TYPE_CHECKING:
    from layerfs.tree.pooledfile import Readable

_LAYERS = 1500  # more than the interpreter's calls may be deep


def _stack(top: bytes, asked: Counter[int], file: Readable) -> list[TarLayer[TarTree]]:
    """A base with a directory of some owner, and layers that have only what is in it, uppermost last."""
    base = Layer().dir("a", 0o1777, uid=7).dir("a/b", 0o2750, gid=9, xattrs={"user.x": b"1"}).done()
    tars = [base, *[Layer().file("a/b/f").done()] * (_LAYERS - 2), top]
    made: list[TarLayer[TarTree]] = []
    places: list[Below] = []

    def below(number: int) -> Below | None:
        asked[number] += 1
        return places[number - 1] if number else None

    def load(tar: bytes) -> TarTree:
        return TarTree(file, members(lambda at, length: tar[at : at + length], len(tar)))

    for number, tar in enumerate(tars):
        made.append(TarLayer(str(number), number, lambda tar=tar: load(tar), lambda n=number: below(n)))  # type: ignore[misc]
        places.append(Below(made[-1], lambda n=number: below(n)))  # type: ignore[misc]
    return made


@pytest.mark.parametrize("upwards", [True, False])
def test_many_layers(*, upwards: bool) -> None:
    """All of them have what the base has, whichever is looked at first; what is nowhere below is of root."""
    asked: Counter[int] = Counter()
    layers = _stack(Layer().file("a/b/c/f").done(), asked, file=None)  # type: ignore[arg-type]
    for layer in layers if upwards else reversed(layers):
        found = layer.entry(b"a/b")
        assert found
        assert (found.stat.mode, found.stat.uid, found.stat.gid) == (stat.S_IFDIR | 0o2750, 0, 9)
        assert layer.xattr(b"a/b", b"user.x") == b"1"
    new = layers[-1].entry(b"a/b/c")
    assert new
    assert (new.stat.mode, new.stat.uid, new.stat.gid) == (stat.S_IFDIR | 0o755, 0, 9)  # as it is setgid
    assert max(asked.values()) <= 2  # once by the layer, once by those above it
