"""Docker archives (`manifest.json` lists images), and the directories of containers/image (one image).

Sources: moby `daemon/internal/image/tarexport`, `image/spec/v1.2.md`; containers/image
`docker/internal/tarfile`, `directory/directory_transport.go`.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

from layerfs.damage import attempt
from layerfs.errors import CorruptStore, MalformedFile, MissingFile
from layerfs.formats.descriptors import Platform, parse_archive_manifest, parse_manifest
from layerfs.formats.imageconfig import parse_image_config
from layerfs.stores.archive.archived import (
    ArchivedImage,
    ArchivedLayer,
    check_count,
    parsed,
    read_parsed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerfs.formats.descriptors import ArchiveEntry, Descriptor
    from layerfs.formats.imageconfig import ImageConfig
    from layerfs.stores.blobs.outer import Outer

__all__ = ["MANIFEST", "archive_entries", "archive_image", "directory_images", "docker_images", "member"]

MANIFEST = b"manifest.json"


def archive_entries(outer: Outer, report: Callable[[CorruptStore], None]) -> Sequence[ArchiveEntry]:
    """The entries of `manifest.json`; none if it is missing, or damaged, which is reported."""
    try:
        blob = outer.find(MANIFEST)
        return read_parsed(blob, parse_archive_manifest) if blob else ()
    except CorruptStore as error:
        report(error)
        return ()


def docker_images(outer: Outer, report: Callable[[CorruptStore], None]) -> Iterator[ArchivedImage]:
    """The images of a docker archive; unreadable ones are reported."""
    for entry in archive_entries(outer, report):
        if image := attempt(report, functools.partial(archive_image, outer, entry)):
            yield image


def archive_image(outer: Outer, entry: ArchiveEntry) -> ArchivedImage:
    """The image of one entry of `manifest.json`; raises `CorruptStore`."""
    blob = outer.find(entry.config.encode("utf-8", "surrogateescape"))
    label = f"{outer.label}:{entry.config}"
    if blob is None:
        raise MissingFile(label, "the config is missing")
    content = blob.small()
    config = parsed(label, content, parse_image_config)
    layers = tuple(member(outer, name) for name in entry.layers)
    check_count(outer, entry.config, config, layers)
    return ArchivedImage(content, config, entry.names, layers, platform_of(config), place=entry.config)


def platform_of(config: ImageConfig) -> Platform:
    """The platform in a config."""
    return Platform(config.os, config.architecture, config.variant)


def member(
    outer: Outer, path: str, name: str | None = None, media_type: str = "", size: int | None = None
) -> ArchivedLayer:
    """The layer in a member; `name` is its name, if that is not the member's."""
    try:
        blob, problem = outer.find(path.encode("utf-8", "surrogateescape")), None
    except MalformedFile as error:
        blob, problem = None, error
    return ArchivedLayer(name or path, media_type, size, blob, problem)


def directory_images(outer: Outer, report: Callable[[CorruptStore], None]) -> Iterator[ArchivedImage]:
    """The image of a directory: its manifest is `manifest.json`, and blobs are named by their digits."""
    if image := attempt(report, lambda: _directory_image(outer)):
        yield image


def _directory_image(outer: Outer) -> ArchivedImage:
    blob = outer.find(MANIFEST)
    if blob is None:
        raise MissingFile(f"{outer.label}:{MANIFEST.decode()}", "the file is missing")
    content = blob.small()
    manifest = parsed(blob.label, content, parse_manifest)
    if manifest.config is None:
        raise MalformedFile(blob.label, "an index where one image's manifest is expected")
    place = _digits(manifest.config)
    config_blob = outer.find(place.encode())
    if config_blob is None:
        raise MissingFile(f"{outer.label}:{place}", "the config is missing")
    config_bytes = config_blob.small()
    config = parsed(config_blob.label, config_bytes, parse_image_config)
    layers = tuple(
        member(outer, _digits(layer), layer.digest, layer.media_type, layer.size) for layer in manifest.layers
    )
    check_count(outer, MANIFEST.decode(), config, layers)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return ArchivedImage(
        config_bytes, config, (), layers, platform_of(config), digest, content, digest, place
    )


def _digits(descriptor: Descriptor) -> str:
    return descriptor.digest.partition(":")[2]
