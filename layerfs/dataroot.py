"""The front door: a Docker data root on disk, opened for reading.

    root = DataRoot.open("/var/lib/docker")
    image = root.image("nginx:latest")
    tree = root.tree(image)

Joins `store` (what the engine wrote) and `tree` (what the kernel would show). Damage that does not
stop the answer is logged once with the file's name and kept in `DataRoot.damage`.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Self

from layerfs.archive import LayerArchive
from layerfs.barelayers import BareLayers
from layerfs.errors import CorruptStore, LayerNotFound, MissingFile
from layerfs.formats.repositories import Repositories
from layerfs.ids import CacheID, ChainID, ContainerID, ImageID, InvalidID
from layerfs.layernames import LayerNames
from layerfs.model import BareLayer, Container, Image, Layer, added_up, directory_of
from layerfs.mounts import Mounts
from layerfs.naming import Names
from layerfs.stacking import Metadata, Stacker
from layerfs.store.distribution import Distribution
from layerfs.store.driver import DIRECTORY_HALF, HALVES, IMAGE_HALF, open_data_root
from layerfs.store.refstore import read_repositories
from layerfs.storedlayers import StoredLayers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.formats.idmap import Owners
    from layerfs.formats.reference import Reference
    from layerfs.formats.whiteouts import Dialect
    from layerfs.hostdir import HostDir
    from layerfs.model import Named
    from layerfs.tree.source import LayerSource
    from layerfs.tree.union import UnionTree

__all__ = ["DEFAULT_ROOT", "DIRECTORY_HALF", "HALVES", "IMAGE_HALF", "DataRoot"]

DEFAULT_ROOT = "/var/lib/docker"

_log = logging.getLogger(__name__)


class DataRoot(StoredLayers):
    """An overlay2 data root: live, copied, relocated, read-only, or damaged; never written to.

    Attributes:
        path: where it was opened, as given (below it where an evidence tree was given).
        bare: its layers that have no record in `layerdb`.
    """

    def __init__(self, directory: HostDir, metadata: Metadata = Metadata.AUTO, userns: str = "auto") -> None:
        """Read the data root open as `directory`; see `open`."""
        self.path = directory.display
        super().__init__(directory)
        self.distribution = Distribution(self.driver_dir)
        self._mounts = Mounts(self.layerdb, self.overlay2, self.records)
        self._stacker = Stacker(directory, self.layerdb, self.overlay2, self.records, metadata, userns)
        self._images: dict[ImageID, Image | None] = {}
        self._containers: dict[ContainerID, Container] = {}
        self.bare = BareLayers(self)
        self.names = Names(self, LayerNames(self.bare.and_known, self.overlay2, self.distribution))

    @classmethod
    def open(
        cls, path: str | Path = DEFAULT_ROOT, *, metadata: str = Metadata.AUTO, userns: str = "auto"
    ) -> Self:
        """Open a data root, or the one below an evidence tree (`<path>/var/lib/docker`).

        Args:
            path: where it is.
            metadata: where the attributes of files come from: `disk`, or `tar-split`, the archives
                of their layers; `auto` asks the archives of a copy that lost attributes.
            userns: the user namespace of the engine, in the words of `formats.idmap.parse_owners`, or
                `auto` to find it.

        Raises:
            DataRootError: with what the directory is instead, and what to do.
            FormatError: `userns` is no map.
        """
        return cls(open_data_root(path), Metadata(metadata), userns)

    # -- images --------------------------------------------------------------------------------

    @functools.cached_property
    def repositories(self) -> Repositories:
        """The names in repositories.json, in Docker's normal form; empty where it is damaged."""
        try:
            return read_repositories(self.driver_dir)
        except CorruptStore as error:
            self.report(error)
            return Repositories()

    @functools.cached_property
    def _references(self) -> Mapping[ImageID, tuple[Reference, ...]]:
        by_image: dict[ImageID, list[Reference]] = {}
        for row in self.repositories.rows:
            by_image.setdefault(row.image_id, []).append(row.reference)
        return {image: tuple(sorted(names, key=str)) for image, names in by_image.items()}

    def image_ids(self) -> list[ImageID]:
        """Every image that there is a config or a name of, sorted: one with a name only lost its config."""
        return sorted({*self.imagedb.image_ids(), *self._references})

    def images(self) -> list[Image]:
        """Every sound image, newest first; damaged and lost ones are reported and left out."""
        found = [self.load_image(image_id) for image_id in self.image_ids()]
        return sorted(
            (image for image in found if image),
            key=lambda image: (image.config.created_ns is None, -(image.config.created_ns or 0), image.id),
        )

    def load_image(self, image_id: ImageID) -> Image | None:
        """The image of this ID, or None where it is missing or damaged (then reported)."""
        if image_id not in self._images:
            try:
                self._images[image_id] = self.read_image(image_id)
            except CorruptStore as error:
                self.report(error)
                self._images[image_id] = None
        return self._images[image_id]

    def read_image(self, image_id: ImageID) -> Image:
        """The image of this ID; raises `CorruptStore`."""
        config = self.imagedb.config(image_id)
        parent = None
        try:
            parent = self.imagedb.parent(image_id)
        except CorruptStore as error:
            self.report(error)
        return Image(image_id, self._references.get(image_id, ()), config, parent)

    def image(self, name: str) -> Image:
        """The image that Docker would mean by `name`: a reference, an ID, or a prefix of one.

        Raises:
            ImageNotFound, AmbiguousName, InvalidReference: as `naming` has it.
            CorruptStore: it is the image meant, but its config is damaged.
        """
        return self.names.image(name)

    def chain(self, image: Image, up_to: int | None = None) -> tuple[Layer, ...]:
        """The image's layers, base first, or the lowest `up_to` of them; raises `CorruptStore`."""
        return tuple(self.record(chain) for chain in image.chain[:up_to])

    def size(self, image: Image) -> int | None:
        """The image's size in bytes as Docker adds it up, or None where that of a layer is not known."""
        return added_up([self.layer_size(chain) for chain in image.chain])

    # -- layers --------------------------------------------------------------------------------

    def layer(self, name: str) -> Layer | BareLayer:
        """The layer called by its chain ID, diff ID, cache ID, short link, blob, or a prefix of one."""
        return self.names.layer(name)

    # -- containers ----------------------------------------------------------------------------

    @functools.cached_property
    def _container_ids(self) -> Sequence[ContainerID]:
        return list(dict.fromkeys([*self.containerdb.container_ids(), *self.layerdb.container_ids()]))

    def containers(self) -> list[Container]:
        """Every container, newest first; also those of which only the config or the layers are left."""
        return sorted(
            map(self.load_container, self._container_ids),
            key=lambda item: (-((item.config and item.config.created_ns) or 0), item.id),
        )

    def container_names(self) -> dict[ContainerID, str | None]:
        """The name of every container, None where it cannot be read; what is damaged is not reported."""
        found: dict[ContainerID, str | None] = {}
        for container_id in self._container_ids:
            try:
                found[container_id] = self.containerdb.config(container_id).name
            except CorruptStore:
                found[container_id] = None
        return found

    def load_container(self, container_id: ContainerID) -> Container:
        """The container of this ID, as far as it can be read; defects are reported."""
        found = self._containers.get(container_id)
        if found is None:
            found = self._containers[container_id] = self._load_container(container_id)
        return found

    def _load_container(self, container_id: ContainerID) -> Container:
        config = mount = None
        try:
            config = self.containerdb.config(container_id)
        except CorruptStore as error:
            self.report(error)
        if IMAGE_HALF in self.gone:  # reported once, for all
            return Container(container_id, config, None)
        try:
            mount = self._mounts.of(container_id, lambda: self._top_of(config), self.report)
        except CorruptStore as error:
            self.report(error)
        return Container(container_id, config, mount)

    def _top_of(self, config: ContainerConfig | None) -> ChainID | None:
        """The uppermost layer of the image that a container was made from, while that is known."""
        try:
            image_id = ImageID(config.image_id) if config else None
        except InvalidID:
            return None
        image = self.load_image(image_id) if image_id and image_id in self.imagedb else None
        return image.chain[-1] if image and image.chain else None

    def container(self, name: str) -> Container:
        """The container of this ID, name, or unique ID prefix."""
        return self.names.container(name)

    # -- trees ---------------------------------------------------------------------------------

    def find(self, name: str) -> Named:
        """What `name` means, as `naming` has it."""
        return self.names.anything(name)

    def tree(self, subject: Named, *, up_to: int | None = None) -> UnionTree:
        """The tree of an image, a container, or a single layer (as it is on disk, or was).

        Args:
            subject: what to show.
            up_to: for an image, show it as of its layer of this number (1 is the base).

        Raises:
            CorruptStore: a layer that is needed is missing or damaged.
            LayerNotFound: there is no layer of that number.
            StoreGone: there is no `overlay2/`.
        """
        self.require(DIRECTORY_HALF)
        if isinstance(subject, Layer):
            return self._stacker.alone(subject)
        if isinstance(subject, BareLayer):
            return self.raw_tree(subject.cache_id)
        if isinstance(subject, Container):
            return self._container_tree(subject)
        chain = self.chain(subject, None if up_to is None else self.layer_number(subject, up_to))
        self._report_inconsistencies([record.cache_id for record in reversed(chain)])
        return self._stacker.union(chain)

    def source(self, layer: Layer | CacheID) -> LayerSource:
        """A layer, or a directory of `overlay2/` that is none, by itself as overlayfs reads it.

        Raises:
            CorruptStore: its directory is missing or is none.
            StoreGone: there is no `overlay2/`.
        """
        self.require(DIRECTORY_HALF)
        return self._stacker.source(layer)

    def raw_tree(self, cache_id: CacheID) -> UnionTree:
        """A directory of `overlay2/` as it is on disk, a container's own layer too; raises `CorruptStore`."""
        return self._stacker.on_disk(cache_id)

    @property
    def dialect(self) -> Dialect:
        """Which extended attributes are overlayfs's own in this root."""
        return self._stacker.dialect

    @property
    def owners(self) -> Owners:
        """The user namespace of the root's engine; trees show its numbers."""
        return self._stacker.owners

    def archive(self, layer: Layer) -> LayerArchive:
        """The tar that a layer was registered from; raises `CorruptStore` where its directory is missing."""
        self.require(DIRECTORY_HALF)
        return LayerArchive(layer.chain_id, self.layerdb, self.overlay2.diff(layer.cache_id))

    def tree_below(self, top: Layer | BareLayer) -> UnionTree:
        """The union of a layer and of all below it by the store's own records; raises `CorruptStore`."""
        bare, chain = (
            self.bare.stack(top) if isinstance(top, BareLayer) else ([], self.chain_below(top.chain_id))
        )
        self._report_inconsistencies([*bare, *(record.cache_id for record in reversed(chain))])
        return self._stacker.union(chain, bare)

    def layer_number(self, image: Image, number: int) -> int:
        """`number`, if the image has a layer of that number (1 is the base); raises `LayerNotFound`."""
        depth = len(image.config.diff_ids)
        if not 1 <= number <= depth:
            raise LayerNotFound(
                f"{image.name} has no layer {number}",
                hint=f"its layers are numbered 1 (base) to {depth} (top)" if depth else "it has no layers",
            )
        return number

    def _container_tree(self, container: Container) -> UnionTree:
        mount = container.mount
        if mount is None:
            self.require(IMAGE_HALF)
            path = self.layerdb.mount_name(container.id)
            raise MissingFile(path, f"the layers of container {container.name} are not known")
        above = [mount.mount_id, *([mount.init_id] if mount.init_id else [])]
        below = self.stack_of_mount(mount)
        self._report_inconsistencies([*above, *map(directory_of, reversed(below))])
        return self._stacker.union(below, above)

    def _report_inconsistencies(self, stack: list[CacheID]) -> None:
        for problem in self.overlay2.inconsistencies(stack, self.records.directories.link):
            self.report(problem)
