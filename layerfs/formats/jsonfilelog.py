"""The log driver `json-file` of Docker: a JSON object a line.

Sources: moby `daemon/logger/jsonfilelog/read.go`, `jsonlog/jsonlogbytes.go`.
"""

from __future__ import annotations

from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import load_object, mapping, text, texts_by_name, time_ns
from layerfs.formats.logrecords import LogForm, LogRecord, cut_lines, start_of_last_lines

__all__ = ["JSON_FILE", "parse_json_line"]

_STREAMS = ("stdout", "stderr")


def parse_json_line(line: bytes) -> LogRecord:
    """The record of a line; raises `FormatError`. Bytes that are no UTF-8 are U+FFFD, as in Go."""
    try:
        document = load_object(line)
    except FormatError as error:
        if error.problem != "not UTF-8":
            raise
        document = load_object(line.decode(errors="replace").encode())
    stream = text(document, "stream")
    if stream not in _STREAMS:
        raise FormatError(
            "no record of a log", expected="the stream stdout or stderr", found=ascii(stream[:60])
        )
    attributes = mapping(document, "attrs")
    written = text(document, "log").encode(errors="replace")
    record = LogRecord(time_ns(document, "time"), stream, written, written.endswith(b"\n"))
    return record._replace(attributes=texts_by_name(attributes)) if attributes else record


JSON_FILE = LogForm(cut_lines, parse_json_line, start_of_last_lines)
