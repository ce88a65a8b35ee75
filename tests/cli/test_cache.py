"""`layerfs cache` beside the files of the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs
from tests.support.layouts import Layout, as_tar, layer_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache in which two decompressed layers are."""
    layout = Layout()
    layers = [layer_of({"a": b"x" * 9000}), layer_of({"b": b"y"})]
    layout.name(layout.image(layers, pack="gzip"), "docker.io/library/app:1")
    (tmp_path / "app.tar").write_bytes(as_tar(layout.done()))
    assert layerfs(tmp_path / "app.tar", "--cache-dir", str(tmp_path / "cache"), "ls", "app:1").code == 0
    return tmp_path / "cache"


def _files(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_format(cache: Path) -> None:
    """Every format has the path, the entries and their size on disk; of `clear`, those it removed."""
    files = _files(cache)
    expected = {
        "path": str(cache),
        "entries": len(files),
        "size": sum(f.stat().st_blocks * 512 for f in files),
    }
    asked = ("--cache-dir", str(cache), "cache")
    assert len(files) > 1
    assert layerfs("/", *asked, "--format", "json").json == [{**expected, "cleared": False}]
    assert layerfs("/", *asked, "--format", "{{.Entries}} {{.Path}}").stdout == f"{len(files)} {cache}\n"
    assert layerfs("/", *asked).stdout.startswith(f"{len(files)} files, ")
    assert layerfs("/", *asked, "clear", "--format", "json").json == [{**expected, "cleared": True}]
    assert _files(cache) == []
    assert layerfs("/", *asked, "--format", "json").json == [
        {"path": str(cache), "entries": 0, "size": 0, "cleared": False}
    ]
