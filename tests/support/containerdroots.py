"""A containerd root read and changed without layerfs: its databases as plain trees, its blobs by digest.

Sources: containerd `core/metadata/buckets.go`, `core/snapshots/storage/bolt.go`, `docs/content-flow.md`.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from layerfs.ids import ChainID, DiffID, chain_id
from tests.support.bolt import bolt_tree
from tests.support.boltfiles import trusting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["META", "ContainerdRoot", "PlacedSnapshot", "changed_database", "read_database"]

META = "io.containerd.metadata.v1.bolt/meta.db"
CONTENT = "io.containerd.content.v1.content"
SNAPSHOTTER = "io.containerd.snapshotter.v1.{}"


def read_database(path: Path) -> dict[bytes, Any]:
    """Every bucket and value of a bolt database, by a reader that believes it."""
    return _without_sequences(trusting(path.read_bytes()).tree)


def _without_sequences(tree: dict[bytes, Any]) -> dict[bytes, Any]:
    return {
        key: _without_sequences(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if not isinstance(value, int)
    }


@contextmanager
def changed_database(path: Path) -> Iterator[dict[bytes, Any]]:
    """A database as a tree that may be changed; what is made of it is written when the block ends."""
    tree = read_database(path)
    yield tree
    path.write_bytes(bolt_tree(tree))


class PlacedSnapshot(NamedTuple):
    """A layer of an image, where it is.

    Attributes:
        chain_id, diff_id, digest: of the chain, the tar, and the blob.
        name: what the snapshotter calls it.
        directory: of its snapshot.
    """

    chain_id: str
    diff_id: str
    digest: str
    name: str
    directory: Path


@dataclass(frozen=True, slots=True)
class ContainerdRoot:
    """A containerd root, and the namespace that is looked at."""

    path: Path
    namespace: str
    snapshotter: str = "overlayfs"

    @property
    def meta(self) -> Path:
        """Its `meta.db`."""
        return self.path / META

    @property
    def snapshots(self) -> Path:
        """The `metadata.db` of its snapshotter."""
        return self.path / SNAPSHOTTER.format(self.snapshotter) / "metadata.db"

    def blob(self, digest: str) -> Path:
        """The file of a blob."""
        return self.path / CONTENT / "blobs" / digest.replace(":", "/")

    def document(self, digest: str) -> Any:
        """The JSON in a blob."""
        return json.loads(self.blob(digest).read_bytes())

    def space(self) -> dict[bytes, Any]:
        """What `meta.db` has of the namespace."""
        found: dict[bytes, Any] = read_database(self.meta)[b"v1"][self.namespace.encode()]
        return found

    def targets(self) -> dict[str, str]:
        """The digest that each name of an image points at."""
        images = self.space().get(b"images", {})
        return {name.decode(): row[b"target"][b"digest"].decode() for name, row in images.items()}

    def manifest_digest(self, image: str) -> str:
        """The digest of the manifest of an image's first platform."""
        digest = self.targets()[image]
        while "manifests" in (document := self.document(digest)):
            digest = document["manifests"][0]["digest"]
        return digest

    def place_of(self, key: str) -> str:
        """The name of the directory of the snapshot of a key."""
        name = self.space()[b"snapshots"][self.snapshotter.encode()][key.encode()][b"name"]
        return str(read_database(self.snapshots)[b"v1"][b"snapshots"][name][b"id"][0])

    def placed(self, image: str) -> list[PlacedSnapshot]:
        """The layers of an unpacked image, base first."""
        manifest = self.document(self.manifest_digest(image))
        config = self.document(manifest["config"]["digest"])
        keys = self.space()[b"snapshots"][self.snapshotter.encode()]
        found: list[PlacedSnapshot] = []
        for diff_id, blob in zip(config["rootfs"]["diff_ids"], manifest["layers"], strict=True):
            chain = chain_id(ChainID(found[-1].chain_id) if found else None, DiffID(diff_id))
            name = keys[chain.encode()][b"name"].decode()
            directory = self.snapshots.parent / "snapshots" / self.place_of(chain)
            found.append(PlacedSnapshot(chain, diff_id, blob["digest"], name, directory))
        return found
