"""From a digest that a name points at to the manifests below it: each as far as it is in the content store.

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

_DEEPEST = 8  # indexes in indexes
_MOST = 1 << 12  # manifests below one index
_MOST_LAYERS = 1 << 12
_UNKNOWN = ("unknown", "unknown")

EMPTY = ImageConfig(None, "", "", "", "", "", (), (), {}, {})
"""The config of what has none that can be read."""


class ManifestBelow(NamedTuple):
    """A manifest below a target, or the target itself.

    Attributes:
        descriptor: what names it.
        manifest: what it says; None where it is not in the content store, or is damaged.
        problem: why `manifest` is None.
        is_image: whether it is one, as far as its descriptor and itself tell: no attestation, no artifact.
        indexes: those by which it is reached from the target, uppermost first.
    """

    descriptor: Descriptor
    manifest: Manifest | None
    problem: CorruptStore | None
    is_image: bool
    indexes: tuple[Descriptor, ...] = ()


def manifests_below(content: Content, top: Descriptor) -> tuple[ManifestBelow, ...]:
    """Every manifest that is reached from a target, in the order in which the indexes name them.

    An index that cannot be read stands for all below it, with its problem.
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
    """The config of a manifest that is there; raises `CorruptStore`."""
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
    """What the document of a descriptor says; raises `CorruptStore`."""
    try:
        return parse(content.document(descriptor))
    except FormatError as error:
        name = content.name_of(descriptor.digest)
        raise MalformedFile(name, error.problem, expected=error.expected, found=error.found) from error
