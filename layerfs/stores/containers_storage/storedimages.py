"""The part of a graph root that tells which images there are, and what they take."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.accounts import AccountRules, ImageParts
from layerfs.accounts import Part as Account
from layerfs.damage import attempt
from layerfs.errors import BrokenChain, CorruptStore, MissingFile, NameLost
from layerfs.formats.repositories import Repositories, RepositoryRow
from layerfs.ids import ChainID, ImageID
from layerfs.model import Blob, Image, added_up
from layerfs.store import Store
from layerfs.stores.containers_storage.ancestry import Ancestry
from layerfs.stores.containers_storage.images import Images, StorageImage
from layerfs.stores.containers_storage.layers import Layers, StorageLayer
from layerfs.stores.containers_storage.lostrecords import lost_layers
from layerfs.stores.containers_storage.names import StorageNames
from layerfs.stores.containers_storage.overlaydirs import OverlayDirs
from layerfs.stores.containers_storage.parts import Part, SplitFile
from layerfs.stores.containers_storage.sources import Sources
from layerfs.stores.layerarchive import LayerArchive
from layerfs.stores.metadata import Metadata

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from layerfs.formats.descriptors import Manifest
    from layerfs.formats.graphroot import ImageRecord, LayerRecordText
    from layerfs.formats.imageconfig import ImageConfig
    from layerfs.ids import BlobDigest, CacheID, ContainerID, DiffID
    from layerfs.model import Layer
    from layerfs.stores.containers_storage.parts import Stored
    from layerfs.stores.containers_storage.places import Opened
    from layerfs.stores.originaltar import OriginalTar

__all__ = ["StoredImages", "documents_of"]


def documents_of(image: ImageID) -> str:
    """The name of the part of an image that its documents are."""
    return f"documents of {image}"


class StoredImages(Store):
    """The images and the records of layers of one store.

    Attributes:
        directory: the graph root.
        roots: it, and the roots that it is read with, in the order in which they are looked through.
        driver: how its layers are stored.
        storage: its layers.
        dirs: the links of their directories.
    """

    kind = "containers-storage"
    place_word = "layer ID"
    has_every_layer_unpacked = True
    account_rules = AccountRules(
        every_image=True,
        every_row=True,
        every_layer=True,
        whole_image=True,
        every_use=True,
        has_cache=False,
        rounded=True,
    )

    def __init__(
        self, opened: Sequence[Opened], metadata: Metadata = Metadata.AUTO, userns: str = "auto"
    ) -> None:
        """Read a store of roots that are open, the graph root first; for the others see `Sources`."""
        own = opened[0]
        super().__init__(own.directory.display)
        self.directory = own.directory
        self.driver = own.driver
        self.roots = tuple(Part(item, self.report) for item in opened)
        self._counted: dict[str, int | None] = {}
        self._images = Images(self.roots, self._parent_of, self.report)
        self.dirs = OverlayDirs(self.roots)
        self.storage = Layers(self.roots, lambda: self._diff_ids, self._lost, self._measured, self.report)
        self._sources = Sources(self._archive_of, self.report, metadata, userns)

    @property
    def image_records(self) -> Images:
        """The records of images, and their documents."""
        return self._images

    @property
    def noun(self) -> str:
        """What to call it in a sentence."""
        return "a store of Podman, CRI-O or Buildah"

    def evidence(self) -> set[tuple[int, int]]:
        """Every root, and its directory of layers, which may be mounted elsewhere as well."""
        found = [part.directory.lstat() for part in self.roots]
        return {(status.st_dev, status.st_ino) for status in found}

    @functools.cached_property
    def own_roots(self) -> Sequence[Part]:
        """The graph root, and those of the others that are its image store; the rest is only read by it.

        What is unpacked into an image store leaves the headers of its tar in the graph root.
        """
        first, *others = self.roots
        return (first, *(part for part in others if any(map(first.tar_split_size, part.layer_ids))))

    def _lost(self, part: Part, known: Collection[str]) -> Iterator[LayerRecordText]:
        chains = (image.config.diff_ids for image in self._images.sound())
        return lost_layers(part, known, chains, self.dirs)

    @functools.cached_property
    def _diff_ids(self) -> Mapping[CacheID, DiffID]:
        """The diff IDs of layers as the configs of images tell them, where there are as many layers."""
        found: dict[CacheID, DiffID] = {}
        for top, diff_ids in self._images.diff_ids():
            chain = attempt(self.report, functools.partial(self.storage.walk, top)) or ()
            if len(chain) == len(diff_ids):
                pairs = zip(reversed(chain), diff_ids, strict=True)
                found.update((stored.record.id, diff_id) for stored, diff_id in pairs)
        return found

    # -- images --------------------------------------------------------------------------------

    def image_ids(self, beginning: str = "") -> Sequence[ImageID]:
        """Every image, sound or not, whose digits begin so; sorted."""
        return sorted(found for found in self._images.all if found.hex.startswith(beginning))

    def has_image(self, image_id: ImageID) -> bool:
        """Whether there is an image of this ID, sound or not."""
        return image_id in self._images.all

    def read_image(self, image_id: ImageID) -> StorageImage:
        """The image of this ID; raises `CorruptStore`."""
        return self._images.image(image_id)

    def own_image(self, image: Image) -> StorageImage:
        """The image as this store has it; raises `CorruptStore`."""
        return image if isinstance(image, StorageImage) else self.read_image(image.id)

    def config_bytes(self, image: Image) -> bytes:
        """The config of an image, byte for byte; raises `CorruptStore`."""
        return self._images.config_bytes(image.id)

    def manifest(self, image: Image) -> Manifest:
        """The manifest of an image; raises `CorruptStore`."""
        return self._images.manifest(image.id)

    def manifest_bytes(self, image: Image) -> bytes:
        """The same, byte for byte."""
        return self._images.manifest_bytes(image.id)

    def record_of_image(self, image_id: ImageID) -> tuple[ImageRecord, Part]:
        """What images.json has of an image, and the root in which; raises `MissingFile`."""
        return self._images.noted(image_id)

    def config_key(self, image_id: ImageID) -> str:
        """The key of the document that is an image's config."""
        return self._images.config_key(image_id)

    @functools.cached_property
    def names(self) -> StorageNames:
        """Resolves names."""
        return StorageNames(self, self._images)

    @functools.cached_property
    def repositories(self) -> Repositories:
        """The names that are references."""
        rows = [RepositoryRow(name, own) for name, own in self._images.by_reference.items()]
        return Repositories(tuple(sorted(rows, key=lambda row: row.reference.familiar)), in_full=True)

    def other_names(self) -> Sequence[str]:
        """The names that are no references."""
        return list(self._images.by_other_name)

    def lost_name(self, name: str, kinds: Sequence[str]) -> NameLost | None:
        """The error for a name of which no record of images can tell."""
        problems = [part.images_problem for part in self.roots if part.images_problem]
        return NameLost(problems[0], name, ["image"]) if problems and "image" in kinds else None

    def record_name(self, of: ImageID | ChainID | ContainerID) -> str:
        """The file with the record of an image or a layer, for messages."""
        if isinstance(of, ImageID):
            return self._images.file_name(of)
        return f"{self.directory.name_of(self.roots[0].layers_file)}: {of}"

    @functools.cached_property
    def _ancestry(self) -> Ancestry:
        return Ancestry(self._images, self.storage)

    def _parent_of(self, config: ImageConfig) -> ImageID | None:
        return self._ancestry.parent(config)

    def history_ids(self, image: Image) -> Sequence[ImageID | None]:
        """The image in each row of an image's history, as Podman fills them in."""
        return self._ancestry.history_ids(self.own_image(image))

    # -- sizes ---------------------------------------------------------------------------------

    def _measured(self, layer: StorageLayer) -> int | None:
        """Bytes of a layer's tar by its headers; where there are none, of its files, as Podman counts."""
        own = layer.stored.record.id
        if not any(part.tar_split_size(own) for part in self.roots):
            return self.own_bytes(layer.stored)
        return attempt(self.report, lambda: self._archive(layer).size(cut=True))

    def size(self, image: Image) -> int | None:
        """The size of an image as Podman prints it: the tars of its layers, and its documents."""
        return added_up(part.size for part in self.parts(image).counted)

    def parts(self, image: Image) -> ImageParts:
        """The layers of an image, their copies with other owners, and its documents as one part."""
        own = self.own_image(image)
        layers = (Account(chain, self.layer_size(chain), is_layer=True) for chain in image.chain)
        copies = (Account(layer.cache_id, layer.size) for layer in self._copies(own))
        documents = Account(documents_of(image.id), own.data_size, shareable=False)
        return ImageParts((*layers, *copies, documents))

    def _copies(self, image: StorageImage) -> Iterator[StorageLayer]:
        """The layers that an image has besides those of its chain."""
        seen: set[str] = set()
        for top in image.record.mapped:
            for stored in attempt(self.report, functools.partial(self.storage.walk, top)) or ():
                layer = self.storage.layer(stored.record.id)
                if layer and layer.cache_id not in seen and self.record(layer.chain_id) != layer:
                    seen.add(layer.cache_id)
                    yield layer

    # -- layers --------------------------------------------------------------------------------

    def layers(self) -> Sequence[StorageLayer]:
        """Every sound layer of images, by chain ID; damaged ones are reported and left out."""
        return [found[0] for _, found in sorted(self.storage.by_chain.items())]

    def record(self, chain: ChainID) -> StorageLayer:
        """The layer of this chain ID; raises `CorruptStore`, also where there is none."""
        found = self.storage.by_chain.get(chain)
        if found is None:
            raise self._why_absent(chain)
        return found[0]

    def blobs(self, layer: DiffID | None) -> tuple[Blob, ...]:
        """The blobs from which a layer was unpacked last, where they were packed."""
        return tuple(Blob(digest, ()) for digest in self._digests.get(layer, ())) if layer else ()

    @functools.cached_property
    def _digests(self) -> Mapping[DiffID, list[BlobDigest]]:
        found: dict[DiffID, list[BlobDigest]] = {}
        for layers in self.storage.by_chain.values():
            for layer in layers:
                digest, known = layer.blob_digest, found.setdefault(layer.diff_id, [])
                if digest and str(digest) != layer.diff_id and digest not in known:
                    known.append(digest)
        return found

    def bytes_of(self, stored: Stored) -> int | None:
        """Bytes of the files of a layer, counted once; None where they cannot be read (reported)."""
        own = stored.record.id
        if own not in self._counted:
            self._counted[own] = attempt(self.report, functools.partial(stored.part.count, own))
        return self._counted[own]

    def own_bytes(self, stored: Stored) -> int | None:
        """The same of what is a layer's own, where its directory has more."""
        return self.bytes_of(stored)

    def _why_absent(self, chain: ChainID) -> CorruptStore:
        """Why an image's layer is not there: what its way down ends at."""
        for image_id in self.image_ids():
            try:
                image = self.read_image(image_id)
                if chain in image.chain and image.top:
                    self.storage.walk(image.top)
            except CorruptStore as error:
                if self.load_image(image_id):
                    return error.again()
        name = self.directory.name_of(self.roots[0].layers_file)
        return BrokenChain(name, "there is no layer of this chain ID", expected=chain)

    def own_layer(self, layer: Layer) -> StorageLayer:
        """The layer as this store has it; raises `CorruptStore`."""
        return layer if isinstance(layer, StorageLayer) else self.record(layer.chain_id)

    def archive(self, layer: Layer) -> LayerArchive:
        """The tar that a layer was unpacked from; raises `CorruptStore` where its directory is missing."""
        return self._archive(self.own_layer(layer))

    def _archive(self, own: StorageLayer) -> LayerArchive:
        return self.archive_of(own.stored, own.chain_id)

    def archive_of(self, stored: Stored, chain: ChainID | None = None) -> LayerArchive:
        """The tar of a layer by its record, also where its chain ID is not known; raises as `archive`."""
        part, own = stored.part, stored.record.id
        files = part.files(own)
        layer = self._sources.stored(stored) if part.is_composefs(own) else None
        return LayerArchive(chain or ChainID.from_hex(own), self.split_file(stored), files, layer)

    def split_file(self, stored: Stored) -> SplitFile:
        """The tar-split file of a layer, which may be in another root."""
        roots = (stored.part, *(item for item in self.roots if item is not stored.part))
        return SplitFile(stored.record.id, roots)

    def split_size(self, stored: Stored) -> int:
        """Bytes of the tar-split file of a layer; 0 where there is none."""
        return max(part.tar_split_size(stored.record.id) for part in self.roots)

    def _archive_of(self, stored: Stored) -> LayerArchive:
        """As `archive`, of a record."""
        found = self.storage.layer(stored.record.id)
        if found is None:
            raise MissingFile(f"layer {stored.record.id}", "it has no diff ID, and so no tar")
        return self._archive(found)

    def layer_tar(self, layer: Layer) -> OriginalTar:
        """The tar that a layer was unpacked from; raises `CorruptStore` where its directory is missing."""
        from layerfs.stores.originaltar import OriginalTar  # noqa: PLC0415 - only exports need it

        return OriginalTar(self.archive(layer), layer.diff_id)
