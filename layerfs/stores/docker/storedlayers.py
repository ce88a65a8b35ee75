"""The images and layers of a data root; damage that is repaired or left out is reported once.

This is the part of `DataRoot` that makes no trees.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.damage import attempt
from layerfs.errors import BrokenChain, CorruptStore, MissingFile, NameLost, StoreGone
from layerfs.ids import CacheID, ChainID, ImageID
from layerfs.layerchain import walk_down
from layerfs.store import FILES, RECORDS, Store
from layerfs.stores.docker.containers import ContainerDB
from layerfs.stores.docker.driver import DIRECTORY_HALF, DRIVER, HALVES, IMAGE_HALF, lacking
from layerfs.stores.docker.imagedb import ImageDB
from layerfs.stores.docker.layerdb import LayerDB, LayerRecord
from layerfs.stores.docker.nowhere import Nowhere
from layerfs.stores.docker.overlay2 import MAX_STACK, Overlay2
from layerfs.stores.docker.records import Records

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from layerfs.formats.jsontext import Json
    from layerfs.hostdir import HostDir
    from layerfs.ids import ContainerID, LinkID
    from layerfs.model import Container, Image
    from layerfs.stores.docker.layerdb import MountRecord

__all__ = ["StoredLayers"]

_HALVES = {RECORDS: IMAGE_HALF, FILES: DIRECTORY_HALF}


class StoredLayers(Store):
    """The images and layers of one data root.

    Attributes:
        directory: the data root itself.
        bolt_state: the state of its bolt databases to read, as for `read_boltfile`.
        driver_dir: its `image/overlay2/`; a `Nowhere` if that is gone.
        gone: the parts of the store that are missing, or cannot be read.
        damage: every defect met so far, in order.
    """

    def __init__(self, directory: HostDir, bolt_state: str) -> None:
        """Read the store of the data root open as `directory`."""
        super().__init__(directory.display)
        self.bolt_state = bolt_state
        self.directory = directory
        self.gone = {half: problem for half in HALVES if (problem := lacking(directory, half))}
        is_there = IMAGE_HALF not in self.gone
        self.driver_dir = directory.subdir(IMAGE_HALF) if is_there else Nowhere(directory)
        self.imagedb = ImageDB(self.driver_dir)
        self.layerdb = LayerDB(self.driver_dir)
        self.overlay2 = Overlay2(directory)
        self.containerdb = ContainerDB(directory)
        self.records = Records(self.driver_dir, self.imagedb, self.layerdb, self.overlay2)
        self._unsound: dict[ChainID, CorruptStore] = {}
        self._report_parts()

    @property
    def is_whole(self) -> bool:
        """Whether every part of the store can be read; if not, owners of something may be unknown."""
        return not self.part_problems

    @functools.cached_property
    def part_problems(self) -> Sequence[CorruptStore]:
        """The errors of parts of the store that are missing, or cannot be read."""
        parts = (self.imagedb, self.layerdb, self.overlay2, self.containerdb)
        found = [*self.gone.values(), *(problem for part in parts for problem in part.problems)]
        if not found and self.layerdb.chain_ids() and (missing := self.imagedb.missing()):
            found.append(missing)  # a store without layers may never have had images
        return found

    def _report_parts(self) -> None:
        for problem in self.part_problems:
            self.report(problem)

    def require(self, *parts: str) -> None:
        """Raise `StoreGone` if one of these parts of the store is missing."""
        for part in parts:
            if self.lacks(part):
                raise StoreGone(self.gone[_HALVES[part]])

    def lacks(self, part: str) -> bool:
        """Whether a part is missing, which was reported."""
        return _HALVES[part] in self.gone

    def lost_name(self, name: str, kinds: Sequence[str]) -> NameLost | None:
        """The error for a name of a missing part: names of images and layers are in `image/`."""
        unknown = [kind for kind in kinds if kind != "container"]
        return NameLost(self.gone[IMAGE_HALF], name, unknown) if unknown and self.lacks(RECORDS) else None

    # -- what there is ------------------------------------------------------------------------

    def image_ids(self, beginning: str = "") -> list[ImageID]:
        """The IDs of all images, sound or not, whose digits begin with `beginning`; sorted."""
        return self.imagedb.ids_beginning(beginning) if beginning else self.imagedb.image_ids()

    def has_image(self, image_id: ImageID) -> bool:
        """Whether there is an image of this ID, sound or not."""
        return image_id in self.imagedb

    def config_bytes(self, image: Image) -> bytes:
        """The config of an image, byte for byte; raises `CorruptStore`."""
        return self.imagedb.config_bytes(image.id)

    def last_tagged(self, image: Image) -> str | None:
        """When an image was last tagged, in Docker's form; None if that is damaged (reported)."""
        return attempt(self.report, lambda: self.imagedb.last_updated(image.id))

    def record_name(self, of: ImageID | ChainID | ContainerID) -> str:
        """The path of an image's config, a layer's record, or a container's mount record, for messages."""
        if isinstance(of, ImageID):
            return self.imagedb.file_name(of)
        return self.layerdb.file_name(of) if isinstance(of, ChainID) else self.layerdb.mount_name(of)

    def chain_ids(self) -> list[ChainID]:
        """The chain IDs of all records, sound or not; sorted."""
        return self.layerdb.chain_ids()

    def place_of_chain(self, chain: ChainID) -> CacheID | None:
        """The directory of a layer, also with a damaged record; None if it is not known."""
        directory = self.records.directories.of(chain)
        return directory.cache_id if directory else None

    def places(self) -> list[CacheID]:
        """Every layer directory, sorted."""
        return self.overlay2.cache_ids()

    def has_place(self, place: str) -> bool:
        """Whether there is a directory of this name."""
        return CacheID(place) in self.overlay2

    def place_path(self, place: str) -> str:
        """Where a layer's directory lies, below the data root."""
        return f"{DRIVER}/{place}"

    def files_path(self, place: str) -> str:
        """Where the files of a layer lie, below the data root."""
        return f"{self.place_path(place)}/diff"

    def stack_paths(self, places: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """The paths of a stack, uppermost first, as in `GraphDriver` of `docker inspect`."""
        top = self.place_path(places[0])
        lower = list(map(self.files_path, places[1:]))
        found = {"LowerDir": lower} if lower else {}
        upper = self.files_path(places[0])
        return {**found, "MergedDir": [f"{top}/merged"], "UpperDir": [upper], "WorkDir": [f"{top}/work"]}

    def host_config(self, container: Container) -> Json | None:
        """The host config of a container; None if it is missing or damaged (reported)."""
        try:
            if (found := self.containerdb.host_config(container.id)) is not None:
                return found
            raise MissingFile(self.containerdb.host_config_name(container.id), "the file is missing")
        except CorruptStore as error:
            self.report(error)
            return None

    # -- layers --------------------------------------------------------------------------------

    def layers(self) -> list[LayerRecord]:
        """Every sound layer, by chain ID; damaged ones are reported and left out."""
        found: list[LayerRecord] = []
        for chain in self.layerdb.chain_ids():
            try:
                found.append(self.record(chain))
            except CorruptStore as error:
                self.report(error)
        return found

    def record(self, chain: ChainID) -> LayerRecord:
        """The layer of this chain ID; damage that could be repaired is reported.

        Raises:
            CorruptStore: its directory, or the parts of its chain ID, are not known.
        """
        try:
            return self.records.layer(chain)
        finally:
            self._report_notes(chain)

    def link(self, cache_id: CacheID) -> LinkID | None:
        """A directory's short name, also if its `link` is missing or wrong; defects are reported."""
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
        """A layer's size in bytes, also if its directory is not known; None if the size is not."""
        try:
            return self.records.size(chain)
        finally:
            self._report_notes(chain)

    def _report_notes(self, chain: ChainID) -> None:
        for problem in self.records.notes(chain):
            self.report(problem)

    def chain_below(self, top: ChainID, until: Collection[ChainID] = ()) -> tuple[LayerRecord, ...]:
        """The chain that ends in `top`, base first.

        Args:
            top: the uppermost layer.
            until: layers at which to stop; they and those below them are not read.

        Raises:
            CorruptStore: as `record`, or there are more layers than overlayfs can stack.
        """
        records: list[LayerRecord] = []
        try:
            for record in walk_down(top, self._sound_record, until):
                if len(records) == MAX_STACK:
                    raise self._too_deep(records[-1])
                records.append(record)
            return self.whole_chain(records)
        except CorruptStore as error:
            # so many layers on a damaged one are each read only once
            self._unsound.update(dict.fromkeys((record.chain_id for record in records), error.again()))
            raise

    def _sound_record(self, chain: ChainID) -> LayerRecord:
        """As `record`; also raises the error that a walk met below the layer."""
        if chain in self._unsound:
            raise self._unsound[chain].again()
        return self.record(chain)

    def _too_deep(self, record: LayerRecord) -> BrokenChain:
        name = self.layerdb.file_name(record.chain_id, "parent")
        return BrokenChain(name, "more layers than overlayfs can stack", expected=f"at most {MAX_STACK}")

    def stack_of_mount(self, mount: MountRecord) -> tuple[LayerRecord | CacheID, ...]:
        """The layers below a container's own ones, base first; for an unknown layer its directory.

        Raises:
            CorruptStore: a layer is not known, also not by the container's own `lower`.
        """
        if mount.below is None:
            return self.chain_below(mount.parent) if mount.parent else ()
        return tuple(self._layer_in(cache_id) or cache_id for cache_id in mount.below)

    def _layer_in(self, cache_id: CacheID) -> LayerRecord | None:
        """The layer with a directory, if its record is readable."""
        for claimant in self.records.directories.claims.get(cache_id, ()):
            try:
                layer = self.record(claimant) if isinstance(claimant, ChainID) else None
            except CorruptStore as error:
                self.report(error)
                continue
            if layer and layer.cache_id == cache_id:
                return layer
        return None

    def chain_of_mount(self, mount: MountRecord) -> tuple[LayerRecord, ...]:
        """The image layers below a container, base first; raises `CorruptStore` if one is not known."""
        below = self.stack_of_mount(mount)
        layers = tuple(item for item in below if isinstance(item, LayerRecord))
        if len(layers) < len(below):
            path = self.layerdb.mount_name(mount.container_id, "parent")
            if self.lacks(RECORDS):  # once for all containers
                path = self.directory.name_of(DIRECTORY_HALF)
            raise BrokenChain(path, "only the directories of the layers below are known")
        return layers
