"""The images of a store: records of images.json, and their documents.

Sources: containers/storage `images.go`; containers/image `storage/storage_reference.go`, `storage_image.go`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from layerfs.damage import attempt
from layerfs.errors import CorruptStore, MalformedFile, MissingFile
from layerfs.formats.descriptors import parse_manifest
from layerfs.formats.errors import FormatError
from layerfs.formats.imageconfig import parse_image_config
from layerfs.formats.reference import Reference, parse_reference
from layerfs.ids import ImageID, InvalidID, ManifestDigest
from layerfs.model import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerfs.formats.descriptors import Manifest
    from layerfs.formats.graphroot import ImageRecord
    from layerfs.formats.imageconfig import ImageConfig
    from layerfs.ids import CacheID, DiffID
    from layerfs.stores.containers_storage.parts import Part

__all__ = ["FullName", "Images", "Noted", "StorageImage"]

_MANIFEST = "manifest"
_BY_DIGEST = "manifest-"


class FullName(Reference):
    """A name as Podman shows it: with its registry, whatever that is."""

    @property
    def familiar_name(self) -> str:
        """Registry and path."""
        return self.name


class Noted(NamedTuple):
    """A record and the root in which it is."""

    record: ImageRecord
    part: Part


@dataclass(frozen=True)
class StorageImage(Image):
    """An image of a graph root.

    Attributes:
        record: what images.json has of it.
        part: the root in which it is.
        other_names: names that are no references.
        find_parent: finds `parent`, for which it reads every image.
    """

    record: ImageRecord = field(kw_only=True)
    part: Part = field(kw_only=True)
    other_names: tuple[str, ...] = ()
    find_parent: Callable[[ImageConfig], ImageID | None] = field(kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Leave the parent to be found when it is asked for."""
        vars(self).pop("parent", None)

    # the field of a frozen class is read-only too
    @functools.cached_property  # type: ignore[misc]
    def parent(self) -> str | None:
        """The ID of the image that it was made from, as Podman tells it."""
        return self.find_parent(self.config)

    @property
    def target_digest(self) -> str | None:
        """The digest of the manifest or list that it was pulled by."""
        return self.record.digest or None

    @property
    def has_name(self) -> bool:
        """Whether anything names it."""
        return bool(self.record.names)

    @property
    def top(self) -> CacheID | None:
        """The ID of its uppermost layer."""
        return self.record.layer

    @property
    def data_size(self) -> int | None:
        """Bytes of its documents as the engine adds them up; None where one is not noted."""
        sizes = [data.size for data in self.record.big_data.values()]
        return None if None in sizes else sum(size for size in sizes if size is not None)


class Images:
    """The images of all roots of one store: of two with one ID the first root's counts."""

    def __init__(
        self,
        parts: Sequence[Part],
        find_parent: Callable[[ImageConfig], ImageID | None],
        report: Callable[[CorruptStore], object],
    ) -> None:
        """Join the images of `parts`; `report` is told of damage."""
        self._parts = parts
        self._find_parent = find_parent
        self._report = report
        self._read: dict[ImageID, StorageImage] = {}

    @functools.cached_property
    def all(self) -> Mapping[ImageID, Noted]:
        """Every record by the ID of its image; lists of images for several platforms are none."""
        found: dict[ImageID, Noted] = {}
        for part in self._parts:
            for own, record in part.images.items():
                if record.layer or not _is_list(record):
                    found.setdefault(ImageID.from_hex(own), Noted(record, part))
        return found

    def file_name(self, image_id: ImageID) -> str:
        """The record of an image, for messages."""
        noted = self.all.get(image_id)
        part = noted.part if noted else self._parts[0]
        return f"{part.directory.name_of(part.images_file)}: {image_id.hex}"

    def noted(self, image_id: ImageID) -> Noted:
        """The record of an image; raises `MissingFile`."""
        found = self.all.get(image_id)
        if found is None:
            raise MissingFile(self.file_name(image_id), "there is no such image")
        return found

    def image(self, image_id: ImageID) -> StorageImage:
        """The image of this ID, read once; raises `CorruptStore`."""
        if image_id not in self._read:
            self._read[image_id] = self._image(image_id)
        return self._read[image_id]

    def _image(self, image_id: ImageID) -> StorageImage:
        record, part = self.noted(image_id)
        content = self.config_bytes(image_id)
        try:
            config = parse_image_config(content)
        except FormatError as error:
            name = part.directory.name_of(part.document_path(record.id, self.config_key(image_id)))
            raise MalformedFile(name, error.problem, expected=error.expected, found=error.found) from error
        references, others = self.names(image_id)
        return StorageImage(
            image_id,
            references,
            config,
            record=record,
            part=part,
            other_names=others,
            find_parent=self._find_parent,
        )

    # -- documents -----------------------------------------------------------------------------

    def config_bytes(self, image_id: ImageID) -> bytes:
        """The config, byte for byte; raises `CorruptStore`, also where it was altered."""
        record, part = self.noted(image_id)
        key = self.config_key(image_id)
        return part.document(record.id, key, record.big_data.get(key))

    def config_key(self, image_id: ImageID) -> str:
        """The key of the config: the image's ID, or else what its manifest names."""
        record, _ = self.noted(image_id)
        own = f"sha256:{record.id}"
        if own in record.big_data or _MANIFEST not in record.big_data:
            return own
        manifest = attempt(self._report, lambda: self.manifest(image_id))
        return manifest.config.digest if manifest and manifest.config else own

    def manifest_bytes(self, image_id: ImageID) -> bytes:
        """The manifest, byte for byte; raises `CorruptStore`."""
        record, part = self.noted(image_id)
        return part.document(record.id, _MANIFEST, record.big_data.get(_MANIFEST))

    def manifest(self, image_id: ImageID) -> Manifest:
        """The manifest; raises `CorruptStore`."""
        record, part = self.noted(image_id)
        try:
            return parse_manifest(self.manifest_bytes(image_id))
        except FormatError as error:
            name = part.directory.name_of(part.document_path(record.id, _MANIFEST))
            raise MalformedFile(name, error.problem, expected=error.expected, found=error.found) from error

    # -- names ---------------------------------------------------------------------------------

    @functools.cached_property
    def _named(self) -> Mapping[ImageID, tuple[tuple[FullName, ...], tuple[str, ...]]]:
        """The references and the other names of each image; a name is that of the first root that has it."""
        taken: set[str] = set()
        found = {}
        for image_id, noted in self.all.items():
            own = [name for name in noted.record.names if name not in taken]
            taken.update(own)
            found[image_id] = _told_apart(own, noted.record.digest)
        return found

    def names(self, image_id: ImageID) -> tuple[tuple[FullName, ...], tuple[str, ...]]:
        """The references of an image, and its other names."""
        return self._named.get(image_id, ((), ()))

    @functools.cached_property
    def by_reference(self) -> Mapping[Reference, ImageID]:
        """Every image by its references; of two with one reference the first, as of names."""
        found: dict[Reference, ImageID] = {}
        for own, (names, _) in self._named.items():
            for name in names:
                found.setdefault(name, own)
        return found

    @functools.cached_property
    def by_other_name(self) -> Mapping[str, ImageID]:
        """Every image by its names that are no references."""
        return {name: own for own, (_, others) in self._named.items() for name in others}

    def digests(self) -> Iterator[tuple[str, ImageID]]:
        """Every digest of a manifest or list, with an image that has it."""
        for image_id, noted in self.all.items():
            record = noted.record
            found = [record.digest] if record.digest else []
            found += [key.removeprefix(_BY_DIGEST) for key in record.big_data if key.startswith(_BY_DIGEST)]
            yield from ((digest, image_id) for digest in dict.fromkeys(found))

    def sound(self) -> Iterator[StorageImage]:
        """Every sound image, in the order of the records; the others are reported."""
        for image_id in self.all:
            image = attempt(self._report, functools.partial(self.image, image_id))
            if image:
                yield image

    @functools.cached_property
    def by_top(self) -> Mapping[CacheID, ImageID]:
        """The first image of each uppermost layer."""
        found: dict[CacheID, ImageID] = {}
        for image_id, noted in self.all.items():
            if noted.record.layer:
                found.setdefault(noted.record.layer, image_id)
        return found

    def diff_ids(self) -> Iterator[tuple[CacheID, tuple[DiffID, ...]]]:
        """The uppermost layer of each sound image, and the diff IDs in its config, base first."""
        for image in self.sound():
            if image.top:
                yield image.top, image.config.diff_ids


def _is_list(record: ImageRecord) -> bool:
    """Whether a record is of a list of images, as `podman manifest create` makes: it has no config."""
    return not any(key.startswith("sha256:") for key in record.big_data)


def _told_apart(names: Sequence[str], digest: str) -> tuple[tuple[FullName, ...], tuple[str, ...]]:
    """References, with that by digest in each of their repositories, and names that are none."""
    found: set[FullName] = set()
    others: list[str] = []
    for name in names:
        try:
            reference = FullName(*parse_reference(name).with_default_tag())
        except FormatError:
            others.append(name)
            continue
        found.add(reference)
        if digest and not reference.digest:
            try:
                found.add(FullName(reference.domain, reference.path, None, ManifestDigest(digest)))
            except InvalidID:
                continue
    return tuple(sorted(found, key=str)), tuple(others)
