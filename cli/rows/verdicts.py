"""Findings as lines and rows, and their summary."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from ..escape import printable
from ..table import Column, Table
from ..units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerfs.analysis.doctor.findings import Finding

__all__ = ["Tally", "finding_line", "finding_table"]

_LONG_ID = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


class Tally:
    """Counts findings.

    Attributes:
        severities: how many findings of each.
        unread: how many findings say that something could not be read.
    """

    def __init__(self, images: int, layers: int) -> None:
        """Count the findings of a number of images and layers."""
        self.severities: Counter[str] = Counter()
        self.unread = 0
        self._images = images
        self._layers = layers
        self._read = ""

    def counted(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Count findings while passing them on."""
        for finding in findings:
            self.severities[finding.severity] += 1
            self.unread += finding.unread
            yield finding

    def proved(self, layers: int, size: int, seconds: float) -> None:
        """Note how many layers were proven, how many bytes all have, and how many seconds that took."""
        if not self._layers:
            return
        count = "" if layers == self._layers else f"{layers} of "
        rate = f", {human_size(int(size / seconds))}/s" if seconds else ""
        read = f" ({human_size(size)}{rate})" if size else ""
        self._read = f"; content of {count}{_count(self._layers, 'layer')} proven{read}"

    def summary(self) -> str:
        """The summary, in one line."""
        what = [_count(self._images, "image")] * bool(self._images) + [_count(self._layers, "layer")]
        found = [_count(self.severities[name], name) for name in ("error", "warning", "note")]
        return f"{', '.join(what)}: {', '.join(found)}{self._read}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def finding_line(finding: Finding, root: str, *, full: bool) -> str:
    """A finding as a line: where, what, expected and found, and its code."""
    path = finding.path.removeprefix(root.rstrip("/") + "/")
    parts = [f"expected {finding.expected}"] if finding.expected is not None else []
    parts += [f"found {finding.actual}"] if finding.actual is not None else []
    said = f" ({', '.join(parts)})" if parts else ""
    hint = f"; {finding.hint}" if finding.hint else ""
    line = f"{finding.severity}: {path}: {finding.message}{said}{hint} [{finding.code}]"
    return printable(line if full else _LONG_ID.sub(r"\1", line))


def finding_table() -> Table[Finding]:
    """The columns of findings."""

    def column(key: str) -> Column[Finding]:
        def value(finding: Finding) -> Any:
            return getattr(finding, key)

        return Column(key, value, key.capitalize(), key.upper())

    keys = ("code", "severity", "subject", "path", "expected", "actual", "message", "unread")
    return Table(tuple(map(column, keys)), ("Severity", "Code", "Path", "Expected", "Actual", "Message"))
