"""Layers of a composefs store from small tables and pools; a real one is in tests/kernel."""

from __future__ import annotations

import errno
import hashlib
import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.formats.chunkedtoc import parse_toc
from layerfs.formats.errors import FormatError
from layerfs.formats.whiteouts import TRUSTED
from layerfs.hostdir import HostDir
from layerfs.stores.containers_storage.composefs import TocTree, check_objects
from layerfs.tree.overlay import OverlayLayer
from layerfs.tree.tarlayer import TarLayer
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from pathlib import Path


def _toc(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"version": 1, "entries": entries}).encode()


def _file(name: str, content: bytes, **more: object) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    own = {"type": "reg", "name": name, "size": len(content), "mode": 0o644, "digest": f"sha256:{digest}"}
    return {**own, **more}


def _put(pool: Path, content: bytes) -> Path:
    digest = hashlib.sha256(content).hexdigest()
    place = pool / digest[:2] / digest[2:]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


def _tree_of(pool: Path, *entries: dict[str, Any]) -> TocTree:
    return TocTree(HostDir.open(pool), parse_toc(_toc(*entries)))


def _union(*layers: TocTree) -> UnionTree:
    def loaded(tree: TocTree) -> OverlayLayer:
        return OverlayLayer(TarLayer("layer", id(tree), lambda: tree), TRUSTED)

    return UnionTree([loaded(layer) for layer in layers])


def _read(tree: UnionTree, path: bytes) -> bytes:
    with tree.open(tree.resolve(path)) as content:
        return content.read()


def test_contents_come_from_the_pool(tmp_path: Path) -> None:
    """Equal files are one object; an empty one needs none; a hard link is one more name, attributes kept."""
    _put(tmp_path, b"x")
    tree = _union(
        _tree_of(
            tmp_path,
            _file("a", b"x", mode=0o4755, uid=5),
            _file("d/b", b"x"),
            {"type": "reg", "name": "empty", "mode": 0o600},
            {"type": "hardlink", "name": "d/link", "linkName": "/a", "mode": 0o600, "uid": 9},
        )
    )
    assert [_read(tree, path) for path in (b"/a", b"/d/b", b"/d/link", b"/empty")] == [b"x"] * 3 + [b""]
    (layer,) = tree.layers
    pool_path = hashlib.sha256(b"x").hexdigest()
    assert layer.lies_at(b"d/link") == f"{pool_path[:2]}/{pool_path[2:]}".encode()
    assert [layer.lies_at(path) for path in (b"d", b"empty", b"")] == [b"d", b"empty", b""]
    first, link = tree.resolve(b"/a"), tree.resolve(b"/d/link")
    assert tree.inode(first) == tree.inode(link)
    assert (link.stat.mode, link.stat.uid, link.nlink) == (stat.S_IFREG | 0o4755, 5, 2)
    assert tree.resolve(b"/d").stat.mode == stat.S_IFDIR | 0o755


def test_whiteouts_delete(tmp_path: Path) -> None:
    """By their meaning in images, and that the engine shows otherwise is noted."""
    for content in (b"1", b"2"):
        _put(tmp_path, content)
    lower = _tree_of(tmp_path, _file("d/one", b"1"), _file("d/two", b"2"), _file("gone", b"1"))
    upper = _tree_of(
        tmp_path,
        {"type": "reg", "name": ".wh.gone"},
        {"type": "reg", "name": "d/.wh..wh..opq"},
        _file("d/three", b"1"),
    )
    tree = _union(upper, lower)
    assert set(tree.children(tree.root)) == {b"d"}
    assert set(tree.children(tree.resolve(b"/d"))) == {b"three"}
    assert (upper.has_whiteouts, lower.has_whiteouts) == (True, False)


def test_missing_and_altered_objects_are_named(tmp_path: Path) -> None:
    """EIO with the name of the object; the others can be read; a check names each once."""
    entries = [_file(name, name.encode()) for name in ("good", "missing", "longer", "other")]
    places = {name: _put(tmp_path, name.encode()) for name in ("good", "longer", "other")}
    places["longer"].write_bytes(b"longer than told")
    places["other"].write_bytes(b"OTHER")
    toc = _toc(*entries, _file("again", b"missing"))
    tree = _union(TocTree(HostDir.open(tmp_path), parse_toc(toc)))
    assert _read(tree, b"/good") == b"good"
    for name in (b"missing", b"longer"):
        with pytest.raises(OSError, match=hashlib.sha256(name).hexdigest()[2:]) as caught:
            _read(tree, b"/" + name)
        assert caught.value.errno == errno.EIO
    faults = {fault.digest: fault.what for fault in check_objects(HostDir.open(tmp_path), toc)}
    assert faults == {
        hashlib.sha256(name).hexdigest(): what
        for name, what in ((b"missing", "missing"), (b"longer", "content"), (b"other", "content"))
    }


def test_no_link_and_no_device_is_opened_for_an_object(tmp_path: Path) -> None:
    """What stands in the place of an object is not followed, and the file is not readable."""
    (tmp_path / "secret").write_bytes(b"x")
    place = _put(tmp_path / "pool", b"x")
    place.unlink()
    place.symlink_to("../../secret")
    toc = _toc(_file("f", b"x"))
    tree = _union(TocTree(HostDir.open(tmp_path / "pool"), parse_toc(toc)))
    with pytest.raises(OSError, match="symbolic link"):
        _read(tree, b"/f")
    (fault,) = check_objects(HostDir.open(tmp_path / "pool"), toc)
    assert fault.what == "unreadable"


def test_a_hostile_table_leads_nowhere(tmp_path: Path) -> None:
    """Names are confined, links to nothing left out, of two entries the last counts; each is told."""
    _put(tmp_path, b"1")
    _put(tmp_path, b"2")
    layer = _tree_of(
        tmp_path,
        _file("../../up", b"1"),
        _file("/abs/olute", b"1"),
        _file("twice", b"1"),
        _file("twice", b"2"),
        {"type": "hardlink", "name": "loop1", "linkName": "loop2"},
        {"type": "hardlink", "name": "loop2", "linkName": "loop1"},
        {"type": "hardlink", "name": "self", "linkName": "self"},
        {"type": "symlink", "name": "out", "linkName": "../../../etc"},
        _file("out/passwd", b"1"),
        {"type": "symlink", "name": "round", "linkName": "round"},
        _file("round/x", b"1"),
        _file("n" * 256, b"1"),
        _file("", b"1"),
        _file("..", b"1"),
        {"type": "reg", "name": "nowhere", "size": 5},
    )
    tree = _union(layer)
    assert set(tree.children(tree.root)) == {
        b"up", b"abs", b"twice", b"out", b"etc", b"round", b"nowhere"
    }  # fmt: skip
    assert _read(tree, b"/twice") == b"2"
    assert _read(tree, b"/etc/passwd") == b"1"
    with pytest.raises(OSError, match="no digest") as caught:
        _read(tree, b"/nowhere")
    assert caught.value.errno == errno.EIO
    assert len(layer.faults) == 5


def test_a_huge_table_is_refused(tmp_path: Path) -> None:
    """More entries than may be kept are an error, not memory."""
    toc = _toc(*({"type": "dir", "name": f"d{number}"} for number in range(50)))
    with pytest.raises(FormatError, match="too many entries"):
        TocTree(HostDir.open(tmp_path), parse_toc(toc), most=20)
