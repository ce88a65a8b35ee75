"""The layers of a data root, and what is wrong with them: what is made good or left out is reported, once.

The part of `DataRoot` that knows no tree.
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
from layerfs.stores.docker.driver import DIRECTORY_HALF, HALVES, IMAGE_HALF, lacking
from layerfs.stores.docker.imagedb import ImageDB
from layerfs.stores.docker.layerdb import LayerDB, LayerRecord
from layerfs.stores.docker.nowhere import Nowhere
from layerfs.stores.docker.overlay2 import MAX_STACK, Overlay2
from layerfs.stores.docker.records import Records

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from layerfs.formats.jsontext import Json
    from layerfs.hostdir import HostDir
    from layerfs.ids import ContainerID, LinkID
    from layerfs.model import Container, Image
    from layerfs.stores.docker.layerdb import MountRecord

__all__ = ["StoredLayers"]

_HALVES = {RECORDS: IMAGE_HALF, FILES: DIRECTORY_HALF}


class StoredLayers(Store):
    """What the store tells of its layers.

    Attributes:
        directory: the data root itself.
        bolt_state: which state of its bolt databases is read; as of `read_boltfile`.
        driver_dir: its `image/overlay2/`; an empty place where that is gone.
        gone: the parts of the store that are not there, or cannot be read: what they hold is not known.
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
        """Whether every part of the store is there and can be read; if not, an owner may be unknown."""
        return not self.part_problems

    @functools.cached_property
    def part_problems(self) -> Sequence[CorruptStore]:
        """Why parts of the store are not there, or cannot be read."""
        parts = (self.imagedb, self.layerdb, self.overlay2, self.containerdb)
        found = [*self.gone.values(), *(problem for part in parts for problem in part.problems)]
        if not found and self.layerdb.chain_ids() and (missing := self.imagedb.missing()):
            found.append(missing)  # a store without layers may have had no images
        return found

    def _report_parts(self) -> None:
        for problem in self.part_problems:
            self.report(problem)

    def require(self, *parts: str) -> None:
        """Raise `StoreGone` where one of these parts of the store is not there: nothing can be answered."""
        for part in parts:
            if self.lacks(part):
                raise StoreGone(self.gone[_HALVES[part]])

    def lacks(self, part: str) -> bool:
        """Whether a part is not there at all; that was reported then."""
        return _HALVES[part] in self.gone

    def lost_name(self, name: str, kinds: Sequence[str]) -> NameLost | None:
        """Names of images and layers are in `image/`, those of containers are not."""
        unknown = [kind for kind in kinds if kind != "container"]
        return NameLost(self.gone[IMAGE_HALF], name, unknown) if unknown and self.lacks(RECORDS) else None

    # -- what there is ------------------------------------------------------------------------

    def image_ids(self, beginning: str = "") -> list[ImageID]:
        """Every image, sound or not, whose digits begin so; sorted."""
        return self.imagedb.ids_beginning(beginning) if beginning else self.imagedb.image_ids()

    def has_image(self, image_id: ImageID) -> bool:
        """Whether there is an image of this ID, sound or not."""
        return image_id in self.imagedb

    def config_bytes(self, image: Image) -> bytes:
        """The config of an image, byte for byte; raises `CorruptStore`."""
        return self.imagedb.config_bytes(image.id)

    def last_tagged(self, image: Image) -> str | None:
        """When an image was last tagged, as Docker writes a time; None where that is damaged (reported)."""
        return attempt(self.report, lambda: self.imagedb.last_updated(image.id))

    def record_name(self, of: ImageID | ChainID | ContainerID) -> str:
        """The file that tells of an image, the record of a layer, what is noted of a container's layers."""
        if isinstance(of, ImageID):
            return self.imagedb.file_name(of)
        return self.layerdb.file_name(of) if isinstance(of, ChainID) else self.layerdb.mount_name(of)

    def chain_ids(self) -> list[ChainID]:
        """Every layer with a record, sound or not; sorted."""
        return self.layerdb.chain_ids()

    def place_of_chain(self, chain: ChainID) -> CacheID | None:
        """The directory of a layer as far as anything tells it, also where its record is damaged."""
        directory = self.records.directories.of(chain)
        return directory.cache_id if directory else None

    def places(self) -> list[CacheID]:
        """Every layer directory, sorted."""
        return self.overlay2.cache_ids()

    def has_place(self, place: str) -> bool:
        """Whether there is a directory of this name."""
        return CacheID(place) in self.overlay2

    def host_config(self, container: Container) -> Json | None:
        """What a container asks of the host; None where that is missing or damaged (reported)."""
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

    def chain_below(self, top: ChainID, until: Collection[ChainID] = ()) -> tuple[LayerRecord, ...]:
        """The chain that ends in `top`, base first.

        Args:
            top: the uppermost layer.
            until: layers at which to stop: neither they nor those below them are looked at.

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
            # what stands on these ends here too: many layers on a damaged one are each looked at once
            self._unsound.update(dict.fromkeys((record.chain_id for record in records), error.again()))
            raise

    def _sound_record(self, chain: ChainID) -> LayerRecord:
        """As `record`; raises also what a walk over the layer met below it."""
        if chain in self._unsound:
            raise self._unsound[chain].again()
        return self.record(chain)

    def _too_deep(self, record: LayerRecord) -> BrokenChain:
        name = self.layerdb.file_name(record.chain_id, "parent")
        return BrokenChain(name, "more layers than overlayfs can stack", expected=f"at most {MAX_STACK}")

    def stack_of_mount(self, mount: MountRecord) -> tuple[LayerRecord | CacheID, ...]:
        """What is below a container's own layers, base first: layers, or directories of unknown ones.

        Raises:
            CorruptStore: a layer is not known, and the container's own `lower` does not tell either.
        """
        if mount.below is None:
            return self.chain_below(mount.parent) if mount.parent else ()
        return tuple(self._layer_in(cache_id) or cache_id for cache_id in mount.below)

    def _layer_in(self, cache_id: CacheID) -> LayerRecord | None:
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

    def chain_of_mount(self, mount: MountRecord) -> tuple[LayerRecord, ...]:
        """The image layers below a container, base first; raises `CorruptStore` where one is not known."""
        below = self.stack_of_mount(mount)
        layers = tuple(item for item in below if isinstance(item, LayerRecord))
        if len(layers) < len(below):
            path = self.layerdb.mount_name(mount.container_id, "parent")
            if self.lacks(RECORDS):  # the same for every container
                path = self.directory.name_of(DIRECTORY_HALF)
            raise BrokenChain(path, "only the directories of the layers below are known")
        return layers
