"""States of containerd's stores that are no damage, and parts of one that are gone: the rest is as ever."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import Output, run_bytes
from tests.support.containerdbuilder import CONTENT, ContainerdBuilder
from tests.support.containerdroots import ContainerdRoot
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.boltfiles import Tree

pytestmark = pytest.mark.root

NAME = b"docker.io/library/multi:1"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
JSON = ("--format", "json")
DAMAGED = 1

DOCKER = (
    ("images", *JSON), ("containers", *JSON), ("layers", *JSON), ("ls", "-laR", "multi:1"),
    ("ls", "-laR", "changed"), ("history", "multi:1"), ("export", "multi:1"), ("whois", "multi:1"),
    ("verify", "multi:1", "--jobs", "1", "--quick"), ("find", "--all", "passwd"), ("doctor", "--quick"),
)  # fmt: skip
NODE = (("containers", *JSON), ("ls", "-laR", "multi:1"), ("images", *JSON), ("layers", *JSON))


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> ContainerdRoot:
    """A data root of Docker 29."""
    top = unpack_sample("docker29-containerd", tmp_path_factory.mktemp("states"))
    return ContainerdRoot(top, "containerd/daemon", "moby")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> ContainerdRoot:
    """A root of Kubernetes."""
    return ContainerdRoot(unpack_sample("containerd-2.1-cri", tmp_path_factory.mktemp("node")), ".", "k8s.io")


def answers(root: ContainerdRoot, commands: tuple[tuple[str, ...], ...]) -> Mapping[str, Output]:
    """What is answered now; nothing ends in a bug."""
    found = {" ".join(command): run_bytes(root.top, *command) for command in commands}
    assert not [output for output in found.values() if "bug in layerfs" in output.stderr]
    return found


# -- states that mean the same -----------------------------------------------------------------------


def _times_with_seconds(space: Tree) -> None:
    """Go's times of version 2 have a byte more."""
    for image in space[b"images"].values():
        if isinstance(image, dict):
            for key in (b"createdat", b"updatedat"):
                image[key] = b"\2" + image[key][1:] + b"\0"


def _extracting(space: Tree) -> None:
    """A pull that was killed: its lease keeps a blob that never came."""
    space[b"leases"][b"killed"] = {b"content": {b"sha256:" + b"1" * 64: b""}}


def _odd_name(space: Tree) -> None:
    """The namespace has labels, which are no images."""
    space[b"labels"] = {b"owner": b"me"}


def _no_children(space: Tree) -> None:
    """Back links are for the engine."""
    for record in space[b"snapshots"][b"overlayfs"].values():
        if isinstance(record, dict):
            record.pop(b"children", None)


@pytest.mark.parametrize("change", [_times_with_seconds, _extracting, _odd_name, _no_children])
def test_what_means_the_same_is_answered_alike(
    docker: ContainerdRoot, change: Callable[[Tree], object]
) -> None:
    """Other forms of the same records, and what no command tells of, change no answer."""
    right = answers(docker, DOCKER)
    with docker.mended():
        docker.edit_meta(change)
        assert answers(docker, DOCKER) == right


# -- images of other forms ---------------------------------------------------------------------------


def _blob(root: ContainerdRoot, document: Any) -> tuple[bytes, int]:
    """Write a document as a blob that the namespace has; its digest and size."""
    content = json.dumps(document).encode()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    root.write(root.blob(digest), content)
    record = {b"size": _zigzag(len(content))}
    root.edit_meta(lambda space: space[b"content"][b"blob"].update({digest.encode(): record}))
    return digest.encode(), len(content)


def _index(digest: str, size: int, kind: str) -> Any:
    return {
        "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [{"mediaType": kind, "digest": digest, "size": size}],
    }  # fmt: skip


def _point(root: ContainerdRoot, digest: bytes, size: int, kind: str) -> None:
    """Let the image's name point elsewhere."""

    def change(space: Tree) -> None:
        target = {b"digest": digest, b"size": _zigzag(size), b"mediatype": kind.encode()}
        space[b"images"][NAME][b"target"] = target

    root.edit_meta(change)


def _zigzag(number: int) -> bytes:
    number *= 2
    found = b""
    while number >= 0x80:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])


def test_index_in_an_index(docker: ContainerdRoot) -> None:
    """An image is found below indexes, and shows the same tree."""
    right = run_bytes(docker.top, "ls", "-laR", "multi:1")
    target = docker.target(NAME.decode())
    with docker.mended():
        size = docker.blob(target).stat().st_size
        digest, size = _blob(docker, _index(target, size, MANIFEST))
        digest, size = _blob(docker, _index(digest.decode(), size, INDEX))
        _point(docker, digest, size, INDEX)
        assert run_bytes(docker.top, "ls", "-laR", "multi:1") == right
        assert run_bytes(docker.top, "verify", "--jobs", "1", "multi:1").code == 0


def test_image_without_layers(docker: ContainerdRoot) -> None:
    """It has an empty tree, and nothing is wrong with it."""
    with docker.mended():
        config, size = _blob(docker, {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}})
        described = {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config.decode(), "size": size,
        }  # fmt: skip
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": []}
        _point(docker, *_blob(docker, manifest), MANIFEST)
        assert run_bytes(docker.top, "ls", "multi:1") == Output(0, b"", "")
        assert run_bytes(docker.top, "verify", "multi:1").code == 0
        assert run_bytes(docker.top, "export", "multi:1").code == 0


# -- containers --------------------------------------------------------------------------------------


def test_container_without_its_image(docker: ContainerdRoot) -> None:
    """Its snapshots are what it stands on: the tree is the same when nothing names the image any more."""
    right = run_bytes(docker.top, "ls", "-laR", "changed")

    def forget(space: Tree) -> None:
        for name in [name for name in space[b"images"] if b"multi" in name or b"pulled" in name]:
            del space[b"images"][name]

    with docker.mended():
        docker.edit_meta(forget)
        assert run_bytes(docker.top, "ls", "-laR", "changed") == right
        assert run_bytes(docker.top, "containers", *JSON).code == 0
        assert run_bytes(docker.top, "doctor", "--quick").code == 0


def _first(space: Tree, kind: bytes) -> Tree:
    return next(
        found
        for key, found in space[b"containers"].items()
        if key and found[b"labels"].get(b"io.cri-containerd.kind") == kind
    )


@pytest.mark.parametrize("spec", [b"\x0a\x01x\x12\x02\xff\xff", b"\x0a\x7fx", b"\xff", b""])
def test_container_whose_spec_is_of_no_known_type(node: ContainerdRoot, spec: bytes) -> None:
    """It is listed with its image and its tree is shown; what cannot be read is said if it is there."""
    right = answers(node, NODE)
    listed = _with_images(right["containers --format json"])
    (key,) = (key.decode() for key in node.space()[b"containers"] if key and _is_app(node, key))
    tree = run_bytes(node.top, "ls", "-laR", key)
    with node.mended():
        node.edit_meta(lambda space: _first(space, b"container").update({b"spec": spec}))
        found = answers(node, NODE)
        shown = run_bytes(node.top, "ls", "-laR", key)
    assert _with_images(found["containers --format json"]) == listed
    assert found["images --format json"].stdout == right["images --format json"].stdout
    assert (shown.stdout, shown.code in (0, DAMAGED)) == (tree.stdout, True)
    assert found["ls -laR multi:1"].stdout == right["ls -laR multi:1"].stdout
    assert bool(spec) == (found["containers --format json"].code == DAMAGED)


def _with_images(found: Output) -> set[tuple[str, str]]:
    """The listed containers, and the image of each."""
    return {(row["id"], row["image"]) for row in json.loads(found.stdout)}


def _is_app(node: ContainerdRoot, key: bytes) -> bool:
    labels = node.space()[b"containers"][key][b"labels"]
    return bool(labels.get(b"io.cri-containerd.kind") == b"container")


def test_sandbox_alone(node: ContainerdRoot) -> None:
    """Of a pod whose container is gone the sandbox is left, and says so."""
    with node.mended():
        node.edit_meta(
            lambda space: [
                space[b"containers"].pop(key)
                for key in [key for key in space[b"containers"] if key and _is_app(node, key)]
            ]
        )
        found = answers(node, NODE)
    assert all(output.code == 0 for output in found.values())


@pytest.mark.parametrize("what", ["manifest", "directory"])
def test_documents_by_links_within_the_content_store(tmp_path: Path, what: str) -> None:
    """Who moved blobs to another place of the same store, and linked them, has the same images."""
    builder = ContainerdBuilder(tmp_path / "root")
    layer = builder.layer(None, b"no tar")
    manifest = builder.image(["docker.io/library/app:1"], [layer])["digest"]
    root = builder.finish()
    before = run_bytes(root, "images", *JSON)
    blobs = root / CONTENT
    blob = blobs / manifest.removeprefix("sha256:") if what == "manifest" else blobs
    moved = blob.rename(blobs.with_name("moved"))
    blob.symlink_to(os.path.relpath(moved, blob.parent))
    after = run_bytes(root, "images", *JSON)
    assert before.stdout
    if what == "manifest":
        assert after == before
    else:  # a directory is never reached through a link
        assert "not followed" in after.stderr
        assert not json.loads(after.stdout)


# -- older layouts, and what only one namespace has ---------------------------------------------------


def _no_version(tree: Tree) -> None:
    """The first layout notes no version."""
    tree[b"v1"].pop(b"version", None)


def _version_2(tree: Tree) -> None:
    """An older one has another number, and a bucket of downloads that go on."""
    tree[b"v1"][b"version"] = b"\4"
    tree[b"v1"][b"moby"][b"content"][b"ingests"] = {b"pull-1": {b"ref": b"moby/1/pull-1"}}
    tree[b"v1"][b"moby"][b"content"][b"ingest"] = {b"pull-2": b"moby/2/pull-2"}


def _sandboxes(tree: Tree) -> None:
    """The third has the sandboxes of all namespaces beside these."""
    tree[b"v1"][b"sandboxes"] = {b"pod": {b"labels": {b"a": b"b"}}}


def _entry_elsewhere(tree: Tree) -> None:
    """Another namespace has a blob that this one has not, and whose file is gone."""
    blobs = tree[b"v1"][b"moby"][b"content"][b"blob"]
    digest = b"sha256:" + b"5" * 64
    tree[b"v1"][b"other"] = {b"content": {b"blob": {digest: dict(next(iter(_buckets(blobs))))}}}


def _buckets(tree: Tree) -> list[Tree]:
    return [value for value in tree.values() if isinstance(value, dict)]


@pytest.mark.parametrize("change", [_no_version, _version_2, _sandboxes, _entry_elsewhere])
def test_layouts_of_every_version_are_answered_alike(
    docker: ContainerdRoot, change: Callable[[Tree], object]
) -> None:
    """What the versions of meta.db differ in, and what another namespace has, changes no answer."""
    right = answers(docker, DOCKER)
    with docker.mended():
        docker.edit(docker.meta, change)
        assert answers(docker, DOCKER) == right
