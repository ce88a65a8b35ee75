"""Whether meta.db, the metadata.db of snapshotters, blobs and directories agree with each other.

Sources: containerd `core/metadata/{snapshot,content,gc}.go`, `core/snapshots/storage/bolt.go`.
"""

from __future__ import annotations

import functools
import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.doctor.findings import (
    ROOT,
    Finding,
    container_subject,
    directory_subject,
    from_damage,
    image_subject,
    layer_subject,
)
from layerfs.boltfile import NEWEST, read_boltfile
from layerfs.errors import CorruptStore, DataRootUnreadable, MissingFile, OneStateLost
from layerfs.formats.containerdmeta import parse_meta
from layerfs.formats.snapshotdb import COMMITTED
from layerfs.stores.blobs.layers import packed
from layerfs.stores.containerd.layers import chain_of_key
from layerfs.stores.containerd.places import META_DB
from layerfs.stores.containerd.targets import config_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from layerfs.analysis.doctor.findings import Severity
    from layerfs.formats.containerdmeta import MetaBlob, MetaSnapshot, Namespace
    from layerfs.ids import ContainerID, ImageID
    from layerfs.stores.blobs.outer import Blob
    from layerfs.stores.containerd.image import Target
    from layerfs.stores.containerd.layers import ContainerdLayer
    from layerfs.stores.containerd.snapshotters import Snapshotter
    from layerfs.stores.containerd.store import ContainerdStore
    from layerfs.stores.containerd.targets import ManifestBelow

__all__ = ["Noted", "Records"]

_INIT = "-init"
_UNCOMPRESSED = "containerd.io/uncompressed"
_UNRECORDED = (
    "the blob is there, but the namespace of the image has no record of it: its engine does not find it"
)
_DISCARDED_HERE = "the namespace of the image has discarded the blob, which is there for others"
_CANNOT_LEAVE = "the image can be run, but not exported or pushed"
_OF_CONTAINER = {
    "container": re.compile(r"(?:^|: )container ([^/:]+)"),
    "container-notes": re.compile(r"/containers/([^/:]+)/"),
}
"""What a record is that is called by a container's ID: containerd's, or a file of Docker or Kubernetes."""


class Noted(NamedTuple):
    """The record of a snapshot in meta.db."""

    space: Namespace
    snapshotter: Snapshotter | None
    meta: MetaSnapshot


class Records:
    """Compares the records of one store; damage becomes a `Finding`, and is not reported to the store."""

    def __init__(self, store: ContainerdStore) -> None:
        """Compare the records of `store`."""
        self._store = store
        self._below_themselves = functools.cache(self._find_circles)

    # -- images --------------------------------------------------------------------------------

    def image(self, image_id: ImageID) -> Iterator[Finding]:
        """The faults of an image's documents, for all platforms that were ever fetched."""
        target = self._store.targets.targets[self._store.targets.ids[image_id]]
        below = self._store.targets.below(target)
        there = [item for item in below if item.manifest]
        for item in below:
            problem = item.problem
            if item.manifest and item.is_image:
                problem = self._of_config(item)
            elif isinstance(problem, MissingFile) and there and not self._entry(item.descriptor.digest):
                continue  # of another platform, which was never fetched
            if problem:
                yield from_damage(problem, "image", image_subject(image_id), self._severity(problem))
        yield from self._of_target(image_id, target, below)

    def _of_config(self, item: ManifestBelow) -> CorruptStore | None:
        try:
            config_of(self._store.content, item)
        except CorruptStore as error:
            return error
        return None

    def _of_target(
        self, image_id: ImageID, target: Target, below: Sequence[ManifestBelow]
    ) -> Iterator[Finding]:
        """The documents whose length is not the one in their descriptors."""
        known = {target.descriptor.digest: target.descriptor}
        known |= {item.descriptor.digest: item.descriptor for item in below}
        for item in below:
            if item.manifest and item.manifest.config:
                known[item.manifest.config.digest] = item.manifest.config
        for digest, descriptor in known.items():
            try:
                size = self._store.content.size(digest)
            except CorruptStore:
                continue
            if size is None:
                continue
            if size != descriptor.size:
                yield Finding(
                    "size-differs", "error", image_subject(image_id), self._store.content.name_of(digest),
                    f"{descriptor.size} bytes", f"{size} bytes", "not as long as its descriptor says",
                )  # fmt: skip
            for space in self._without_entry(target.descriptor.digest, digest):
                yield Finding(
                    "blob-unrecorded", "error", image_subject(image_id), self._entry_name(space, digest),
                    message=_UNRECORDED,
                )  # fmt: skip
        for item in below:
            for descriptor in item.manifest.layers if item.manifest else ():
                yield from self._of_layer(target.descriptor.digest, descriptor.digest)

    def _of_layer(self, target: str, digest: str) -> Iterator[Finding]:
        """The namespaces that have an image but no record of the blob of its layer, if the blob is there."""
        layer = self._layers_by_digest.get(digest)
        if layer is None or layer.packed is None:
            return  # found with the layer
        subject = layer_subject(layer.chain_id)
        for space in self._without_entry(target, digest):
            name = self._entry_name(space, digest)
            if layer.placed:
                yield Finding(
                    "blob-discarded", "note", subject, name, message=_DISCARDED_HERE, hint=_CANNOT_LEAVE
                )
            else:
                yield Finding("blob-unrecorded", "error", subject, name, message=_UNRECORDED)

    @functools.cached_property
    def _layers_by_digest(self) -> Mapping[str, ContainerdLayer]:
        return {layer.digest or layer.diff_id: layer for layer in self._store.layers_by_chain.values()}

    def _without_entry(self, target: str, digest: str) -> Iterator[Namespace]:
        """The namespaces that have a target, but no record of the blob."""
        for space in self._store.spaces:
            if target in self._targets_of[space.name] and space.blob(digest) is None:
                yield space

    @functools.cached_property
    def _targets_of(self) -> Mapping[str, set[str]]:
        """The digests of the targets in each namespace."""
        return {space.name: {meta.digest for meta in space.images.values()} for space in self._store.spaces}

    def _entry_name(self, space: Namespace, digest: str) -> str:
        return f"{self._store.meta_name}: {ascii(space.name)[1:-1]}: blob {digest}"

    def _entry(self, digest: str) -> MetaBlob | None:
        """The record of a blob in any namespace."""
        return next((found for space in self._store.spaces if (found := space.blob(digest))), None)

    @staticmethod
    def _severity(problem: CorruptStore) -> Severity:
        return "warning" if isinstance(problem, DataRootUnreadable) else "error"

    # -- layers --------------------------------------------------------------------------------

    def layer(self, layer: ContainerdLayer) -> Iterator[Finding]:
        """The faults of a layer's records, except those of its snapshot."""
        subject = layer_subject(layer.chain_id)
        digest = layer.digest or layer.diff_id
        if layer.packed is None:
            yield self._without_blob(layer, subject, digest)
        entry = self._entry(digest)
        noted = entry.labels.get(_UNCOMPRESSED) if entry else None
        if noted and noted != layer.diff_id:
            yield Finding(
                "uncompressed-wrong", "error", subject, f"{self._store.meta_name}: blob {digest}",
                layer.diff_id, noted, "what its label says is not the layer of the config",
            )  # fmt: skip

    def _without_blob(self, layer: ContainerdLayer, subject: str, digest: str) -> Finding:
        name = self._store.content.name_of(digest)
        try:
            self._store.content.find(digest)
        except CorruptStore as error:
            return from_damage(error, "blob", subject, self._severity(error))
        if layer.placed is None:
            message = "the layer is neither unpacked, nor is its blob in the content store"
            return Finding("layer-missing", "error", subject, name, message=message)
        if self._entry(digest):
            return Finding(
                "blob-missing", "error", subject, name, message="the blob is not in the content store"
            )
        message = "the blob was discarded when the layer was unpacked: its files cannot be compared"
        return Finding("blob-discarded", "note", subject, name, message=message, hint=_CANNOT_LEAVE)

    # -- snapshots -----------------------------------------------------------------------------

    def snapshots(self, only: Collection[str] | None = None) -> Iterator[Finding]:
        """The differences between meta.db and metadata.db in snapshots; `only` for some keys."""
        for noted in self.noted:
            if only is None or noted.meta.key in only:
                yield from self._snapshot(noted)

    @functools.cached_property
    def noted(self) -> Sequence[Noted]:
        """Every snapshot of the namespaces that are read."""
        return [
            Noted(space, self._store.snapshotters.get(name), meta)
            for space in self._store.spaces
            for name in space.snapshotters
            for meta in space.snapshots(name).values()
        ]

    def _snapshot(self, noted: Noted) -> Iterator[Finding]:
        snapshotter, meta = noted.snapshotter, noted.meta
        if snapshotter is None or not snapshotter.has_records:
            return  # one finding is for all of them
        name, subject = snapshotter.record_name(meta.name), self.subject(meta.key)
        snapshot = snapshotter.snapshot(meta.name)
        if not snapshotter.has_record(meta.name):
            number = str(snapshot.number) if snapshot else None
            yield Finding(
                "snapshot-unrecorded", "error", subject, name, number, None,
                "there is no sound record of the snapshot",
                "the expected number is what its links with others tell" if number else None,
            )  # fmt: skip
        if snapshot is None:
            return
        below = snapshotter.snapshot(snapshot.parent) if snapshot.parent else None
        if snapshot.parent and (below is None or self._circles(snapshotter, snapshot.name)):
            yield Finding(
                "parent-wrong", "error", subject, name, meta.parent or None, snapshot.parent,
                "the snapshot below has no sound record" if below is None else "the snapshot is below itself",
            )  # fmt: skip
        elif snapshot.parent.split("/", 2)[-1] != meta.parent:
            yield Finding(
                "parent-wrong", "error", subject, name, meta.parent or None, snapshot.parent or None,
                "the snapshot below it is not the one in meta.db",
            )  # fmt: skip
        if chain_of_key(meta.key) and snapshot.kind != COMMITTED and snapshotter.has_record(meta.name):
            message = "a layer of an image that can be written to"
            yield Finding("snapshot-uncommitted", "error", subject, name, COMMITTED, snapshot.kind, message)
        if snapshotter.is_readable:
            yield from self._directory(snapshotter, snapshot.number, subject)

    def _circles(self, snapshotter: Snapshotter, name: str) -> bool:
        """Whether a snapshot is below itself by its metadata.db."""
        return name in self._below_themselves(snapshotter.name)

    def _find_circles(self, snapshotter: str) -> frozenset[str]:
        """The names of all snapshots that are part of a circle."""
        every = self._store.snapshotters[snapshotter].all
        done: set[str] = set()
        found: set[str] = set()
        for name in every:
            way: dict[str, int] = {}
            while name in every and name not in done and name not in way:
                way[name] = len(way)
                name = every[name].parent  # noqa: PLW2901 - one step down
            if name in way:
                found.update(item for item, number in way.items() if number >= way[name])
            done.update(way)
        return frozenset(found)

    def _directory(self, snapshotter: Snapshotter, number: int, subject: str) -> Iterator[Finding]:
        try:
            snapshotter.tree(number).close()
        except CorruptStore as error:
            yield from_damage(error, "directory", subject, self._severity(error))

    def subject(self, key: str) -> str:
        """The subject that a snapshot with this key belongs to."""
        chain = chain_of_key(key)
        if chain and chain in self._store.layers_by_chain:
            return layer_subject(chain)
        owners = self._containers
        if owner := owners.get(key) or owners.get(key.removesuffix(_INIT)):
            return owner
        placed = self._store.snapshots.of(key)
        return directory_subject(placed.place) if placed else ROOT

    @functools.cached_property
    def _containers(self) -> Mapping[str, str]:
        """The subjects of containers by the keys of their snapshots."""
        found: dict[str, str] = {}
        for container in self._store.containers():
            found[container.id] = container_subject(container.id)
            if placed := self._store.placed_of(container):
                found[placed.key] = container_subject(container.id)
        return found

    # -- blobs ---------------------------------------------------------------------------------

    def blobs(self, passed: Collection[str]) -> Iterator[Finding]:
        """The faults of blobs: altered, unreadable or missing; except the digests `passed`."""
        for algorithm, name in self._store.content.files():
            digest = f"{algorithm}:{name}"
            if digest not in passed:
                yield from self._blob(digest)
        yield from self.missing_blobs(passed)

    def missing_blobs(self, passed: Collection[str]) -> Iterator[Finding]:
        """The blobs that meta.db has and that are not there, except the digests `passed`."""
        noted = {digest for space in self._store.spaces for digest in space.blobs}
        missing = noted - self._there() - set(passed)
        for digest in sorted(self._still_missing(missing)) if missing else ():
            name = self._store.content.name_of(digest)
            message = "the blob is recorded in meta.db, but not in the content store"
            yield Finding("blob-missing", "error", ROOT, name, message=message)

    def _still_missing(self, digests: set[str]) -> set[str]:
        """Those that are missing at a second look too: in a store in use some may just have been removed."""
        if self._store.bolt_state != NEWEST:
            return digests
        try:
            database = read_boltfile(self._store.directory, META_DB, _ignore, NEWEST)
        except (OSError, CorruptStore):
            return digests
        now = parse_meta(database.root, _ignore)
        noted = {
            digest for space in self._store.spaces if space.name in now for digest in now[space.name].blobs
        }
        return digests & noted - self._there()

    def _there(self) -> set[str]:
        """The digests of the blobs that are there now."""
        return {f"{algorithm}:{name}" for algorithm, name in self._store.content.files()}

    def reported(self, told: Collection[str]) -> Iterator[Finding]:
        """The faults of databases, and other damage that the store reported, except for the paths `told`."""
        for problem in self._store.damage:
            if problem.path not in told:
                noun, subject = self._whose(problem.path)
                severity = "warning" if isinstance(problem, OneStateLost) else self._severity(problem)
                yield from_damage(problem, noun, subject, severity)

    def _whose(self, path: str) -> tuple[str, str]:
        """The kind and the subject of the thing that a reported path belongs to."""
        if path.endswith(".db"):
            return "database", ROOT
        for noun, pattern in _OF_CONTAINER.items():
            named = pattern.search(path)
            owner = next((item for item in self._containers_known if named and item == named[1]), None)
            if owner:
                return noun, container_subject(owner)
        return "record", ROOT

    @functools.cached_property
    def _containers_known(self) -> Collection[ContainerID]:
        return self._store.container_names().keys()

    def _blob(self, digest: str) -> Iterator[Finding]:
        try:
            blob = self._store.content.find(digest)
            computed = _hash(blob, digest.partition(":")[0]) if blob else digest
        except CorruptStore as error:
            yield from_damage(error, "blob", ROOT, self._severity(error))
            return
        if blob and computed and computed != digest:
            yield Finding(
                "blob-altered", "error", ROOT, blob.label, digest, computed,
                "the content does not hash to its name",
            )  # fmt: skip


def _ignore(_problem: object) -> None:
    """Do not report: this was reported when it was first read."""


def _hash(blob: Blob, algorithm: str) -> str | None:
    """The digest of a blob; None for an unknown algorithm."""
    try:
        found = hashlib.new(algorithm)
    except ValueError:
        return None
    for _ in packed(blob).pieces(found.update):
        pass
    return f"{algorithm}:{found.hexdigest()}"
