"""Which images a listing shows, and under which names: the rules of `docker images`.

Sources: moby `daemon/images/images.go` (Images), docker/cli `cli/command/formatter/image.go`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layerfs.formats.reference import reference_matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from layerfs.dataroot import DataRoot
    from layerfs.formats.reference import Reference
    from layerfs.model import Image

__all__ = ["ImageFilter", "ImageRow", "container_counts", "image_rows", "listed_images"]


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """What `--filter` asks for; every condition given must hold.

    Attributes:
        dangling: only images without a tag (True), or only images with a name (False).
        labels: label names with the value wanted, or None for any value.
        before, since: images created before / after this one; several must all hold.
        until_ns: created before this time, in ns since the epoch.
        references: shell patterns for names; one of them must match.
    """

    dangling: bool | None = None
    labels: tuple[tuple[str, str | None], ...] = ()
    before: tuple[Image, ...] = ()
    since: tuple[Image, ...] = ()
    until_ns: int | None = None
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """An image and those of its names that the listing shows."""

    image: Image
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One line of a listing; a missing repository, tag, or digest is None."""

    image: Image
    repository: str | None = field(default=None)
    tag: str | None = None
    digest: str | None = None


def listed_images(
    root: DataRoot, chosen: ImageFilter | None = None, *, every: bool = False
) -> Iterator[Listed]:
    """The images of a listing, newest first.

    Args:
        root: the data root.
        chosen: the filter, if there is one.
        every: also intermediate images, as `-a`.
    """
    chosen = chosen or ImageFilter()
    images = root.images()
    with_children = {image.parent for image in images if image.parent}
    for image in images:
        is_head = image.id not in with_children
        if chosen.dangling and not is_head:
            continue
        if not _passes(image, chosen):
            continue
        names = tuple(name for name in image.references if _named(name, chosen.references))
        if names:
            if chosen.dangling and any(name.tag for name in names):
                continue
        elif chosen.dangling is False or chosen.references or not (every or is_head):
            continue
        yield Listed(image, names)


def _passes(image: Image, chosen: ImageFilter) -> bool:
    """The conditions on the image itself."""
    created = image.config.created_ns
    labels = image.config.labels
    return (
        all(_age_key(created) < _age_key(other.config.created_ns) for other in chosen.before)
        and all(_age_key(created) > _age_key(other.config.created_ns) for other in chosen.since)
        and (chosen.until_ns is None or (created is not None and created < chosen.until_ns))
        and all(name in labels and value in (None, labels[name]) for name, value in chosen.labels)
    )


def _age_key(created_ns: int | None) -> float:
    """A time to compare; an image without one is older than every other."""
    return float("-inf") if created_ns is None else created_ns


def _named(name: Reference, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(reference_matches(pattern, name) for pattern in patterns)


def image_rows(listed: Iterable[Listed], *, digests: bool = False) -> Iterator[ImageRow]:
    """One row a tag; with `digests`, one a tag and digest. An image without names is one row."""
    for item in listed:
        tags: dict[str, list[str]] = {}
        digests_of: dict[str, list[str]] = {}
        for name in item.references:
            if name.tag:
                tags.setdefault(name.familiar_name, []).append(name.tag)
            elif name.digest:
                digests_of.setdefault(name.familiar_name, []).append(name.digest)
        if not tags and not digests_of:
            yield ImageRow(item.image)
        for repository in sorted({*tags, *digests_of}):
            known: list[str | None] = [*digests_of.get(repository, ())] if digests else []
            for tag in tags.get(repository, (None,)):
                for digest in known or [None]:
                    yield ImageRow(item.image, repository, tag, digest)


def container_counts(root: DataRoot) -> Mapping[str, int]:
    """How many containers, in whatever state, were made from each image ID."""
    return Counter(item.config.image_id for item in root.containers() if item.config)
