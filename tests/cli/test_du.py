"""`layerfs du`: sums, removal, orphans and damage; the engine's own numbers are in tests/dockerd."""

from __future__ import annotations

import json
import re
import shutil
import stat
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import add_image, configs, forget_image, layer_files, layerfs

if TYPE_CHECKING:
    from pathlib import Path

LAYERDB = "image/overlay2/layerdb/sha256"
STRANGER = "0123456789abcdef" * 4


def _du(root: Path, *arguments: str) -> dict[str, Any]:
    found = layerfs(root, "du", *arguments, "--format", "json")
    assert (found.code, found.stderr) == (0, "")
    return dict(found.json)


def test_layers_are_those_on_disk_once(dataroot_path: Path) -> None:
    """`layers` holds every layer of layerdb once, with its size; those of images sum up to the total."""
    found = _du(dataroot_path)
    sizes = {chain: int(files["size"]) for chain, files in layer_files(dataroot_path).items()}
    assert {layer["chain_id"]: layer["size"] for layer in found["layers"]} == sizes
    assert len(found["layers"]) == len(sizes)
    assert sum(layer["size"] for layer in found["layers"] if layer["images"]) == found["total_size"]


def test_rows_and_total_sum(dataroot_path: Path) -> None:
    """Each image is its shared and unique part; all unique parts and each shared layer once are the total."""
    found = _du(dataroot_path)
    listed = {image["id"] for image in found["images"]}
    for image in found["images"]:
        assert image["size"] == image["shared_size"] + image["unique_size"]
    shared = sum(layer["size"] for layer in found["layers"] if len(listed & set(layer["images"])) > 1)
    assert shared + sum(image["unique_size"] for image in found["images"]) == found["total_size"]


def test_total_row_of_the_tables(dataroot_path: Path) -> None:
    """The last line of both tables is the total, the layers' in words that tell what is in no image."""
    images = layerfs(dataroot_path, "du").stdout.splitlines()
    assert images[-1].startswith("TOTAL ")
    assert len(images) == len(_du(dataroot_path)["images"]) + 2
    layers = layerfs(dataroot_path, "du", "--layers").stdout.splitlines()
    assert layers[-1].startswith("TOTAL ")
    assert "containers or build cache alone" in layers[-1]
    assert len(layers) == len(_du(dataroot_path)["layers"]) + 2


def test_what_if_of_one_image_is_its_freed_size(dataroot_path: Path) -> None:
    """--what-if with a single image says what FREED says of it."""
    for image in _du(dataroot_path)["images"]:
        outcome = _du(dataroot_path, "--what-if", image["id"])
        assert outcome["freed_size"] == image["freed_size"]
        assert outcome["freed_size"] == sum(layer["size"] for layer in outcome["layers"])


def test_what_if_splits_the_layers(dataroot_path: Path) -> None:
    """Freed and kept layers together are the layers of the images; kept ones name who needs them."""
    names = ["lab/types:1", "demo:latest", "buildkit:latest"]
    outcome = _du(dataroot_path, "--what-if", *names)
    stored = configs(dataroot_path)
    chains = set()
    for image in outcome["images"]:
        rows = layerfs(dataroot_path, "chain-id", image, "--format", "json").json
        assert len(rows) == len(stored[image]["rootfs"]["diff_ids"])
        chains |= {row["chain_id"] for row in rows}
    freed = {layer["chain_id"] for layer in outcome["layers"]}
    kept = {layer["chain_id"] for layer in outcome["kept"]}
    assert freed | kept == chains
    assert not freed & kept
    assert all(layer["images"] or layer["containers"] or layer["buildkit"] for layer in outcome["kept"])
    assert not any(layer["containers"] or layer["buildkit"] for layer in outcome["layers"])
    for layer in outcome["kept"]:
        assert not set(layer["images"]) & set(outcome["images"])


def test_set_frees_more_than_its_members(dataroot_path: Path) -> None:
    """A layer that only the images of a set share is freed by the set and by none of them alone."""
    found = _du(dataroot_path)
    (shared,) = [
        layer for layer in found["layers"] if len(layer["images"]) > 2 and _only_configs(found, layer)
    ]
    outcome = _du(dataroot_path, "--what-if", *shared["images"])
    assert outcome["freed_size"] == shared["size"]
    assert [layer["chain_id"] for layer in outcome["layers"]] == [shared["chain_id"]]
    assert {image["freed_size"] for image in found["images"] if image["id"] in shared["images"]} == {0}


def _only_configs(found: dict[str, Any], layer: dict[str, Any]) -> bool:
    names = {image["id"]: image["repository"] or "" for image in found["images"]}
    return not layer["containers"] and all(
        names.get(image, "").startswith("config/") for image in layer["images"]
    )


def test_what_if_of_a_container_is_what_it_has_of_its_own(dataroot_path: Path) -> None:
    """A container alone frees its two directories; with its image also what only they need."""
    for name, image in (("links", "lab/links:1"), ("changed", "demo"), ("orphan", None), ("zero", None)):
        outcome = _du(dataroot_path, "--what-if", name)
        (container,) = outcome["containers"]
        mounts = (dataroot_path / LAYERDB).parent / "mounts" / container
        own = [(mounts / file).read_text() for file in ("init-id", "mount-id")]
        sizes = [_size(dataroot_path / "overlay2" / item / "diff") for item in own]
        assert [(item["cache_id"], item["size"]) for item in outcome["directories"]] == [
            *zip(own, sizes, strict=True)
        ]
        layers = sum(layer["size"] for layer in outcome["layers"])
        assert outcome["freed_size"] == sum(sizes) + layers
        assert not any(container in layer["containers"] for layer in outcome["kept"])
        assert outcome["images"] == []
        assert bool(layers) == (name == "orphan")  # whose image is gone
        if image:
            both = _du(dataroot_path, "--what-if", image, name, image)
            alone = _du(dataroot_path, "--what-if", image)
            assert both["freed_size"] >= sum(sizes) + alone["freed_size"]
    both, alone = (
        _du(dataroot_path, "--what-if", *names) for names in (("lab/links:1", "links"), ("lab/links:1",))
    )
    assert [layer["chain_id"] for layer in both["kept"]] == [alone["kept"][0]["chain_id"]]
    assert {layer["chain_id"] for layer in both["layers"]} == {
        layer["chain_id"] for layer in alone["kept"][1:]
    }


def _size(diff: Path) -> int:
    inodes = {
        found.st_ino: found.st_size
        for path in diff.rglob("*")
        if not stat.S_ISDIR((found := path.lstat()).st_mode)
    }
    return sum(inodes.values())


def test_table_of_what_if_names_the_container(dataroot_path: Path) -> None:
    """The rows of its directories say with whom they go."""
    lines = layerfs(dataroot_path, "du", "--what-if", "links").stdout.splitlines()
    assert sum(line.endswith("goes with container links") for line in lines) == 2


@pytest.mark.parametrize("name", ["overlay2.temp", ".hidden", "a b", "né", "x" * 200])
def test_directory_without_an_id_is_counted(copy: Path, name: str) -> None:
    """A directory whose name is of no layer is shown with all that is in it, in every output."""
    stranger = copy / "overlay2" / name
    (stranger / "some/where").mkdir(parents=True)
    (stranger / "some/where/file").write_bytes(b"x" * 1234)
    (stranger / "another").hardlink_to(stranger / "some/where/file")
    (orphan,) = _du(copy)["orphans"]
    assert orphan == {"cache_id": None, "directory": str(stranger), "chain_id": None, "size": 1234}
    assert re.search(r"1\.234kB *$", layerfs(copy, "du").stdout)
    assert "orphans 1.234kB" in layerfs(copy, "du", "--layers").stdout


def test_table_of_what_if(dataroot_path: Path) -> None:
    """The table tells for each layer whether it goes or for whom it stays, and sums up."""
    outcome = _du(dataroot_path, "--what-if", "lab/links:1", "lab/types:1")
    arguments = ("du", "--no-trunc", "--what-if", "lab/links:1", "lab/types:1")
    lines = layerfs(dataroot_path, *arguments).stdout.splitlines()
    assert len(lines) == len(outcome["layers"]) + len(outcome["kept"]) + 2
    assert sum("container links" in line for line in lines) == len(outcome["kept"])
    assert lines[-1].startswith("TOTAL ")
    assert lines[-1].split()[-1] == f"{outcome['freed_size']}B"


def test_recorded_root_has_no_orphans(dataroot_path: Path) -> None:
    """The directories of containers and of BuildKit's cache, which are no layers, are not orphans."""
    no_layers = {path.name for path in (dataroot_path / "overlay2").iterdir()} - {
        files["cache-id"] for files in layer_files(dataroot_path).values()
    }
    assert any(name.endswith("-init") for name in no_layers)
    assert any(len(name) == 25 for name in no_layers)
    assert _du(dataroot_path)["orphans"] == []


def test_stranger_is_an_orphan(copy: Path) -> None:
    """A directory in overlay2/ that nothing knows is shown with its size, in every output."""
    diff = copy / "overlay2" / STRANGER / "diff"
    diff.mkdir(parents=True)
    (diff / "file").write_bytes(b"x" * 1234)
    (orphan,) = _du(copy)["orphans"]
    assert orphan == {
        "cache_id": STRANGER,
        "directory": str(diff.parent),
        "chain_id": None,
        "size": 1234,
    }
    assert str(diff.parent) in layerfs(copy, "du").stdout
    layers = layerfs(copy, "du", "--layers").stdout
    assert f"{STRANGER[:12]}   1.234kB" in layers
    assert "<orphan>" in layers


def test_layer_of_no_image_is_an_orphan(copy: Path) -> None:
    """A registered layer that no image, container or cache holds is an orphan with its chain ID."""
    outcome = _du(copy, "--what-if", "lab/types:1")
    (image,) = outcome["images"]
    forget_image(copy, image)
    found = _du(copy)
    expected = {layer["chain_id"]: layer["cache_id"] for layer in outcome["layers"]}
    assert {orphan["chain_id"]: orphan["cache_id"] for orphan in found["orphans"]} == expected


def test_unused_layer_above_keeps_a_layer(copy: Path) -> None:
    """A layer below one that no image has is not freed: the engine never lets go of the one above."""
    name = "lab/types:1"
    outcome = _du(copy, "--what-if", name)
    (image,) = outcome["images"]
    config = configs(copy)[image]
    config["rootfs"]["diff_ids"] = config["rootfs"]["diff_ids"][:2]
    half = add_image(copy, config | {"history": []})
    forget_image(copy, image)
    assert _du(copy, "--what-if", half)["freed_size"] == 0
    assert "an unused layer above" in layerfs(copy, "du", "--what-if", half).stdout


def test_missing_layer_leaves_the_rest(copy: Path) -> None:
    """With a layer lost, its images and the totals are unknown, all other images as before; exit 1."""
    whole = {image["id"]: image for image in _du(copy)["images"]}
    lost = _du(copy, "--what-if", "lab/attributes:1")["layers"][0]["chain_id"].removeprefix("sha256:")
    shutil.rmtree(copy / LAYERDB / lost)
    found = layerfs(copy, "du", "--format", "json")
    assert found.code == 1
    assert lost in found.stderr
    unknown = dict.fromkeys(("size", "shared_size", "unique_size", "freed_size"))
    for image in found.json["images"]:
        damaged = image["repository"] == "lab/attributes"
        assert image == whole[image["id"]] | (unknown if damaged else {})
    assert found.json["total_size"] is None
    assert found.json["reclaimable_size"] is None
    assert found.json["orphans"] is None
    assert "cannot be told" in found.stderr
    assert layerfs(copy, "du").stdout.splitlines()[-1].split()[1] == "N/A"


def test_unreadable_build_cache_hides_no_directory_as_orphan(copy: Path) -> None:
    """Without BuildKit's account its directories are not called orphans: nothing is; exit 1."""
    (copy / "buildkit/snapshots.db").write_bytes(b"no bolt file")
    found = layerfs(copy, "du", "--format", "json")
    assert found.code == 1
    assert "snapshots.db" in found.stderr
    assert found.json["orphans"] is None


@pytest.mark.parametrize(
    ("column", "key"),
    [("freed", "freed_size"), ("SIZE", "size"), ("unique-size", "unique_size"), ("containers",) * 2],
)
def test_sort_by_a_number(dataroot_path: Path, column: str, key: str) -> None:
    """--sort puts the largest first."""
    values = [image[key] for image in _du(dataroot_path, "--sort", column)["images"]]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) > 1


def test_sort_by_name(dataroot_path: Path) -> None:
    """--sort puts names in their order, and images without one last."""
    names = [image["repository"] for image in _du(dataroot_path, "--sort", "repository")["images"]]
    assert names == sorted(filter(None, names)) + [None] * names.count(None)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--what-if"], "--what-if needs the names"),
        (["base:1"], "names go with `--what-if base:1`"),
        (["--layers", "--what-if", "base:1"], "exclude each other"),
        (["--sort", "colour"], "choose one of"),
        (["--format", "nonsense"], "is no format"),
    ],
)
def test_misuse_is_a_usage_error(dataroot_path: Path, arguments: list[str], why: str) -> None:
    """What makes no sense together exits with 2 and says why."""
    found = layerfs(dataroot_path, "du", *arguments)
    assert (found.code, found.stdout) == (2, "")
    assert why in found.stderr


def test_rows_of_the_machine_formats(dataroot_path: Path) -> None:
    """jsonl, csv and templates have one line for each image, and no total."""
    images = _du(dataroot_path)["images"]
    lines = layerfs(dataroot_path, "du", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == images
    assert len(layerfs(dataroot_path, "du", "--format", "csv").stdout.splitlines()) == len(images) + 1
    assert layerfs(dataroot_path, "du", "--format", "{{.ID}}", "--no-trunc").stdout.split() == [
        image["id"] for image in images
    ]
