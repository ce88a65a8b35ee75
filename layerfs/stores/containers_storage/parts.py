"""One root of a store, and what is written down in it.

A store may have its images in another root than its containers, and use those of further roots.

Sources: containers/storage `store.go`, `images.go`, `layers.go`.
"""

from __future__ import annotations

import errno
import functools
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from layerfs.damage import attempt
from layerfs.errors import DataRootUnreadable, DigestMismatch, MalformedFile, MissingFile
from layerfs.formats.chunkedtoc import MAX_BYTES as TOC_LIMIT
from layerfs.formats.chunkedtoc import TOC
from layerfs.formats.errors import FormatError
from layerfs.formats.graphroot import GraphID, big_data_file, big_data_key, parse_images, parse_layers
from layerfs.ids import BlobDigest, CacheID
from layerfs.stores.containers_storage.forms import Form, form_of
from layerfs.stores.containers_storage.lostrecords import lost_images
from layerfs.stores.containers_storage.places import FILES
from layerfs.stores.files import (
    JSON_LIMIT,
    explain,
    identities,
    open_optional,
    open_part,
    parse_optional,
    read_file,
)
from layerfs.stores.looks import is_there
from layerfs.stores.sealed import SealedDirs
from layerfs.witness import LISTENERS, tell_of_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from layerfs.errors import CorruptStore
    from layerfs.formats.graphroot import BigData, ImageRecord, LayerRecordText
    from layerfs.hostdir import HostDir
    from layerfs.ids import ChainID
    from layerfs.stores.containers_storage.places import Opened

__all__ = ["Part", "SplitFile", "Stored"]

COMPOSEFS = "composefs-data"
"""The directory beside `diff/` that only layers of a composefs store have."""

_RECORDS_LIMIT = 256 << 20
"""The most bytes of a file of records: a hundred thousand layers take less."""

Value = TypeVar("Value")


class Stored(NamedTuple):
    """A layer with the root in which it is.

    Attributes:
        record: what is written down.
        part: the root.
        is_lost: whether the record is none, and only made out by what else there is.
    """

    record: LayerRecordText
    part: Part
    is_lost: bool = False


class Part:
    """One graph root, image store or additional store; every file of records is read once.

    Attributes:
        opened: the directory, and its driver.
        directory: the same, alone.
        is_whole: whether every record that was asked for could be read.
        images_problem: why no record of an image could be read; None where they could, or were not asked for.
    """

    def __init__(self, opened: Opened, report: Callable[[CorruptStore], object]) -> None:
        """Read a root that is open; `report` is told of damage."""
        self.opened = opened
        self.directory = opened.directory
        self._report = report
        self.is_whole = True
        self._unread: set[str] = set()
        self.images_problem: CorruptStore | None = None

    # -- records -------------------------------------------------------------------------------

    @functools.cached_property
    def images(self) -> Mapping[str, ImageRecord]:
        """The images by ID; where there are no records, those of which there are documents."""
        found = self._records(self.images_file, parse_images)
        if found:
            return found
        lost: dict[str, ImageRecord] = {record.id: record for record in lost_images(self)}
        if lost:
            is_sound = self.images_file not in self._unread and is_there(self.directory, self.images_file)
            what = "it has no record of an image" if is_sound else "no record can be read"
            problem = f"{what}: images are known by their configs, without names"
            self.images_problem = MissingFile(self.directory.name_of(self.images_file), problem)
        elif not is_there(self.directory, self.opened.images):
            problem = "the directory is missing: no image is known"
            self.images_problem = MissingFile(self.directory.name_of(self.opened.images), problem)
        if self.images_problem:
            self._report(self.images_problem)
        return lost

    @functools.cached_property
    def layers(self) -> Mapping[str, LayerRecordText]:
        """The layers by ID, also those that are lost when the host starts anew."""
        volatile = f"{self.opened.layers}/volatile-layers.json"
        found = [self._records(volatile, parse_layers), self._records(self.layers_file, parse_layers)]
        if self.opened.run:
            found.insert(0, self._records(volatile, parse_layers, self.opened.run))
        return {own: record for records in found for own, record in records.items()}

    @property
    def has_layers_file(self) -> bool:
        """Whether there is anything with records of layers: a root without has no layers, or lost them."""
        return is_there(self.directory, self.layers_file)

    @functools.cached_property
    def has_sound_layers(self) -> bool:
        """Whether the records of layers are a list of records, which may be empty."""
        return self.has_layers_file and self.layers_file not in self._unread

    @property
    def images_file(self) -> str:
        """The path of images.json, below the root."""
        return f"{self.opened.images}/images.json"

    @property
    def layers_file(self) -> str:
        """The path of layers.json, below the root."""
        return f"{self.opened.layers}/layers.json"

    def _records(
        self,
        path: str,
        parse: Callable[[bytes, Callable[[FormatError], object]], Mapping[str, Value]],
        directory: HostDir | None = None,
    ) -> Mapping[str, Value]:
        """The records of a file, here or in `directory`; none where it is missing, or damaged (reported)."""
        top = directory or self.directory
        name = top.name_of(path)

        def tell(error: FormatError) -> None:
            self.is_whole = False
            self._report(
                MalformedFile(error.place(name), error.problem, expected=error.expected, found=error.found)
            )

        def read() -> Mapping[str, Value] | None:
            return parse_optional(top, path, lambda content: parse(content, tell), _RECORDS_LIMIT)

        def report(problem: CorruptStore) -> None:
            self.is_whole = False
            self._unread.add(path)
            self._report(problem)

        return attempt(report, read) or {}

    # -- documents -----------------------------------------------------------------------------

    def documents(self) -> Iterator[tuple[GraphID, list[str]]]:
        """The images of which there are documents, sorted, with the keys of these; damage is reported."""
        problems: list[CorruptStore] = []
        directory = open_part(self.directory, self.opened.images, problems)
        for problem in problems:
            self._report(problem)
        for own in sorted(identities(directory, GraphID)):
            try:
                with self.directory.subdir(f"{self.opened.images}/{own}") as inner:
                    names = map(os.fsdecode, inner.names())
                    yield own, sorted(key for name in names if (key := big_data_key(name)))
            except OSError as error:
                self._report(explain(error, self.directory.name_of(f"{self.opened.images}/{own}")))

    def document_path(self, owner: str, key: str) -> str:
        """The path of a document of an image, below the root; raises `MalformedFile` for a wrong key."""
        try:
            return f"{self.opened.images}/{owner}/{big_data_file(key)}"
        except FormatError as error:
            name = self.directory.name_of(self.images_file)
            raise MalformedFile(f"{name}: {owner}", error.problem, found=error.found) from error

    def document_size(self, owner: str, key: str) -> int | None:
        """The bytes of a document; None where that cannot be told."""
        try:
            return self.directory.lstat(self.document_path(owner, key)).st_size
        except OSError:
            return None

    def document(self, owner: str, key: str, noted: BigData | None = None) -> bytes:
        """A document of an image; raises `CorruptStore` where it is missing, or not what is noted of it."""
        path = self.document_path(owner, key)
        content = read_file(self.directory, path, JSON_LIMIT)
        found, wanted = BlobDigest.of(content), _digest_of(key, noted)
        if wanted and wanted != found:
            raise DigestMismatch(
                self.directory.name_of(path), "the document was altered", expected=wanted, found=found
            )
        return content

    # -- files of layers -----------------------------------------------------------------------

    @functools.cached_property
    def _layers_dirs(self) -> SealedDirs:
        top = self.opened.files
        try:
            directory = open_optional(self.directory, top)
        except (MalformedFile, DataRootUnreadable) as error:
            self._report(error)
            directory = None
        return SealedDirs(self.directory, top, directory)

    def directories(self) -> list[CacheID]:
        """The directories of layers, sorted, with a record or without; none where they cannot be listed."""
        directory = self._layers_dirs.mount
        try:
            return sorted(map(CacheID, identities(directory, GraphID)))
        except OSError as error:
            self._report(explain(error, self.directory.name_of(self.opened.files)))
            return []

    def short_links(self) -> Mapping[bytes, bytes]:
        """Where the names in the directory of short links lead; without those that are no links.

        They are read through the mount of this process, as reading a link elsewhere changes its access time.
        """
        found: dict[bytes, bytes] = {}
        directory = self._layers_dirs.mount
        with suppress(OSError):
            if directory:
                with directory.subdir("l") as links:
                    for name in links.names():
                        with suppress(OSError):
                            found[name] = links.readlink(name)
        return found

    def short_link(self, name: str) -> bytes:
        """Where one of them leads; raises `OSError`."""
        directory = self._layers_dirs.mount
        if directory is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        with directory.subdir("l") as links:
            return links.readlink(name)

    def files_path(self, layer: CacheID) -> str:
        """The path of a layer's files, below the root."""
        return FILES[self.opened.driver].format(layer)

    def layer_path(self, layer: CacheID) -> str:
        """The path of a layer's directory, below the root."""
        return self.files_path(layer).removesuffix("/diff")

    def files(self, layer: CacheID) -> HostDir:
        """A layer's files, which have a descriptor only while they are used; raises `CorruptStore`."""
        path = self.files_path(layer)
        try:
            return self._layers_dirs.open(path.removeprefix(f"{self.opened.files}/"))
        except FileNotFoundError as error:
            name = self.directory.name_of(path)
            raise MissingFile(name, "the layer's directory is missing") from error
        except OSError as error:
            raise explain(error, self.directory.name_of(path)) from error

    @functools.cached_property
    def form(self) -> Form:
        """Which marks its layers have."""
        try:
            with self.directory.subdir(self.opened.files) as driver:
                return form_of(driver, self._report)
        except OSError:  # told when a layer is read
            return Form.KERNEL

    @functools.cached_property
    def owner_of_layers(self) -> tuple[int, int] | None:
        """The user and group of the directory that has the layers; None where there is none."""
        try:
            found = self.directory.lstat(self.opened.files)
        except OSError:
            return None
        return found.st_uid, found.st_gid

    def count(self, layer: CacheID) -> int:
        """Bytes of a layer's files, each inode once; raises `CorruptStore`."""
        from layerfs.stores.inodesizes import bytes_in  # noqa: PLC0415 - few ask

        return bytes_in(self.files(layer))

    @property
    def layer_ids(self) -> Iterable[CacheID]:
        """The IDs of its layers."""
        return (record.id for record in self.layers.values())

    def stored_layers(self) -> Iterator[Stored]:
        """Every layer of this root that is finished."""
        return (Stored(record, self) for record in self.layers.values() if not record.incomplete)

    def tar_split_size(self, layer: CacheID) -> int:
        """Bytes of a layer's tar-split file; 0 where there is none here."""
        try:
            return self.directory.lstat(f"{self.opened.layers}/{layer}.tar-split.gz").st_size
        except OSError:
            return 0

    # -- tables of contents --------------------------------------------------------------------

    def is_composefs(self, layer: CacheID) -> bool:
        """Whether the files of a layer are a pool of objects, and not a tree."""
        path = f"{self.layer_path(layer)}/{COMPOSEFS}"
        return self.opened.driver == "overlay" and is_there(self.directory, path)

    def toc_path(self, layer: CacheID) -> str:
        """The path of a layer's table of contents, below the root."""
        return f"{self.opened.layers}/{layer}/{big_data_file(TOC)}"

    def toc(self, layer: CacheID) -> bytes:
        """A layer's table of contents; raises `CorruptStore`."""
        return read_file(self.directory, self.toc_path(layer), TOC_LIMIT)


def _digest_of(key: str, noted: BigData | None) -> str | None:
    """What a document must hash to: by its key, or else as noted; None where neither tells."""
    own = key.removeprefix("manifest-")
    wanted = own if own.startswith("sha256:") else noted.digest if noted else None
    return wanted if wanted and wanted.startswith("sha256:") else None


class SplitFile:
    """The tar-split file of one layer: it may be in another root than the layer; see `TarSplits`."""

    def __init__(self, layer: CacheID, parts: tuple[Part, ...]) -> None:
        """The file of `layer`, looked for in `parts`."""
        self._layer = layer
        self._parts = parts

    def _path(self, part: Part) -> str:
        return f"{part.opened.layers}/{self._layer}.tar-split.gz"

    def tar_split_name(self, chain: ChainID) -> str:  # noqa: ARG002 - it is of one layer
        """See `TarSplits`."""
        return self._parts[0].directory.name_of(self._path(self._parts[0]))

    def tar_split(self, chain: ChainID) -> int | None:  # noqa: ARG002
        """See `TarSplits`."""
        for part in self._parts:
            path = self._path(part)
            try:
                fd = part.directory.open_file(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise explain(error, part.directory.name_of(path)) from error
            if LISTENERS:
                tell_of_file(part.directory.name_of(path), fd)
            return fd
        return None
