"""OCI descriptors, indexes and manifests, and Docker's equivalents; `manifest.json` of docker archives.

Media types are used only to tell an index from a manifest.

Sources: OCI image-spec `descriptor.md`, `image-index.md`, `manifest.md`; distribution `manifest v2 schema 2`;
moby `daemon/internal/image/tarexport`; containers/image `docker/internal/tarfile/types.go`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import (
    Json,
    Wanted,
    array,
    fields,
    load_object,
    load_objects,
    mapping,
    text,
    texts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ArchiveEntry", "Descriptor", "Manifest", "Platform", "parse_archive_manifest", "parse_manifest"]

_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[A-Za-z0-9=_-]{1,256}")

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)

_EMPTY = "application/vnd.oci.empty.v1+json"
"""The media type of the config of an artifact that is no image."""

NAME = "io.containerd.image.name"
"""The annotation in which Docker and containerd write a full reference."""
REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation for a tag, by the specification; Podman, skopeo and Buildah write a full reference in it."""


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform of an image; a text is empty where it is not known."""

    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        """As Docker writes it: `linux/arm/v7`."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


_NO_TEXTS: Mapping[str, str] = MappingProxyType({})


class Descriptor(NamedTuple):
    """A blob by its digest.

    Attributes:
        digest: `algorithm:value`, checked for its form only.
        size: bytes, as the descriptor says; not checked.
        media_type: as the descriptor says; not checked.
        platform: of a manifest in an index; None where it is not given.
        annotations: texts by name.
        artifact_type: the type of an artifact that is no image; else empty.
    """

    digest: str
    size: int
    media_type: str
    platform: Platform | None = None
    annotations: Mapping[str, str] = _NO_TEXTS
    artifact_type: str = ""

    @property
    def is_index(self) -> bool:
        """Whether its media type is that of an index."""
        return self.media_type in _INDEXES

    @property
    def is_attestation(self) -> bool:
        """Whether it is an attestation of another manifest (BuildKit), and no image."""
        return "vnd.docker.reference.type" in self.annotations

    @property
    def blob_path(self) -> str:
        """The path of the blob in a layout."""
        algorithm, _, value = self.digest.partition(":")
        return f"blobs/{algorithm}/{value}"


_FIELDS = Wanted.of(
    ("digest", str, ""),
    ("size", int, 0),
    ("mediaType", str, ""),
    ("platform", dict, None),
    ("annotations", dict, {}),
    ("artifactType", str, ""),
)
"""Of a descriptor, as `Descriptor` has them."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """An index or a manifest.

    Attributes:
        manifests: of an index; empty for a manifest.
        config: of a manifest; None for an index.
        layers: of a manifest, base first.
        is_index: whether it is an index.
        is_artifact: whether it is a manifest of something that is no image.
    """

    manifests: tuple[Descriptor, ...]
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    is_index: bool
    is_artifact: bool = False

    @property
    def named(self) -> tuple[Descriptor, ...]:
        """Every descriptor in it, in the order of the document."""
        return (*self.manifests, *([self.config] if self.config else ()), *self.layers)


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """One image of a docker archive's `manifest.json`.

    Attributes:
        config: the member that holds its config.
        names: references, as they are written.
        layers: members that hold its layers, base first.
    """

    config: str
    names: tuple[str, ...]
    layers: tuple[str, ...]


def parse_manifest(content: bytes) -> Manifest:
    """Parse an index (`index.json` too) or a manifest, told apart by their keys; raises `FormatError`."""
    document = load_object(content)
    media_type = text(document, "mediaType")
    is_index = media_type in _INDEXES or (media_type not in _MANIFESTS and "manifests" in document)
    if is_index:
        found = tuple(_descriptor(item) for item in array(document, "manifests"))
        return Manifest(found, None, (), is_index=True)
    if not isinstance(document.get("config"), dict):
        raise FormatError("neither an image manifest nor an index", expected="an object config")
    layers = tuple(_descriptor(item) for item in array(document, "layers"))
    config = _descriptor(mapping(document, "config"))
    is_artifact = bool(text(document, "artifactType")) or config.media_type == _EMPTY
    return Manifest((), config, layers, is_index=False, is_artifact=is_artifact)


def parse_archive_manifest(content: bytes) -> tuple[ArchiveEntry, ...]:
    """The images of `manifest.json`, in its order; raises `FormatError`."""
    return tuple(_entry(item) for item in load_objects(content))


def _entry(item: Json) -> ArchiveEntry:
    return ArchiveEntry(text(item, "Config"), tuple(texts(item, "RepoTags")), tuple(texts(item, "Layers")))


def _descriptor(item: object) -> Descriptor:
    if not isinstance(item, dict):
        raise FormatError("wrong type of a descriptor", expected="an object")
    digest, size, media_type, platform, annotations, artifact_type = fields(item, _FIELDS)
    if not _DIGEST.fullmatch(digest):
        raise FormatError("malformed digest in a descriptor", found=ascii(digest[:100]))
    return Descriptor(
        digest,
        size,
        media_type,
        None if platform is None else _platform(platform),
        _texts(annotations) if annotations else _NO_TEXTS,
        artifact_type,
    )


def _texts(annotations: Json) -> Mapping[str, str]:
    return {name: value for name, value in annotations.items() if isinstance(value, str)} or _NO_TEXTS


def _platform(document: Json) -> Platform:
    return Platform(text(document, "os"), text(document, "architecture"), text(document, "variant"))
