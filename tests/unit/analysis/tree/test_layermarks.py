"""What overlayfs reads in one entry of a layer."""

from __future__ import annotations

import stat

import pytest

from layerfs.analysis.tree.layermarks import NO_MARKS, LayerMarks, marks_of
from layerfs.formats.whiteouts import TRUSTED, USER
from layerfs.tree.overlay import OverlayLayer
from layerfs.tree.union import UnionTree
from tests.support.inmemory import layer_of
from tests.support.layerspec import WHITEOUT, Device, Dir, File, LayerSpec, Meta, Node, Symlink


@pytest.mark.parametrize("dialect", [TRUSTED, USER])
@pytest.mark.parametrize(
    ("node", "marks", "expected"),
    [
        (WHITEOUT, {}, LayerMarks(whiteout=True)),
        (Device(stat.S_IFCHR, 0, 1), {}, NO_MARKS),
        (Device(stat.S_IFBLK, 0, 0), {}, NO_MARKS),
        (File(), {"whiteout": b""}, LayerMarks(whiteout=True)),
        (File(b"x"), {"whiteout": b""}, NO_MARKS),
        (File(), {"opaque": b"y"}, NO_MARKS),
        (Dir(), {"opaque": b"y"}, LayerMarks(opaque=True)),
        (Dir(), {"opaque": b"x"}, NO_MARKS),
        (Dir(), {"redirect": b"/a"}, LayerMarks(redirect=b"/a")),
        (Dir(), {"opaque": b"y", "redirect": b"a"}, LayerMarks(opaque=True, redirect=b"a")),
        (File(b"x"), {"metacopy": b""}, LayerMarks(metacopy=True)),
        (File(b"x"), {"metacopy": b"", "redirect": b"a"}, LayerMarks(metacopy=True, redirect=b"a")),
        (File(b"x"), {"redirect": b"a"}, NO_MARKS),
        (Symlink(b"x"), {}, NO_MARKS),
    ],
)  # fmt: skip
def test_marks(node: Node, marks: dict[str, bytes], expected: LayerMarks, dialect: object) -> None:
    """Each mark counts on the type it is for, in its own dialect alone."""
    for prefix in (TRUSTED, USER):
        meta = Meta(xattrs={prefix.prefix + name.encode(): value for name, value in marks.items()})
        marked = node if not marks else type(node)(meta=meta, **_content(node))  # type: ignore[call-arg, arg-type]
        stored = layer_of({b"e": marked})
        tree = UnionTree([stored])
        found = marks_of(OverlayLayer(stored, dialect), tree.resolve(b"e", follow=False))  # type: ignore[arg-type]
        assert found == (expected if prefix is dialect or not marks else NO_MARKS)


def _content(node: Node) -> dict[str, bytes]:
    return {"content": node.content} if isinstance(node, File) else {}


def test_the_root_has_none() -> None:
    """The root of a layer is never opaque."""
    stored = layer_of(LayerSpec(Dir(meta=Meta(xattrs={b"trusted.overlay.opaque": b"y"}))))
    assert marks_of(OverlayLayer(stored, TRUSTED), UnionTree([stored]).root) is NO_MARKS
