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
from layerfs.errors import BrokenChain, CorruptStore, LayerNotFound, MissingFile, StoreGone
from layerfs.formats.repositories import Repositories
from layerfs.ids import CacheID, ChainID, ContainerID, ImageID, InvalidID
from layerfs.model import Container, Image, Layer, added_up, directory_of
from layerfs.mounts import Mounts
from layerfs.naming import Names
from layerfs.nowhere import Nowhere
from layerfs.records import Records
from layerfs.stacking import Metadata, Stacker
from layerfs.store.containers import ContainerDB
from layerfs.store.driver import DIRECTORY_HALF, HALVES, IMAGE_HALF, lacking, open_data_root
from layerfs.store.imagedb import ImageDB
from layerfs.store.layerdb import LayerDB, LayerRecord
from layerfs.store.overlay2 import Overlay2
from layerfs.store.refstore import read_repositories

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.formats.reference import Reference
    from layerfs.formats.whiteouts import Dialect
    from layerfs.hostdir import HostDir
    from layerfs.ids import LinkID
    from layerfs.store.layerdb import MountRecord
    from layerfs.tree.source import LayerSource
    from layerfs.tree.union import UnionTree

__all__ = ["DEFAULT_ROOT", "DIRECTORY_HALF", "HALVES", "IMAGE_HALF", "DataRoot"]

DEFAULT_ROOT = "/var/lib/docker"

_log = logging.getLogger(__name__)


class DataRoot:
    """An overlay2 data root: live, copied, relocated, read-only, or damaged; never written to.

    Attributes:
        path: where it was opened, as given (below it where an evidence tree was given).
        directory: the data root itself.
        driver_dir: its `image/overlay2/`; an empty place where that is gone.
        gone: the halves of the store that are not there, or cannot be read: what they hold is not known.
        damage: every defect met so far, in order.
    """

    def __init__(self, directory: HostDir, metadata: Metadata = Metadata.AUTO) -> None:
        """Read the data root open as `directory`; see `open`."""
        self.path = directory.display
        self.damage: list[CorruptStore] = []
        self._reported: set[str] = set()
        self.directory = directory
        self.gone = {half: problem for half in HALVES if (problem := lacking(directory, half))}
        is_there = IMAGE_HALF not in self.gone
        self.driver_dir = directory.subdir(IMAGE_HALF) if is_there else Nowhere(directory)
        self.imagedb = ImageDB(self.driver_dir)
        self.layerdb = LayerDB(self.driver_dir)
        self.overlay2 = Overlay2(directory)
        self.containerdb = ContainerDB(directory)
        self.records = Records(self.driver_dir, self.imagedb, self.layerdb, self.overlay2)
        self._mounts = Mounts(self.layerdb, self.overlay2, self.records)
        self._stacker = Stacker(directory, self.layerdb, self.overlay2, self.records, metadata)
        self._images: dict[ImageID, Image | None] = {}
        self.names = Names(self)
        self._report_parts()

    @classmethod
    def open(cls, path: str | Path = DEFAULT_ROOT, *, metadata: str = Metadata.AUTO) -> Self:
        """Open a data root, or the one below an evidence tree (`<path>/var/lib/docker`).

        Args:
            path: where it is.
            metadata: where the attributes of files come from: `disk`, or `tar-split`, the archives
                of their layers; `auto` asks the archives of a copy that lost attributes.

        Raises:
            DataRootError: with what the directory is instead, and what to do.
        """
        return cls(open_data_root(path), Metadata(metadata))

    @property
    def is_whole(self) -> bool:
        """Whether every part of the store is there and can be read; if not, an owner may be unknown."""
        return not self.gone and not self._part_problems()

    def _part_problems(self) -> list[CorruptStore]:
        parts = (self.imagedb, self.layerdb, self.overlay2, self.containerdb)
        return [problem for part in parts for problem in part.problems]

    def _report_parts(self) -> None:
        for problem in (*self.gone.values(), *self._part_problems()):
            self.report(problem)

    def require(self, *halves: str) -> None:
        """Raise `StoreGone` where one of these halves of the store is not there: nothing can be answered."""
        for half in halves:
            if half in self.gone:
                raise StoreGone(self.gone[half])

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

    def images(self) -> list[Image]:
        """Every sound image, newest first; damaged ones are reported and left out."""
        found = [self.load_image(image_id) for image_id in self.imagedb.image_ids()]
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

    def layers(self) -> list[Layer]:
        """Every sound layer, by chain ID; damaged ones are reported and left out."""
        found: list[Layer] = []
        for chain in self.layerdb.chain_ids():
            try:
                found.append(self.record(chain))
            except CorruptStore as error:
                self.report(error)
        return found

    def record(self, chain: ChainID) -> Layer:
        """The layer of this chain ID, as far as anything tells of it; what was made good is reported.

        Raises:
            CorruptStore: nothing tells where it is, or what it is made of.
        """
        try:
            return self.records.layer(chain)
        finally:
            self._report_notes(chain)

    def link(self, cache_id: CacheID) -> LinkID | None:
        """A directory's short name, also where its `link` is missing or wrong; defects are reported."""
        found, noted, problem = self.records.directories.link(cache_id), None, None
        path = f"{self.overlay2.path_of(cache_id)}/link"
        try:
            noted = self.overlay2.link(cache_id)
        except CorruptStore as error:
            problem = error
        if problem is None and noted is None:
            problem = MissingFile(path, "the file is missing")
        elif problem is None and noted != found:
            problem = BrokenChain(path, "not the directory's short name", expected=found, found=noted)
        if problem:
            self.report(problem.instead(f"l/{found} is used, which leads there") if found else problem)
        return found

    def layer_size(self, chain: ChainID) -> int | None:
        """A layer's size in bytes, also where nothing tells its directory; None where it is not known."""
        try:
            return self.records.size(chain)
        finally:
            self._report_notes(chain)

    def _report_notes(self, chain: ChainID) -> None:
        for problem in self.records.notes(chain):
            self.report(problem)

    def layer(self, name: str) -> Layer:
        """The layer called by its chain ID, diff ID, cache ID, short link, or a prefix of one."""
        return self.names.layer(name)

    def chain_below(self, top: ChainID) -> tuple[Layer, ...]:
        """The chain that ends in `top`, base first; raises `CorruptStore` as `record`."""
        records: list[Layer] = []
        at: ChainID | None = top
        while at is not None:  # ends: a chain ID is a hash of the one below
            records.append(self.record(at))
            at = records[-1].parent
        return tuple(reversed(records))

    # -- containers ----------------------------------------------------------------------------

    @functools.cached_property
    def _containers(self) -> dict[ContainerID, Container]:
        known = dict.fromkeys([*self.containerdb.container_ids(), *self.layerdb.container_ids()])
        return {container_id: self._load_container(container_id) for container_id in known}

    def containers(self) -> list[Container]:
        """Every container, newest first; also those of which only the config or the layers are left."""
        return sorted(
            self._containers.values(),
            key=lambda item: (-((item.config and item.config.created_ns) or 0), item.id),
        )

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

    def find(self, name: str) -> Image | Container | Layer:
        """What `name` means: an image first, then a container, then a layer."""
        return self.names.anything(name)

    def tree(self, subject: Image | Container | Layer, *, up_to: int | None = None) -> UnionTree:
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

    def archive(self, layer: Layer) -> LayerArchive:
        """The tar that a layer was registered from; raises `CorruptStore` where its directory is missing."""
        self.require(DIRECTORY_HALF)
        return LayerArchive(layer.chain_id, self.layerdb, self.overlay2.diff(layer.cache_id))

    def tree_below(self, top: Layer) -> UnionTree:
        """The union of a layer and of all below it by the store's own records; raises `CorruptStore`."""
        chain = self.chain_below(top.chain_id)
        self._report_inconsistencies([record.cache_id for record in reversed(chain)])
        return self._stacker.union(chain)

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

    def stack_of_mount(self, mount: MountRecord) -> tuple[Layer | CacheID, ...]:
        """What is below a container's own layers, base first: layers, or directories of unknown ones.

        Raises:
            CorruptStore: a layer is not known, and the container's own `lower` does not tell either.
        """
        if mount.below is None:
            return self.chain_below(mount.parent) if mount.parent else ()
        return tuple(self._layer_in(cache_id) or cache_id for cache_id in mount.below)

    def _layer_in(self, cache_id: CacheID) -> Layer | None:
        """The layer that has a directory, where its record tells that much."""
        for claimant in self.records.directories.claims.get(cache_id, ()):
            try:
                layer = self.record(claimant) if isinstance(claimant, ChainID) else None
            except CorruptStore as error:
                self.report(error)
                continue
            if layer and layer.cache_id == cache_id:
                return layer
        return None

    def chain_of_mount(self, mount: MountRecord) -> tuple[Layer, ...]:
        """The image layers below a container, base first; raises `CorruptStore` where one is not known."""
        below = self.stack_of_mount(mount)
        layers = tuple(item for item in below if isinstance(item, LayerRecord))
        if len(layers) < len(below):
            path = self.layerdb.mount_name(mount.container_id, "parent")
            raise BrokenChain(path, "only the directories of the layers below are known")
        return layers

    def _report_inconsistencies(self, stack: list[CacheID]) -> None:
        for problem in self.overlay2.inconsistencies(stack, self.records.directories.link):
            self.report(problem)

    # -- damage --------------------------------------------------------------------------------

    def report(self, problem: CorruptStore) -> None:
        """Note a defect that does not stop the answer, and log it once."""
        if str(problem) not in self._reported:
            self._reported.add(str(problem))
            self.damage.append(problem.again())
            _log.warning("%s", problem, extra={"damage": True})
