"""A containerd root in which every place that holds a string holds a hostile one.

The places in its databases are found, not listed: wherever there are several records of a kind, copies of one
join them, each with one other value hostile, or with a hostile key; so the others are read as ever.
"""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

from tests.support.bolt import bolt_tree
from tests.support.boltfiles import read
from tests.support.containerdbuilder import signed, time_bytes, unsigned
from tests.support.containerdroots import ContainerdRoot
from tests.support.hostility import (
    EVIL,
    EVIL_NAME,
    HOSTILE_CONTAINER,
    IMAGE_TEXTS,
    add_entries,
    add_names,
    copy_containers,
    hostile_copies,
    hostile_tars,
)
from tests.support.layouts import OCI

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.boltfiles import Tree

__all__ = ["hostile_buckets", "hostile_docker29", "hostile_node"]

_MOST = 100  # values of a record: `v1`, which has a version too, is none
_KIND = b"io.cri-containerd.kind"
_LIBRARY = "docker.io/library/"
_RAW = EVIL.replace("\ud800", "\udcff").encode("utf-8", "surrogateescape")


def hostile_docker29(top: Path) -> None:
    """Make every string of a data root of Docker 29 hostile; it must be the test's own."""
    root = ContainerdRoot(top, "containerd/daemon", "moby")
    _images(root)
    original, _ = copy_containers(top)
    _snapshot(root, original)
    _everywhere(root)


def hostile_node(top: Path) -> None:
    """Likewise of a root of Kubernetes, which has no container of Docker's."""
    root = ContainerdRoot(top, ".", "k8s.io")
    _images(root)

    kinds = {record[b"labels"][_KIND]: key for key, record in root.space()[b"containers"].items() if key}

    def containers(space: Tree) -> None:
        records = space[b"containers"]
        records[b"0" * 64] = _told(records[kinds[b"sandbox"]])
        told = _told(records[kinds[b"container"]])
        records[HOSTILE_CONTAINER.encode()] = told | {b"snapshotKey": HOSTILE_CONTAINER.encode()}

    root.edit_meta(containers)
    _snapshot(root, kinds[b"container"].decode())
    for path in sorted(root.path.glob("io.containerd.grpc.v1.cri/*/*/status")):
        path.write_text(json.dumps(next(hostile_copies(json.loads(path.read_bytes())))))
    _everywhere(root)


def _everywhere(root: ContainerdRoot) -> None:
    """What is not of images or containers: a download, a directory that nothing is of, databases, names."""
    content = root.path / "io.containerd.content.v1.content"
    (content / "ingest" / ("e" * 64)).mkdir(parents=True)
    for name in ("data", "ref", "startedat", "updatedat", "total"):
        (content / "ingest" / ("e" * 64) / name).write_bytes(_RAW)
    leftover = root.snapshotter / "snapshots/999/fs"
    leftover.mkdir(parents=True)
    add_entries(leftover)
    for path in sorted(root.top.rglob("*.db")):
        tree = read(path.read_bytes())
        hostile_buckets(tree)
        path.write_bytes(bolt_tree(tree))
    add_names(root.top)


# -- images ----------------------------------------------------------------------------------------


def _images(root: ContainerdRoot) -> None:
    """Hostile images `evil:N`: the layers of `multi:1`, and one that is packed; the first has more names."""
    name = f"{_LIBRARY}multi:1"
    config = json.loads(root.blob(root.digest_of(name, "config")).read_bytes())
    manifest = root.manifest(name)
    tar = hostile_tars()[1]
    config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(tar).hexdigest()}")
    config["history"].append({"created": config["created"], "created_by": "s"})
    blobs: dict[bytes, int] = {}
    targets: dict[bytes, dict[bytes, bytes]] = {}
    layer = _blob(root, tar, f"{OCI}.layer.v1.tar", blobs)
    for number, document in enumerate(hostile_copies(config | IMAGE_TEXTS)):
        described = _blob(root, json.dumps(document).encode(), manifest["config"]["mediaType"], blobs)
        whole = {**manifest, "config": described, "layers": [*manifest["layers"], layer], EVIL: EVIL}
        target = _target(_blob(root, json.dumps(whole).encode(), f"{OCI}.manifest.v1+json", blobs))
        names = [f"evil:{number}", *(["changed:latest"] if number == 0 else [])]
        targets |= {f"{_LIBRARY}{name}".encode(): target for name in names}
        if number == 0:
            targets |= {_RAW: target, _LIBRARY.encode() + _RAW: target}

    def change(space: Tree) -> None:
        times = {b"createdat": time_bytes(), b"updatedat": time_bytes()}
        space[b"content"][b"blob"] |= {key: {b"size": signed(size), **times} for key, size in blobs.items()}
        space[b"images"] |= {key: {b"target": target, **times} for key, target in targets.items()}

    root.edit_meta(change)


def _blob(root: ContainerdRoot, content: bytes, media_type: str, noted: dict[bytes, int]) -> dict[str, Any]:
    """Write a blob that `noted` is told of; its descriptor."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    root.blob(digest).write_bytes(content)
    noted[digest.encode()] = len(content)
    return {"mediaType": media_type, "digest": digest, "size": len(content), "annotations": {EVIL: EVIL}}


def _target(descriptor: dict[str, Any]) -> dict[bytes, bytes]:
    kinds = {b"digest": "digest", b"mediatype": "mediaType"}
    return {key: descriptor[of].encode() for key, of in kinds.items()} | {b"size": signed(descriptor["size"])}


# -- containers ------------------------------------------------------------------------------------


def _snapshot(root: ContainerdRoot, original: str) -> None:
    """The snapshot of the hostile container: one like that of another, with hostile entries besides."""
    number, key, name = 998, HOSTILE_CONTAINER.encode(), root.name(original)
    own = b"%s/%d/%s" % (root.namespace.encode(), number, key)
    directory = root.snapshotter / "snapshots" / str(number)
    subprocess.run(["cp", "-a", root.directory(original), directory], check=True)
    for place in (directory, root.directory(original)):
        add_entries(place / "fs")

    def note(space: Tree) -> None:
        records = space[b"snapshots"][b"overlayfs"]
        records[key] = records[original.encode()] | {b"name": own}

    def record(tree: Tree) -> None:
        tree[b"snapshots"][own] = tree[b"snapshots"][name] | {b"id": unsigned(number)}

    root.edit_meta(note)
    root.edit_snapshots(record)


def _told(record: Tree) -> Tree:
    """A container with every text of its documents and labels hostile, but for what it is."""
    found = copy.deepcopy(record)
    labels, extensions = found[b"labels"], found[b"extensions"]
    for key in labels:
        if key and key != _KIND:
            labels[key] = _RAW
    found[b"spec"] = _hostile_any(found[b"spec"])
    for key in extensions:
        if key:
            extensions[key] = _hostile_any(extensions[key])
    return found


def _hostile_any(content: bytes) -> bytes:
    """A typed document of JSON, with every text in it hostile."""
    at = content.index(b"{")
    document = json.dumps(next(hostile_copies(json.loads(content[at:])))).encode()
    url = content[2 : 2 + content[1]]
    return b"\x0a" + unsigned(len(url)) + url + b"\x12" + unsigned(len(document)) + document


# -- databases -------------------------------------------------------------------------------------


def hostile_buckets(tree: Tree) -> None:
    """Add hostile records wherever there are several of a kind, and a hostile key everywhere."""
    buckets = {key: value for key, value in tree.items() if isinstance(value, dict)}
    for bucket in buckets.values():
        hostile_buckets(bucket)
    if not buckets and not any(isinstance(value, bytes) for value in tree.values()):
        return
    if len(buckets) == len(tree) - (b"" in tree):
        *_, record = (copy.deepcopy(bucket) for _, bucket in sorted(buckets.items()))
        for number, changed in enumerate(_one_each(record)):
            tree[_RAW + b"%d" % number] = changed
        tree[_RAW] = record
    else:
        tree[_RAW] = _RAW


def _one_each(record: Tree) -> Iterator[Tree]:
    """Copies of a record in each of which one value is hostile; none of what holds records itself."""
    places = list(_values(record))
    if len(places) > _MOST or not any(isinstance(value, bytes) for value in record.values()):
        return
    for place in places:
        changed = copy.deepcopy(record)
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = EVIL_NAME
        yield changed


def _values(tree: Tree, at: tuple[bytes, ...] = ()) -> Iterator[tuple[bytes, ...]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _values(value, (*at, key))
        elif isinstance(value, bytes):
            yield *at, key
