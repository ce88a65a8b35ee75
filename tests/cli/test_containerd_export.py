"""`layerfs export` of containerd's stores: every digest is kept, and what is gone is said or salvaged."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support.archives import members
from tests.support.command import layerfs, run_bytes
from tests.support.containerdroots import ContainerdRoot
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.root

IMAGES = {
    "multi:1": "docker.io/library/multi:1",
    "twice:1": "docker.io/library/twice:1",
    "dockertypes:1": "docker.io/library/dockertypes:1",
    "contentonly:1": "docker.io/library/contentonly:1",
    "zstd:1": "docker.io/library/zstd:1",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> ContainerdRoot:
    """A data root of Docker 29."""
    top = unpack_sample("docker29-containerd", tmp_path_factory.mktemp("export"))
    return ContainerdRoot(top, "containerd/daemon", "moby")


def _files(archive: bytes) -> Mapping[str, bytes]:
    return {member.name: content for member, content in members(archive) if member.isfile()}


def _blobs(root: ContainerdRoot, name: str) -> dict[str, bytes]:
    """The manifest, config and layers of an image as they are stored, by their names in a layout."""
    manifest = root.manifest(name)
    digests = [root.target(name), manifest["config"]["digest"]]
    digests += [layer["digest"] for layer in manifest["layers"]]
    return {f"blobs/{digest.replace(':', '/')}": root.blob(digest).read_bytes() for digest in digests}


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("form", ["oci", "docker-archive"])
def test_every_blob_is_byte_for_byte_the_stored_one(root: ContainerdRoot, image: str, form: str) -> None:
    """Manifest, config and layers keep their digests; zstd is plain in an archive for every Engine."""
    files = _files(run_bytes(root.top, "export", "--format", form, image).stdout)
    blobs = {name: content for name, content in files.items() if name.startswith("blobs/")}
    assert all(hashlib.sha256(content).hexdigest() == name[-64:] for name, content in blobs.items())
    (listed,) = json.loads(files["index.json"])["manifests"]
    if form == "docker-archive" and image == "zstd:1":
        config = json.loads(root.blob(root.digest_of(IMAGES[image], "config")).read_bytes())
        assert {f"blobs/{digest.replace(':', '/')}" for digest in config["rootfs"]["diff_ids"]} <= set(blobs)
        return
    assert blobs == _blobs(root, IMAGES[image])
    assert listed["digest"] == root.target(IMAGES[image])
    stored = root.space()[b"images"][IMAGES[image].encode()][b"target"][b"mediatype"]
    assert listed["mediaType"] == stored.decode()


def test_one_platform_of_an_index_keeps_its_manifest(root: ContainerdRoot) -> None:
    """Of an image for several platforms the manifest that is there leaves as it is stored."""
    name = "registry.example.com:5000/team/arch:1"
    files = _files(run_bytes(root.top, "export", "--format", "oci", name).stdout)
    (listed,) = json.loads(files["index.json"])["manifests"]
    assert files[f"blobs/{listed['digest'].replace(':', '/')}"] == root.blob(listed["digest"]).read_bytes()


def test_images_share_their_blobs(root: ContainerdRoot) -> None:
    """A layer that two images have is in the archive once; of what the other side has none is."""
    both = _files(run_bytes(root.top, "export", "multi:1", "twice:1").stdout)
    wanted = _blobs(root, IMAGES["multi:1"]) | _blobs(root, IMAGES["twice:1"])
    assert {name for name in both if name.startswith("blobs/")} == set(wanted)
    later = _files(run_bytes(root.top, "export", "--since", "base:1", "multi:1").stdout)
    base = root.manifest("docker.io/library/base:1")["layers"][0]["digest"]
    assert f"blobs/{base.replace(':', '/')}" not in later
    assert len(later) == len(_files(run_bytes(root.top, "export", "multi:1").stdout)) - 1


def test_layer_is_the_tar_of_its_diff_id(root: ContainerdRoot) -> None:
    """`--layer N` is not packed: its sha256 is the diff ID."""
    config = json.loads(root.blob(root.digest_of(IMAGES["multi:1"], "config")).read_bytes())
    for number, diff_id in enumerate(config["rootfs"]["diff_ids"], 1):
        found = run_bytes(root.top, "export", "--layer", str(number), "multi:1").stdout
        assert f"sha256:{hashlib.sha256(found).hexdigest()}" == diff_id


def test_image_without_blobs_is_refused_and_salvaged(root: ContainerdRoot) -> None:
    """A discarded blob stops an export, which says what works; from the snapshot the same files leave."""
    right = run_bytes(root.top, "export", "--layer", "3", "multi:1").stdout
    rootfs = run_bytes(root.top, "export", "--format", "rootfs", "multi:1")
    with root.mended():
        path = root.blob(root.digest_of(IMAGES["multi:1"], "3"))
        root.remove(path)
        refused = layerfs(root.top, "export", "multi:1")
        assert refused.code == 5
        assert str(path) in refused.stderr
        assert "--salvage" in refused.stderr
        assert run_bytes(root.top, "export", "--format", "rootfs", "multi:1") == rootfs
        alone = run_bytes(root.top, "export", "--salvage", "--layer", "3", "multi:1")
        whole = run_bytes(root.top, "export", "--salvage", "multi:1")
    assert (alone.code, whole.code) == (1, 1)
    assert _entries(alone.stdout) == _entries(right)
    files = _files(whole.stdout)
    (row,) = json.loads(files["manifest.json"])
    config = json.loads(files[row["Config"]])
    assert [f"sha256:{hashlib.sha256(files[name]).hexdigest()}" for name in row["Layers"]] == (
        config["rootfs"]["diff_ids"]
    )
    assert files[row["Layers"][2]] == alone.stdout


def _entries(tar: bytes) -> set[tuple[str, bytes, bytes]]:
    """What is in a layer's tar, but for directories that only lead to others."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        found = [(item, opened.extractfile(item)) for item in opened if not item.isdir()]
        return {
            (item.name.strip("./"), item.type if not item.islnk() else b"0", file.read() if file else b"")
            for item, file in found
        }


def test_damaged_blob_is_made_anew_of_its_snapshot(root: ContainerdRoot) -> None:
    """A blob that is another than its digest says does not leave as the layer; salvaged it is the files'."""
    with root.mended():
        path = root.blob(root.digest_of(IMAGES["multi:1"], "3"))
        root.write(path, path.read_bytes()[:-20])
        assert layerfs(root.top, "export", "multi:1", "-o", str(root.top.parent / "no.tar")).code == 5
        assert not (root.top.parent / "no.tar").exists()
        found = run_bytes(root.top, "export", "--salvage", "multi:1")
    assert (found.code, "generated from its snapshot" in found.stderr) == (1, True)


def test_all_leaves_out_what_is_damaged(root: ContainerdRoot) -> None:
    """With --all an image whose blob was altered is named and left out, and the others leave as they are."""
    with root.mended():
        path = root.blob(root.digest_of(IMAGES["dockertypes:1"], "3"))
        root.write(path, path.read_bytes() + b"\0")
        found = run_bytes(root.top, "export", "--all")
    names = {
        name for row in json.loads(_files(found.stdout)["manifest.json"]) for name in row["RepoTags"] or ()
    }
    assert (found.code, "dockertypes:1 is left out" in found.stderr) == (1, True)
    assert "multi:1" in names
    assert "dockertypes:1" not in names
