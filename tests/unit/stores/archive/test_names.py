"""What a name means in an archive: references, tags, IDs, digests, platforms, layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerfs.errors import AmbiguousName, ImageNotFound, InvalidReference, LayerNotFound, LookupFailed
from layerfs.formats.descriptors import Platform
from layerfs.formats.platforms import normalised, parse_platform, preference
from tests.support.layouts import Layout, digest, layer_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerfs.stores.archive.store import ArchiveStore

    Open = Callable[..., ArchiveStore]

ONE, TWO = layer_of({"one": b"1"}), layer_of({"two": b"2"})


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("docker.io/library/app:1", ["app:1", "docker.io/library/app:1", "index.docker.io/app:1"]),
        ("docker.io/library/app:latest", ["app", "app:latest", "library/app"]),
        ("localhost:5000/team/app:1", ["localhost:5000/team/app:1"]),
        ("app", ["app", "app:latest"]),
        ("v1.0", ["v1.0"]),
        ("No Reference!", ["No Reference!"]),
    ],
)
@pytest.mark.parametrize("ref_name", [False, True])
def test_a_name_in_every_spelling(written: str, asked: list[str], ref_name: bool, opened: Open) -> None:  # noqa: FBT001
    """A name is found as it is written, and in every form that Docker takes for the same."""
    layout = Layout()
    layout.name(layout.image([ONE]), written, ref_name=ref_name)
    layout.name(layout.image([TWO]), "docker.io/library/other:1")
    store = opened(layout.done())
    for name in asked:
        assert [layer.diff_id for layer in store.chain(store.image(name))] == [digest(ONE)]
    with pytest.raises(AmbiguousName):
        store.image()
    with pytest.raises((ImageNotFound, InvalidReference)):
        store.image("never:1")


def test_ids_digests_and_their_beginnings(opened: Open) -> None:
    """Images by ID and digest, layers by chain ID, diff ID and digest, each in full and by its beginning."""
    layout = Layout()
    described = layout.image([ONE, TWO])
    index = layout.index([described])
    layout.name(index)
    store = opened(layout.done())
    image = store.image()
    for name in (image.id, image.id.hex, image.id.hex[:12], described["digest"], index["digest"]):
        assert store.image(name) == image == store.find(name)
    for name in (described["digest"][7:17], index["digest"][:20], f"app@{index['digest']}"):
        assert store.image(name) == image
    base, top = store.chain(image)
    assert base.parent is None
    assert top.parent == base.chain_id == str(base.diff_id)
    assert (base.cache_id, base.digest != str(base.diff_id)) == (None, True)
    for layer in (base, top):
        for text in (layer.chain_id, layer.diff_id, layer.digest):
            assert text is not None
            assert (
                store.layer(text)
                == store.layer(text[7:])
                == store.layer(text[:19])
                == store.find(text)
                == layer
            )
    assert store.layers() == sorted((base, top), key=lambda layer: layer.chain_id)
    assert store.chain_below(top.chain_id) == (base, top)
    assert store.chain_below(top.chain_id, {base.chain_id}) == (top,)
    assert store.layer_number(image, 2) == 2
    for name in ("ffffffffffff", "no-such"):
        with pytest.raises(LookupFailed):
            store.find(name)
    with pytest.raises(LayerNotFound):
        store.layer("ffff")
    with pytest.raises(LayerNotFound):
        store.tree(image, up_to=3)
    assert store.tree(image, up_to=1).resolve(b"/one").path == b"/one"


def test_one_name_for_two_images(opened: Open) -> None:
    """Several descriptors may have the same name: it is ambiguous, and the digests are not."""
    layout = Layout()
    first, second = layout.image([ONE]), layout.image([TWO])
    for described in (first, second):
        layout.name(described, "1", ref_name=True)
    store = opened(layout.done())
    with pytest.raises(AmbiguousName) as caught:
        store.image("1")
    assert set(caught.value.candidates) == {image.id for image in store.images()}
    assert store.image(first["digest"]) != store.image(second["digest"])
    assert [image.name for image in store.images()] == [image.id for image in store.images()]
    assert [image.tags for image in store.images()] == [("1",), ("1",)]


PLATFORMS = ("linux/s390x", "linux/arm/v5", "linux/arm/v7", "linux/amd64", "linux/arm64/v8")


def _many(*, with_missing: bool = False) -> dict[str, bytes]:
    layout = Layout()
    described = [layout.image([layer_of({name: b""})], platform=name) for name in PLATFORMS]
    attested = layout.document({"schemaVersion": 2, "config": layout.document({}, "x"), "layers": []}, "y")
    attested |= {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    missing = layout.image([ONE], platform="linux/ppc64le")
    layout.name(layout.index([layout.index([*described, attested]), missing]), "many:1")
    members = layout.done()
    if with_missing:
        del members[f"blobs/sha256/{missing['digest'][7:]}"]
    return members


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("linux/amd64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64"),
        ("linux/arm64", "linux/arm64"),
        ("linux/arm/v6", "linux/arm/v5"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/v8", "linux/arm/v7"),
        ("s390x", "linux/s390x"),
    ],
)
def test_the_platform_asked_for(asked: str, given: str, opened: Open) -> None:
    """By name the image of the best platform is meant; every platform is listed on request."""
    store = opened(_many(with_missing=True), platform=asked)
    image = store.image("many:1")
    assert str(image.platform) == given
    assert store.images() == [image]
    assert {str(image.platform) for image in store.images(all_platforms=True)} == {
        str(normalised(parse_platform(name))) for name in PLATFORMS
    }
    assert store.damage == []
    assert [fault.code for fault in store.faults()] == ["platform-missing"]


def test_a_platform_that_is_not_there(opened: Open) -> None:
    """It is said which there are; without a wish the host's own is meant, and other IDs still mean theirs."""
    store = opened(_many(), platform="linux/riscv64")
    assert store.images() == []
    with pytest.raises(ImageNotFound) as caught:
        store.image("many:1")
    assert "linux/arm64" in str(caught.value.hint)
    assert "linux/riscv64" in str(caught.value.hint)
    image = store.images(all_platforms=True)[0]
    assert store.image(image.id) == image
    assert len(opened(_many()).images()) == 1
    with pytest.raises(ValueError, match="is no platform"):
        opened(_many(), platform="a/b/c/d")


def test_preference_is_containerds() -> None:
    """ARM 64 runs ARM 32 as containerd has it, and newer variants run the older ones."""
    assert [str(item) for item in preference(Platform("linux", "arm64"))][:3] == [
        "linux/arm64", "linux/arm/v8", "linux/arm/v7",
    ]  # fmt: skip
    assert [str(item) for item in preference(Platform("linux", "amd64", "v3"))] == [
        "linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386",
    ]  # fmt: skip


def test_names_of_real_archives(recorded: dict[str, Path], opened: Open) -> None:
    """Docker's, Podman's and containerd's archives give their images the names they had there."""
    for name in ("docker29-save-two-images", "p43-oci-archive", "p58-docker-archive", "p58-oci-dir"):
        store = opened(recorded[name])
        assert str(store.image("multi:1").references[0]) == "multi:1"
        assert store.image("docker.io/library/multi:1") == store.image("multi:1")
        assert store.repositories.rows
