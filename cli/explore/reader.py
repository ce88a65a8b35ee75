"""Work beside the screen: each question has a thread, and its answer arrives as a message.

What is answered within a moment is shown at once, so that nothing flickers; the screen waits for no more.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

from textual.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from textual.app import App

__all__ = ["Cancelled", "Reader", "Ticket"]

AT_ONCE = 0.02
"""Seconds that a key may wait for its answer."""

A_WHILE = 0.1
"""Seconds until what is known by then is shown: what came sooner would be replaced as soon as it is seen."""

_T = TypeVar("_T")


class Cancelled(Exception):
    """Nobody waits for the answer any more."""


class Ticket:
    """One question; work looks at it from time to time, to end early when nobody wants the answer."""

    def __init__(self, post: Callable[[Callable[[], None]], None] = lambda _shown: None) -> None:
        """A question that is wanted; `post` takes what can be shown before it is answered."""
        self.cancelled = False
        self.done = threading.Event()
        self.asked_at = time.monotonic()
        self._post = post

    def tell(self, shown: Callable[[], None]) -> None:
        """Have `shown` called in the app's thread, if the answer takes a while longer."""
        self._post(shown)

    def check(self) -> None:
        """Raise `Cancelled` if the answer is not wanted any more."""
        if self.cancelled:
            raise Cancelled

    def watch(self, items: Iterable[_T]) -> Iterator[_T]:
        """Pass items on while the answer is wanted."""
        for item in items:
            self.check()
            yield item


class Answer(Message):
    """The end of some work; the app calls `deliver` in its own thread."""

    def __init__(self, deliver: Callable[[], None]) -> None:
        """An answer."""
        super().__init__()
        self.deliver = deliver


class Reader:
    """Does the work of an app beside its screen.

    Attributes:
        pending: how many questions have no answer yet.
    """

    def __init__(self, app: App[None]) -> None:
        """Answer to `app`."""
        self._app = app
        self._tickets: dict[object, Ticket] = {}

    @property
    def pending(self) -> int:
        """How many questions have no answer yet."""
        return len(self._tickets)

    def ask(
        self,
        key: object,
        work: Callable[[Ticket], _T],
        answer: Callable[[_T], None],
        failed: Callable[[Exception], None],
        *,
        wait: float = AT_ONCE,
    ) -> None:
        """Call `work` in a thread, then `answer` with its result in the app's; a second question of the same
        key replaces the first. `failed` is called for what the engine or the host refuses.
        """  # noqa: D205 - one sentence says it
        self.cancel(key)
        outcome: list[Callable[[], None]] = []

        def tell(shown: Callable[[], None]) -> None:
            self._app.post_message(Answer(lambda: later(shown)))

        ticket = self._tickets[key] = Ticket(tell)

        def later(shown: Callable[[], None]) -> None:
            left = max(A_WHILE - (time.monotonic() - ticket.asked_at), 0.001)
            self._app.set_timer(left, lambda: shown() if self._tickets.get(key) is ticket else None)

        def settle() -> None:
            if self._tickets.get(key) is ticket:
                del self._tickets[key]
                outcome[0]()

        def run() -> None:
            try:
                result = work(ticket)
                outcome.append(lambda: answer(result))
            except Cancelled:
                return
            except Exception as error:  # noqa: BLE001 - told where it can be seen
                told = error
                outcome.append(lambda: failed(told))
            finally:
                ticket.done.set()
            if not ticket.cancelled:
                self._app.post_message(Answer(settle))

        threading.Thread(target=run, daemon=True).start()
        if wait and ticket.done.wait(wait) and outcome:
            settle()

    def cancel(self, key: object) -> bool:
        """Give up a question; whether there was one."""
        ticket = self._tickets.pop(key, None)
        if ticket:
            ticket.cancelled = True
        return ticket is not None

    def cancel_all(self) -> bool:
        """Give up every question; whether there was one."""
        return sum(self.cancel(key) for key in list(self._tickets)) > 0
