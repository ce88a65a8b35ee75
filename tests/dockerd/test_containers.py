"""`layerfs containers` beside a real Engine's `docker ps --all`, on the same data root.

The Engine has put its copy of the recording in order when it started: what was running when it was
recorded has ended. What we say of the root before that is tested in `tests/cli`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.formats.gotime import parse_time
from tests.support.command import layerfs
from tests.support.compare import both_answers
from tests.support.engine import Engine, copy_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = [pytest.mark.dockerd, pytest.mark.usefixtures("_utc")]

OPTIONS = [
    [],
    ["--size"],
    ["--no-trunc"],
    ["--no-trunc", "--size"],
    ["--quiet"],
    ["-q", "--no-trunc"],
    ["--last", "3"],
    ["--latest"],
    [
        "--format",
        "{{.ID}} {{.Names}} {{.Image}} {{.Command}} {{.State}} {{.Status}} {{.Networks}} {{.Ports}}.",
    ],
    ["--format", "{{.CreatedAt}}|{{.RunningFor}}|{{.Size}}|{{.LocalVolumes}}"],
    [
        "--format",
        '{{.Label "org.example.role"}} {{"no.such" | .Label}}{{upper (.Label "org.example.state")}}',
    ],
    ["--format", 'table {{.ID}}\t{{.Label "org.example.role"}}\t{{.Label "io.x.some-label_name"}}.'],
    ["--format", "table {{.Names}}\t{{.Size}}\t{{.LocalVolumes}}\t{{.State}}\t{{.CreatedAt}}"],
]

FILTERS = [
    ["name=clean"],
    ["name=c"],
    ["name=^c"],
    ["name=^/c"],
    ["name=[", "name=deep"],
    ["name=o", "name=d$"],
    ["status=exited"],
    ["status=created"],
    ["status=running"],
    ["status=created", "status=exited"],
    ["exited=0"],
    ["exited=255"],
    ["exited=0", "exited=255"],
    ["label=org.example.role"],
    ["label=org.example.role=demo"],
    ["label=org.example.role=demo", "label=no.such.label"],
    ["label=org.example.state=created"],
    ["ancestor=demo"],
    ["ancestor=demo:1.0"],
    ["ancestor=base:1"],
    ["ancestor=no/such"],
    ["ancestor=zero/scratch:1", "ancestor=lab/links:1"],
    ["before=deep"],
    ["since=clean"],
    ["since=clean", "before=zero"],
    ["volume=data"],
    ["volume=/data"],
    ["volume=/srv"],
    ["volume=/mnt/host", "volume=nothing"],
    ["volume=nothing"],
    ["network=none"],
    ["network=nothing"],
    ["status=exited", "name=o", "ancestor=demo"],
]


def test_fields_are_the_engine_s(engine: Engine) -> None:
    """Every container, in the Engine's order, has the Engine's name, image, state, sizes and mounts."""
    theirs = [
        {
            "id": item["Id"],
            "names": item["Names"],
            "image": (item["Image"], item["ImageID"]),
            "created": item["Created"],
            "state": item["State"],
            "sizes": (item.get("SizeRw", 0), item.get("SizeRootFs", 0)),
            "labels": item["Labels"],
            "mounts": sorted(_engine_mount(mount) for mount in item["Mounts"]),
            "networks": sorted(item["NetworkSettings"]["Networks"]),
        }
        for item in engine.containers()
    ]
    found = layerfs(engine.root, "containers", "--size", "--format", "json")
    assert (found.code, found.stderr) == (0, "")
    ours = [
        {
            "id": row["id"],
            "names": [f"/{row['name']}"],
            "image": (row["image"], row["image_id"]),
            "created": (parse_time(row["created"]) or 0) // 10**9,
            "state": row["state"],
            "sizes": (row["size_rw"], row["size_root_fs"]),
            "labels": row["labels"],
            "mounts": sorted(_our_mount(mount) for mount in row["mounts"]),
            "networks": row["networks"],
        }
        for row in found.json
    ]
    assert ours == theirs
    assert len(ours) >= 10


def test_facts_are_those_inspected(engine: Engine) -> None:
    """Commands, exit codes, times and layers are those of `docker inspect`."""
    for row in layerfs(engine.root, "containers", "--format", "json").json:
        theirs = engine.container(row["id"])
        state = theirs["State"]
        assert row["command"] == [theirs["Path"], *theirs["Args"]]
        assert row["exit_code"] == (None if state["Status"] == "created" else state["ExitCode"])
        assert _time(row["started"]) == _time(state["StartedAt"])
        assert _time(row["finished"]) == _time(state["FinishedAt"])
        assert f"/{row['mount_id']}/diff" in theirs["GraphDriver"]["Data"]["UpperDir"]
        assert f"/{row['init_id']}/diff" in theirs["GraphDriver"]["Data"]["LowerDir"]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_output_is_docker_s(engine: Engine, options: list[str]) -> None:
    """The whole output is Docker's to the byte."""
    theirs, ours = both_answers(engine, ["ps", "--all", *options], ["containers", *options])
    assert ours == theirs


@pytest.mark.parametrize("filters", FILTERS, ids=" ".join)
def test_filters_are_docker_s(engine: Engine, filters: list[str]) -> None:
    """The same containers, in the same order, come through the same filters."""
    options = [f"--filter={item}" for item in filters]
    theirs = engine.cli("ps", "--all", "--no-trunc", "--quiet", *options)
    assert layerfs(engine.root, "containers", "-q", "--no-trunc", *options) == (0, theirs, "")


def test_filter_by_id_takes_a_prefix(engine: Engine) -> None:
    """An ID filter takes the whole ID, or a prefix that fits one container only."""
    ids = [str(item["Id"]) for item in engine.containers()]
    for prefix in (ids[0], ids[1][:12], ids[2][:6], ids[3][1:9], ""):
        option = f"--filter=id={prefix}"
        theirs = engine.cli("ps", "--all", "--no-trunc", "--quiet", option)
        assert layerfs(engine.root, "containers", "-q", "--no-trunc", option).stdout == theirs


def test_json_of_a_row_is_docker_s(engine: Engine) -> None:
    """`{{json .}}` holds Docker's keys and values, lists in words in whatever order."""
    theirs, ours = both_answers(
        engine, ["ps", "--all", "--format", "{{json .}}"], ["containers", "--format", "{{json .}}"]
    )
    assert [_unordered(line) for line in ours.splitlines()] == [
        _unordered(line) for line in theirs.splitlines()
    ]


NOTED: dict[str, dict[str, Any]] = {
    "clean": {"Ports": {"80/tcp": [{"HostIp": "127.0.0.2", "HostPort": "8080"}], "90/tcp": None}},
    "links": {"Ports": {"53/udp": [{"HostIp": "127.0.0.1", "HostPort": "5353"}]}, "Health": "healthy"},
    "deep": {"Health": "unhealthy", "Managed": True},
    "odd": {"Health": ""},
    "changed": {"Ports": {"8080/tcp": None}},
}
"""What is noted of containers by name; the recorded ones never had ports, a health check or a swarm."""


@pytest.fixture(scope="module")
def noting(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An Engine on a copy of the recorded root, in whose containers more is noted."""
    root = copy_root(dataroot_path, tmp_path_factory.mktemp("noting") / "root")
    for path in root.glob("containers/*/config.v2.json"):
        config = json.loads(path.read_bytes())
        noted = NOTED.get(config["Name"].removeprefix("/"), {})
        config["NetworkSettings"]["Ports"] = noted.get("Ports", {})
        config["State"]["Health"] = {"Status": noted["Health"]} if "Health" in noted else None
        config["Managed"] = noted.get("Managed", False)
        path.write_text(json.dumps(config))
    with Engine(root) as engine:
        assert engine.cli("ps", "--all", "--filter", "publish=8080", "--format", "{{.Names}}") == "clean\n"
        yield engine


@pytest.mark.parametrize(
    "filters",
    [
        *(["publish=8080"], ["publish=8080/tcp"], ["publish=8080/udp"], ["publish=5353/udp"], ["publish=80"]),
        *(["publish=5000-9000"], ["publish=5000-9000/udp"], ["publish=1-65535/tcp"], ["publish=8080/TCP"]),
        *(["expose=80"], ["expose=90"], ["expose=8080"], ["expose=50-100"], ["expose=53/udp"], ["expose=53"]),
        *(["publish=5353/udp", "expose=90"], ["publish=8080", "publish=1"], ["expose=1", "publish=2"]),
        *(["health=none"], ["health=starting"], ["health=healthy"], ["health=healthy", "health=none"]),
        *(["health=unhealthy"], ["is-task=true"], ["is-task=false"], ["is-task=true", "is-task=false"]),
        ["health=none", "expose=80-90"],
    ],
    ids=" ".join,
)
def test_filters_of_ports_health_and_tasks_are_docker_s(noting: Engine, filters: list[str]) -> None:
    """The same containers come through, by port, range and protocol, health as recorded, and swarm."""
    test_filters_are_docker_s(noting, filters)


@pytest.mark.parametrize(
    "bad",
    [
        *(
            "nonsense=x",
            "status=asleep",
            "exited=x",
            "name",
            "since=no-such",
            "health=well",
            "is-task=perhaps",
        ),
        *("publish=x", "publish=90-80", "publish=0.0.0.0:80", "expose=", "expose=70000"),
    ],
)
def test_what_docker_refuses_is_refused(engine: Engine, bad: str) -> None:
    """A filter that Docker calls invalid is an error here too, and prints nothing."""
    with pytest.raises(Exception, match=r"exit 1"):
        engine.cli("ps", "--all", "--filter", bad)
    found = layerfs(engine.root, "containers", "--filter", bad)
    assert found.code == (3 if bad.startswith("since") else 2)
    assert found.stdout == ""


def _engine_mount(mount: dict[str, Any]) -> tuple[Any, ...]:
    # the source of a volume is a path of the Engine's own
    source = None if mount["Type"] == "volume" else mount["Source"]
    return mount["Type"], mount["Destination"], mount.get("Name") or "", source or "", mount["RW"]


def _our_mount(mount: dict[str, Any]) -> tuple[Any, ...]:
    source = None if mount["type"] == "volume" else mount["source"]
    return mount["type"], mount["destination"], mount["name"] or "", source or "", mount["writable"]


def _time(text: str | None) -> int | None:
    return parse_time(text) if text else None


def _unordered(line: str) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(line)
    return row | {name: sorted(row[name].split(",")) for name in ("Labels", "Mounts", "Networks")}
