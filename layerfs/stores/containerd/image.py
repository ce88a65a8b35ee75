"""An image of a containerd root as a value: what its names point at, and the platform of it that is meant.

Source: moby `daemon/containerd/image_list.go`, `image.go`.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from layerfs.formats.descriptors import Descriptor, Manifest, Platform
from layerfs.formats.errors import FormatError
from layerfs.formats.platforms import normalised
from layerfs.formats.reference import Reference, parse_reference
from layerfs.ids import ManifestDigest
from layerfs.model import Image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.formats.containerdmeta import MetaImage
    from layerfs.formats.imageconfig import ImageConfig
    from layerfs.stores.containerd.targets import ManifestBelow

__all__ = ["ContainerdImage", "Names", "Target", "platform_in", "platform_of", "told_apart"]

_DANGLING = "moby-dangling@"
_PARENT = "org.mobyproject.image.parent"
_UNKNOWN = Platform()
_ID_NAME = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Target:
    """An index or manifest that names point to.

    Attributes:
        descriptor: of the index or manifest.
        metas: the records of the names.
        by_config: whether its image has the digest of the config as ID.
    """

    descriptor: Descriptor
    metas: tuple[MetaImage, ...]
    by_config: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The names as written, without those that stand for an image that lost its name."""
        found = (meta.name for meta in self.metas)
        return tuple(
            name for name in found if not name.startswith(_DANGLING) and not _ID_NAME.fullmatch(name)
        )

    @property
    def parent(self) -> str | None:
        """The digest of the target that a classic build or a commit made it from."""
        return next((found for meta in self.metas if (found := meta.labels.get(_PARENT))), None)


@dataclass(frozen=True)
class ContainerdImage(Image):
    """An image for one platform.

    Attributes:
        target: what its names point at.
        below: every manifest that is reached from there.
        chosen: the one of these that it is; None of what is no image.
        names: every name as it is written.
        other_names: those that are no references.
    """

    target: Descriptor = field(kw_only=True)
    below: tuple[ManifestBelow, ...] = ()
    chosen: ManifestBelow | None = None
    names: tuple[str, ...] = ()
    other_names: tuple[str, ...] = ()

    @property
    def manifest(self) -> Manifest | None:
        """Its manifest; None for a target that is no image."""
        return self.chosen.manifest if self.chosen else None

    @functools.cached_property
    def platform(self) -> Platform:
        """What it is for, in the usual words."""
        noted = platform_of(self.chosen) if self.chosen else _UNKNOWN
        return noted if str(noted) else platform_in(self.config)

    @property
    def listed_references(self) -> tuple[Reference, ...]:
        """Its tags, and its digest in the repository of the last name, as Docker lists them."""
        if len(self.names) < 2:
            return self.references
        last = told_apart(self.names[-1:], self.target).references
        return tuple(name for name in self.references if name.tag or not name.digest or name in last)

    @property
    def has_name(self) -> bool:
        """Whether it has any name, a reference or not."""
        return bool(self.names)

    @property
    def target_digest(self) -> str:
        """The digest that its names point to."""
        return self.target.digest

    @property
    def platform_name(self) -> str | None:
        """Its platform, such as `linux/arm/v7`, as the index writes it if it does."""
        noted = self.chosen.descriptor.platform if self.chosen else None
        return str(noted or "") or str(self.platform) or None

    @property
    def shown(self) -> tuple[ManifestBelow, ...]:
        """The manifests that count as this image: all below its target, or that of the one platform shown."""
        alone = self.chosen and self.id == self.chosen.descriptor.digest != self.target.digest
        return (self.chosen,) if alone and self.chosen else self.below

    @property
    def name(self) -> str:
        """Its first tag, else any name, else its ID."""
        tagged = (reference for reference in self.references if reference.tag)
        return str(next(tagged, None) or next(iter(self.references or self.names), self.id))


def platform_of(item: ManifestBelow) -> Platform:
    """What the index says that a manifest is for, in the usual words; empty where it does not."""
    found = item.descriptor.platform
    return normalised(found) if found and str(found) else _UNKNOWN


def platform_in(config: ImageConfig) -> Platform:
    """What a config says that it is for, in the usual words."""
    found = Platform(config.os, config.architecture, config.variant)
    return normalised(found) if str(found) else found


class Names(NamedTuple):
    """The names of a target: those that are references, sorted, and the others."""

    references: tuple[Reference, ...]
    others: tuple[str, ...]


def told_apart(names: Iterable[str], target: Descriptor) -> Names:
    """Sort the names of a target; its digest in each of their repositories is a reference too."""
    found: set[Reference] = set()
    others: list[str] = []
    for name in names:
        try:
            reference = parse_reference(name).with_default_tag()
        except FormatError:
            others.append(name)
            continue
        found.add(reference)
        if not reference.digest:
            digest = ManifestDigest(target.digest)
            found.add(Reference(reference.domain, reference.path, None, digest))
    return Names(tuple(sorted(found, key=str)), tuple(dict.fromkeys(others)))
