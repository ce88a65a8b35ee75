"""`layerfs containers` on a root that no Engine has put in order: stale states, missing parts."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import layerfs

if TYPE_CHECKING:
    from pathlib import Path

KEYS = [
    *("id", "name", "image", "image_id", "command", "created", "state", "recorded_state", "recorded_running"),
    *("exit_code", "started", "finished", "ports", "labels", "mounts", "networks"),
    *("size_rw", "size_root_fs", "pod", "pod_namespace", "pod_id", "pod_labels", "attempt", "kind"),
    *("mount_id", "init_id"),
]
MOUNTS = "image/overlay2/layerdb/mounts"


def _rows(root: Path, *arguments: str) -> list[dict[str, Any]]:
    found = layerfs(root, "containers", "--format", "json", *arguments)
    assert (found.code, found.stderr) == (0, "")
    return list(found.json)


def _row(root: Path, name: str) -> dict[str, Any]:
    return next(row for row in _rows(root) if row["name"] == name)


def _change_config(root: Path, container: str, **changes: Any) -> None:
    """Write into a container's config.v2.json; a dictionary changes part of one."""
    path = root / "containers" / container / "config.v2.json"
    document = json.loads(path.read_bytes())
    for name, value in changes.items():
        document[name] = document[name] | value if isinstance(value, dict) else value
    path.write_text(json.dumps(document))


def test_json_has_its_keys(dataroot_path: Path) -> None:
    """Keys are always the same; sizes are null unless --size asks for the walk they need."""
    for row in _rows(dataroot_path):
        assert list(row) == KEYS
        assert row["size_rw"] is row["size_root_fs"] is None
    for row in _rows(dataroot_path, "--size"):
        assert list(row) == KEYS
        assert type(row["size_rw"]) is type(row["size_root_fs"]) is int


def test_a_recorded_running_state_is_not_claimed(dataroot_path: Path) -> None:
    """A container recorded as running is last seen running: never up, never exited, its state unknown."""
    config = next(
        document
        for path in (dataroot_path / "containers").glob("*/config.v2.json")
        if (document := json.loads(path.read_bytes()))["State"]["Running"]
    )
    row = next(row for row in _rows(dataroot_path) if row["id"] == config["ID"])
    assert (row["state"], row["recorded_state"], row["recorded_running"]) == (None, "running", True)
    assert row["exit_code"] is None
    shown = layerfs(
        dataroot_path, "containers", "--format", "{{.State}}|{{.Status}}", "-f", f"id={row['id']}"
    )
    assert shown.stdout.startswith("unknown|Last seen running (started ")
    assert "Up" not in layerfs(dataroot_path, "containers").stdout
    running = layerfs(dataroot_path, "containers", "-q", "--no-trunc", "-f", "status=running")
    assert running.stdout.split() == [config["ID"]]


@pytest.mark.parametrize(
    ("state", "recorded", "words"),
    [
        ({"Running": True, "Paused": True}, "paused", "Last seen paused (started "),
        ({"Running": True, "Restarting": True}, "restarting", "Last seen restarting (started "),
        ({"Running": False, "Dead": True}, "dead", "Dead"),
        ({"Running": False, "RemovalInProgress": True}, "removing", "Removal In Progress"),
        (
            {"Running": False, "ExitCode": 137, "FinishedAt": "2020-01-01T00:00:00Z"},
            "exited",
            "Exited (137) 6 y",
        ),
        ({"Running": False, "StartedAt": "0001-01-01T00:00:00Z"}, "created", "Created"),
    ],
)
def test_every_state_has_its_words(copy: Path, state: dict[str, Any], recorded: str, words: str) -> None:
    """Each state the engine records is told in Docker's words where they hold without an engine."""
    container = _row(copy, "crashed")["id"]
    _change_config(copy, container, State=state)
    row = _row(copy, "crashed")
    assert row["recorded_state"] == recorded
    assert row["state"] == (None if state["Running"] else recorded)
    shown = layerfs(copy, "containers", "--format", "{{.Status}}", "-f", f"id={container}").stdout
    assert shown.startswith(words)


@pytest.mark.parametrize("damage", ["", "{", '{"ID": "x"}', None])
def test_container_without_config_is_shown(copy: Path, damage: str | None) -> None:
    """Where the config is gone or broken its file is named; the container keeps a row, as do all others."""
    before = _rows(copy, "--size")
    victim = next(row for row in before if row["name"] == "changed")
    path = copy / "containers" / victim["id"] / "config.v2.json"
    if damage is None:
        shutil.rmtree(path.parent)
    else:
        path.write_text(damage)
    found = layerfs(copy, "containers", "--size", "--format", "json")
    assert found.code == 1
    assert f"{victim['id']}/config.v2.json" in found.stderr
    left = {"id", "size_rw", "size_root_fs", "kind", "mount_id", "init_id"}
    row = next(row for row in found.json if row["id"] == victim["id"])
    assert row == {key: victim[key] if key in left else None for key in KEYS}
    assert [row for row in found.json if row["id"] != victim["id"]] == [
        row for row in before if row != victim
    ]
    table = layerfs(copy, "containers", "--size")
    assert "Config missing" in table.stdout
    assert layerfs(copy, "containers", "-q", "-f", "status=exited").stdout.count(victim["id"][:12]) == 0


def test_container_without_layers_is_shown(copy: Path) -> None:
    """Where the mount record is gone, and no time tells, the container has a row without layers and sizes."""
    before = _rows(copy, "--size")
    victim = next(row for row in before if row["name"] == "clean")
    shutil.rmtree(copy / MOUNTS / victim["id"])
    found = layerfs(copy, "containers", "--size", "--format", "json")
    assert (found.code, found.json) == (1, before)
    os.utime(copy / "overlay2" / victim["init_id"] / "link")
    found = layerfs(copy, "containers", "--size", "--format", "json")
    assert found.code == 1
    assert f"mounts/{victim['id']}" in found.stderr
    gone = dict.fromkeys(("size_rw", "size_root_fs", "mount_id", "init_id"))
    assert found.json == [row | gone if row == victim else row for row in before]
    shown = layerfs(copy, "containers", "--format", "{{.Names}}: {{.Status}} {{.Size}}").stdout
    assert "ago (layers missing) N/A\n" in shown


def test_unreadable_layer_leaves_the_size_unknown(copy: Path) -> None:
    """A container whose own layer's directory is missing has no size; the directory is named."""
    victim = _row(copy, "clean")
    shutil.rmtree(copy / "overlay2" / victim["mount_id"] / "diff")
    found = layerfs(copy, "containers", "--size", "--format", "json")
    assert found.code == 1
    assert victim["mount_id"] in found.stderr
    sizes = {row["name"]: (row["size_rw"], row["size_root_fs"]) for row in found.json}
    assert sizes.pop("clean") == (None, None)
    assert all(type(size) is int for pair in sizes.values() for size in pair)


def test_a_name_that_means_another_image_now_is_not_shown(copy: Path) -> None:
    """The image's ID stands where the name that the user typed now means another image, or none."""
    path = copy / "image/overlay2/repositories.json"
    document = json.loads(path.read_bytes())
    other = document["Repositories"]["base"]["base:1"]
    document["Repositories"]["demo"]["demo:latest"] = other
    path.write_text(json.dumps(document))
    row = _row(copy, "changed")
    assert row["image"] == row["image_id"] != other
    assert _row(copy, "clean")["image"] == "demo:1.0"


def test_ports_are_told_as_docker_tells_them(copy: Path) -> None:
    """Ports are as last recorded: ranges joined, addresses as in the Docker manual's examples."""
    container = _row(copy, "crashed")["id"]
    recorded = {
        "80/tcp": [{"HostIp": "192.0.2.1", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
        "443/tcp": [{"HostIp": "192.0.2.1", "HostPort": "443"}],
        "9988/tcp": None,
        "9989/tcp": [],
        "53/udp": None,
        "junk": "x",
    }
    _change_config(copy, container, NetworkSettings={"Ports": recorded})
    shown = layerfs(copy, "containers", "--format", "{{.Ports}}", "-f", f"id={container}")
    assert (
        shown.stdout
        == "53/udp, 192.0.2.1:443->443/tcp, 9988-9989/tcp, 192.0.2.1:8080->80/tcp, :::8080->80/tcp\n"
    )
    assert len(_row(copy, "crashed")["ports"]) == 6


def test_hostile_text_stays_text(copy: Path) -> None:
    """Control bytes in names, commands and labels reach neither the terminal nor the layout."""
    container = _row(copy, "crashed")["id"]
    _change_config(
        copy,
        container,
        Name="/a\x1b[2J\tb\nc",
        Path="x\x07",
        Args=["\u202ey"],
        Config={"Labels": {"k": "\x9b"}},
    )
    for form in ("table", "{{.Names}} {{.Command}} {{.Labels}}", "json", "jsonl", "github"):
        shown = layerfs(copy, "containers", "--no-trunc", "--format", form)
        assert shown.code == 0
        assert all(line.isprintable() for line in shown.stdout.splitlines())
    assert len(layerfs(copy, "containers").stdout.splitlines()) == 1 + len(_rows(copy))
    assert next(row for row in _rows(copy) if row["id"] == container)["name"] == "a\x1b[2J\tb\nc"
