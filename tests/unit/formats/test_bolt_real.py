"""Real bolt databases: both states as bbolt reads them, and damaged in every way what is left of them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from layerfs.formats.bolt import Bucket, Database, buffer_reader
from layerfs.formats.boltdamage import Damaged
from layerfs.formats.errors import FormatError
from tests.support.boltfiles import (
    NAMES,
    change,
    checksum,
    page_size,
    patched,
    read,
    real,
    root_of,
    trusting,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.boltfiles import Tree

each_database = pytest.mark.parametrize("name", NAMES)


@each_database
def test_both_states_are_what_bbolt_reads(name: str) -> None:
    """Keys, values, buckets and sequences of the newest state, and of the one before it."""
    recorded = real(name)
    assert read(recorded.content) == recorded.newest
    assert read(recorded.content, previous=True) == recorded.older
    database = Database(*buffer_reader(recorded.content))
    assert database.problem is None
    assert database.other is not None
    assert (database.meta.txid, database.other.txid) == recorded.txids


@each_database
def test_each_key_is_found_by_its_name(name: str) -> None:
    """What going through a bucket gives, asking for it gives, and nothing for names between."""

    def check(bucket: Bucket, expected: Tree) -> None:
        for key, value in expected.items():
            if not key:
                continue
            if isinstance(value, dict):
                inner = bucket.bucket(key)
                assert inner is not None
                assert inner.names == (*bucket.names, key)
                assert bucket.value(key) is None
                check(inner, value)
            else:
                assert (bucket.value(key), bucket.bucket(key)) == (value, None)
            assert bucket.value(key + b"\0") is None
            assert bucket.value(key[:-1]) == (_value(expected, key[:-1]))

    recorded = real(name)
    check(Database(*buffer_reader(recorded.content)).root, recorded.newest)


def _value(tree: Tree, key: bytes) -> Any:
    return tree[key] if key and isinstance(tree.get(key), bytes) else None


def test_the_reader_that_trusts_all_agrees_with_bbolt() -> None:
    """It is what damaged databases are held against."""
    for name in NAMES:
        assert trusting(real(name).content).tree == real(name).newest


@each_database
def test_a_lookup_reads_the_pages_on_the_way_only(name: str) -> None:
    """A key at the top costs a page for each level of the tree, however large the database is."""
    content = real(name).content
    size = page_size(content)
    asked: list[int] = []

    def reading(at: int, length: int) -> bytes:
        if length >= size:
            asked.append(at // size)
        return content[at : at + length]

    database = Database(reading, len(content))
    database.root.value(b"no such key")
    assert len(asked) <= 2 + 4  # the outermost page of each state, and at most four levels


# -- metas -------------------------------------------------------------------------------------------


def _newest_meta(content: bytes) -> int:
    """The page of the newest meta."""
    size = page_size(content)
    return int(struct.unpack_from("<Q", content, size + 64)[0] > struct.unpack_from("<Q", content, 64)[0])


@each_database
def test_a_meta_that_is_gone(name: str) -> None:
    """What the other one has is read, and it is said that it may not be the last state."""
    recorded = real(name)
    size, newest = page_size(recorded.content), _newest_meta(recorded.content)
    for page, expected, txid in ((newest, recorded.older, 1), (1 - newest, recorded.newest, 0)):
        content = patched(recorded.content, page * size, bytes(size))
        database = Database(*buffer_reader(content))
        assert read(content) == expected
        assert (database.meta.txid, database.other) == (recorded.txids[txid], None)
        assert database.problem == (
            f"one of its two meta pages is damaged: read as of transaction {recorded.txids[txid]}, "
            "which may not be the last"
        )
        assert read(content, previous=True) == expected  # the last that is left
    with pytest.raises(FormatError, match="both of its meta pages are damaged"):
        read(patched(patched(recorded.content, 0, bytes(size)), size, bytes(size)))


@pytest.mark.parametrize("name", ["containerd-1.6/meta", "docker29/meta", "made/page-16384"])
def test_each_bit_of_a_meta(name: str) -> None:
    """Whichever bit of a meta is wrong, the state of the other is read, and that is told."""
    recorded = real(name)
    size, newest = page_size(recorded.content), _newest_meta(recorded.content)
    # every bit of the magic, version, page size, root and transaction; some of the rest
    for bit in [*range(128), *range(128, 512, 5)]:
        for page, txid in ((newest, 1), (1 - newest, 0)):
            at = page * size + 16 + bit // 8
            content = patched(recorded.content, at, bytes([recorded.content[at] ^ (1 << bit % 8)]))
            database = Database(*buffer_reader(content))
            assert database.meta.txid == recorded.txids[txid]
            assert database.problem is not None
            assert f"read as of transaction {recorded.txids[txid]}, " in database.problem
            if page == newest:
                assert database.problem.endswith("may not be the last")
    assert read(content) == recorded.newest


@each_database
def test_an_older_meta_that_is_damaged_says_so_itself(name: str) -> None:
    """Where its own number tells that it is the older one, the state read is the last."""
    recorded = real(name)
    page = 1 - _newest_meta(recorded.content)
    content = change(recorded.content, page, 16 + 56, "<Q", 0)
    assert Database(*buffer_reader(content)).problem == (
        f"the meta page of its older state is damaged: read as of transaction {recorded.txids[0]}, the last"
    )
    assert read(content) == recorded.newest
    with pytest.raises(FormatError, match="no older state"):
        read(content, previous=True)


def test_a_meta_inside_a_value_is_none() -> None:
    """A page that looks like a newer meta is not believed where the first meta has another page size."""
    content = real("made/page-4096").content
    with_other_size = bytearray(content[4096 : 4096 + 80])
    struct.pack_into("<I", with_other_size, 24, 8192)
    struct.pack_into("<Q", with_other_size, 64, 999)
    with_other_size[72:80] = checksum(with_other_size[16:72])
    assert read(patched(content, 8192, bytes(with_other_size))) == real("made/page-4096").newest


@each_database
def test_the_other_byte_order_is_named(name: str) -> None:
    """A database of a big-endian machine is not called damaged."""
    content = real(name).content
    size = page_size(content)
    for page in (0, 1):
        at = page * size + 16
        words = struct.pack(">IIII6Q", *struct.unpack_from("<IIII6Q", content, at))
        content = patched(content, at, words)
    with pytest.raises(FormatError, match="big-endian"):
        read(content)


# -- pages -------------------------------------------------------------------------------------------

_PAGE_DAMAGE: dict[str, Callable[[bytes, int], bytes]] = {
    "zeros": lambda content, page: patched(content, page * page_size(content), bytes(page_size(content))),
    "another's number": lambda content, page: change(content, page, 0, "<Q", page + 1),
    "no kind": lambda content, page: change(content, page, 8, "<H", 0),
    "two kinds": lambda content, page: change(content, page, 8, "<H", 3),
    "a free list": lambda content, page: change(content, page, 8, "<H", 16),
    "endless": lambda content, page: change(content, page, 12, "<I", 0xFFFFFFFF),
    "beyond what is in use": lambda content, page: change(content, page, 12, "<I", 5000),
}


@pytest.mark.parametrize("damage", _PAGE_DAMAGE)
@each_database
def test_of_a_page_that_is_damaged_only_that_is_lost(name: str, damage: str) -> None:
    """Whichever page it is: all else is read, and the page and the bucket are named."""
    recorded = real(name)
    root = root_of(recorded.content)
    pages = [page for page in trusting(recorded.content).pages if page != root]
    for page in pages[:: max(1, len(pages) // 12)]:
        told: list[Damaged] = []
        content = _PAGE_DAMAGE[damage](recorded.content, page)
        assert read(content, told) == trusting(recorded.content, without=page).tree
        assert {item.page for item in told} == {page}
        assert told[0].bucket == _bucket_of(recorded.newest, trusting(recorded.content, without=page).tree)
        with pytest.raises(Damaged, match=f"bolt page {page}: "):
            read(content)


def _bucket_of(whole: Tree, left: Tree) -> tuple[bytes, ...]:
    """The names of the bucket in which keys are missing."""
    for key, value in whole.items():
        if key in left and isinstance(value, dict) and value != left[key]:
            return (key, *_bucket_of(value, left[key]))
    return ()


@each_database
def test_a_lost_root_is_the_older_state(name: str) -> None:
    """Without its outermost page nothing of the newest state can be read: the one before it is, and told."""
    recorded = real(name)
    content = _PAGE_DAMAGE["zeros"](recorded.content, root_of(recorded.content))
    newest, older = recorded.txids
    if root_of(recorded.content) == root_of(
        recorded.content, older=True
    ):  # the last transaction changed nothing
        with pytest.raises(Damaged):
            read(content)
        return
    assert read(content) == recorded.older
    assert Database(*buffer_reader(content)).problem == (
        f"the root of its newest state (transaction {newest}) is damaged: read as of transaction {older}"
    )
    both = _PAGE_DAMAGE["zeros"](content, root_of(recorded.content, older=True))
    with pytest.raises(Damaged):
        read(both)
    told: list[Damaged] = []
    assert (read(both, told), len(told)) == ({}, 1)


@each_database
def test_keys_that_are_lost_are_between_those_named(name: str) -> None:
    """Of a damaged leaf the range that is named holds all keys that are missing, and no others are there."""
    recorded = real(name)
    for page in trusting(recorded.content).pages:
        if page == root_of(recorded.content):
            continue
        told: list[Damaged] = []
        left = read(_PAGE_DAMAGE["zeros"](recorded.content, page), told)
        whole: Any = recorded.newest
        for part in told[0].bucket:
            whole, left = whole[part], left[part]
        lost = {key for key in whole if key and key not in left}
        first, last = told[0].first or b"", told[0].last
        assert lost == {key for key in whole if key >= first and (last is None or key < last) and key}


@each_database
def test_the_length_of_the_file_means_nothing(name: str) -> None:
    """Cut off behind the last page in use all is there; in the middle, what lies before it; else an error."""
    recorded = real(name)
    size = page_size(recorded.content)
    high = struct.unpack_from("<Q", recorded.content, _newest_meta(recorded.content) * size + 56)[0]
    assert read(recorded.content[: high * size]) == recorded.newest
    assert read(recorded.content + bytes(3 * size)) == recorded.newest
    with pytest.raises(FormatError):
        read(recorded.content[: 2 * size])
    with pytest.raises(FormatError):
        read(recorded.content[:100])
    told: list[Damaged] = []
    root = root_of(recorded.content)
    kept = max(root, max(trusting(recorded.content).pages) - 1) + 1
    if kept > max(trusting(recorded.content).pages):
        return
    left = read(recorded.content[: kept * size], told)
    assert told
    assert all(item.found == f"{kept * size} bytes" for item in told)
    assert left != recorded.newest


def _elements(content: bytes, page: int) -> Iterator[int]:
    """The bytes of the file at which the elements of a page lie."""
    at = page * page_size(content)
    count = struct.unpack_from("<H", content, at + 10)[0]
    return (at + 16 * (1 + index) for index in range(count))


@pytest.mark.parametrize("value", [0, 1, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("field", ["position", "key size", "value size"])
@each_database
def test_a_field_of_an_element_that_is_wrong(name: str, field: str, value: int) -> None:
    """It is told with its page, and nothing that is read was not there: no key, no value."""
    recorded = real(name)
    pages = trusting(recorded.content).pages
    for page in pages[:: max(1, len(pages) // 8)]:
        flags, count = struct.unpack_from("<HH", recorded.content, page * page_size(recorded.content) + 8)
        form = (
            {"position": 0, "key size": 4} if flags == 1 else {"position": 4, "key size": 8, "value size": 12}
        )
        if field not in form or not count:
            continue
        for element in list(_elements(recorded.content, page))[:-1:4]:
            content = patched(recorded.content, element + form[field], struct.pack("<I", value))
            if content == recorded.content:
                continue
            told: list[Damaged] = []
            left = read(content, told)
            assert {item.page for item in told} == {page}
            assert _is_part(left, recorded.newest)


@pytest.mark.parametrize("count", [0, 1, 1000, 0xFFFF])
@each_database
def test_a_count_that_is_wrong(name: str, count: int) -> None:
    """Fewer or more elements than a page has is told, and nothing is made up."""
    recorded = real(name)
    for page in trusting(recorded.content).pages:
        before = struct.unpack_from("<H", recorded.content, page * page_size(recorded.content) + 10)[0]
        if before in (0, count):
            continue
        told: list[Damaged] = []
        left = read(change(recorded.content, page, 10, "<H", count), told)
        assert page in {item.page for item in told} or (count == 0 and before)
        assert _is_part(left, recorded.newest)


def _is_part(left: Any, whole: Any) -> bool:
    if not isinstance(left, dict):
        return bool(left == whole)
    return isinstance(whole, dict) and all(key in whole and _is_part(left[key], whole[key]) for key in left)


def _with_child(content: bytes, page: int, child: int) -> bytes | None:
    """A database in which the first bucket, or the first branch, of a page leads to page `child`."""
    flags = struct.unpack_from("<H", content, page * page_size(content) + 8)[0]
    for element in _elements(content, page):
        if flags == 1:
            return patched(content, element + 8, struct.pack("<Q", child))
        is_bucket, position, key_size, _ = struct.unpack_from("<IIII", content, element)
        at = element + position + key_size
        if is_bucket and struct.unpack_from("<Q", content, at)[0]:
            return patched(content, at, struct.pack("<Q", child))
    return None


@each_database
def test_a_circle_ends(name: str) -> None:
    """A bucket or a branch that leads back to a page above it is told, and no page is read for two."""
    recorded = real(name)
    pages = trusting(recorded.content).pages
    for page in pages:
        for child in {root_of(recorded.content), page}:
            content = _with_child(recorded.content, page, child)
            if content is None:
                continue
            told: list[Damaged] = []
            left = read(content, told)
            assert told
            assert left != recorded.newest


@given(data=some.data())
def test_whatever_is_wrong_is_an_error_of_its_own_and_costs_what_is_there(data: some.DataObject) -> None:
    """Any bytes of any page changed: no crash, and no page is read again and again."""
    recorded = real(data.draw(some.sampled_from(NAMES)))
    content = bytearray(recorded.content)
    size = page_size(recorded.content)
    pages = trusting(recorded.content).pages
    for _ in range(data.draw(some.integers(1, 4))):
        page = data.draw(some.sampled_from([0, 1, *pages]))
        # most of what counts lies at the beginning of a page
        at = page * size + data.draw(some.one_of(some.integers(0, 96), some.integers(0, size - 8)))
        number = data.draw(some.one_of(some.integers(0, 300), some.integers(0, 2**32 - 1)))
        width = data.draw(some.sampled_from(["<B", "<H", "<I"]))
        struct.pack_into(width, content, at, number % (1 << 8 * struct.calcsize(width)))
    taken = 0

    def reading(offset: int, length: int) -> memoryview:
        nonlocal taken
        taken += length
        return memoryview(content)[offset : offset + length]

    told: list[Damaged] = []
    try:
        database = Database(reading, len(content), damaged=told.append)
    except FormatError:
        return
    for bucket in database.buckets():
        for key, value in bucket.values():
            assert bucket.value(key) is not None, value
    # each page for the two states' roots, and once for all its bucket is asked, as these are kept
    assert taken < 2 * len(content) + 8192 + 64 * (len(told) + len(pages))


def test_what_was_listed_is_found_also_where_its_key_belongs_elsewhere() -> None:
    """A key that was changed, and is before all others now: whoever was given it can ask for it."""
    content = bytearray(real("made/page-1024").content)
    struct.pack_into("<I", content, 5 * 1024 + 157, 0)
    database = Database(*buffer_reader(content), damaged=lambda _: None)
    listed = [(bucket, key, value) for bucket in database.buckets() for key, value in bucket.values()]
    assert any(key.startswith(b"\0") for _, key, _ in listed)
    assert all(bucket.value(key) is not None for bucket, key, _ in listed)


@given(content=some.binary(max_size=300), page=some.integers(1, 5))
def test_bytes_that_are_no_database(content: bytes, page: int) -> None:
    """Anything else is no database."""
    with pytest.raises(FormatError):
        read(content * page)
