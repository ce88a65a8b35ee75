"""Exports layers from blobs: byte for byte as stored, or as the plain tar."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from layerfs.errors import DigestMismatch, MalformedFile, reason
from layerfs.ids import BlobDigest

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.cache.blobs import Plain
    from layerfs.ids import DiffID
    from layerfs.stores.blobs.layers import BlobLayer
    from layerfs.stores.blobs.outer import Blob
    from layerfs.tree.pooledfile import Readable

__all__ = ["PlainTar", "StoredBlob"]

_PIECE = 1 << 20


class PlainTar:
    """A layer's uncompressed tar, checked while it is written.

    Attributes:
        diff_id: its sha256.
    """

    def __init__(self, layer: BlobLayer, open_plain: Callable[[Blob], Plain]) -> None:
        """The tar of `layer`, decompressed by `open_plain` when it is asked for."""
        self.diff_id: DiffID = layer.diff_id
        self._layer = layer
        self._open = open_plain

    @property
    def size(self) -> int:
        """Its bytes; raises `CorruptStore`."""
        return self._open(self._layer.blob).size

    def write(self, write: Callable[[bytes], object]) -> None:
        """Write it, piece by piece; raises `CorruptStore`, at the end if the sha256 is wrong."""
        plain = self._open(self._layer.blob)
        label = self._layer.blob.label
        found = _copy(label, plain.file, plain.offset, plain.size, write)
        if found != self.diff_id:
            raise DigestMismatch(
                label, "the layer is not the one in the config", expected=self.diff_id, found=found
            )


class StoredBlob:
    """A layer's blob as stored, checked while it is written.

    Attributes:
        digest: its sha256.
        media_type: as the manifest says; empty where it does not.
        size: its bytes.
    """

    def __init__(self, layer: BlobLayer, digest: str) -> None:
        """The blob of `layer`, whose sha256 is `digest`."""
        self.digest = BlobDigest(digest)
        self.media_type = layer.media_type
        self.size = layer.blob.size
        self._blob = layer.blob

    def write(self, write: Callable[[bytes], object]) -> None:
        """Write it, piece by piece; raises `CorruptStore`, at the end if the sha256 is wrong."""
        blob = self._blob
        found = _copy(blob.label, blob.file, blob.offset, blob.size, write)
        if found != self.digest:
            raise DigestMismatch(
                blob.label, "the blob does not hash to its name", expected=self.digest, found=found
            )


def _copy(label: str, file: Readable, offset: int, size: int, write: Callable[[bytes], object]) -> str:
    """Write a part of a file; returns its digest."""
    digest, at, end = hashlib.sha256(), offset, offset + size
    while at < end:
        try:
            piece = file.pread(min(_PIECE, end - at), at)
        except OSError as error:
            raise MalformedFile(label, reason(error)) from error
        if not piece:
            raise MalformedFile(label, "the file became shorter while it was read")
        digest.update(piece)
        write(piece)  # outside of `try`: an error of the output is no fault of the archive
        at += len(piece)
    return f"sha256:{digest.hexdigest()}"
