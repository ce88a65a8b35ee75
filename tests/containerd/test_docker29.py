"""Every row and field of what Docker 29 said of its containerd store, beside what layerfs says of it offline.

What is not compared is what only a running Engine can know: ages, the state of a process, and the order of
rows that were made in the same second.
"""

from __future__ import annotations

import collections
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import layerfs
from tests.support.recorded import Recorded, without_age

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.support.command import Result

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("_utc")]

RECORDED = Recorded("docker29-containerd-recorded")
"""Read when tests are collected, so that there is one for each file."""

HISTORIES = RECORDED.names("history-", ".txt")
INSPECTED = [name for name in RECORDED.names("inspect-", ".json") if "containers" not in name]
CONTAINERS = [item["Name"].removeprefix("/") for item in RECORDED.json("inspect-containers.json")]


def _ours(root: Path, *arguments: str) -> Result:
    found = layerfs(root, *arguments)
    assert (found.code, found.stderr) == (0, "")
    return found


def _rows(root: Path, command: str, *arguments: str, columns: Mapping[str, str]) -> list[dict[str, str]]:
    """What a command says, as rows of a table with these headers; the values are placeholders."""
    form = "\x1f".join("{{." + name + "}}" for name in columns.values())
    lines = _ours(root, *command.split(), *arguments, "--format", form).stdout.splitlines()
    return [dict(zip(columns, line.split("\x1f"), strict=True)) for line in lines]


def _same_rows(ours: Iterable[Mapping[str, Any]], theirs: Iterable[Mapping[str, Any]]) -> None:
    """The same rows, as often, in whatever order."""

    def counted(rows: Iterable[Mapping[str, Any]]) -> collections.Counter[tuple[tuple[str, Any], ...]]:
        return collections.Counter(tuple(sorted(row.items())) for row in rows)

    assert counted(ours) == counted(theirs)


def _without(rows: Iterable[Mapping[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in names} for row in rows]


def _name_of(file: str, beginning: str) -> str:
    """The image's name in the name of a recorded file."""
    name = file.removeprefix(beginning).rpartition(".")[0]
    repository, _, tag = name.rpartition("_")
    return re.sub(r"\.com_(\d+)_(\w+)_", r".com:\1/\2/", repository) + ":" + tag


# -- images --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("file", "options"), [("api-images-top.json", ()), ("api-images.json", ("-a",))])
def test_images_have_the_engines_numbers(docker29: Path, file: str, options: tuple[str, ...]) -> None:
    """IDs, names, sizes on disk and of content, and containers of every image, with `-a` and without."""
    ours: dict[str, list[dict[str, Any]]] = {}
    for row in _ours(docker29, "images", *options, "--format", "json").json:
        ours.setdefault(row["id"], []).append(row)
    theirs = RECORDED.json(file)
    assert set(ours) == {item["Id"] for item in theirs}
    for item in theirs:
        rows = ours[item["Id"]]
        first = rows[0]
        assert {row["size"] for row in rows} == {item["Size"]}
        assert first["disk_usage"] == item["Size"]
        assert first["containers"] == item["Containers"]
        assert first["target"] == item["Descriptor"]["digest"]
        tags = {f"{row['repository']}:{row['tag']}" for row in rows if row["tag"]}
        assert tags == set(item["RepoTags"])
        told = {f"{row['repository']}@{row['digest']}" for row in rows if row["digest"]}
        assert told >= set(item["RepoDigests"])
        if "Manifests" in item:
            assert first["content_size"] == sum(found["Size"]["Content"] for found in item["Manifests"])


def test_platforms_have_the_engines_numbers(docker29: Path) -> None:
    """Each platform of each image with its sizes, also one that was never fetched."""
    found = _ours(docker29, "images", "-a", "--all-platforms", "--format", "json").json
    ours = {row["id"]: (row["size"], row["content_size"], row["platform"]) for row in found}
    theirs = {}
    for item in RECORDED.json("api-images.json"):
        for manifest in item["Manifests"]:
            if manifest["Kind"] == "image":
                platform = manifest["ImageData"]["Platform"]
                words = (platform.get(key) for key in ("os", "architecture", "variant"))
                size = manifest["Size"]
                theirs[manifest["ID"]] = (size["Total"], size["Content"], "/".join(filter(None, words)))
    assert ours == theirs
    assert 0 in {size for size, _, _ in theirs.values()}


def test_table_of_images(docker29: Path) -> None:
    """Every line of the client's new table: name, ID, disk usage, content size, and whether it is in use."""
    columns = {
        "IMAGE": "Repository",
        "tag": "Tag",
        "ID": "ID",
        "DISK USAGE": "Size",
        "CONTENT SIZE": "ContentSize",
        "EXTRA": "Containers",
    }
    ours = _rows(docker29, "images", columns=columns)
    for row in ours:
        row["IMAGE"] += ":" + row.pop("tag")
        row["EXTRA"] = "U" if int(row["EXTRA"]) else ""
    _same_rows(ours, RECORDED.table("images.txt"))


def test_table_of_all_images_with_digests(docker29: Path) -> None:
    """Every line of `images --all --digests --no-trunc` but for its age."""
    names = ("REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "SIZE")
    columns = dict(zip(names, ("Repository", "Tag", "Digest", "ID", "Size"), strict=True))
    ours = _rows(docker29, "images", "-a", "--digests", "--no-trunc", columns=columns)
    _same_rows(ours, _without(RECORDED.table("images-all.txt"), "CREATED"))


def test_templates_of_images(docker29: Path) -> None:
    """Every placeholder of every image, but for its age."""
    theirs = _without(RECORDED.lines("images.jsonl"), "CreatedSince")
    ours = _rows(docker29, "images", "-a", "--no-trunc", columns={name: name for name in theirs[0]})
    _same_rows(ours, theirs)


def test_ids_alone(docker29: Path) -> None:
    """`-q`: one line for each tag."""
    ours = _ours(docker29, "images", "-q").stdout.split()
    assert sorted(ours) == sorted(RECORDED.text("images-q.txt").split())


@pytest.mark.parametrize(
    ("file", "condition"),
    [
        ("images-ref.txt", "reference=b*"),
        ("images-filter-label.txt", "label=org.example"),
        ("images-dangling.txt", "dangling=true"),
    ],
)
def test_filters_of_images(docker29: Path, file: str, condition: str) -> None:
    """A filter leaves the images that the client's leaves."""
    ours = _ours(docker29, "images", "--filter", condition, "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
    theirs = [f"{row['IMAGE']} {row['ID']}" for row in RECORDED.table(file)]
    assert sorted(ours.stdout.splitlines()) == sorted(theirs)


@pytest.mark.parametrize("name", ["base:1", "classic:1", "buildkit:1"])
def test_filters_by_age(docker29: Path, name: str) -> None:
    """`since` and `before` go by the times that the Engine tells of images."""
    made = {document["Id"]: document["Created"] for document, *_ in map(RECORDED.json, INSPECTED)}
    at = next(made[item["Id"]] for item in RECORDED.json("api-images.json") if name in item["RepoTags"])
    for condition, wanted in (
        ("since", {image for image, created in made.items() if created > at}),
        ("before", {image for image, created in made.items() if created < at}),
    ):
        ours = _ours(docker29, "images", "--no-trunc", "-q", "--filter", f"{condition}={name}").stdout.split()
        assert set(ours) & set(made) == wanted


# -- history, inspection -------------------------------------------------------------------------


@pytest.mark.parametrize("file", HISTORIES)
def test_history(docker29: Path, file: str) -> None:
    """`history` is the client's, line by line."""
    name = _name_of(file, "history-")
    ours = _ours(docker29, "history", "--no-trunc", "--human=false", name).stdout
    assert _trimmed(ours) == _trimmed(RECORDED.text(file))


def _trimmed(text: str) -> list[str]:
    """The lines without blanks at their ends: the client pads the last column."""
    return [line.rstrip() for line in text.splitlines()]


@pytest.mark.parametrize("file", INSPECTED)
def test_inspection_of_images(docker29: Path, file: str) -> None:
    """All that the Engine tells of an image; what it leaves out is nothing."""
    (theirs,) = RECORDED.json(file)
    (ours,) = _ours(docker29, "inspect", "--type", "image", _name_of(file, "inspect-")).json
    _covers(ours, theirs)
    for key in ("Parent", "Comment", "Author", "Identity", "Variant", "OsVersion"):
        assert key in theirs or not ours.get(key)
    assert not any(value for key, value in ours["Config"].items() if key not in theirs["Config"])


@pytest.mark.parametrize("name", CONTAINERS)
def test_inspection_of_containers(docker29: Path, name: str) -> None:
    """All that the Engine tells of a container, paths in the data root too."""
    theirs = next(item for item in RECORDED.json("inspect-containers.json") if item["Name"] == f"/{name}")
    (ours,) = _ours(docker29, "inspect", "--type", "container", name).json
    _covers(_in_root(ours, str(docker29)), theirs)


def _in_root(value: Any, root: str) -> Any:
    """The same with the paths of the Engine's own data root."""
    if isinstance(value, dict):
        return {key: _in_root(item, root) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_root(item, root) for item in value]
    return value.replace(root, "/var/lib/docker") if isinstance(value, str) else value


def _covers(ours: Any, theirs: Any, at: str = "") -> None:
    """Every value of theirs is in ours; what theirs leaves out of an object may be there."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict), at
        for key, value in theirs.items():
            assert key in ours, f"{at}.{key}"
            _covers(ours[key], value, f"{at}.{key}")
    else:
        assert ours == theirs, at


# -- disk usage ----------------------------------------------------------------------------------


def test_disk_usage(docker29: Path) -> None:
    """Totals, counts and what is reclaimable of images, containers, volumes and the build cache."""
    theirs = RECORDED.json("api-df.json")
    usual = {"TotalCount": 0, "ActiveCount": 0, "TotalSize": 0, "Reclaimable": 0}
    kinds = {
        "Images": "Image",
        "Containers": "Container",
        "Local Volumes": "Volume",
        "Build Cache": "BuildCache",
    }
    keys = ("total_count", "active", "size", "reclaimable_size")
    ours = {
        row["type"]: tuple(row[key] for key in keys)
        for row in _ours(docker29, "system", "df", "--format", "json").json
    }
    assert ours == {
        kind: tuple((usual | theirs[f"{key}Usage"])[name] for name in usual) for kind, key in kinds.items()
    }


def test_table_of_disk_usage(docker29: Path) -> None:
    """The client's table; a container wrote one more block after it was printed."""
    ours, theirs = _ours(docker29, "system", "df").stdout, RECORDED.text("df.txt")
    assert _without_containers(ours) == _without_containers(theirs)


def _without_containers(text: str) -> list[str]:
    return [re.sub(r" +", " ", line) for line in _trimmed(text) if not line.startswith("Containers")]


def test_disk_usage_item_by_item(docker29: Path) -> None:
    """Sizes, shared sizes, users and times of every image, container, volume and cache record."""
    theirs = RECORDED.json("api-df.json")
    ours = _ours(docker29, "system", "df", "-v", "--format", "json").json
    images = {row["id"]: (row["size"], row["shared_size"], row["containers"]) for row in ours["images"]}
    assert images == {
        item["Id"]: (item["Size"], item["SharedSize"], item["Containers"])
        for item in theirs["ImageUsage"]["Items"]
    }
    assert all(row["size"] == row["shared_size"] + row["unique_size"] for row in ours["images"])
    containers = {row["id"]: row["size_rw"] for row in ours["containers"]}
    assert containers == {item["Id"]: item["SizeRw"] for item in theirs["ContainerUsage"]["Items"]}
    volumes = {row["name"]: (row["links"], row["size"]) for row in ours["volumes"]}
    assert volumes == {
        item["Name"]: (item["UsageData"]["RefCount"], item["UsageData"]["Size"])
        for item in theirs["VolumeUsage"]["Items"]
    }
    keys = ("id", "parent", "type", "description", "size", "shared", "created", "last_used", "usage_count")
    cache = {row["id"]: tuple(row[key] for key in keys) for row in ours["build_cache"]}
    assert cache == {item["ID"]: _record(item) for item in theirs["BuildCacheUsage"]["Items"]}


def _record(item: Mapping[str, Any]) -> tuple[Any, ...]:
    """A record of the build cache; the Engine's key of the parents begins with a blank."""
    parent = next(iter(item.get(" Parents", ())), None)
    keys = ("Type", "Description", "Size", "Shared", "CreatedAt", "LastUsedAt", "UsageCount")
    return (item["ID"], parent, *(item[key] for key in keys))


@pytest.mark.parametrize(
    "title",
    ["Images space usage:", "Containers space usage:", "Local Volumes space usage:", "Build cache usage:"],
)
def test_tables_of_disk_usage(docker29: Path, title: str) -> None:
    """Every cell of the client's four tables, but ages and what goes on in a running container."""
    ours = Recorded.table_of(_ours(docker29, "system", "df", "-v").stdout, title)
    theirs = Recorded.table_of(RECORDED.text("dfv.txt"), title)
    assert list(ours[0]) == list(theirs[0])
    ages = ("CREATED", "LAST USED", "STATUS")
    running = [row for row in theirs if row.get("NAMES") == "running"]
    for row in running:
        row["SIZE"] = "8.19kB"  # as the Engine's own numbers of later have it: api-df.json
    _same_rows(_without(ours, *ages), _without(theirs, *ages))


def test_usage_has_the_engines_numbers(docker29: Path) -> None:
    """`du` tells the same sizes, and no image frees more than all of itself."""
    theirs = {item["Id"]: item for item in RECORDED.json("api-df.json")["ImageUsage"]["Items"]}
    found = _ours(docker29, "du", "--format", "json").json
    assert {row["id"]: (row["size"], row["shared_size"]) for row in found["images"]} == {
        image: (item["Size"], item["SharedSize"]) for image, item in theirs.items()
    }
    usage = RECORDED.json("api-df.json")["ImageUsage"]
    assert (found["total_size"], found["reclaimable_size"]) == (usage["TotalSize"], usage["Reclaimable"])
    assert found["orphans"] == []
    for row in found["images"]:
        assert 0 <= row["freed_size"] <= theirs[row["id"]]["Size"] + theirs[row["id"]]["Descriptor"]["size"]


# -- containers ----------------------------------------------------------------------------------


def test_containers_have_the_engines_numbers(docker29: Path) -> None:
    """Sizes, images, names, times, labels and mounts of every container."""
    ours = {row["id"]: row for row in _ours(docker29, "containers", "--size", "--format", "json").json}
    theirs = {item["Id"]: item for item in RECORDED.json("api-ps.json")}
    assert set(ours) == set(theirs)
    for name, item in theirs.items():
        row = ours[name]
        assert (row["size_rw"], row["size_root_fs"]) == (item["SizeRw"], item["SizeRootFs"])
        assert [f"/{row['name']}"] == item["Names"]
        assert (row["image"], row["image_id"]) == (item["Image"], item["ImageID"])
        assert " ".join(row["command"]) == item["Command"]
        assert (row["labels"], row["recorded_state"]) == (item["Labels"], item["State"])
        assert [mount["destination"] for mount in row["mounts"]] == [
            mount["Destination"] for mount in item["Mounts"]
        ]


def test_templates_of_containers(docker29: Path) -> None:
    """Every placeholder of every container, but for ages, and for the one that ran."""
    theirs = _without(RECORDED.lines("ps.jsonl"), "RunningFor")
    ours = _rows(docker29, "containers", "--no-trunc", "--size", columns={name: name for name in theirs[0]})
    for row in theirs:
        row["Platform"] = "/".join(row["Platform"][key] for key in ("os", "architecture"))
        row["Labels"] = ",".join(sorted(row["Labels"].split(",")))
        row["Status"] = without_age(row["Status"])
        if row["Names"] == "running":
            row |= {"Status": "Last seen running (started AGE)", "State": "unknown"}
            row["Size"] = "8.19kB (virtual 676kB)"  # it wrote one more block: api-ps.json
    for row in ours:
        row["Labels"] = ",".join(sorted(row["Labels"].split(",")))
        row["Status"] = without_age(row["Status"])
    _same_rows(ours, theirs)


@pytest.mark.parametrize("name", CONTAINERS)
def test_diff(docker29: Path, name: str) -> None:
    """`diff` of a container tells the same changes."""
    theirs = RECORDED.text("diff.txt" if name == "changed" else f"diff-{name}.txt").splitlines()
    if name == "running":
        theirs.append("A /while-running")  # written after that was asked: the block more of api-ps.json
    found = layerfs(docker29, "diff", name)
    assert (found.code, found.stderr) == (1 if theirs else 0, "")
    assert sorted(found.stdout.splitlines()) == sorted(theirs)


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("item", RECORDED.json("api-images.json"), ids=lambda item: item["Id"][7:19])
def test_names_mean_what_docker_means(docker29: Path, item: dict[str, Any]) -> None:
    """IDs with and without algorithm, their beginnings, names, and names with digests."""
    digits = item["Id"].removeprefix("sha256:")
    names = [item["Id"], digits, *(digits[:length] for length in (4, 12, 63)), f"sha256:{digits[:12]}"]
    names += [*item["RepoTags"], *item["RepoDigests"]]
    names += [f"{name}@{item['Id']}" for name in item["RepoTags"]]
    names += [f"docker.io/library/{name}" for name in item["RepoTags"] if "/" not in name]
    for name in names:
        assert _ours(docker29, "inspect", "--format", "{{.Id}}", "--type", "image", name).stdout.split() == [
            item["Id"]
        ]
    for name in (f"other@{item['Id']}", f"{digits}0", f"other:{digits[:12]}"):
        assert layerfs(docker29, "inspect", "--type", "image", name).code != 0


def test_several_images_of_a_beginning_are_refused(docker29: Path) -> None:
    """What begins several IDs means none of them."""
    ids = [item["Id"].removeprefix("sha256:") for item in RECORDED.json("api-images.json")]
    begun = collections.Counter(image[0] for image in ids)
    beginning = next(digit for digit, count in begun.items() if count > 1)
    found = layerfs(docker29, "inspect", "--type", "image", beginning)
    assert found.code != 0
    assert "several" in found.stderr or "ambiguous" in found.stderr


def test_config_digest_is_another_name(docker29: Path) -> None:
    """The digest of a config is no ID to Docker; here it finds the image, after what Docker knows."""
    document = _ours(docker29, "inspect", "base:1").json[0]
    config = "sha256:41d674bc72858a29918e9ba1583fbcc088b215f38f1d9c45597b44e51eb75ce1"
    assert document["Id"] != config
    found = _ours(docker29, "inspect", "--type", "image", "--format", "{{.Id}}", config)
    assert found.stdout.split() == [document["Id"]]
