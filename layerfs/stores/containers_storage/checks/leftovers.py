"""What nothing needs any more in a graph root, or was left unfinished; it is harmless.

Only the root itself is looked at, not those that it is read with: they are others' stores.

Sources: containers/storage `layers.go` (Put, cleanupIncompleteLayers), `store.go` (DeleteLayer),
`drivers/overlay/overlay.go` (staging), `internal/tempdir`, `pkg/ioutils/fswriters.go` (`.tmp-`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from layerfs.analysis.doctor.findings import ROOT, Finding, Found, directory_subject, image_subject
from layerfs.formats.errors import FormatError
from layerfs.formats.graphroot import GraphID, big_data_file
from layerfs.ids import CacheID, ImageID, InvalidID
from layerfs.stores.containers_storage.overlaydirs import layer_of_link
from layerfs.stores.containers_storage.places import OVERLAY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from layerfs.analysis.doctor.findings import Severity
    from layerfs.stores.containers_storage.parts import Part
    from layerfs.stores.containers_storage.store import GraphRoot

__all__ = ["Leftovers"]

_SPLIT = ".tar-split.gz"
_WORDS = {
    "layer-orphaned": "no image and no container needs this layer",
    "layer-unclaimed": "nothing needs this layer, but records that could are damaged",
    "directory-orphaned": "there is no record of this directory",
    "tar-split-orphaned": "there is no record of its layer",
    "layer-documents-orphaned": "there is no record of their layer",
    "image-documents-orphaned": "there is no record of their image",
    "document-orphaned": "the record of the image names no such document",
    "container-directory-orphaned": "there is no record of its container",
    "short-link-orphaned": "it leads to no layer",
    "staging-left": "a layer that was being fetched when the engine ended",
    "temporary-left": "left over of writing or removing something",
}


class Leftovers:
    """What is left over in one store."""

    def __init__(self, store: GraphRoot, needed: Collection[str], *, complete: bool) -> None:
        """Look for it.

        Args:
            store: the store.
            needed: the layers that images and containers need.
            complete: whether all records that could need something could be read.
        """
        self._store = store
        self._part: Part = store.roots[0]
        self._needed = needed
        self._complete = complete

    def found(self) -> Iterator[Found]:
        """Every such thing, with the bytes that it takes."""
        yield from self._layers()
        yield from self._of_layers()
        yield from self._of_images()
        yield from self._of_containers()
        if self._part.opened.driver == OVERLAY:
            yield from self._links()
        yield from self._temporary()

    def _layers(self) -> Iterator[Found]:
        """Layers, and directories without a record, that nothing needs."""
        for own, stored in sorted(self._store.storage.all.items()):
            if own in self._needed or stored.part is not self._part or stored.record.incomplete:
                continue
            code = "layer-orphaned" if self._complete else "layer-unclaimed"
            if stored.is_lost:
                code = "directory-orphaned"
            yield self._one(code, self._part.layer_path(CacheID(own)), directory_subject(own))

    def _of_layers(self) -> Iterator[Found]:
        known = self._store.storage.all
        top = self._part.opened.layers
        for name in self._names(top):
            text = os.fsdecode(name)
            own = text.removesuffix(_SPLIT)
            if not GraphID.pattern.fullmatch(own) or (own in known and not known[own].is_lost):
                continue
            code = "tar-split-orphaned" if text != own else "layer-documents-orphaned"
            if own not in known or own not in self._needed:  # else its record is what is missing
                yield self._one(code, f"{top}/{text}")

    def _of_images(self) -> Iterator[Found]:
        known, top = self._store.image_records.all, self._part.opened.images
        lists = self._part.images  # also of those that are no images
        for name in self._names(top):
            own = os.fsdecode(name)
            try:
                image = ImageID.from_hex(own)
            except InvalidID:
                continue
            if own not in lists:
                yield self._one("image-documents-orphaned", f"{top}/{own}")
            elif image in known:
                yield from self._documents(image, f"{top}/{own}")

    def _documents(self, image: ImageID, path: str) -> Iterator[Found]:
        """Files beside the documents of an image."""
        if self._part.images_problem:
            return
        wanted: set[str] = set()
        for key in self._part.images[image.hex].big_data:
            try:
                wanted.add(big_data_file(key))
            except FormatError:
                continue
        for name in self._names(path):
            if (text := os.fsdecode(name)) not in wanted and not text.startswith("."):
                yield self._one("document-orphaned", f"{path}/{text}", image_subject(image))

    def _of_containers(self) -> Iterator[Found]:
        known, top = set(self._store.container_names()), self._part.opened.containers
        for name in self._names(top):
            own = os.fsdecode(name)
            if GraphID.pattern.fullmatch(own) and own not in known:
                yield self._one("container-directory-orphaned", f"{top}/{own}")

    def _links(self) -> Iterator[Found]:
        known = self._store.storage.all
        for name, target in sorted(self._part.short_links().items()):
            layer = layer_of_link(target)
            if layer is None or layer not in known:
                yield self._one("short-link-orphaned", f"{OVERLAY}/l/{os.fsdecode(name)}")

    def _temporary(self) -> Iterator[Found]:
        opened, files = self._part.opened, self._part.opened.files
        for name in self._names(f"{opened.driver}/staging"):
            yield self._one("staging-left", f"{opened.driver}/staging/{os.fsdecode(name)}")
        for top in dict.fromkeys((opened.driver, opened.layers, opened.images, opened.containers, files)):
            for folder in ("tempdirs", "tmp"):
                for name in self._names(f"{top}/{folder}"):
                    yield self._one("temporary-left", f"{top}/{folder}/{os.fsdecode(name)}")
            for name in self._names(top):
                if name.startswith(b".tmp-"):
                    yield self._one("temporary-left", f"{top}/{os.fsdecode(name)}")

    def _names(self, path: str) -> list[bytes]:
        """The names in a directory of the root, sorted; none where it cannot be listed."""
        try:
            with self._part.directory.subdir(path) as directory:
                return sorted(directory.names())
        except OSError:
            return []

    def _one(self, code: str, path: str, subject: str = ROOT) -> Found:
        severity: Severity = "note"
        name = self._part.directory.name_of(path)
        return Found(Finding(code, severity, subject, name, message=_WORDS[code]), (os.fsencode(path),))
