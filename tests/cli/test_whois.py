"""`layerfs whois`: every kind of thing of the recorded root, against the files on disk; damage; strangers."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from layerfs import DataRoot
from tests.support.command import configs, forget_image, layer_files, layerfs

if TYPE_CHECKING:
    from pathlib import Path

LAYERDB = "image/overlay2/layerdb/sha256"
STRANGER = "0123456789abcdef" * 4


def _ask(root: Path, *things: str, code: int = 0) -> list[dict[str, Any]]:
    done = layerfs(root, "whois", *things, "--format", "json")
    assert done.code == code, done.stderr
    return list(done.json)


def _one(root: Path, thing: str, code: int = 0) -> dict[str, Any]:
    (answer,) = _ask(root, thing, code=code)
    return answer


def _users(root: Path) -> dict[str, set[str]]:
    """The images of each chain ID, by the rows of `layers`, which tests/dockerd holds against an Engine."""
    return {row["chain_id"]: set(row["images"]) for row in layerfs(root, "layers", "--format", "json").json}


# -- IDs -----------------------------------------------------------------------------------------


def test_every_name_of_every_layer(dataroot_path: Path) -> None:
    """Cache ID, chain ID, link and diff ID of each layer lead to it, with its records and its users."""
    users = _users(dataroot_path)
    stored = layer_files(dataroot_path)
    names: list[tuple[str, str, str]] = []
    for chain, files in stored.items():
        link = (dataroot_path / "overlay2" / files["cache-id"] / "link").read_text()
        names += [(files["cache-id"], chain, "cache ID"), (chain, chain, "chain ID"), (link, chain, "link")]
        names += [(f"l/{link}", chain, "link"), (chain.removeprefix("sha256:"), chain, "chain ID")]
    answers = _ask(dataroot_path, *(name for name, _, _ in names))
    assert len(answers) >= len(names)
    for name, chain, meaning in names:
        (answer,) = [item for item in answers if item["thing"] == name and item["chain_id"] == chain]
        files = stored[chain]
        assert (answer["meaning"], answer["kind"], answer["orphan"]) == (meaning, "layer", False)
        assert (answer["cache_id"], answer["diff_id"]) == (files["cache-id"], files["diff"])
        assert answer["size"] == int(files["size"])
        assert {image["id"] for image in answer["images"]} == users[chain]
        assert answer["directory"] == str(dataroot_path / "overlay2" / files["cache-id"])


def test_diff_id_of_several_layers(dataroot_path: Path) -> None:
    """A diff ID gives every layer that has it."""
    stored = {(files["diff"], chain) for chain, files in layer_files(dataroot_path).items()}
    answers = _ask(dataroot_path, *sorted({diff_id for diff_id, _ in stored}))
    assert {(answer["thing"], answer["chain_id"]) for answer in answers} == stored


def test_tags_and_command_are_told(dataroot_path: Path) -> None:
    """The layer that an image added names its command, all tags of the image, and its containers."""
    row = layerfs(dataroot_path, "layers", "demo:latest", "--format", "json").json[3]
    answer = _one(dataroot_path, row["cache_id"])
    assert answer["created_by"] == row["created_by"]
    assert answer["number"] == 4
    names = {name for image in answer["images"] for name in image["names"]}
    assert {"demo:latest", "demo:1.0", "registry.example.com:8443/team/demo:stable"} <= names
    containers = {name for container in answer["containers"] for name in container["names"]}
    assert {"changed", "clean", "odd", "crashed", "mounts"} <= containers


def test_images_and_containers(dataroot_path: Path) -> None:
    """An image by reference, ID or digest, a container by name or ID: with what is made from it."""
    by_name = _one(dataroot_path, "demo:latest")
    assert by_name["kind"] == "image"
    image = by_name["images"][0]["id"]
    assert _one(dataroot_path, image) == by_name | {"thing": image, "meaning": "image ID"}
    pulled = _one(dataroot_path, "localhost:5000/team/tagged:2")
    digest = next(name for name in pulled["images"][0]["names"] if "@" in name).partition("@")[2]
    assert _one(dataroot_path, digest)["images"] == pulled["images"]
    container = _one(dataroot_path, "changed")
    assert (container["kind"], container["containers"][0]["names"]) == ("container", ["changed"])
    assert container["containers"][0]["id"] in {item["id"] for item in by_name["containers"]}
    assert container["cache_id"] == _mount(dataroot_path, container["containers"][0]["id"], "mount-id")
    assert _one(dataroot_path, "zero/null:1")["cache_id"] is None


def _mount(root: Path, container: str, name: str) -> str:
    return (root / "image/overlay2/layerdb/mounts" / container / name).read_text()


def test_layers_of_containers(dataroot_path: Path) -> None:
    """The read-write and the -init layer of each container lead to it alone."""
    mounts = dataroot_path / "image/overlay2/layerdb/mounts"
    for mount in mounts.iterdir():
        for name, kind in (("mount-id", "read-write layer"), ("init-id", "init layer")):
            answer = _one(dataroot_path, (mount / name).read_text())
            assert answer["kind"] == kind
            assert [owner["id"] for owner in answer["containers"]] == [mount.name]
            assert answer["images"] == []
            assert answer["chain_id"] is None


def test_beginnings(dataroot_path: Path) -> None:
    """The beginning of an ID will do while it is that of no other; else all candidates are named, exit 3."""
    stored = layer_files(dataroot_path)
    chain, files = next(iter(stored.items()))
    for whole in (files["cache-id"], chain, chain.removeprefix("sha256:")):
        assert _one(dataroot_path, whole[:20])["chain_id"] == chain
    link = (dataroot_path / "overlay2" / files["cache-id"] / "link").read_text()
    assert _one(dataroot_path, link[:10])["chain_id"] == chain
    done = layerfs(dataroot_path, "whois", "a")
    assert (done.code, done.stdout) == (3, "")
    assert "ambiguous" in done.stderr


def test_tag_wins_over_the_beginning_of_an_id(dataroot_path: Path) -> None:
    """A tag that looks like the beginning of an image ID means what it is a tag of, as in Docker."""
    beginning = layerfs(dataroot_path, "images", "-q", "demo:latest").stdout[:6]
    assert "base:1" in _one(dataroot_path, beginning)["images"][0]["names"]


def test_blob_digest_of_a_pulled_layer(dataroot_path: Path) -> None:
    """The digest of a compressed blob leads to the layers it became, as the engine noted at the pull."""
    blobs = dataroot_path / "image/overlay2/distribution/diffid-by-digest/sha256"
    known = {files["diff"] for files in layer_files(dataroot_path).values()}
    pulled = [blob for blob in blobs.iterdir() if blob.read_text() in known]
    assert pulled
    for blob in pulled:
        for thing in (f"sha256:{blob.name}", str(blob)):
            assert {answer["diff_id"] for answer in _ask(dataroot_path, thing)} == {blob.read_text()}


# -- paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [None, "/var/lib/docker", "/mnt/a/docker/100000.100000", "."])
def test_paths_of_any_root(dataroot_path: Path, prefix: str | None) -> None:
    """A path is understood below the root itself, and as any other host would write it."""
    root = prefix or str(dataroot_path)
    layer = layerfs(dataroot_path, "layers", "demo:latest", "--format", "json").json[2]
    container = _one(dataroot_path, "changed")["containers"][0]["id"]
    digits = layer["chain_id"].removeprefix("sha256:")
    for path in (
        f"overlay2/{layer['cache_id']}",
        f"overlay2/{layer['cache_id']}/",
        f"overlay2/{layer['cache_id']}/lower",
        f"overlay2/{layer['cache_id']}/work/work",
        f"overlay2/{layer['cache_id']}/diff/../link",
        f"overlay2/l/{layer['link']}",
        f"overlay2/l/{layer['link']}/root",
        f"{LAYERDB}/{digits}",
        f"{LAYERDB}/{digits}/cache-id",
        f"image/overlay2/distribution/v2metadata-by-diffid/sha256/{layer['diff_id'].removeprefix('sha256:')}",
    ):
        assert _one(dataroot_path, f"{root}/{path}")["chain_id"] == layer["chain_id"], path
    for path in (
        f"containers/{container}/config.v2.json",
        f"image/overlay2/layerdb/mounts/{container}/mount-id",
    ):
        assert _one(dataroot_path, f"{root}/{path}")["containers"][0]["id"] == container, path
    image = _one(dataroot_path, "demo:latest")["images"][0]["id"]
    config = f"{root}/image/overlay2/imagedb/content/sha256/{image.removeprefix('sha256:')}"
    assert _one(dataroot_path, config)["images"][0]["id"] == image


def test_path_in_a_layer_tells_who_still_shows_it(dataroot_path: Path) -> None:
    """For a file in a layer each image and container is asked whether it shows it, and what hides it."""
    cache_id = layerfs(dataroot_path, "layers", "demo:latest", "--format", "json").json[2]["cache_id"]
    answer = _one(dataroot_path, f"/var/lib/docker/overlay2/{cache_id}/diff/root/password.txt")
    on_disk = (dataroot_path / "overlay2" / cache_id / "diff/root/password.txt").stat()
    assert (answer["path"], answer["type"], answer["file_size"]) == (
        "/root/password.txt",
        "file",
        on_disk.st_size,
    )
    for owner in answer["images"] + answer["containers"]:
        shown = layerfs(dataroot_path, "ls", owner["id"], "/root/password.txt").code == 0
        assert owner["sees"] == shown
        assert (owner["hidden"] is None) == shown
    assert {owner["sees"] for owner in answer["images"]} == {True, False}
    gone = _one(dataroot_path, f"/var/lib/docker/overlay2/{cache_id}/diff/no/such")
    assert (gone["path"], gone["type"]) == ("/no/such", None)
    assert {owner["sees"] for owner in gone["images"]} == {None}


@pytest.mark.root
def test_whiteout_is_told(dataroot_path: Path) -> None:
    """A path that is a whiteout in its layer is called one."""
    cache_id = layerfs(dataroot_path, "layers", "demo:latest", "--format", "json").json[4]["cache_id"]
    assert _one(dataroot_path, f"/x/overlay2/{cache_id}/diff/root/password.txt")["type"] == "whiteout"


def test_path_in_a_mounted_union_leads_to_its_supplier(dataroot_path: Path) -> None:
    """For a path in merged/ the answer is the layer that supplies it, of a container or below it."""
    mount = _one(dataroot_path, "crashed")["cache_id"]
    for path in ("/etc/motd", "/etc/passwd", "/bin/fx", "/var/log/build.log"):
        stat = layerfs(dataroot_path, "stat", "crashed", path, "--format", "json").json[0]
        answer = _one(dataroot_path, f"/var/lib/docker/overlay2/{mount}/merged{path}")
        assert (answer["cache_id"], answer["path"], answer["merged"]) == (stat["cache_id"], path, True)
    nowhere = _one(dataroot_path, f"/var/lib/docker/overlay2/{mount}/merged/no/such")
    assert (nowhere["cache_id"], nowhere["type"]) == (mount, None)


def test_volume_leads_to_its_containers(dataroot_path: Path) -> None:
    """A path in a volume leads to the containers that have it mounted."""
    root = DataRoot.open(dataroot_path)
    config = root.container("mounts").config
    assert config
    volume = next(mount.name for mount in config.mount_points if mount.type == "volume")
    answer = _one(dataroot_path, f"/var/lib/docker/volumes/{volume}/_data/x")
    assert [owner["names"] for owner in answer["containers"]] == [["mounts"]]


# -- nobody's, unknown, damaged ------------------------------------------------------------------


def test_orphan_is_a_finding(copy: Path) -> None:
    """A directory that nothing uses is an orphan: exit 1, beside answers that are none."""
    (copy / "overlay2" / STRANGER / "diff").mkdir(parents=True)
    (copy / "overlay2" / STRANGER / "diff/file").write_text("12345")
    answer = _one(copy, STRANGER, code=1)
    assert (answer["kind"], answer["orphan"], answer["size"]) == ("directory", True, 5)
    done = layerfs(copy, "whois", f"/x/overlay2/{STRANGER}/diff/file", "base:1")
    assert done.code == 1
    assert "nobody" in done.stdout


def test_layer_of_no_image_is_an_orphan(copy: Path) -> None:
    """A registered layer whose image is gone, and that nothing else holds, is an orphan."""
    layer = layerfs(copy, "layers", "lab/nodes:1", "--format", "json").json[1]
    assert _one(copy, layer["cache_id"])["orphan"] is False
    for image, config in configs(copy).items():
        if layer["diff_id"] in (config["rootfs"].get("diff_ids") or []):
            forget_image(copy, image)
    answer = _one(copy, layer["cache_id"], code=1)
    assert (answer["kind"], answer["orphan"], answer["images"]) == ("layer", True, [])


def test_build_cache_is_no_orphan(dataroot_path: Path) -> None:
    """Every directory of the recorded root is used: by an image, a container, or BuildKit's cache."""
    directories = [path.name for path in (dataroot_path / "overlay2").iterdir() if path.name != "l"]
    answers = _ask(dataroot_path, *directories)
    assert {answer["orphan"] for answer in answers} == {False}
    cached = [answer for answer in answers if answer["kind"] == "directory"]
    assert cached
    assert all(answer["buildkit"] for answer in cached)


@pytest.mark.parametrize(
    "thing",
    [
        STRANGER, f"sha256:{STRANGER}", "NOSUCHLINK", "l/NOSUCHLINK", "/etc/passwd", "/", "", "sha256:", "l/",
        "a\0b", "x" * 5000,
        f"/x/overlay2/{STRANGER}/diff/etc", "/x/overlay2/../../etc", "\x1b[2J", "no/such:image",
    ],
)  # fmt: skip
def test_stranger_is_exit_3(dataroot_path: Path, thing: str) -> None:
    """What is nothing of this root is said to be nothing, on one safe line; exit 3."""
    done = layerfs(dataroot_path, "whois", thing)
    assert (done.code, done.stdout) == (3, "")
    assert all(character.isprintable() or character == "\n" for character in done.stderr)


def test_known_ones_are_answered_beside_strangers(dataroot_path: Path) -> None:
    """One unknown thing makes the exit code 3, and the others are answered."""
    done = layerfs(dataroot_path, "whois", "nobody", "base:1", "--format", "{{.Kind}}")
    assert (done.code, done.stdout) == (3, "image\n")


def test_answers_without_short_links(copy: Path) -> None:
    """With l/ lost, a link still leads to its layer, by the layer's own note of it."""
    layer = layerfs(copy, "layers", "demo:latest", "--format", "json").json[2]
    shutil.rmtree(copy / "overlay2/l")
    assert (
        _one(copy, f"/x/overlay2/l/{layer['link']}/root/password.txt", code=1)["cache_id"]
        == layer["cache_id"]
    )
    assert _one(copy, layer["link"])["cache_id"] == layer["cache_id"]


@pytest.mark.parametrize("name", ["size", "diff", "parent"])
def test_answers_with_a_damaged_record(copy: Path, name: str) -> None:
    """A layer with a damaged record is still the layer of its directory, its chain and its images; exit 1."""
    layer = layerfs(copy, "layers", "demo:latest", "--format", "json").json[2]
    (copy / LAYERDB / layer["chain_id"].removeprefix("sha256:") / name).write_text("nonsense")
    for thing in (layer["cache_id"], layer["chain_id"], f"/x/overlay2/{layer['cache_id']}/diff/root"):
        answer = _one(copy, thing, code=1)
        assert (answer["chain_id"], answer["diff_id"]) == (layer["chain_id"], layer["diff_id"])
        assert (answer["cache_id"], answer["number"]) == (layer["cache_id"], 3)
        assert answer["created_by"] == layer["created_by"]
        assert "demo:latest" in {item for image in answer["images"] for item in image["names"]}


def test_answers_with_a_lost_record(copy: Path) -> None:
    """With a layer's record gone the images tell its chain ID, and the layers above its directory."""
    layer = layerfs(copy, "layers", "demo:latest", "--format", "json").json[2]
    shutil.rmtree(copy / LAYERDB / layer["chain_id"].removeprefix("sha256:"))
    for name in (layer["chain_id"], layer["cache_id"]):
        answer = _one(copy, name, code=1)
        found = answer["cache_id"], answer["chain_id"], answer["created_by"]
        assert found == (layer["cache_id"], layer["chain_id"], layer["created_by"])


def test_answers_with_a_lost_directory(copy: Path) -> None:
    """With a layer's directory gone its records still answer."""
    layer = layerfs(copy, "layers", "demo:latest", "--format", "json").json[2]
    shutil.rmtree(copy / "overlay2" / layer["cache_id"])
    answer = _one(copy, f"/x/overlay2/{layer['cache_id']}/diff/root/password.txt", code=1)
    assert (answer["chain_id"], answer["directory"], answer["type"]) == (layer["chain_id"], None, None)


def test_hostile_history_cannot_speak_to_the_terminal(dataroot_path: Path) -> None:
    """Control characters of a history entry come out escaped."""
    out = layerfs(dataroot_path, "whois", "config/hostile:1").stdout
    assert r"\u202e" in out
    assert all(character.isprintable() or character == "\n" for character in out)


def test_text_has_what_json_has(dataroot_path: Path) -> None:
    """The text names the layer, its IDs, its command, and who uses it."""
    answer = _one(dataroot_path, "demo:latest")
    out = layerfs(dataroot_path, "whois", answer["cache_id"]).stdout
    for key in ("cache_id", "chain_id", "diff_id", "link", "directory", "created_by"):
        assert answer[key].strip() in out
    assert "demo:1.0, demo:latest" in out
    assert "changed" in out
