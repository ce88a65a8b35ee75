"""Data roots that grow in every direction that a hostile one can: `GROWN`, by the kind of store.

Each function writes a root from nothing; what it holds grows with a number, and for 0 there is an image
`app:1` and a container `box` all the same. One grows in names and notes, one in damage, and one in what
layers contain.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from typing import TYPE_CHECKING, Any

from tests.support.bolt import bolt_database
from tests.support.containerdbuilder import ContainerdBuilder
from tests.support.graphrootbuilder import GraphRootBuilder
from tests.support.layouts import layer_of
from tests.support.rootbuilder import RootBuilder
from tests.support.tarsplit import lines_of, tar_split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.rootbuilder import BuiltLayer

__all__ = ["GROWN", "container", "nested"]

_DEPTH = 10
"""Layers on each other, and directories in each other: of both there is a most, so they do not grow."""

_CREATED = "2026-01-01T00:00:00Z"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _many_names(path: Path, count: int) -> None:
    """Names of one image, null values wherever keys are free, steps, containers, images on images."""
    builder = RootBuilder(path)
    base = builder.layer(None, lambda diff: (diff / "file").write_bytes(b"content"))
    nothing = {f"k{number}": None for number in range(count)}
    config = {
        "created": _CREATED,
        "config": {"Labels": nothing, "Volumes": nothing, "ExposedPorts": nothing, "Env": [*nothing]},
        "history": [
            {"created": _CREATED, "created_by": "ADD"},
            *({"created": _CREATED, "created_by": f"ENV {name}", "empty_layer": True} for name in nothing),
        ],
        **nothing,
    }
    names = [f"repository-{number}:1" for number in range(count)] + [
        f"app:{number}" for number in range(count)
    ]
    image = builder.image(base, "app:1", *names, config=config)
    parent = image
    for number in range(count):
        parent = builder.image(base, config={"created": _CREATED, "comment": str(number)}, parent=parent)
    container(builder, base, "box", image, {"MountPoints": nothing, "Config": {"Labels": nothing}})
    for number in range(count):
        container(builder, base, f"box-{number}", image, {"Config": {"Image": f"app:{number}"}})
    builder.finish()
    (path / "image/overlay2/repositories.json").write_text(
        json.dumps(
            {"Repositories": _rows(path) | {f"{name}?": {f"{name}:?": ""} for name in nothing} | nothing}
        )
    )


def _rows(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "image/overlay2/repositories.json").read_text())[
        "Repositories"
    ]
    return found


def _damaged(path: Path, count: int) -> None:
    """Layers that are not there, one directory for many layers, a deep chain, lost records, leftovers."""
    builder = RootBuilder(path)
    base = builder.layer(None, lambda diff: (diff / "file").write_bytes(b"content"))
    image = builder.image(base, "app:1", config={"created": _CREATED})
    records = path / "image/overlay2/layerdb/sha256"
    lost = [f"sha256:{_digest(f'lost {number}')}" for number in range(count)]
    _lost_image(path, lost)
    for number in range(count):
        (records / _digest(f"empty {number}")).mkdir()
        layer = builder.layer(base)
        (records / layer.chain_id.hex / "cache-id").write_text(base.cache_id)
        (path / "overlay2" / f"nobody-{number}" / "diff").mkdir(parents=True)
        (path / "overlay2/l" / f"{_letters(number)}").symlink_to("../gone/diff")
    top = deep = base
    for number in range(count):
        top = builder.layer(base if number % _DEPTH == 0 else top)
        deep = top if number < _DEPTH else deep
        (top.diff.parent / "lower").unlink()
        if number % 2:
            (records / top.chain_id.hex / "size").write_text("?")
    container(builder, base, "box", image, {})
    for number in range(count):
        container(builder, deep, f"deep-{number}", image, {})
        if number % 2:
            config = path / "containers" / _digest(f"deep-{number}") / "config.v2.json"
            config.write_text("{")
    builder.finish()
    (path / "buildkit").mkdir()
    (path / "buildkit/snapshots.db").write_bytes(
        bolt_database({f"s{number}": {"chainid": deep.chain_id, "parent": ""} for number in range(count)})
    )


def _lost_image(path: Path, diff_ids: list[str]) -> None:
    config = {"created": _CREATED, "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    content = json.dumps(config).encode()
    image = path / "image/overlay2/imagedb/content/sha256" / hashlib.sha256(content).hexdigest()
    image.write_bytes(content)


def _letters(number: int) -> str:
    return "L" + "".join(chr(ord("A") + int(digit)) for digit in f"{number:08}")


def _contents(path: Path, count: int) -> None:
    """Files, links, marks and directories in layers; an archive that tells of many names of one file."""
    builder = RootBuilder(path)

    def lower(diff: Path) -> None:
        for number in range(count):
            (diff / f"file-{number}").write_bytes(b"content")
            (diff / f"also-{number}").hardlink_to(diff / "file-0")
            (diff / f"link-{number}").symlink_to("file-0")
        for number in range(0, count, _DEPTH):
            (diff / f"deep-{number}").mkdir()
            nested(diff / f"deep-{number}", b"d", _DEPTH)

    def upper(diff: Path) -> None:
        for number in range(count):
            if number % 2:
                os.mknod(diff / f"file-{number}", 0o020000, 0)
            else:
                (diff / f"file-{number}").write_bytes(b"another")

    base = builder.layer(None, lower)
    top = builder.layer(base, upper)
    image = builder.image(top, "app:1", config={"created": _CREATED})
    records = path / "image/overlay2/layerdb/sha256"
    (records / base.chain_id.hex / "tar-split.json.gz").write_bytes(lines_of(_names_of_one(count)))
    (records / top.chain_id.hex / "tar-split.json.gz").write_bytes(tar_split(top.diff))
    container(builder, top, "box", image, {})
    builder.finish()


def nested(top: Path, name: bytes, depth: int) -> None:
    """Directories in each other, whatever the length of their path; a file `z` beside each."""
    at = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.close(os.open("z", os.O_WRONLY | os.O_CREAT, dir_fd=at))
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def _names_of_one(count: int) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """A file with as many names as there are, which bring attributes."""
    first = tarfile.TarInfo("lost")
    yield first, b""
    for number in range(count):
        link = tarfile.TarInfo(f"name-{number}")
        link.type, link.linkname = tarfile.LNKTYPE, "lost"
        link.pax_headers = {f"SCHILY.xattr.user.{number % _DEPTH}": "value"}
        yield link, b""


def container(
    builder: RootBuilder, top: BuiltLayer, name: str, image: str, config: Mapping[str, Any]
) -> None:
    """A container on a layer, with a layer of its own."""
    own, mount = _digest(name), _digest(f"mount {name}")
    directory = builder.path / "containers" / own
    directory.mkdir()
    document = {
        "ID": own,
        "Name": f"/{name}",
        "Image": image,
        "Driver": "overlay2",
        "Created": _CREATED,
    }
    (directory / "config.v2.json").write_text(json.dumps(document | {"State": {}} | dict(config)))
    record = builder.path / "image/overlay2/layerdb/mounts" / own
    record.mkdir(parents=True)
    (record / "mount-id").write_text(mount)
    (record / "parent").write_text(top.chain_id)
    (builder.path / "overlay2" / mount / "diff").mkdir(parents=True)


def _containerd_names(path: Path, count: int) -> None:
    """Names of one target, labels, steps, images on one layer, containers, snapshots of nobody."""
    builder = ContainerdBuilder(path)
    base = builder.layer(None, layer_of({"file": b"content"}), lambda tree: (tree / "file").touch())
    top = builder.layer(base, layer_of({"new": b"content"}))
    nothing = {f"k{number}": None for number in range(count)}
    steps = [{"created": _CREATED, "created_by": f"ENV {name}", "empty_layer": True} for name in nothing]
    config = {"Labels": nothing, "Volumes": nothing, "ExposedPorts": nothing, "Env": [*nothing]}
    names = [f"docker.io/library/repository-{name}:1" for name in nothing]
    builder.image(
        ["docker.io/library/app:1", *names], [base, top], config=config, history=[*steps, {}, {}], **nothing
    )
    below = [builder.manifest([base], comment=name) for name in nothing]
    for name, manifest in zip(nothing, below, strict=True):
        builder.name(manifest, f"docker.io/library/other-{name}:1")
    builder.name(builder.index(below), "docker.io/library/index:1", labels=dict.fromkeys(nothing, "v"))
    builder.container("box", "docker.io/library/app:1", top)
    for name in nothing:
        builder.container(f"box-{name}", f"docker.io/library/other-{name}:1", base, {name.encode(): b"v"})
        builder.snapshot(f"left-{name}", base)
    builder.finish()


def _containerd_damage(path: Path, count: int) -> None:
    """Lost blobs, snapshots that stand on nothing, lost directories, names of nothing, malformed records."""
    builder = ContainerdBuilder(path)
    base = builder.layer(None, layer_of({"file": b"content"}), lambda tree: (tree / "file").touch())
    builder.image(["docker.io/library/app:1"], [base])
    builder.container("box", "docker.io/library/app:1", base)
    for number in range(count):
        lost = builder.snapshot(f"lost-{number}", base)
        lost.tree.rmdir()
        del builder.records[builder.snapshot(f"record-{number}", base).name.encode()]
        on_it = builder.snapshot(f"on-{number}", lost, active=True)
        builder.records[on_it.name.encode()][b"parent"] = b"nothing"
        builder.records[b"odd %d" % number] = {b"id": b"\xff"}
        missing = {"mediaType": "application/json", "digest": f"sha256:{_digest(str(number))}", "size": 1}
        builder.name(missing, f"docker.io/library/missing-{number}:1")
        builder.space[b"images"][b"odd %d" % number] = {b"target": {b"digest": b"none"}}
        top = builder.layer(base, layer_of({f"file-{number}": b"x"}))
        builder.image([f"docker.io/library/packed-{number}:1"], [base, top])
        del builder.space[b"snapshots"][b"overlayfs"][top.key.encode()]
        (path / "io.containerd.snapshotter.v1.overlayfs/snapshots" / f"new-{number}").mkdir()
    builder.finish()


def _graphroot_names(path: Path, count: int) -> None:
    """Names of one image, old ones, steps, documents, images on one layer, containers, layers of nobody."""
    builder = GraphRootBuilder(path)
    base = builder.layer(None, layer_of({"file": b"content"}), lambda tree: (tree / "file").touch())
    top = builder.layer(base, layer_of({"new": b"content"}))
    nothing = {f"k{number}": None for number in range(count)}
    steps = [{"created": _CREATED, "created_by": f"ENV {name}", "empty_layer": True} for name in nothing]
    config = {"Labels": nothing, "Volumes": nothing, "ExposedPorts": nothing, "Env": [*nothing]}
    names = ["docker.io/library/app:1", *(f"docker.io/library/repository-{name}:1" for name in nothing)]
    image = builder.image(names, top, config=config, history=[*steps, {}, {}], **nothing)
    for name in nothing:
        other = builder.image([f"localhost/other-{name}:1", f"{name}?"], base, comment=name)
        builder.big_data(builder.images[0], f"signature-{name}", b"")
        builder.container(f"box-{name}", other, base)
        builder.own_layer(f"left-{name}", base)
    builder.container("box", image, top, **nothing)
    builder.finish()


def _graphroot_damage(path: Path, count: int) -> None:
    """Lost directories, records, documents and links; layers that stand on nothing, and a deep chain."""
    builder = GraphRootBuilder(path)
    base = builder.layer(None, layer_of({"file": b"content"}), lambda tree: (tree / "file").touch())
    image = builder.image(["docker.io/library/app:1"], base)
    builder.container("box", image, base)
    deep = base
    for number in range(count):
        lost = builder.layer(base, layer_of({f"lost-{number}": b"x"}))
        lost.tree.rmdir()
        (lost.tree.parent / "link").unlink()
        builder.image([f"docker.io/library/lost-{number}:1"], lost)
        builder.layer(base, layer_of({f"record-{number}": b"x"}))
        builder.layers.pop()
        builder.container(f"nothing-{number}", _digest("nothing"), builder.own_layer(f"on-{number}", base))
        builder.layers[-2]["parent"] = _digest(f"gone {number}")
        builder.layers.append({"id": number, "parent": None})
        builder.images.append({"id": _digest(f"document {number}"), "names": [f"localhost/gone:{number}"]})
        builder.containers.append({"id": "?", "names": None})
        deep = builder.layer(base if number % _DEPTH == 0 else deep, layer_of({f"deep-{number}": b"x"}))
        (deep.tree.parent / "lower").write_text("?")
        if number % 2:  # not more directories than are kept open at a time: to open again is no growth
            builder.image([f"docker.io/library/deep-{number}:1"], deep)
    builder.finish()


GROWN: Mapping[str, Mapping[str, Callable[[Path, int], None]]] = {
    "overlay2": {"names": _many_names, "damage": _damaged, "contents": _contents},
    "containerd": {"names": _containerd_names, "damage": _containerd_damage},
    "containers-storage": {"names": _graphroot_names, "damage": _graphroot_damage},
}
"""What grows, by the name of the kind of store."""
