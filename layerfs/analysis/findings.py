"""A finding: one thing of a data root that is not what it must be, the same shape for every check.

Made by `structure` (the records), `doctor` (the whole root) and the verification of layers; the codes
are stable, words are not. `docs/doctor.md` lists the codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from layerfs.errors import DataRootUnreadable, DigestMismatch, MalformedFile, MissingFile

if TYPE_CHECKING:
    from layerfs.errors import CorruptStore
    from layerfs.ids import ChainID, ContainerID, ImageID

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
]

Severity: TypeAlias = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""Worst first: the engine loses or refuses something; something is impaired or wasted; good to know."""

ROOT = "root"
"""The subject of what concerns the data root as a whole."""


class Finding(NamedTuple):
    """One defect, leftover, or difference.

    Attributes:
        code: which it is, in stable words as `lower-missing`.
        severity: how bad it is.
        subject: what it concerns: `image <ID>`, `layer <chain ID>`, `container <ID>`,
            `directory <name in overlay2/>`, or `root`; IDs in full.
        path: the file it is about, named as in the messages of the data root.
        expected: what should be there, or None.
        actual: what is there, or None.
        message: what is wrong, in a few words.
        hint: what to do or to know about it, or None.
    """

    code: str
    severity: Severity
    subject: str
    path: str
    expected: str | None = None
    actual: str | None = None
    message: str = ""
    hint: str | None = None


class Found(NamedTuple):
    """A finding, and the paths below the data root whose files are what it costs."""

    finding: Finding
    costs: tuple[bytes, ...] = ()


def image_subject(image: ImageID) -> str:
    """The subject of what concerns an image."""
    return f"image {image}"


def layer_subject(chain: ChainID) -> str:
    """The subject of what concerns a layer."""
    return f"layer {chain}"


def container_subject(container: ContainerID) -> str:
    """The subject of what concerns a container."""
    return f"container {container}"


def directory_subject(name: str) -> str:
    """The subject of what concerns a directory of `overlay2/` that is of no layer and no container."""
    return f"directory {name}"


def from_damage(problem: CorruptStore, noun: str, subject: str, severity: Severity = "error") -> Finding:
    """The finding for what a reader of the store raised or yielded.

    Its code is `noun` and, by the kind of the error, `missing`, `malformed`, `altered`, `wrong` or
    `unreadable`.
    """
    if isinstance(problem, DataRootUnreadable):
        message = "permission denied"
        return Finding(
            f"{noun}-unreadable", severity, subject, problem.path, message=message, hint=problem.hint
        )
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
    if isinstance(problem, MalformedFile):
        return "malformed"
    return "altered" if isinstance(problem, DigestMismatch) else "wrong"
