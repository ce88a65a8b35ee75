"""What holds descriptors that it can do without: asked for them before the host is said to be exhausted."""

from __future__ import annotations

import errno
import weakref
from typing import TYPE_CHECKING, Protocol, TypeVar

from layerfs.errors import HostExhausted

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RESERVES", "enough", "make_room"]

_Given = TypeVar("_Given")
_Opened = TypeVar("_Opened")

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Reserve(Protocol):
    """What holds descriptors that it can do without."""

    def give_back(self) -> bool:
        """Close some; False where there are none to close."""


RESERVES: weakref.WeakSet[Reserve] = weakref.WeakSet()
"""Whoever holds such descriptors adds itself."""


def enough(opening: Callable[[_Given], _Opened], given: _Given) -> _Opened:
    """What `opening` opens; that the host has no descriptor left says nothing of the evidence."""
    while True:
        try:
            return opening(given)
        except OSError as error:
            make_room(error)


def make_room(error: OSError) -> None:
    """Close what can be done without where the host had no descriptor left; raises any other error again."""
    if error.errno not in _EXHAUSTED:
        raise error
    if not any(reserve.give_back() for reserve in list(RESERVES)):
        raise HostExhausted(error.errno) from error
