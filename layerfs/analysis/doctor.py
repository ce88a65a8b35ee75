"""Everything that is wrong with a data root, in one report.

Joins the checks of records (`structure`), of sizes (`layersize`), of what nothing needs (`orphans`), of what
was left behind (`leftovers`, `foreign`, `stale`), and says of each finding what it is to an Engine
(`remedies`), whom it concerns, and what it costs (`allocation`).
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.allocation import Allocation
from layerfs.analysis.findings import ROOT, SEVERITIES, Finding, Found, from_damage
from layerfs.analysis.foreign import foreign
from layerfs.analysis.layersize import size_findings
from layerfs.analysis.leftovers import Scanner
from layerfs.analysis.orphans import Orphans
from layerfs.analysis.remedies import GROUPS, Remedy, remedy_of
from layerfs.analysis.stale import stale
from layerfs.analysis.structure import Structure
from layerfs.analysis.survey import Survey
from layerfs.ids import ChainID, InvalidID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from layerfs.analysis.remedies import Removes
    from layerfs.stores.docker.dataroot import DataRoot

__all__ = ["Diagnosis", "Doctor"]


class Diagnosis(NamedTuple):
    """A finding, and what it means.

    Attributes:
        finding: what was found.
        remedy: what it does to an Engine, and what could be done.
        affects: the images and containers it concerns, as subjects of findings.
        costs: the paths below the data root whose files are what it costs.
        bytes: what these take on disk; None until it was counted.
        remove: what the remedy removes by hand, named as `path` of the finding.
    """

    finding: Finding
    remedy: Remedy
    affects: tuple[str, ...] = ()
    costs: tuple[bytes, ...] = ()
    bytes: int | None = None
    remove: tuple[str, ...] = ()


class Doctor:
    """Examines one data root.

    Attributes:
        allocation: counts what findings cost; its total is that of all that was counted.
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
        """All that is found without counting files, the worst first."""
        return sorted((self._diagnosis(found) for found in self._found()), key=_order)

    @property
    def layers(self) -> Sequence[ChainID]:
        """The layers whose sizes can be checked."""
        return sorted(self._survey.layers)

    def sizes(self, chain: ChainID) -> Iterator[Diagnosis]:
        """What is found when the files of a layer are counted."""
        return map(self.judged, size_findings(self.root, chain))

    def judged(self, finding: Finding) -> Diagnosis:
        """What a finding means that another check has made."""
        return self._diagnosis(Found(finding))

    def priced(self, diagnosis: Diagnosis) -> Diagnosis:
        """The same with what it costs on disk."""
        return diagnosis._replace(bytes=self.allocation.of(diagnosis.costs))

    @staticmethod
    def ordered(diagnoses: list[Diagnosis]) -> list[Diagnosis]:
        """The worst first, of one group together."""
        return sorted(diagnoses, key=_order)

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
        findings += (from_damage(problem, "buildkit", ROOT) for problem in survey.snapshots_problems)
        self._dropped = frozenset(self._dropped_of(findings))
        for finding in findings:
            yield Found(finding, self._damage_costs(finding))
        scanner = Scanner(self.root.directory, survey.directories)
        yield from scanner.scan()
        yield from foreign(self.root.directory)
        yield from self._orphans.find(scanner.undone)
        yield from stale(survey)

    def _dropped_of(self, findings: Iterable[Finding]) -> Iterator[ChainID]:
        """The layers that an Engine drops for what is wrong with themselves."""
        for finding in findings:
            kind, _, name = finding.subject.partition(" ")
            if kind == "layer" and self._is_dropped(finding):
                yield ChainID(name)

    def _damage_costs(self, finding: Finding) -> tuple[bytes, ...]:
        """What a damaged record makes useless: the layers that are dropped, a lost container's own.

        What stands on another layer that is dropped counts with that one, so no layer is in many sums.
        """
        kind, _, name = finding.subject.partition(" ")
        if kind == "layer" and self._is_dropped(finding):
            above = self._survey.standing_on(ChainID(name), until=self._dropped)
            return tuple(path for chain in above for path in self._orphans.layer_paths(chain))
        if kind == "container" and finding.code.startswith(("mount", "init-id", "container-config")):
            return tuple(self._orphans.container_paths(name))
        return ()

    def _is_dropped(self, finding: Finding) -> bool:
        """Whether an Engine does not load the layer; a wrong parent is followed if there is one."""
        wrong_parent = finding.code == "parent-wrong" and finding.actual not in self._survey.layers
        return wrong_parent or remedy_of(finding.code).drops

    def _diagnosis(self, found: Found) -> Diagnosis:
        finding, costs = found
        remedy = remedy_of(finding.code)
        affects, remove = self._affected(finding.subject), tuple(self._removed(found, remedy.removes))
        return Diagnosis(finding, remedy, affects, costs, remove=remove)

    def _removed(self, found: Found, what: Removes) -> Iterator[str]:
        """What a remedy removes by hand, as far as it is there; layers on others that are dropped, there."""
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


def _order(diagnosis: Diagnosis) -> tuple[int, int, str, str]:
    finding = diagnosis.finding
    return (
        SEVERITIES.index(finding.severity),
        GROUPS.index(diagnosis.remedy.group),
        finding.code,
        finding.path,
    )
