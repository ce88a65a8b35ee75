"""Layers that have an archive: GNU tar makes it of a tree, and its tar-split data are written by the book.

For roots that no Engine has to make: large ones, and those with archives that an Engine would refuse.

Source: vbatts/tar-split `tar/asm/disassemble.go`, `tar/storage/{entry,packer}.go`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import subprocess
from typing import IO, TYPE_CHECKING, Any

from layerfs.formats.checksum import crc64
from layerfs.ids import DiffID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.support.rootbuilder import BuiltLayer, RootBuilder

__all__ = ["archived_layer", "content_line", "segment_line", "write_tar_split"]

_BLOCK, _CHUNK = 512, 1 << 20
_BEFORE_A_HEADER = (b"x", b"g", b"L", b"K")


def archived_layer(builder: RootBuilder, below: BuiltLayer | None, tree: Path) -> BuiltLayer:
    """A layer with what is in `tree`, and the archive of it; names of less than 100 bytes."""
    with subprocess.Popen(
        ["tar", "-C", tree, "--format=posix", "-cf", "-", "."], stdout=subprocess.PIPE
    ) as tar:
        assert tar.stdout
        digest = hashlib.sha256()
        lines = list(_split(_Hashing(tar.stdout, digest)))
    assert tar.returncode == 0
    copy = ["cp", "-a", "--sparse=always", f"{tree}/."]
    layer = builder.layer(
        below, lambda diff: subprocess.run([*copy, diff], check=True), DiffID.from_hex(digest.hexdigest())
    )
    write_tar_split(builder.path, layer, lines)
    return layer


def write_tar_split(root: Path, layer: BuiltLayer, lines: Iterable[bytes]) -> None:
    """Give a layer these tar-split data."""
    path = root / "image/overlay2/layerdb/sha256" / layer.chain_id.hex / "tar-split.json.gz"
    with gzip.open(path, "wb", compresslevel=1) as packed:
        packed.writelines(lines)


def segment_line(payload: bytes) -> bytes:
    """Bytes of the tar as a line."""
    return _line({"type": 2, "payload": base64.b64encode(payload).decode(), "position": 0})


def content_line(name: bytes, size: int = 0, checksum: int = 0) -> bytes:
    """The place of a content as a line."""
    entry: dict[str, Any] = {"type": 1, "name": name.decode("latin-1")}
    if size:
        entry |= {"size": size, "payload": base64.b64encode(checksum.to_bytes(8)).decode()}
    else:
        entry["payload"] = None
    return _line(entry | {"position": 0})


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


class _Hashing:
    """A stream whose bytes are hashed as they are read."""

    def __init__(self, stream: IO[bytes], digest: Any) -> None:
        self._stream = stream
        self._digest = digest

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer at the end."""
        data = self._stream.read(size)
        self._digest.update(data)
        return data


def _split(tar: _Hashing) -> Iterator[bytes]:
    """The tar-split lines of a tar."""
    raw = b""
    while block := tar.read(_BLOCK):
        raw += block
        if not any(block):
            continue
        size = int(block[124:135], 8)
        padding = -size % _BLOCK
        if block[156:157] in _BEFORE_A_HEADER:
            raw += tar.read(size + padding)
            continue
        yield segment_line(raw)
        checksum, left = 0, size
        while left:
            piece = tar.read(min(left, _CHUNK))
            checksum, left = crc64(piece, checksum), left - len(piece)
        yield content_line(block[:100].rstrip(b"\0"), size, checksum)
        raw = tar.read(padding) if padding else b""
    yield segment_line(raw)
