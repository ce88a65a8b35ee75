"""The images of some namespaces: every target with all its names, and the platform that is used.

The ID of an image is the digest of its target, an index or a manifest; in the namespace of Kubernetes it is
that of its config, as in crictl.

Sources: moby `daemon/containerd/image_list.go`, `image.go`; containerd `internal/cri/store/image/image.go`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.damage import attempt
from layerfs.errors import CorruptStore, ImageNotFound, MalformedFile, MissingFile
from layerfs.formats.descriptors import Descriptor, Platform
from layerfs.formats.platforms import normalised, parse_platform, preference
from layerfs.ids import ImageID, InvalidID
from layerfs.stores.containerd.image import ContainerdImage, Target, platform_in, platform_of, told_apart
from layerfs.stores.containerd.targets import EMPTY, config_of, manifests_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from layerfs.formats.containerdmeta import MetaImage, Namespace
    from layerfs.formats.imageconfig import ImageConfig
    from layerfs.formats.reference import Reference
    from layerfs.stores.containerd.content import Content
    from layerfs.stores.containerd.image import Names
    from layerfs.stores.containerd.targets import ManifestBelow

__all__ = ["KUBERNETES", "Images"]

KUBERNETES = "k8s.io"
"""The namespace of Kubernetes, in which the ID of an image is the digest of its config."""


class Images:
    """The images of some namespaces; each target is read when it is needed.

    Attributes:
        targets: every target by its digest, in the order of their first names.
        wanted: the platform that was asked for, or None.
    """

    def __init__(
        self,
        spaces: Iterable[Namespace],
        content: Content,
        report: Callable[[CorruptStore], None],
        platform: str | None,
        meta_name: str,
    ) -> None:
        """Know the images of `spaces`.

        Args:
            spaces: the namespaces; a target that several have is one image.
            content: has their blobs.
            report: is told of damage.
            platform: `os/architecture[/variant]` to use; raises `ValueError` if it is malformed.
            meta_name: the path of meta.db, for messages.
        """
        self._content = content
        self._report = report
        self._meta_name = meta_name
        self._below: dict[str, tuple[ManifestBelow, ...]] = {}
        self._names: dict[str, Names] = {}
        self._configs: dict[str, ImageConfig | CorruptStore] = {}
        self._read: dict[str, ContainerdImage | CorruptStore] = {}
        self.wanted = parse_platform(platform) if platform else None
        self.targets = self._targets(spaces)

    def _targets(self, spaces: Iterable[Namespace]) -> Mapping[str, Target]:
        found: dict[str, Target] = {}
        for space in spaces:
            for meta in space.images.values():
                descriptor = attempt(self._report, functools.partial(self._descriptor, meta))
                if descriptor is None:
                    continue
                known = found.get(descriptor.digest)
                metas = (*known.metas, meta) if known else (meta,)
                by_config = space.name == KUBERNETES and (known is None or known.by_config)
                found[descriptor.digest] = Target(descriptor, metas, by_config)
        return found

    def _descriptor(self, meta: MetaImage) -> Descriptor:
        try:
            return Descriptor(ImageID(meta.digest), meta.size, meta.media_type)
        except InvalidID as error:
            name = f"{self._meta_name}: image {ascii(meta.name)[1:-1]}"
            raise MalformedFile(name, "no digest that can be read", found=ascii(meta.digest)[:100]) from error

    # -- by ID ---------------------------------------------------------------------------------

    @functools.cached_property
    def ids(self) -> Mapping[ImageID, str]:
        """The target of every image by image ID; an image without a config has the target's digest as ID."""
        found: dict[ImageID, str] = {}
        for digest, target in self.targets.items():
            found[self._id_of(target)] = digest
        return found

    def _id_of(self, target: Target) -> ImageID:
        own = ImageID(target.descriptor.digest)
        if not target.by_config:
            return own
        chosen = self._choose(self.below(target))
        config = chosen.manifest.config if chosen and chosen.manifest else None
        try:
            return ImageID(config.digest) if config else own
        except InvalidID:
            return own

    @functools.cached_property
    def references(self) -> Mapping[ImageID, tuple[Reference, ...]]:
        """The names of every image that are references, in Docker's normal form."""
        found = ((image_id, self.targets[target]) for image_id, target in self.ids.items())
        return {image_id: self._names_of(target).references for image_id, target in found}

    def other_names(self) -> list[str]:
        """The names of all images that are no references."""
        return [name for target in self.targets.values() for name in self._names_of(target).others]

    def _names_of(self, target: Target) -> Names:
        digest = target.descriptor.digest
        if digest not in self._names:
            self._names[digest] = told_apart(target.names, target.descriptor)
        return self._names[digest]

    def id_of_name(self, name: str, config: str = "") -> str:
        """The ID of the image with this name, as written; empty if there is none.

        If an image has `config` as its ID, it is that one, as the name may have moved to another image since.
        """
        return config if config in self.ids else self._by_name.get(name, config)

    @functools.cached_property
    def _by_name(self) -> Mapping[str, ImageID]:
        found = self.ids.items()
        return {meta.name: image_id for image_id, target in found for meta in self.targets[target].metas}

    def with_manifest(self, digest: str) -> list[ImageID]:
        """The images that have a manifest of this digest below their target."""
        return self._by_manifest.get(digest, [])

    @functools.cached_property
    def _by_manifest(self) -> Mapping[str, list[ImageID]]:
        found: dict[str, list[ImageID]] = {}
        for image_id, target in self.ids.items():
            for item in self.below(self.targets[target]):
                found.setdefault(item.descriptor.digest, []).append(image_id)
        return found

    def image(self, image_id: ImageID) -> ContainerdImage:
        """The image of an ID, or of the digest of a target or of a manifest; raises `CorruptStore`."""
        digest = self.ids.get(image_id)
        if digest is None and image_id in self.targets:
            digest = str(image_id)
        if digest is None:
            raise ImageNotFound(f"no such image: {image_id}")
        known = self._read.get(digest)
        if known is None:
            try:
                known = self._image(image_id, self.targets[digest])
            except CorruptStore as error:
                known = error.again()
            self._read[digest] = known
        if isinstance(known, CorruptStore):
            raise known.again()
        return known

    def every_platform(self, image_id: ImageID, *, missing: bool = False) -> list[ContainerdImage]:
        """The images of all platforms of a target; the ID of each is the digest of its manifest.

        Args:
            image_id: the ID of the image.
            missing: also platforms that were never fetched, without a config.
        """
        target = self.targets[self.ids[image_id]]
        found: list[ContainerdImage] = []
        for item in self.below(target):
            own = ImageID(item.descriptor.digest) if len(self.below(target)) > 1 else image_id
            if item.is_image and item.manifest:
                config = attempt(self._report, functools.partial(self._config, item))
                if config:
                    found.append(self._made(own, target, item, config))
            elif item.is_image and missing and isinstance(item.problem, MissingFile):
                found.append(self._made(own, target, item, EMPTY))
        return found

    def below(self, target: Target) -> tuple[ManifestBelow, ...]:
        """Every manifest below a target."""
        digest = target.descriptor.digest
        if digest not in self._below:
            self._below[digest] = manifests_below(self._content, target.descriptor)
        return self._below[digest]

    @functools.cached_property
    def _preferred(self) -> Sequence[Platform]:
        """The platforms that would do, best first: for the wanted one, or else for this machine."""
        import platform  # noqa: PLC0415 - most images have but one

        return preference(self.wanted or normalised(Platform("linux", platform.machine())))

    # -- one image -----------------------------------------------------------------------------

    def _image(self, image_id: ImageID, target: Target) -> ContainerdImage:
        below = self.below(target)
        chosen = self._choose(below)
        if chosen is None:
            if any(item.is_image for item in below) and self.wanted:
                there = ", ".join(sorted({str(platform_of(item)) for item in below if item.is_image}))
                raise MissingFile(
                    self._content.name_of(target.descriptor.digest),
                    f"there is no image for {self.wanted} below it",
                    found=there,
                )
            return self._made(image_id, target, None, EMPTY)  # no image, but an artifact such as a chart
        if chosen.problem:
            raise chosen.problem
        return self._made(image_id, target, chosen, self._config(chosen))

    def _choose(self, below: Sequence[ManifestBelow]) -> ManifestBelow | None:
        """The manifest to use: among those that are there the best for this machine, or for `wanted`."""
        images = [item for item in below if item.is_image]
        there = [item for item in images if item.manifest] or images
        if len(there) == 1 and not self.wanted:
            return there[0]  # the only one: its platform need not be read
        for wanted in self._preferred:
            for item in there:
                if self._platform_of(item) == wanted:
                    return item
        if self.wanted:
            return next((item for item in there if not str(self._platform_of(item))), None)
        return there[0] if there else None

    def _platform_of(self, item: ManifestBelow) -> Platform:
        found = platform_of(item)
        if str(found) or not item.manifest:
            return found
        try:
            config = self._config(item)
        except CorruptStore:
            return found
        return platform_in(config)

    def _config(self, item: ManifestBelow) -> ImageConfig:
        """The config of a manifest, read once; raises `CorruptStore`."""
        digest = item.descriptor.digest
        if digest not in self._configs:
            try:
                self._configs[digest] = config_of(self._content, item)
            except CorruptStore as error:
                self._configs[digest] = error.again()
        known = self._configs[digest]
        if isinstance(known, CorruptStore):
            raise known.again()
        return known

    def _made(
        self, image_id: ImageID, target: Target, chosen: ManifestBelow | None, config: ImageConfig
    ) -> ContainerdImage:
        names = self._names_of(target)
        return ContainerdImage(
            image_id,
            names.references,
            config,
            target.parent,
            target=target.descriptor,
            below=self.below(target),
            chosen=chosen,
            names=target.names,
            other_names=names.others,
        )
