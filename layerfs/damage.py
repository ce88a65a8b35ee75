"""Damage that does not stop an answer: it is reported, and what it hides is None."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from layerfs.errors import CorruptStore

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Reporting", "attempt"]

Value = TypeVar("Value")

_log = logging.getLogger(__name__)


class Reporting:
    """What notes damage, and logs each defect once.

    Attributes:
        damage: every defect met so far, in order.
    """

    def __init__(self) -> None:
        """Without damage so far."""
        self.damage: list[CorruptStore] = []
        self._reported: set[str] = set()
        self._is_quiet = False

    def keep_quiet(self) -> None:
        """Log no damage from now on; who calls this reports what is in `damage`."""
        self._is_quiet = True

    def report(self, problem: CorruptStore) -> None:
        """Note a defect that does not stop the answer, and log it once."""
        text = str(problem)
        if text not in self._reported:
            self._reported.add(text)
            self.damage.append(problem.again())
            if not self._is_quiet:
                _log.warning("%s", problem, extra={"damage": True})


def attempt(report: Callable[[CorruptStore], object], read: Callable[[], Value]) -> Value | None:
    """What `read` gives; None where it raises `CorruptStore`, of which `report` is told."""
    try:
        return read()
    except CorruptStore as error:
        report(error)
        return None
