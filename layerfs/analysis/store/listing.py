"""Which images a listing shows, and under which names: the rules of `docker images`.

Sources: moby `daemon/images/images.go` (Images; v20.10.24, and `image_list.go` of v28.5 for `until`),
`image/store.go` (Heads), docker/cli `cli/command/formatter/image.go` (rows).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple

from layerfs.formats.reference import reference_matches, text_matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from layerfs.formats.reference import Reference
    from layerfs.model import Image
    from layerfs.store import Store

__all__ = [
    "Digests",
    "ImageFilter",
    "ImageRow",
    "ListedImage",
    "container_counts",
    "has_labels",
    "image_rows",
    "listed_images",
]

Digests = Literal["hidden", "tagged", "all"]
"""Which rows have manifest digests: none; those of tags; also rows for digests without a tag."""


class ImageFilter(NamedTuple):
    """What `--filter` asks for; every condition given must hold.

    Attributes:
        dangling: only images without a tag (True), or only images with a name (False).
        labels: label names with the value wanted, or None for any value.
        before, since: images created before / after these ones; all must hold.
        until_ns: created before this time, in ns since the epoch.
        references: shell patterns for names; one of them must match.
    """

    dangling: bool | None = None
    labels: tuple[tuple[str, str | None], ...] = ()
    before: tuple[Image, ...] = ()
    since: tuple[Image, ...] = ()
    until_ns: int | None = None
    references: tuple[str, ...] = ()


class ListedImage(NamedTuple):
    """An image and those of its names that the listing shows; `others` are no references."""

    image: Image
    references: tuple[Reference, ...]
    others: tuple[str, ...] = ()


class ImageRow(NamedTuple):
    """One line of a listing; a missing repository, tag, or digest is None."""

    image: Image
    repository: str | None = None
    tag: str | None = None
    digest: str | None = None


def listed_images(
    root: Store,
    chosen: ImageFilter | None = None,
    *,
    every: bool = False,
    all_platforms: bool = False,
    as_engine: bool = False,
) -> Iterator[ListedImage]:
    """The images of a listing, newest first.

    Args:
        root: the store.
        chosen: the filter, if there is one.
        every: also intermediate images, as with `-a`.
        all_platforms: every platform of an image for several platforms.
        as_engine: only names that the client of the store's engine shows; an image without one is left out if
            the client leaves it out.

    Raises:
        FormatError: a pattern for references is malformed.
    """
    chosen = chosen or ImageFilter()
    images = root.images(all_platforms=all_platforms)
    parents = {image.parent for image in images}
    needs_name = as_engine and not (every or root.lists_unnamed or chosen.dangling is not None)
    for image in images:
        is_head = image.id not in parents
        if (chosen.dangling and not is_head) or (needs_name and not image.has_name):
            continue
        if not _passes(image, chosen):
            continue
        known = image.listed_references if as_engine else image.references
        names = tuple(name for name in known if _named(name, chosen.references))
        others = tuple(name for name in image.other_names if _called(name, chosen.references))
        if names or others:
            if chosen.dangling and (others or any(name.tag for name in names)):
                continue
        elif chosen.dangling is False or chosen.references or not (every or is_head):
            continue
        yield ListedImage(image, names, others)


def _passes(image: Image, chosen: ImageFilter) -> bool:
    """Whether an image meets the conditions on its config."""
    created = image.config.created_ns
    return (
        all(_age_key(created) < _age_key(other.config.created_ns) for other in chosen.before)
        and all(_age_key(created) > _age_key(other.config.created_ns) for other in chosen.since)
        and (chosen.until_ns is None or (created is not None and created < chosen.until_ns))
        and has_labels(image.config.labels, chosen.labels)
    )


def has_labels(labels: Mapping[str, str], wanted: Iterable[tuple[str, str | None]]) -> bool:
    """Whether all wanted labels are there, each with the wanted value; None is any value."""
    return all(name in labels and value in (None, labels[name]) for name, value in wanted)


def _age_key(created_ns: int | None) -> float:
    """A sort key: an image without a time is older than every other."""
    return float("-inf") if created_ns is None else created_ns


def _named(name: Reference, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(reference_matches(pattern, name) for pattern in patterns)


def _called(name: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(text_matches(pattern, name) for pattern in patterns)


def image_rows(listed: Iterable[ListedImage], digests: Digests = "hidden") -> Iterator[ImageRow]:
    """One row a tag and, where digests are told, digest; an image without names is one row.

    A repository known by digest alone is one row without a tag; so is a name that is no reference.
    """
    for item in listed:
        if not item.references and not item.others:
            yield ImageRow(item.image)
        by_repository: dict[str, list[Reference]] = {}
        for name in item.references:
            by_repository.setdefault(name.familiar_name, []).append(name)
        for repository, names in sorted(by_repository.items()):
            tags: list[str | None] = [name.tag for name in names if name.tag]
            told = digests == "all" or (digests == "tagged" and tags)
            known: list[str | None] = [name.digest for name in names if name.digest and told]
            for tag in tags or [None]:
                for digest in known or [None]:
                    yield ImageRow(item.image, repository, tag, digest)
        yield from (ImageRow(item.image, name) for name in item.others)


def container_counts(root: Store) -> Mapping[str, int]:
    """How many containers, in whatever state, were made from each image ID."""
    return Counter(image_id for item in root.containers() for image_id in root.images_of(item))
