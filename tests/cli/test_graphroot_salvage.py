"""`export --salvage` of damaged graph roots in each form: what is left is exported, what is lost is named."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

SAMPLES = (
    "podman-4.3-rootful",
    "podman-4.3-rootless-fuse",
    "podman-4.3-rootless-native",
    "podman-5.8-composefs",
)


@pytest.fixture(params=SAMPLES)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A recorded root, to be damaged."""
    return unpack_sample(request.param, tmp_path / "root")


def _image(root: Path) -> tuple[str, list[str]]:
    """The ID of the image with most layers, and the IDs of its layers, base first."""
    layers = {item["id"]: item for item in json.loads((root / "overlay-layers/layers.json").read_text())}
    stacks = {}
    for image in json.loads((root / "overlay-images/images.json").read_text()):
        stack, at = [], image["layer"]
        while at:
            stack.append(at)
            at = layers[at].get("parent", "")
        stacks[image["id"]] = stack[::-1]
    return max(stacks.items(), key=lambda item: (len(item[1]), item[0]))


def _export(root: Path, image: str, archive: Path, code: int = 1) -> str:
    """Export it, which is to end with this code; what was said."""
    done = layerfs(root, "export", "--salvage", image, "-o", str(archive))
    assert done.code == code, done.stderr
    return done.stderr


def test_a_sound_image_is_not_changed(root: Path, tmp_path: Path) -> None:
    """The same bytes as without the option."""
    image, _ = _image(root)
    _export(root, image, tmp_path / "salvaged.tar", code=0)
    assert layerfs(root, "export", image, "-o", str(tmp_path / "plain.tar")).code == 0
    assert (tmp_path / "salvaged.tar").read_bytes() == (tmp_path / "plain.tar").read_bytes()


def test_headers_are_lost(root: Path, tmp_path: Path) -> None:
    """Without the headers of its tar a layer is made from its files: the tree stays as it was.

    But for times of directories without a header, and what a rootless engine leaves out: devices, attributes.
    """
    image, layers = _image(root)
    (root / f"overlay-layers/{layers[1]}.tar-split.gz").unlink()
    archive = tmp_path / "salvaged.tar"
    said = _export(root, image, archive)
    assert "is generated from" in said
    words = ("diff", "--ignore", "mtime,xattr", "--format", "json")
    found = layerfs(root, *words, f"{root}:{image}", f"{archive}:{_only(archive)}")
    assert {row["path"] for row in found.json} <= {"/", "/dev/null"}


def test_a_file_was_altered(root: Path, tmp_path: Path) -> None:
    """A content that is not the layer's is exported as it is, and named."""
    image, layers = _image(root)
    files = sorted((root / "overlay" / layers[0] / "diff").rglob("*"))
    file = next(path for path in files if path.is_file() and not path.is_symlink() and path.stat().st_size)
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    said = _export(root, image, tmp_path / "salvaged.tar")
    assert "the file was altered" in said
    assert "becomes sha256:" in said


def test_a_file_of_headers_that_is_none(root: Path, tmp_path: Path) -> None:
    """Damaged headers are as good as none."""
    image, layers = _image(root)
    (root / f"overlay-layers/{layers[0]}.tar-split.gz").write_bytes(gzip.compress(b"{"))
    assert "is generated from" in _export(root, image, tmp_path / "salvaged.tar")


def _only(archive: Path) -> str:
    (row,) = layerfs(archive, "images", "--format", "json").json
    name: str = row["id"]
    return name
