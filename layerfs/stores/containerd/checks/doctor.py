"""The report of `doctor` on a containerd root.

It has what is wrong with the records (`records`), what nothing needs (`leftovers`), and with `--verify` the
differences between files and blobs (`verification`); `remedies` says what each finding means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.analysis.doctor.allocation import Allocation
from layerfs.analysis.doctor.findings import (
    Found,
    container_subject,
    image_subject,
    worst_first,
)
from layerfs.analysis.verify.attributes import ASPECTS
from layerfs.capabilities import DoctorReport, VerifyOptions
from layerfs.ids import ChainID, InvalidID
from layerfs.layerchain import walk_down
from layerfs.model import Diagnosis
from layerfs.stores.containerd.checks.leftovers import leftovers
from layerfs.stores.containerd.checks.records import Records
from layerfs.stores.containerd.checks.remedies import remedy_of
from layerfs.stores.containerd.checks.verification import Verification

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerfs.analysis.doctor.findings import Finding
    from layerfs.capabilities import DoctorOptions, Progress
    from layerfs.stores.containerd.store import ContainerdStore

__all__ = ["diagnose"]


def diagnose(store: ContainerdStore, options: DoctorOptions, on_progress: Progress) -> DoctorReport:
    """Examine a containerd root; see `Diagnosable`."""
    store.keep_quiet()
    doctor = _Doctor(store)
    found = list(doctor.found())
    if options.verify:
        found += map(Found, doctor.compared(options.processes, on_progress))
    found += doctor.reported({item.finding.path for item in found})
    diagnoses = [doctor.diagnosis(item) for item in found]
    allocation = Allocation(store.directory)
    if options.sizes:
        diagnoses = allocation.priced(diagnoses, on_progress)
    total = allocation.total if options.sizes else None
    gone = any(not item.has_records for item in store.snapshotters.values())
    return DoctorReport(sorted(diagnoses, key=worst_first), total, allocation.complete, doctor.names(), gone)


class _Doctor:
    """Examines one store."""

    def __init__(self, store: ContainerdStore) -> None:
        self._store = store
        self._records = Records(store)
        self._users = self._users_of_layers()

    def found(self) -> Iterator[Found]:
        """All findings that need no contents."""
        store, records = self._store, self._records
        seen: set[tuple[str, str, str]] = set()
        for finding in self._findings(records):
            if (key := (finding.code, finding.subject, finding.path)) not in seen:
                seen.add(key)
                yield Found(finding)
        yield from leftovers(store)

    def _findings(self, records: Records) -> Iterator[Finding]:
        for image_id in sorted(self._store.targets.ids):
            yield from records.image(image_id)
        for layer in self._store.layers_by_chain.values():
            yield from records.layer(layer)
        yield from records.snapshots()
        passed = {layer.digest or layer.diff_id for layer in self._store.layers_by_chain.values()}
        yield from records.missing_blobs(passed)

    def compared(self, processes: int, on_progress: Progress) -> Iterator[Finding]:
        """The findings of reading every layer."""
        check = Verification(self._store, VerifyOptions(ASPECTS, processes=processes))
        for verdict in check.verdicts(list(self._store.layers_by_chain), on_progress):
            yield from verdict.findings

    def reported(self, told: set[str]) -> Iterator[Found]:
        """Other damage that the store reported, except for the paths `told`."""
        return map(Found, self._records.reported(told))

    def diagnosis(self, found: Found) -> Diagnosis:
        """The diagnosis of a finding."""
        finding, costs = found
        return Diagnosis(
            finding, remedy_of(finding.code, finding.subject), self._affected(finding.subject), costs
        )

    def names(self) -> dict[str, str]:
        """The names of images and containers, by their subjects."""
        images = ((image_subject(image.id), image.name) for image in self._store.images())
        names = self._store.container_names()
        return dict(images) | {container_subject(key): name for key, name in names.items() if name}

    def _users_of_layers(self) -> Mapping[ChainID, dict[str, None]]:
        found: dict[ChainID, dict[str, None]] = {}
        for image in self._store.images():
            for layer in image.chain:
                found.setdefault(layer, {})[image_subject(image.id)] = None
        known = self._store.layers_by_chain
        for container in self._store.containers():
            for below in walk_down(container.top, known.get) if container.top else ():
                found.setdefault(below.chain_id, {})[container_subject(container.id)] = None
        return found

    def _affected(self, subject: str) -> tuple[str, ...]:
        kind, _, name = subject.partition(" ")
        if kind != "layer":
            return (subject,) if kind in ("image", "container") else ()
        try:
            return tuple(self._users.get(ChainID(name), ()))
        except InvalidID:
            return ()
