"""Layers in fuse-overlayfs's form, in the kernel's terms; what it shows itself is in tests/kernel."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from layerfs.analysis.diff.layersteps import LayerSteps
from layerfs.analysis.tree.versions import Hidden, How, versions
from layerfs.hostdir import HostDir
from layerfs.stores.containers_storage.forms import Form, form_of, layer_source, stored_layer
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from pathlib import Path

    from layerfs.errors import CorruptStore
    from layerfs.tree.overlay import RawLayer

_WHITEOUT = stat.S_IFCHR


def _layer(path: Path) -> RawLayer:
    return stored_layer(HostDir.open(path), Form.FUSE)


def _fill(place: Path, *files: str) -> Path:
    for name in files:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).touch()
    return place


def test_a_whiteout_is_a_device_in_the_layer_by_itself(tmp_path: Path) -> None:
    """Whoever looks at a layer alone sees whiteouts and opaque marks as in every other store."""
    _fill(tmp_path, "d/.wh.gone", "d/kept", "o/.wh..wh..opq", "o/new", ".wh.top")
    layer = _layer(tmp_path)
    assert {entry.name: stat.S_IFMT(entry.stat.mode) for entry in layer.scan(b"d")} == {
        b"gone": _WHITEOUT,
        b"kept": stat.S_IFREG,
    }
    assert {entry.name for entry in layer.scan(b"")} == {b"d", b"o", b"top"}
    assert layer.xattr_names(b"o") == [Form.FUSE.dialect.opaque]
    assert layer.xattr_names(b"d") == []
    found = layer.entry(b"d/gone")
    assert found is not None
    assert (found.stat.mode, found.stat.rdev, found.name) == (_WHITEOUT, 0, b"gone")
    assert [layer.lies_at(path) for path in (b"d/gone", b"d/kept", b"")] == [b"d/.wh.gone", b"d/kept", b""]
    assert layer.xattr_names(b"d/gone") == []
    assert layer.xattr(b"d/gone", b"user.a") is None
    assert layer.xattr(b"d/gone", Form.FUSE.dialect.opaque) is None
    with pytest.raises(FileNotFoundError):
        layer.xattr_names(b"d/never")
    assert [layer.entry(name) for name in (b"d/.wh.gone", b".wh.top", b"o/.wh..wh..opq")] == [None] * 3


def test_a_name_beside_its_marker_is_a_whiteout(tmp_path: Path) -> None:
    """As fuse-overlayfs has it, whatever came first in the archive."""
    _fill(tmp_path, "upper/.wh.p", "upper/p/own", "lower/p/old")
    tree = UnionTree([layer_source(HostDir.open(tmp_path / name), Form.FUSE) for name in ("upper", "lower")])
    assert list(tree.children(tree.root)) == []


def test_names_that_look_like_markers_are_files_in_other_stores(tmp_path: Path) -> None:
    """Where the kernel stacks the layers, `.wh.x` is a name."""
    _fill(tmp_path, "upper/.wh.x", "lower/x")
    for form in (Form.KERNEL, Form.USER):
        tree = UnionTree([layer_source(HostDir.open(tmp_path / name), form) for name in ("upper", "lower")])
        assert set(tree.children(tree.root)) == {b".wh.x", b"x"}


def test_the_root_of_a_layer_may_be_opaque(tmp_path: Path) -> None:
    """fuse-overlayfs asks the root too, overlayfs does not."""
    _fill(tmp_path, "upper/.wh..wh..opq", "upper/a", "lower/b", "base/c")
    layers = [tmp_path / name for name in ("upper", "lower", "base")]
    tree = UnionTree([layer_source(HostDir.open(layer), Form.FUSE) for layer in layers])
    assert set(tree.children(tree.root)) == {b"a"}
    assert set(tree.children(tree.root_as_of(1))) == {b"b", b"c"}
    assert tree.child(tree.root, b"b") is None
    hidden = {version.path: version.hidden for version in versions(tree.layers) if version.path != b"/"}
    assert hidden == {
        b"/a": None,
        b"/b": Hidden(3, How.OPAQUE, b"/"),
        b"/c": Hidden(3, How.OPAQUE, b"/"),
    }
    steps = LayerSteps(tree, lambda error: pytest.fail(str(error)))
    shown = [{pair.node.name for pair in steps.add(top) if pair.after} - {b""} for top in (2, 1, 0)]
    assert shown == [{b"c"}, {b"b"}, {b"a"}]


@pytest.mark.parametrize(
    ("said", "owner", "marked", "expected"),
    [
        ("true", 0, None, Form.FUSE),
        ("true\n", 1000, "user.overlay.impure", Form.FUSE),
        ("false", 0, None, Form.KERNEL),
        ("false", 1000, None, Form.USER),
        (None, 0, None, Form.KERNEL),
        (None, 1000, None, Form.FUSE),
        ("", 1000, None, Form.FUSE),
        (None, 1000, "user.overlay.impure", Form.USER),
        ("nonsense", 0, None, Form.KERNEL),
        ("true" * 100_000, 0, None, Form.KERNEL),
        ("false", 0, "user.overlay.impure", Form.USER),
        ("false", 1000, "trusted.overlay.impure", Form.KERNEL),
        ("false", 0, "trusted.overlay.impure", Form.KERNEL),
        ("false", 1000, "user.overlay.impure", Form.USER),
        ("false", 0, "user.fuseoverlayfs.opaque", Form.KERNEL),
    ],
)
def test_the_form_of_a_store(
    said: str | None, owner: int, marked: str | None, expected: Form, tmp_path: Path
) -> None:
    """What the store says of its mount program; then marks, which a copy cannot invent; then the owner."""
    layer = tmp_path / ("a" * 64) / "diff"
    layer.mkdir(parents=True)
    (tmp_path / "l").mkdir()
    if said is not None:
        (tmp_path / ".has-mount-program").write_text(said)
    if marked:
        os.setxattr(layer, marked, b"y")
    os.chown(tmp_path, owner, owner)
    told: list[CorruptStore] = []
    assert form_of(HostDir.open(tmp_path), told.append) is expected
    is_known = (said or "").strip() in ("true", "false") or (said is None and (marked or not owner))
    assert len(told) == (0 if is_known else 1)


def test_no_link_is_followed_to_the_mount_program(tmp_path: Path) -> None:
    """A link in its place says nothing."""
    (tmp_path / "true").write_text("true")
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver/.has-mount-program").symlink_to("../true")
    told: list[CorruptStore] = []
    assert form_of(HostDir.open(tmp_path / "driver"), told.append) is Form.KERNEL
    assert len(told) == 1
