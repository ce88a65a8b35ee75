"""What a real Engine makes of our archives, and what it would have written itself."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.formats.tarheader import BLOCK
from tests.support.archives import anonymous, document, images_of, members, names
from tests.support.command import configs, run_bytes
from tests.support.engine import Engine, EngineError, engine_on_copy
from tests.support.fixture import private_copy
from tests.support.rootbuilder import RootBuilder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.dockerd

UNSAVABLE = "lab/unsavable:1"
"""The image of the recorded root whose layers' tars nobody can rebuild."""

METACOPIES = "lab/metacopy:1"
"""An image whose files have data in other layers, or none: the Engine's mount does not follow them."""

OF_THE_CONTAINER = (".dockerenv", "dev", "etc", "proc", "sys")
"""What the Engine puts into every container, or touches in doing so; below these, what `-init` holds."""


def export(root: Path, *arguments: str) -> bytes:
    """What `layerfs export` writes, when all is well."""
    found = run_bytes(root, "export", *arguments)
    assert (found.code, found.stderr) == (0, "")
    return found.stdout


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Engine]:
    """An Engine that has nothing."""
    with Engine(tmp_path / "fresh") as engine:
        yield engine


@pytest.fixture(scope="module")
def changeable(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An Engine on a copy of the recorded root in which tests may make containers and commit them."""
    with engine_on_copy(dataroot_path, tmp_path_factory.mktemp("changeable")) as running:
        yield running


def _everything(root: Path, engine: Engine) -> list[str]:
    """The names of all images that can be exported; IDs of those without."""
    asked: list[str] = []
    for image in engine.images():
        tags = [tag for tag in image["RepoTags"] or [] if tag != "<none>:<none>"]
        if UNSAVABLE not in tags:
            asked += tags or [image["Id"]]
    assert len(asked) >= len(configs(root)) - 1
    return asked


def test_an_engine_loads_every_image_as_it_was(engine: Engine, fresh: Engine, dataroot_path: Path) -> None:
    """All images in one archive arrive with the same IDs, names, layers and history."""
    fresh.cli("load", stdin=export(dataroot_path, *_everything(dataroot_path, engine)))
    theirs = {image["Id"]: image for image in engine.images() if UNSAVABLE not in (image["RepoTags"] or [])}
    ours = {image["Id"]: image for image in fresh.images()}
    assert ours.keys() == theirs.keys()
    for image_id, image in theirs.items():
        assert sorted(ours[image_id]["RepoTags"] or []) == sorted(
            tag for tag in image["RepoTags"] or [] if "<none>" not in tag
        ) or "<none>:<none>" in (ours[image_id]["RepoTags"] or [])
        assert _unsized(fresh.history(image_id)) == _unsized(engine.history(image_id))
        before, after = engine.image(image_id), fresh.image(image_id)
        for key in ("RootFS", "Config", "Architecture", "Os"):
            assert after[key] == before[key]
        for key in ("Created", "Author", "Comment"):  # Engines since 25 leave out what is empty
            assert after.get(key) == before.get(key)


def _unsized(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without sizes, as BuildKit's differ from those of what was loaded; names in order."""
    return [row | {"Size": None, "Tags": sorted(row["Tags"] or [])} for row in history]


@pytest.mark.parametrize("asked", [("demo:1.0",), ("demo:1.0", "demo:latest"), ("{id}",), ("{id}", "demo")])
def test_names_are_those_that_docker_save_gives(
    engine: Engine, dataroot_path: Path, asked: tuple[str, ...]
) -> None:
    """Asked by name an image keeps that name, asked by ID none."""
    wanted = [name.format(id=engine.image("demo:1.0")["Id"]) for name in asked]
    ours = images_of(export(dataroot_path, *wanted))
    if "demo" in wanted:  # `docker save` means all tags by it, as `export --all-tags` does
        wanted[wanted.index("demo")] = "demo:latest"
    theirs = images_of(engine.cli_bytes("save", *wanted))
    assert [sorted(row["RepoTags"] or []) for row in ours] == [
        sorted(row["RepoTags"] or []) for row in theirs
    ]


def test_all_tags_are_those_of_the_engine(engine: Engine, dataroot_path: Path) -> None:
    """`--all-tags` gives every tag that the Engine knows the image by."""
    (row,) = images_of(export(dataroot_path, "--all-tags", "demo:1.0"))
    assert sorted(row["RepoTags"]) == sorted(engine.image("demo:1.0")["RepoTags"])


def test_layers_are_those_that_docker_save_writes(engine: Engine, dataroot_path: Path) -> None:
    """Layer by layer our archive has the bytes that the Engine's own has."""
    for name in ("demo:1.0", "buildkit:latest", "lab/twice:1", "lab/tar-forms:1", "lab/names:1"):
        found = [
            [dict_of[path] for path in images_of(archive)[0]["Layers"]]
            for archive in (export(dataroot_path, name), engine.cli_bytes("save", name))
            for dict_of in [_followed(archive)]
        ]
        assert found[0] == found[1]


def _followed(archive: bytes) -> dict[str, bytes]:
    """The files of an archive; the Engine writes a layer's second use as a symbolic link."""
    files = {member.name: (member, content) for member, content in members(archive)}
    return {
        name: files[member.linkname.removeprefix("../")][1] if member.issym() else content
        for name, (member, content) in files.items()
    }


def test_an_engine_with_the_base_needs_only_the_rest(dataroot_path: Path, fresh: Engine) -> None:
    """`--since` leaves out what an Engine has: it loads the rest to the same ID, and one without refuses."""
    whole = export(dataroot_path, "demo:1.0")
    rest = export(dataroot_path, "--since", "base:1", "demo:1.0")
    (base,) = images_of(export(dataroot_path, "base:1"))[0]["Layers"]
    assert set(names(whole)) - set(names(rest)) == {base}
    with pytest.raises(EngineError):
        fresh.cli("load", stdin=rest)
    fresh.cli("load", stdin=export(dataroot_path, "base:1"))
    fresh.cli("load", stdin=rest)
    assert fresh.image("demo:1.0")["Id"].removeprefix("sha256:") in images_of(whole)[0]["Config"]


def test_a_layer_on_another_chain_is_not_known(tmp_path: Path) -> None:
    """An Engine that has a layer's bytes on other layers still needs the file, and gets it."""
    first, second = (_tar_of({name: name.encode()}) for name in ("first", "second"))
    with Engine(tmp_path / "source") as source:
        source.cli("load", stdin=_archive_of({"one:1": [first], "two:1": [second, first]}))
    base = export(source.root, "one:1")
    rest = export(source.root, "--since", "one:1", "two:1")
    with Engine(tmp_path / "target") as target:
        target.cli("load", stdin=base)
        target.cli("load", stdin=rest)
        assert len(target.image("two:1")["RootFS"]["Layers"]) == 2


def _tar_of(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def _archive_of(images: dict[str, list[bytes]]) -> bytes:
    """What `docker load` reads, of images of these layers."""
    files: dict[str, bytes] = {}
    rows = []
    for name, layers in images.items():
        digests = [hashlib.sha256(layer).hexdigest() for layer in layers]
        files |= {f"{digest}.tar": layer for digest, layer in zip(digests, layers, strict=True)}
        rootfs = {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]}
        config = {"architecture": "amd64", "os": "linux", "rootfs": rootfs, "author": name}
        files[f"{name}.json"] = json.dumps(config).encode()
        layer_names = [f"{digest}.tar" for digest in digests]
        rows.append({"Config": f"{name}.json", "RepoTags": [name], "Layers": layer_names})
    return _tar_of(files | {"manifest.json": json.dumps(rows).encode()})


def test_every_container_is_exported_as_the_engine_does(engine: Engine, dataroot_path: Path) -> None:
    """A container's tree is byte for byte what `docker export` writes of it."""
    containers = [container["Names"][0][1:] for container in engine.containers()]
    assert len(containers) >= 10
    for name in containers:
        ours = export(dataroot_path, "--type", "container", name)
        assert ours == anonymous(engine.cli_bytes("export", name)), name


def test_every_image_is_flattened_as_the_engine_does(changeable: Engine) -> None:
    """An image's tree is what `docker export` gives of a container of it, without the container's own."""
    compared = 0
    for image in changeable.images():
        image_id = image["Id"]
        if METACOPIES in (image["RepoTags"] or []):
            continue
        try:
            container = changeable.cli("create", image_id, "/none").strip()
        except EngineError:  # of another platform
            continue
        theirs = _entries(anonymous(changeable.cli_bytes("export", container)))
        ours = _entries(export(changeable.root, "--format", "rootfs", image_id))
        assert ours == theirs, image["RepoTags"]
        compared += 1
    assert compared > 40


def _entries(archive: bytes) -> dict[str, tuple[object, ...]]:
    """The entries of a tree by name, without what belongs to a container."""
    return {
        member.name: (
            *(member.type, member.mode, member.uid, member.gid, member.mtime, member.size),
            *(member.linkname, member.devmajor, member.devminor),
            *(member.pax_headers, content),
        )
        for member, content in members(archive)
        if member.name.partition("/")[0] not in OF_THE_CONTAINER
        or (member.name.startswith("etc/") and member.name.rpartition("/")[2] not in INIT_FILES)
    }


INIT_FILES = ("hosts", "hostname", "resolv.conf", "mtab")


@pytest.mark.parametrize("name", ["changed", "deep", "links", "mounts", "created"])
def test_a_containers_layer_is_what_commit_makes_of_it(changeable: Engine, name: str) -> None:
    """The tar of a container's changes is byte for byte the layer that `docker commit` makes."""
    ours = export(changeable.root, "--format", "layer", "--type", "container", name)
    changeable.cli("commit", name, f"committed-{name}:1")
    archive = changeable.cli_bytes("save", f"committed-{name}:1")
    assert ours == anonymous(_followed(archive)[images_of(archive)[0]["Layers"][-1]])


def test_capabilities_of_a_namespace_lose_its_root(tmp_path: Path) -> None:
    """A file capability of revision 3 is exported as one of revision 2, as `docker export` does."""
    third = struct.pack("<IIIIII", 0x03000001, 1 << 10, 0, 0, 0, 100_000)

    def fill(diff: Path) -> None:
        (diff / "third").touch()
        os.setxattr(diff / "third", "security.capability", third)
        assert os.getxattr(diff / "third", "security.capability") == third

    builder = RootBuilder(tmp_path / "root")
    builder.image(builder.layer(None, fill), "app:1")
    with Engine(builder.finish()) as engine:
        engine.cli("create", "--name", "made", "app:1", "/none")
        theirs = anonymous(engine.cli_bytes("export", "made"))
        assert export(engine.root, "made") == theirs
        record = next(member for member, _ in members(theirs) if member.name == "third").pax_headers
    assert record["SCHILY.xattr.security.capability"].encode("utf-8", "surrogateescape") == struct.pack(
        "<IIIII", 0x02000001, 1 << 10, 0, 0, 0
    )


@pytest.mark.parametrize("damage", ["altered", "longer", "removed", "tar-split", "directory"])
def test_what_is_salvaged_loads(dataroot_path: Path, tmp_path: Path, fresh: Engine, damage: str) -> None:
    """Of a damaged image everything that is whole is loaded; its new ID is the one that was told."""
    root = private_copy(dataroot_path, tmp_path / "root")
    layer = json.loads(run_bytes(root, "layers", "--format", "json", "demo").stdout)[1]
    diff = root / "overlay2" / layer["cache_id"] / "diff"
    motd = diff / "etc/motd"
    if damage == "altered":
        motd.write_bytes(motd.read_bytes().swapcase())
    elif damage == "longer":
        motd.write_bytes(motd.read_bytes() + b"x" * BLOCK)
    elif damage == "removed":
        motd.unlink()
    elif damage == "directory":
        diff.rename(tmp_path / "elsewhere")
    else:
        chain = layer["chain_id"].removeprefix("sha256:")
        (root / f"image/overlay2/layerdb/sha256/{chain}/tar-split.json.gz").unlink()
    if damage != "directory":
        refused = run_bytes(root, "export", "demo")
        assert refused.code == 5
        assert ("tar-split.json.gz" if damage == "tar-split" else "/diff/etc/motd") in refused.stderr
    found = run_bytes(root, "export", "--salvage", "demo")
    assert found.code == 1
    fresh.cli("load", stdin=found.stdout)
    made = fresh.image("demo:latest")
    assert f"becomes {made['Id']}" in found.stderr
    assert layer["diff_id"] not in made["RootFS"]["Layers"]
    assert len(made["RootFS"]["Layers"]) == 6
    fresh.cli("create", "--name", "made", "demo:latest", "/none")
    content = dict(_contents(fresh.cli_bytes("export", "made")))
    assert content["etc/motd"] == b"Welcome. This file was replaced by a later layer.\n"
    assert ("etc/issue" in content) == (damage != "directory")
    lower = _layer_of(found.stdout, 2)
    altered = {"altered": motd, "longer": motd, "tar-split": motd}.get(damage)
    assert lower.get("etc/motd") == (altered.read_bytes() if altered else None)


def _contents(archive: bytes) -> Iterator[tuple[str, bytes]]:
    return ((member.name, content) for member, content in members(archive) if member.isreg())


def _layer_of(archive: bytes, number: int) -> dict[str, bytes]:
    """The files of a layer of the only image of an archive."""
    path = images_of(archive)[0]["Layers"][number - 1]
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        stream = tar.extractfile(path)
        assert stream
        return dict(_contents(stream.read()))


def test_an_archive_is_an_oci_layout_too(dataroot_path: Path) -> None:
    """What Engines from version 25 on read says the same as what older ones read."""
    archive = export(dataroot_path, "demo:1.0", "base:1")
    files = {member.name: content for member, content in members(archive)}
    rows = images_of(archive)
    for row, descriptor in zip(rows, document(archive, "index.json")["manifests"], strict=True):
        manifest = json.loads(files["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")])
        layers = ["blobs/" + layer["digest"].replace(":", "/") for layer in manifest["layers"]]
        assert layers == row["Layers"]
        assert [layer["size"] for layer in manifest["layers"]] == [len(files[path]) for path in layers]
        assert "blobs/" + manifest["config"]["digest"].replace(":", "/") == row["Config"]
        name = descriptor["annotations"]["io.containerd.image.name"]
        assert row["RepoTags"] == [name.removeprefix("docker.io/library/")]
