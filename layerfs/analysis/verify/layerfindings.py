"""Collects the findings of one layer, and sums up those that a bad copy makes for nearly every entry.

`docs/verify.md` explains the codes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from layerfs.analysis.doctor.findings import Finding

if TYPE_CHECKING:
    from layerfs.analysis.doctor.findings import Severity
    from layerfs.hostdir import HostDir

__all__ = ["LayerFindings"]

_UNREAD = "unreadable"
"""The code for an entry, or a part of it, that cannot be read."""

_SEVERITIES: dict[str, Severity] = {
    "tar-split-unclosed": "warning",
    "root-altered": "warning",
    _UNREAD: "warning",
    "sparse-member": "note",
    "member-overtaken": "note",
    "whiteout-with-content": "note",
    "link-with-size": "note",
    "socket-kept": "note",
}
"""The severities of codes that are not errors."""

_LOST_TOGETHER = {
    "mode-altered": "have other permissions",
    "owner-altered": "have another owner",
    "mtime-altered": "have another modification time",
    "xattr-missing": "lost an extended attribute",
    "xattr-extra": "have an additional extended attribute",
    "opaque-missing": "lost an opaque mark",
    "whiteout-missing": "are no longer whiteouts",
    _UNREAD: "cannot be read",
}
"""Codes that nearly all entries get in a careless copy, or without privilege; and the words of their sum."""

_FEW = 20
"""Up to so many findings of a code are never summed up."""
_PART = 4
"""A code of at least one in so many entries is summed up: a copy lost it, nobody changed single files."""

_MOST_TEXT = 64 << 20
"""The most characters of findings for one layer: a hostile archive can have millions of paths."""


class LayerFindings:
    """Collects the findings of one layer.

    Attributes:
        entries: how many entries were checked.
        total: how many findings were added.
    """

    def __init__(self, subject: str, diff: HostDir, *, list_all: bool) -> None:
        """Collect for the layer unpacked in `diff`; with `list_all` nothing is summed up."""
        self.entries = 0
        self.total = 0
        self._subject = subject
        self._diff = diff
        self._list_all = list_all
        self._found: list[Finding] = []
        self._counts: Counter[str] = Counter()
        self._text = 0

    def add(
        self, code: str, path: bytes | str, expected: str | None, actual: str | None, message: str
    ) -> None:
        """Add a finding at a path below `diff/`, or of a file of the store given as `str`."""
        self.total += 1
        self._counts[code] += 1
        name = path if isinstance(path, str) else self._diff.name_of(path)
        self._text += len(name) + len(expected or "") + len(actual or "")
        if self._text <= _MOST_TEXT or self._counts[code] == 1:
            severity = _SEVERITIES.get(code, "error")
            found = Finding(code, severity, self._subject, name, expected, actual, message)
            self._found.append(found._replace(unread=code == _UNREAD))

    def result(self) -> list[Finding]:
        """All findings, sorted by path."""
        lost = set() if self._list_all else {code for code in _LOST_TOGETHER if self._is_common(code)}
        found = [finding for finding in self._found if finding.code not in lost]
        found.sort(key=lambda finding: (finding.path, finding.code))
        found += [self._summed_up(code) for code in sorted(lost)]
        if self._text > _MOST_TEXT:
            more = self.total - len(self._found)
            message = f"{more} more findings in this layer are not named"
            found.append(Finding("more", "error", self._subject, self._diff.display, None, None, message))
        return found

    def _is_common(self, code: str) -> bool:
        count = self._counts[code]
        return count > _FEW and (count * _PART > self.entries or code == _UNREAD)

    def _summed_up(self, code: str) -> Finding:
        example = next(finding for finding in self._found if finding.code == code)
        where = example.path.removeprefix(self._diff.display)
        message = (
            f"{self._counts[code]} of {self.entries} entries {_LOST_TOGETHER[code]}: "
            f"lost in copying, or changed on purpose; for example {where}"
        )
        return example._replace(
            path=self._diff.display, message=message, hint="--list-all names every one of them"
        )
