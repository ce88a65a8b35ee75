"""The logs of Kubernetes' container runtimes, and of Podman, where it is called `k8s-file`.

Each line is `TIME STREAM TAGS TEXT`; the tag `P` is of a part of a line that goes on, `F` of its end.

Sources: Kubernetes `design-proposals/node/kubelet-cri-logging.md`, `kuberuntime/logs/logs.go`;
containerd `internal/cri/io/logger.go`; conmon `src/ctr_logging.c`; podman `libpod/logs/log.go`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layerfs.formats.errors import FormatError
from layerfs.formats.gotime import parse_time
from layerfs.formats.logrecords import Frame, LogForm, LogRecord, cut_lines, start_of_last_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["K8S_FILE", "PODMAN", "parse_k8s_line"]

_LINE = re.compile(rb"(\d{4}-[^ ]{1,40}) (stdout|stderr) ([A-Z][A-Za-z:]{0,40})(?: (.*))?", re.DOTALL)
_ZONE = re.compile(r"([+-])(\d\d):(\d\d)")


def parse_k8s_line(line: bytes) -> LogRecord:
    """The record of a line; raises `FormatError`."""
    match = _LINE.fullmatch(line)
    if not match:
        raise FormatError("no record of a log", expected="TIME STREAM TAG TEXT", found=ascii(line[:60])[1:])
    time = match[1].decode("ascii", "replace")
    is_part = match[3].split(b":", 1)[0] == b"P"
    written = match[4] or b""
    zone = _ZONE.fullmatch(time[-6:])
    seconds = (int(zone[2]) * 3600 + int(zone[3]) * 60) * (-1 if zone[1] == "-" else 1) if zone else 0
    stream = match[2].decode()
    text = written if is_part else written + b"\n"
    return LogRecord(parse_time(time), stream, text, not is_part, zone=seconds)


def cut_whole_lines(pieces: Iterable[bytes], offset: int = 0) -> Iterator[Frame]:
    """As `cut_lines`; a last line without its line feed is damage besides, as each is written at once."""
    last = b"\n"

    def noted() -> Iterator[bytes]:
        nonlocal last
        for piece in pieces:
            last = piece[-1:] or last
            yield piece

    end = offset
    for frame in cut_lines(noted(), offset):
        end = frame.offset + frame.size
        yield frame
    if last != b"\n":
        yield Frame(end, 0, b"", "it ends within a line")


K8S_FILE = LogForm(cut_whole_lines, parse_k8s_line, start_of_last_lines, continues=True)
PODMAN = K8S_FILE._replace(continues=False)
