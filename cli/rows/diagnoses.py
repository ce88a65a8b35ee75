"""The findings of `layerfs doctor` as rows, and as a report to read.

The report names each kind of finding once, with what it means and what could be done, and below it
where it was found.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

from ..colors import HEADING, SEVERITIES, colored, paint
from ..escape import printable
from ..table import Column, Table
from ..units import human_size, short_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from layerfs.model import Diagnosis

__all__ = ["diagnosis_table", "report_lines", "row_of", "summary"]

Row: TypeAlias = dict[str, Any]

SHOWN = 10
"""How many findings of one code the report lists, and how many names of those that one concerns."""


def row_of(diagnosis: Diagnosis) -> Row:
    """A finding with all that it means."""
    finding, remedy = diagnosis.finding, diagnosis.remedy
    return {
        "code": finding.code,
        "severity": finding.severity,
        "subject": finding.subject,
        "path": finding.path,
        "expected": finding.expected,
        "actual": finding.actual,
        "message": finding.message,
        "group": remedy.group,
        "affects": list(diagnosis.affects),
        "bytes": diagnosis.bytes,
        "at_start": remedy.at_start,
        "later": remedy.later,
        "suggestion": remedy.suggestion or finding.hint or "",
        "remove": list(diagnosis.remove),
    }


def diagnosis_table(*, full: bool) -> Table[Row]:
    """A row for each finding."""
    return Table(
        (
            Column("code", lambda row: row["code"], "Code", "CODE"),
            Column("severity", lambda row: row["severity"], "Severity", "SEVERITY"),
            Column(
                *("subject", lambda row: row["subject"], "Subject", "SUBJECT"),
                lambda row: row["subject"] if full else _short(row["subject"]),
            ),
            Column("path", lambda row: row["path"], "Path", "PATH"),
            Column("expected", lambda row: row["expected"], "Expected", "EXPECTED"),
            Column("actual", lambda row: row["actual"], "Actual", "ACTUAL"),
            Column("message", lambda row: row["message"], "Message", "MESSAGE"),
            Column("group", lambda row: row["group"], "Group", "GROUP"),
            Column(
                *("affects", lambda row: row["affects"], "Affects", "AFFECTS"),
                lambda row: ", ".join(_short(name) for name in row["affects"]),
            ),
            Column(
                *("bytes", lambda row: row["bytes"], "Bytes", "BYTES"),
                lambda row: "" if row["bytes"] is None else human_size(row["bytes"]),
            ),
            Column("at_start", lambda row: row["at_start"], "AtStart", "AT START"),
            Column("later", lambda row: row["later"], "Later", "LATER"),
            Column("suggestion", lambda row: row["suggestion"], "Suggestion", "SUGGESTION"),
            Column(
                *("remove", lambda row: row["remove"], "Remove", "REMOVE"),
                lambda row: ", ".join(row["remove"]),
            ),
        ),
        ("Severity", "Code", "Subject", "Bytes", "Path"),
    )


def report_lines(rows: Sequence[Row], place: str, names: Mapping[str, str], *, full: bool) -> Iterator[str]:
    """The report, a line at a time: by group, severity and code, and by what could be done.

    Args:
        rows: the findings.
        place: the data root, which is left out in front of paths.
        names: what to call images and containers, by their subjects.
        full: show every finding, and IDs and names in full.
    """
    ranks = {severity: number for number, severity in enumerate(("error", "warning", "note"))}
    worst: dict[str, int] = {}
    for row in rows:
        worst[row["group"]] = min(worst.get(row["group"], len(ranks)), ranks[row["severity"]])
    for group in sorted(worst, key=lambda name: (worst[name], list(worst).index(name))):
        yield paint(group.upper(), HEADING if colored() else "")
        chosen = sorted(
            (row for row in rows if row["group"] == group),
            key=lambda row: (ranks[row["severity"]], row["code"], row["suggestion"]),
        )
        for _, of_code in groupby(chosen, key=lambda row: (row["severity"], row["code"], row["suggestion"])):
            yield from _code_lines(list(of_code), place, names, full=full)
        yield ""


def _code_lines(rows: Sequence[Row], place: str, names: Mapping[str, str], *, full: bool) -> Iterator[str]:
    first = rows[0]
    count = f" ({len(rows)})" if len(rows) > 1 else ""
    severity = paint(first["severity"], SEVERITIES[first["severity"]] if colored() else "")
    yield f"  {severity}: {first['code']}{count}"
    if first["at_start"]:
        yield f"      an Engine, when it starts: {first['at_start']}"
    if first["later"]:
        yield f"      later: {first['later']}"
    if first["suggestion"]:
        yield f"      what could be done: {first['suggestion']}"
    shown = rows if full else rows[:SHOWN]
    for row in shown:
        yield from _finding_lines(row, place, names, full=full)
    if len(rows) > len(shown):
        yield f"    … and {len(rows) - len(shown)} more; --no-trunc shows all"


def _finding_lines(row: Row, place: str, names: Mapping[str, str], *, full: bool) -> Iterator[str]:
    path = row["path"].removeprefix(f"{place}/")
    size = f" ({human_size(row['bytes'])})" if row["bytes"] else ""
    yield f"    - {printable(path)}{size}"
    if row["message"]:
        yield f"        {printable(row['message'])}"
    if row["expected"] is not None or row["actual"] is not None:
        parts = [f"expected {row['expected']}"] if row["expected"] is not None else []
        parts += [f"found {row['actual']}"] if row["actual"] is not None else []
        yield f"        {printable(', '.join(parts))}"
    removed = [] if row["remove"] == [row["path"]] else row["remove"]
    shown = removed if full else removed[:SHOWN]
    for item in shown:
        yield f"        to remove: {printable(item.removeprefix(f'{place}/'))}"
    if len(removed) > len(shown):
        yield f"        … and {len(removed) - len(shown)} more to remove; --no-trunc shows all"
    affected = sorted(row["affects"], key=lambda name: name not in names)  # those with a name first
    concerned = [*dict.fromkeys([row["subject"], *affected])]
    if concerned != ["root"]:
        limit = len(concerned) if full else SHOWN
        words = [_called(name, names, full=full) for name in concerned[:limit]]
        rest = f" and {len(concerned) - limit} more" if len(concerned) > limit else ""
        yield f"        concerns {printable(', '.join(words))}{rest}"


def _called(subject: str, names: Mapping[str, str], *, full: bool) -> str:
    """A subject by its name where it has one, else by its ID."""
    kind, _, _ = subject.partition(" ")
    return f"{kind} {names[subject]}" if subject in names else subject if full else _short(subject)


def _short(subject: str) -> str:
    kind, space, name = subject.partition(" ")
    return f"{kind}{space}{short_id(name)}"


def summary(rows: Iterable[Row], total: int | None, *, complete: bool) -> str:
    """How much was found, in a line.

    Args:
        rows: the findings.
        total: bytes on disk of all they cost, each file once; None where that was not counted.
        complete: whether all of it could be counted.
    """
    counts = {"error": 0, "warning": 0, "note": 0}
    for row in rows:
        counts[row["severity"]] += 1
    words = [f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items() if count]
    found = ", ".join(words) or "nothing found"
    if total is None or not words:
        return found
    return f"{found}; {'' if complete else 'at least '}{human_size(total)} on disk"
