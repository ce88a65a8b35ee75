"""A containerd root written without containerd: as many images, snapshots and containers as wanted.

Sources: containerd `core/metadata/buckets.go`, `core/snapshots/storage/bolt.go`; Go `time.MarshalBinary`,
`encoding/binary` (Varint).
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from layerfs.ids import ChainID, DiffID, chain_id
from tests.support.bolt import bolt_tree
from tests.support.layouts import OCI

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["BuiltSnapshot", "ContainerdBuilder", "many_images", "signed", "time_bytes", "unsigned"]

META = "io.containerd.metadata.v1.bolt/meta.db"
CONTENT = "io.containerd.content.v1.content/blobs/sha256"
_SNAPSHOTTER = "io.containerd.snapshotter.v1."
_YEAR_1 = 62_135_596_800  # seconds from year 1 to 1970
_CREATED = 1_767_225_600  # 2026-01-01
_COMMITTED, _ACTIVE = b"\3", b"\2"


def unsigned(value: int) -> bytes:
    """A varint."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def signed(value: int) -> bytes:
    """A varint that is zigzagged."""
    return unsigned(value << 1 if value >= 0 else ~(value << 1))


def time_bytes(seconds: int = _CREATED) -> bytes:
    """A time in UTC."""
    return struct.pack(">BqIh", 1, seconds + _YEAR_1, 0, -1)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


_TIMES = {b"createdat": time_bytes(), b"updatedat": time_bytes()}


@dataclass(frozen=True, slots=True)
class BuiltSnapshot:
    """A snapshot that was made.

    Attributes:
        key: what the namespace knows it by: a chain ID for a layer of an image.
        name: what the snapshotter knows it by.
        tree: the directory of its files.
        diff_id, descriptor: of a layer, and of its blob.
    """

    key: str
    name: str
    tree: Path
    diff_id: str = ""
    descriptor: Mapping[str, Any] = field(default_factory=dict)


class ContainerdBuilder:
    """A containerd root under construction.

    Attributes:
        path: the root.
        space: what `meta.db` will have of the namespace, to be changed at will.
        records: what the snapshotter's `metadata.db` will have of its snapshots, likewise.
    """

    def __init__(self, path: Path, namespace: str = "default", snapshotter: str = "overlayfs") -> None:
        """A root with one namespace and one snapshotter."""
        self.path = path
        self.space: dict[bytes, Any] = {
            b"images": {},
            b"content": {b"blob": {}},
            b"snapshots": {snapshotter.encode(): {}},
            b"containers": {},
        }
        self.records: dict[bytes, Any] = {}
        self._parents: dict[bytes, Any] = {}
        self._last = 0  # number of a snapshot
        self._namespace = namespace
        self._snapshotter = snapshotter
        self._top = path / f"{_SNAPSHOTTER}{snapshotter}"
        (self._top / "snapshots").mkdir(parents=True)
        (path / META).parent.mkdir()
        (path / CONTENT).mkdir(parents=True)

    def blob(self, content: bytes, media_type: str, **fields: Any) -> dict[str, Any]:
        """Add a blob; its descriptor."""
        digits = hashlib.sha256(content).hexdigest()
        place = self.path / CONTENT / digits
        if not place.exists():
            place.write_bytes(content)
        record = {b"size": signed(len(content)), **_TIMES}
        self.space[b"content"][b"blob"][f"sha256:{digits}".encode()] = record
        return {"mediaType": media_type, "digest": f"sha256:{digits}", "size": len(content), **fields}

    def document(self, value: object, media_type: str, **fields: Any) -> dict[str, Any]:
        """Add a JSON blob; its descriptor."""
        return self.blob(json.dumps(value).encode(), media_type, **fields)

    def snapshot(self, key: str, below: BuiltSnapshot | None, *, active: bool = False) -> BuiltSnapshot:
        """Add a snapshot of a key."""
        self._last += 1
        number = self._last
        name = f"{self._namespace}/{number}/{key}"
        top = self._top / "snapshots" / str(number)
        tree = top if self._snapshotter == "native" else top / "fs"
        tree.mkdir(parents=True)
        record = {b"id": unsigned(number), b"kind": _ACTIVE if active else _COMMITTED, **_TIMES}
        meta = {b"name": _raw(name), **_TIMES}
        if below:
            record[b"parent"], meta[b"parent"] = _raw(below.name), _raw(below.key)
        if not active:
            record |= {b"size": signed(4096), b"inodes": signed(1)}
        self.records[_raw(name)] = record
        self.space[b"snapshots"][self._snapshotter.encode()][_raw(key)] = meta
        return BuiltSnapshot(key, name, tree)

    def layer(
        self,
        below: BuiltSnapshot | None,
        tar: bytes,
        fill: Callable[[Path], object] | None = None,
    ) -> BuiltSnapshot:
        """Add a layer: its tar as a plain blob, and its snapshot, filled by `fill`."""
        descriptor = self.blob(tar, f"{OCI}.layer.v1.tar")
        chain = chain_id(ChainID(below.key) if below else None, DiffID(descriptor["digest"]))
        if chain.encode() in self.space[b"snapshots"][self._snapshotter.encode()]:
            raise ValueError("the layer is there already")
        made = self.snapshot(chain, below)
        if fill:
            fill(made.tree)
        return BuiltSnapshot(made.key, made.name, made.tree, descriptor["digest"], descriptor)

    def manifest(self, layers: Sequence[BuiltSnapshot], **config: Any) -> dict[str, Any]:
        """Add the config and the manifest of an image; the manifest's descriptor."""
        whole = {
            "os": "linux",
            "architecture": "amd64",
            "created": "2026-01-01T00:00:00Z",
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "config": {},
            **config,
        }
        document = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": self.document(whole, f"{OCI}.config.v1+json"),
            "layers": [dict(layer.descriptor) for layer in layers],
        }
        return self.document(document, f"{OCI}.manifest.v1+json")

    def index(self, manifests: Sequence[Mapping[str, Any]], **fields: Any) -> dict[str, Any]:
        """Add an index; its descriptor."""
        kind = f"{OCI}.index.v1+json"
        return self.document(
            {"schemaVersion": 2, "mediaType": kind, "manifests": list(manifests), **fields}, kind
        )

    def name(
        self, descriptor: Mapping[str, Any], *names: str, labels: Mapping[str, str] | None = None
    ) -> None:
        """Give what is described names."""
        target = {
            b"digest": str(descriptor["digest"]).encode(),
            b"mediatype": str(descriptor["mediaType"]).encode(),
            b"size": signed(descriptor["size"]),
        }
        kept = {_raw(key): _raw(value) for key, value in (labels or {}).items()}
        for name in names:
            record = {b"target": target, **_TIMES, **({b"labels": kept} if kept else {})}
            self.space[b"images"][_raw(name)] = record

    def image(self, names: Sequence[str], layers: Sequence[BuiltSnapshot], **config: Any) -> dict[str, Any]:
        """Add an image with names; the descriptor of its manifest."""
        found = self.manifest(layers, **config)
        self.name(found, *names)
        return found

    def container(
        self,
        container_id: str,
        image: str,
        below: BuiltSnapshot | None,
        labels: Mapping[bytes, bytes] | None = None,
    ) -> BuiltSnapshot:
        """Add a container as ctr makes one, with its writable snapshot."""
        spec = json.dumps({"process": {"args": ["sh"], "cwd": "/"}}).encode()
        url = b"types.containerd.io/opencontainers/runtime-spec/1/Spec"
        noted: dict[bytes, Any] = {b"labels": dict(labels)} if labels else {}
        self.space[b"containers"][_raw(container_id)] = {
            b"image": image.encode(),
            b"snapshotter": self._snapshotter.encode(),
            b"snapshotKey": _raw(container_id),
            b"spec": b"\x0a" + unsigned(len(url)) + url + b"\x12" + unsigned(len(spec)) + spec,
            **_TIMES,
            **noted,
        }
        return self.snapshot(container_id, below, active=True)

    def finish(self) -> Path:
        """Write the databases; the root."""
        (self.path / META).write_bytes(bolt_tree({b"v1": {self._namespace.encode(): self.space}}))
        content = bolt_tree({b"v1": {b"snapshots": self.records, b"parents": self._parents}})
        (self._top / "metadata.db").write_bytes(content)
        return self.path


def many_images(
    path: Path, images: int, layers: int = 6, namespace: str = "default", sharing: Sequence[int] = ()
) -> Path:
    """A root with so many images, each of so many layers, with a tag and a command a layer.

    Of how many images a layer is, base first, says `sharing`; without it each has its own.
    """
    builder = ContainerdBuilder(path, namespace)
    made: dict[tuple[int, int], BuiltSnapshot] = {}
    for number in range(images):
        stack: list[BuiltSnapshot] = []
        for depth in range(layers):
            place = (number // sharing[depth] if sharing else number, depth)
            if place not in made:
                made[place] = builder.layer(stack[-1] if stack else None, b"%d %d" % place)
            stack.append(made[place])
        history = [
            {"created": "2026-01-01T00:00:00Z", "created_by": f"RUN step {depth}"} for depth in range(layers)
        ]
        builder.image([f"registry.example:5000/team-{number % 9}/app-{number}:1.0"], stack, history=history)
    return builder.finish()
