"""What a name means: Docker's order for images, and ambiguity said with its candidates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from layerfs.errors import AmbiguousName, ImageNotFound, InvalidReference, LayerNotFound
from tests.support.rootbuilder import RootBuilder

if TYPE_CHECKING:
    from pathlib import Path

    from layerfs import ImageID


@pytest.fixture
def builder(tmp_path: Path) -> RootBuilder:
    """A root in the making."""
    return RootBuilder(tmp_path / "root")


def _images(builder: RootBuilder, count: int) -> list[ImageID]:
    layer = builder.layer()
    return [builder.image(layer, f"image{number}:1", config={"n": number}) for number in range(count)]


def test_full_id_means_the_image_alone(builder: RootBuilder) -> None:
    """64 hex digits, with or without the algorithm, are an ID and nothing else."""
    (image,) = _images(builder, 1)
    root = DataRoot.open(builder.finish())
    assert root.image(image.hex).id == root.image(image).id == image
    with pytest.raises(ImageNotFound):
        root.image("0" * 64)


def test_reference_wins_over_a_prefix(builder: RootBuilder) -> None:
    """A tag that looks like the beginning of an ID means what it points at."""
    layer = builder.layer()
    first = builder.image(layer, "first:1")
    second = builder.image(layer, f"{first.hex[:6]}:latest", config={"other": True})
    root = DataRoot.open(builder.finish())
    assert root.image(first.hex[:6]).id == second
    assert root.image(first.hex[:7]).id == first
    assert root.image(f"sha256:{first.hex[:6]}").id == first


def test_ambiguous_prefix_names_the_candidates(builder: RootBuilder) -> None:
    """A prefix of several IDs is refused with all of them; one character is enough where it is unique."""
    images = _images(builder, 20)
    root = DataRoot.open(builder.finish())
    by_first: dict[str, list[ImageID]] = {}
    for image in images:
        by_first.setdefault(image.hex[0], []).append(image)
    for first, found in by_first.items():
        if len(found) == 1:
            assert root.image(first).id == found[0]
        else:
            with pytest.raises(AmbiguousName) as caught:
                root.image(first)
            assert caught.value.candidates == tuple(sorted(found))
    assert any(len(found) > 1 for found in by_first.values())


@pytest.mark.parametrize(
    "text", ["image0:1", "library/image0:1", "docker.io/image0:1", "index.docker.io/library/image0:1"]
)
def test_forms_of_one_name(builder: RootBuilder, text: str) -> None:
    """Every spelling of a name finds the same image."""
    (image,) = _images(builder, 1)
    assert DataRoot.open(builder.finish()).image(text).id == image


def test_what_does_not_resolve(builder: RootBuilder) -> None:
    """A missing tag, another registry, an image ID as a digest, and upper case are no image."""
    (image,) = _images(builder, 1)
    root = DataRoot.open(builder.finish())
    for text in ("image0", "localhost/image0:1", f"image0@{image}", "0" * 65):
        with pytest.raises(ImageNotFound):
            root.image(text)
    for text in (image.hex.upper(), "Image0:1", ""):
        with pytest.raises(InvalidReference):
            root.image(text)


def test_name_of_a_lost_image_falls_through(builder: RootBuilder) -> None:
    """A name whose image is gone does not hide the ID it also begins."""
    (image,) = _images(builder, 1)
    path = builder.finish()
    names = path / "image/overlay2/repositories.json"
    document = json.loads(names.read_text())
    document["Repositories"][image.hex[:6]] = {f"{image.hex[:6]}:latest": f"sha256:{'0' * 64}"}
    names.write_text(json.dumps(document))
    assert DataRoot.open(path).image(image.hex[:6]).id == image


def test_layer_by_all_its_names(builder: RootBuilder) -> None:
    """Chain ID, diff ID, cache ID and short link mean the layer; a diff ID on two parents is ambiguous."""
    base = builder.layer()
    top = builder.layer(base)
    builder.image(top, "image:1")
    root = DataRoot.open(builder.finish())
    (wanted,) = (layer for layer in root.layers() if layer.parent)
    link = root.overlay2.link(wanted.cache_id)
    for name in (wanted.chain_id, wanted.chain_id.hex, wanted.diff_id, wanted.cache_id, f"l/{link}", link):
        assert name is not None
        assert root.layer(name) == wanted
    with pytest.raises(LayerNotFound):
        root.layer("nothing")
