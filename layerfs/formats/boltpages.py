"""The pages of a bolt database: the two metas, and single leaves and branches.

All pages have one size. Pages 0 and 1 are metas, each the start of a whole state of the database: a
transaction overwrites no page of the state before it, and writes its meta last. A page that holds too much
goes on in the pages behind it. The writer gives each page to one bucket, and writes elements one behind the
other, in order; anything else is damage. So a hostile file cannot make one byte count as two elements.

Sources: etcd-io/bbolt `internal/common/{page,meta,bucket}.go`, `node.go` (write), `db.go` (getPageSize).
"""

from __future__ import annotations

import functools
import operator
import struct
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read: TypeAlias = Callable[[int, int], bytes | memoryview]
    """Called with an offset and a length, gives those bytes; fewer at the end of the file."""

__all__ = ["BadMeta", "Element", "Meta", "Page", "Pages", "inline_page", "plain_values", "read_metas"]

_MAGIC = b"\xed\xda\x0c\xed"  # 0xED0CDAED, little-endian
_VERSION = 2
_PAGE_HEADER = struct.Struct("<QHHI")  # id, flags, count, overflow
_META = struct.Struct(
    "<4sIIIQQQQQQ"
)  # magic, version, page size, -, root, sequence, freelist, high, txid, sum
_BRANCH_ELEMENT = struct.Struct("<IIQ")  # position, key size, child page
_LEAF_ELEMENT = struct.Struct("<IIII")  # flags, position, key size, value size
_BRANCH, _LEAF = 1, 2
_IS_BUCKET = 1
_LARGEST_KEY = 32768
_PAGE_SIZES = [1 << power for power in range(9, 25)]
_MAX_EXTENT = 64 << 20  # bytes of one page; elements of engines have a few hundred
_MOST_PLAIN = 64  # elements of a small bucket that are read at one look
_KEPT = 16 << 20  # bytes of pages that are kept in memory
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


class Meta(NamedTuple):
    """A sound meta.

    Attributes:
        page: 0 or 1.
        page_size: bytes.
        root: the page at which the outermost bucket starts.
        sequence: of that bucket.
        high: the first page that was never used.
        txid: the number of the transaction that wrote it.
    """

    page: int
    page_size: int
    root: int
    sequence: int
    high: int
    txid: int


class BadMeta(NamedTuple):
    """A meta with a wrong checksum: its page, and the ID of the transaction that it says wrote it."""

    page: int
    claims: int | None


class Element(NamedTuple):
    """A key of a leaf, and what it holds.

    Attributes:
        at: where the value lies, as a byte of the file; no other element has the same.
    """

    key: bytes
    value: memoryview
    is_bucket: bool
    at: int


def read_metas(read: Read, size: int) -> tuple[list[Meta], list[BadMeta]]:
    """The sound metas, newest first, and the others; raises `FormatError` where none is sound.

    The first meta tells the page size, and so the place of the second; where it is damaged, all sizes are
    tried.
    """
    metas: list[Meta] = []
    bad: list[BadMeta] = []
    first = _meta(read, 0, 0)
    places = _PAGE_SIZES
    if isinstance(first, Meta):
        metas.append(first)
        places = [first.page_size]
    else:
        bad.append(first)
    tried = [_meta(read, 1, at) for at in places if at < size or len(places) == 1]
    second = next((meta for meta in tried if isinstance(meta, Meta)), None)
    if second:
        metas.append(second)
    elif metas and isinstance(tried[0], BadMeta):
        bad.append(tried[0])
    if not metas:
        if any(
            bytes(read(at + _PAGE_HEADER.size, 4)) == _MAGIC[::-1] for at in (0, *_PAGE_SIZES) if at < size
        ):
            raise FormatError("a bolt database of a big-endian machine, as s390x: such are not read")
        raise FormatError("not a bolt database, or both of its meta pages are damaged")
    return sorted(metas, key=lambda meta: -meta.txid), bad


def _meta(read: Read, page: int, at: int) -> Meta | BadMeta:
    """The meta of page `page`, which is at byte `at`."""
    content = bytes(read(at + _PAGE_HEADER.size, _META.size))
    if len(content) != _META.size:
        return BadMeta(page, None)
    magic, version, page_size, _, root, sequence, _, high, txid, checksum = _META.unpack(content)
    sound = (magic, version) == (_MAGIC, _VERSION) and checksum == _fnv1a(content[:-8])
    if not sound or page_size not in _PAGE_SIZES or at not in (0, page_size):
        return BadMeta(page, txid if magic == _MAGIC else None)
    return Meta(page, page_size, root, sequence, high, txid)


def _fnv1a(content: bytes) -> int:
    value = _FNV_OFFSET
    for byte in content:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


class Page:
    """What a page holds, as far as it is sound.

    Attributes:
        keys: of its elements, in their order.
        elements: of a leaf, else empty.
        children: the pages below a branch, one a key; else empty.
        size: its bytes, with those of the pages it goes on in.
        fault: what is wrong with it, or None.
        ordered: whether its keys are in order, each once.
    """

    __slots__ = ("_places", "children", "elements", "fault", "keys", "ordered", "size")

    def __init__(
        self, keys: list[bytes], elements: list[Element], children: list[int], size: int, fault: str | None
    ) -> None:
        """Look whether the keys are in order."""
        self.keys = keys
        self.elements = elements
        self.children = children
        self.size = size
        self.ordered = all(map(operator.lt, keys, keys[1:]))
        self.fault = fault or (None if self.ordered else "its keys are not in order")
        self._places: dict[bytes, int] | None = None

    def find(self, key: bytes) -> Element | None:
        """The element of a leaf that has this key, the first of several."""
        if self.ordered:
            place = bisect_left(self.keys, key)
            return self.elements[place] if place < len(self.keys) and self.keys[place] == key else None
        if self._places is None:
            self._places = {found: place for place, found in reversed(list(enumerate(self.keys)))}
        return self.elements[self._places[key]] if key in self._places else None


class Pages:
    """The pages of one state of a database. A page belongs to the bucket for which it was first read."""

    def __init__(self, read: Read, size: int, meta: Meta) -> None:
        """Of a file of `size` bytes."""
        self._read = read
        self._size = size
        self._page_size = meta.page_size
        self._high = meta.high
        self._owners: dict[int, tuple[int, int]] = {}
        self._kept: dict[int, Page] = {}
        self._kept_bytes = 0

    def page(self, number: int, owner: int) -> Page:
        """A page, read for the bucket whose entry is at byte `owner`; raises `FormatError`."""
        found = self._kept.get(number)
        if found is None or self._owners[number] != (owner, number):
            found = self._parse(number, owner)
            self._keep(number, found)
        return found

    def _keep(self, number: int, page: Page) -> None:
        self._kept[number] = page
        self._kept_bytes += page.size
        while self._kept_bytes > _KEPT and len(self._kept) > 1:
            self._kept_bytes -= self._kept.pop(next(iter(self._kept))).size

    def _parse(self, number: int, owner: int) -> Page:
        """Read a page and look at all of it."""
        if not 2 <= number < self._high:
            raise FormatError("it is not in use", expected=f"2 to {self._high - 1}")
        start = number * self._page_size
        named, flags, _, overflow = _PAGE_HEADER.unpack(self._exactly(start, _PAGE_HEADER.size))
        if named != number:
            raise FormatError("it does not have its own number", found=f"{named}")
        if flags not in (_BRANCH, _LEAF):
            raise FormatError("it is neither branch nor leaf", found=f"flags {flags}")
        size = (1 + overflow) * self._page_size
        if size > max(_MAX_EXTENT, self._page_size):
            raise FormatError(
                "it is too large", expected=f"at most {_MAX_EXTENT} bytes", found=f"{size} bytes"
            )
        if number + overflow >= self._high:
            raise FormatError("it goes on in pages that are not in use", found=f"{overflow} pages")
        self._check_size(start + size)
        for covered in range(number, number + 1 + overflow):
            if self._owners.setdefault(covered, (owner, number)) != (owner, number):
                raise FormatError("it overlaps with what another bucket has", found=f"page {covered}")
        data = memoryview(self._exactly(start, size))
        return _branch(data) if flags == _BRANCH else _leaf(data, start)

    def _exactly(self, start: int, size: int) -> bytes | memoryview:
        self._check_size(start + size)
        content = self._read(start, size)
        if len(content) != size:
            raise FormatError("the file ends before it", found=f"{self._size} bytes")
        return content

    def _check_size(self, end: int) -> None:
        if end > self._size:
            raise FormatError("the file ends before it", found=f"{self._size} bytes")


def inline_page(value: memoryview, start: int) -> Page:
    """The page in the value of a small bucket, which begins at byte `start`; raises `FormatError`."""
    if len(value) < _PAGE_HEADER.size:
        raise FormatError("a bucket ends before its page", found=f"{len(value)} bytes")
    number, flags, _, overflow = _PAGE_HEADER.unpack_from(value)
    if (number, flags, overflow) != (0, _LEAF, 0):
        raise FormatError("a bucket has no leaf in its value", found=f"flags {flags}")
    return _leaf(value, start)


def plain_values(value: memoryview) -> dict[bytes, bytes] | None:
    """What a small bucket holds, at one look, as records are many; None where anything is odd."""
    content = bytes(value)
    count = _PAGE_HEADER.unpack_from(content)[2] if len(content) >= _PAGE_HEADER.size else _MOST_PLAIN + 1
    if count > _MOST_PLAIN:
        return None
    places = _plain_places(content[: _PAGE_HEADER.size + _LEAF_ELEMENT.size * count])
    if places is None or (places and places[-1][2] > len(content)):
        return None
    found: dict[bytes, bytes] = {}
    before = b""
    for at, value_at, end in places:
        key = content[at:value_at]
        if key <= before:
            return None
        found[key] = content[value_at:end]
        before = key
    return found


@functools.lru_cache(maxsize=1 << 10)  # records of one kind differ in little else than their values
def _plain_places(table: bytes) -> tuple[tuple[int, int, int], ...] | None:
    """Where the keys and values of a small bucket begin and end, by its header and elements; None if odd."""
    number, flags, count, overflow = _PAGE_HEADER.unpack_from(table)
    element_at = _PAGE_HEADER.size
    at = element_at + _LEAF_ELEMENT.size * count
    if (number, flags, overflow) != (0, _LEAF, 0) or at != len(table):
        return None
    found: list[tuple[int, int, int]] = []
    for is_bucket, position, key_size, value_size in _LEAF_ELEMENT.iter_unpack(table[element_at:]):
        value_at = at + key_size
        if is_bucket or element_at + position != at or key_size > _LARGEST_KEY:
            return None
        found.append((at, value_at, value_at + value_size))
        at = value_at + value_size
        element_at += _LEAF_ELEMENT.size
    return tuple(found)


def _branch(data: memoryview) -> Page:
    """The keys and children of a branch."""
    count = _PAGE_HEADER.unpack_from(data)[2]
    slots = [
        _Slot(base + position, base + position + key_size, base + position + key_size, child)
        for base, (position, key_size, child) in _elements(data, _BRANCH_ELEMENT, count)
    ]
    sound, fault = _sound(slots, count, len(data))
    if not sound:
        fault = fault or "it is a branch without children"
    keys = [bytes(data[slot.at : slot.value_at]) for slot in sound]
    return Page(keys, [], [slot.what for slot in sound], len(data), fault)


def _leaf(data: memoryview, start: int) -> Page:
    """The elements of a leaf that begins at byte `start` of the file."""
    count = _PAGE_HEADER.unpack_from(data)[2]
    found, fault = _plain(data, count, start), None
    if found is None:
        slots = [
            _Slot(base + position, base + position + key_size, base + position + key_size + value_size, flags)
            for base, (flags, position, key_size, value_size) in _elements(data, _LEAF_ELEMENT, count)
        ]
        sound, fault = _sound(slots, count, len(data))
        found = [
            Element(bytes(data[at:value_at]), data[value_at:end], what == _IS_BUCKET, start + value_at)
            for at, value_at, end, what in sound
            if what in (0, _IS_BUCKET)
        ]
        if len(found) < len(sound):
            fault = fault or "an element is neither value nor bucket"
    return Page([element.key for element in found], found, [], len(data), fault)


def _plain(data: memoryview, count: int, start: int) -> list[Element] | None:
    """The elements of a leaf in which nothing is wrong, in one go, as leaves are many; None of another."""
    element_at, size = _PAGE_HEADER.size, len(data)
    at = element_at * (1 + count)
    if at > size:
        return None
    found: list[Element] = []
    content = bytes(data)  # keys are cut out of it faster
    for flags, position, key_size, value_size in _LEAF_ELEMENT.iter_unpack(content[element_at:at]):
        value_at = at + key_size
        end = value_at + value_size
        is_sound = element_at + position == at and 0 < key_size <= _LARGEST_KEY and end <= size
        if not is_sound or flags > _IS_BUCKET:
            return None
        found.append(Element(content[at:value_at], data[value_at:end], flags == _IS_BUCKET, start + value_at))
        at = end
        element_at += _LEAF_ELEMENT.size
    return found


class _Slot(NamedTuple):
    """Where an element says that its key, its value and its end lie in the page; its flags or child page."""

    at: int
    value_at: int
    end: int
    what: int


def _elements(data: memoryview, form: struct.Struct, count: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The elements at the beginning of a page, as (where it is, its fields): as many as there is room for."""
    taken = min(count, len(data) // form.size - 1)
    first, end = _PAGE_HEADER.size, _PAGE_HEADER.size + taken * form.size
    return zip(range(first, end, form.size), form.iter_unpack(data[first:end]), strict=True)


def _sound(slots: list[_Slot], count: int, size: int) -> tuple[list[_Slot], str | None]:
    """The possible elements of a page of `size` bytes, and what is wrong with the first impossible one.

    The first key lies behind all elements, and each element ends where the next one's key begins.
    """
    fault = None if slots or not count else "it has no room for its elements"
    if slots and slots[0].at != _PAGE_HEADER.size * (1 + count):
        fault = "its elements are not as many as it says"
        slots = slots[: max(slots[0].at // _PAGE_HEADER.size - 1, 1)]
    found: list[_Slot] = []
    used = _PAGE_HEADER.size * (1 + len(slots))
    starts = [slot.at for slot in slots[1:]]
    for slot, following in zip(slots, [*starts, None], strict=False):
        at, value_at, end, _ = slot
        if end > size:
            wrong = "an element points outside it"
        elif at < used or following not in (end, None):
            wrong = "elements overlap, or leave gaps"
        elif not 0 < value_at - at <= _LARGEST_KEY:
            wrong = "an element has no key, or too long a key"
        else:
            found.append(slot)
            used = end
            continue
        fault = fault or wrong
    return found, fault
