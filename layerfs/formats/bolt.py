"""A bolt database: buckets, keys and values. Only the pages that a question needs are read.

    database = Database(read, size)
    image = database.root.bucket(b"v1").bucket(b"images")

A damaged page raises `Damaged`; with the argument `damaged`, that is called instead, and only this page is
left out.

Sources: etcd-io/bbolt `bucket.go`, `cursor.go`, `internal/common/bucket.go`; pages as `boltpages` has them.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from layerfs.formats.boltdamage import EVERY_KEY, Damaged
from layerfs.formats.boltpages import Pages, inline_page, plain_values, read_metas
from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.formats.boltdamage import KeyRange
    from layerfs.formats.boltpages import Element, Meta, Page, Read

Record: TypeAlias = "tuple[dict[bytes, bytes], dict[bytes, Bucket]]"
"""What a bucket holds: its values, and the buckets in it, by their keys."""

__all__ = ["Bucket", "Database", "Record", "buffer_reader", "open_bolt"]

_BUCKET_HEADER = struct.Struct("<QQ")  # root page, sequence
_IN_VALUE = bytes(8)  # the root page of a bucket whose only page is in its value
_MAX_DEPTH = 64
_NO_LEAVES: tuple[list[bytes], list[int]] = ([], [])


class Database:
    """One state of a bolt file.

    Attributes:
        meta: the state that is read.
        other: the other of the two states in the file; None where its meta or its outermost page is damaged.
        problem: what is wrong with the states, and which one is read; None where both are sound, and where
            the state before the newest was asked for.
        lacks_meta: whether the problem is a damaged meta page; bbolt opens the file with the other one.
        root: the outermost bucket.
    """

    def __init__(
        self,
        read: Read,
        size: int,
        *,
        previous: bool = False,
        damaged: Callable[[Damaged], None] | None = None,
    ) -> None:
        """Choose the state to read: the newest whose outermost page is sound.

        Args:
            read: called with an offset and a length, gives those bytes; fewer at the end of the file.
            size: of the file, in bytes.
            previous: choose the state before the newest.
            damaged: called for each page that is left out; by default the error is raised.

        Raises:
            FormatError: it is no bolt database, or has no such state.
        """
        metas, bad = read_metas(read, size)
        # the two metas are of consecutive transactions: the ID in a damaged one tells which of them is lost
        newest_lost = bool(bad) and bad[0].claims != metas[0].txid - 1
        states = [(meta, Pages(read, size, meta)) for meta in metas]
        sound = [(meta, pages) for meta, pages in states if _is_rooted(pages, meta)]
        older = [state for state in sound if newest_lost or state[0] is not metas[0]]
        if previous and not older:
            raise FormatError("the bolt database has no older state: that is damaged")
        self.meta, pages = older[0] if previous else (sound or states)[0]
        self.other: Meta | None = next((meta for meta, _ in sound if meta is not self.meta), None)
        lost = newest_lost if bad else None
        self.problem = None if previous else _problem(self.meta, metas[0], lost=lost)
        self.lacks_meta = self.problem is not None and self.meta is metas[0]
        self.root = Bucket(_State(pages, damaged, {}, set(), {}), self.meta.root, 0, self.meta.sequence)

    def buckets(self) -> Iterator[Bucket]:
        """Every bucket at whatever depth, the outermost first, each before those in it."""
        pending = [self.root]
        while pending:
            bucket = pending.pop()
            yield bucket
            pending.extend(reversed([inner for _, inner in bucket.buckets()]))


def _is_rooted(pages: Pages, meta: Meta) -> bool:
    """Whether the outermost page of this state can be read."""
    try:
        pages.page(meta.root, 0)
    except FormatError:
        return False
    return True


def _problem(used: Meta, newest: Meta, *, lost: bool | None) -> str | None:
    """The text of `Database.problem`; `lost`: whether the newest meta is damaged, None if both are sound."""
    as_of = f"read as of transaction {used.txid}"
    if used is not newest:
        return f"the root of its newest state (transaction {newest.txid}) is damaged: {as_of}"
    if lost is None:
        return None
    if lost:
        return f"one of its two meta pages is damaged: {as_of}, which may not be the last"
    return f"the meta page of its older state is damaged: {as_of}, the last"


class _State(NamedTuple):
    """What the buckets of a state share."""

    pages: Pages
    told: Callable[[Damaged], None] | None
    indexes: dict[int, dict[bytes, Element]]
    disordered: set[int]
    leaves: dict[int, tuple[list[bytes], list[int]]]

    def lost(self, damaged: Damaged) -> None:
        """Report damage to the caller's function, or raise it."""
        if self.told is None:
            raise damaged
        self.told(damaged)


class Bucket:
    """One bucket: its values and the buckets inside it, in the order of their keys.

    Every method raises `Damaged`, unless the database was opened with the argument `damaged`.

    Attributes:
        names: its name, behind those of the buckets it is in.
        sequence: the counter that bolt keeps with a bucket for those who use it.
    """

    __slots__ = ("_at", "_inline", "_root", "_small", "_state", "names", "sequence")

    def __init__(
        self,
        state: _State,
        root: int,
        at: int,
        sequence: int,
        names: tuple[bytes, ...] = (),
        inline: memoryview | None = None,
    ) -> None:
        """The bucket whose tree starts at page `root`, or is in `inline`; its entry is at byte `at`."""
        self._state = state
        self._root = root
        self._at = at
        self._inline = inline
        self._small: Page | None = None
        self.names = names
        self.sequence = sequence

    def items(self) -> Iterator[tuple[bytes, bytes | Bucket]]:
        """Every key, with its value or the bucket of that name."""
        for element in self._elements():
            if not element.is_bucket:
                yield element.key, bytes(element.value)
            elif inner := self._inner(element):
                yield element.key, inner

    def values(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key that holds a value."""
        for element in self._elements():
            if element.is_bucket:
                self._inner(element)  # reports a damaged bucket, as every listing of elements does
            else:
                yield element.key, bytes(element.value)

    def buckets(self) -> Iterator[tuple[bytes, Bucket]]:
        """Every bucket inside this one."""
        for element in self._elements():
            if element.is_bucket and (inner := self._inner(element)):
                yield element.key, inner

    def records(self) -> Iterator[tuple[bytes, Record]]:
        """The contents of every bucket inside this one."""
        for element in self._elements():
            if element.is_bucket and (found := self._record(element)) is not None:
                yield element.key, found

    def record(self, name: bytes) -> Record | None:
        """The contents of the bucket called `name` inside this one, or None; looks at no other."""
        found = self._find(name)
        return self._record(found) if found and found.is_bucket else None

    def _record(self, element: Element) -> Record | None:
        """As `_inner` and then `contents`, in one step for the small ones, which are many."""
        value = element.value
        if value[:8] == _IN_VALUE and self._inline is None and len(self.names) < _MAX_DEPTH:
            found = plain_values(value[_BUCKET_HEADER.size :])
            if found is not None:
                return found, {}
        inner = self._inner(element)
        return inner.contents() if inner else None

    def contents(self) -> Record:
        """What it holds, at one look."""
        if self._inline is not None and (found := plain_values(self._inline)) is not None:
            return found, {}
        values: dict[bytes, bytes] = {}
        buckets: dict[bytes, Bucket] = {}
        for element in self._elements():
            if not element.is_bucket:
                values[element.key] = bytes(element.value)
            elif inner := self._inner(element):
                buckets.setdefault(element.key, inner)  # as `bucket` finds it
        return values, buckets

    def value(self, key: bytes) -> bytes | None:
        """The value of `key`, or None; looks only at the pages on the way to it."""
        found = self._find(key)
        return bytes(found.value) if found and not found.is_bucket else None

    def bucket(self, name: bytes) -> Bucket | None:
        """The bucket called `name` inside this one, or None; looks only at the pages on the way to it."""
        found = self._find(name)
        return self._inner(found) if found and found.is_bucket else None

    def _inner(self, element: Element) -> Bucket | None:
        """The bucket that an element is; None where it is damaged, which was reported."""
        names = (*self.names, element.key)
        try:
            root, sequence, inline = self._heading(element)
        except FormatError as error:
            self._state.lost(Damaged(error, None, names, EVERY_KEY))
            return None
        return Bucket(self._state, root, element.at, sequence, names, inline)

    def _heading(self, element: Element) -> tuple[int, int, memoryview | None]:
        """Where a bucket starts, its sequence, and the page in its value, if it is there."""
        value = element.value
        if self._inline is not None:
            raise FormatError("a bucket lies in one that has no pages")
        if len(self.names) >= _MAX_DEPTH:
            raise FormatError("buckets lie too deep in each other", expected=f"at most {_MAX_DEPTH}")
        if len(value) < _BUCKET_HEADER.size:
            raise FormatError("a bucket ends before its beginning", found=f"{len(value)} bytes")
        root, sequence = _BUCKET_HEADER.unpack_from(value)
        return root, sequence, None if root else value[_BUCKET_HEADER.size :]

    def _elements(self) -> Iterator[Element]:
        """Every element of the tree, in key order."""
        if self._inline is not None:
            page = self._page(0, EVERY_KEY)[0]
            yield from page.elements if page else ()
            return
        pending: list[tuple[int, KeyRange, int]] = [(self._root, EVERY_KEY, 0)]
        seen: set[int] = set()
        while pending:
            number, keys, depth = pending.pop()
            page = None if self._met(number, keys, depth, seen) else self._page(number, keys)[0]
            if page:
                below = (_below(page, place, keys) for place in reversed(range(len(page.children))))
                pending.extend((child, within, depth + 1) for child, within in below)
                yield from page.elements

    def _met(self, number: int, keys: KeyRange, depth: int, seen: set[int]) -> bool:
        """Whether a page was reached before, or is too deep in the tree; that is reported."""
        if number in seen or depth > _MAX_DEPTH:
            self._lost(FormatError("it is reached twice, or too deep"), number, keys)
            return True
        seen.add(number)
        return False

    def _find(self, key: bytes) -> Element | None:
        """The element of this key; None where there is none, or its page is lost, which was reported."""
        if self._at in self._state.disordered:
            return self._index().get(key)
        if (known := self._in_known_leaf(key)) is not None:
            return known
        number, keys = self._root, EVERY_KEY
        branches: list[tuple[Page, int, KeyRange]] = []
        for _ in range(_MAX_DEPTH + 1):
            page, is_ordered = self._page(number, keys)
            if page is None:
                return None
            if not is_ordered:
                return self._index().get(key)
            if not page.children:
                self._remember(page, number)
                return page.find(key) or (self._astray(key, page, branches) if branches else None)
            place = max(bisect_right(page.keys, key) - 1, 0)
            branches.append((page, place, keys))
            number, keys = _below(page, place, keys)
        self._lost(FormatError("it is too deep"), number, keys)
        return None

    def _in_known_leaf(self, key: bytes) -> Element | None:
        """The element of a key in a leaf that was looked into before: some callers ask for thousands."""
        firsts, numbers = self._state.leaves.get(self._at, _NO_LEAVES)
        place = bisect_right(firsts, key) - 1
        try:
            return self._state.pages.page(numbers[place], self._at).find(key) if place >= 0 else None
        except FormatError:
            return None  # the way from the root meets it again, and reports it

    def _remember(self, leaf: Page, number: int) -> None:
        """Note a leaf in which every key is in its place, so what is found in it is found by any way."""
        if self._inline is None and leaf.keys:
            firsts, numbers = self._state.leaves.setdefault(self._at, ([], []))
            place = bisect_right(firsts, leaf.keys[0])
            if not place or firsts[place - 1] != leaf.keys[0]:
                firsts.insert(place, leaf.keys[0])
                numbers.insert(place, number)

    def _astray(self, key: bytes, leaf: Page, branches: list[tuple[Page, int, KeyRange]]) -> Element | None:
        """Look for a key in the leaf beside the one that the branches lead to; None if it is not there.

        A branch may hold a wrong key and still be in order. It then leads to a neighbour of the right leaf:
        the key would be the first or the last of this leaf, and the neighbour has keys outside its range.
        """
        side = -1 if leaf.keys[:1] > [key] else 1 if leaf.keys[-1:] < [key] else 0
        beside = (
            _below(page, place + side, keys)
            for page, place, keys in reversed(branches)
            if side and 0 <= place + side < len(page.children)
        )
        number, keys = next(beside, (None, EVERY_KEY))
        if number is None:
            return None
        for _ in range(_MAX_DEPTH):
            page, is_ordered = self._page(number, keys)
            if page and not is_ordered:
                return self._index().get(key)
            if not page or not page.children:
                break
            number, keys = _below(page, len(page.children) - 1 if side < 0 else 0, keys)
        return None

    def _index(self) -> dict[bytes, Element]:
        """All elements by their keys: for a bucket whose keys are not in order."""
        self._state.disordered.add(self._at)
        known = self._state.indexes.get(self._at)
        if known is not None:
            return known
        index: dict[bytes, Element] = {}
        for element in self._elements():
            index.setdefault(element.key, element)
        self._state.indexes[self._at] = index
        return index

    def _page(self, number: int, keys: KeyRange) -> tuple[Page | None, bool]:
        """A page of this bucket, or None; whether its keys are in order and within `keys`. Reports faults."""
        try:
            if self._inline is None:
                page = self._state.pages.page(number, self._at)
            else:
                page = self._small = self._small or inline_page(self._inline, self._at + _BUCKET_HEADER.size)
        except FormatError as error:
            self._lost(error, number, keys)
            return None, False
        is_ordered = page.ordered and (keys is EVERY_KEY or _is_within(page.keys, keys))
        if page.fault or not is_ordered:
            self._state.disordered.add(self._at)  # from now on, what is there is found by any key
            self._lost(FormatError(page.fault or "its keys belong elsewhere"), number, keys)
        return page, is_ordered

    def _lost(self, error: FormatError, number: int, keys: KeyRange) -> None:
        self._state.lost(Damaged(error, None if self._inline is not None else number, self.names, keys))


def _is_within(found: list[bytes], keys: KeyRange) -> bool:
    """Whether the keys of a page, which are in order, are within those that it must have."""
    first, last = keys
    return not found or ((first is None or first <= found[0]) and (last is None or found[-1] < last))


def _below(page: Page, place: int, keys: KeyRange) -> tuple[int, KeyRange]:
    """A child of a branch, and the keys that it must have; the branch has `keys` itself."""
    names = page.keys
    return page.children[place], (names[place], names[place + 1] if place + 1 < len(names) else keys[1])


def open_bolt(read: Read, size: int) -> Bucket:
    """The root bucket of the newest state of a database; arguments and errors as of `Database`."""
    return Database(read, size).root


def buffer_reader(buffer: bytes | bytearray | memoryview) -> tuple[Read, int]:
    """The arguments `read` and `size` of `Database` for a file that is in memory, or mapped."""
    view = memoryview(buffer).toreadonly()
    return (lambda at, size: view[at : at + size]), len(view)
