"""Layers as a graph root shows them: owners inside the namespace, and what its archives say instead."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from layerfs.stores.registry import Options, open_store
from tests.support.graphroots import GraphRootFiles
from tests.support.samples import unpack_sample
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from tests.support.snapshot import Snapshot

pytestmark = pytest.mark.root

_MULTI = "docker.io/library/multi:1"
_ROOTLESS = ("podman-4.3-rootless-native", "podman-4.3-rootless-fuse")
_USERS = {b"usr/share/high": (1000, 1000), b"usr/share/setuid": (1, 1), b"etc/motd": (0, 0)}
"""As the tar of the base layer has them."""


@pytest.fixture(scope="module", params=_ROOTLESS)
def rootless(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of a rootless Podman; not to be changed."""
    return unpack_sample(request.param, tmp_path_factory.mktemp("rootless") / "store")


def _tree(root: Path, **options: Any) -> Snapshot:
    store = open_store(root, Options(**options))
    return tree_snapshot(store.tree(store.image(_MULTI)))


def _owners(found: Snapshot) -> dict[bytes, tuple[int, int]]:
    return {path: (found[path].uid, found[path].gid) for path in _USERS}


def test_owners_are_those_inside(rootless: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Root is who ran the engine, the others are from its ranges; that is told once, to who wants to know."""
    caplog.set_level(logging.INFO, "layerfs")
    found = _tree(rootless)
    assert _owners(found) == _USERS
    assert {entry.uid for entry in found.values()} == {0, 1, 1000}
    told = [record for record in caplog.records if "user namespace" in record.getMessage()]
    assert [record.levelno for record in told] == [logging.INFO]


def test_owners_on_disk_and_of_a_given_map(rootless: Path) -> None:
    """`none` shows the disk, a map is taken as it is given."""
    user = (rootless / "overlay").stat().st_uid
    on_disk = _tree(rootless, userns="none")
    assert {entry.uid for entry in on_disk.values()} >= {user}
    base = on_disk[b"usr/share/setuid"].uid
    given = _tree(rootless, userns=f"0:{user}:1,1:{base}:500")
    assert _owners(given) == {**_USERS, b"usr/share/high": (65534, 65534)}


def test_an_archive_has_what_was_never_unpacked(rootless: Path) -> None:
    """By `tar-split` devices are there, and owners need no map; the tree is the same otherwise."""
    disk, archive = _tree(rootless), _tree(rootless, metadata="tar-split", userns="none")
    assert archive.keys() - disk.keys() == {b"dev/null"}
    assert disk.keys() <= archive.keys()
    assert _owners(archive) == _USERS
    assert (stat.S_ISCHR(archive[b"dev/null"].mode), archive[b"dev/null"].rdev) == (True, (1, 3))
    for path, entry in disk.items():
        assert (entry.content, entry.target) == (archive[path].content, archive[path].target)
    assert disk[b""].mode == archive[b""].mode  # no header is taken for it


def test_a_copy_that_lost_owners_is_told(
    rootless: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All files are one user's, also those of others: no map makes good what the archive still has."""
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", rootless, copy], check=True)
    subprocess.run(["chown", "-hR", "1234:1234", copy], check=True)
    found = _tree(copy)
    assert {entry.uid for entry in found.values()} == {1234}
    assert "a copy that lost owners" in caplog.text
    assert _owners(_tree(copy, metadata="tar-split")) == _USERS


def test_a_layer_with_a_map_of_its_own(tmp_path: Path) -> None:
    """As those of containers with `--userns`: their files belong to the users of their map."""
    root = unpack_sample("podman-4.3-rootful", tmp_path / "store")
    files = GraphRootFiles(root)
    layer = files.stack(files.image(_MULTI)["layer"])[-1]
    inside = {"bin/fx": (0, 0), "usr/share/setuid": (1, 1), "etc/motd": (33, 65_535)}
    for path, (uid, gid) in inside.items():
        os.chown(files.directory(layer) / "diff" / path, uid + 200_000, gid + 200_000)
    files.edit(files.layers_file, lambda records: _map(records, layer, 200_000))
    store = open_store(root)
    found = tree_snapshot(store.tree(store.image("docker.io/library/base:1")))
    assert {path: (found[path.encode()].uid, found[path.encode()].gid) for path in inside} == inside


def _map(records: list[dict[str, Any]], layer: str, base: int) -> None:
    (record,) = (item for item in records if item["id"] == layer)
    ranges = [{"container_id": 0, "host_id": base, "size": 65536}]
    record.update(uidmap=ranges, gidmap=ranges)


@pytest.mark.parametrize(
    "value",
    [
        [{"container_id": 0, "host_id": 0, "size": 0}],
        [{"container_id": -1, "host_id": 0, "size": 5}],
        [{"container_id": 0, "host_id": 4294967295, "size": 5}],
        [{"container_id": "0", "host_id": 0, "size": 5}],
        [7],
        "0:0:1",
        [{"container_id": 0, "host_id": 0, "size": 1}] * 341,
    ],
)
def test_a_hostile_map_costs_its_own_record(value: object, tmp_path: Path) -> None:
    """The record is named, and the images that do not stand on it are there."""
    root = unpack_sample("podman-4.3-rootful", tmp_path / "store")
    files = GraphRootFiles(root)
    top = files.image(_MULTI)["layer"]
    files.edit(files.layers_file, lambda records: [
        item.update(uidmap=value) for item in records if item["id"] == top
    ])  # fmt: skip
    store = open_store(root)
    assert store.tree(store.image("docker.io/library/base:1")).root.is_dir
    assert any(top in str(error) for error in store.damage), json.dumps(value)
