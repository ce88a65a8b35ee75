"""The part of a containerd store that tells which images there are; it knows no layer of them."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, Self

from layerfs.accounts import AccountRules
from layerfs.boltfile import read_boltfile
from layerfs.errors import (
    CorruptStore,
    DataRootUnreadable,
    MalformedFile,
    MissingFile,
    StoreGone,
    reason,
)
from layerfs.formats.containerdmeta import Namespace, parse_meta
from layerfs.formats.gotime import format_time
from layerfs.formats.repositories import Repositories, RepositoryRow
from layerfs.model import Image, added_up
from layerfs.store import RECORDS, Store
from layerfs.stores.containerd.content import Content
from layerfs.stores.containerd.image import ContainerdImage
from layerfs.stores.containerd.images import Images
from layerfs.stores.containerd.layers import Snapshots
from layerfs.stores.containerd.names import ContainerdNames
from layerfs.stores.containerd.notes import notes_of_container, notes_of_image
from layerfs.stores.containerd.places import META_DB, open_containerd
from layerfs.stores.containerd.sizes import ImageSizes
from layerfs.stores.containerd.snapshotters import database_name, has_database, read_snapshotters
from layerfs.stores.containerd.spaces import ALL, chosen_spaces, filled, is_dockers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerfs.accounts import ImageParts
    from layerfs.formats.errors import FormatError
    from layerfs.ids import ImageID
    from layerfs.model import Container
    from layerfs.stores.containerd.places import Opened
    from layerfs.stores.registry import Options

__all__ = ["StoredImages"]

_log = logging.getLogger(__name__)


class StoredImages(Store):
    """The images of some namespaces of one containerd root.

    Attributes:
        directory: the containerd root.
        docker: the data root of the Docker Engine whose namespace is read; None if there is none.
        dockers_namespace: the name of that namespace, or None.
        spaces: the namespaces that are read.
        every_space: all namespaces.
        content: the blobs.
        snapshotters: those in use, by name.
        gone: why nothing of the namespaces can be read; None where it can.
        bolt_state: which state of databases is read.
    """

    kind = "containerd"
    place_word, link_word = "snapshot", "key"
    account_rules = AccountRules(
        every_image=True,
        unused_alone=True,
        whole_cache=True,
        init_counts=True,
        containers_listed=True,
        digits=3,
    )

    def __init__(self, opened: Opened, options: Options) -> None:
        """Read a root that is open; see `open`."""
        is_dockers = opened.docker and options.namespace in (None, opened.namespace, ALL)
        self.docker = opened.docker if is_dockers else None
        super().__init__((self.docker or opened.directory).display)
        self.directory = opened.directory
        self.meta_name = self.directory.name_of(META_DB)
        self.bolt_state = options.bolt_state
        self.content = Content(self.directory)
        self.snapshotters = read_snapshotters(self.directory, self.report, options.bolt_state)
        self._known, self.gone = self._namespaces(options.bolt_state)
        self.every_space = tuple(self._known.values())
        self.spaces = chosen_spaces(
            self._known,
            options.namespace or (ALL if self.gone and not self.docker else None),
            docker=opened.namespace if opened.docker else None,
            where=self.directory.display,
            tell=not options.searching,
        )
        self.dockers_namespace = opened.namespace if self.docker else None
        self._report_lost_snapshotters()
        # a lost database is reported once, not for each record
        told = _log.debug if self.gone else self.report
        self._snapshots = Snapshots(self.spaces, self.snapshotters, told, self.meta_name)
        self._images = Images(self.spaces, self.content, self.report, options.platform, self.meta_name)
        self._sizes = ImageSizes(self.spaces, self.content, self._snapshots, self.report)

    @property
    def lists_unnamed(self) -> bool:  # type: ignore[override]
        """Whether images without a name are listed: Docker's client hides them since version 29."""
        return not all(is_dockers(space.name) for space in self.spaces)

    @property
    def noun(self) -> str:
        """What to call it in a sentence."""
        return "a containerd store"

    @property
    def targets(self) -> Images:
        """The images as their names point at them."""
        return self._images

    @property
    def snapshots(self) -> Snapshots:
        """The snapshots of the namespaces."""
        return self._snapshots

    @property
    def driver(self) -> str | None:  # type: ignore[override]
        """The first snapshotter in use."""
        return next(iter(self.snapshotters), None)

    @classmethod
    def open(cls, path: str, options: Options) -> Self:
        """Open a containerd root, or that of a Docker data root or of a whole system.

        Raises:
            DataRootError: there is none, or it has not the wanted namespace.
            CorruptStore: its `meta.db` cannot be read.
            ValueError: `options.platform` is malformed.
        """
        return cls(open_containerd(path, tell=not options.searching), options)

    def _namespaces(self, state: str) -> tuple[Mapping[str, Namespace], CorruptStore | None]:
        """Every namespace, and None; or the names of some without content, and why meta.db cannot be read."""
        try:
            database = read_boltfile(self.directory, META_DB, self.report, state)
        except OSError as error:
            gone = _unread(error, self.meta_name)
        except CorruptStore as error:
            gone = error.again()
        else:
            return parse_meta(database.root, self._report_record), None
        self.report(gone)
        snapshots = (name for item in self.snapshotters.values() for name in item.all)
        names = sorted({name.partition("/")[0] for name in snapshots})
        return {name: Namespace(name, None, self._report_record) for name in names}, gone

    def _report_record(self, error: FormatError) -> None:
        name = error.place(self.meta_name)
        self.report(MalformedFile(name, error.problem, expected=error.expected, found=error.found))

    def require(self, *parts: str) -> None:
        """Raise `StoreGone` if `RECORDS` are needed and meta.db cannot be read."""
        if self.gone and RECORDS in parts:
            raise StoreGone(self.gone)

    def lacks(self, part: str) -> bool:
        """Whether a part is not there at all; then that was reported."""
        return part == RECORDS and self.gone is not None

    def namespaces(self) -> Sequence[str]:
        """The namespaces that have images or containers."""
        return filled(self._known)

    def _report_lost_snapshotters(self) -> None:
        """Report each missing database of a snapshotter that namespaces use, except those of proxies."""
        for name in dict.fromkeys(name for space in self.spaces for name in space.snapshotters):
            if not has_database(self.directory, name) and any(space.snapshots(name) for space in self.spaces):
                problem = "the file is missing: snapshots are known by their numbers alone"
                self.report(MissingFile(database_name(self.directory, name), problem))

    def evidence(self) -> set[tuple[int, int]]:
        """The containerd root, and the Docker data root."""
        found = [item.lstat() for item in (self.directory, self.docker) if item]
        return {(status.st_dev, status.st_ino) for status in found}

    # -- images --------------------------------------------------------------------------------

    def image_ids(self, beginning: str = "") -> Sequence[ImageID]:
        """Every image, sound or not, whose digits begin so; sorted."""
        return sorted(found for found in self._images.ids if found.hex.startswith(beginning))

    def has_image(self, image_id: ImageID) -> bool:
        """Whether there is an image of this ID, sound or not."""
        return image_id in self._images.ids

    def read_image(self, image_id: ImageID) -> ContainerdImage:
        """The image of this ID; raises `CorruptStore`, `ImageNotFound`."""
        return self._images.image(image_id)

    def images(self, *, all_platforms: bool = False) -> Sequence[Image]:
        """Every sound image, newest first; damaged ones are reported and left out.

        With `all_platforms` each platform of it, also those that were never fetched.
        """
        if not all_platforms:
            return super().images()
        found = [
            image
            for image_id in self._images.ids
            for image in self._images.every_platform(image_id, missing=True)
        ]
        return sorted(
            found,
            key=lambda image: (image.config.created_ns is None, -(image.config.created_ns or 0), image.id),
        )

    @functools.cached_property
    def names(self) -> ContainerdNames:
        """Resolves names."""
        return ContainerdNames(self, self._images)

    @functools.cached_property
    def repositories(self) -> Repositories:
        """The names that are references, in Docker's normal form."""
        found = self._images.references.items()
        rows = [RepositoryRow(name, image_id) for image_id, names in found for name in names]
        return Repositories(tuple(sorted(rows, key=lambda row: row.reference.familiar)))

    def other_names(self) -> list[str]:
        """The names that are no references."""
        return self._images.other_names()

    def config_bytes(self, image: Image) -> bytes:
        """The config of an image, byte for byte; raises `CorruptStore`."""
        manifest = self.own_image(image).manifest
        if manifest is None or manifest.config is None:
            raise self._no_image(image)
        return self.content.document(manifest.config)

    # -- sizes ---------------------------------------------------------------------------------

    def size(self, image: Image) -> int | None:
        """The size of an image as its engine prints it: of its blobs in crictl, of all on disk in Docker."""
        own = self.own_image(image)
        if self._images.targets[own.target.digest].by_config:
            return self._sizes.referenced(own)
        return self.disk_usage(own)

    def inspected_size(self, image: Image) -> int:
        """The size in `docker image inspect`: that of the blobs of one platform, with its indexes."""
        return self._sizes.referenced(self.own_image(image))

    def packed_size(self, image: Image) -> int | None:
        """Bytes of the blobs that are there: Docker's CONTENT SIZE."""
        return self._sizes.packed(self.own_image(image))

    def disk_usage(self, image: Image) -> int | None:
        """Bytes of all blobs and snapshots of an image: Docker's DISK USAGE; None if a size is not known."""
        return added_up(part.size for part in self.parts(image).counted)

    def parts(self, image: Image) -> ImageParts:
        """The blobs and snapshots of an image; an unknown size is None (reported)."""
        return self._sizes.parts(self.own_image(image))

    # -- what is noted of images ---------------------------------------------------------------

    def last_tagged(self, image: Image) -> str | None:
        """When a name was last set to the image's target."""
        metas = self._images.targets[self.own_image(image).target.digest].metas
        times = [meta.updated_ns for meta in metas if meta.updated_ns is not None]
        return format_time(max(times)) if times else None

    def notes(self, subject: Image | Container) -> Mapping[str, Any]:
        """The keys that only Docker with containerd has: descriptors, identity; raises `FormatError`."""
        if isinstance(subject, Image):
            target = self._images.targets[self.own_image(subject).target.digest]
            blobs = (space.blob(target.descriptor.digest) for space in self.spaces)
            return notes_of_image(target, next(filter(None, blobs), None))
        config = subject.config
        return notes_of_container(config.raw, config.driver) if config else {}

    def own_image(self, image: Image) -> ContainerdImage:
        """The image as a `ContainerdImage` of this store."""
        return image if isinstance(image, ContainerdImage) else self.read_image(image.id)

    def _no_image(self, image: Image) -> CorruptStore:
        target = self.own_image(image).target
        kind = target.media_type or "of no type"
        return CorruptStore(self.content.name_of(target.digest), f"no image that has layers: {kind}")


_LOST = "the file is missing: no image is known, nor which snapshot is whose"


def _unread(error: OSError, name: str) -> CorruptStore:
    """The error for a meta.db that cannot be read."""
    if isinstance(error, PermissionError):
        return DataRootUnreadable(name)
    if isinstance(error, FileNotFoundError):
        return MissingFile(name, _LOST)
    return MalformedFile(name, reason(error))
