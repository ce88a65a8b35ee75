"""Whether the records of images, layers and containers agree with each other, and with files and links.

Sources: containers/storage `store.go`, `layers.go`, `images.go`, `check.go`, `drivers/overlay/overlay.go`.
"""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING

from layerfs.analysis.doctor.findings import (
    ROOT,
    Finding,
    container_subject,
    directory_subject,
    from_damage,
    image_subject,
    layer_subject,
)
from layerfs.errors import BrokenChain, CorruptStore, MalformedFile, MissingFile, OneStateLost
from layerfs.formats.chunkedtoc import parse_toc
from layerfs.formats.erofs import BEGINNING, image_size
from layerfs.formats.errors import FormatError
from layerfs.formats.graphroot import big_data_file, layer_id
from layerfs.ids import CacheID, ChainID, ContainerID, ImageID, InvalidID
from layerfs.stores.containers_storage.checks.documents import documents, severity_of
from layerfs.stores.containers_storage.parts import COMPOSEFS
from layerfs.stores.containers_storage.places import OVERLAY
from layerfs.stores.files import if_there
from layerfs.stores.looks import is_there

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from layerfs.hostdir import HostDir
    from layerfs.ids import DiffID
    from layerfs.stores.containers_storage.parts import Part, Stored
    from layerfs.stores.containers_storage.store import GraphRoot

__all__ = ["Records"]

_OF_CONTAINER = re.compile(r"container ([0-9a-f]{64})")
_DATABASES = ("db.sql", "bolt_state.db")
_FILES = {"images.json": "images", "layers.json": "layers", "containers.json": "containers"}
"""The files of records: without one of them the engine refuses the store."""


class Records:
    """Compares the records of one store; damage becomes a `Finding`, and is not reported to the store."""

    def __init__(self, store: GraphRoot) -> None:
        """Compare the records of `store`."""
        self._store = store
        self._stack = functools.cache(self._walked)

    # -- images --------------------------------------------------------------------------------

    def image(self, image: ImageID) -> Iterator[Finding]:
        """The faults of an image's documents, and of its layers as far as it names them."""
        images, subject = self._store.image_records, image_subject(image)
        yield from documents(images, image)
        try:
            config = images.image(image).config
        except CorruptStore as error:
            if isinstance(error, MalformedFile):  # other damage was found with the document
                yield from_damage(error, "config", subject)
            return
        record, _ = images.noted(image)
        own = f"sha256:{record.id}"
        if own not in record.big_data:
            name, message = images.file_name(image), "the image is not called by the digest of its config"
            yield Finding("image-id-other", "note", subject, name, None, record.id, message)
        yield from self._of_chain(subject, images.file_name(image), record.layer, config.diff_ids)
        for layer in record.mapped:
            if layer not in self._store.storage.all:
                message = "a copy with other owners, which the image notes, is not there"
                yield Finding(
                    "mapped-layer-missing", "note", subject, images.file_name(image), layer, None, message
                )

    def _of_chain(
        self, subject: str, name: str, top: CacheID | None, diff_ids: Sequence[DiffID]
    ) -> Iterator[Finding]:
        """Where the layers that an image stands on are not those of its config."""
        if top is None:
            if diff_ids:
                message = "the record names no layer, but the config does"
                yield Finding("image-layer-missing", "error", subject, name, diff_ids[-1], None, message)
            return
        stack = self._stack(top)
        if isinstance(stack, CorruptStore):
            yield from_damage(stack, "layer", subject, severity_of(stack))
            return
        found = [self._store.storage.diff_id(stored) for stored in reversed(stack)]
        if len(found) != len(diff_ids):
            message = "it stands on another number of layers than its config names"
            said = f"{len(diff_ids)} layers", f"{len(found)} layers"
            yield Finding("chain-wrong", "error", subject, name, *said, message)
            return
        for number, (wanted, own) in enumerate(zip(diff_ids, found, strict=True), 1):
            if own != wanted:
                message = f"its layer {number} is not the one of its config"
                yield Finding("chain-wrong", "error", subject, name, wanted, own, message)
                return

    def _walked(self, top: CacheID) -> Sequence[Stored] | CorruptStore:
        try:
            return self._store.storage.walk(top)
        except CorruptStore as error:
            return error.again()

    # -- layers --------------------------------------------------------------------------------

    def subject(self, stored: Stored) -> str:
        """The subject that a layer belongs to: an image's, a container's, or only a directory."""
        own = stored.record.id
        try:
            chain = self._store.storage.chain_of(own)
        except CorruptStore:
            chain = None
        if chain:
            return layer_subject(chain)
        return self._of_containers.get(own) or directory_subject(own)

    @functools.cached_property
    def _of_containers(self) -> Mapping[str, str]:
        """The subjects of containers, by the IDs of their own layers."""
        return {
            layer.cache_id: container_subject(container.id)
            for container in self._store.containers()
            for layer in container.own
        }

    def layer(self, stored: Stored, *, is_needed: bool = True) -> Iterator[Finding]:
        """The faults of a layer's record and directory; what is in its files is not looked at."""
        subject, record = self.subject(stored), stored.record
        name = f"{stored.part.directory.name_of(stored.part.layers_file)}: {record.id}"
        if stored.is_lost:
            if is_needed and stored.part.has_sound_layers:
                message = "there is no record of the layer, which has a directory"
                yield Finding("layer-unrecorded", "error", subject, name, message=message)
            return
        if record.incomplete:
            message = "the layer was never finished: the engine removes it when it writes next"
            yield Finding(
                "layer-incomplete", "error" if is_needed else "warning", subject, name, None, None, message
            )
        if record.parent and record.parent not in self._store.storage.all:
            message = "what the layer stands on is not there"
            hint = "another store may have it: --additional-store"
            yield Finding("parent-missing", "error", subject, name, record.parent, None, message, hint)
        yield from self._directory(stored, subject)
        is_there_at_all = is_there(stored.part.directory, stored.part.layer_path(record.id))
        if stored.part.opened.driver == OVERLAY and is_there_at_all:
            yield from self._links(stored, subject)
        yield from self._beside(stored, subject)

    def names(self, stored: Stored) -> Iterator[Finding]:
        """A note where a layer is not called by what it is made of, as where that ID was taken."""
        record = stored.record
        own = record.diff_id.hex if record.diff_id else ""
        toc = record.toc.rpartition(":")[2]
        if stored.is_lost or not (own or toc) or not record.owners.are_same:
            return
        wanted = {layer_id(record.parent, diff=own)} if own else set()
        wanted |= {layer_id(record.parent, toc=toc)} if toc else set()
        if record.id not in wanted:
            name = f"{stored.part.directory.name_of(stored.part.layers_file)}: {record.id}"
            message = "an ID of its own, not that of its content and what it stands on: no fault"
            yield Finding(
                "layer-id-other", "note", self.subject(stored), name, min(wanted), record.id, message
            )

    def _directory(self, stored: Stored, subject: str) -> Iterator[Finding]:
        part, own = stored.part, stored.record.id
        try:
            part.files(own).close()
        except CorruptStore as error:
            yield from_damage(error, "directory", subject, severity_of(error))
            return
        if part.is_composefs(own):
            yield from self._composefs(part, own, subject)

    @staticmethod
    def _composefs(part: Part, own: CacheID, subject: str) -> Iterator[Finding]:
        """The faults of the table of contents, and of the image of a file system that is made of it."""
        try:
            _check_image(part.directory, f"{part.layer_path(own)}/{COMPOSEFS}/composefs.blob")
        except CorruptStore as error:
            yield from_damage(error, "composefs", subject, severity_of(error))
        try:
            for _ in parse_toc(part.toc(own)):
                pass
        except CorruptStore as error:
            yield from_damage(error, "toc", subject, severity_of(error))
        except FormatError as error:
            name = error.place(part.directory.name_of(part.toc_path(own)))
            yield Finding("toc-malformed", "error", subject, name, error.expected, error.found, error.problem)

    def _links(self, stored: Stored, subject: str) -> Iterator[Finding]:
        dirs = self._store.dirs
        for problem in dirs.link_problems(stored):
            noun = "link" if problem.path.endswith("/link") else "short-link"
            is_mended = not isinstance(problem, BrokenChain)  # by the engine, when it mounts the layer
            yield from_damage(problem, noun, subject, "warning" if is_mended else "error")
        stack = self._stack(stored.record.id)
        if isinstance(stack, CorruptStore):
            return  # found with what is missing
        for problem in dirs.lower_problems(stack):
            yield from_damage(problem, "lower", subject, severity_of(problem))
        if problem_of_ids := dirs.of_ids_problem(stack):
            yield from_damage(problem_of_ids, "lower-layers", subject, severity_of(problem_of_ids))

    def _beside(self, stored: Stored, subject: str) -> Iterator[Finding]:
        """What the engine keeps of a layer besides its files."""
        part, record = stored.part, stored.record
        if self._store.storage.diff_id(stored) or record.toc:
            yield from self._tar_split(stored, subject)
        for key in record.big_data:
            try:
                path = f"{part.opened.layers}/{record.id}/{big_data_file(key)}"
            except FormatError:
                continue
            if not is_there(part.directory, path):
                name, message = part.directory.name_of(path), "a document of the layer is missing"
                yield Finding("layer-document-missing", "error", subject, name, message=message)

    def _tar_split(self, stored: Stored, subject: str) -> Iterator[Finding]:
        split, chain = self._store.split_file(stored), ChainID.from_hex(stored.record.id)
        try:
            fd = split.tar_split(chain)
        except CorruptStore as error:
            yield from_damage(error, "tar-split", subject, severity_of(error))
            return
        if fd is None:
            name, message = split.tar_split_name(chain), "the file is missing: the layer cannot be compared"
            hint = "those of an image store are in its graph root: --additional-store"
            yield Finding("tar-split-missing", "error", subject, name, message=message, hint=hint)
            return
        size = os.fstat(fd).st_size
        os.close(fd)
        if not size:
            message = "the file is empty, as after a power failure: the layer cannot be compared"
            yield Finding(
                "tar-split-malformed", "error", subject, split.tar_split_name(chain), message=message
            )

    # -- containers ----------------------------------------------------------------------------

    def containers(self) -> Iterator[Finding]:
        """The faults of containers that are told by no other record: images that are not there."""
        images = self._store.image_records.all
        for container in self._store.containers():
            wanted = self._image_of(container.id)
            if wanted and wanted not in images:
                name, message = self._store.record_name(container.id), "its image is not there"
                yield Finding(
                    "container-image-missing", "warning", container_subject(container.id), name, wanted,
                    None, message,
                )  # fmt: skip

    def _image_of(self, container: ContainerID) -> ImageID | None:
        try:
            return ImageID.from_hex(self._store.image_of_container(container))
        except InvalidID:
            return None

    # -- the rest ------------------------------------------------------------------------------

    def reported(self, told: Collection[str], *, is_all: bool = True) -> Iterator[Finding]:
        """Other damage that the store reported, except for the paths `told`; or of whole files alone."""
        milder = (MissingFile, OneStateLost)  # what is made do with, where the file itself is told
        malformed = {
            problem.path
            for problem in self._store.damage
            if isinstance(problem, MalformedFile) and not isinstance(problem, milder)
        }
        for problem in list(self._store.damage):
            if problem.path in told or self._is_of_layers(problem):
                continue
            if isinstance(problem, milder) and problem.path in malformed:
                continue
            noun, subject = self._whose(problem)
            if is_all or noun in _FILES.values():
                yield from_damage(problem, noun, subject, severity_of(problem))

    def _is_of_layers(self, problem: CorruptStore) -> bool:
        """Whether it was told while layers were walked down, each of which has findings of its own."""
        is_one = isinstance(problem, MissingFile) and problem.path.endswith("layers.json")
        return is_one and any(part.has_sound_layers for part in self._store.roots)

    def _whose(self, problem: CorruptStore) -> tuple[str, str]:
        """The kind and the subject of the thing that damage belongs to."""
        path = problem.path
        if path.endswith(_DATABASES) or path.endswith(("-journal", "-wal")):
            return "database", ROOT
        if named := _OF_CONTAINER.search(f"{path} {problem.problem}"):
            return "container", container_subject(ContainerID(named[1]))
        file, _, of = path.rpartition("/")[2].partition(": ")
        noun = _FILES.get(file.removeprefix("volatile-"))
        if noun is None:
            return "record", ROOT
        return (f"{noun.removesuffix('s')}-record" if of else noun), ROOT


def _check_image(directory: HostDir, path: str) -> None:
    """Whether an image of EROFS is there, and as long as it says; raises `CorruptStore`."""
    name = directory.name_of(path)

    def read() -> tuple[bytes, int]:
        with directory.file(path) as file:
            return bytes(file.beginning(BEGINNING)), file.size

    try:
        beginning, size = if_there(directory, path, read) or (None, 0)
        if beginning is None:
            raise MissingFile(name, "the engine cannot mount the layer without it")
        whole = image_size(beginning)
    except FormatError as error:
        raise MalformedFile(name, error.problem, expected=error.expected, found=error.found) from error
    if size < whole:
        raise MalformedFile(name, "truncated", expected=f"{whole} bytes", found=f"{size} bytes")
