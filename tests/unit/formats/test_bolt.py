"""Bolt databases: what a real Engine wrote is read, and pages or elements that overlap are refused."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from layerfs.formats.bolt import Database, buffer_reader, open_bolt
from layerfs.formats.errors import FormatError
from tests.support.bolt import PAGE, bolt_database, bolt_file, leaf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerfs.formats.bolt import Bucket


def _open(content: bytes) -> Bucket:
    return open_bolt(lambda at, size: content[at : at + size], len(content))


def _read(bucket: Bucket) -> dict[bytes, object]:
    """Everything in a bucket and those in it."""
    return dict(bucket.values()) | {name: _read(inner) for name, inner in bucket.buckets()}


def _bucket(root: int) -> bytes:
    return struct.pack("<QQ", root, 0)


def test_what_was_written_is_read() -> None:
    """Buckets, keys and values come back, also from pages that go on in others."""
    written = {f"bucket {number}": {f"key {index}": "v" * 300 for index in range(20)} for number in range(9)}
    found = _read(_open(bolt_database(written)))
    assert found == {
        name.encode(): {key.encode(): value.encode() for key, value in values.items()}
        for name, values in written.items()
    }


def test_the_databases_of_a_real_engine(dataroot_path: Path) -> None:
    """Every database of the recorded root is read to its end, each byte of it at most twice."""
    paths = sorted(dataroot_path.rglob("*.db"))
    assert len(paths) > 3
    for path in paths:
        content, read = path.read_bytes(), 0

        def part(at: int, size: int, content: bytes = content) -> bytes:
            nonlocal read
            read += size
            return content[at : at + size]

        def everything(bucket: Bucket) -> int:
            # going through buckets and through values reads the pages of each bucket once more
            return sum(1 for _ in bucket.values()) + sum(everything(inner) for _, inner in bucket.buckets())

        assert everything(open_bolt(part, len(content))) > 0
        assert read < 3 * len(content)


OVERLAPPING = {
    "values": [
        b"".join(
            [
                struct.pack("<QHHI", 3, 2, 2, 0),
                *(struct.pack("<IIII", 0, 48 - 16 * (1 + index), 1, 8) for index in range(2)),
                bytes(64),
            ]
        )
    ],
    "a value with the elements": [
        struct.pack("<QHHI", 3, 2, 2, 0) + struct.pack("<IIII", 0, 16, 1, 1) * 2 + bytes(64)
    ],
    "a value with what follows its page": [
        struct.pack("<QHHI", 3, 2, 1, 0) + struct.pack("<IIII", 0, 16, 1, PAGE) + bytes(64),
        bytes(PAGE),
    ],
    "the pages of two buckets": [
        leaf(3, [(b"a", _bucket(4), True), (b"b", _bucket(4), True)]),
        leaf(4, [(b"k", b"v", False)]),
    ],
    "a page with what another goes on in": [
        leaf(3, [(b"a", _bucket(4), True), (b"b", _bucket(5), True)]),
        leaf(4, [(b"k", bytes(PAGE), False)]),
    ],
    "a bucket with itself": [leaf(3, [(b"a", _bucket(3), True)])],
    "a page beyond the end": [leaf(3, [(b"a", _bucket(99), True)])],
    "a page of endless length": [struct.pack("<QHHI", 3, 2, 0, 0xFFFFFFFF)],
    "more elements than its page has room for": [struct.pack("<QHHI", 3, 2, 0xFFFF, 0)],
}


@pytest.mark.parametrize("pages", OVERLAPPING.values(), ids=OVERLAPPING)
def test_what_overlaps_is_refused(pages: list[bytes]) -> None:
    """No byte is read for two elements, so a small file cannot say much."""
    with pytest.raises(FormatError):
        _read(_open(bolt_file(pages)))


def test_a_record_at_one_look_is_what_its_elements_are() -> None:
    """Of every small bucket with one byte changed, a record has and tells the same as key by key."""
    sound = bolt_database({"a": {"id": "\x05", "kind": "\x03", "parent": "moby/1/x"}})
    start = sound.index(b"a" + struct.pack("<QQ", 0, 0)) + 17
    for at in range(start, start + 16 + 48 + 24):
        for change in (1, 0x10, 0xFF):
            content = bytearray(sound)
            content[at] ^= change
            told: list[str] = []
            bucket = Database(*buffer_reader(content), damaged=lambda lost, told=told: told.append(str(lost)))  # type: ignore[misc]
            record = bucket.root.bucket(b"a")
            assert record
            told.clear()
            values = dict(record.values())
            one_by_one = list(told)
            looks: tuple[Callable[[], object], ...] = (
                record.contents,
                lambda: bucket.root.record(b"a"),  # noqa: B023 - called at once
                lambda: dict(bucket.root.records())[b"a"],  # noqa: B023 - likewise
            )
            for look in looks:
                told.clear()
                assert look() == (values, {}), at
                assert told == one_by_one, at
