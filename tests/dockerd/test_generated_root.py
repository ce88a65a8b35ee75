"""What `RootBuilder` writes is a data root to a real Engine, so what it proves of ours is worth something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from tests.support.engine import Engine
from tests.support.rootbuilder import RootBuilder, many_images

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.dockerd

IMAGES = 50
MOST_LAYERS = 125


def test_engine_lists_generated_images(tmp_path: Path) -> None:
    """The Engine starts on a generated root and lists every image with the names and sizes we list."""
    path = many_images(tmp_path / "root", IMAGES)
    root = DataRoot.open(path)
    ours = {image.id: ({str(name) for name in image.references}, root.size(image)) for image in root.images()}
    assert not root.damage
    with Engine(path) as engine:
        images = engine.images()
        lines = engine.cli("images", "--all", "--quiet").split()
    theirs = {item["Id"]: (_names(item["RepoTags"], item["RepoDigests"]), item["Size"]) for item in images}
    assert theirs == ours
    assert len(theirs) == IMAGES
    assert len(set(lines)) == IMAGES


def test_engine_mounts_the_most_layers(tmp_path: Path) -> None:
    """A generated image of as many layers as the Engine allows is one that it can mount."""
    builder = RootBuilder(tmp_path / "root")
    top = None
    for number in range(MOST_LAYERS):
        top = builder.layer(top)
        (top.diff / f"file-{number}").write_text(f"file-{number}")
    builder.image(top, "deep:1")
    path = builder.finish()
    with Engine(path) as engine:
        container = engine.cli("create", "deep:1", "/none").strip()
        last = engine.cli_bytes("cp", f"{container}:/file-{MOST_LAYERS - 1}", "-")
        first = engine.cli_bytes("cp", f"{container}:/file-0", "-")
    assert b"file-0" in first
    assert f"file-{MOST_LAYERS - 1}".encode() in last


def _names(*lists: list[str] | None) -> set[str]:
    """The references of an image; the API fills in `<none>` where there are none."""
    return {name for names in lists for name in names or () if not name.startswith("<none>")}
