"""The sha256 of a stream of many small pieces, which are joined, and hashed some hundred kilobytes at a time.

Files are read to where they are hashed from. Hashing needs no GIL: a thread can do it beside the reading, so
that one long stream keeps two processors busy.
"""

from __future__ import annotations

import hashlib
import threading
from queue import SimpleQueue
from typing import Self

__all__ = ["ROOM", "JoinedHash"]

ROOM = 1 << 18
"""Bytes that can be read at a time, and are hashed at a time: they are in the processor's cache then."""

_BESIDE = 4 << 20
"""So many by a thread: after each time it may wait five milliseconds for the GIL (sys.getswitchinterval)."""
_BUFFERS = 3


class JoinedHash:
    """The sha256 of all that is added; with a thread, to be closed."""

    def __init__(self, *, beside: bool) -> None:
        """Nothing yet; with `beside` a thread does the hashing, if there is one to be had."""
        self._digest = hashlib.sha256()
        self._size = _BESIDE if beside else ROOM
        self._buffer, self._filled = memoryview(bytearray(self._size)), 0
        try:
            self._thread = _Beside(self._digest, self._size) if beside else None
        except RuntimeError:  # the limit of threads is reached
            self._thread = None

    def __enter__(self) -> Self:
        """Use as a context manager to end the thread, if there is one."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End the thread."""
        if self._thread:
            self._thread.end()

    def add(self, piece: bytes) -> None:
        """Add a piece of any length."""
        end = self._filled + len(piece)
        if end <= self._size:
            self._buffer[self._filled : end] = piece
            self._filled = end
            return
        for at in range(0, len(piece), ROOM):
            part = piece[at : at + ROOM]
            self.room(len(part))[:] = part
            self.fill(len(part))

    def room(self, size: int) -> memoryview:
        """A place for the next `size` bytes, at most `ROOM`; it is valid until the next call."""
        if self._filled + size > self._size:
            self._hash()
        return self._buffer[self._filled : self._filled + size]

    def fill(self, count: int) -> None:
        """Add the first `count` bytes of the room that was just given."""
        self._filled += count

    def hexdigest(self) -> str:
        """The digest of all that was added."""
        self._hash()
        if self._thread:
            self._thread.wait()
        return self._digest.hexdigest()

    def _hash(self) -> None:
        filled = self._buffer[: self._filled]
        self._filled = 0
        if self._thread:
            self._buffer = self._thread.hash(self._buffer, filled)
        else:
            self._digest.update(filled)


class _Beside:
    """A thread that hashes."""

    def __init__(self, digest: hashlib._Hash, size: int) -> None:
        self._digest = digest
        self._full: SimpleQueue[tuple[memoryview, memoryview] | None] = SimpleQueue()
        self._empty: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(_BUFFERS - 1):
            self._empty.put(memoryview(bytearray(size)))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hash(self, buffer: memoryview, filled: memoryview) -> memoryview:
        """Hash what is filled of a buffer; another buffer for it."""
        self._full.put((buffer, filled))
        return self._empty.get()

    def wait(self) -> None:
        """Until all is hashed."""
        buffers = [self._empty.get() for _ in range(_BUFFERS - 1)]
        for buffer in buffers:
            self._empty.put(buffer)

    def end(self) -> None:
        """End the thread, once all is hashed."""
        self._full.put(None)
        self._thread.join()

    def _run(self) -> None:
        while item := self._full.get():
            buffer, filled = item
            self._digest.update(filled)
            self._empty.put(buffer)
