"""Which files are opened, however that is done: `Opens`."""

from __future__ import annotations

import ctypes
import os
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Opens"]


class Opens:
    """inotify(7): which entries of directories are opened for more than a look (O_PATH is none)."""

    IN_OPEN = 0x20

    def __init__(self, tops: Sequence[str]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK)
        assert self._fd >= 0
        self._watched: dict[int, str] = {}
        for top in tops:
            for directory, _, _ in os.walk(top):
                number = self._libc.inotify_add_watch(self._fd, os.fsencode(directory), self.IN_OPEN)
                assert number > 0
                self._watched[number] = directory

    def opened(self) -> Counter[str]:
        """How often each entry that is no directory was opened; ends the watch."""
        found: Counter[str] = Counter()
        with os.fdopen(self._fd, "rb", buffering=0) as events:
            while data := events.read(1 << 16):
                while data:
                    number, mask, _, length = (
                        int.from_bytes(data[at : at + 4], "little") for at in (0, 4, 8, 12)
                    )
                    name = os.fsdecode(data[16 : 16 + length].rstrip(b"\0"))
                    if name and not mask & 0x40000000:  # IN_ISDIR
                        found[os.path.join(self._watched[number], name)] += 1
                    data = data[16 + length :]
        return found
