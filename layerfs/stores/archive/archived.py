"""The images of an archive as values: every form of archive ends in the same `ArchivedImage`s."""

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
        problem: why `blob` is None although there is a member, or None.
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
        config: what that says.
        names: references, as they are written.
        layers: base first.
        platform: as the index or the config says.
        manifest: the digest of its manifest; None where the form has none.
        manifest_bytes: the manifest; None likewise.
        top: the digest of what `index.json` names: this manifest, or an index above it; None likewise.
        place: the member that holds the config; None where it was made up of other things.
        ref_names: what skopeo calls it in an OCI layout, often a tag alone; `names` may have it in full.
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
    """What a document says; raises `MalformedFile`."""
    try:
        return parse(content)
    except FormatError as error:
        raise MalformedFile(label, error.problem, expected=error.expected, found=error.found) from error


def read_parsed(blob: Blob, parse: Callable[[bytes], Value]) -> Value:
    """What the document in `blob` says; raises `MalformedFile`."""
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
