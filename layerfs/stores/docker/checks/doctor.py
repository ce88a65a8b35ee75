"""Examines a data root, and makes one report of all faults.

Joins the checks of records (`structure`), of sizes (`layersize`), of tar-split data (`headers`), of things
that nothing needs (`orphans`), and of things left behind (`leftovers`, `foreign`, `stale`). Adds to each
finding its meaning for an Engine (`remedies`), whom it affects, and its bytes on disk (`allocation`).
"""

from __future__ import annotations

import contextlib
import os
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
from layerfs.errors import CorruptStore, OneStateLost
from layerfs.ids import ChainID, InvalidID
from layerfs.model import Diagnosis, Severity
from layerfs.stores.docker.checks.foreign import foreign
from layerfs.stores.docker.checks.headers import header_findings
from layerfs.stores.docker.checks.layersize import size_findings
from layerfs.stores.docker.checks.leftovers import Scanner
from layerfs.stores.docker.checks.orphans import Orphans
from layerfs.stores.docker.checks.remedies import remedy_of
from layerfs.stores.docker.checks.stale import stale
from layerfs.stores.docker.checks.structure import Structure
from layerfs.stores.docker.checks.survey import Survey
from layerfs.stores.docker.checks.verification import Verification
from layerfs.stores.docker.refstore import read_repositories

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from layerfs.capabilities import DoctorOptions, Progress
    from layerfs.model import Removes
    from layerfs.stores.docker.dataroot import DataRoot

__all__ = ["diagnose"]


def diagnose(root: DataRoot, options: DoctorOptions, on_progress: Progress) -> DoctorReport:
    """Examine a data root; see `Diagnosable`."""
    doctor = _Doctor(root)
    found = doctor.examine()
    if options.sizes:
        compared = set(doctor.compare(found, options.processes, on_progress)) if options.verify else set()
        others = [chain for chain in doctor.layers if chain not in compared]
        for chain in others:
            found += doctor.sizes(chain)
            on_progress("sizes", 1, len(others))
        found = sorted(doctor.allocation.priced(found, on_progress), key=worst_first)
    total = doctor.allocation.total if options.sizes else None
    return DoctorReport(found, total, doctor.allocation.complete, doctor.names(), bool(root.gone))


class _Doctor:
    """Examines one data root.

    Attributes:
        allocation: counts bytes on disk of findings; its total is that of everything counted.
    """

    def __init__(self, root: DataRoot) -> None:
        """Examine `root`; its records are read now."""
        self.root = root
        self.allocation = Allocation(root.directory)
        self._structure = Structure(root)
        self._survey = Survey(self._structure)
        self._orphans = Orphans(self._survey)
        self._dropped: frozenset[ChainID] = frozenset()

    def examine(self) -> list[Diagnosis]:
        """All findings that need no counting of files, the worst first."""
        return sorted((self._diagnosis(found) for found in self._found()), key=worst_first)

    @property
    def layers(self) -> Sequence[ChainID]:
        """The layers whose sizes can be checked."""
        return sorted(self._survey.layers)

    def sizes(self, chain: ChainID) -> Iterator[Diagnosis]:
        """The findings of counting the files of a layer and reading its tar-split data."""
        return map(self.judged, (*size_findings(self.root, chain), *header_findings(self.root, chain)))

    def judged(self, finding: Finding) -> Diagnosis:
        """The diagnosis of a finding that another check made."""
        return self._diagnosis(Found(finding))

    def compare(self, found: list[Diagnosis], processes: int, on_progress: Progress) -> list[ChainID]:
        """Compare layers with their archives, and add the findings; returns the layers that were compared."""
        verification = Verification(self.root, VerifyOptions(ASPECTS, processes=processes))
        jobs = verification.jobs(self.layers)
        for verdict in verification.verdicts(jobs, on_progress):
            found += map(self.judged, verdict.findings)
        return [job.chain_id for job in jobs]

    def names(self) -> dict[str, str]:
        """The names of images (the first one) and containers, by their subjects."""
        found: dict[str, str] = {}
        with contextlib.suppress(CorruptStore):
            for row in reversed(read_repositories(self.root.driver_dir).rows):
                found[image_subject(row.image_id)] = str(row.reference)
        for container_id, config in self._survey.configs.items():
            found[container_subject(container_id)] = config.name
        return found

    def _found(self) -> Iterator[Found]:
        structure, survey = self._structure, self._survey
        findings = [from_damage(problem, "store", ROOT) for problem in self.root.part_problems]
        findings += structure.names()
        for image_id in self.root.imagedb.image_ids():
            findings += structure.image(image_id)
        for chain in sorted(survey.layers):
            findings += structure.layer(chain)
        for container_id in sorted({*self.root.containerdb.container_ids(), *survey.mounts}):
            findings += structure.container(container_id)
        for problem in survey.snapshots_problems:
            severity: Severity = "warning" if isinstance(problem, OneStateLost) else "error"
            findings.append(from_damage(problem, "buildkit", ROOT, severity))
        self._dropped = frozenset(self._dropped_of(findings))
        for finding in findings:
            yield Found(finding, self._damage_costs(finding))
        scanner = Scanner(self.root.directory, survey.directories)
        yield from scanner.scan()
        yield from foreign(self.root.directory)
        yield from self._orphans.find(scanner.undone)
        yield from stale(survey)

    def _dropped_of(self, findings: Iterable[Finding]) -> Iterator[ChainID]:
        """The layers that an Engine does not load because of their own faults."""
        for finding in findings:
            kind, _, name = finding.subject.partition(" ")
            if kind == "layer" and self._is_dropped(finding):
                yield ChainID(name)

    def _damage_costs(self, finding: Finding) -> tuple[bytes, ...]:
        """The paths that a damaged record makes useless: unloaded layers, a lost container's own ones.

        Layers above another one that is not loaded count with that, so that no layer counts several times.
        """
        kind, _, name = finding.subject.partition(" ")
        if kind == "layer" and self._is_dropped(finding):
            above = self._survey.standing_on(ChainID(name), until=self._dropped)
            return tuple(path for chain in above for path in self._orphans.layer_paths(chain))
        if kind == "container" and finding.code.startswith(("mount", "init-id", "container-config")):
            return tuple(self._orphans.container_paths(name))
        return ()

    def _is_dropped(self, finding: Finding) -> bool:
        """Whether an Engine does not load the layer; it accepts a wrong parent if that exists."""
        wrong_parent = finding.code == "parent-wrong" and finding.actual not in self._survey.layers
        return wrong_parent or remedy_of(finding).drops

    def _diagnosis(self, found: Found) -> Diagnosis:
        finding, costs = found
        remedy = remedy_of(finding)
        affects, remove = self._affected(finding.subject), tuple(self._removed(found, remedy.removes))
        return Diagnosis(finding, remedy, affects, costs, remove=remove)

    def _removed(self, found: Found, what: Removes) -> Iterator[str]:
        """The existing paths that a remedy removes by hand; layers above unloaded ones go with those."""
        finding, costs = found
        paths: Iterable[bytes] = ()
        if what == "path":
            paths = (os.fsencode(finding.path.removeprefix(f"{self.root.directory.display}/")),)
        elif what == "costs":
            paths = costs
        elif what == "records":
            chain = ChainID(finding.subject.partition(" ")[2])
            above = self._survey.standing_on(chain, until=self._dropped)
            paths = map(self._orphans.record_path, above)
        for path in paths:
            with contextlib.suppress(OSError):
                self.root.directory.lstat(path)
                yield self.root.directory.name_of(path)

    def _affected(self, subject: str) -> tuple[str, ...]:
        kind, _, name = subject.partition(" ")
        if kind != "layer":
            return (subject,) if kind in ("image", "container") else ()
        try:
            return tuple(self._survey.users.get(ChainID(name), ()))
        except InvalidID:
            return ()
