"""The containers of recorded graph roots: Podman 4.3 with its bolt database, and 5.8 with SQLite's."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import layerfs
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

BOTH, ONE = {"changed": "exited", "idle": "created"}, {"c": "created"}
SAMPLES = {
    "podman-4.3-rootful": ("", "", BOTH),
    "podman-4.3-rootless-native": ("", "", BOTH),
    "podman-4.3-rootless-fuse": ("", "", BOTH),
    "podman-5.8-composefs": ("", "", ONE),
    "podman-5.8-imagestore": ("graphroot", "imagestore", ONE),
    "podman-5.8-zstd-chunked": ("", "", {}),
}
"""The graph root in each sample, the store of its images, and the states that `podman ps --all` told."""


@pytest.mark.parametrize("name", SAMPLES)
def test_containers_are_those_that_were_made(tmp_path: Path, name: str) -> None:
    """By both records: what the JSON of one tells is what the other's key says."""
    place, images, states = SAMPLES[name]
    unpacked = unpack_sample(name, tmp_path)
    root = unpacked / place
    options = ("--additional-store", str(unpacked / images)) if images else ()
    done = layerfs(root, *options, "containers", "--format", "json")
    assert (done.code, done.stderr) == (0, "")
    assert {row["name"]: row["state"] for row in done.json} == states
    stored = {
        record["names"][0]: record
        for record in json.loads((root / "overlay-containers/containers.json").read_text())
    } if states else {}  # fmt: skip
    for row in done.json:
        record = stored[row["name"]]
        noted = json.loads(record["metadata"])
        assert (row["id"], row["mount_id"]) == (record["id"], record["layer"])
        assert row["image_id"] == f"sha256:{record['image']}"
        assert noted["created-at"] == int(_seconds(row["created"]))
        (found,) = layerfs(root, *options, "inspect", row["name"]).json
        assert found["Storage"] == record
        if row["state"] == "exited":
            assert (row["exit_code"], found["State"]["Running"]) == (0, False)
            assert found["Path"] == "/bin/fx"


def _seconds(time: str) -> float:
    import datetime as dt

    return dt.datetime.fromisoformat(time[:19] + "+00:00").timestamp()


def test_rows_are_those_that_sqlite_finds(tmp_path: Path) -> None:
    """Every document of a real db.sql, byte for byte, as SQLite reads the file itself."""
    root = unpack_sample("podman-5.8-composefs", tmp_path)
    connection = sqlite3.connect(root / "db.sql")  # the test's own copy
    documents: dict[str, Any] = {}
    for table in ("Config", "State"):
        query = {"Config": "SELECT JSON FROM ContainerConfig", "State": "SELECT JSON FROM ContainerState"}
        ((documents[table],),) = connection.execute(query[table]).fetchall()
    connection.close()
    (found,) = layerfs(root, "inspect", "c").json
    assert found["Libpod"] == {name: json.loads(text) for name, text in documents.items()}
