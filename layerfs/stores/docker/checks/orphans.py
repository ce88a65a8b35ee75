"""Finds what nothing in a data root needs: layers, directories, links, images, records about images.

A layer is needed by images, containers and BuildKit's cache; a directory of `overlay2/` is claimed by a
layer, a container or BuildKit. Something is an orphan only if all of these could be read. Otherwise it is
unclaimed, as a damaged record may need it.

Sources: moby `layer/layer_store.go`, `image/store.go` (Heads), `daemon/graphdriver/overlay2/overlay.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.analysis.doctor.findings import (
    ROOT,
    Finding,
    Found,
    directory_subject,
    from_damage,
    image_subject,
    layer_subject,
)
from layerfs.errors import CorruptStore
from layerfs.ids import ContainerID, DiffID, ImageID, LinkID
from layerfs.stores.docker.checks.leftovers import driver_prefix, is_probe
from layerfs.stores.docker.distribution import distribution_entries
from layerfs.stores.docker.refstore import read_repositories

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from layerfs.ids import CacheID, ChainID
    from layerfs.stores.docker.checks.survey import Survey

__all__ = ["Orphans"]


class Orphans:
    """Finds what nothing needs in one data root."""

    def __init__(self, survey: Survey) -> None:
        """Use the records in `survey`."""
        self._survey = survey
        self._root = survey.root
        self._structure = survey.structure
        self._store = driver_prefix(survey.root.directory)

    def find(self, undone: Container[str] = ()) -> Iterator[Found]:
        """Everything that nothing needs, or that perhaps nothing needs.

        Args:
            undone: names in `overlay2/` that were reported already with something else.
        """
        yield from self._layers()
        yield from self._directories(undone)
        yield from self._short_links()
        yield from self._images()
        yield from self._metadata()
        yield from self._distribution()

    def layer_paths(self, chain: ChainID) -> tuple[bytes, ...]:
        """The paths of a layer: its record, and its directory if nothing else claims that."""
        record = self.record_path(chain)
        cache_id = self._structure.directory_of(chain)
        shared = cache_id is None or len(self._structure.claims.get(cache_id, ())) > 1
        return (record,) if shared else (record, f"overlay2/{cache_id}".encode())

    def record_path(self, chain: ChainID) -> bytes:
        """The path of a layer's record."""
        return self._store + f"layerdb/sha256/{chain.hex}".encode()

    def container_paths(self, container: str) -> Iterator[bytes]:
        """The paths of a container: its records, and its two directories."""
        yield f"containers/{container}".encode()
        yield self._store + f"layerdb/mounts/{container}".encode()
        mount = self._survey.mounts.get(ContainerID(container))
        for name in filter(None, (mount.mount_id, mount.init_id) if mount else ()):
            if self._structure.claims[name] == [f"container {container}"]:
                yield f"overlay2/{name}".encode()

    # -- layers and directories ------------------------------------------------------------------

    def _layers(self) -> Iterator[Found]:
        for chain in sorted(self._survey.layers - self._survey.held):
            certain = self._survey.layers_certain
            finding = Finding(
                *("layer-orphaned" if certain else "layer-unclaimed", "warning" if certain else "note"),
                subject=layer_subject(chain),
                path=self._root.layerdb.file_name(chain),
                message=_fate("image, container or BuildKit snapshot needs this layer", certain=certain),
            )
            yield Found(finding, self.layer_paths(chain))

    def _directories(self, undone: Container[str]) -> Iterator[Found]:
        every = self._root.overlay2.cache_ids()
        free = [item for item in every if item not in self._survey.directories]
        free = [item for item in free if item not in undone and not is_probe(item)]
        needed = self._survey.lower_links() if free else set()
        for cache_id in free:
            link, whole = self._link(cache_id), self._is_whole(cache_id)
            certain = self._survey.directories_certain and link not in needed
            code = "directory-unclaimed"
            if certain:
                code = "directory-orphaned" if whole else "directory-unfinished"
            message = _fate("layer, container or BuildKit snapshot claims this directory", certain=certain)
            if link is not None and link in needed:
                message = "layers stand on this directory, and no record names it"
            finding = Finding(
                *(code, "warning" if certain else "note", directory_subject(cache_id)),
                path=self._root.overlay2.path_of(cache_id),
                message=message,
            )
            yield Found(finding, (f"overlay2/{cache_id}".encode(),))

    def _link(self, cache_id: CacheID) -> LinkID | None:
        try:
            return self._root.overlay2.link(cache_id)
        except CorruptStore:
            return None

    def _is_whole(self, cache_id: CacheID) -> bool:
        """Whether a directory has `diff` and `link`, which the engine makes first."""
        try:
            self._root.overlay2.diff(cache_id).close()
        except CorruptStore:
            return False
        return self._link(cache_id) is not None

    def _short_links(self) -> Iterator[Found]:
        """Short links to nothing, or to a directory with another short name."""
        overlay2 = self._root.overlay2
        try:
            links = overlay2.short_links()
        except CorruptStore:  # reported by the scanner
            return
        owned = {self._link(cache_id) for cache_id in overlay2.cache_ids()}
        for link in links:
            if link in owned:  # checked by `structure`
                continue
            target = overlay2.link_target(link)
            if target is None or (target not in overlay2 and target not in self._survey.directories):
                actual, message = target and f"../{target}/diff", "the short link leads nowhere"
            elif target in overlay2 and (own := self._link(target)) and overlay2.link_target(own) == target:
                actual, message = f"../{target}/diff", f"the directory goes by the short name {own}"
            else:
                continue
            path = f"overlay2/l/{link}"
            finding = Finding(
                *("short-link-orphaned", "note", ROOT, self._root.directory.name_of(path)),
                expected="a layer's directory that has this name",
                actual=actual,
                message=message,
            )
            yield Found(finding, (path.encode(),))

    # -- images and notes ------------------------------------------------------------------------

    def _images(self) -> Iterator[Found]:
        """Images without a name, a child or a container, which `docker image prune` would remove."""
        try:
            named = {row.image_id for row in read_repositories(self._root.driver_dir).rows}
        except CorruptStore:
            return
        used: set[str] = {config.image_id for config in self._survey.configs.values()}
        used |= {parent for image in self._root.imagedb.image_ids() if (parent := self._parent(image))}
        for image, chain in self._survey.images.items():
            if image in named or image in used:
                continue
            own = [layer for layer in chain if self._survey.users[layer] == [image_subject(image)]]
            costs = [path for layer in own if self._only_image(layer) for path in self.layer_paths(layer)]
            path = self._root.imagedb.file_name(image)
            message = "no name, no child and no container: dangling"
            finding = Finding("image-unused", "note", image_subject(image), path, message=message)
            config = self._store + f"imagedb/content/sha256/{image.hex}".encode()
            yield Found(finding, (config, *costs))

    def _only_image(self, layer: ChainID) -> bool:
        return layer in self._survey.layers and layer not in self._survey.cached

    def _parent(self, image: ImageID) -> str | None:
        try:
            return self._root.imagedb.parent(image)
        except CorruptStore:
            return None

    def _metadata(self) -> Iterator[Found]:
        """Records about missing images."""
        for image in self._root.imagedb.noted_ids():
            if image not in self._root.imagedb:
                path = self._store + f"imagedb/metadata/sha256/{image.hex}".encode()
                finding = Finding(
                    *("metadata-orphaned", "note", image_subject(image), self._name(path)),
                    message="notes about an image that is gone",
                )
                yield Found(finding, (path,))

    def _distribution(self) -> Iterator[Found]:
        """Records about registries' blobs that belong to no layer here."""
        known = {self._structure.noted(chain).diff_id for chain in self._survey.layers}
        for image in self._survey.images:
            config = self._structure.config(image)
            if not isinstance(config, CorruptStore):
                known.update(config.diff_ids)
        for name, about in distribution_entries(self._root.driver_dir):
            path = self._store + name.encode()
            if not isinstance(about, DiffID):
                yield Found(from_damage(about, "distribution", ROOT, "note"), (path,))
            elif about not in known:
                message = "a note about a layer that is gone"
                finding = Finding("distribution-orphaned", "note", ROOT, self._name(path), message=message)
                yield Found(finding._replace(actual=about), (path,))

    def _name(self, path: bytes) -> str:
        return self._root.directory.name_of(path)


def _fate(nobody: str, *, certain: bool) -> str:
    """The words `No image … needs this`, or that this is not certain."""
    return f"no {nobody}" if certain else f"no {nobody}, but records that could are damaged"
