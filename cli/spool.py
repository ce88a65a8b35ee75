"""Output that must be complete before its first line is known: kept in order, or sorted, whatever its size.

The first `MOST` texts are in memory, so small output touches no disk. More go, packed, to a temporary file
without a name (in TMPDIR), in the order given (`kept`) or as sorted runs that are merged (`in_order`).
"""

from __future__ import annotations

import heapq
import marshal
import os
import weakref
import zlib
from itertools import chain, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO

__all__ = ["MOST", "in_order", "kept"]

_KEY = itemgetter(0)

MOST = 30_000
"""So many texts are in memory at a time with their keys: some 15 MB of lines, several times that of JSON."""

_BLOCK = 100  # texts that are packed together; while runs are merged one block of each is in memory
_FAST = 1  # zlib's level: a tenth of the size, in far less time than the lines take


def kept(texts: Iterable[str]) -> Iterator[str]:
    """The same texts, once all of them were made."""
    given = iter(texts)
    first = list(islice(given, MOST))
    spool: _Spool | None = None
    places: list[_Place] = []
    while block := list(islice(given, _BLOCK)):
        spool = spool or _Spool()
        places.append(spool.put(block))
    return chain(first, spool.values(places)) if spool else iter(first)


def in_order(pairs: Iterable[tuple[Any, str]]) -> Iterator[str]:
    """The texts, sorted by keys, which are plain values or tuples of such; of equal keys as they came."""
    given = iter(pairs)
    spool: _Spool | None = None
    runs: list[list[_Place]] = []
    while len(run := sorted(islice(given, MOST), key=_KEY)) == MOST:
        spool = spool or _Spool()
        runs.append([spool.put(run[at : at + _BLOCK]) for at in range(0, MOST, _BLOCK)])
    if spool is None:
        return (text for _, text in run)
    return (text for _, text in heapq.merge(*map(spool.values, runs), run, key=_KEY))


class _Place(NamedTuple):
    """Where a block is."""

    offset: int
    length: int


class _Spool:
    """A temporary file of blocks of plain values; it is gone when nobody reads it any more."""

    def __init__(self) -> None:
        """Make it; raises `OSError` with the words of what a user can do."""
        import tempfile  # for much output only

        self._file: IO[bytes]
        try:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as this object
        except OSError as error:
            raise _named(error) from error
        weakref.finalize(self, self._file.close)
        self._end = 0

    def put(self, values: list[Any]) -> _Place:
        """Add a block."""
        packed = zlib.compress(marshal.dumps(values), _FAST)
        place = _Place(self._end, len(packed))
        try:
            left = memoryview(packed)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise _named(error) from error
        self._end += len(packed)
        return place

    def values(self, places: list[_Place]) -> Iterator[Any]:
        """The values of blocks, one after the other."""
        for place in places:
            packed = os.pread(self._file.fileno(), place.length, place.offset)
            yield from marshal.loads(zlib.decompress(packed))  # noqa: S302 - nobody else can write to it


def _named(error: OSError) -> OSError:
    return OSError(
        error.errno, error.strerror, "a temporary file for the output (TMPDIR may name another place)"
    )
