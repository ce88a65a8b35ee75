"""How much of trees is in memory at a time: of those that live as long as somebody uses them."""

from __future__ import annotations

import threading
import weakref

__all__ = ["MOST", "Weights"]

MOST = 1 << 22
"""Originals alive at a time, about a gibibyte: several times what the largest real images have."""


class Weights:
    """Counts the weight of objects until they are freed; safe to use from several threads."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._lock = threading.RLock()  # reentrant, because an object can be freed during any allocation
        self._held = 0

    @property
    def room(self) -> int:
        """What another one may weigh, in `Originals`; see `MOST`."""
        with self._lock:
            return MOST - self._held

    def count(self, held: object, weight: int) -> None:
        """Count an object from now until it is freed."""
        self._add(weight)
        weakref.finalize(held, self._add, -weight).atexit = False

    def _add(self, weight: int) -> None:
        with self._lock:
            self._held += weight
