"""The ways in which a containerd store may be odd or damaged: where each is tested, if not here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bolt import bolt_tree
from tests.support.command import layerfs, run_bytes
from tests.support.containerdbuilder import ContainerdBuilder, signed, time_bytes, unsigned
from tests.support.containerdroots import ContainerdRoot
from tests.support.layouts import layer_of
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.boltfiles import Tree

pytestmark = pytest.mark.root

_HERE = "hostile.test_containerd_ways:"
_STATES, _DAMAGE = (
    "hostile.test_containerd_states:",
    "hostile.test_containerd_damage:test_damage_hides_nothing_else",
)
_OPENING, _REMEDIES = "cli.test_containerd_opening:", "containerd.test_remedies:"
_KERNEL = "kernel.test_containerd:test_trees_are_the_kernel_s"

WAYS: Mapping[str, tuple[str, ...]] = {
    "1 an image is unpacked, or packed, or half": (
        "containerd.test_live:test_images_are_as_ctr_mounts_them",
        _HERE + "test_half_of_an_image_is_unpacked",
    ),
    "2 an index whose other platforms were never fetched": (
        "containerd.test_docker29:test_platforms_have_the_engines_numbers",
        "cli.test_containerd_export:test_one_platform_of_an_index_keeps_its_manifest",
    ),
    "3 an attestation": (_HERE + "test_an_attestation_is_no_platform",),
    "4 an index in an index": (_STATES + "test_index_in_an_index",),
    "5 media types of Docker": (_KERNEL, "containerd.test_exported:test_containerd_imports_the_same_targets"),
    "6 layers with zstd, gzip, and plain": (
        "cli.test_containerd_export:test_every_blob_is_byte_for_byte_the_stored_one",
    ),
    "7 a diff ID twice in an image": (_KERNEL,),
    "8 no layers": (_STATES + "test_image_without_layers",),
    "9 one image in two namespaces": (
        _OPENING + "test_all_namespaces_have_one_chain_in_several_directories",
    ),
    "10 a name that is no reference": (
        "containerd.test_live:test_images_are_those_that_ctr_lists",
        "cli.test_containerd_whois:test_a_name_that_is_no_reference_is_a_name",
    ),
    "11 an image that lost its name": (
        "containerd.test_accounts:test_image_without_a_name_is_listed_when_asked_for",
    ),
    "12 a blob is missing, short, another; without a record; with one elsewhere": (
        _DAMAGE,
        _REMEDIES + "test_the_next_collection_removes_it",
        _HERE + "test_only_another_namespace_has_the_blob",
    ),
    "13 a snapshot without directory, a directory without record, `new-123`": (
        _DAMAGE,
        "cli.test_containerd_doctor:test_leftovers_are_notes_with_their_bytes",
        _REMEDIES + "test_the_next_collection_removes_it",
    ),
    "14 databases of different age": (_DAMAGE, _REMEDIES + "test_a_database_is_made_anew"),
    "15 parents in a circle, or missing": (_DAMAGE,),
    "16 snapshots that are active, views, or left by an unpacking": (
        "kernel.test_containerd:test_every_snapshot_can_be_shown_by_its_key",
        _HERE + "test_an_unpacking_that_was_broken_off",
    ),
    "17 a container without its snapshot, or image; a crash while it ran": (
        _DAMAGE,
        _STATES + "test_container_without_its_image",
        _REMEDIES + "test_a_container_is_created_again",
        _HERE + "test_what_a_crash_leaves_of_running_containers",
    ),
    "18 two snapshotters, native alone, erofs": (
        _HERE + "test_of_two_snapshotters_the_one_that_layers_is_read",
        "containerd.test_live:test_a_whole_tree_is_its_directory",
        "fuse.test_containerd_damage:test_images_of_other_snapshotters_need_their_blobs_alone",
    ),
    "19 layers that lack their whiteouts": (
        "cli.test_containerd_verify:test_layers_without_whiteouts_are_called_by_their_fault",
    ),
    "20 a download that was broken off, a lease that expired": (
        "containerd.test_accounts:test_expired_lease_holds_nothing",
        _REMEDIES + "test_the_next_collection_removes_it",
    ),
    "21 discarded layers": (
        _DAMAGE,
        "cli.test_containerd_export:test_image_without_blobs_is_refused_and_salvaged",
    ),
    "22 a pod, a sandbox alone": (
        "cli.test_kubernetes:test_containers_are_as_kubernetes_noted_them",
        _STATES + "test_sandbox_alone",
    ),
    "23 a store of overlay2 too": (_OPENING + "test_of_two_stores_the_one_in_use_is_read",),
    "24 a remapped engine": (_OPENING + "test_a_remapped_engine_has_a_namespace_of_its_own",),
    "25 older layouts": (_STATES + "test_layouts_of_every_version_are_answered_alike",),
    "26 times of both versions, or malformed": (
        _STATES + "test_what_means_the_same_is_answered_alike",
        _DAMAGE,
    ),
    "27 a specification of no known type": (_STATES + "test_container_whose_spec_is_of_no_known_type",),
}
"""By number and name: the tests of it."""


@pytest.mark.parametrize("way", WAYS)
def test_every_way_has_a_test(way: str) -> None:
    """What the table names is there."""
    for place in WAYS[way]:
        module, _, name = place.partition(":")
        assert callable(getattr(importlib.import_module(f"tests.{module}"), name))


NAME = "docker.io/library/multi:1"
JSON = ("--format", "json")


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> ContainerdRoot:
    """A data root of Docker 29."""
    top = unpack_sample("docker29-containerd", tmp_path_factory.mktemp("ways"))
    return ContainerdRoot(top, "containerd/daemon", "moby")


def _codes(top: Path, *options: str) -> set[tuple[str, str]]:
    rows = layerfs(top, *options, "doctor", *JSON).json
    return {(row["code"], row["severity"]) for row in rows if row["code"] != "lease-expired"}


def _forget(root: ContainerdRoot, key: str) -> None:
    """A snapshot was never made."""
    name, directory = root.name(key), root.directory(key)

    def forgotten(tree: Tree) -> None:
        del tree[b"snapshots"][name]
        links = tree[b"parents"]
        for link in [link for link, value in links.items() if value == name]:
            del links[link]

    root.remove(directory)
    root.edit_snapshots(forgotten)
    root.edit_meta(lambda space: space[b"snapshots"][b"overlayfs"].pop(key.encode()))


def test_half_of_an_image_is_unpacked(docker: ContainerdRoot) -> None:
    """Layers that another image has are snapshots, the rest is packed: nothing is lost, nothing is said."""
    right = run_bytes(docker.top, "hashes", "multi:1")
    with docker.mended():
        for container in list(docker.top.glob("containers/*")):
            docker.remove(container)
        space = docker.space()
        chain = docker.layers(NAME)
        for key in [
            key for key in space[b"snapshots"][b"overlayfs"] if key and chain[2] in _below(docker, key)
        ]:
            _forget(docker, key.decode())
        assert run_bytes(docker.top, "hashes", "multi:1") == right
        rows = layerfs(docker.top, "layers", "multi:1", *JSON).json
        assert [bool(row["cache_id"]) for row in rows] == [True, True, False]
        assert not {code for code, severity in _codes(docker.top) if severity == "error"}


def _below(root: ContainerdRoot, key: bytes) -> list[str]:
    return root.keys_below(key.decode())


def test_an_attestation_is_no_platform(tmp_path: Path) -> None:
    """An index with what BuildKit attests: the image is one, of the platform that is none of that."""
    builder = ContainerdBuilder(tmp_path / "root")
    layer = builder.layer(None, layer_of({"file": b"1"}), lambda tree: (tree / "file").write_bytes(b"1"))
    image, attested = builder.manifest([layer]), builder.manifest([], architecture="unknown", os="unknown")
    marks = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": image["digest"],
    }
    unknown = {"os": "unknown", "architecture": "unknown"}
    platform = {"os": "linux", "architecture": "amd64"}
    for first in (True, False):
        both = [{**image, "platform": platform}, {**attested, "platform": unknown, "annotations": marks}]
        builder.name(builder.index(both if first else both[::-1]), f"docker.io/library/app:{int(first)}")
    root = builder.finish()
    assert [row["tag"] for row in layerfs(root, "images", *JSON).json] == ["0", "1"]
    for name in ("app:0", "app:1"):
        assert layerfs(root, "cat", name, "/file").stdout == "1"
    assert _codes(root) == set()


@pytest.mark.parametrize("unpacked", [True, False])
@pytest.mark.parametrize("which", ["manifest", "config", "layer"])
def test_only_another_namespace_has_the_blob(tmp_path: Path, which: str, *, unpacked: bool) -> None:
    """The file is there, so all is shown; its engine does not find it, which `doctor` tells."""
    builder = ContainerdBuilder(tmp_path / "root")
    layer = builder.layer(None, layer_of({"file": b"1"}), lambda tree: (tree / "file").write_bytes(b"1"))
    target = builder.image(["docker.io/library/app:1"], [layer])
    root = ContainerdRoot(builder.finish(), ".", "default")
    digest = (
        target["digest"] if which == "manifest" else root.digest_of("docker.io/library/app:1", _WHICH[which])
    )
    if not unpacked:
        _unpack_nothing(root)
    before = {name: layerfs(root.top, *words) for name, words in _ASKED.items()}
    assert not any(done.code or done.stderr for done in before.values())
    assert _codes(root.top) == set()

    def change(tree: Tree) -> None:
        entry = tree[b"v1"][b"default"][b"content"][b"blob"].pop(digest.encode())
        tree[b"v1"][b"other"] = {b"content": {b"blob": {digest.encode(): entry}}}

    root.edit(root.meta, change)
    after = {name: layerfs(root.top, *words) for name, words in _ASKED.items()}
    assert after == before
    found = ("blob-discarded", "note") if which == "layer" and unpacked else ("blob-unrecorded", "error")
    assert _codes(root.top) == {found}
    assert _codes(root.top, "--namespace", "all") == {found}


_WHICH = {"config": "config", "layer": "1"}
_ASKED = {"cat": ("cat", "app:1", "/file"), "history": ("history", "app:1"), "layers": ("layers", *JSON)}


def _unpack_nothing(root: ContainerdRoot) -> None:
    root.edit_meta(lambda space: space[b"snapshots"].pop(b"overlayfs"))
    root.edit_snapshots(lambda tree: (tree[b"snapshots"].clear(), tree[b"parents"].clear()))
    for path in root.snapshotter.glob("snapshots/*"):
        path.rename(root.top.parent / f"away-{path.name}")


def test_an_unpacking_that_was_broken_off(docker: ContainerdRoot) -> None:
    """Its snapshot is shown by its key, is an orphan, and changes nothing of the image it was to be of."""
    right = run_bytes(docker.top, "ls", "-laR", "multi:1")
    base, number = docker.layers(NAME)[0], 4000
    key = f"extract-123456-AbCd {docker.layers(NAME)[1]}".encode()
    name, times = b"moby/4000/" + key, {b"createdat": time_bytes(), b"updatedat": time_bytes()}
    with docker.mended():
        record = {b"id": unsigned(number), b"kind": b"\2", b"parent": docker.name(base), **times}
        noted = {b"name": name, b"parent": base.encode(), **times}
        docker.edit_snapshots(lambda tree: tree[b"snapshots"].update({name: record}))
        docker.edit_meta(lambda space: space[b"snapshots"][b"overlayfs"].update({key: noted}))
        docker.make(docker.snapshotter / f"snapshots/{number}", "fs", "work")
        docker.write(docker.snapshotter / f"snapshots/{number}/fs/half", b"half")
        assert run_bytes(docker.top, "ls", "-laR", "multi:1") == right
        assert layerfs(docker.top, "cat", key.decode(), "/half").stdout == "half"
        assert layerfs(docker.top, "cat", str(number), "/half").stdout == "half"
        assert _codes(docker.top) == {("snapshot-orphaned", "note")}


def test_what_a_crash_leaves_of_running_containers(docker: ContainerdRoot) -> None:
    """A record of a container of Docker's that ran, or that Docker has forgotten, changes no answer."""
    commands = [("containers", "-a", *JSON), ("ls", "changed"), ("doctor", *JSON), ("inspect", "changed")]
    right = [run_bytes(docker.top, *command) for command in commands]
    ran = next(record for key, record in docker.space()[b"containers"].items() if key)
    with docker.mended():
        crashed = {docker.container("changed").encode(): ran, b"f" * 64: ran}
        docker.edit_meta(lambda space: space[b"containers"].update(crashed))
        assert [run_bytes(docker.top, *command) for command in commands] == right


def test_of_two_snapshotters_the_one_that_layers_is_read(docker: ContainerdRoot) -> None:
    """Where native has whole trees of an image too, its layers are overlayfs's; each is shown by its name."""
    right = {
        words: run_bytes(docker.top, *words) for words in (("ls", "-laR", "multi:1"), ("layers", "multi:1"))
    }
    top = docker.path / "io.containerd.snapshotter.v1.native"
    times = {b"createdat": time_bytes(), b"updatedat": time_bytes()}
    noted: dict[bytes, Any] = {}
    records: dict[bytes, Any] = {}
    with docker.mended():
        for number, key in enumerate(docker.layers(NAME), 1):
            name = b"moby/%d/%s" % (5000 + number, key.encode())
            noted[key.encode()] = {b"name": name, **times}
            sizes = {b"size": signed(4096), b"inodes": signed(1)}
            records[name] = {b"id": unsigned(number), b"kind": b"\3", **sizes, **times}
            docker.make(top / f"snapshots/{number}")
            docker.write(top / f"snapshots/{number}/whole", b"whole")
        docker.write(top / "metadata.db", bolt_tree({b"v1": {b"snapshots": records, b"parents": {}}}))
        docker.edit_meta(lambda space: space[b"snapshots"].update({b"native": noted}))
        for words, output in right.items():
            assert run_bytes(docker.top, *words) == output
        assert layerfs(docker.top, "cat", "native/3", "/whole").stdout == "whole"
