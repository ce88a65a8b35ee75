"""A graph root of Podman in which every place that holds a string holds a hostile one, see `hostility`."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from tests.support.bolt import bolt_tree
from tests.support.boltfiles import read
from tests.support.graphroots import GraphRootFiles
from tests.support.hostilecontainerd import hostile_buckets
from tests.support.hostility import (
    EVIL,
    EVIL_NAME,
    HOSTILE_CONTAINER,
    IMAGE_TEXTS,
    add_entries,
    add_names,
    hostile_copies,
)
from tests.support.layouts import OCI

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["hostile_podman"]

_LIBRARY = "docker.io/library/"
_OWN_LAYER = hashlib.sha256(b"layer of the hostile container").hexdigest()


def hostile_podman(top: Path) -> None:
    """Make every string of a graph root of Podman hostile; it must be the test's own."""
    root = GraphRootFiles(top)
    original = root.container("changed")
    _images(root)
    _layers(root, original["layer"])
    _containers(root, original)
    _libpod(root, original["id"])
    _files(root)
    add_names(top)


def _images(root: GraphRootFiles) -> None:
    """Hostile images `evil:N` on the layers of `multi:1`, and copies of its record with hostile values."""
    original = root.image(f"{_LIBRARY}multi:1")
    manifest = json.loads(root.big_data(original["id"], "manifest").read_bytes())
    config = root.config(original["id"]) | IMAGE_TEXTS

    def add(records: list[dict[str, Any]]) -> None:
        for number, document in enumerate(hostile_copies(config)):
            record = _image(root, original, manifest, document)
            record["names"] = [f"{_LIBRARY}evil:{number}"]
            if number == 0:
                record["names"] += [
                    f"{_LIBRARY}changed:latest",
                    EVIL,
                    f"{_LIBRARY}{EVIL}",
                    f"{_LIBRARY}e:{EVIL}",
                ]
            records.append(record)
        records += _told_otherwise(root, original)

    root.edit(root.images_file, add)


def _image(
    root: GraphRootFiles, original: dict[str, Any], manifest: dict[str, Any], config: dict[str, Any]
) -> dict[str, Any]:
    """The record of an image with this config, whose documents are written."""
    content = json.dumps(config).encode()
    own = hashlib.sha256(content).hexdigest()
    described = {"mediaType": f"{OCI}.config.v1+json", "digest": f"sha256:{own}", "size": len(content)}
    told = json.dumps({**manifest, "config": {**described, "annotations": {EVIL: EVIL}}, EVIL: EVIL}).encode()
    digest = f"sha256:{hashlib.sha256(told).hexdigest()}"
    documents = {f"sha256:{own}": content, f"manifest-{digest}": told, "manifest": told}
    place = root.path / "overlay-images" / own
    place.mkdir()
    for key, document in documents.items():
        root.big_data(own, key).write_bytes(document)
    return {
        **original,
        "id": own,
        "digest": digest,
        "names-history": [EVIL],
        "metadata": EVIL,
        "big-data-names": list(documents),
        "big-data-sizes": {key: len(document) for key, document in documents.items()},
        "big-data-digests": {
            key: f"sha256:{hashlib.sha256(document).hexdigest()}" for key, document in documents.items()
        },
    }


def _told_otherwise(root: GraphRootFiles, original: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Records of one image with other IDs, each with another hostile value; the first with all texts."""
    for number, record in enumerate(hostile_copies(original)):
        if record["id"] == original["id"]:
            record["id"] = hashlib.sha256(b"image %d" % number).hexdigest()
            directory = root.path / "overlay-images"
            shutil.copytree(directory / original["id"], directory / record["id"])
        yield record


def _layers(root: GraphRootFiles, original: str) -> None:
    """The layer of the hostile container, like that of another, and records with hostile values."""
    subprocess.run(["cp", "-a", root.directory(original), root.directory(_OWN_LAYER)], check=True)
    for layer in (_OWN_LAYER, original):
        add_entries(root.directory(layer) / "diff")

    def add(records: list[dict[str, Any]]) -> None:
        of_container = next(record for record in records if record["id"] == original)
        of_image = next(record for record in records if record["id"] == of_container["parent"])
        records.append({**of_container, "id": _OWN_LAYER, "names": [EVIL]})
        for number, record in enumerate([*hostile_copies(of_container), *hostile_copies(of_image)]):
            if record["id"] in (of_container["id"], of_image["id"]):
                record["id"] = hashlib.sha256(b"layer %d" % number).hexdigest()
            records.append(record)

    root.edit(root.layers_file, add)


def _containers(root: GraphRootFiles, original: dict[str, Any]) -> None:
    """Hostile containers beside `changed`, the first of which has a layer of its own."""
    metadata = next(hostile_copies(json.loads(original["metadata"])))

    def add(records: list[dict[str, Any]]) -> None:
        for number, document in enumerate(hostile_copies(original)):
            record = document | {"metadata": json.dumps(metadata)}
            if record["names"] == original["names"]:
                record["names"] = [f"copy-{number}"]
            if document["id"] == original["id"]:
                record["id"] = hashlib.sha256(b"container %d" % number).hexdigest()
            if record["id"] == HOSTILE_CONTAINER:
                record["layer"] = _OWN_LAYER
            records.append(record)

    root.edit(root.containers_file, add)
    directory = root.path / "overlay-containers"
    shutil.copytree(directory / original["id"], directory / HOSTILE_CONTAINER, symlinks=True)
    for path in sorted((directory / HOSTILE_CONTAINER).rglob("*.json")):
        path.write_text(json.dumps(next(hostile_copies(json.loads(path.read_bytes())))))


def _libpod(root: GraphRootFiles, original: str) -> None:
    """What libpod has of the hostile container, and hostile records wherever there are several."""
    path = root.path / "libpod/bolt_state.db"
    tree = read(path.read_bytes())
    found = copy.deepcopy(tree[b"ctr"][original.encode()])
    for key in (b"config", b"state"):
        document = json.loads(found[key]) | ({"labels": {"k": "v"}} if key == b"config" else {})
        hostile = next(hostile_copies(document))
        found[key] = json.dumps(hostile | {key: document[key] for key in ("id",) if key in document}).encode()
    tree[b"ctr"][HOSTILE_CONTAINER.encode()] = found
    for bucket in (b"id-registry", b"all-ctrs"):
        tree[bucket][HOSTILE_CONTAINER.encode()] = EVIL_NAME
    hostile_buckets(tree)
    path.write_bytes(bolt_tree(tree))


def _files(root: GraphRootFiles) -> None:
    """The small files of a layer that nothing stands on, and of a directory that nothing is of."""
    top = root.image("localhost/built:1")["layer"]
    directory = root.directory(top)
    link = root.path / "overlay/l" / (directory / "link").read_text()
    for path in (directory / "link", directory / "lower", root.tar_split(top)):
        path.write_bytes(EVIL.encode("utf-8", "surrogatepass"))
    link.unlink()
    link.symlink_to(b"../" + EVIL_NAME + b"/diff")
    leftover = root.directory(hashlib.sha256(b"leftover").hexdigest()) / "diff"
    leftover.mkdir(parents=True)
    add_entries(leftover)
