"""Compresses layers, each to a temporary file, as digest and length must be known before it is written.

The gzip header has no name and no time: one layer gives the same bytes with the same zlib.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from layerfs.ids import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from layerfs.layertar import Buffer, LayerTar
    from layerfs.views.export.members import Write

__all__ = ["Packed", "Packing"]

_CHUNK = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS


class Packed(NamedTuple):
    """A compressed layer, valid until the block of `Packing.pack` ends."""

    digest: Digest
    size: int
    spool: IO[bytes]

    def write(self, write: Write) -> None:
        """Pass its bytes to `write`, piece by piece."""
        self.spool.seek(0)
        while piece := self.spool.read(_CHUNK):
            write(piece)


class Packing:
    """Compresses with gzip."""

    def __init__(self, directory: bytes | None = None) -> None:
        """Keep the temporary files, which have no name, in `directory`; None is the system's usual one."""
        self._directory = None if directory is None else os.fsdecode(directory)

    @contextmanager
    def pack(self, tar: LayerTar) -> Iterator[Packed]:
        """A context manager that gives a layer, compressed; raises `CorruptStore`."""
        digest = hashlib.sha256()
        packer = zlib.compressobj(wbits=_GZIP)
        with tempfile.TemporaryFile(dir=self._directory, buffering=_CHUNK) as spool:

            def keep(piece: bytes) -> None:
                digest.update(piece)
                spool.write(piece)

            def pack(piece: Buffer) -> None:
                if packed := packer.compress(piece):
                    keep(packed)

            tar.write(pack)
            keep(packer.flush())
            yield Packed(Digest.from_hex(digest.hexdigest()), spool.tell(), spool)
