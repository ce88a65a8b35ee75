"""The form of an archive, and its images.

Missing blobs and damaged documents are reported; the other images are read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from layerfs.errors import MalformedFile
from layerfs.formats.descriptors import Platform
from layerfs.formats.imageconfig import parse_image_config
from layerfs.stores.archive.archived import ArchivedImage, ArchivedLayer, Form
from layerfs.stores.archive.dockerarchive import MANIFEST, directory_images, docker_images
from layerfs.stores.archive.layout import INDEX, layout_images
from layerfs.stores.archive.legacy import legacy_ids, legacy_images
from layerfs.stores.blobs.outer import TarOuter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.errors import CorruptStore
    from layerfs.stores.blobs.outer import Blob, Outer

__all__ = ["form_of", "images_of"]

_MOST_IMAGES = 1 << 16
_OF_A_SYSTEM = {b".dockerenv", b"bin", b"etc", b"lib", b"usr"}


def form_of(outer: Outer) -> Form | None:
    """The form of an archive by the names in it; None without images and root file system."""
    tops = outer.tops if isinstance(outer, TarOuter) else set(outer.names())
    if {b"oci-layout", INDEX} <= tops:
        return Form.OCI
    if MANIFEST in tops:
        return Form.DIR if b"version" in tops and _is_object(outer) else Form.DOCKER
    if b"repositories" in tops or legacy_ids(outer):
        return Form.LEGACY
    if isinstance(outer, TarOuter) and tops & _OF_A_SYSTEM:
        return Form.ROOTFS
    return None


def _is_object(outer: Outer) -> bool:
    """Whether `manifest.json` is a single manifest, and not a list of images."""
    try:
        blob = outer.find(MANIFEST)
    except MalformedFile:
        return False
    return blob is not None and blob.content.pread(64, 0).lstrip()[:1] == b"{"


def images_of(
    outer: Outer, form: Form, report: Callable[[CorruptStore], None], diff_id: Callable[[Blob], str]
) -> list[ArchivedImage]:
    """Every image of every platform; unreadable ones are given to `report`, and left out.

    Args:
        outer: the archive.
        form: its form.
        report: called with each fault.
        diff_id: gives the sha256 of a blob's uncompressed content; may raise `CorruptStore`.
    """
    images: list[ArchivedImage] = []
    for image in _found(outer, form, report, diff_id):
        images.append(image)
        if len(images) > _MOST_IMAGES:
            raise MalformedFile(outer.label, "too many images", expected=f"at most {_MOST_IMAGES}")
    return images


def _found(
    outer: Outer, form: Form, report: Callable[[CorruptStore], None], diff_id: Callable[[Blob], str]
) -> Iterator[ArchivedImage]:
    if form is Form.OCI:
        yield from layout_images(outer, report)
    elif form is Form.DOCKER:
        yield from docker_images(outer, report)
    elif form is Form.DIR:
        yield from directory_images(outer, report)
    elif form is Form.LEGACY:
        yield from legacy_images(outer, report, diff_id)
    else:
        yield _system(outer, diff_id)


def _system(outer: Outer, diff_id: Callable[[Blob], str]) -> ArchivedImage:
    """The image for the tar of a root file system, with a minimal config."""
    assert isinstance(outer, TarOuter)  # noqa: S101 - only of a tar this form is found
    whole = outer.whole
    rootfs = {"type": "layers", "diff_ids": [diff_id(whole)]}
    content = json.dumps({"rootfs": rootfs}, separators=(",", ":")).encode()
    layer = ArchivedLayer(outer.label, "", None, whole)
    return ArchivedImage(content, parse_image_config(content), (), (layer,), Platform())
