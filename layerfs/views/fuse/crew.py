"""Threads that serve requests: one at a time takes them, and another takes over when it is blocked.

Python threads that all want to run hinder each other at every system call, so several servers are
slower than one. But one alone would let a slow disk stall everybody. So one thread leads: it takes a
request, answers it, and takes the next. A watchman sees when an answer takes long, and passes the
lead on; the thread that was held up finishes its answer and stands by. When nothing is asked, nobody
wakes.
"""

from __future__ import annotations

import functools
import threading
import time
from typing import TYPE_CHECKING

from layerfs.pool import widen_table

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Crew"]

_SIZE = 8
"""Threads: so many requests may wait for a slow disk at a time before all others do."""

_PATIENCE = 0.02
"""Seconds an answer may take before another thread leads; usual ones take a tenth of a millisecond."""

_IDLE_ROUNDS = 10
"""Rounds without a request after which the watching thread sleeps."""

_JOIN_TIMEOUT = 1.0
"""Seconds to wait, once all is over, for threads that are held up: a disk may never answer."""


class _Member:
    """A thread; `since` is when it began its answer, 0 while it waits for a request."""

    __slots__ = ("since",)

    def __init__(self) -> None:
        self.since = 0.0


class Crew:
    """The threads of one server."""

    def __init__(
        self,
        receive: Callable[[Callable[[], bool]], bytes | None],
        answer: Callable[[bytes, memoryview], None],
        prefetch: Callable[[], bool],
        buffer_size: int,
    ) -> None:
        """Serve what `receive` gives (None at the end).

        Args:
            receive: waits for a request, and calls what it is given while it would wait.
            answer: answers one, and may use the thread's buffer.
            prefetch: one step of work for requests to come; False where there is none.
            buffer_size: bytes of a thread's buffer.
        """
        self._receive = receive
        self._answer = answer
        self._prefetch = prefetch
        self._buffer_size = buffer_size
        self._changed = threading.Condition()
        self._leader: _Member | None = None
        self._over = False
        self._failure: BaseException | None = None
        self._alarm = threading.Event()

    def run(self) -> None:
        """Serve until `receive` gives None; what it raises is raised here.

        A thread that a disk holds up keeps nobody, least of all this one, which only waits and hears
        signals. It may still answer after the return, when its disk does.
        """
        widen_table()
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(_SIZE)]
        threads.append(threading.Thread(target=self._watch, daemon=True))
        for thread in threads:
            thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._over)
        if self._failure:
            raise self._failure
        patience = time.monotonic() + _JOIN_TIMEOUT
        for thread in threads:
            thread.join(max(0.0, patience - time.monotonic()))

    def _work(self) -> None:
        """Be one of the crew; whatever goes wrong here ends the work of all."""
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001 - raised again by run()
            self._failure = error
            self._end()

    def _serve(self) -> None:
        """Stand by, lead, and stand by again, until it is over."""
        me = _Member()
        buffer = memoryview(bytearray(self._buffer_size))
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._leader is None or self._over)
                if self._over:
                    return
                self._leader = me
            self._lead(me, buffer)

    def _lead(self, me: _Member, buffer: memoryview) -> None:
        """Take requests and answer them, until the lead was passed on."""
        receive, answer, begin = self._receive, self._answer, self._begin
        meanwhile = functools.partial(self._meanwhile, me)
        while self._leader is me:
            request = receive(meanwhile)
            if request is None:
                self._end()
                return
            begin(me)
            answer(request, buffer)
            me.since = 0.0

    def _begin(self, me: _Member) -> None:
        """From now on the watching thread counts the time."""
        me.since = time.monotonic()
        if not self._alarm.is_set():
            self._alarm.set()

    def _meanwhile(self, me: _Member) -> bool:
        """Prefetch; a slow disk must not hold up others here either."""
        if self._leader is not me:
            return False
        self._begin(me)
        more = self._prefetch()
        me.since = 0.0
        return more

    def _end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._alarm.set()

    def _watch(self) -> None:
        """Pass the lead on whenever one answer outlasts our patience; sleep while nothing is asked."""
        while not self._over:
            self._alarm.wait()
            quiet = 0
            while quiet < _IDLE_ROUNDS and not self._over:
                before = self._in_work()
                time.sleep(_PATIENCE)
                quiet = 0 if before else quiet + 1
                if before and self._in_work() == before:
                    with self._changed:
                        self._leader = None
                        self._changed.notify()
            if not self._over:
                self._alarm.clear()
                if self._in_work():
                    self._alarm.set()

    def _in_work(self) -> float:
        """Since when the leader answers; 0 while it waits for a request."""
        leader = self._leader  # once: it may be another the next time
        return leader.since if leader else 0.0
