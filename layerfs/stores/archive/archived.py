"""The images of an archive as values, the same for every form of archive."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from layerfs.errors import MalformedFile
from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerfs.formats.descriptors import Platform
    from layerfs.formats.imageconfig import ImageConfig
    from layerfs.stores.blobs.outer import Blob, Outer

__all__ = ["ArchivedImage", "ArchivedLayer", "Form", "check_count", "parsed", "read_parsed"]

_MOST_LAYERS = 1 << 12


class Form(enum.StrEnum):
    """The form of an archive."""

    OCI = "OCI layout"
    DOCKER = "docker archive"
    LEGACY = "docker archive of before 1.10"
    DIR = "directory of containers/image"
    ROOTFS = "root file system"


@dataclass(frozen=True, slots=True)
class ArchivedLayer:
    """A layer of an image in an archive.

    Attributes:
        name: the digest of its blob, or the member's name in forms without digests.
        media_type: as the manifest says; empty where it does not.
        size: bytes of the blob, by the manifest; None if it does not say.
        blob: its blob; None if the archive does not have it.
        problem: the error if there is a member that cannot be used as its blob; else None.
    """

    name: str
    media_type: str
    size: int | None
    blob: Blob | None
    problem: MalformedFile | None = None


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image of one platform in an archive.

    Attributes:
        config_bytes: its config, whose sha256 is the image ID.
        config: the config, parsed.
        names: references, as they are written.
        layers: base first.
        platform: as the index or the config says.
        manifest: the digest of its manifest; None in forms without manifests.
        manifest_bytes: the bytes of the manifest, or None.
        top: the digest in `index.json`, which is of this manifest or of an index above it; or None.
        place: the member with the config; None if the config was generated.
        ref_names: the names in an OCI layout that skopeo uses, often only tags; `names` may have the full
            ones.
    """

    config_bytes: bytes
    config: ImageConfig
    names: tuple[str, ...]
    layers: tuple[ArchivedLayer, ...]
    platform: Platform
    manifest: str | None = None
    manifest_bytes: bytes | None = None
    top: str | None = None
    place: str | None = None
    ref_names: tuple[str, ...] = ()


Value = TypeVar("Value")


def parsed(label: str, content: bytes, parse: Callable[[bytes], Value]) -> Value:
    """Parse a document; raises `MalformedFile`."""
    try:
        return parse(content)
    except FormatError as error:
        raise MalformedFile(label, error.problem, expected=error.expected, found=error.found) from error


def read_parsed(blob: Blob, parse: Callable[[bytes], Value]) -> Value:
    """Parse the document in `blob`; raises `MalformedFile`."""
    return parsed(blob.label, blob.small(), parse)


def check_count(outer: Outer, name: str, config: ImageConfig, layers: Sequence[ArchivedLayer]) -> None:
    """Raise `MalformedFile` unless a manifest and its config have the same number of layers."""
    label = f"{outer.label}:{name}"
    if len(layers) != len(config.diff_ids):
        raise MalformedFile(
            label,
            "the manifest and the config do not have the same number of layers",
            expected=f"{len(config.diff_ids)} as in the config",
            found=str(len(layers)),
        )
    if len(layers) > _MOST_LAYERS:
        raise MalformedFile(label, "too many layers", expected=f"at most {_MOST_LAYERS}")
