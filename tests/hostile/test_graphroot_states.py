"""Graph roots that are odd or damaged, one way each: what is there is shown, and what is wrong is named."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs
from tests.support.graphrootbuilder import GraphRootBuilder
from tests.support.layouts import layer_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.graphrootbuilder import StoredLayer

pytestmark = pytest.mark.root

FINE, DAMAGED, CORRUPT = 0, 1, 5
IMAGE = "app:1"


@dataclass
class Made:
    """A root of an image of two layers, each with a file, and what it was made by."""

    builder: GraphRootBuilder
    base: StoredLayer
    top: StoredLayer
    image: str

    @property
    def record(self) -> Path:
        """The directory of the uppermost layer."""
        return self.top.tree.parent

    def document(self, key: str) -> Path:
        """The file of a document of the image, whose name is that of no plain word."""
        (found,) = (
            path
            for path in (self.builder.path / "overlay-images" / self.image).iterdir()
            if (path.name == key)
            or (key == "config" and len(path.name) < 110 and path.name.startswith("=c2hh"))
        )
        return found


def _made(path: Path) -> Made:
    builder = GraphRootBuilder(path)
    base = builder.layer(None, layer_of({"base": b"b"}), lambda tree: (tree / "base").write_text("b"))
    top = builder.layer(base, layer_of({"top": b"t"}), lambda tree: (tree / "top").write_text("t"))
    image = builder.image([f"docker.io/library/{IMAGE}"], top)
    return Made(builder, base, top, image)


# -- states that are no damage -------------------------------------------------------------------


def _other_id(made: Made) -> None:
    """The layer's ID is not what its contents and its parent give, as where that was taken."""
    own = "f" * 64
    made.record.rename(made.record.with_name(own))
    link = made.builder.path / "overlay/l" / (made.record.with_name(own) / "link").read_text()
    link.unlink()
    link.symlink_to(f"../{own}/diff")
    made.builder.layers[1]["id"] = made.builder.images[0]["layer"] = own


def _volatile(made: Made) -> None:
    """The uppermost layer is among those that are lost when the host starts anew."""
    volatile = GraphRootBuilder(made.builder.path.parent / "other")
    volatile.layers.append(made.builder.layers.pop())
    (volatile.finish() / "overlay-layers/layers.json").rename(
        made.builder.path / "overlay-layers/volatile-layers.json"
    )


def _more_documents(made: Made) -> None:
    """Signatures, which are empty, and a document of a key of every character."""
    for key in ("signatures", "signature-" + "0" * 64, "a+b/c=é ?", "manifest-sha256:" + "0" * 64):
        made.builder.big_data(made.builder.images[0], key, b"")


def _other_image_id(made: Made) -> None:
    """The image is not called by the digest of its config."""
    record = made.builder.images[0]
    directory = made.builder.path / "overlay-images"
    (directory / record["id"]).rename(directory / ("e" * 64))
    record["id"] = "e" * 64


def _copies(made: Made) -> None:
    """Copies of the layer with other owners, which the image notes."""
    made.builder.images[0]["mapped-layers"] = ["d" * 64]


FINE_STATES: tuple[Callable[[Made], None], ...] = (
    _other_id, _volatile, _more_documents, _other_image_id, _copies,
)  # fmt: skip


@pytest.mark.parametrize("change", FINE_STATES, ids=lambda change: change.__name__[1:])
def test_what_is_no_damage(change: Callable[[Made], None], tmp_path: Path) -> None:
    """The image is listed, and its tree is shown, without a word."""
    made = _made(tmp_path / "root")
    change(made)
    root = made.builder.finish()
    for words, said in (
        (["images", "-q"], 1),
        (["ls", IMAGE], 2),
        (["layers", IMAGE], 3),
        (["history", IMAGE], 1),
    ):
        found = layerfs(root, *words)
        assert (found.code, found.stderr) == (FINE, ""), words
        assert len(found.stdout.splitlines()) == said, words


def test_what_looks_like_a_mark_is_a_file(tmp_path: Path) -> None:
    """Where the kernel mounts the layers, `.wh.base` is a file of this name, and hides nothing."""
    made = _made(tmp_path / "root")
    (made.top.tree / ".wh.base").write_text("w")
    assert layerfs(made.builder.finish(), "ls", "-A", IMAGE).stdout.split() == [".wh.base", "base", "top"]


# -- damage --------------------------------------------------------------------------------------


def _remove(path: Path) -> None:
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def _layers_cut(made: Made) -> None:
    """Half of layers.json, as after a power failure."""
    path = made.builder.finish() / "overlay-layers/layers.json"
    os.truncate(path, path.stat().st_size // 2)


DAMAGES: dict[str, tuple[Callable[[Made], object], str, int]] = {
    "no link": (lambda made: _remove(made.record / "link"), "link", DAMAGED),
    "empty link": (lambda made: (made.record / "link").write_text(""), "link", DAMAGED),
    "no short link": (
        lambda made: _remove(made.builder.path / "overlay/l" / (made.record / "link").read_text()),
        "short link",
        DAMAGED,
    ),
    "no lower": (lambda made: _remove(made.record / "lower"), "lower", DAMAGED),
    "empty lower": (lambda made: (made.record / "lower").write_text(""), "lower", DAMAGED),
    "incomplete": (
        lambda made: made.builder.layers[1].update(flags={"incomplete": True}), "never finished", DAMAGED,
    ),
    "no record of a layer": (lambda made: made.builder.layers.pop(0), "no record of the layer", DAMAGED),
    "no directory of a layer": (
        lambda made: made.top.tree.rename(made.top.tree.with_name("away")), "directory is missing", CORRUPT,
    ),
    "layers.json cut": (_layers_cut, "layers.json", DAMAGED),
    "a layer below itself": (
        lambda made: made.builder.layers[0].update(parent=made.top.id), "below itself", CORRUPT,
    ),
    "config altered": (lambda made: made.document("config").write_bytes(b"{}"), "altered", CORRUPT),
    "config missing": (lambda made: _remove(made.document("config")), "missing", CORRUPT),
}  # fmt: skip
"""What is done to the root, what is said, and how `ls` ends."""


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named(name: str, tmp_path: Path) -> None:
    """`ls` shows the whole tree or none, and names what is wrong; other images are as before."""
    change, said, code = DAMAGES[name]
    made = _made(tmp_path / "root")
    alone = made.builder.layer(None, layer_of({"alone": b"a"}), lambda tree: (tree / "alone").touch())
    made.builder.image(["localhost/alone:1"], alone)
    is_written = change is _layers_cut
    change(made)
    root = made.builder.path if is_written else made.builder.finish()
    found = layerfs(root, "ls", made.image if "config" in name else IMAGE)
    assert (found.code, said in found.stderr) == (code, True), found.stderr
    assert found.stdout.split() == (["base", "top"] if code == DAMAGED else [])
    if not is_written:
        other = layerfs(root, "ls", "alone:1")
        assert (other.stdout, other.code in (FINE, DAMAGED)) == ("alone\n", True)


# -- names of layers and images ------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"", b"short", b"\xff\n", b"A" * 26, b"of another"])
def test_a_lost_short_name_is_told_wherever_it_is_shown(content: bytes | None, tmp_path: Path) -> None:
    """The list of layers has a column for it."""
    made = _made(tmp_path / "root")
    path = made.record / "link"
    other = (made.base.tree.parent / "link").read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(other if content == b"of another" else content)
    root = made.builder.finish()
    found = layerfs(root, "layers", "--format", "json")
    assert found.code == DAMAGED
    assert "link" in found.stderr
    assert len(found.json) == 2


@pytest.mark.parametrize("name", ["app", "docker.io/library/app@sha256:" + "d" * 64])
def test_a_name_of_two_images_is_the_first_ones(name: str, tmp_path: Path) -> None:
    """Names that are one in full, and one digest of a list that two images were pulled by."""
    made = _made(tmp_path / "root")
    made.builder.image(["docker.io/library/app:latest"], made.base)
    made.builder.images[0]["names"] = ["docker.io/library/app"]
    for record in made.builder.images:
        record["digest"] = "sha256:" + "d" * 64
    root = made.builder.finish()
    assert layerfs(root, "ls", name).stdout.split() == ["base", "top"]
    made.builder.images.reverse()
    assert layerfs(made.builder.finish(), "ls", name).stdout.split() == ["base"]


def test_a_list_without_records_is_not_called_unreadable(tmp_path: Path) -> None:
    """As an engine writes it that took a damaged file for an empty one; the images are shown."""
    made = _made(tmp_path / "root")
    (made.builder.finish() / "overlay-images/images.json").write_text("[]")
    found = layerfs(made.builder.path, "images", "-q")
    assert (found.code, len(found.stdout.split())) == (DAMAGED, 1)
    assert "it has no record of an image" in found.stderr
