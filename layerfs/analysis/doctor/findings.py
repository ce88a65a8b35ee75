"""Makes findings (`model.Finding`) from errors, and names their subjects.

Codes are stable, messages are not. `docs/doctor.md` and `docs/verify.md` list the codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import DataRootUnreadable, DigestMismatch, MalformedFile, MissingFile, OneStateLost
from layerfs.model import GROUPS, Finding, Severity

if TYPE_CHECKING:
    from layerfs.errors import CorruptStore
    from layerfs.ids import ChainID, ContainerID, ImageID
    from layerfs.model import Diagnosis

__all__ = [
    "ROOT",
    "SEVERITIES",
    "Finding",
    "Found",
    "Severity",
    "container_subject",
    "directory_subject",
    "from_damage",
    "image_subject",
    "layer_subject",
    "worst_first",
]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""Worst first: the engine loses or refuses something; something is impaired or wasted; good to know."""

ROOT = "root"
"""The subject of findings about the whole store."""


def worst_first(diagnosis: Diagnosis) -> tuple[int, int, str, str]:
    """The key by which diagnoses are sorted for a report."""
    finding = diagnosis.finding
    return (
        SEVERITIES.index(finding.severity),
        GROUPS.index(diagnosis.remedy.group),
        finding.code,
        finding.path,
    )


class Found(NamedTuple):
    """A finding, and the paths below the store whose files are counted as its size."""

    finding: Finding
    costs: tuple[bytes, ...] = ()


def image_subject(image: ImageID) -> str:
    """The subject of findings about an image."""
    return f"image {image}"


def layer_subject(chain: ChainID) -> str:
    """The subject of findings about a layer."""
    return f"layer {chain}"


def container_subject(container: ContainerID) -> str:
    """The subject of findings about a container."""
    return f"container {container}"


def directory_subject(name: str) -> str:
    """The subject of findings about a directory for layers that belongs to no layer and no container."""
    return f"directory {name}"


def from_damage(problem: CorruptStore, noun: str, subject: str, severity: Severity = "error") -> Finding:
    """The finding for an error that a reader of the store raised or yielded.

    Its code is `<noun>-<word>`. The word depends on the class of the error: `missing`, `malformed`,
    `state-lost`, `altered`, `wrong` or `unreadable`.
    """
    if isinstance(problem, DataRootUnreadable):
        message = "permission denied"
        code = f"{noun}-unreadable"
        return Finding(code, severity, subject, problem.path, message=message, hint=problem.hint, unread=True)
    return Finding(
        f"{noun}-{_kind(problem)}",
        severity,
        subject,
        problem.path,
        problem.expected,
        problem.found,
        problem.problem,
        problem.hint,
    )


def _kind(problem: CorruptStore) -> str:
    if isinstance(problem, MissingFile):
        return "missing"
    if isinstance(problem, OneStateLost):
        return "state-lost"
    if isinstance(problem, MalformedFile):
        return "malformed"
    return "altered" if isinstance(problem, DigestMismatch) else "wrong"
