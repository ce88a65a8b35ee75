"""Every form of archive: what engines and tools wrote, and the same by hand, gives the same images."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import stat
import tarfile
from typing import TYPE_CHECKING

import pytest

from fixtures.archives import Archive, Image, Layer
from layerfs.errors import MissingFile, NotAnArchive
from layerfs.ids import ImageID
from layerfs.stores.archive.archived import Form
from tests.support.layouts import PACKERS, Layout, as_directory, as_tar, digest, empty_tar, layer_of
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerfs.stores.archive.store import ArchiveStore

    Open = Callable[..., ArchiveStore]

MULTI = {
    "docker20-save-legacy": Form.DOCKER,
    "docker20-save-legacy, unpacked": Form.DOCKER,
    "docker29-save-two-images": Form.OCI,
    "docker29-save-two-images, unpacked": Form.OCI,
    "oci-layout-plain": Form.OCI,
    "oci-layout-plain, unpacked": Form.OCI,
    "chunked": Form.OCI,
    "podman-4.3-docker-archive": Form.DOCKER,
    "p43-docker-archive": Form.DOCKER,
    "p58-docker-archive": Form.DOCKER,
    "p43-oci-archive": Form.OCI,
    "p58-oci-archive": Form.OCI,
    "p43-oci-dir": Form.OCI,
    "p58-oci-dir": Form.OCI,
    "p43-docker-dir": Form.DIR,
    "p58-docker-dir": Form.DIR,
    "p43-multi.tar": Form.DOCKER,
    "p58-multi.tar": Form.DOCKER,
}
"""The recorded archives that hold the image `multi:1`, and what each of them is."""


def test_every_recorded_archive_is_tested(recorded: dict[str, Path]) -> None:
    """No recorded archive is left out of these tests."""
    exports = {"docker29-export-container", "p43-export.tar", "p58-export.tar"}
    assert set(recorded) == {*MULTI, *exports}


@pytest.mark.parametrize("name", MULTI)
def test_recorded_archives_are_whole(name: str, recorded: dict[str, Path], opened: Open) -> None:
    """What real engines wrote is read without a complaint, each image with the ID that its config has."""
    store = opened(recorded[name])
    assert store.form is MULTI[name]
    images = store.images(all_platforms=True)
    assert images
    for image in images:
        assert image.id == ImageID.of(store.config_bytes(image))
        assert len(store.chain(image)) == len(image.config.diff_ids)
        assert len(tree_snapshot(store.tree(image))) > 20
        assert store.size(image)
    assert {fault.code for fault in store.faults()} <= {"media-type-wrong", "platform-missing"}
    assert store.damage == []


@pytest.mark.parametrize("name", MULTI)
def test_the_same_image_is_the_same_tree(name: str, recorded: dict[str, Path], opened: Open) -> None:
    """One set of layers, packed and laid out in all ways, is one tree to the last attribute."""
    wanted = opened(recorded["podman-4.3-docker-archive"])
    image = wanted.image("multi:1")
    store = opened(recorded[name])
    same = [found for found in store.images(all_platforms=True) if found.chain == image.chain]
    for found in same:
        assert tree_snapshot(store.tree(found)) == tree_snapshot(wanted.tree(image))
        assert store.size(found) == wanted.size(image)
    assert same or name.startswith(("docker20", "oci-layout-plain"))  # these were built of other tars


@pytest.mark.parametrize("name", ["docker29-export-container", "p43-export.tar", "p58-export.tar"])
def test_an_exported_container_is_one_tree(name: str, recorded: dict[str, Path], opened: Open) -> None:
    """A tar of a root file system is an image of one layer, without a config; Python's own reader agrees."""
    store = opened(recorded[name])
    assert store.form is Form.ROOTFS
    image = store.image()
    assert image.archived.place is None
    assert (image.references, len(store.chain(image))) == ((), 1)
    found = tree_snapshot(store.tree(image))
    with tarfile.open(recorded[name], errors="surrogateescape") as tar:
        listed = {
            os.fsencode(member.name).strip(b"/"): member for member in tar if member.name not in (".", "")
        }
    assert set(listed) <= set(found)
    for path, member in listed.items():
        assert stat.S_IMODE(found[path].mode) == (0o777 if member.issym() else stat.S_IMODE(member.mode)), (
            path
        )
        assert (found[path].uid, found[path].gid) == (member.uid, member.gid)


def test_markers_mean_nothing_in_a_root_file_system(opened: Open) -> None:
    """A file of a container that is called `.wh.x` is a file: only layers have whiteouts."""
    tar = Layer().dir("etc").file("etc/x", b"x").file("etc/.wh.x", b"w").file("etc/.wh..wh..opq").done()
    store = opened(tar)
    found = tree_snapshot(store.tree(store.image()))
    assert {b"etc/x", b"etc/.wh.x", b"etc/.wh..wh..opq"} <= set(found)


LOWER = layer_of({"etc/a": b"a", "etc/b": b"b", "d/x": b"x"})
UPPER = layer_of({"etc/b": b"new", "c": b"c"}, whiteouts=["etc/a", "d"])


def _contents(store: ArchiveStore, name: str | None = None) -> dict[bytes, bytes]:
    """Every regular file of an image, with its content."""
    tree = store.tree(store.image(name))
    found = {}
    for path, entry in tree_snapshot(tree).items():
        if stat.S_ISREG(entry.mode):
            with tree.open(tree.resolve(b"/" + path)) as file:
                found[path] = file.read()
    return found


EXPECTED = {b"etc/b": b"new", b"c": b"c"}


@pytest.mark.parametrize("where", ["tar", "directory", "./ names", "tar.gz", "tar.xz", "tar.bz2", "reversed"])
@pytest.mark.parametrize("pack", PACKERS)
def test_layers_however_packed(pack: str, where: str, opened: Open, tmp_path: Path) -> None:
    """Every way to compress a layer, in every kind of container, is the same image."""
    layout = Layout()
    layout.name(layout.image([LOWER, UPPER], pack=pack), "docker.io/library/app:1")
    members = layout.done()
    if where == "directory":
        store = opened(as_directory(members, tmp_path / "layout"))
    else:
        if where == "reversed":
            members = dict(reversed(members.items()))
        tar = as_tar(members, prefix="./" if where == "./ names" else "")
        wrap: dict[str, Callable[[bytes], bytes]] = {
            "tar.gz": gzip.compress,
            "tar.xz": lzma.compress,
            "tar.bz2": bz2.compress,
        }
        store = opened(wrap[where](tar) if where in wrap else tar)
    assert _contents(store, "app:1") == EXPECTED
    unheard_of = pack in ("bzip2", "xz")  # there is no media type for it, so that of a plain tar was written
    assert [fault.code for fault in store.faults()] == ["media-type-wrong"] * 2 * unheard_of


def test_docker_media_types(opened: Open) -> None:
    """A layout whose descriptors are Docker's, index, manifest, config and layers, is read as any other."""
    layout = Layout()
    layout.name(layout.index([layout.image([LOWER, UPPER], docker=True)], docker=True), "app:1")
    assert _contents(opened(layout.done()), "app:1") == EXPECTED


def test_docker_archive_by_hand(opened: Open) -> None:
    """`manifest.json`, configs and layers; without tags, with several, and compressed under a plain name."""
    store = opened(
        Archive(
            [Image(["app:1", "app:2"], [LOWER, UPPER], None), Image([], [LOWER], None, history=[])]
        ).done()
    )
    assert _contents(store, "app:2") == EXPECTED
    assert sorted(len(image.references) for image in store.images()) == [0, 2]
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest(LOWER)]}}).encode()
    manifest = json.dumps([{"Config": "c.json", "RepoTags": None, "Layers": ["l/layer.tar"]}]).encode()
    store = opened({"c.json": config, "l/layer.tar": gzip.compress(LOWER), "manifest.json": manifest})
    assert set(_contents(store)) == {b"etc/a", b"etc/b", b"d/x"}
    assert list(store.faults()) == []


@pytest.mark.parametrize("link", ["symbolic", "hard"])
def test_a_layer_that_is_a_link_to_a_later_member(link: str, opened: Open) -> None:
    """Docker stores a layer that it has stored before as a link, which may come first in the tar."""
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest(LOWER)] * 2}}).encode()
    rows = [{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}]
    tar = Layer().file("c.json", config)
    if link == "symbolic":
        tar.symlink("a/layer.tar", "../b/layer.tar")
    else:
        tar.link("a/layer.tar", "b/layer.tar")
    tar.file("b/layer.tar", LOWER).file("manifest.json", json.dumps(rows).encode())
    store = opened(tar.done())
    assert [layer.place for layer in store.chain(store.image("app:1"))] == ["b/layer.tar"] * 2
    assert set(_contents(store)) == {b"etc/a", b"etc/b", b"d/x"}
    assert list(store.faults()) == []


def test_empty_layers_and_none(opened: Open) -> None:
    """A layer of nothing but zeros, and an image without layers, are images with empty trees."""
    layout = Layout()
    layout.name(layout.image([empty_tar()]), "one:1")
    layout.name(layout.image([]), "none:1")
    store = opened(layout.done())
    for name in ("one:1", "none:1"):
        assert _contents(store, name) == {}
        assert store.size(store.image(name)) == 0
    assert list(store.faults()) == []


def test_docker_25_wrote_manifests_without_layers(opened: Open) -> None:
    """Then `manifest.json` has the layers."""
    layout = Layout()
    config = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [digest(LOWER)]},
    }
    described = layout.document(config, "application/vnd.oci.image.config.v1+json")
    layer = layout.blob(LOWER, "application/vnd.oci.image.layer.v1.tar")
    manifest = {"schemaVersion": 2, "config": described, "layers": []}
    layout.name(layout.document(manifest, "application/vnd.oci.image.manifest.v1+json"), "app:1")
    places = [f"blobs/sha256/{item['digest'][7:]}" for item in (described, layer)]
    rows = [{"Config": places[0], "RepoTags": ["app:1"], "Layers": places[1:]}]
    store = opened({**layout.done(), "manifest.json": json.dumps(rows).encode()})
    assert set(_contents(store, "app:1")) == {b"etc/a", b"etc/b", b"d/x"}
    assert store.damage == []


def test_a_missing_layer_costs_its_images_only(opened: Open) -> None:
    """An image of which a layer is not in the archive is listed; the others are read."""
    layout = Layout()
    layout.name(layout.image([LOWER]), "whole:1")
    layout.name(layout.image([LOWER, UPPER]), "lost:1")
    members = layout.done()
    del members[f"blobs/sha256/{digest(gzip.compress(UPPER, mtime=0))[7:]}"]
    store = opened(members)
    assert len(store.images()) == 2
    assert set(_contents(store, "whole:1")) == {b"etc/a", b"etc/b", b"d/x"}
    with pytest.raises(MissingFile, match="not in the archive"):
        store.tree(store.image("lost:1"))
    assert store.size(store.image("lost:1")) is None
    assert {fault.code for fault in store.faults()} == {"layer-missing"}


def test_before_1_10(opened: Open, recorded: dict[str, Path], tmp_path: Path) -> None:
    """Without `manifest.json` the layers' `json` files tell which stands on which, and make a config."""
    with tarfile.open(recorded["docker20-save-legacy"]) as tar:
        tar.extractall(tmp_path / "old", filter="data")
    whole = opened(tmp_path / "old")
    (tmp_path / "old/manifest.json").unlink()
    store = opened(tmp_path / "old")
    assert store.form is Form.LEGACY
    assert {str(name) for image in store.images() for name in image.references} == {
        "base:1",
        "multi:1",
        "other/name:2",
        "twice:1",
    }
    for name in ("base:1", "multi:1", "twice:1"):
        image = store.image(name)
        assert image.archived.place is None
        assert image.chain == whole.image(name).chain
        assert tree_snapshot(store.tree(image)) == tree_snapshot(whole.tree(whole.image(name)))
    assert [fault.code for fault in store.faults()] == []


def test_whatever_has_no_images_is_named(opened: Open, tmp_path: Path) -> None:
    """What is no archive is refused by what it is, and where a layout is near, that is said."""
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "zip").write_bytes(b"PK\x03\x04" + bytes(1000))
    (tmp_path / "other.tar").write_bytes(as_tar({"src/main.c": b"int"}))
    inner = {f"app/{name}": content for name, content in Layout().done().items()}
    (tmp_path / "inner.tar").write_bytes(as_tar(inner))
    as_directory(inner, tmp_path / "above")
    for name, text in {
        "empty": "an empty file",
        "text": "a text",
        "zip": "a zip file",
        "other.tar": "a tar without images",
        "inner.tar": "a tar without images",
        "above": "a directory without images",
        "gone": "No such file",
    }.items():
        with pytest.raises(NotAnArchive, match=text) as caught:
            opened(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        if name in ("inner.tar", "above"):
            assert "app/" in str(caught.value.hint)
