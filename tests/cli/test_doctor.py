"""`layerfs doctor`: the intact root, what findings cost by du(1), real orphans, formats, misuse."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerfs.model import GROUPS
from layerfs.stores.docker.checks.remedies import REMEDIES
from tests.support.command import configs, forget_image, layer_files, layerfs
from tests.support.doctoring import allocated, container_id, doctor, found
from tests.support.rootbuilder import RootBuilder

if TYPE_CHECKING:
    from typing import Any

STORE = "image/overlay2"


@pytest.fixture
def root(copy: Path) -> Path:
    """A copy of the recorded root that the test may change."""
    return copy


def _layers_of(root: Path, image: str) -> list[str]:
    """The layers of an image, base first, by the one-line files of the store."""
    stored, chain, parent = layer_files(root), [], None
    for diff_id in configs(root)[image]["rootfs"].get("diff_ids") or []:
        parent = next(
            name
            for name, files in stored.items()
            if files["diff"] == diff_id and files.get("parent") == parent
        )
        chain.append(parent)
    return chain


def _image(root: Path, name: str) -> str:
    names = json.loads((root / STORE / "repositories.json").read_bytes())["Repositories"]
    return str(names[name.partition(":")[0]][name])


def _remove_image(root: Path, name: str) -> str:
    """Remove an image's config and names, as an engine that ends in the middle of it; its ID."""
    image = _image(root, name)
    forget_image(root, image)
    return image


def test_recorded_root_is_sound(dataroot_path: Path) -> None:
    """The intact root has nothing worse than notes, and these are what it was made to hold."""
    notes = found(dataroot_path)
    assert {row["severity"] for row in notes.values()} == {"note"}
    crashed, orphan = (container_id(dataroot_path, name) for name in ("crashed", "orphan"))
    mount = (dataroot_path / STORE / "layerdb/mounts" / crashed / "mount-id").read_text()
    dangling = {
        path.name
        for path in (dataroot_path / STORE / "imagedb/content/sha256").iterdir()
        if ("image-unused", f"{STORE}/imagedb/content/sha256/{path.name}") in notes
    }
    assert len(dangling) == 1
    assert notes.keys() >= {
        ("container-stale", f"containers/{crashed}/config.v2.json"),
        ("merged-left", f"overlay2/{mount}/merged"),
        ("container-image-missing", f"containers/{orphan}/config.v2.json"),
    }
    scratch = {
        str(path.relative_to(dataroot_path))
        for path in (dataroot_path / "overlay2").glob("*/work/work")
        if list(path.iterdir())
    }
    assert {path for code, path in notes if code == "work-left"} == scratch
    assert {code for code, _ in notes} == {
        *("container-image-missing", "container-stale", "image-unused", "merged-left"),
        *(["work-left"] if scratch else []),
    }


# -- orphans ---------------------------------------------------------------------------------------


@pytest.mark.root
def test_layers_of_a_removed_image_are_orphans_by_what_they_take(root: Path) -> None:
    """Of an image that is gone, just the layers that nothing else has are orphans, at du's size."""
    before = found(root)
    image = _image(root, "lab/hundred:latest")
    layers = set(_layers_of(root, image))
    shutil.rmtree(root / "containers" / container_id(root, "deep"))
    deep = next(
        path
        for path in (root / STORE / "layerdb/mounts").iterdir()
        if not (root / "containers" / path.name).exists()
    )
    shutil.rmtree(deep)
    _remove_image(root, "lab/hundred:latest")
    held = {layer for other in configs(root) for layer in _layers_of(root, other)}
    new = {place: row for place, row in found(root).items() if place not in before}
    orphans = {
        row["subject"].removeprefix("layer ") for (code, _), row in new.items() if code == "layer-orphaned"
    }
    assert orphans == layers - held != set()
    for (code, path), row in new.items():
        if code == "layer-orphaned":
            cache_id = (root / path / "cache-id").read_text()
            assert row["bytes"] == allocated([root / path, root / "overlay2" / cache_id])
            assert (row["severity"], row["affects"]) == ("warning", [])


@pytest.mark.root
def test_layers_that_a_container_holds_are_no_orphans(root: Path) -> None:
    """Removing a used image by force makes notes of a missing image, and no orphan."""
    before = found(root, "--quick")
    _remove_image(root, "lab/links:1")
    new = {place: row for place, row in found(root, "--quick").items() if place not in before}
    path = f"containers/{container_id(root, 'links')}/config.v2.json"
    assert new.keys() == {("container-image-missing", path)}


@pytest.mark.root
def test_layers_that_the_build_cache_holds_are_no_orphans(root: Path) -> None:
    """What BuildKit made is the cache's when image and container are gone, and else an orphan."""
    container = container_id(root, "created")
    shutil.rmtree(root / "containers" / container)
    shutil.rmtree(root / STORE / "layerdb/mounts" / container)
    layers = _layers_of(root, _image(root, "buildkit:latest"))
    _remove_image(root, "buildkit:latest")
    held = {layer for image in configs(root) for layer in _layers_of(root, image)}
    own = {f"layer {layer}" for layer in layers if layer not in held}

    def orphans() -> set[str]:
        return {
            row["subject"] for (code, _), row in found(root, "--quick").items() if code == "layer-orphaned"
        }

    assert own
    assert not own & orphans()
    (root / "buildkit/snapshots.db").unlink()
    assert own <= orphans()


@pytest.mark.root
def test_orphaned_directories_are_counted_with_hard_links_once(root: Path) -> None:
    """A directory that nothing claims costs what du says: hard links once, holes not, directories too."""
    before = found(root)
    directory = root / "overlay2" / ("e" * 64)
    (directory / "diff/deep").mkdir(parents=True)
    (directory / "link").write_text("Z" * 26)
    (directory / "diff/one").write_bytes(b"x" * 100_000)
    (directory / "diff/deep/other").hardlink_to(directory / "diff/one")
    with (directory / "diff/sparse").open("wb") as sparse:
        sparse.truncate(1 << 30)
    report = found(root)
    row = report["directory-orphaned", f"overlay2/{'e' * 64}"]
    assert report.keys() - before.keys() == {("directory-orphaned", f"overlay2/{'e' * 64}")}
    assert 100_000 < row["bytes"] == allocated([directory]) < 200_000
    assert (row["group"], row["severity"]) == ("orphaned", "warning")


@pytest.mark.root
@pytest.mark.parametrize(
    ("place", "code"),
    [
        (f"layerdb/sha256/{'a' * 64}-{'b' * 64}-removing", "removing-left"),
        ("layerdb/tmp/write-set-1", "transaction-left"),
    ],
)
def test_half_a_layer_is_one_finding_with_its_directory(root: Path, place: str, code: str) -> None:
    """What is left of a layer is found once and costs record and directory; another's costs nothing."""
    before = found(root)
    record, directory = root / STORE / place, root / "overlay2" / ("e" * 64)
    (directory / "diff").mkdir(parents=True)
    (directory / "diff/file").write_bytes(b"x" * 50_000)
    record.mkdir(parents=True)
    (record / "cache-id").write_text("e" * 64)
    report = found(root)
    assert report.keys() - before.keys() == {(code, f"{STORE}/{place}")}
    assert report[code, f"{STORE}/{place}"]["bytes"] == allocated([record, directory])
    layer = next(iter(layer_files(root).values()))
    (record / "cache-id").write_text(layer["cache-id"])
    assert found(root)[code, f"{STORE}/{place}"]["bytes"] == allocated([record])


@pytest.mark.root
def test_total_counts_what_findings_share_once(root: Path) -> None:
    """The last line's sum counts a file that two findings cost once, as du does."""
    one, other = (root / "overlay2" / (letter * 64) for letter in "ef")
    for directory in (one, other):
        (directory / "diff").mkdir(parents=True)
        (directory / "link").write_text("Z" * 26)
    (one / "diff/file").write_bytes(b"x" * 1_000_000)
    (other / "diff/file").hardlink_to(one / "diff/file")
    rows = doctor(root)
    shown = layerfs(root, "doctor").stdout.splitlines()[-1]
    paths = [root / place for row in rows if row["bytes"] for place in _costs(row)]
    amount = re.search(r"; (\S+) on disk$", shown)
    assert amount
    assert amount[1] == _human(allocated(paths))
    assert sum(row["bytes"] for row in rows) > allocated(paths) + 900_000


def _costs(row: dict[str, Any]) -> list[Path]:
    """What a note of the recorded root, or an orphaned directory, costs: what lies at its path."""
    path = Path(row["path"])
    return list(path.iterdir()) if row["code"] == "work-left" else [path]


def _human(size: int) -> str:
    from layerfs_cli.units import human_size

    return human_size(size)


@pytest.mark.root
def test_contents_are_compared_when_asked(root: Path) -> None:
    """A file changed within its length and time is named with --verify, and by nothing else."""
    before, intact = found(root), found(root, "--verify")
    assert {row["severity"] for row in intact.values()} == {"note"}
    layer = _layers_of(root, _image(root, "demo:1.0"))[0].removeprefix("sha256:")
    cache_id = (root / STORE / "layerdb/sha256" / layer / "cache-id").read_text()
    victim = root / "overlay2" / cache_id / "diff/bin/fx"
    times = victim.stat()
    with victim.open("r+b") as file:
        file.seek(100)
        byte = file.read(1)
        file.seek(100)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert found(root).keys() == before.keys()
    new = found(root, "--verify").keys() - intact.keys()
    assert new == {("content-altered", str(victim.relative_to(root)))}


# -- the report ------------------------------------------------------------------------------------


@pytest.fixture
def damaged(root: Path) -> Path:
    """A root with an error, a warning and notes."""
    image = _image(root, "demo:1.0")
    layer = _layers_of(root, image)[3].removeprefix("sha256:")
    (root / STORE / "layerdb/sha256" / layer / "size").unlink()
    (root / STORE / "layerdb/tmp/write-set-1").mkdir(parents=True)
    return root


def test_report_says_what_is_broken_and_what_could_be_done(damaged: Path) -> None:
    """Each code stands once with its consequences and suggestion; files and names stand below it."""
    report = layerfs(damaged, "doctor")
    assert (report.code, report.stderr) == (1, "")
    lines = report.stdout.splitlines()
    headings = [line for line in lines if line.isupper()]
    assert headings[:2] == ["MISSING", "HALF-WRITTEN"]
    assert lines.count("  error: size-missing") == 1
    remedy = REMEDIES["size-missing"]
    for words in (remedy.at_start, remedy.later, remedy.suggestion):
        assert sum(words in line for line in lines) == 1
    assert sum("/size" in line for line in lines) == 1
    assert "image demo:1.0" in report.stdout
    assert "container clean" in report.stdout
    assert lines[-1].startswith("1 error, 1 warning, ")
    assert str(damaged) not in report.stdout, "paths are below the root"


def test_severity_leaves_out_what_is_less(damaged: Path) -> None:
    """--severity shows what is at least that bad; the exit code still tells of all."""
    rows = doctor(damaged, "--severity", "warning")
    assert {row["severity"] for row in rows} == {"error", "warning"}
    result = layerfs(damaged, "doctor", "--severity", "error", "--format", "jsonl")
    assert result.code == 1
    assert [json.loads(line)["code"] for line in result.stdout.splitlines()] == ["size-missing"]


def test_formats_hold_the_same(damaged: Path) -> None:
    """JSON, lines of JSON, CSV and a template tell the same findings, the worst first."""
    rows = doctor(damaged)
    lines = layerfs(damaged, "doctor", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == rows
    table = csv.DictReader(io.StringIO(layerfs(damaged, "doctor", "--format", "csv").stdout))
    assert [row["code"] for row in table] == [row["code"] for row in rows]
    template = layerfs(damaged, "doctor", "--format", "{{.Severity}} {{.Code}}").stdout.splitlines()
    assert template == [f"{row['severity']} {row['code']}" for row in rows]
    ranks = ["error", "warning", "note"]
    assert [ranks.index(row["severity"]) for row in rows] == sorted(
        ranks.index(row["severity"]) for row in rows
    )
    wanted = {"code", "severity", "subject", "path", "expected", "actual", "message"}
    assert all(wanted <= row.keys() and row["group"] in GROUPS for row in rows)


def test_quick_counts_nothing(damaged: Path) -> None:
    """--quick finds the same but for sizes, and says of no finding what it costs."""
    quick, whole = doctor(damaged, "--quick"), doctor(damaged)
    assert [row["code"] for row in quick] == [row["code"] for row in whole]
    assert {row["bytes"] for row in quick} == {None}
    assert None not in {row["bytes"] for row in whole}
    assert layerfs(damaged, "doctor", "--quick").stdout.splitlines()[-1].endswith("notes")


def test_long_lists_are_cut_and_say_so(root: Path) -> None:
    """Of one code ten findings are listed with the number of the rest; --no-trunc lists all."""
    for number in range(13):
        (root / STORE / f"layerdb/tmp/write-set-{number}").mkdir(parents=True)
    short = layerfs(root, "doctor", "--quick").stdout
    whole = layerfs(root, "doctor", "--quick", "--no-trunc").stdout
    assert (short.count("/write-set-"), whole.count("/write-set-")) == (10, 13)
    assert "transaction-left (13)" in short
    assert "… and 3 more" in short


def test_sound_root_says_so(tmp_path: Path) -> None:
    """A root in which nothing is found says it in a line and exits with 0."""
    builder = RootBuilder(tmp_path / "root")
    builder.image(None, "empty:1")
    result = layerfs(builder.finish(), "doctor", "--quick")
    assert (result.code, result.stdout, result.stderr) == (0, "nothing found\n", "")


def test_layers_without_archive_are_named(tmp_path: Path) -> None:
    """A layer that never had tar-split data is an error of its own, its image the one concerned."""
    builder = RootBuilder(tmp_path / "root")
    layer = builder.layer(fill=lambda tree: (tree / "file").write_bytes(b"x"))
    image = builder.image(layer, "app:1")
    (row,) = doctor(builder.finish())
    assert (row["code"], row["subject"]) == ("tar-split-missing", f"layer {layer.chain_id}")
    assert row["affects"] == [f"image {image}"]


@pytest.mark.parametrize(
    "arguments",
    [["--severity", "fatal"], ["--verify"], ["--format", "nonsense"], ["NAME"], ["--format", "{{.Nope}}"]],
)
def test_misuse_is_refused(dataroot_path: Path, arguments: list[str]) -> None:
    """What is no option of it exits with 2."""
    assert layerfs(dataroot_path, "doctor", "--quick", *arguments).code == 2


def test_page_lists_every_code() -> None:
    """docs/doctor.md has a row for every code, with its group, consequences and suggestion, and no other."""
    page = Path(__file__).parents[2].joinpath("docs/doctor.md").read_text()
    table = [cells for line in page.splitlines() if len(cells := _cells(line)) == 5]
    rows = {cells[0].strip("`"): cells[1:] for cells in table}
    assert rows == {
        code: [remedy.group, remedy.at_start or "-", remedy.later or "-", remedy.suggestion or "-"]
        for code, remedy in REMEDIES.items()
    }


def _cells(line: str) -> list[str]:
    """The cells of a table's row that begins with a code."""
    return [cell.strip() for cell in line.strip("| ").split(" | ")] if line.startswith("| `") else []
