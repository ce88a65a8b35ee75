"""A graph root of containers/storage written without an engine: as many layers and images as wanted.

Sources: containers/storage `images.go`, `layers.go`, `containers.go`, `drivers/overlay/overlay.go`;
containers/image `storage/storage_dest.go`.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.graphroots import big_data_name
from tests.support.layouts import OCI

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["CREATED", "GraphRootBuilder", "StoredLayer", "many_images"]

CREATED = "2026-01-01T00:00:00Z"
_EMPTY_TAR = bytes(1024)


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A layer that was made.

    Attributes:
        id: what it is called in the store.
        diff_id: the digest of its tar; empty of a container's.
        size: bytes of the tar.
        tree: the directory of its files.
        below: the layer that it stands on.
    """

    id: str
    diff_id: str
    size: int
    tree: Path
    below: StoredLayer | None

    def stack(self) -> Iterator[StoredLayer]:
        """This layer and all below it, uppermost first."""
        layer: StoredLayer | None = self
        while layer:
            yield layer
            layer = layer.below


class GraphRootBuilder:
    """A graph root under construction, of the driver overlay.

    Attributes:
        path: the root.
        images, layers, containers: what will be in the files of records, to be changed at will.
    """

    def __init__(self, path: Path) -> None:
        """A root in `path`, which must not exist or be empty."""
        self.path = path
        self.images: list[dict[str, Any]] = []
        self.layers: list[dict[str, Any]] = []
        self.containers: list[dict[str, Any]] = []
        self._count = itertools.count()
        self._made: set[str] = set()
        for name in ("overlay-images", "overlay-layers", "overlay-containers", "overlay/l"):
            (path / name).mkdir(parents=True)
        (path / "overlay/.has-mount-program").write_text("false")

    # -- layers --------------------------------------------------------------------------------

    def layer(
        self,
        below: StoredLayer | None = None,
        tar: bytes = _EMPTY_TAR,
        fill: Callable[[Path], object] | None = None,
        split: bytes | None = None,
    ) -> StoredLayer:
        """Add a layer of an image: its tar, what fills its directory, and its tar-split file."""
        digits = hashlib.sha256(tar).hexdigest()
        own = _sha256(f"{below.id}+{digits}") if below else digits
        if own in self._made:
            raise ValueError("the layer is there already")
        self._made.add(own)
        made = self._directory(own, below, fill, f"sha256:{digits}", len(tar))
        self.layers.append(
            {
                **_record(made),
                "compressed-diff-digest": made.diff_id,
                "compressed-size": made.size,
                "diff-digest": made.diff_id,
                "diff-size": made.size,
            }
        )
        if split is not None:
            (self.path / "overlay-layers" / f"{own}.tar-split.gz").write_bytes(split)
        return made

    def own_layer(self, name: str, below: StoredLayer | None) -> StoredLayer:
        """Add a layer that is no image's, with a name: a container's, as it were."""
        made = self._directory(_sha256(f"{name} {next(self._count)}"), below, None, "", 0)
        self.layers.append({**_record(made), "names": [name]})
        return made

    def _directory(
        self,
        own: str,
        below: StoredLayer | None,
        fill: Callable[[Path], object] | None,
        diff_id: str,
        size: int,
    ) -> StoredLayer:
        """`overlay/<ID>/` and its short link."""
        directory = self.path / "overlay" / own
        made = StoredLayer(own, diff_id, size, directory / "diff", below)
        made.tree.mkdir(parents=True, mode=0o555)
        (directory / "link").write_text(_link(own))
        (self.path / "overlay/l" / _link(own)).symlink_to(f"../{own}/diff")
        (directory / ("work" if below else "empty")).mkdir(mode=0o700)
        if below:
            (directory / "lower").write_text(":".join(f"l/{_link(item.id)}" for item in below.stack()))
        if fill:
            fill(made.tree)
        return made

    # -- images --------------------------------------------------------------------------------

    def image(self, names: Sequence[str], top: StoredLayer | None, **config: Any) -> str:
        """Add an image with names and a config; its ID."""
        stack = [*top.stack()][::-1] if top else []
        whole = {
            "os": "linux",
            "architecture": "amd64",
            "created": CREATED,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in stack]},
            **config,
        }
        content = json.dumps(whole).encode()
        own = hashlib.sha256(content).hexdigest()
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": _descriptor(f"{OCI}.config.v1+json", f"sha256:{own}", len(content)),
            "layers": [_descriptor(f"{OCI}.layer.v1.tar", layer.diff_id, layer.size) for layer in stack],
        }
        told = json.dumps(manifest).encode()
        digest = f"sha256:{hashlib.sha256(told).hexdigest()}"
        record: dict[str, Any] = {
            "id": own,
            "digest": digest,
            "names": list(names),
            "names-history": list(names),
        }
        record |= {"created": CREATED, "metadata": "{}", **({"layer": top.id} if top else {})}
        self.big_data(record, f"sha256:{own}", content)
        self.big_data(record, f"manifest-{digest}", told)
        self.big_data(record, "manifest", told)
        self.images.append(record)
        return own

    def big_data(self, record: dict[str, Any], key: str, content: bytes) -> None:
        """Add a document to the record of an image."""
        directory = self.path / "overlay-images" / record["id"]
        directory.mkdir(exist_ok=True)
        (directory / big_data_name(key)).write_bytes(content)
        record.setdefault("big-data-names", []).append(key)
        record.setdefault("big-data-sizes", {})[key] = len(content)
        record.setdefault("big-data-digests", {})[key] = f"sha256:{hashlib.sha256(content).hexdigest()}"

    def container(self, name: str, image: str, below: StoredLayer | None, **metadata: Any) -> StoredLayer:
        """Add a container that nothing but containers/storage knows of; its own layer."""
        made = self.own_layer(f"{name}-layer", below)
        record = {"id": _sha256(f"container {name}"), "names": [name], "image": image, "layer": made.id}
        noted = {"image-id": image, "name": name, **metadata}
        self.containers.append({**record, "metadata": json.dumps(noted), "created": CREATED})
        return made

    def finish(self) -> Path:
        """Write the records; the root."""
        for name in ("images", "layers", "containers"):
            (self.path / f"overlay-{name}/{name}.json").write_text(json.dumps(getattr(self, name)))
        return self.path


def many_images(path: Path, images: int, sharing: Sequence[int]) -> Path:
    """A root with so many images, each with a tag; `sharing` tells of how many each layer is."""
    builder = GraphRootBuilder(path)
    made: dict[tuple[int, int], StoredLayer] = {}
    for number in range(images):
        top: StoredLayer | None = None
        for depth, shared_by in enumerate(sharing):
            place = (number // shared_by, depth)
            if place not in made:
                made[place] = builder.layer(top, b"%d %d" % place)
            top = made[place]
        steps = [{"created": CREATED, "created_by": f"RUN step {depth}"} for depth in range(len(sharing))]
        builder.image([f"registry.example:5000/team-{number % 9}/app-{number}:1.0"], top, history=steps)
    return builder.finish()


def _record(layer: StoredLayer) -> dict[str, Any]:
    return {"id": layer.id, "created": CREATED, **({"parent": layer.below.id} if layer.below else {})}


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _link(layer: str) -> str:
    return base64.b32encode(hashlib.sha256(layer.encode()).digest()).decode()[:26]
