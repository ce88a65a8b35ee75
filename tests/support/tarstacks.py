"""Stores of images whose layers are given as the members of their tars, in every kind of store."""

from __future__ import annotations

import hashlib
import os
import tarfile
from typing import TYPE_CHECKING, TypeAlias

from layerfs.ids import DiffID
from tests.support.containerdbuilder import BuiltSnapshot, ContainerdBuilder
from tests.support.graphrootbuilder import GraphRootBuilder
from tests.support.rootbuilder import BuiltLayer, RootBuilder
from tests.support.tarsplit import lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.support.graphrootbuilder import StoredLayer

__all__ = ["Members", "containerd_of_tars", "graphroot_of_tars", "member", "overlay2_of_tars"]

Members: TypeAlias = "Sequence[tuple[tarfile.TarInfo, bytes]]"
"""Regular files of 1970, with their contents; the directories that they are in are made."""


def member(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    """A file of a layer."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    return info, content


def overlay2_of_tars(path: Path, images: Mapping[str, Sequence[Members]]) -> Path:
    """A Docker data root of images by their names, each of layers, base first; its path."""
    builder = RootBuilder(path)
    for name, stack in images.items():
        top: BuiltLayer | None = None
        for members in stack:
            diff_id = DiffID.from_hex(hashlib.sha256(_tar(members)).hexdigest())
            top = builder.layer(top, _filler(members), diff_id)
            record = path / "image/overlay2/layerdb/sha256" / top.chain_id.hex
            (record / "tar-split.json.gz").write_bytes(lines_of(iter(members)))
        builder.image(top, name)
    return builder.finish()


def containerd_of_tars(path: Path, images: Mapping[str, Sequence[Members]]) -> Path:
    """Likewise a containerd root, each layer with its snapshot and its blob."""
    builder = ContainerdBuilder(path)
    for name, stack in images.items():
        layers: list[BuiltSnapshot] = []
        for members in stack:
            layers.append(builder.layer(layers[-1] if layers else None, _tar(members), _filler(members)))
        builder.image([f"docker.io/library/{name}"], layers)
    return builder.finish()


def graphroot_of_tars(path: Path, images: Mapping[str, Sequence[Members]]) -> Path:
    """Likewise a graph root of containers/storage."""
    builder = GraphRootBuilder(path)
    for name, stack in images.items():
        top: StoredLayer | None = None
        for members in stack:
            top = builder.layer(top, _tar(members), _filler(members), lines_of(iter(members)))
        builder.image([f"docker.io/library/{name}"], top)
    return builder.finish()


def _tar(members: Members) -> bytes:
    blocks = (
        info.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % 512) for info, content in members
    )
    return b"".join(blocks) + bytes(1024)


def _filler(members: Members) -> Callable[[Path], None]:
    def fill(tree: Path) -> None:
        for info, content in members:
            path = tree / info.name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (0, 0))

    return fill
