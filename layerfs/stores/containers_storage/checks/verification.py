"""Whether images and layers are what they were when they were pulled or built.

The records are checked by `records`; then each layer's files are compared with its tar, several layers at a
time: trees by `analysis.verify`, pools of objects by `objects`, whole trees by `wholetree`. The tar that is
made anew must hash to the diff ID. Of a blob that a layer came from nothing is left, so nothing is said of
its digest (`compressed-diff-digest`), nor of that of its table of contents as it was packed (`toc-digest`).

Sources: containers/storage `layers.go` (ApplyDiff, Diff), `drivers/overlay/overlay.go`.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from layerfs.analysis.doctor.findings import Finding, from_damage
from layerfs.analysis.verify.attributes import Attributes
from layerfs.analysis.verify.hiding import Hiding
from layerfs.analysis.verify.layercheck import LayerCheck
from layerfs.analysis.verify.layerfindings import LayerFindings
from layerfs.analysis.verify.repeats import PathRepeated
from layerfs.analysis.verify.unpacking import Unpacking
from layerfs.analysis.verify.verdicts import LayerVerdict, called, in_order, not_compared
from layerfs.errors import CorruptStore
from layerfs.ids import CacheID, ImageID
from layerfs.stores.containers_storage.checks.objects import ObjectsCheck
from layerfs.stores.containers_storage.checks.records import Records
from layerfs.stores.containers_storage.checks.wholetree import WholeTreeCheck
from layerfs.stores.containers_storage.forms import Form
from layerfs.stores.containers_storage.overridden import Kept, override_in_force
from layerfs.stores.containers_storage.places import OVERLAY
from layerfs.syscalls import is_system_admin

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from layerfs.capabilities import Progress, VerifyOptions
    from layerfs.hostdir import HostDir
    from layerfs.ids import ChainID, DiffID
    from layerfs.stores.containers_storage.parts import Stored
    from layerfs.stores.containers_storage.store import GraphRoot
    from layerfs.stores.layerarchive import LayerArchive

__all__ = ["LayerVerdict", "Verification", "verification"]

_ROOT_MODES = (0o555, 0o755, 0o700)
"""What engines gave `diff/`, the present ones first."""

_PER_RECORD = 250
"""Bytes hashed in the time that is needed for one byte of a packed tar-split file, about."""


def verification(
    store: GraphRoot, names: Sequence[tuple[str, int | None]], options: VerifyOptions
) -> _NamedCheck:
    """The check of what the names mean, or of everything; see `Verifiable`."""
    store.keep_quiet()
    found = Verification(store, options)
    if not names:
        return _NamedCheck(found, store.image_ids(), list(found.all_layers()), is_all=True)
    images: dict[ImageID, None] = {}
    layers: dict[CacheID, None] = {}
    for name, number in names:
        if number is not None:
            image = store.image(name)
            images[image.id] = None
            depth = store.layer_number(image, number, name)
            layers |= dict.fromkeys(found.layers_of(image.id)[:depth])
            continue
        for item in found.called(name):
            if isinstance(item, ImageID):
                images[item] = None
                layers |= dict.fromkeys(found.layers_of(item))
            else:
                layers |= dict.fromkeys(layer.cache_id for layer in store.storage.by_chain.get(item, ()))
    return _NamedCheck(found, list(images), list(layers), is_all=False)


class _NamedCheck:
    """See `capabilities.Check`."""

    def __init__(
        self, check: Verification, images: Sequence[ImageID], layers: Sequence[CacheID], *, is_all: bool
    ) -> None:
        self._verification = check
        self._images = images
        self._layers = layers
        self._is_all = is_all
        self.images = len(images)
        self.layers = len(layers)
        self.proven = self.proven_size = 0
        self.seconds = 0.0

    def findings(self, on_progress: Progress) -> Iterator[Finding]:
        """What is wrong with the records, and then with one layer after the other."""
        check = self._verification
        seen: set[tuple[str, str, str]] = set()
        for finding in check.records(self._images, self._layers):
            if (key := (finding.code, finding.subject, finding.path)) not in seen:
                seen.add(key)
                yield finding
        yield from check.reported({path for _, _, path in seen}, is_all=self._is_all)
        started = time.monotonic()
        for verdict in check.verdicts(self._layers, on_progress):
            self.proven += verdict.proven
            self.proven_size += verdict.tar_size * verdict.proven
            yield from verdict.findings
        self.seconds = time.monotonic() - started


class Verification:
    """Checks images and layers of one store; damage becomes a `Finding`, and is not reported to the store."""

    def __init__(self, store: GraphRoot, options: VerifyOptions) -> None:
        """Check as `options` say."""
        self._store = store
        self._options = options
        self._records = Records(store)
        self._sees_all = is_system_admin()

    # -- what is checked -----------------------------------------------------------------------

    def all_layers(self) -> Iterator[CacheID]:
        """Every layer that was unpacked from a tar: all but containers' own."""
        storage = self._store.storage
        for stored in storage.all.values():
            if storage.diff_id(stored) or stored.record.toc:
                yield stored.record.id

    def layers_of(self, image: ImageID) -> list[CacheID]:
        """The layers of an image, base first, as far as its records lead."""
        record, _ = self._store.image_records.noted(image)
        try:
            stack = self._store.storage.walk(record.layer) if record.layer else []
        except CorruptStore:
            return []
        return [stored.record.id for stored in reversed(stack)]

    def called(self, name: str) -> Sequence[ImageID | ChainID]:
        """The image, or else the layers, that a name means, also damaged ones; raises `LookupFailed`."""
        return called(name, self._store.names.matches(name, ("image", "layer")))

    # -- records -------------------------------------------------------------------------------

    def records(self, images: Iterable[ImageID], layers: Iterable[CacheID]) -> Iterator[Finding]:
        """The faults of the records of images and layers."""
        yield from self._not_compared()
        for image in images:
            yield from self._records.image(image)
        for layer in layers:
            stored = self._store.storage.all[layer]
            yield from self._records.layer(stored)
            yield from self._records.names(stored)

    def reported(self, told: Collection[str], *, is_all: bool) -> Iterator[Finding]:
        """Other damage that the store reported, except for the paths `told`; see `Records`."""
        return self._records.reported(told, is_all=is_all)

    def _not_compared(self) -> Iterator[Finding]:
        part = self._store.roots[0]
        foreign = None
        if any(self._is_foreign(stored) for stored in part.stored_layers()):
            foreign = "the root is not root's, nor a user namespace's"
        return not_compared(self._store.directory.display, self._options, foreign, sees_all=self._sees_all)

    def _is_foreign(self, stored: Stored) -> bool:
        """Whether owners on disk mean nothing: a copy, all of whose files belong to who made it."""
        owner = stored.part.owner_of_layers
        return bool(owner and owner[0]) and self._store.owners(stored).are_same

    # -- contents ------------------------------------------------------------------------------

    def verdicts(self, layers: Iterable[CacheID], on_progress: Progress) -> Iterator[LayerVerdict]:
        """Compare layers, by several processes; the verdicts in the order of `layers`."""
        if self._options.quick:
            return iter(())
        work = {layer: self._work(layer) for layer in layers if self._can_be_compared(layer)}
        return in_order(self.check, work, self._options.processes, on_progress, self._where)

    def _can_be_compared(self, layer: CacheID) -> bool:
        """Whether there is all that is needed; what is missing was found in the records."""
        stored = self._store.storage.all[layer]
        return bool(self._store.storage.diff_id(stored)) and self._store.split_size(stored) > 0

    def _work(self, layer: CacheID) -> int:
        stored = self._store.storage.all[layer]
        return (stored.record.size or 0) + _PER_RECORD * self._store.split_size(stored)

    def _where(self, layer: CacheID) -> tuple[str, str]:
        stored = self._store.storage.all[layer]
        return self._records.subject(stored), stored.part.directory.name_of(stored.part.layer_path(layer))

    def check(
        self, layer: CacheID, told: Callable[[int], object] = lambda _count: None, *, beside: bool = False
    ) -> LayerVerdict:
        """Compare one layer."""
        stored = self._store.storage.all[layer]
        diff_id = self._store.storage.diff_id(stored)
        assert diff_id is not None  # noqa: S101 - of others there is no job
        subject = self._records.subject(stored)
        try:
            archive = self._store.archive_of(stored)
        except CorruptStore:
            return LayerVerdict((), proven=False, tar_size=0)  # found in its record
        found = LayerFindings(subject, archive.diff, list_all=self._options.list_all)
        try:
            if stored.part.is_composefs(layer):
                proven, size = ObjectsCheck(stored, archive, found, told).run(diff_id)
            elif stored.part.opened.driver != OVERLAY:
                proven, size = self._of_whole_tree(stored, archive, found, told, diff_id)
            else:
                found, proven, size = self._of_tree(stored, archive, found, told, diff_id, beside=beside)
        except CorruptStore as error:
            more = from_damage(error, archive.noun, subject)
            return LayerVerdict((*found.result(), more), proven=False, tar_size=0)
        except OSError as error:
            found.add("unreadable", b"", None, error.strerror, "the layer cannot be read to its end")
            return LayerVerdict(found.result(), proven=False, tar_size=0)
        noted = stored.record.size
        if proven and noted is not None and noted != size:
            name = f"{stored.part.directory.name_of(stored.part.layers_file)}: {layer}"
            found.add(
                "size-wrong", name, f"{size} bytes", f"{noted} bytes", "not the size of the layer's tar"
            )
        return LayerVerdict(found.result(), proven, size)

    def _of_tree(
        self,
        stored: Stored,
        archive: LayerArchive,
        found: LayerFindings,
        told: Callable[[int], object],
        diff_id: DiffID,
        *,
        beside: bool,
    ) -> tuple[LayerFindings, bool, int]:
        """Compare the files of a layer by itself, as overlayfs stacks it."""
        compare = functools.partial(self._compare, stored, archive, diff_id, told, beside=beside)
        try:
            checked = compare(found, {})
        except PathRepeated:
            found = LayerFindings(
                self._records.subject(stored), archive.diff, list_all=self._options.list_all
            )
            checked = compare(found, archive.repeated())
        return found, checked.proven, checked.content.size

    def _compare(
        self,
        stored: Stored,
        archive: LayerArchive,
        diff_id: DiffID,
        told: Callable[[int], object],
        found: LayerFindings,
        repeated: Mapping[bytes, int],
        *,
        beside: bool,
    ) -> LayerCheck:
        """Compare; `repeated` are the paths that the tar has several times; raises `PathRepeated`."""
        attributes = self._attributes(stored, archive.diff)
        hiding = Hiding(archive, stored.part.form.dialect, lambda: None, naive=False)
        checked = LayerCheck(archive, found, attributes, hiding, told=told, beside=beside, repeated=repeated)
        checked.run(diff_id)
        return checked

    def _attributes(self, stored: Stored, diff: HostDir) -> Attributes:
        form, owners = stored.part.form, self._store.owners(stored)
        is_foreign, carried = self._is_foreign(stored), override_in_force(diff)
        aspects = self._options.aspects - {"owner"} if is_foreign else self._options.aspects
        return Attributes(
            aspects,
            form.dialect,
            in_place=False,
            sees_all=self._sees_all,
            owners=owners,
            unpacking=Unpacking(
                marker_files=form is Form.FUSE,
                by_parts=bool(stored.record.toc) and not stored.record.blob,
                rootless=is_foreign or not owners.are_same,
                root_modes=_ROOT_MODES,
                kept=Kept(carried, owners) if carried else None,
            ),
        )

    def _of_whole_tree(
        self,
        stored: Stored,
        archive: LayerArchive,
        found: LayerFindings,
        told: Callable[[int], object],
        diff_id: DiffID,
    ) -> tuple[bool, int]:
        """Compare the tree of a layer with that below it and its tar, as of the driver vfs."""
        below = self._store.storage.all.get(stored.record.parent) if stored.record.parent else None
        directory = below.part.files(below.record.id) if below else None
        attributes = self._attributes(stored, archive.diff)
        return WholeTreeCheck(archive, directory, found, attributes, told).run(diff_id)
