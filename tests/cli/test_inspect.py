"""`layerfs inspect`: names, formats, damage; what is in the documents is compared in tests/dockerd."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import add_image, configs, layer_files, layerfs


def _documents(root: Path, *arguments: str) -> list[dict[str, Any]]:
    found = layerfs(root, "inspect", *arguments)
    assert (found.code, found.stderr) == (0, "")
    return list(found.json)


def test_layers_of_an_image_are_those_on_disk(dataroot_path: Path) -> None:
    """The key Layers tells each layer's IDs, size and directories as they are on disk, base first."""
    stored = layer_files(dataroot_path)
    for image, config in configs(dataroot_path).items():
        (document,) = _documents(dataroot_path, image)
        layers = document["Layers"]
        assert [layer["DiffID"] for layer in layers] == (config["rootfs"].get("diff_ids") or [])
        for index, layer in enumerate(layers, 1):
            files = stored[layer["ChainID"]]
            directory = dataroot_path / "overlay2" / files["cache-id"]
            assert layer == {
                "Index": index,
                "DiffID": files["diff"],
                "ChainID": layer["ChainID"],
                "CacheID": files["cache-id"],
                "Link": (directory / "link").read_text(),
                "Size": int(files["size"]),
                "Directory": str(directory),
                "DiffDir": str(directory / "diff"),
                "Distribution": layer["Distribution"],
            }


def test_layer_by_any_of_its_names(dataroot_path: Path) -> None:
    """A layer's chain ID, diff ID, cache ID, short link, their hex and prefixes lead to one document."""
    (image,) = _documents(dataroot_path, "lab/attributes:1")
    layer = image["Layers"][1]
    hex_digits = layer["ChainID"].removeprefix("sha256:")
    names = [layer[key] for key in ("ChainID", "DiffID", "CacheID", "Link")]
    names += [hex_digits, hex_digits[:20], layer["CacheID"][:20]]
    documents = _documents(dataroot_path, *names)
    assert len(documents) == len(names)
    assert all(document == documents[0] for document in documents)
    assert layer.items() <= documents[0].items()
    assert documents[0]["Parent"] == image["Layers"][0]["ChainID"]
    assert documents[0]["Lower"] == (
        dataroot_path / "overlay2" / layer["CacheID"] / "lower"
    ).read_text().split(":")
    assert documents[0]["Images"] == [image["Id"]]


def test_container_stack_ends_in_its_own_layers(dataroot_path: Path) -> None:
    """A container's Layers are its image's, then -init, then its read-write layer."""
    container, image = _documents(dataroot_path, "changed", "demo:latest")
    mount = dataroot_path / "image/overlay2/layerdb/mounts" / container["Id"]
    *below, init, own = container["Layers"]
    assert below == image["Layers"]
    assert init["CacheID"] == (mount / "init-id").read_text()
    assert own["CacheID"] == (mount / "mount-id").read_text()
    assert [layer["Index"] for layer in container["Layers"]] == list(range(1, len(below) + 3))
    assert own["DiffDir"] == container["GraphDriver"]["Data"]["UpperDir"]
    (measured,) = _documents(dataroot_path, "--size", "changed")
    assert measured["Layers"][-1] == own | {"Size": measured["SizeRw"]}
    assert measured["SizeRootFs"] == measured["SizeRw"] + image["Size"]


def test_type_chooses_among_equal_names(dataroot_path: Path) -> None:
    """--type makes one kind of thing of a name that could be several."""
    base = _documents(dataroot_path, "base:1")[0]
    diff_id = base["Layers"][0]["DiffID"]
    assert _documents(dataroot_path, "--type", "layer", diff_id)[0]["ChainID"] == diff_id
    assert layerfs(dataroot_path, "inspect", "--type", "image", diff_id).code == 3
    assert layerfs(dataroot_path, "inspect", "--type", "container", "base:1").code == 3


def test_unknown_names_are_reported_after_the_others(dataroot_path: Path) -> None:
    """An unknown name is an error and exit code 3; what is known is printed all the same."""
    found = layerfs(dataroot_path, "inspect", "absent:1", "demo:latest", "nowhere", "changed")
    assert found.code == 3
    assert [document.get("Name") for document in found.json] == [None, "/changed"]
    assert "absent:1" in found.stderr
    assert "nowhere" in found.stderr
    assert layerfs(dataroot_path, "inspect", "absent:1").json == []


def test_missing_layer_makes_null_what_it_makes_unknown(copy: Path) -> None:
    """With a layer's record lost, its size and the image's are null, all else as before; exit 1."""
    (whole,) = _documents(copy, "demo:latest")
    lost = whole["Layers"][2]["ChainID"].removeprefix("sha256:")
    shutil.rmtree(copy / "image/overlay2/layerdb/sha256" / lost)
    found = layerfs(copy, "inspect", "demo:latest")
    assert found.code == 1
    assert lost in found.stderr
    layers = [*whole["Layers"][:2], whole["Layers"][2] | {"Size": None}, *whole["Layers"][3:]]
    assert found.json == [whole | {"Size": None, "VirtualSize": None, "Layers": layers}]


def test_container_of_a_lost_layer(copy: Path) -> None:
    """A container on a layer whose record is lost is told whole, but for that layer's size; exit 1."""
    (whole,) = _documents(copy, "changed")
    lost = whole["Layers"][2]["ChainID"].removeprefix("sha256:")
    shutil.rmtree(copy / "image/overlay2/layerdb/sha256" / lost)
    found = layerfs(copy, "inspect", "changed")
    assert found.code == 1
    layers = [*whole["Layers"][:2], whole["Layers"][2] | {"Size": None}, *whole["Layers"][3:]]
    assert found.json == [whole | {"Layers": layers}]


def test_container_without_its_host_config(copy: Path) -> None:
    """What the host was to do is null then, and the file that is missing is named."""
    container = layerfs(copy, "inspect", "changed").json[0]["Id"]
    path = copy / "containers" / container / "hostconfig.json"
    path.unlink()
    found = layerfs(copy, "inspect", "changed")
    assert (found.code, found.json[0]["HostConfig"], str(path) in found.stderr) == (1, None, True)


def test_container_without_its_config(copy: Path) -> None:
    """A container of which only the layers are left shows its ID and its stack, and null for the rest."""
    (whole,) = _documents(copy, "changed")
    (copy / "containers" / whole["Id"] / "config.v2.json").unlink()
    found = layerfs(copy, "inspect", whole["Id"])
    assert found.code == 1
    assert "config.v2.json" in found.stderr
    kept = {key: whole[key] for key in ("Id", "HostConfig", "GraphDriver", "Layers")}
    assert found.json == [dict.fromkeys(whole) | kept | {"type": "container"}]


@pytest.mark.parametrize("value", [["PATH"], "text", 7, {"Env": {"a": "b"}}, {"Cmd": [1]}, {"Labels": ["x"]}])
def test_wrong_type_in_a_config_names_the_file(copy: Path, value: object) -> None:
    """A config with a field of a wrong type is a defect of that file; other names are answered."""
    image = add_image(copy, {"config": value, "rootfs": {"type": "layers"}})
    found = layerfs(copy, "inspect", image, "changed")
    assert found.code in (3, 5)
    assert image.removeprefix("sha256:") in found.stderr
    assert "bug" not in found.stderr
    assert [document["Name"] for document in found.json] == ["/changed"]


def test_garbage_in_last_updated(copy: Path) -> None:
    """A garbled time of the last tag is reported and null, and nothing else suffers."""
    (whole,) = _documents(copy, "demo:latest")
    hex_digits = whole["Id"].removeprefix("sha256:")
    (copy / "image/overlay2/imagedb/metadata/sha256" / hex_digits / "lastUpdated").write_text("yesterday")
    found = layerfs(copy, "inspect", "demo:latest")
    assert found.code == 1
    assert "lastUpdated" in found.stderr
    assert found.json == [whole | {"Metadata": {"LastTagTime": None}}]


def test_formats(dataroot_path: Path) -> None:
    """With jsonl there is a document a line; a format that is none is a usage error."""
    lines = layerfs(
        dataroot_path, "inspect", "--format", "jsonl", "demo:latest", "changed"
    ).stdout.splitlines()
    assert len(lines) == 2
    assert layerfs(dataroot_path, "inspect", "-f", "{{.Nope", "demo:latest").code == 2
    assert layerfs(dataroot_path, "inspect", "-f", "github", "demo:latest").code == 2


def test_paths_are_of_the_root_that_is_read(dataroot_path: Path) -> None:
    """Every path of something in the root is where that is now; what the engine wrote down is beside it."""
    found = _documents(dataroot_path, *(path.name for path in (dataroot_path / "containers").iterdir()))
    assert found
    for container in found:
        written = json.loads((dataroot_path / "containers" / container["Id"] / "config.v2.json").read_bytes())
        for key in ("ResolvConfPath", "HostnamePath", "HostsPath", "LogPath"):
            recorded = written[key]
            assert container["RecordedPaths"][key] == recorded
            if recorded:
                assert container[key] == str(
                    dataroot_path / "containers" / container["Id"] / recorded.rpartition("/")[2]
                )
                assert Path(container[key]).exists()
        for mount in container["Mounts"]:
            recorded = written["MountPoints"][mount["Destination"]].get("Source", "")
            assert container["RecordedPaths"]["Mounts"][mount["Destination"]] == recorded
            assert mount["Type"] != "volume" or Path(mount["Source"]).is_relative_to(dataroot_path)
    places = _elsewhere(found)
    assert places
    assert not any(str(place) in json.dumps(found) for place in places)


def _elsewhere(found: list[dict[str, Any]]) -> set[Path]:
    """Nothing but RecordedPaths may tell of the root's former place: it is taken out here."""
    logs = [document.pop("RecordedPaths")["LogPath"] for document in found]
    return {Path(log).parents[2] for log in logs if log}


@pytest.mark.parametrize(
    "path", ["/else/where", "/x/containers/{id}/../../../../etc/shadow", "/x/containers/0/l"]
)
def test_paths_of_other_places_stay(copy: Path, path: str) -> None:
    """A path that is not of the container's own directory is told as it is."""
    (whole,) = _documents(copy, "changed")
    path = path.format(id=whole["Id"])
    config = copy / "containers" / whole["Id"] / "config.v2.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"LogPath": path}))
    (moved,) = _documents(copy, "changed")
    assert moved["LogPath"] == moved["RecordedPaths"]["LogPath"] == path
