"""The images of an archive by name and platform.

A name may have images for several platforms. If no platform is asked for, the one that this machine would run
is chosen, or else the only one, or the first.
"""

from __future__ import annotations

import platform as machine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layerfs.formats.descriptors import Platform
from layerfs.formats.errors import FormatError
from layerfs.formats.platforms import normalised, preference
from layerfs.formats.reference import parse_reference
from layerfs.ids import ImageID
from layerfs.model import Image

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerfs.formats.reference import Reference
    from layerfs.stores.archive.archived import ArchivedImage

__all__ = ["ArchiveImage", "Images"]


@dataclass(frozen=True)
class ArchiveImage(Image):
    """An image of an archive.

    Attributes:
        variants: its entries in the archive; there may be several, such as one with compressed layers and one
            without.
        platform: in the usual words.
        tags: names that are only tags, as an OCI layout may have them.
        names: every name as it is written.
        ref_names: the names that skopeo uses, if they are not full names.
    """

    variants: tuple[ArchivedImage, ...] = ()
    platform: Platform = field(default_factory=Platform)
    tags: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    ref_names: frozenset[str] = frozenset()

    @property
    def archived(self) -> ArchivedImage:
        """Its entry in the archive, or the first of several."""
        return self.variants[0]

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests of its manifests, and of what `index.json` names above them."""
        found = [digest for item in self.variants for digest in (item.manifest, item.top) if digest]
        return tuple(dict.fromkeys(found))


class Images:
    """All images of an archive; chooses among them by name and platform."""

    def __init__(self, archived: Iterable[ArchivedImage], wanted: Platform | None = None) -> None:
        """Choose among `archived`; `wanted` is the platform asked for, or None."""
        merged: dict[ImageID, list[ArchivedImage]] = {}
        for item in archived:
            merged.setdefault(ImageID.of(item.config_bytes), []).append(item)
        self.all = {image_id: _image(image_id, items) for image_id, items in merged.items()}
        self.wanted = wanted
        self._preferred = preference(wanted or _of_this_machine())

    def shown(self) -> list[ArchiveImage]:
        """The images to list: of each group of platforms the chosen one.

        If a platform was asked for, only images for it.
        """
        groups: dict[object, list[ArchiveImage]] = {}
        for image in self.all.values():
            groups.setdefault(image.archived.top or image.id, []).append(image)
        return [image for group in groups.values() for image in self.meant(group)[:1]]

    def meant(self, found: Sequence[ArchiveImage]) -> list[ArchiveImage]:
        """Of some images those with the best platform."""
        for wanted in self._preferred:
            if best := [image for image in found if image.platform == wanted]:
                return best
        if not self.wanted:
            return list(found)
        # as for engines, an image without a platform runs everywhere
        return [image for image in found if not str(image.platform)]

    def called(self, name: str) -> list[ArchiveImage]:
        """Every image with a name, as written or in normal form, or else as in skopeo; of all platforms."""
        return self._named(name) or [image for image in self.all.values() if name in image.ref_names]

    def _named(self, name: str) -> list[ArchiveImage]:
        if found := [image for image in self.all.values() if name in image.names]:
            return found
        try:
            wanted = parse_reference(name)
        except FormatError:
            return []
        if wanted.digest:
            digest = str(wanted.digest)
            return [image for image in self.all.values() if digest in image.digests]
        wanted = wanted.with_default_tag()
        found = [image for image in self.all.values() if wanted in image.references]
        # some tools write a name in the annotation for a tag
        return found or [
            image for image in self.all.values() if any(_parsed(tag) == wanted for tag in image.tags)
        ]


def _image(image_id: ImageID, items: Sequence[ArchivedImage]) -> ArchiveImage:
    names = tuple(dict.fromkeys(name for item in items for name in item.names))
    references: dict[Reference, None] = {}
    tags: dict[str, None] = {}
    for name in names:
        reference = _reference(name)
        if reference is None:
            tags[name] = None
        else:
            references[reference] = None
    first = items[0]
    return ArchiveImage(
        image_id,
        tuple(sorted(references, key=str)),
        first.config,
        None,
        variants=tuple(items),
        platform=normalised(first.platform) if str(first.platform) else first.platform,
        tags=tuple(tags),
        names=names,
        ref_names=frozenset(name for item in items for name in item.ref_names),
    )


def _reference(name: str) -> Reference | None:
    """A name in normal form; None for a tag alone, and for any text that is no reference."""
    return _parsed(name) if any(mark in name for mark in ":/@") else None


def _parsed(name: str) -> Reference | None:
    try:
        return parse_reference(name).with_default_tag()
    except FormatError:
        return None


def _of_this_machine() -> Platform:
    return normalised(Platform("linux", machine.machine()))
