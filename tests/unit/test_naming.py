"""What a name means: one order for every kind of name, and ambiguity said with its candidates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from layerfs import DataRoot
from layerfs.errors import (
    AmbiguousName,
    ContainerNotFound,
    ImageNotFound,
    InvalidReference,
    LayerNotFound,
    LookupFailed,
    MissingFile,
)
from layerfs.ids import BlobDigest, CacheID, ContainerID, ImageID
from layerfs.model import BareLayer, Container, Image
from tests.support.rootbuilder import RootBuilder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerfs.model import Named

KINDS = ("container", "image", "layer")
MANIFEST = ImageID.of(b"a manifest")
BLOB = BlobDigest.of(b"a compressed layer")


class Thing(NamedTuple):
    """Something with names.

    Attributes:
        kind: its kind.
        id: what it is known by: a container or image ID, a chain ID, or a directory.
        names: names that are its alone, in full.
        ids: IDs and digests, without an algorithm, of which a beginning will do.
    """

    kind: str
    id: str
    names: tuple[str, ...]
    ids: tuple[str, ...]


@pytest.fixture
def builder(tmp_path: Path) -> RootBuilder:
    """A root in the making."""
    return RootBuilder(tmp_path / "root")


def _things(builder: RootBuilder) -> list[Thing]:
    """One of everything that can be named, with every kind of name it has."""
    base = builder.layer()
    top = builder.layer(base)
    builder.blob(base, BLOB, "docker.io/library/web", "registry.example/web")
    image = builder.image(top, "web:1", f"web@{MANIFEST}")
    container, init, own = builder.container("db", image, top)
    orphan = builder.directory(top)
    layers = [
        Thing(
            "layer",
            layer.chain_id,
            (
                layer.chain_id,
                layer.chain_id.hex,
                layer.diff_id,
                layer.cache_id,
                layer.link,
                f"l/{layer.link}",
            ),
            (layer.chain_id.hex, layer.diff_id.hex, layer.cache_id),
        )
        for layer in (base, top)
    ]
    layers.append(Thing("layer", base.chain_id, (BLOB, BLOB.hex), (BLOB.hex,)))
    layers += [
        Thing("layer", layer.cache_id, (layer.cache_id, layer.link, f"l/{layer.link}"), (layer.cache_id,))
        for layer in (own, orphan)
    ]
    layers.append(Thing("layer", init.cache_id, (init.cache_id, init.link), ()))
    references = ("web:1", "library/web:1", "docker.io/library/web:1", f"web@{MANIFEST}", f"web:9@{MANIFEST}")
    return [
        Thing("container", container, (container, "db", "/db"), (container,)),
        Thing("image", image, (image, image.hex, *references), (image.hex,)),
        Thing("image", image, (MANIFEST, MANIFEST.hex), (MANIFEST.hex,)),
        *layers,
    ]


def _id(found: Named) -> str:
    if isinstance(found, (Image, Container)):
        return found.id
    return found.cache_id if isinstance(found, BareLayer) else found.chain_id


def _beginnings(thing: Thing) -> Iterator[str]:
    for text in thing.ids:
        yield from (text[:12], text[:20], text[:-1])
        if f"sha256:{text}" in thing.names:
            yield f"sha256:{text[:12]}"


def test_every_name_means_its_thing(builder: RootBuilder) -> None:
    """In full or by a beginning, asked among all kinds or its own alone; no other kind has the name."""
    things = _things(builder)
    root = DataRoot.open(builder.finish())
    for thing in things:
        for name in (*thing.names, *_beginnings(thing)):
            assert _id(root.names.anything(name)) == thing.id, name
            assert _id(root.names.anything(name, (thing.kind,))) == thing.id, name
            with pytest.raises(LookupFailed):
                root.names.anything(name, [kind for kind in KINDS if kind != thing.kind])
    assert root.damage == []


def test_name_in_full_wins_over_every_beginning(tmp_path: Path) -> None:
    """A container or tag that is called as any ID of any kind begins is what the name means."""
    pattern = _things(RootBuilder(tmp_path / "pattern"))
    for length in (1, 2, 6, 12):
        builder = RootBuilder(tmp_path / f"root{length}")
        _things(builder)
        layer = builder.layer()
        named: dict[str, str] = {}
        for text in {text[:length] for thing in pattern for text in thing.ids}:
            image = builder.image(layer, f"{text}:latest", config={"name": text})
            container, *_ = builder.container(f"c{text}", image, layer)
            named |= {text: image, f"c{text}": container}
        root = DataRoot.open(builder.finish())
        for name, wanted in named.items():
            assert _id(root.names.anything(name)) == wanted


def test_container_named_as_an_id_begins(tmp_path: Path) -> None:
    """`c1`, `db` and `fe` are containers, whatever image ID or layer begins so."""
    pattern = _things(RootBuilder(tmp_path / "pattern"))
    builder = RootBuilder(tmp_path / "root")
    things = _things(builder)
    image = next(thing.id for thing in things if thing.kind == "image")
    wanted = {text[:2] for thing in pattern for text in thing.ids}
    named = {name: builder.container(name, ImageID(image), None)[0] for name in wanted}
    root = DataRoot.open(builder.finish())
    for name, container in named.items():
        assert _id(root.names.anything(name)) == container
    assert _id(root.names.image_or_container(image[7:9])) == image


def test_beginnings_in_the_order_of_kinds(builder: RootBuilder) -> None:
    """A beginning of IDs of several kinds is that of the container, or else of the image."""
    layer = builder.layer()
    image = builder.image(layer)
    shared = image.hex[:10]
    own = builder.layer(cache_id=CacheID(shared + "0" * 54))
    root = DataRoot.open(builder.finish())
    assert _id(root.names.anything(shared)) == image
    assert _id(root.names.anything(shared, ("layer", "container"))) == own.chain_id
    container, *_ = builder.container("any", image, layer, ContainerID(shared + "0" * 54))
    root = DataRoot.open(builder.finish())
    assert _id(root.names.anything(shared)) == container
    assert _id(root.names.anything(shared, ("layer", "image"))) == image


def test_several_of_a_kind_are_ambiguous(builder: RootBuilder) -> None:
    """A beginning of several IDs of a kind is refused with all of them, and not asked of the next kind."""
    layer = builder.layer()
    image = builder.image(layer)
    shared = image.hex[:6]
    wanted: dict[str, list[str]] = {
        "container": [
            builder.container(f"c{end}", image, layer, ContainerID(shared + end * 58))[0] for end in "01"
        ],
        "layer": [builder.layer(cache_id=CacheID(shared + end * 58)).chain_id for end in "01"],
    }
    root = DataRoot.open(builder.finish())
    for kinds, kind in ((KINDS, "container"), (("container",), "container"), (("layer",), "layer")):
        with pytest.raises(AmbiguousName) as caught:
            root.names.anything(shared, kinds)
        assert caught.value.candidates == tuple(sorted(wanted[kind]))
    assert _id(root.names.anything(shared, ("image", "layer"))) == image


def test_what_lies_on_several_layers(builder: RootBuilder) -> None:
    """A diff ID or blob of several layers means the base among them; where none is one, all are named."""
    base = builder.layer()
    first = builder.layer(base)
    second = builder.layer(builder.layer(), diff_id=first.diff_id)
    third = builder.layer(first, diff_id=base.diff_id)
    other = BlobDigest.of(b"another")
    builder.blob(first, BLOB, "docker.io/library/web")
    builder.blob(base, other, "docker.io/library/web")
    root = DataRoot.open(builder.finish())
    for name in (first.diff_id, first.diff_id.hex[:12], BLOB, BLOB.hex[:12]):
        with pytest.raises(AmbiguousName) as caught:
            root.layer(name)
        assert caught.value.candidates == tuple(sorted((first.chain_id, second.chain_id)))
    for name in (base.diff_id, base.diff_id.hex[:12], other, other.hex[:12]):
        assert _id(root.layer(name)) == base.chain_id
    assert _id(root.layer(third.chain_id)) == third.chain_id


@pytest.mark.parametrize("note", ["diffid-by-digest", "v2metadata-by-diffid"])
def test_one_kind_of_notes_of_blobs_is_enough(builder: RootBuilder, note: str) -> None:
    """A blob is known by either file that a pull leaves."""
    layer = builder.layer()
    builder.blob(layer, BLOB, "docker.io/library/web")
    path = builder.finish()
    (found,) = (path / "image/overlay2/distribution" / note / "sha256").iterdir()
    found.unlink()
    assert _id(DataRoot.open(path).layer(BLOB.hex[:12])) == layer.chain_id


def test_a_container_and_an_image_of_one_name(builder: RootBuilder, caplog: pytest.LogCaptureFixture) -> None:
    """The container is meant, and one line says so and how to get the image, which works."""
    layer = builder.layer()
    image = builder.image(layer, "fe:latest")
    container, *_ = builder.container("fe", image, layer)
    root = DataRoot.open(builder.finish())
    assert _id(root.names.anything("fe")) == container
    (line,) = caplog.messages
    assert "fe is a container and an image" in line
    assert "fe:latest" in line
    assert "--type image" in line
    assert not any(getattr(record, "damage", False) for record in caplog.records)
    caplog.clear()
    assert _id(root.names.anything("fe:latest")) == _id(root.names.anything("fe", ("image",))) == image
    assert _id(root.names.image_or_container("fe")) == image
    assert _id(root.names.anything("fe", ("container", "layer"))) == container
    assert caplog.messages == []


def test_a_command_about_images_takes_a_container_last(builder: RootBuilder) -> None:
    """Only where no image has the name, not even as the beginning of its ID."""
    layer = builder.layer()
    image = builder.image(layer, "web:1")
    builder.container(image.hex[:4], image, layer)
    other, *_ = builder.container("other", image, layer)
    root = DataRoot.open(builder.finish())
    assert _id(root.names.image_or_container(image.hex[:4])) == image
    assert _id(root.names.image_or_container("other")) == other
    with pytest.raises(LookupFailed, match="no such container or image: none"):
        root.names.image_or_container("none")


def test_a_containers_two_directories(builder: RootBuilder) -> None:
    """What both directories' names begin with means the container's own; with -init behind it, the other."""
    layer = builder.layer()
    image = builder.image(layer)
    container, init, own = builder.container("db", image, layer)
    root = DataRoot.open(builder.finish())
    for name in (own.cache_id, own.cache_id[:12]):
        assert root.layer(name) == BareLayer(own.cache_id, "read-write layer", container)
    for name in (init.cache_id, f"{own.cache_id[:12]}-init", init.cache_id[:66]):
        assert root.layer(name) == BareLayer(init.cache_id, "init layer", container)


def test_damage_of_others_is_not_told(builder: RootBuilder) -> None:
    """A damaged container, layer or note is no matter to who asks for another; for nothing found it is."""
    things = _things(builder)
    image = next(thing.id for thing in things if thing.kind == "image")
    container, *_ = builder.container("broken", ImageID(image), None)
    damaged = builder.layer()
    path = builder.finish()
    (path / "containers" / container / "config.v2.json").write_text("{")
    (path / "image/overlay2/layerdb/sha256" / damaged.chain_id.hex / "size").write_text("x")
    (path / "image/overlay2/distribution/diffid-by-digest/sha256" / ("e" * 64)).write_text("x")
    root = DataRoot.open(path)
    for thing in things:
        for name in thing.names:
            assert _id(root.names.anything(name)) == thing.id
    assert root.damage == []
    with pytest.raises(LookupFailed):
        root.names.anything("broken")
    assert any(container in str(problem) for problem in root.damage)


@pytest.mark.parametrize(
    "name", ["", "/", "l/", "sha256:", "nothing", "-", "a\0b", "../x", "x" * 5000, "ä", "@"]
)
def test_strangers(builder: RootBuilder, name: str) -> None:
    """What has no meaning is said to be nothing, for every kind and for all."""
    _things(builder)
    root = DataRoot.open(builder.finish())
    with pytest.raises((ImageNotFound, InvalidReference)):
        root.image(name)
    with pytest.raises(ContainerNotFound):
        root.container(name)
    with pytest.raises(LayerNotFound):
        root.layer(name)
    with pytest.raises(LookupFailed):
        root.names.anything(name)


# -- images, as Docker has them ------------------------------------------------------------------


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


def test_name_of_a_lost_image_means_no_other(builder: RootBuilder) -> None:
    """A name whose image lost its config is no other image's; all names of the lost one say what is lost."""
    (image,) = _images(builder, 1)
    path, lost = builder.finish(), "0" * 64
    names = path / "image/overlay2/repositories.json"
    document = json.loads(names.read_text())
    document["Repositories"][image.hex[:6]] = {
        f"{image.hex[:6]}:latest": f"sha256:{lost}",
        f"{image.hex[:6]}@sha256:{'d' * 64}": f"sha256:{lost}",
    }
    names.write_text(json.dumps(document))
    for name in (
        image.hex[:6],
        lost,
        f"sha256:{lost}",
        lost[:12],
        "d" * 12,
        f"{image.hex[:6]}@sha256:{'d' * 64}",
    ):
        with pytest.raises(MissingFile, match=lost):
            DataRoot.open(path).image(name)
    assert DataRoot.open(path).image(image.hex[:7]).id == image


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
