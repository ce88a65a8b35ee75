"""`layerfs images` where no Engine can be asked: data, sorting, `until`, damage, hostile text."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.ids import chain_ids
from tests.support.command import add_image, configs, layerfs

if TYPE_CHECKING:
    from pathlib import Path

DRIVER = "image/overlay2"
KEYS = ["repository", "tag", "digest", "id", "created", "size", "content_size", "disk_usage", "target"]
KEYS += ["containers"]
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def _rows(root: Path, *arguments: str) -> list[dict[str, Any]]:
    found = layerfs(root, "images", "--format", "json", *arguments)
    assert (found.code, found.stderr) == (0, "")
    return list(found.json)


def _id_of(root: Path, name: str) -> str:
    return str(_rows(root, name)[0]["id"])


def _config_file(root: Path, image_id: str) -> Path:
    return root / DRIVER / "imagedb/content/sha256" / image_id.removeprefix("sha256:")


def test_json_is_typed(dataroot_path: Path) -> None:
    """Keys are the documented ones in order; sizes are integers, times RFC 3339, the unknown is null."""
    rows = _rows(dataroot_path, "--all")
    assert {row["id"] for row in rows} == set(configs(dataroot_path))
    for row in rows:
        assert list(row) == KEYS
        assert type(row["size"]) is int
        assert type(row["containers"]) is int
        assert row["created"] is None or RFC_3339.fullmatch(row["created"])
        assert "<none>" not in row.values()
    assert {row["repository"] is None for row in rows} == {True, False}
    assert {row["created"] is None for row in rows} == {True, False}


def test_names_are_those_of_repositories_json(dataroot_path: Path) -> None:
    """JSON tells every tag, and every digest beside the tags of its repository."""
    stored = json.loads((dataroot_path / DRIVER / "repositories.json").read_bytes())["Repositories"]
    names = {name: image for rows in stored.values() for name, image in rows.items()}
    found = {}
    for row in _rows(dataroot_path):
        if row["tag"]:
            found[f"{row['repository']}:{row['tag']}"] = row["id"]
        if row["digest"]:
            found[f"{row['repository']}@{row['digest']}"] = row["id"]
    assert found == names


def test_formats_agree(dataroot_path: Path) -> None:
    """jsonl, csv and tsv hold the rows and keys of json."""
    rows = _rows(dataroot_path)
    lines = layerfs(dataroot_path, "images", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == rows
    for form, delimiter in (("csv", ","), ("tsv", "\t")):
        text = layerfs(dataroot_path, "images", "--format", form).stdout
        table = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
        assert table == [
            {key: "" if value is None else str(value) for key, value in row.items()} for row in rows
        ]


def test_containers_are_counted(dataroot_path: Path) -> None:
    """`containers` counts the configs of containers that name the image."""
    paths = (dataroot_path / "containers").glob("*/config.v2.json")
    images = [json.loads(path.read_bytes())["Image"] for path in paths]
    rows = _rows(dataroot_path)
    assert {row["id"]: row["containers"] for row in rows} == {
        row["id"]: images.count(row["id"]) for row in rows
    }
    assert max(row["containers"] for row in rows) > 1


def test_usage_adds_its_columns(dataroot_path: Path) -> None:
    """--usage adds its keys; shared and unique make up the size, and freed never exceeds it."""
    rows = _rows(dataroot_path, "--usage")
    for row in rows:
        assert list(row) == [*KEYS, "shared_size", "unique_size", "freed_size"]
        assert row["shared_size"] + row["unique_size"] == row["size"]
        assert 0 <= row["freed_size"] <= row["size"]
    assert any(row["freed_size"] < row["unique_size"] for row in rows)
    header = layerfs(dataroot_path, "images", "--usage").stdout.splitlines()[0]
    assert header.split("  ")[-1].strip() == "CONTAINERS"


@pytest.mark.parametrize("key", ["size", "containers", "shared_size", "unique_size", "freed_size"])
def test_sorting_puts_the_largest_first(dataroot_path: Path, key: str) -> None:
    """--sort COLUMN goes from the largest down, and -COLUMN the other way, over the same rows."""
    plain = [row[key] for row in _rows(dataroot_path, "--usage")]
    assert [row[key] for row in _rows(dataroot_path, "--usage", "--sort", key)] == sorted(plain, reverse=True)
    assert [row[key] for row in _rows(dataroot_path, "--usage", "--sort", f"-{key}")] == sorted(plain)


@pytest.mark.parametrize("key", ["repository", "tag", "digest", "id"])
def test_sorting_names_starts_with_a(dataroot_path: Path, key: str) -> None:
    """--sort of names goes from A; rows without the name come last either way."""
    for option, reverse in ((key, False), (f"-{key}", True)):
        found = [row[key] for row in _rows(dataroot_path, "--sort", option)]
        known = [value for value in found if value is not None]
        assert known == sorted(known, reverse=reverse)
        assert found == known + [None] * (len(found) - len(known))


def test_sorting_by_time_puts_the_newest_first(dataroot_path: Path) -> None:
    """--sort created is by the time itself, not its text; images without a date come last either way."""
    times = [row["created"] for row in _rows(dataroot_path, "--sort", "created")]
    oldest_first = [row["created"] for row in _rows(dataroot_path, "--sort=-created")]
    dated = [created.rstrip("Z") for created in times if created]
    assert dated == sorted(dated, reverse=True)
    assert [created.rstrip("Z") for created in oldest_first if created] == sorted(dated)
    assert times[-2:] == oldest_first[-2:] == [None, None]


def test_sort_refuses_what_is_no_column(dataroot_path: Path) -> None:
    """An unknown column, or one that needs --usage, is a usage error."""
    assert layerfs(dataroot_path, "images", "--sort", "nonsense").code == 2
    assert layerfs(dataroot_path, "images", "--sort", "freed_size").code == 2


@pytest.mark.parametrize(
    "until", ["2020-02-01", "2020-02-01T00:00:00Z", "1580515200", "1580515200.5", "2020-02-01T01:00:00+01:00"]
)
def test_until_takes_times(dataroot_path: Path, until: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`until` keeps what was created before a time, in any of the forms that Docker takes."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        found = {row["id"] for row in _rows(dataroot_path, "-f", f"until={until}")}
    time.tzset()
    rows = _rows(dataroot_path)
    assert found == {row["id"] for row in rows if row["created"] and row["created"] < "2020-02-01"}
    assert found


def test_until_takes_durations(copy: Path) -> None:
    """`until` with a duration keeps what is older than that."""
    now = int(time.time())
    names = {}
    for name, age in (("old", 3 * 3600), ("young", 60)):
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - age))
        image = add_image(copy, {"created": created, "author": name, "rootfs": {"type": "layers"}})
        names[image] = name

    def shown(until: str) -> set[str]:
        return {names[row["id"]] for row in _rows(copy, "-f", f"until={until}") if row["id"] in names}

    assert shown("1h") == {"old"}
    assert shown("1h59m59.5s") == {"old"}
    assert shown("4h") == set()
    assert shown("10s") == {"old", "young"}
    assert shown("-1h") == {"old", "young"}


def test_an_image_of_the_epoch_is_older_than_others_and_newer_than_undated(copy: Path) -> None:
    """1970-01-01, which reproducible builds write, is a date."""
    epoch = add_image(copy, {"created": "1970-01-01T00:00:00Z", "rootfs": {"type": "layers"}})
    rows = _rows(copy)
    at = [row["id"] for row in rows].index(epoch)
    assert all(row["created"] for row in rows[: at + 1])
    assert not any(row["created"] for row in rows[at + 1 :])


def test_altered_image_is_left_out(copy: Path) -> None:
    """An image whose config was altered is reported by its file; all others are listed."""
    before = _rows(copy)
    victim = _id_of(copy, "lab/types")
    path = _config_file(copy, victim)
    path.write_bytes(path.read_bytes().replace(b"lab", b"bal", 1))
    found = layerfs(copy, "images", "--format", "json")
    assert found.code == 1
    assert path.name in found.stderr
    assert found.json == [row for row in before if row["id"] != victim]


def test_image_of_unknown_size_is_listed(copy: Path) -> None:
    """An image of a layer whose size nothing tells keeps its row, without sizes; the file is named."""
    before = _rows(copy, "--usage")
    victim = _id_of(copy, "lab/types")
    top = chain_ids(configs(copy)[victim]["rootfs"]["diff_ids"])[-1]
    (copy / DRIVER / "layerdb/sha256" / top.hex / "size").write_text("many")
    (copy / DRIVER / "layerdb/sha256" / top.hex / "tar-split.json.gz").unlink()
    found = layerfs(copy, "images", "--usage", "--format", "json")
    assert found.code == 1
    assert f"{top.hex}/size" in found.stderr
    sizes = ("size", "unique_size", "freed_size")  # what is shared, the layers below, is known
    assert [row for row in found.json if row["id"] == victim] == [
        row | dict.fromkeys(sizes) for row in before if row["id"] == victim
    ]
    assert [row["id"] for row in found.json] == [row["id"] for row in before]
    table = layerfs(copy, "images", "lab/types")
    assert (table.code, table.stdout.splitlines()[1].split()[-1]) == (1, "N/A")


def test_broken_names_leave_the_images(copy: Path) -> None:
    """With repositories.json cut short every image is still listed, without a name."""
    images = set(configs(copy))
    path = copy / DRIVER / "repositories.json"
    path.write_bytes(path.read_bytes()[:-20])
    found = layerfs(copy, "images", "--all", "--format", "json")
    assert found.code == 1
    assert "repositories.json" in found.stderr
    assert {row["id"] for row in found.json} == images
    assert {row["repository"] for row in found.json} == {None}


def test_names_of_others_are_ignored(copy: Path) -> None:
    """A row of repositories.json that is no name adds nothing; one of a lost image is said to be that."""
    before = _rows(copy, "-a")
    path = copy / DRIVER / "repositories.json"
    document = json.loads(path.read_bytes())
    some_id = before[0]["id"]
    document["Repositories"]["UPPER"] = {"UPPER:1": some_id, "\x1b[2J:1": some_id}
    path.write_text(json.dumps(document))
    assert _rows(copy, "-a") == before
    document["Repositories"]["ghost"] = {"ghost:1": "sha256:" + "0" * 64}
    path.write_text(json.dumps(document))
    found = layerfs(copy, "images", "-a", "--format", "json")
    assert (found.code, found.json) == (1, before)
    assert f"{'0' * 64}: the file is missing" in found.stderr
