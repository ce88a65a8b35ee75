"""Writes OCI image layouts, and archives for `docker load`, which are layouts with a `manifest.json`.

Engines before version 25 read only `manifest.json`, OCI tools only the layout, newer engines both; so one
archive serves all. Blobs are named by their digests, so what images share is written once. The index is
written last, as an archive with an index is taken for a whole one.

Sources: OCI image-spec `image-layout.md`, `manifest.md`, `annotations.md`; moby `image/tarexport/save.go`
(v20.10 and v25), `load.go`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from layerfs.ids import Digest
from layerfs.views.export.images import parents

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from layerfs.capabilities import LayerBlob, StoredImage
    from layerfs.formats.reference import Reference
    from layerfs.layertar import LayerTar
    from layerfs.views.export.images import ExportImage
    from layerfs.views.export.packing import Packing
    from layerfs.views.export.places import Destination

__all__ = ["Layout", "write_docker_archive", "write_oci"]

Descriptor: TypeAlias = "dict[str, Any]"

_OCI = "application/vnd.oci.image"
_REF_NAME = "org.opencontainers.image.ref.name"
_IMAGE_NAME = "io.containerd.image.name"


class Layout:
    """Writes the blobs of a layout, each once."""

    def __init__(
        self, place: Destination, lacking: Collection[str] | None = None, packing: Packing | None = None
    ) -> None:
        """Begin a layout in `place`.

        Args:
            place: takes the files.
            lacking: the diff IDs of the layers to write; None is all.
            packing: compresses layers; None leaves them as they are.
        """
        self._place = place
        self._lacking = lacking
        self._packing = packing
        self._written: set[str] = set()
        self._layers: dict[str, Descriptor] = {}
        place.directory("blobs")
        place.directory("blobs/sha256")

    def layer(self, tar: LayerTar) -> Descriptor:
        """Write a layer, unless it is there already or not wanted; returns its descriptor."""
        if tar.diff_id not in self._layers:
            self._layers[tar.diff_id] = self._layer(tar)
        return self._layers[tar.diff_id]

    def _layer(self, tar: LayerTar) -> Descriptor:
        wanted = self._lacking is None or tar.diff_id in self._lacking
        kind = f"{_OCI}.layer.v1.tar"
        if self._packing is None:
            found = _descriptor(kind, tar.diff_id, tar.size)
            if wanted and tar.diff_id not in self._written:  # it may be there as a blob of another image
                self._written.add(tar.diff_id)
                self._place.file(blob_name(tar.diff_id), tar.size, tar.write)
            return found
        with self._packing.pack(tar) as packed:
            if wanted and packed.digest not in self._written:
                self._written.add(packed.digest)
                self._place.file(blob_name(packed.digest), packed.size, packed.write)
            return _descriptor(kind + "+gzip", packed.digest, packed.size)

    def blob(self, blob: LayerBlob, diff_id: str) -> None:
        """Write a layer as it is stored, unless it is there already or not wanted."""
        wanted = self._lacking is None or diff_id in self._lacking
        if wanted and blob.digest not in self._written:
            self._written.add(blob.digest)
            self._place.file(blob_name(blob.digest), blob.size, blob.write)

    def document(self, kind: str, content: bytes) -> Descriptor:
        """Write a config or manifest, unless it is there already; returns its descriptor."""
        digest = Digest.of(content)
        if digest not in self._written:
            self._written.add(digest)
            self.file(blob_name(digest), content)
        return _descriptor(f"{_OCI}.{kind}.v1+json", digest, len(content))

    def file(self, name: str, content: bytes) -> None:
        """Write a small file."""
        self._place.file(name, len(content), lambda write: write(content))

    def image(self, image: ExportImage) -> Descriptor:
        """Write an image: layers, config, manifest; returns the manifest's descriptor."""
        if image.stored and self._packing is None:
            return self._stored(image, image.stored)
        layers = [self.layer(tar) for tar in image.layers]
        config = self.document("config", image.config)
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": config,
            "layers": layers,
        }
        found = self.document("manifest", _json(manifest))
        return found | ({"platform": dict(image.platform)} if image.platform else {})

    def _stored(self, image: ExportImage, stored: StoredImage) -> Descriptor:
        """Write an image byte for byte; returns the manifest's descriptor."""
        for tar, blob in zip(image.layers, stored.layers, strict=True):
            self.blob(blob, tar.diff_id)
        self.document("config", image.config)
        found = self.document("manifest", stored.manifest) | {"mediaType": stored.media_type}
        return found | ({"platform": dict(image.platform)} if image.platform else {})

    def finish(self, manifests: Iterable[Descriptor]) -> None:
        """Write `index.json` and `oci-layout`."""
        index = {"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": list(manifests)}
        self.file("index.json", _json(index))
        self.file("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))


def write_oci(layout: Layout, images: Iterable[ExportImage]) -> None:
    """Write an OCI image layout with an entry for each name of each image; raises `CorruptStore`."""
    manifests: list[Descriptor] = []
    for image in images:
        manifests += _named(layout.image(image), image.tags, lambda tag: tag.familiar)
    layout.finish(manifests)


def write_docker_archive(layout: Layout, images: Sequence[ExportImage]) -> None:
    """Write an archive that `docker load` of any Engine reads; raises `CorruptStore`."""
    manifests: list[Descriptor] = []
    rows: list[dict[str, Any]] = []
    repositories: dict[str, dict[str, str]] = {}
    images = [image if image.stored and image.stored.loads_anywhere else _plain(image) for image in images]
    for image, parent in zip(images, parents(images), strict=True):
        manifests += _named(layout.image(image), image.tags, lambda tag: tag.tag or "")
        row = {
            "Config": blob_name(image.id),
            "RepoTags": [tag.familiar for tag in image.tags] or None,
            "Layers": [blob_name(digest) for digest in _digests(image)],
        }
        rows.append(row | ({"Parent": parent} if parent else {}))
        for tag in image.tags if image.layers else ():
            repositories.setdefault(tag.familiar_name, {})[tag.tag or ""] = image.layers[-1].diff_id.hex
    layout.finish(manifests)
    if repositories:
        layout.file("repositories", _json(repositories))
    layout.file("manifest.json", _json(rows))


def _plain(image: ExportImage) -> ExportImage:
    """The image with its layers as plain tars, which every Engine reads."""
    return replace(image, stored=None)


def _digests(image: ExportImage) -> list[Digest]:
    """The digests of the layers in the layout."""
    return (
        [blob.digest for blob in image.stored.layers]
        if image.stored
        else [tar.diff_id for tar in image.layers]
    )


def blob_name(digest: Digest) -> str:
    """The path of a blob in a layout."""
    return f"blobs/sha256/{digest.hex}"


def _descriptor(kind: str, digest: str, size: int) -> Descriptor:
    return {"mediaType": kind, "digest": str(digest), "size": size}


def _named(
    manifest: Descriptor, tags: Sequence[Reference], name: Callable[[Reference], str]
) -> list[Descriptor]:
    """The manifest's descriptor once for each name, or once without a name."""

    def names(tag: Reference) -> Mapping[str, str]:
        return {_IMAGE_NAME: tag.canonical, _REF_NAME: name(tag)}

    return [manifest | {"annotations": names(tag)} for tag in tags] or [manifest]


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
