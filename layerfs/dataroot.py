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
from layerfs.errors import BrokenChain, CorruptStore, DataRootUnreadable, LayerNotFound, MissingFile
from layerfs.formats.repositories import Repositories
from layerfs.ids import CacheID, ChainID, ContainerID, ImageID, chain_id
from layerfs.layernames import LayerNames
from layerfs.model import BareLayer, Container, Image, Layer
from layerfs.naming import Names
from layerfs.stacking import Metadata, Stacker
from layerfs.store.containers import ContainerDB
from layerfs.store.distribution import Distribution
from layerfs.store.driver import DRIVER, open_data_root
from layerfs.store.files import open_optional
from layerfs.store.imagedb import ImageDB
from layerfs.store.layerdb import LayerDB
from layerfs.store.overlay2 import MAX_STACK, Overlay2
from layerfs.store.refstore import read_repositories

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from layerfs.formats.idmap import Owners
    from layerfs.formats.reference import Reference
    from layerfs.formats.whiteouts import Dialect
    from layerfs.hostdir import HostDir
    from layerfs.model import Named
    from layerfs.store.files import Problem
    from layerfs.store.layerdb import MountRecord
    from layerfs.tree.source import LayerSource
    from layerfs.tree.union import UnionTree

__all__ = ["DEFAULT_ROOT", "DataRoot"]

DEFAULT_ROOT = "/var/lib/docker"

_log = logging.getLogger(__name__)


class DataRoot:
    """An overlay2 data root: live, copied, relocated, read-only, or damaged; never written to.

    Attributes:
        path: where it was opened, as given (below it where an evidence tree was given).
        directory: the data root itself.
        driver_dir: its `image/overlay2/`.
        bare: its layers that have no record in `layerdb`.
        damage: every defect met so far, in order.
    """

    def __init__(self, directory: HostDir, metadata: Metadata = Metadata.AUTO, userns: str = "auto") -> None:
        """Read the data root open as `directory`; see `open`."""
        self.path = directory.display
        self.damage: list[Problem] = []
        self._reported: set[str] = set()
        driver_dir = open_optional(directory, f"image/{DRIVER}") or directory
        self.directory = directory
        self.imagedb = ImageDB(driver_dir)
        self.layerdb = LayerDB(driver_dir)
        self.overlay2 = Overlay2(directory)
        self.containerdb = ContainerDB(directory)
        self.distribution = Distribution(driver_dir)
        self.driver_dir = driver_dir
        self._stacker = Stacker(directory, self.layerdb, self.overlay2, metadata, userns)
        self._images: dict[ImageID, Image | None] = {}
        self._unsound: dict[ChainID, CorruptStore] = {}
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

    def chain(self, image: Image) -> tuple[Layer, ...]:
        """The image's layers, base first, each checked against the config; raises `CorruptStore`."""
        records: list[Layer] = []
        for diff_id, chain in zip(image.config.diff_ids, image.chain, strict=True):
            record = self.layerdb.layer(chain)
            parent = records[-1].chain_id if records else None
            if record.diff_id != diff_id:
                self.report(self._broken(record, "diff", "not the image's layer", diff_id, record.diff_id))
            if record.parent != parent:
                self.report(self._broken(record, "parent", "not the layer below", parent, record.parent))
            records.append(record)
        return tuple(records)

    def size(self, image: Image) -> int | None:
        """The image's size in bytes as Docker adds it up, or None where a layer is damaged."""
        try:
            return sum(record.size for record in self.chain(image))
        except CorruptStore as error:
            self.report(error)
            return None

    # -- layers --------------------------------------------------------------------------------

    def layers(self) -> list[Layer]:
        """Every sound layer, by chain ID; damaged ones are reported and left out."""
        found: list[Layer] = []
        for chain in self.layerdb.chain_ids():
            try:
                found.append(self.layerdb.layer(chain))
            except CorruptStore as error:
                self.report(error)
        return found

    def layer(self, name: str) -> Layer | BareLayer:
        """The layer called by its chain ID, diff ID, cache ID, short link, blob, or a prefix of one."""
        return self.names.layer(name)

    def chain_below(self, top: ChainID, until: Collection[ChainID] = ()) -> tuple[Layer, ...]:
        """The chain that ends in `top`, base first, by the store's own `parent` files.

        Args:
            top: the uppermost layer.
            until: layers at which to stop: neither they nor those below them are looked at.

        Raises:
            CorruptStore: a layer is damaged, or the chain IDs do not add up.
        """
        records: list[Layer] = []
        at: ChainID | None = top
        try:
            while at is not None:
                if at in self._unsound:
                    raise self._unsound[at].with_traceback(None)
                if at in until:
                    break
                if len(records) == MAX_STACK:
                    raise self._too_deep(records[-1])
                records.append(self._checked(at))
                at = records[-1].parent
        except CorruptStore as error:
            # what stands on these ends here too: many layers on a damaged one are each looked at once
            self._unsound.update(dict.fromkeys((record.chain_id for record in records), error))
            raise
        return tuple(reversed(records))

    def _too_deep(self, record: Layer) -> BrokenChain:
        name = self.layerdb.file_name(record.chain_id, "parent")
        return BrokenChain(name, "more layers than overlayfs can stack", expected=f"at most {MAX_STACK}")

    def _checked(self, chain: ChainID) -> Layer:
        """A layer's record, if it makes its own chain ID; raises `CorruptStore`."""
        record = self.layerdb.layer(chain)
        computed = chain_id(record.parent, record.diff_id)
        if computed != chain:
            problem = "diff and parent do not make this chain ID"
            raise self._broken(record, "parent", problem, chain, computed)
        return record

    def _broken(self, record: Layer, name: str, problem: str, expected: object, found: object) -> BrokenChain:
        return BrokenChain(
            self.layerdb.file_name(record.chain_id, name),
            problem,
            expected=str(expected or "none"),
            found=str(found or "none"),
        )

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
            except (CorruptStore, DataRootUnreadable):
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
        try:
            mount = self.layerdb.mount(container_id)
        except CorruptStore as error:
            self.report(error)
        return Container(container_id, config, mount)

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
        """
        if isinstance(subject, Layer):
            return self._stacker.alone(subject)
        if isinstance(subject, BareLayer):
            return self.raw_tree(subject.cache_id)
        if isinstance(subject, Container):
            return self._container_tree(subject)
        chain = self.chain(subject)
        if up_to is not None:
            chain = chain[: self.layer_number(subject, up_to)]
        self._report_inconsistencies([record.cache_id for record in reversed(chain)])
        return self._stacker.union(chain)

    def source(self, layer: Layer | CacheID) -> LayerSource:
        """A layer, or a directory of `overlay2/` that is none, by itself as overlayfs reads it.

        Raises:
            CorruptStore: its directory is missing or is none.
        """
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
        return LayerArchive(layer, self.layerdb, self.overlay2.diff(layer.cache_id))

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
            path = self.driver_dir.name_of(f"layerdb/mounts/{container.id}")
            raise MissingFile(path, f"the layers of container {container.name} are not known")
        above = [mount.mount_id, *([mount.init_id] if mount.init_id else [])]
        chain = self.chain_of_mount(mount)
        self._report_inconsistencies([*above, *(record.cache_id for record in reversed(chain))])
        return self._stacker.union(chain, above)

    def chain_of_mount(self, mount: MountRecord) -> tuple[Layer, ...]:
        """The image layers below a container, base first; raises `CorruptStore`."""
        return self.chain_below(mount.parent) if mount.parent else ()

    def _report_inconsistencies(self, stack: list[CacheID]) -> None:
        for problem in self.overlay2.inconsistencies(stack):
            self.report(problem)

    # -- damage --------------------------------------------------------------------------------

    def report(self, problem: Problem) -> None:
        """Note a defect that does not stop the answer, and log it once."""
        text = str(problem)
        if text not in self._reported:
            self._reported.add(text)
            self.damage.append(problem)
            _log.warning("%s", problem, extra={"damage": True})
