"""The report of `doctor` on a graph root.

It has what is wrong with the records (`records`), what nothing needs (`leftovers`), and with `--verify` the
differences between files and tars (`verification`); `remedies` says what each finding means.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

from layerfs.analysis.doctor.allocation import Allocation
from layerfs.analysis.doctor.findings import (
    ROOT,
    Finding,
    Found,
    container_subject,
    from_damage,
    image_subject,
    worst_first,
)
from layerfs.analysis.verify.attributes import ASPECTS
from layerfs.capabilities import DoctorReport, VerifyOptions
from layerfs.errors import CorruptStore
from layerfs.ids import CacheID, ChainID, InvalidID
from layerfs.model import Diagnosis
from layerfs.stores.containers_storage.checks.documents import severity_of
from layerfs.stores.containers_storage.checks.leftovers import Leftovers
from layerfs.stores.containers_storage.checks.records import Records
from layerfs.stores.containers_storage.checks.remedies import remedy_of
from layerfs.stores.containers_storage.checks.verification import Verification
from layerfs.stores.looks import is_there

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.capabilities import DoctorOptions, Progress
    from layerfs.ids import DiffID
    from layerfs.stores.containers_storage.parts import Stored
    from layerfs.stores.containers_storage.store import GraphRoot
    from layerfs.stores.layerarchive import LayerArchive

__all__ = ["diagnose"]


def diagnose(store: GraphRoot, options: DoctorOptions, on_progress: Progress) -> DoctorReport:
    """Examine a graph root; see `Diagnosable`."""
    store.keep_quiet()
    doctor = _Doctor(store)
    found = list(doctor.found())
    if options.sizes:
        found += map(Found, doctor.headers(on_progress))
    if options.verify:
        found += map(Found, doctor.compared(options.processes, on_progress))
    found += map(Found, doctor.reported({item.finding.path for item in found}))
    found = list({_key(item.finding): item for item in reversed(found)}.values())
    diagnoses = [doctor.diagnosis(item) for item in found]
    allocation = Allocation(store.directory)
    if options.sizes:
        diagnoses = allocation.priced(diagnoses, on_progress)
    total = allocation.total if options.sizes else None
    return DoctorReport(
        sorted(diagnoses, key=worst_first), total, allocation.complete, doctor.names(), bool(doctor.gone)
    )


def _key(finding: Finding) -> tuple[str, str, str, str | None]:
    return finding.code, finding.subject, finding.path, finding.actual


class _Doctor:
    """Examines one store.

    Attributes:
        gone: the parts of the root that are not there.
    """

    def __init__(self, store: GraphRoot) -> None:
        self._store = store
        self._records = Records(store)
        self._users = self._users_of_layers()
        self.gone = [] if len(store.roots) > 1 else list(self._missing_parts())

    def found(self) -> Iterator[Found]:
        """All findings that need no contents."""
        yield from map(Found, self._findings())
        is_whole = all(part.is_whole and not part.images_problem for part in self._store.roots)
        complete = is_whole and not self._store.damage
        yield from Leftovers(self._store, self._users, complete=complete).found()

    def _missing_parts(self) -> Iterator[str]:
        opened = self._store.roots[0].opened
        for path in (opened.images, opened.layers, opened.files):
            if not is_there(self._store.directory, path):
                yield path

    def _findings(self) -> Iterator[Finding]:
        for path in self.gone:
            message = "a part of the root is missing"
            yield Finding(
                "store-missing", "error", ROOT, self._store.directory.name_of(path), message=message
            )
        for part in self._store.roots:
            _ = part.form  # what tells it may be damaged, which the store reports
        for image in self._store.image_ids():
            yield from self._records.image(image)
        for stored in self._layers():
            yield from self._records.layer(stored, is_needed=stored.record.id in self._users)
        yield from self._records.containers()
        yield from self._twice()

    def _layers(self) -> list[Stored]:
        """The layers of the root, and those of others' that are needed."""
        own = self._store.roots[0]
        return [
            stored
            for stored in self._store.storage.all.values()
            if stored.part is own or stored.record.id in self._users
        ]

    def _twice(self) -> Iterator[Finding]:
        """Names that two images or two layers have."""
        part = self._store.roots[0]
        for file, records in ((part.images_file, part.images), (part.layers_file, part.layers)):
            counted = Counter(name for record in records.values() for name in record.names)
            for name in sorted(name for name, count in counted.items() if count > 1):
                noun = file.rpartition("/")[2].partition("s.")[0]
                message = f"{counted[name]} of them have this name: it is the first one's"
                path = f"{part.directory.name_of(file)}: {ascii(name)[1:-1]}"
                yield Finding(f"{noun}-name-twice", "warning", ROOT, path, message=message)

    def headers(self, on_progress: Progress) -> Iterator[Finding]:
        """The findings of reading the headers of all tars: their length is noted too."""
        layers = [item for item in self._layers() if self._store.split_size(item)]
        for stored in layers:
            yield from self._header(stored)
            on_progress("sizes", 1, len(layers))

    def _header(self, stored: Stored) -> Iterator[Finding]:
        subject, noted = self._records.subject(stored), stored.record.size
        try:
            archive = self._store.archive_of(stored)
        except CorruptStore:
            return  # found in its record
        try:
            size = archive.size(cut=True)
        except CorruptStore as error:
            yield from_damage(error, "tar-split", subject, severity_of(error))
            return
        if archive.unclosed and size != noted:
            message = "the file ends before its end"
            yield Finding("tar-split-malformed", "error", subject, archive.name, message=message)
        elif (
            noted is not None and noted != size and not _is_tar(archive, self._store.storage.diff_id(stored))
        ):
            said = f"{noted} bytes", f"{size} bytes"
            message = "not the headers of this layer's tar, by their length and by its digest"
            yield Finding("tar-split-altered", "error", subject, archive.name, *said, message)
        elif noted is not None and noted != size:
            name = f"{stored.part.directory.name_of(stored.part.layers_file)}: {stored.record.id}"
            said = f"{size} bytes", f"{noted} bytes"
            yield Finding("size-wrong", "error", subject, name, *said, "not the size of the layer's tar")

    def compared(self, processes: int, on_progress: Progress) -> Iterator[Finding]:
        """The findings of reading every layer."""
        check = Verification(self._store, VerifyOptions(ASPECTS, processes=processes))
        for verdict in check.verdicts(list(check.all_layers()), on_progress):
            yield from verdict.findings

    def reported(self, told: set[str]) -> Iterator[Finding]:
        """Other damage that the store reported, except for the paths `told`."""
        return self._records.reported(told)

    # -- what it means -------------------------------------------------------------------------

    def diagnosis(self, found: Found) -> Diagnosis:
        """The diagnosis of a finding."""
        finding, costs = found
        remedy = remedy_of(finding.code, finding.subject)
        return Diagnosis(finding, remedy, self._affected(finding.subject), costs)

    def names(self) -> dict[str, str]:
        """The names of images and containers, by their subjects."""
        images = ((image_subject(image.id), image.name) for image in self._store.images())
        names = self._store.container_names()
        return dict(images) | {container_subject(key): name for key, name in names.items() if name}

    def _users_of_layers(self) -> dict[str, dict[str, None]]:
        """The images and containers that need each layer, by its ID, as far as records lead down."""
        found: dict[str, dict[str, None]] = {}
        for image, noted in self._store.image_records.all.items():
            for top in (noted.record.layer, *noted.record.mapped):
                self._need(found, top, image_subject(image))
        for container in self._store.containers():
            for layer in container.own:
                self._need(found, CacheID(layer.cache_id), container_subject(container.id))
        return found

    def _need(self, found: dict[str, dict[str, None]], top: CacheID | None, subject: str) -> None:
        at = top
        while at and at in self._store.storage.all and subject not in found.get(at, ()):
            found.setdefault(at, {})[subject] = None
            at = self._store.storage.all[at].record.parent

    def _affected(self, subject: str) -> tuple[str, ...]:
        kind, _, name = subject.partition(" ")
        if kind == "directory":
            return tuple(self._users.get(name, ()))
        if kind != "layer":
            return (subject,) if kind in ("image", "container") else ()
        try:
            copies = self._store.storage.by_chain.get(ChainID(name), ())
        except InvalidID:
            return ()
        return tuple(dict.fromkeys(user for layer in copies for user in self._users.get(layer.cache_id, ())))


def _is_tar(archive: LayerArchive, diff_id: DiffID | None) -> bool:
    """Whether the tar made anew is the layer's: asked only where its length is not the one noted."""
    hasher = hashlib.sha256()
    try:
        for _ in archive.rebuild(hasher.update, cut=True):
            return False
    except CorruptStore:
        return False
    return diff_id is None or hasher.hexdigest() == diff_id.hex
