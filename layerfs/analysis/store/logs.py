"""What containers wrote, from the files of their logs: of one container, or of several by time.

Memory is flat: a file is read in pieces, and of a packed one no more is unpacked at a time.
"""

from __future__ import annotations

import heapq
import itertools
import operator
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from layerfs.damage import attempt
from layerfs.errors import MalformedFile, reason
from layerfs.formats.compression import HEAD_BYTES, Compression, decompressed
from layerfs.formats.errors import FormatError
from layerfs.tree.pooledfile import PooledFile, shared_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from layerfs.containerlog import ContainerLog, LogPart
    from layerfs.errors import CorruptStore
    from layerfs.formats.logrecords import Frame, LogForm, LogRecord

__all__ = ["LogWindow", "log_records", "merged", "whole_lines"]

Of = TypeVar("Of")

_PIECE = 1 << 18
_MOST_TOLD = 10
_LONGEST_JOINED = 1 << 20


class LogWindow(NamedTuple):
    """Which records of a log are asked for.

    Attributes:
        since: from this time on, in ns since the epoch; None for all.
        until: up to this time, likewise.
        last: so many of the last ones, of which those of the other times are left out; None for all.
    """

    since: int | None = None
    until: int | None = None
    last: int | None = None

    def holds(self, time_ns: int | None) -> bool:
        """Whether a record of this time is asked for; without a time only where no times are."""
        if time_ns is None:
            return self.since is None
        return (self.since is None or time_ns >= self.since) and (self.until is None or time_ns <= self.until)


class _Part:
    """A file of a log, read as its form says, up to the size that it has now."""

    def __init__(self, part: LogPart, form: LogForm, report: Callable[[CorruptStore], None]) -> None:
        """Open it; raises `CorruptStore`."""
        self._name = part.name
        self._form = form
        self._report = report
        self._file = PooledFile(shared_files(), part.open)
        self._told = self._kept_quiet = 0
        self._size = self._file.status().st_size
        self._compression = Compression.of(self._read(HEAD_BYTES, 0)) if self._size else Compression.NONE

    def last(self, number: int) -> tuple[Iterator[LogRecord], int]:
        """Its last records, so many or all, and how many there are, with those that cannot be read."""
        if self._compression is Compression.NONE:
            found = attempt(self._report, lambda: self._form.start_of_last(self._read, self._size, number))
            if found:
                return self.records(found[0]), found[1]
        count = sum(1 for frame in self._frames(quiet=True) if not frame.problem)
        return itertools.islice(self.records(), max(0, count - number), None), min(count, number)

    def records(self, start: int = 0) -> Iterator[LogRecord]:
        """Its records from an offset on; damage is reported, and what is behind it is read on."""
        for frame in self._frames(start):
            if frame.problem:
                self._tell(frame, frame.problem)
                continue
            try:
                yield self._form.parse(frame.content)
            except FormatError as error:
                self._tell(frame, error.problem, error.expected, error.found)
        if self._kept_quiet:
            self._report(MalformedFile(self._name, f"{self._kept_quiet} more places that cannot be read"))

    def _frames(self, start: int = 0, *, quiet: bool = False) -> Iterator[Frame]:
        """Its frames, as far as it can be read and unpacked; where that ends is reported unless `quiet`."""
        try:
            yield from self._form.cut(self._pieces(start), start)
        except (OSError, FormatError) as error:
            if not quiet:
                self._report(MalformedFile(self._name, f"{reason(error)}: what follows cannot be read"))
        except MalformedFile as error:
            if not quiet:
                self._report(error)

    def _tell(
        self, frame: Frame, problem: str, expected: str | None = None, found: str | None = None
    ) -> None:
        """Report a place that cannot be read; after some of them, only how many there are."""
        if self._told == _MOST_TOLD:
            self._kept_quiet += 1
            return
        self._told += 1
        where = f"bytes {frame.offset} to {frame.offset + frame.size}"
        if self._compression is not Compression.NONE:
            where += ", unpacked"
        self._report(MalformedFile(f"{self._name}: {where}", problem, expected=expected, found=found))

    def _pieces(self, start: int) -> Iterator[bytes]:
        return decompressed(self._stored(start), self._compression)

    def _stored(self, offset: int) -> Iterator[bytes]:
        while offset < self._size and (piece := self._read(min(_PIECE, self._size - offset), offset)):
            offset += len(piece)
            yield piece

    def _read(self, size: int, offset: int) -> bytes:
        return self._file.pread(size, offset)


def log_records(
    log: ContainerLog, window: LogWindow, report: Callable[[CorruptStore], None]
) -> Iterator[LogRecord]:
    """The records of a log in the order in which they were written; `report` is told of damage."""
    parts = _opened(log, report)
    found = (
        itertools.chain.from_iterable(part.records() for part in parts)
        if window.last is None
        else _last(list(parts), window.last)
    )
    return (record for record in found if window.holds(record.time_ns))


def _opened(log: ContainerLog, report: Callable[[CorruptStore], None]) -> Iterator[_Part]:
    """The files, oldest first; one that cannot be read is reported and left out."""
    for item in log.parts:
        part = attempt(report, lambda item=item: _open(item, log.form, report))  # type: ignore[misc]
        if part:
            yield part


def _open(part: LogPart, form: LogForm, report: Callable[[CorruptStore], None]) -> _Part:
    try:
        return _Part(part, form, report)
    except OSError as error:
        raise MalformedFile(part.name, reason(error)) from error


def _last(parts: list[_Part], number: int) -> Iterator[LogRecord]:
    """The last records of several files; no older file is read than they need."""
    chosen: list[Iterator[LogRecord]] = []
    for part in reversed(parts):
        if number <= 0:
            break
        records, count = part.last(number)
        chosen.append(records)
        number -= count
    yield from itertools.chain.from_iterable(reversed(chosen))


def whole_lines(records: Iterable[LogRecord]) -> Iterator[LogRecord]:
    """The records of one log, the parts of each line put together: a mebibyte of them at most.

    The time is that of the first part.
    """
    begun: dict[str, LogRecord] = {}
    for record in records:
        before = begun.pop(record.stream, None)
        joined = before._replace(text=before.text + record.text, ends=record.ends) if before else record
        if joined.ends or len(joined.text) > _LONGEST_JOINED:
            yield joined
        else:
            begun[record.stream] = joined
    yield from begun.values()


def merged(logs: Sequence[tuple[Of, Iterable[LogRecord]]]) -> Iterator[tuple[Of, LogRecord]]:
    """The records of several logs by time, with what each log is of; those of one keep their order."""

    def keyed(place: int, records: Iterable[LogRecord]) -> Iterator[tuple[int, int, LogRecord]]:
        latest = 0
        for record in records:
            latest = max(latest, record.time_ns or 0)  # a clock that was put back, or no time at all
            yield latest, place, record

    streams = [keyed(place, records) for place, (_, records) in enumerate(logs)]
    for _, place, record in heapq.merge(*streams, key=operator.itemgetter(0, 1)):
        yield logs[place][0], record
