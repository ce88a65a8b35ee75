"""Runs the check of layers in several processes, for every kind of store; the results come in order.

How one layer is checked is the kind's own `LayerChecker`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from layerfs.analysis.doctor.findings import ROOT, Finding
from layerfs.analysis.verify.workers import Lost, in_processes
from layerfs.errors import AmbiguousName, LayerNotFound
from layerfs.ids import ChainID, ImageID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerfs.capabilities import Progress, VerifyOptions
    from layerfs.layernames import Match

__all__ = ["LayerVerdict", "called", "in_order", "not_compared"]

_Job = TypeVar("_Job")
_Checked_contra = TypeVar("_Checked_contra", contravariant=True)


class LayerVerdict(NamedTuple):
    """The result of the check of one layer.

    Attributes:
        findings: sorted by path.
        proven: whether what is unpacked is the tar whose sha256 is the diff ID.
        tar_size: bytes of that tar.
    """

    findings: Sequence[Finding]
    proven: bool
    tar_size: int


class LayerChecker(Protocol[_Checked_contra]):
    """The check of one layer, in one kind of store."""

    def __call__(
        self, job: _Checked_contra, told: Callable[[int], object], /, *, beside: bool
    ) -> LayerVerdict:
        """Check a layer.

        Args:
            job: the layer.
            told: called with the number of bytes since the last call.
            beside: whether a thread may do a part, as another processor is free.
        """


def in_order(
    check: LayerChecker[_Job],
    work: Mapping[_Job, int],
    processes: int,
    on_progress: Progress,
    where: Callable[[_Job], tuple[str, str]],
) -> Iterator[LayerVerdict]:
    """Check layers by several processes, the longest first; yields the verdicts in the order of `work`.

    Args:
        check: checks one layer.
        work: the layers, each with its bytes as a measure of the time.
        processes: the number of processes.
        on_progress: is called for the part `layers`, in bytes.
        where: the subject and path for the finding about a layer whose process died.
    """
    total, done = sum(work.values()), dict.fromkeys(work, 0)

    def told(job: _Job, amount: int) -> None:
        amount = min(amount, work[job] - done[job])  # what was noted of its size may be wrong
        done[job] += amount
        on_progress("layers", amount, total)

    def checked(job: _Job, told: Callable[[int], object]) -> LayerVerdict:
        # longer than its share: other processors will be free before it is done
        return check(job, told, beside=processes > 1 and work[job] * processes > total)

    ready: dict[_Job, LayerVerdict] = {}
    waiting = iter(work)
    at = next(waiting, None)
    longest_first = sorted(work, key=lambda job: -work[job])
    for job, verdict in in_processes(checked, longest_first, processes, told):
        told(job, work[job])
        ready[job] = _lost(*where(job), verdict) if isinstance(verdict, Lost) else verdict
        while at in ready:
            yield ready.pop(at)
            at = next(waiting, None)


def _lost(subject: str, path: str, lost: Lost) -> LayerVerdict:
    how = f"signal {-lost.exit_code}" if lost.exit_code < 0 else f"exit code {lost.exit_code}"
    message = "the process that compared this layer died: it is not compared"
    finding = Finding("not-compared", "error", subject, path, None, how, message)
    return LayerVerdict((finding._replace(unread=True),), proven=False, tar_size=0)


def not_compared(
    path: str, options: VerifyOptions, foreign: str | None, *, sees_all: bool
) -> Iterator[Finding]:
    """The findings about attributes that cannot be compared in any layer.

    Args:
        path: the path of the store.
        options: the options of the check.
        foreign: words for who does not own the root, if its owners mean nothing; None if they do.
        sees_all: whether `trusted.*` attributes can be seen.
    """
    if options.quick:
        return
    if "owner" in options.aspects and foreign:
        message = f"{foreign}: owners are not compared"
        yield Finding("owners-not-compared", "warning", ROOT, path, message=message)
    if not sees_all:
        message = "trusted.* attributes cannot be seen without root: opaque marks are not compared"
        yield Finding("marks-not-compared", "warning", ROOT, path, message=message)


def called(name: str, matches: Sequence[Match]) -> list[ImageID | ChainID]:
    """The image, or else the layers, that a name means by its matches, also damaged ones.

    Raises:
        LookupFailed: it means several, or something that has no archive to be compared with.
    """
    if len({match.text for match in matches}) > 1 and len(ids := {match.id for match in matches}) > 1:
        raise AmbiguousName(name, sorted(ids))
    found = [match.id for match in matches if isinstance(match.id, (ImageID, ChainID))]
    if not found:
        raise LayerNotFound(
            f"{name} is no image's layer: it has no archive that it could be compared with",
            hint="`layerfs whois` tells whose it is",
        )
    return list(dict.fromkeys(found))
