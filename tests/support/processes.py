"""Processes that a test starts, and that end with it also when it fails."""

from __future__ import annotations

import select
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Running", "children_of", "hear_signals", "is_readable"]


class Running(subprocess.Popen[bytes]):
    """A process that is killed where the block that uses it fails, and else waited for."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        if kind:
            self.kill()
        super().__exit__(kind, error, trace)


def children_of(pid: int) -> list[int]:
    """The processes that a process started; none if it has ended."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(child) for child in text.split()]


def hear_signals() -> None:
    """Undo what a shell does to its background jobs, and nohup: what we start inherits it."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def is_readable(descriptor: int, seconds: float | None = None) -> bool:
    """Wait until a descriptor can be read, or so long; unlike `select.select`, also one above 1023."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))
