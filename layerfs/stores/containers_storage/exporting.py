"""Images for `export`, byte for byte as they were built: where the manifest names the layers as plain tars.

A packed layer is not kept, and packing it anew gives other bytes. So an image that was pulled packed gets a
manifest of its own; one that was committed, built or pulled plain keeps its digest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.capabilities import StoredImage
from layerfs.damage import attempt
from layerfs.formats.jsontext import load_object, text
from layerfs.ids import BlobDigest

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.model import Image
    from layerfs.stores.containers_storage.store import GraphRoot
    from layerfs.stores.originaltar import OriginalTar

__all__ = ["stored_image"]

_OCI = "application/vnd.oci.image.manifest.v1+json"


class _PlainBlob:
    """A layer's tar, which is the blob; see `LayerBlob`."""

    def __init__(self, tar: OriginalTar) -> None:
        self._tar = tar
        self.digest = BlobDigest(tar.diff_id)
        self.size = tar.size

    def write(self, write: Callable[[bytes], object]) -> None:
        """Write it; raises `CorruptStore` where it is not the original."""
        self._tar.write(lambda piece: write(bytes(piece)))


def stored_image(store: GraphRoot, image: Image) -> StoredImage | None:
    """An image byte for byte, see `Keeping`; None where its layers were packed, or its manifest is lost."""
    manifest = attempt(store.report, lambda: store.manifest(image))
    if manifest is None or manifest.config is None or manifest.config.digest != str(image.id):
        return None
    if [layer.digest for layer in manifest.layers] != [*map(str, image.config.diff_ids)]:
        return None
    content = store.manifest_bytes(image)
    blobs = tuple(_PlainBlob(store.layer_tar(layer)) for layer in store.chain(image))
    return StoredImage(content, text(load_object(content), "mediaType") or _OCI, blobs)
