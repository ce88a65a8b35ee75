"""The rows of `layerfs logs`, and its text, as `docker logs` writes it.

Sources: moby `daemon/logs.go`, `api/server/httputils/write_log_stream.go`;
docker/cli `cli/command/container/logs.go`.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, NamedTuple

from ..escape import terminal_text
from ..table import Column, Table
from ..units import rfc3339
from .entries import lossless

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TextIO

    from layerfs.formats.logrecords import LogRecord
    from layerfs.model import Container

__all__ = ["LogRow", "LogText", "log_table", "write_rows"]

_NANO = 10**9
_NEVER = b"0001-01-01T00:00:00.000000000Z"


class LogRow(NamedTuple):
    """What a container wrote at one time."""

    container: Container
    record: LogRecord


class LogText(NamedTuple):
    """How a row becomes text.

    Attributes:
        timestamps: begin with the time.
        details: go on with what was to be noted with each line.
        continues: a line that was written in parts has these only at its beginning.
        prefixes: what the lines of each container begin with, by its ID; none for a container alone.
    """

    timestamps: bool
    details: bool
    continues: bool = False
    prefixes: Mapping[str, bytes] = {}

    def of(self, row: LogRow, *, begins: bool) -> bytes:
        """The text; `begins` tells whether the part before ended its line."""
        if self.continues and not begins:
            return row.record.text
        prefix = self.prefixes.get(row.container.id, b"")
        time = _time(row.record) + b" " if self.timestamps else b""
        details = _details(row.record.attributes) + b" " if self.details else b""
        text = row.record.text
        return b"".join((prefix, time, details, text, b"\n" if prefix and not text.endswith(b"\n") else b""))


def write_rows(rows: Iterable[LogRow], text: LogText) -> None:
    """Write each row to the stream that its container wrote it to, in their order.

    Bytes go as they are to a file or a pipe. On a terminal all but colours is escaped.
    """
    begins = {"stdout": True, "stderr": True}
    streams = {"stdout": _Stream(sys.stdout), "stderr": _Stream(sys.stderr)}
    before = ""
    for row in rows:
        stream = row.record.stream
        if before and stream != before:
            streams[before].flush()
        streams[stream].write(text.of(row, begins=begins[stream]))
        begins[stream], before = row.record.ends, stream
    for out in streams.values():
        out.end()


class _Stream:
    """Standard output or standard error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._is_coloured = False

    def write(self, content: bytes) -> None:
        """Write what a container wrote."""
        if not self._is_terminal:
            self._stream.buffer.write(content)
            return
        text = terminal_text(lossless(content))
        self._is_coloured = self._is_coloured or "\x1b" in text
        self._stream.write(text)

    def flush(self) -> None:
        """Let what was written be seen."""
        self._stream.flush()

    def end(self) -> None:
        """Leave a terminal without the colours of a container."""
        if self._is_coloured:
            self._stream.write("\x1b[0m")
        self.flush()


def _time(record: LogRecord) -> bytes:
    """The time with nine digits, in the zone in which it was written."""
    if record.time_ns is None:
        return _NEVER
    seconds, fraction = divmod(record.time_ns, _NANO)
    return _second(seconds, record.zone) % fraction


@functools.lru_cache(64)
def _second(seconds: int, zone: int) -> bytes:
    """RFC 3339 with a place for the nanoseconds."""
    from layerfs.formats.gotime import format_time

    clock = format_time((seconds + zone) * _NANO).removesuffix("Z").encode()
    sign, minutes = b"-" if zone < 0 else b"+", abs(zone) // 60
    return clock + b".%09d" + (b"%b%02d:%02d" % (sign, minutes // 60, minutes % 60) if zone else b"Z")


def _details(attributes: Mapping[str, str]) -> bytes:
    """Names and values as in a URL, sorted."""
    if not attributes:
        return b""
    from urllib.parse import quote_plus

    pairs = (
        f"{quote_plus(name, errors='replace')}={quote_plus(attributes[name], errors='replace')}"
        for name in sorted(attributes)
    )
    return ",".join(pairs).encode()


def log_table() -> Table[LogRow]:
    """The columns; a table is never printed of them, but every other format."""
    return Table(
        (
            Column("time", lambda row: rfc3339(row.record.time_ns), "Time", "TIME"),
            Column("container", lambda row: row.container.name, "Container", "CONTAINER"),
            Column("container_id", lambda row: row.container.id, "ContainerID", "CONTAINER ID"),
            Column("stream", lambda row: row.record.stream, "Stream", "STREAM"),
            Column("text", lambda row: lossless(row.record.text.removesuffix(b"\n")), "Text", "TEXT"),
            Column("partial", lambda row: not row.record.ends, "Partial", "PARTIAL"),
            Column("attributes", lambda row: dict(row.record.attributes), "Attributes", "ATTRIBUTES"),
        ),
        ("Time", "Container", "Stream", "Text"),
    )
