"""OCI layouts, and the archives of `docker save` since 25, which are layouts with a `manifest.json` more.

Sources: OCI image-spec `image-layout.md`, `image-index.md`, `annotations.md`; moby
`daemon/containerd/image_exporter.go`, `daemon/internal/image/tarexport/save.go` (v25 and later).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, DigestMismatch, MissingFile
from layerfs.formats import descriptors
from layerfs.formats.descriptors import Descriptor, parse_manifest
from layerfs.formats.imageconfig import parse_image_config
from layerfs.stores.archive.archived import ArchivedImage, check_count, parsed, read_parsed
from layerfs.stores.archive.dockerarchive import archive_entries, archive_image, member, platform_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerfs.formats.descriptors import ArchiveEntry, Manifest
    from layerfs.stores.blobs.outer import Outer

__all__ = ["INDEX", "algorithm_of", "index_entries", "layout_images", "name_of"]

INDEX = b"index.json"

_DEEPEST = 8  # how deep indexes in indexes are read
_ALGORITHMS = ("sha256", "sha384", "sha512")


def layout_images(outer: Outer, report: Callable[[CorruptStore], None]) -> Iterator[ArchivedImage]:
    """The images of `index.json`, and those only in `manifest.json`; unreadable ones are reported."""
    entries = {entry.config: entry for entry in archive_entries(outer, report)}
    seen: set[str] = set()
    for same in index_entries(outer, report).values():
        names = tuple(dict.fromkeys(name for descriptor in same if (name := name_of(descriptor))))
        layout = _Layout(outer, entries, names, report, set())
        for image in layout.below(same[0], None, 0):
            seen.add(image.place or "")
            ref_names = (descriptor.annotations.get(descriptors.REF_NAME) for descriptor in same)
            yield replace(layout.with_names(image), ref_names=tuple(filter(None, ref_names)))
    for entry in entries.values():
        if entry.config not in seen:
            try:
                yield archive_image(outer, entry)
            except CorruptStore as error:
                report(error)


def index_entries(outer: Outer, report: Callable[[CorruptStore], None]) -> Mapping[str, Sequence[Descriptor]]:
    """The descriptors of `index.json` by digest; none if it is missing or damaged, which is reported."""
    found: dict[str, list[Descriptor]] = {}
    try:
        blob = outer.find(INDEX)
        if blob is None:
            raise MissingFile(f"{outer.label}:{INDEX.decode()}", "the file is missing")
        for descriptor in read_parsed(blob, parse_manifest).manifests:
            found.setdefault(descriptor.digest, []).append(descriptor)
    except CorruptStore as error:
        report(error)
    return found


def name_of(descriptor: Descriptor) -> str:
    """The name in a descriptor: a full reference, or only a tag; empty if there is none."""
    found = descriptor.annotations
    return found.get(descriptors.NAME) or found.get(descriptors.REF_NAME) or ""


def algorithm_of(digest: str) -> str | None:
    """The algorithm of a digest; None if layerfs cannot compute it."""
    algorithm = digest.partition(":")[0]
    return algorithm if algorithm in _ALGORITHMS else None


@dataclass(frozen=True, slots=True)
class _Layout:
    """Reads what is below one entry of `index.json`."""

    outer: Outer
    entries: dict[str, ArchiveEntry]
    names: tuple[str, ...]
    report: Callable[[CorruptStore], None]
    seen: set[str]

    def with_names(self, image: ArchivedImage) -> ArchivedImage:
        """The image, with its names in `manifest.json` too."""
        entry = self.entries.get(image.place or "")
        return image if entry is None else replace(image, names=(*image.names, *entry.names))

    def below(self, descriptor: Descriptor, top: str | None, depth: int) -> Iterator[ArchivedImage]:
        """The images of a manifest, or of all manifests of an index; each document is read once."""
        if descriptor.is_attestation or descriptor.digest in self.seen or depth > _DEEPEST:
            return
        self.seen.add(descriptor.digest)
        try:
            content = self._verified(descriptor, optional=top is not None)
            if content is None:
                return  # a platform that was not pulled, which the index names nevertheless
            manifest = parsed(f"{self.outer.label}:{descriptor.blob_path}", content, parse_manifest)
            if not manifest.is_index:
                if not manifest.is_artifact:
                    yield self._image(descriptor, manifest, content, top or descriptor.digest)
                return
        except CorruptStore as error:
            self.report(error)
            return
        for child in manifest.manifests:
            yield from self.below(child, top or descriptor.digest, depth + 1)

    def _image(self, descriptor: Descriptor, manifest: Manifest, content: bytes, top: str) -> ArchivedImage:
        assert manifest.config  # noqa: S101 - a manifest that is no index has one
        config_bytes = self._verified(manifest.config)
        assert config_bytes is not None  # noqa: S101 - not optional
        path = manifest.config.blob_path
        config = parsed(f"{self.outer.label}:{path}", config_bytes, parse_image_config)
        layers = tuple(
            member(self.outer, layer.blob_path, layer.digest, layer.media_type, layer.size)
            for layer in manifest.layers
        )
        if not layers and config.diff_ids and path in self.entries:  # written so by Docker 25.0.0
            layers = tuple(member(self.outer, name) for name in self.entries[path].layers)
        check_count(self.outer, descriptor.blob_path, config, layers)
        platform = descriptor.platform or platform_of(config)
        return ArchivedImage(
            config_bytes, config, self.names, layers, platform, descriptor.digest, content, top, path
        )

    def _verified(self, descriptor: Descriptor, *, optional: bool = False) -> bytes | None:
        """The bytes of a small blob, checked by its digest; None if an optional one is missing."""
        label = f"{self.outer.label}:{descriptor.blob_path}"
        blob = self.outer.find(descriptor.blob_path.encode())
        if blob is None:
            if optional:
                return None
            raise MissingFile(label, "the blob is missing")
        content = blob.small()
        if algorithm := algorithm_of(descriptor.digest):
            wanted, computed = (
                descriptor.digest.partition(":")[2],
                hashlib.new(algorithm, content).hexdigest(),
            )
            if computed != wanted:
                raise DigestMismatch(
                    label, "the content does not hash to its name", expected=wanted, found=computed
                )
        return content
