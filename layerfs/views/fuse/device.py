"""A mounted `/dev/fuse` descriptor: requests come in, replies go out.

Waking a process that sleeps costs more than answering it: on a virtual machine a round trip takes
60 µs when the server sleeps between two requests, and 20 µs when it does not. The next request of
a busy reader comes within microseconds of the last reply, so the server looks for it again and again
for a moment before it goes to sleep. An idle mount costs nothing.

Source: Linux `fs/fuse/dev.c`.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
import time
from typing import TYPE_CHECKING

from layerfs.views.fuse.protocol import OUT_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Device", "is_dying"]

_ALERT = 100e-6
"""Seconds to look for the next request before going to sleep."""

_BUFFER = 1 << 16  # requests are small: names and attributes come in, data only go out

_GONE = (errno.ENODEV, errno.EBADF)
_INTERRUPTED = (errno.EINTR, errno.ENOENT)  # ENOENT: the asker was killed before we read its request

_SIGKILL_BIT = 1 << (signal.SIGKILL - 1)

_log = logging.getLogger(__name__)


class Device:
    """Requests and replies of one mount; safe to use from several threads."""

    def __init__(self, fd: int) -> None:
        """Speak on `fd`, which stays the caller's."""
        self.fd = fd
        os.set_blocking(fd, False)
        # with one processor, looking would only keep the asker from asking
        self._alert = _ALERT if len(os.sched_getaffinity(0)) > 1 else 0.0

    def receive(self, meanwhile: Callable[[], bool]) -> bytes | None:
        """The next request, or None once the mount is gone.

        `meanwhile` is called again and again before sleeping, until it returns False: a short step of
        something useful.
        """
        asleep_at, busy = 0.0, True
        while True:
            try:
                return os.read(self.fd, _BUFFER)
            except BlockingIOError:
                now = time.perf_counter()
                if not asleep_at:
                    asleep_at = now + self._alert
                if now >= asleep_at:
                    self._sleep()
                    asleep_at = 0.0
                elif busy:
                    busy = meanwhile()
            except OSError as error:
                if error.errno in _GONE:
                    return None
                if error.errno not in _INTERRUPTED:
                    raise

    def _sleep(self) -> None:
        """Wait for a request."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        poll.poll()

    def reply(self, unique: int, error: int, body: bytes | memoryview = b"") -> None:
        """Answer the request `unique` with `body`, or with a negative errno."""
        header = OUT_HEADER.pack(OUT_HEADER.size + len(body), error, unique)
        try:
            os.writev(self.fd, (header, body))
        except OSError as problem:
            # ENOENT: the asker was killed meanwhile
            if problem.errno not in (*_GONE, *_INTERRUPTED):
                _log.error("reply refused: %s", problem.strerror)


def is_dying(thread: int) -> bool:
    """Whether a thread that asked for something is being killed; every fatal signal becomes SIGKILL."""
    try:
        with open(f"/proc/{thread}/status", "rb") as status:
            pending = next(line for line in status if line.startswith(b"SigPnd:"))
    except (OSError, StopIteration):
        return True
    return bool(int(pending.split()[1], 16) & _SIGKILL_BIT)
