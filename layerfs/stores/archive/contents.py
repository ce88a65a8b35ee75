"""What an archive or layout holds: its images, with the blobs of their configs and layers.

Every form ends in the same `ArchivedImage`s. A blob that is missing, or a document that is damaged, is
reported; the other images are read.

Sources: OCI image-spec `image-layout.md`; moby `daemon/internal/image/tarexport`, `image/spec/v1.2.md`;
containers/image `docker/internal/tarfile`, `directory/directory_transport.go`.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from layerfs.errors import CorruptStore, DigestMismatch, MalformedFile, MissingFile
from layerfs.formats import descriptors
from layerfs.formats.descriptors import Descriptor, Platform, parse_archive_manifest, parse_manifest
from layerfs.formats.errors import FormatError
from layerfs.formats.imageconfig import parse_image_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerfs.formats.descriptors import ArchiveEntry, Manifest
    from layerfs.formats.imageconfig import ImageConfig
    from layerfs.stores.archive.outer import Blob, Outer

__all__ = ["ArchivedImage", "ArchivedLayer", "Form", "form_of", "images_of"]

_DEEPEST = 8  # indexes in indexes
_MOST_IMAGES = 1 << 16


class Form(enum.StrEnum):
    """How an archive is laid out."""

    OCI = "OCI layout"
    DOCKER = "docker archive"
    LEGACY = "docker archive of before 1.10"
    DIR = "directory of containers/image"
    ROOTFS = "root file system"


@dataclass(frozen=True, slots=True)
class ArchivedLayer:
    """A layer of an image in an archive.

    Attributes:
        name: the digest of its blob, or the member's name where the form has no digests.
        media_type: as the manifest says; empty where it does not.
        size: bytes of the blob as the manifest says; None where it does not.
        blob: None where the archive does not have it.
    """

    name: str
    media_type: str
    size: int | None
    blob: Blob | None


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image of one platform in an archive.

    Attributes:
        config_bytes: its config, whose sha256 is the image ID.
        config: what that says.
        names: references, as they are written.
        layers: base first.
        manifest: the digest of its manifest; None where the form has none.
        index: the digest of the index it was reached through; None where it was none.
        platform: as the index or the config says.
    """

    config_bytes: bytes
    config: ImageConfig
    names: tuple[str, ...]
    layers: tuple[ArchivedLayer, ...]
    manifest: str | None
    index: str | None
    platform: Platform


Value = TypeVar("Value")


def form_of(outer: Outer) -> Form | None:
    """The form of an archive by the names in it; None for none that holds images or a file system."""
    names = {name for name in outer.names() if name}
    tops = {name.split(b"/", 1)[0] for name in names}
    if {b"oci-layout", b"index.json"} <= tops:
        return Form.OCI
    if b"manifest.json" in tops:
        blob = outer.find(b"version")
        return Form.DIR if blob and blob.size < 100 else Form.DOCKER
    if b"repositories" in tops:
        return Form.LEGACY
    if b".dockerenv" in tops or tops & {b"etc", b"usr", b"bin"}:
        return Form.ROOTFS
    return None


def images_of(outer: Outer, form: Form, report: Callable[[CorruptStore], None]) -> list[ArchivedImage]:
    """Every image of every platform; what cannot be read is given to `report`, and left out."""
    readers = {Form.OCI: _layout, Form.DOCKER: _docker, Form.DIR: _dir}
    found = readers[form](outer, report) if form in readers else iter(())
    images: list[ArchivedImage] = []
    for image in found:
        images.append(image)
        if len(images) > _MOST_IMAGES:
            raise MalformedFile(outer.label, "too many images", expected=f"at most {_MOST_IMAGES}")
    return images


# -- OCI layouts ---------------------------------------------------------------------------------


def _layout(outer: Outer, report: Callable[[CorruptStore], None]) -> Iterator[ArchivedImage]:
    top = outer.find(b"index.json")
    if top is None:
        raise MissingFile(f"{outer.label}:index.json", "the file is missing")
    entries = {entry.config: entry for entry in _archive_entries(outer, report)}
    merged: dict[str, list[Descriptor]] = {}
    for descriptor in _parsed(top, parse_manifest).manifests:
        merged.setdefault(descriptor.digest, []).append(descriptor)
    for same in merged.values():
        names = tuple(dict.fromkeys(name for descriptor in same if (name := _name(descriptor))))
        yield from _Layout(outer, entries, names, report).below(same[0], None, 0, frozenset())


def _name(descriptor: Descriptor) -> str:
    """A full reference, or the tag alone where that is all that is known."""
    found = descriptor.annotations
    return found.get(descriptors.NAME) or found.get(descriptors.REF_NAME) or ""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Goes down from one entry of `index.json`."""

    outer: Outer
    entries: dict[str, ArchiveEntry]
    names: tuple[str, ...]
    report: Callable[[CorruptStore], None]

    def below(
        self, descriptor: Descriptor, index: str | None, depth: int, above: frozenset[str]
    ) -> Iterator[ArchivedImage]:
        """The images of a manifest, or of all manifests of an index."""
        if descriptor.is_attestation or descriptor.digest in above or depth > _DEEPEST:
            return
        try:
            content = self._verified(descriptor, optional=index is not None)
            if content is None:
                return  # a platform that was not pulled: the index names it all the same
            manifest = _parse(f"{self.outer.label}:{descriptor.blob_path}", content, parse_manifest)
            if not manifest.is_index:
                yield self._image(descriptor, manifest, index)
                return
        except CorruptStore as error:
            self.report(error)
            return
        for child in manifest.manifests:
            yield from self.below(child, descriptor.digest, depth + 1, above | {descriptor.digest})

    def _image(self, descriptor: Descriptor, manifest: Manifest, index: str | None) -> ArchivedImage:
        assert manifest.config  # noqa: S101 - a manifest that is no index has one
        content = self._verified(manifest.config)
        assert content is not None  # noqa: S101 - not optional
        path = manifest.config.blob_path
        config = _parse(f"{self.outer.label}:{path}", content, parse_image_config)
        layers = tuple(self._layer(layer) for layer in manifest.layers)
        if not layers and config.diff_ids and path in self.entries:  # written so by Docker 25.0.0
            layers = tuple(_member(self.outer, name) for name in self.entries[path].layers)
        _check_count(self.outer, descriptor.digest, config, layers)
        platform = descriptor.platform or Platform(config.os, config.architecture, config.variant)
        return ArchivedImage(content, config, self.names, layers, descriptor.digest, index, platform)

    def _layer(self, descriptor: Descriptor) -> ArchivedLayer:
        blob = self.outer.find(descriptor.blob_path.encode())
        return ArchivedLayer(descriptor.digest, descriptor.media_type, descriptor.size, blob)

    def _verified(self, descriptor: Descriptor, *, optional: bool = False) -> bytes | None:
        """The bytes of a small blob, which must hash to its name; None where an optional one is missing."""
        label = f"{self.outer.label}:{descriptor.blob_path}"
        blob = self.outer.find(descriptor.blob_path.encode())
        if blob is None:
            if optional:
                return None
            raise MissingFile(label, "the blob is missing")
        content = blob.small()
        algorithm, _, value = descriptor.digest.partition(":")
        if algorithm in ("sha256", "sha384", "sha512"):
            computed = hashlib.new(algorithm, content).hexdigest()
            if computed != value:
                raise DigestMismatch(
                    label, "the content does not hash to its name", expected=value, found=computed
                )
        return content


# -- docker archives -----------------------------------------------------------------------------


def _archive_entries(outer: Outer, report: Callable[[CorruptStore], None]) -> Sequence[ArchiveEntry]:
    """The images of `manifest.json`; none where it is missing, or damaged, which is reported."""
    blob = outer.find(b"manifest.json")
    if blob is None:
        return ()
    try:
        return _parsed(blob, parse_archive_manifest)
    except CorruptStore as error:
        report(error)
        return ()


def _docker(outer: Outer, report: Callable[[CorruptStore], None]) -> Iterator[ArchivedImage]:
    for entry in _archive_entries(outer, report):
        try:
            yield _docker_image(outer, entry)
        except CorruptStore as error:
            report(error)


def _docker_image(outer: Outer, entry: ArchiveEntry) -> ArchivedImage:
    blob = outer.find(entry.config.encode("utf-8", "surrogateescape"))
    label = f"{outer.label}:{entry.config}"
    if blob is None:
        raise MissingFile(label, "the config is missing")
    content = blob.small()
    config = _parse(label, content, parse_image_config)
    layers = tuple(_member(outer, name) for name in entry.layers)
    _check_count(outer, entry.config, config, layers)
    platform = Platform(config.os, config.architecture, config.variant)
    return ArchivedImage(content, config, entry.names, layers, None, None, platform)


def _member(outer: Outer, name: str) -> ArchivedLayer:
    return ArchivedLayer(name, "", None, outer.find(name.encode("utf-8", "surrogateescape")))


# -- dir: of containers/image --------------------------------------------------------------------


def _dir(outer: Outer, report: Callable[[CorruptStore], None]) -> Iterator[ArchivedImage]:
    """One image: its manifest is `manifest.json`, and blobs are named by the digits of their digest."""
    try:
        blob = outer.find(b"manifest.json")
        if blob is None:
            raise MissingFile(f"{outer.label}:manifest.json", "the file is missing")
        content = blob.small()
        manifest = _parse(blob.label, content, parse_manifest)
        if manifest.config is None:
            raise MalformedFile(blob.label, "an index where one image's manifest is expected")
        config_blob = outer.find(_hex(manifest.config))
        if config_blob is None:
            raise MissingFile(f"{outer.label}:{_hex(manifest.config).decode()}", "the config is missing")
        config_bytes = config_blob.small()
        config = _parse(config_blob.label, config_bytes, parse_image_config)
        layers = tuple(
            ArchivedLayer(layer.digest, layer.media_type, layer.size, outer.find(_hex(layer)))
            for layer in manifest.layers
        )
        _check_count(outer, "manifest.json", config, layers)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        platform = Platform(config.os, config.architecture, config.variant)
        yield ArchivedImage(config_bytes, config, (), layers, digest, None, platform)
    except CorruptStore as error:
        report(error)


def _hex(descriptor: Descriptor) -> bytes:
    return descriptor.digest.partition(":")[2].encode()


# -- common --------------------------------------------------------------------------------------


def _check_count(outer: Outer, name: str, config: ImageConfig, layers: Sequence[ArchivedLayer]) -> None:
    if len(layers) != len(config.diff_ids):
        raise MalformedFile(
            f"{outer.label}:{name}",
            "the manifest and the config do not have the same number of layers",
            expected=f"{len(config.diff_ids)} as in the config",
            found=str(len(layers)),
        )


def _parsed(blob: Blob, parse: Callable[[bytes], Value]) -> Value:
    return _parse(blob.label, blob.small(), parse)


def _parse(label: str, content: bytes, parse: Callable[[bytes], Value]) -> Value:
    try:
        return parse(content)
    except FormatError as error:
        raise MalformedFile(label, error.problem, expected=error.expected, found=error.found) from error
