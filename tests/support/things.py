"""Every name that something has in a store, read from its files without layerfs; and how to give one more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from layerfs.ids import chain_ids
from tests.support.containerdroots import ContainerdRoot
from tests.support.graphroots import GraphRootFiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.boltfiles import Tree

__all__ = [
    "Thing", "containerd_things", "graphroot_things", "name_image_in_containerd", "name_image_in_graphroot",
    "name_image_in_overlay2", "overlay2_things",
]  # fmt: skip

STORE = "image/overlay2"
CONTAINER, IMAGE = "changed", "localhost:5000/team/tagged"
PULLED = "localhost:5057/team/pulled:1"
LISTED = "registry.example.com:5000/team/arch:1"


class Thing(NamedTuple):
    """Something, and its names; the first is the ID in full."""

    kind: str
    names: tuple[str, ...]


def _container(root: Path) -> Thing:
    for config in (root / "containers").glob("*/config.v2.json"):
        if json.loads(config.read_bytes())["Name"] == f"/{CONTAINER}":
            found = config.parent.name
            return Thing("container", (found, CONTAINER, f"/{CONTAINER}", found[:12], found[:7]))
    raise AssertionError(CONTAINER)


# -- overlay2 ------------------------------------------------------------------------------------


def overlay2_things(root: Path) -> list[Thing]:
    """A container, an image, and layers of the recorded data root."""
    return [_container(root), _image(root), *_layers(root)]


def name_image_in_overlay2(root: Path, repository: str, image: str) -> None:
    """Give the image of an ID the name `repository:latest`."""
    names = root / STORE / "repositories.json"
    document = json.loads(names.read_bytes())
    document["Repositories"][repository] = {f"{repository}:latest": image}
    names.write_text(json.dumps(document))


def _read(path: Path) -> str:
    return path.read_text().strip()


def _image(root: Path) -> Thing:
    """A pulled image: by tag, ID, and the digest of its manifest."""
    rows = json.loads((root / STORE / "repositories.json").read_bytes())["Repositories"][IMAGE]
    tag = next(name for name in rows if "@" not in name)
    image, digits = rows[tag], rows[tag].removeprefix("sha256:")
    digest = next(name for name in rows if "@" in name and rows[name] == image).partition("@")[2]
    manifest = digest.removeprefix("sha256:")
    ids = (image, digits, digits[:12], f"sha256:{digits[:12]}", digits[:7])
    return Thing("image", (*ids, tag, f"{IMAGE}@{digest}", digest, manifest, manifest[:12], digest[:20]))


def _layers(root: Path) -> Iterator[Thing]:
    """The layer of a blob, and a container's own two."""
    records = {_read(path / "diff"): path for path in sorted((root / STORE / "layerdb/sha256").iterdir())}
    counted = [_read(path / "diff") for path in (root / STORE / "layerdb/sha256").iterdir()]
    blobs = sorted((root / STORE / "distribution/diffid-by-digest/sha256").iterdir())
    blob = next(path for path in blobs if counted.count(_read(path)) == 1)
    record = records[_read(blob)]
    cache_id, diff_id = _read(record / "cache-id"), _read(blob)
    link = _read(root / "overlay2" / cache_id / "link")
    yield Thing(
        "layer",
        (
            *(f"sha256:{record.name}", record.name, record.name[:12], f"sha256:{record.name[:12]}"),
            *(diff_id, diff_id[7:], diff_id[7:19], cache_id, cache_id[:12]),
            *(link, f"l/{link}", link[:12], f"sha256:{blob.name}", blob.name, blob.name[:12], blob.name[:30]),
        ),
    )
    mount = root / STORE / "layerdb/mounts" / _container(root).names[0]
    own, init = _read(mount / "mount-id"), _read(mount / "init-id")
    for directory, beginnings in ((own, (own[:12], own[:30])), (init, (f"{own[:12]}-init", init[:66]))):
        link = _read(root / "overlay2" / directory / "link")
        yield Thing("bare", (directory, *beginnings, link, f"l/{link}", link[:12]))


# -- containerd ----------------------------------------------------------------------------------


def containerd_things(root: Path) -> list[Thing]:
    """A container, an image, and layers of the recorded data root of Docker 29."""
    store = ContainerdRoot(root, "containerd/daemon", "moby")
    container = _container(root)
    target, config = store.digest_of(PULLED, "manifest"), store.digest_of(PULLED, "config")
    digests = dict.fromkeys((target, config))
    image = Thing("image", (target, *_spelled(digests), PULLED, f"{PULLED.rpartition(':')[0]}@{target}"))
    diff_ids = json.loads(store.blob(config).read_bytes())["rootfs"]["diff_ids"]
    top = chain_ids(diff_ids)[-1]
    names = dict.fromkeys((str(top), diff_ids[-1], store.digest_of(PULLED, str(len(diff_ids)))))
    layer = Thing("layer", (top, *_spelled(names)))
    own, init = (store.directory(f"{container.names[0]}{end}").name for end in ("", "-init"))
    bare = [Thing("bare", (own,)), Thing("bare", (init, f"{container.names[0]}-init"))]
    return [container, image, layer, *bare]


def _spelled(digests: dict[str, None]) -> Iterator[str]:
    """Each digest in full, its digits, and the beginnings of both."""
    for digest in digests:
        digits = digest.partition(":")[2]
        yield from (digest, digits, digits[:12], f"sha256:{digits[:12]}")


def name_image_in_containerd(root: Path, repository: str, image: str) -> None:
    """Give the target of an image the name `repository:latest`, as Docker writes it."""
    store = ContainerdRoot(root, "containerd/daemon", "moby")

    def add(space: Tree) -> None:
        images = space[b"images"]
        record = next(row for row in images.values() if row[b"target"][b"digest"] == image.encode())
        images[f"docker.io/library/{repository}:latest".encode()] = record

    store.edit_meta(add)


# -- containers/storage --------------------------------------------------------------------------


def graphroot_things(root: Path) -> list[Thing]:
    """A container, an image that was pulled by a list, and layers of the recorded graph root of Podman."""
    store = GraphRootFiles(root)
    container, image = store.container(CONTAINER), store.image(LISTED)
    own = container["id"]
    return [
        Thing("container", (own, CONTAINER, own[:12], own[:7])),
        Thing("image", tuple(_image_names(image))),
        Thing("layer", tuple(_layer_names(store, image))),
        Thing("bare", (container["layer"], container["layer"][:12], f"{CONTAINER}-layer")),
    ]


def _image_names(image: dict[str, Any]) -> Iterator[str]:
    """Its ID, its name, and the digests of its list and of its manifest, alone and with the name."""
    repository = LISTED.rpartition(":")[0]
    manifests = [
        key.removeprefix("manifest-") for key in image["big-data-names"] if key.startswith("manifest-")
    ]
    yield from _spelled({f"sha256:{image['id']}": None})
    yield LISTED
    for digest in {image["digest"]: None, **dict.fromkeys(manifests)}:
        yield from (*_spelled({digest: None}), f"{repository}@{digest}")


def _layer_names(store: GraphRootFiles, image: dict[str, Any]) -> Iterator[str]:
    """Those of its uppermost layer: of its chain, its tar, its blob, its record and its short link."""
    diff_ids = store.config(image["id"])["rootfs"]["diff_ids"]
    record = store.layer(image["layer"])
    digests = (str(chain_ids(diff_ids)[-1]), diff_ids[-1], record["compressed-diff-digest"])
    yield from _spelled(dict.fromkeys(digests))
    link = (store.directory(record["id"]) / "link").read_text()
    yield from (record["id"], record["id"][:12], link, f"l/{link}", link[:12])


def name_image_in_graphroot(root: Path, repository: str, image: str) -> None:
    """Give the image of an ID the name `docker.io/library/repository:latest`."""
    store = GraphRootFiles(root)

    def add(records: list[dict[str, Any]]) -> None:
        for record in records:
            if f"sha256:{record['id']}" == image:
                record["names"] = [*(record.get("names") or ()), f"docker.io/library/{repository}:latest"]

    store.edit(store.images_file, add)
