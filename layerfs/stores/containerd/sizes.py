"""The sizes of images: of their blobs, as recorded in meta.db, and of their snapshots, as in metadata.db.

For Docker the size of an image is that of all blobs that are there, and of all that is unpacked. For
Kubernetes it is that of the blobs of one platform, whether they are there or not.

Sources: moby `daemon/containerd/image_list.go` (multiPlatformSummary, computeSharedSize), `image_inspect.go`
(size), `service.go` (ImageDiskUsage) of v29; containerd `core/images/usage/calculator.go`,
`internal/cri/store/image/image.go`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.accounts import ImageParts, Part
from layerfs.damage import attempt
from layerfs.ids import chain_ids
from layerfs.model import added_up
from layerfs.stores.containerd.layers import chain_of_key
from layerfs.stores.containerd.targets import config_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from layerfs.errors import CorruptStore
    from layerfs.formats.containerdmeta import Namespace
    from layerfs.formats.descriptors import Descriptor
    from layerfs.formats.imageconfig import ImageConfig
    from layerfs.ids import ChainID
    from layerfs.stores.containerd.content import Content
    from layerfs.stores.containerd.image import ContainerdImage
    from layerfs.stores.containerd.layers import Placed, Snapshots
    from layerfs.stores.containerd.targets import ManifestBelow

__all__ = ["ImageSizes", "blob_part_name", "snapshot_part_name"]


def blob_part_name(digest: str) -> str:
    """The name of a blob among the parts of images; it differs from a chain ID with the same digest."""
    return f"blob {digest}"


def snapshot_part_name(placed: Placed) -> str:
    """The name, among the parts of images, of a snapshot that is no layer of an image."""
    return f"snapshot {placed.place}"


class ImageSizes:
    """The sizes of the images of some namespaces."""

    def __init__(
        self,
        spaces: Sequence[Namespace],
        content: Content,
        snapshots: Snapshots,
        report: Callable[[CorruptStore], None],
    ) -> None:
        """Measure images of `spaces`, whose documents are in `content`; `report` is told of damage."""
        self._spaces = spaces
        self._content = content
        self._snapshots = snapshots
        self._report = report
        self._blob_parts: dict[str, Part | None] = {}
        self._snapshot_parts: dict[tuple[str, str], Part] = {}
        self._stacks: dict[ChainID | None, tuple[Part, ...]] = {}
        self._parts: dict[tuple[str, str], ImageParts] = {}

    def parts(self, image: ContainerdImage) -> ImageParts:
        """The blobs that are there, and the snapshots, of an image or of the one platform that is shown.

        An index counts only in the total of a store.
        """
        key = (image.id, image.target.digest)
        if key not in self._parts:
            self._parts[key] = self._read(image)
        return self._parts[key]

    def _read(self, image: ContainerdImage) -> ImageParts:
        below = image.shown
        counted = [part for item in below for part in (*self._blobs(item), *self._unpacked(image, item))]
        indexes = {index.digest: index for item in below for index in item.indexes}
        return ImageParts(tuple(counted), tuple(self._present(indexes.values())))

    def packed(self, image: ContainerdImage) -> int | None:
        """Bytes of the blobs that are there, without indexes, as Docker counts."""
        return added_up(part.size for item in image.shown for part in self._blobs(item))

    @staticmethod
    def referenced(image: ContainerdImage) -> int:
        """Bytes of the blobs of one platform, and of the indexes above it, also of missing ones."""
        chosen = image.chosen
        if chosen is None:
            named: tuple[Descriptor, ...] = (image.target,)
            chosen = next((item for item in image.below if item.descriptor == image.target), None)
        else:
            named = (*chosen.indexes, chosen.descriptor)
        inside = chosen.manifest.named if chosen and chosen.manifest else ()
        return sum(item.size for item in (*named, *inside))

    # -- blobs ---------------------------------------------------------------------------------

    def _blobs(self, item: ManifestBelow) -> Sequence[Part]:
        """A manifest and the blobs that it names, if they are there; one that is named twice comes twice."""
        found = self._present([item.descriptor, *(item.manifest.named if item.manifest else ())])
        if item.manifest is None and found:  # it should be readable, so what it names is not known
            found.append(Part(blob_part_name(f"below {item.descriptor.digest}"), None))
        return found

    def _present(self, named: Iterable[Descriptor]) -> list[Part]:
        return [part for descriptor in named if (part := self._blob(descriptor.digest))]

    def blob(self, digest: str) -> int | None:
        """The size of a blob that a namespace has a record of, else None."""
        part = self._blob(digest)
        return part.size if part else None

    def _blob(self, digest: str) -> Part | None:
        if digest not in self._blob_parts:
            found = next(filter(None, [space.blob(digest) for space in self._spaces]), None)
            self._blob_parts[digest] = Part(blob_part_name(digest), found.size) if found else None
        return self._blob_parts[digest]

    # -- snapshots -----------------------------------------------------------------------------

    def _unpacked(self, image: ContainerdImage, item: ManifestBelow) -> tuple[Part, ...]:
        """The snapshots of its layers and all below; none if the top layer is not unpacked."""
        config = self._config(image, item)
        chain = chain_ids(config.diff_ids) if config else ()
        top = chain[-1] if chain else None
        if top not in self._stacks:
            placed = self._snapshots.of(top) if top else None
            self._stacks[top] = self._stack(placed, chain) if placed else ()
        return self._stacks[top]

    def _config(self, image: ContainerdImage, item: ManifestBelow) -> ImageConfig | None:
        if item == image.chosen:
            return image.config
        manifest = item.manifest if item.is_image else None
        if manifest is None or manifest.config is None or self.blob(manifest.config.digest) is None:
            return None
        return attempt(self._report, functools.partial(config_of, self._content, item))

    def _stack(self, top: Placed, chain: Sequence[ChainID]) -> tuple[Part, ...]:
        """The snapshots up to `top`; if records are damaged (reported), those of the config's layers."""
        stack, problem = self._snapshots.below(top)
        if problem:
            self._report(problem)
            keys = [item.key for item in stack]
            stack = stack[keys.index(chain[0]) :] if set(chain) <= set(keys) else ()
        return tuple(map(self._part, stack)) or (Part(f"below {top.place}", None),)

    def _part(self, placed: Placed) -> Part:
        """A snapshot as a part; what a classic build left between layers is never shared, as for Docker."""
        key = placed.snapshotter.name, placed.snapshot.name
        found = self._snapshot_parts.get(key)
        if found is None:
            chain, size = chain_of_key(placed.key), placed.snapshot.size
            found = (
                Part(chain, size, is_layer=True)
                if chain
                else Part(snapshot_part_name(placed), size, shareable=False)
            )
            self._snapshot_parts[key] = found
        return found
