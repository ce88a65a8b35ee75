"""The forms of container logs: cut at any place into pieces, read from either end, and damaged anywhere."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import pytest

from layerfs.formats.errors import FormatError
from layerfs.formats.jsonfilelog import JSON_FILE
from layerfs.formats.k8slog import K8S_FILE
from layerfs.formats.locallog import LOCAL
from layerfs.formats.logrecords import LINE_LIMIT, PASSED_OVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.formats.logrecords import Frame, LogForm, LogRecord

TEXTS = [b"one\n", b"", b"two words\n", b"\xc3\xa9" * 40 + b"\n", b"part", b"\n", b"x" * 300 + b"\n"]
START_NS = 1_700_000_000_000_000_007


def _json(number: int, stream: str, text: bytes) -> bytes:
    time = f"2023-11-14T22:13:{20 + number}.000000007Z"
    return json.dumps({"log": text.decode(), "stream": stream, "time": time}).encode() + b"\n"


def _k8s(number: int, stream: str, text: bytes) -> bytes:
    tag, written = (b"F", text[:-1]) if text.endswith(b"\n") else (b"P", text)
    time = b"2023-11-14T23:13:%d.000000007+01:00" % (20 + number)
    return b" ".join((time, stream.encode(), tag, written)) + b"\n"


def _field(number: int, value: bytes) -> bytes:
    assert len(value) < 0x4000
    size = len(value)
    return bytes((number << 3 | 2, *((size,) if size < 0x80 else (size & 0x7F | 0x80, size >> 7)))) + value


def _local(number: int, stream: str, text: bytes) -> bytes:
    time, varint = START_NS + number * 10**9, bytearray()
    while time >= 0x80:
        varint.append(time & 0x7F | 0x80)
        time >>= 7
    message = _field(1, stream.encode()) + b"\x10" + bytes((*varint, time))
    message += _field(3, text.removesuffix(b"\n"))
    message += b"" if text.endswith(b"\n") else b"\x20\x01"
    size = struct.pack(">I", len(message))
    return size + message + size


FORMS = {"json-file": (JSON_FILE, _json), "k8s-file": (K8S_FILE, _k8s), "local": (LOCAL, _local)}
each_form = pytest.mark.parametrize("name", FORMS)


def _records(name: str) -> list[bytes]:
    """The records of all texts, as they lie in a file, on both streams by turns."""
    write = FORMS[name][1]
    return [write(number, ("stdout", "stderr")[number % 2], text) for number, text in enumerate(TEXTS)]


def _read(form: LogForm, content: bytes, size: int = 1 << 20) -> tuple[list[LogRecord], list[Frame]]:
    """What is read of a file that comes in pieces of some size, and what of it is damage."""
    pieces = (content[at : at + size] for at in range(0, len(content), size))
    frames = list(form.cut(pieces, 0))
    records = []
    for frame in frames:
        if not frame.problem:
            try:
                records.append(form.parse(frame.content))
            except FormatError:
                frames[frames.index(frame)] = frame._replace(problem="unreadable")
    return records, [frame for frame in frames if frame.problem]


@each_form
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1 << 20])
def test_records_are_what_was_written(name: str, size: int) -> None:
    """Texts, streams, times and ends of lines come back, however the file is cut into pieces."""
    records, damage = _read(FORMS[name][0], b"".join(_records(name)), size)
    assert damage == []
    assert [record.text for record in records] == TEXTS
    assert [record.ends for record in records] == [text.endswith(b"\n") for text in TEXTS]
    assert [record.stream for record in records] == [("stdout", "stderr")[i % 2] for i in range(len(TEXTS))]
    assert [record.time_ns for record in records] == [START_NS + i * 10**9 for i in range(len(TEXTS))]


@each_form
def test_end_tells_where_the_last_records_begin(name: str) -> None:
    """Read from its end a file has the same last records, for every number of them."""
    form, parts = FORMS[name][0], _records(name) * 3
    content = b"".join(parts)

    def read(size: int, offset: int) -> bytes:
        return content[offset : offset + size]

    for number in range(len(parts) + 3):
        kept = min(number, len(parts))
        start = len(content) - sum(map(len, parts[len(parts) - kept :])) if kept else len(content)
        assert form.start_of_last(read, len(content), number) == (start, kept)


def _damaged(parts: list[bytes]) -> Iterator[tuple[bytes, int, set[int]]]:
    """Files with damage, where it begins, and the numbers of the records that it took."""
    content, middle = b"".join(parts), len(parts) // 2
    before = sum(map(len, parts[:middle]))
    for cut in range(1, len(parts[-1]) - 1):
        yield content[:-cut], len(content) - len(parts[-1]), {len(parts) - 1}
    for junk in (b"\0" * 5000, b"\xff" * 100, b"junk\n\0\0\n"):
        ends = b"".join(parts[:middle]) + junk + b"\n" * (not junk.startswith(b"\0"))
        yield ends + b"".join(parts[middle:]), before, set()


@each_form
def test_damage_takes_no_other_record(name: str) -> None:
    """Cut off anywhere in the last record, or with zeros and junk between two, all others are read."""
    form, parts = FORMS[name][0], _records(name)
    whole = _read(form, b"".join(parts))[0]
    for content, begin, lost in _damaged(parts):
        records, damage = _read(form, content)
        expected = [record for number, record in enumerate(whole) if number not in lost]
        assert records[: len(expected)] == expected
        if name != "json-file" or len(records) == len(expected):  # only its line feed may be missing
            assert damage
            assert damage[0].offset >= begin
        assert len(records) <= len(expected) + (name != "local")  # a line cut in its text is shown as it is


@each_form
def test_endless_record_is_passed_over(name: str) -> None:
    """A record longer than any engine writes takes no memory, and the next one is read."""
    form, parts = FORMS[name][0], _records(name)
    junk = b"\x41" * (1 << 20)

    def pieces(number: int) -> Iterator[bytes]:
        yield parts[0]
        for _ in range(number):
            yield junk
        yield b"\n" + parts[2]

    frames = list(form.cut(pieces((LINE_LIMIT >> 20) + 2), 0))
    assert [bool(frame.problem) for frame in frames] == [False, True, False]
    assert form.parse(frames[2].content).text == TEXTS[2]
    frames = [frame for frame in form.cut(pieces((PASSED_OVER >> 20) + 2), 0) if frame.size]
    assert [bool(frame.problem) for frame in frames] == [False, True]


@pytest.mark.parametrize(
    ("form", "content"),
    [
        (JSON_FILE, b"[" * 100_000),
        (JSON_FILE, b'{"log":' + b"[" * 100_000),
        (JSON_FILE, b'{"log":"x","stream":"stdin"}'),
        (JSON_FILE, b'{"log":5,"stream":"stdout"}'),
        (JSON_FILE, b'{"log":"x","stream":"stdout","time":"yesterday"}'),
        (JSON_FILE, b'{"log":"x","stream":"stdout","attrs":{"a":1}}'),
        (K8S_FILE, b"2023-11-14T22:13:20Z stdin F x"),
        (K8S_FILE, b"2023-99-14T22:13:20Z stdout F x"),
        (K8S_FILE, b"stdout F x"),
        (LOCAL, b"\x0a\x06stdout\x1a\xff\xff\xff\x7f"),
        (LOCAL, b"\x0a\x06stdouu"),
        (LOCAL, b"\xff" * 20),
        (LOCAL, b""),
    ],
)
def test_what_is_no_record_is_refused(form: LogForm, content: bytes) -> None:
    """Nested too deep, of other types, or of no stream: an error, and never another."""
    with pytest.raises(FormatError):
        form.parse(content)


def test_bytes_that_are_no_utf8() -> None:
    """In JSON they are U+FFFD, as halves of pairs are; the other forms keep them."""
    line = b'{"log":"a\xffb\\ud800c\\n","stream":"stdout","time":"2023-11-14T22:13:20Z"}'
    assert JSON_FILE.parse(line).text == "a\ufffdb\ufffdc\n".encode()
    assert K8S_FILE.parse(b"2023-11-14T22:13:20Z stderr F a\xffb").text == b"a\xffb\n"
