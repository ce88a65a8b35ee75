"""Archives and layouts made by hand: members as a mapping from names to bytes, then a tar or a directory."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backports import zstd

from fixtures.archives import Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "OCI",
    "PACKERS",
    "Layout",
    "as_directory",
    "as_tar",
    "digest",
    "empty_tar",
    "layer_of",
    "unpack_sample",
]

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": lambda tar: gzip.compress(tar, mtime=0),
    "gzip, two members": lambda tar: gzip.compress(tar[:700], mtime=0) + gzip.compress(tar[700:], mtime=0),
    "zstd": zstd.compress,
    "zstd, frames": lambda tar: (
        zstd.compress(tar[:700]) + b"\x50\x2a\x4d\x18\2\0\0\0xy" + zstd.compress(tar[700:])
    ),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
"""Ways in which a layer may be stored."""


def digest(content: bytes) -> str:
    """Its sha256 as a digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer_of(files: Mapping[str, bytes], *, whiteouts: Sequence[str] = ()) -> bytes:
    """A layer's tar of regular files and whiteouts."""
    layer = Layer()
    for name, content in files.items():
        layer.file(name, content)
    for name in whiteouts:
        layer.whiteout(name)
    return layer.done()


def empty_tar() -> bytes:
    """The layer of nothing."""
    return bytes(1024)


@dataclass
class Layout:
    """An OCI layout under construction; every method returns what it added."""

    members: dict[str, bytes] = field(
        default_factory=lambda: {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    )
    entries: list[dict[str, Any]] = field(default_factory=list)

    def blob(self, content: bytes, media_type: str, **fields: Any) -> dict[str, Any]:
        """Add a blob; its descriptor."""
        name = digest(content)
        self.members[f"blobs/sha256/{name.partition(':')[2]}"] = content
        return {"mediaType": media_type, "digest": name, "size": len(content), **fields}

    def document(self, value: object, media_type: str, **fields: Any) -> dict[str, Any]:
        """Add a JSON blob; its descriptor."""
        return self.blob(json.dumps(value).encode(), media_type, **fields)

    def image(
        self,
        layers: Sequence[bytes],
        *,
        pack: str = "gzip",
        platform: str = "linux/amd64",
        docker: bool = False,
        **config: Any,
    ) -> dict[str, Any]:
        """Add an image; the descriptor of its manifest, with its platform."""
        system, architecture, *variant = platform.split("/")
        where = {"os": system, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
        rootfs = {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}
        whole = {**where, "rootfs": rootfs, "config": {}, **config}
        kinds = (
            (f"{DOCKER}.container.image.v1+json", f"{DOCKER}.image.rootfs.diff.tar.gzip",
             f"{DOCKER}.distribution.manifest.v2+json")
            if docker
            else (f"{OCI}.config.v1+json", f"{OCI}.layer.v1.tar{_suffix(pack)}", f"{OCI}.manifest.v1+json")
        )  # fmt: skip
        manifest = {
            "schemaVersion": 2,
            "mediaType": kinds[2],
            "config": self.document(whole, kinds[0]),
            "layers": [self.blob(PACKERS[pack](layer), kinds[1]) for layer in layers],
        }
        return self.document(manifest, kinds[2], platform=where)

    def index(self, manifests: Sequence[Mapping[str, Any]], *, docker: bool = False) -> dict[str, Any]:
        """Add an index; its descriptor."""
        kind = f"{DOCKER}.distribution.manifest.list.v2+json" if docker else f"{OCI}.index.v1+json"
        return self.document({"schemaVersion": 2, "mediaType": kind, "manifests": list(manifests)}, kind)

    def name(self, descriptor: Mapping[str, Any], *names: str, ref_name: bool = False) -> None:
        """Enter what is described into `index.json`, under each name or without one."""
        key = "org.opencontainers.image.ref.name" if ref_name else "io.containerd.image.name"
        self.entries += [{**descriptor, "annotations": {key: name}} for name in names] or [dict(descriptor)]

    def done(self) -> dict[str, bytes]:
        """All members; `index.json` last."""
        index = {"schemaVersion": 2, "manifests": self.entries}
        return {**self.members, "index.json": json.dumps(index).encode()}


def _suffix(pack: str) -> str:
    return {"gzip": "+gzip", "zstd": "+zstd"}.get(pack.split(",", maxsplit=1)[0], "")


def as_tar(members: Mapping[str, bytes], *, prefix: str = "") -> bytes:
    """The members as a tar, in their order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def as_directory(members: Mapping[str, bytes], path: Path) -> Path:
    """The members as files below `path`, which is made; `path`."""
    for name, content in members.items():
        place = path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return path


def unpack_sample(archive: Path, directory: Path) -> Path:
    """Unpack a recorded layout or collection of archives; `directory`."""
    with tarfile.open(archive) as tar:
        tar.extractall(directory, filter="data")
    return directory
