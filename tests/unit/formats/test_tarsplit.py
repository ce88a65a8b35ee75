"""tar-split streams: checksum vectors, entries, and the marks of an archive."""

from __future__ import annotations

import base64
import io
import json
import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfs.formats import tarsplit
from layerfs.formats.checksum import crc64
from layerfs.formats.errors import FormatError


@pytest.mark.parametrize(
    ("content", "checksum"),
    [
        (b"123456789", 0xB90956C775A41001),
        (b"1", 0x4320000000000000),
        (b"new\n", 0x615AB2DDB0000000),
        (b"", 0),
    ],
)
def test_checksum_vectors(content: bytes, checksum: int) -> None:
    """CRC-64 of the ISO polynomial, as tar-split writes it; also when it is continued."""
    assert crc64(content) == checksum
    assert crc64(content[1:], crc64(content[:1])) == checksum


def _stream(*names: bytes) -> io.BytesIO:
    lines = []
    for position, name in enumerate(names):
        entry: dict[str, object] = {"type": 1, "payload": None, "position": position}
        try:
            entry["name"] = name.decode()
        except UnicodeDecodeError:
            entry["name_raw"] = base64.b64encode(name).decode()
        lines.append(
            json.dumps({"type": 2, "payload": base64.b64encode(b"h" * 512).decode(), "position": position})
        )
        lines.append(json.dumps(entry))
    return io.BytesIO("\n".join(lines).encode())


def test_marks_of_an_archive() -> None:
    """Whiteouts and opaque directories are found by name, whatever the spelling of the path."""
    marks = tarsplit.archive_marks(
        _stream(
            b"a/.wh.x",
            b"./b/.wh..wh..opq",
            b"/c/../d/.wh.y",
            b"../.wh.z",
            b".wh..wh..opq",
            b"e/.wh.\xff",
            b".wh..wh.plnk/1",
            b"f/.wh.",
            b"g/h.wh.i",
            b"a/.wh..wh.q",
        )
    )
    assert marks.opaque == {b"b", b""}
    assert marks.whiteouts == {b"a/x", b"d/y", b"z", b"e/\xff", b"a/.wh.q"}


def test_entries_in_order() -> None:
    """Segments carry their bytes, files their name, size and checksum."""
    payload = base64.b64encode(b"12345678").decode()
    text = json.dumps({"type": 1, "name": "f\u003c", "size": 3, "payload": payload, "position": 0})
    assert list(tarsplit.entries(io.BytesIO(text.encode()))) == [tarsplit.FilePayload(b"f<", 3, b"12345678")]
    assert [type(entry) for entry in tarsplit.entries(_stream(b"a"))] == [
        tarsplit.Segment,
        tarsplit.FilePayload,
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"1",
        b'{"type":3,"payload":null}',
        b'{"type":1,"payload":null}',
        b'{"type":2,"payload":"*"}',
        b'{"type":1,"name":"a","size":-1,"payload":null}',
        b'{"type":1,"name":1,"payload":null}',
        b'{"type":1,"name":"a\\u0000b","payload":null}',
        b'{"type":2,"payload":"AAA","position":0}',
        b"\xff",
    ],
)
def test_malformed_lines(line: bytes) -> None:
    """A line that is no entry is refused, never guessed at."""
    with pytest.raises(FormatError):
        list(tarsplit.entries(io.BytesIO(line)))


def test_endless_line_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream without line ends, or without an end, is cut off."""
    monkeypatch.setattr(tarsplit, "MAX_LINE", 1 << 20)
    with pytest.raises(FormatError, match="too long"):
        tarsplit.archive_marks(io.BytesIO(b"x" * (3 << 20)))
    monkeypatch.setattr(tarsplit, "MAX_BYTES", 2 << 20)
    with pytest.raises(FormatError, match="too large"):
        tarsplit.archive_marks(io.BytesIO(b"\n" * (4 << 20)))


@given(
    name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    size=st.integers(0, 2**40),
    payload=st.binary(max_size=2000),
)
def test_lines_as_go_writes_them(name: str, size: int, payload: bytes) -> None:
    """The short way for the spelling that Go has gives what the JSON parser gives for any other."""
    checksum = base64.b64encode(payload[:8].ljust(8, b"c")).decode()
    content: dict[str, object] = {"type": 1, "name": name, "size": size, "payload": checksum, "position": 1}
    segment = {"type": 2, "payload": base64.b64encode(payload).decode(), "position": 0}
    short, long = (
        "\n".join(json.dumps(entry, **spelling) for entry in (segment, content)).encode()
        for spelling in ({"separators": (",", ":"), "ensure_ascii": False}, {"sort_keys": True})
    )
    found = list(tarsplit.entries(io.BytesIO(short)))
    assert found == list(tarsplit.entries(io.BytesIO(long)))
    assert found[0] == tarsplit.Segment(payload)
    assert found[1] == tarsplit.FilePayload(name.encode(), size, payload[:8].ljust(8, b"c"))


@given(st.text(alphabet="ab./", max_size=12))
def test_clean_names(name: str) -> None:
    """A name is cleaned as a path below the root is, and never leads out of it."""
    assert tarsplit.clean_name(name.encode()) == posixpath.normpath(f"/{name}").strip("/").encode()


_NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=12)
_ENTRIES = st.lists(
    st.one_of(
        st.binary(max_size=40).map(tarsplit.Segment),
        st.builds(
            tarsplit.FilePayload,
            _NAMES.map(str.encode),
            st.one_of(st.just(0), st.integers(0, 1 << 50)),
            st.one_of(st.just(b""), st.binary(min_size=8, max_size=8)),
        ),
    ),
    max_size=12,
)


def _go_line(number: int, entry: tarsplit.Segment | tarsplit.FilePayload, *, spaced: bool) -> str:
    """A line as the engine's own writer has it, or spelled otherwise."""
    if isinstance(entry, tarsplit.Segment):
        line: dict[str, object] = {"type": 2, "payload": base64.b64encode(entry.payload).decode()}
    else:
        line = {"type": 1, "name": entry.name.decode()}
        line |= {"size": entry.size} if entry.size else {}
        line["payload"] = base64.b64encode(entry.crc64).decode() if entry.crc64 else None
    separators = (", ", ": ") if spaced else (",", ":")
    return json.dumps(line | {"position": number}, separators=separators, ensure_ascii=spaced)


@given(_ENTRIES, st.integers(1, 700), st.data())
def test_every_spelling_of_a_line(
    wanted: list[tarsplit.Segment | tarsplit.FilePayload], size: int, data: st.DataObject
) -> None:
    """Lines as Go writes them, by ones and by twos, and others give the same, however they arrive."""
    spaced = data.draw(st.lists(st.booleans(), min_size=len(wanted), max_size=len(wanted)))
    ends = data.draw(st.sampled_from(["\n", "\r\n", "\n\n"]))
    last = data.draw(st.sampled_from(["", "\n"]))
    lines = [_go_line(number, entry, spaced=spaced[number]) for number, entry in enumerate(wanted)]
    stream = io.BytesIO((ends.join(lines) + last).encode())

    class Slow:
        def read(self, _size: int, /) -> bytes:
            return stream.read(size)

    assert list(tarsplit.entries(Slow())) == wanted


@pytest.mark.parametrize("payload", ["!", "AAA", "AA A"])
@pytest.mark.parametrize("after", ["", '\n{"type":1,"name":"x","payload":null,"position":1}\n'])
def test_damaged_segments(payload: str, after: str) -> None:
    """A payload that is no base64 is refused, with its line, alone and before a content."""
    line = f'{{"type":2,"payload":"{payload}","position":0}}'
    stream = io.BytesIO((line + after).encode())
    with pytest.raises(FormatError) as raised:
        list(tarsplit.entries(stream))
    assert raised.value.found == ascii(line[:60])
