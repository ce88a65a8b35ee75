"""The manifests below the target of a name, an index or a manifest, as far as the content store has them.

Sources: containerd `core/images/image.go` (Manifest, Children), OCI image-spec `image-index.md`; moby
`daemon/containerd/image_manifest.go` (isPseudoImage).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from layerfs.errors import CorruptStore, MalformedFile
from layerfs.formats.descriptors import parse_manifest
from layerfs.formats.errors import FormatError
from layerfs.formats.imageconfig import ImageConfig, parse_image_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.formats.descriptors import Descriptor, Manifest
    from layerfs.stores.containerd.content import Content

__all__ = ["EMPTY", "ManifestBelow", "config_of", "manifests_below", "parsed"]

_Value = TypeVar("_Value")

_DEEPEST = 8  # levels of indexes in indexes
_MOST = 1 << 12  # manifests below one index
_MOST_LAYERS = 1 << 12
_UNKNOWN = ("unknown", "unknown")

EMPTY = ImageConfig(None, "", "", "", "", "", (), (), {}, {})
"""Stands for a config that is missing or cannot be read."""


class ManifestBelow(NamedTuple):
    """A manifest below a target, or the target itself.

    Attributes:
        descriptor: its descriptor in the index above, or in the record of the name.
        manifest: its content; None if it is not in the content store, or is damaged.
        problem: why `manifest` is None.
        is_image: whether it is an image, by its descriptor and content, and no attestation or other artifact.
        indexes: the indexes from the target down to it.
    """

    descriptor: Descriptor
    manifest: Manifest | None
    problem: CorruptStore | None
    is_image: bool
    indexes: tuple[Descriptor, ...] = ()


def manifests_below(content: Content, top: Descriptor) -> tuple[ManifestBelow, ...]:
    """Every manifest below a target, in the order of the indexes.

    An index that cannot be read is in the list itself, with its problem.
    """
    return tuple(_below(content, top, (), set()))


def _below(
    content: Content, descriptor: Descriptor, above: tuple[Descriptor, ...], seen: set[str]
) -> Iterator[ManifestBelow]:
    if descriptor.digest in seen or len(above) > _DEEPEST or len(seen) > _MOST:
        return
    seen.add(descriptor.digest)
    platform = descriptor.platform
    is_known = platform is None or (platform.os, platform.architecture) != _UNKNOWN
    pseudo = descriptor.is_attestation or not is_known
    try:
        manifest = parsed(content, descriptor, parse_manifest)
    except CorruptStore as error:
        yield ManifestBelow(descriptor, None, error.again(), not pseudo, above)
        return
    if not manifest.is_index:
        yield ManifestBelow(descriptor, manifest, None, not (pseudo or manifest.is_artifact), above)
        return
    for child in manifest.manifests:
        yield from _below(content, child, (*above, descriptor), seen)


def config_of(content: Content, found: ManifestBelow) -> ImageConfig:
    """The config of an image whose manifest is there; raises `CorruptStore`."""
    manifest = found.manifest
    assert manifest  # noqa: S101 - asked of images that are there only
    assert manifest.config  # noqa: S101 - a manifest that is no index has one
    config = parsed(content, manifest.config, parse_image_config)
    if len(manifest.layers) != len(config.diff_ids):
        raise MalformedFile(
            content.name_of(found.descriptor.digest),
            "the manifest and the config do not have the same number of layers",
            expected=f"{len(config.diff_ids)} as in the config",
            found=str(len(manifest.layers)),
        )
    if len(manifest.layers) > _MOST_LAYERS:
        name = content.name_of(found.descriptor.digest)
        raise MalformedFile(name, "too many layers", expected=f"at most {_MOST_LAYERS}")
    return config


def parsed(content: Content, descriptor: Descriptor, parse: Callable[[bytes], _Value]) -> _Value:
    """The document of a descriptor, parsed; raises `CorruptStore`."""
    try:
        return parse(content.document(descriptor))
    except FormatError as error:
        name = content.name_of(descriptor.digest)
        raise MalformedFile(name, error.problem, expected=error.expected, found=error.found) from error
