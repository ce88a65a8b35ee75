"""The logs of Kubernetes' container runtimes, and of Podman, where it is called `k8s-file`.

Each line is `TIME STREAM TAGS TEXT`; the tag `P` is of a part of a line that goes on, `F` of its end.

Sources: Kubernetes `design-proposals/node/kubelet-cri-logging.md`, kubelet `kuberuntime/logs/logs.go`; containerd
`internal/cri/io/logger.go`; conmon `src/ctr_logging.c`; podman `libpod/logs/log.go`.
"""

from __future__ import annotations

import re

from layerfs.formats.errors import FormatError
from layerfs.formats.gotime import parse_time
from layerfs.formats.logrecords import LogForm, LogRecord, cut_lines, start_of_last_lines

__all__ = ["K8S_FILE", "parse_k8s_line"]

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
    return LogRecord(parse_time(time), stream, written if is_part else written + b"\n", zone=seconds)


K8S_FILE = LogForm(cut_lines, parse_k8s_line, start_of_last_lines, continues=True)
