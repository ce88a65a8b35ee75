"""`layerfs images` beside a real Engine's `docker images`, on the same data root."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from layerfs.formats.gotime import parse_time
from tests.support.command import layerfs
from tests.support.compare import both_answers

if TYPE_CHECKING:
    from tests.support.engine import Engine

pytestmark = [pytest.mark.dockerd, pytest.mark.usefixtures("_utc")]

ZERO_TIME = -62135596800
"""What the API tells of an image without a date."""

FILTERS: list[dict[str, list[str]]] = [
    {},
    {"dangling": ["true"]},
    {"dangling": ["false"]},
    {"dangling": ["true", "false"]},
    {"label": ["org.example.lab"]},
    {"label": ["org.example.lab=types"]},
    {"label": ["org.example.lab=typ"]},
    {"label": ["org.example.role=demo", "org.example.version"]},
    {"label": ["org.example.role", "no.such.label"]},
    {"before": ["demo"]},
    {"since": ["demo:1.0"]},
    {"before": ["committed:1"], "since": ["base:1"]},
    {"before": ["config/no-created:1"]},
    {"since": ["zero/buildkit:1"]},
    {"reference": ["demo"]},
    {"reference": ["lab/*"]},
    {"reference": ["*/*:1", "demo:latest"]},
    {"reference": ["*"]},
    {"reference": ["*:latest"]},
    {"reference": ["lab/[n-x]*:?"]},
    {"reference": ["localhost:5000/*/*"]},
    {"reference": ["localhost:5000/team/by-digest@sha256:*"]},
    {"reference": ["docker.io/library/demo"]},
    {"reference": ["demo"], "dangling": ["true"]},
    {"reference": ["localhost:5000/team/*"], "dangling": ["true"]},
]

TABLES = [
    [],
    ["--all"],
    ["--digests"],
    ["--all", "--digests", "--no-trunc"],
    ["--no-trunc"],
    ["--quiet"],
    ["-aq", "--no-trunc"],
    ["demo"],
    ["demo:1.0"],
    ["lab/*"],
    ["no/such"],
    ["--digests", "localhost:5000/team/*"],
    ["--filter", "dangling=true"],
    ["--filter", "DANGLING = true "],
    ["--filter", "", "demo"],
    ["--filter", "since=base:1", "--filter", "label=org.example.role=demo"],
]

TEMPLATES = [
    "{{.ID}} {{.Repository}}:{{.Tag}}",
    "{{.Repository}} {{.Digest}}",
    "{{.CreatedAt}}|{{.CreatedSince}}|{{.Size}}|{{.VirtualSize}}",
    "{{.Containers}}|{{.SharedSize}}|{{.UniqueSize}}",
    "{{json .Tag}} {{upper .Repository}}",
    "table {{.Tag}}\t{{.Containers}}\t{{.Digest}}",
    "table {{.ID}}\\t{{.CreatedAt}}\\t{{.SharedSize}}\\t{{.UniqueSize}}",
    '{{if eq .Tag "latest"}}{{.Repository}}{{end}}',
]


def _ours(engine: Engine, *arguments: str) -> list[dict[str, Any]]:
    found = layerfs(engine.root, "images", "--format", "json", *arguments)
    assert (found.code, found.stderr) == (0, "")
    return list(found.json)


def _seconds(created: str | None) -> int:
    nanoseconds = parse_time(created) if created else None
    return ZERO_TIME if nanoseconds is None else nanoseconds // 10**9


def _by_image(rows: list[dict[str, Any]]) -> dict[str, tuple[set[str], set[str], int, int]]:
    """Tags, digests, creation time and size of each image among our rows."""
    found: dict[str, tuple[set[str], set[str], int, int]] = {}
    for row in rows:
        facts = found.setdefault(row["id"], (set(), set(), _seconds(row["created"]), row["size"]))
        if row["tag"]:
            facts[0].add(f"{row['repository']}:{row['tag']}")
        if row["digest"]:
            facts[1].add(f"{row['repository']}@{row['digest']}")
    return found


def _names(names: list[str] | None) -> set[str]:
    return set(names or ()) - {"<none>:<none>", "<none>@<none>"}


@pytest.mark.parametrize("everything", [0, 1])
@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_fields_are_the_engine_s(engine: Engine, filters: dict[str, list[str]], everything: int) -> None:
    """The same images, with the same names, times and sizes, come through the same filters."""
    answer = engine.get(f"images/json?all={everything}&filters={quote(json.dumps(filters))}")
    theirs = {
        item["Id"]: (_names(item["RepoTags"]), _names(item["RepoDigests"]), item["Created"], item["Size"])
        for item in answer
    }
    options = [f"--filter={name}={value}" for name, values in filters.items() for value in values]
    ours = _ours(engine, *options, *["--all"] * everything)
    assert _by_image(ours) == theirs
    assert [_seconds(row["created"]) for row in ours] == sorted(
        (_seconds(row["created"]) for row in ours), reverse=True
    )


@pytest.mark.parametrize("arguments", TABLES, ids=" ".join)
def test_tables_are_docker_s(engine: Engine, arguments: list[str]) -> None:
    """Every line is Docker's to the byte; images of the same second may stand in another order."""
    theirs, ours = both_answers(engine, ["images", *arguments], ["images", *arguments])
    assert ours.splitlines()[:1] == theirs.splitlines()[:1]
    assert sorted(ours.splitlines(keepends=True)) == sorted(theirs.splitlines(keepends=True))


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("option", [[], ["--digests"], ["--no-trunc"]], ids=" ".join)
def test_templates_print_what_docker_prints(engine: Engine, template: str, option: list[str]) -> None:
    """A template gives the lines it gives in Docker."""
    arguments = ["images", *option, "--format", template]
    theirs, ours = both_answers(engine, arguments, arguments)
    assert sorted(ours.splitlines(keepends=True)) == sorted(theirs.splitlines(keepends=True))


def test_json_of_a_row_is_docker_s(engine: Engine) -> None:
    """`{{json .}}` holds Docker's keys and values, no more and no fewer."""
    arguments = ["images", "--all", "--format", "{{json .}}"]
    theirs, ours = both_answers(engine, arguments, arguments)
    assert sorted(map(str, map(json.loads, ours.splitlines()))) == sorted(
        map(str, map(json.loads, theirs.splitlines()))
    )


def test_usage_is_what_the_engine_accounts(engine: Engine) -> None:
    """With --usage, shared and unique sizes and containers are those of `docker system df -v`."""
    theirs = {
        item["Id"]: (item["Size"], item["SharedSize"], item["Size"] - item["SharedSize"], item["Containers"])
        for item in engine.disk_usage()["Images"]
    }
    ours = {
        row["id"]: (row["size"], row["shared_size"], row["unique_size"], row["containers"])
        for row in _ours(engine, "--usage")
    }
    assert ours == theirs


@pytest.mark.parametrize(
    "bad",
    ["nonsense=x", "dangling=1", "dangling=", "dangling=TRUE", "label", "reference=[", "before=no/such"],
)
def test_what_docker_refuses_is_refused(engine: Engine, bad: str) -> None:
    """A filter that Docker calls invalid is an error here too, and prints nothing."""
    with pytest.raises(Exception, match="exit 1"):
        engine.cli("images", "--filter", bad)
    found = layerfs(engine.root, "images", "--filter", bad)
    assert found.code == (3 if bad.startswith("before") else 2)
    assert found.stdout == ""
