"""Does one function for many items, in several processes.

Processes are forked, so they have the caller's open files. They end when the caller ends, in whatever way.
One that dies is reported and replaced.
"""

from __future__ import annotations

import functools
import multiprocessing
import signal
import traceback
from collections import deque
from contextlib import closing, suppress
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

__all__ = ["Lost", "in_processes"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_CONTEXT = multiprocessing.get_context("fork")
_PATIENCE = 5  # seconds that a process gets to end


class Lost(NamedTuple):
    """The process for an item died: with an exit code, or by a signal (a negative number)."""

    exit_code: int


class _Failed(NamedTuple):
    """The work raised an exception, which is a bug; the text is the traceback."""

    traceback: str


class _Worker(NamedTuple):
    process: ForkProcess
    pipe: Connection


def in_processes(
    work: Callable[[Item, Callable[[int], object]], Result],
    items: Sequence[Item],
    count: int,
    told: Callable[[Item, int], object],
) -> Generator[tuple[Item, Result | Lost], None, None]:
    """Do `work` for every item, begun in their order; gives each result as soon as it is there.

    Args:
        work: called with an item, and a function to call from time to time with its progress.
        items: objects that can be pickled.
        count: how many processes; with 1 the work is done in this one.
        told: called with an item and its progress.

    Raises:
        RuntimeError: `work` raised in a process.
    """
    if count <= 1 or len(items) <= 1:
        for item in items:
            yield item, work(item, functools.partial(told, item))
        return
    with closing(_Crew(work, min(count, len(items)))) as crew:
        yield from crew.run(items, told)


class _Crew:
    """The processes."""

    def __init__(self, work: Callable[..., object], count: int) -> None:
        self._work = work
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, tuple[_Worker, int]] = {}
        self._count = count

    def run(
        self, items: Sequence[Item], told: Callable[[Item, int], object]
    ) -> Generator[tuple[Item, Result | Lost], None, None]:
        """Give the processes one item after the other; see `in_processes`."""
        pending = deque(range(len(items)))
        while pending or self._busy:
            while pending and len(self._busy) < self._count:
                self._hand_over(items, pending.popleft())
            for pipe in wait(list(self._busy)):
                worker, number = self._busy[pipe]  # type: ignore[index]
                try:
                    said = worker.pipe.recv()
                except (EOFError, ConnectionResetError):  # connection reset: it died before it read its item
                    del self._busy[worker.pipe]
                    yield items[number], Lost(_exit_code(worker))
                    continue
                if isinstance(said, int):
                    told(items[number], said)
                elif isinstance(said, _Failed):
                    raise RuntimeError(said.traceback)  # noqa: TRY004 - the worker's error, not one of type
                else:
                    del self._busy[worker.pipe]
                    self._idle.append(worker)
                    yield items[number], said[0]

    def _hand_over(self, items: Sequence[Item], number: int) -> None:
        worker = self._idle.pop() if self._idle else self._start()
        self._busy[worker.pipe] = worker, number
        with suppress(BrokenPipeError, ConnectionResetError):  # it died; reading its pipe will tell
            worker.pipe.send(items[number])

    def _start(self) -> _Worker:
        ours, theirs = _CONTEXT.Pipe()
        foreign = [ours, *self._busy, *(worker.pipe for worker in self._idle)]
        process = _CONTEXT.Process(target=_serve, args=(theirs, foreign, self._work), daemon=True)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # until `_serve` ignores it
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        return _Worker(process, ours)

    def close(self) -> None:
        """End every process."""
        workers = [*self._idle, *(worker for worker, _ in self._busy.values())]
        for worker in workers:
            worker.process.terminate()
            worker.pipe.close()
        for worker in workers:
            worker.process.join(_PATIENCE)
            worker.process.close()


def _exit_code(worker: _Worker) -> int:
    worker.process.join(_PATIENCE)
    code = worker.process.exitcode
    worker.pipe.close()
    return -1 if code is None else code


def _serve(pipe: Connection, foreign: Sequence[Connection], work: Callable[..., object]) -> None:
    """The main loop of a process, until its pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the caller ends this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in foreign:  # as long as they are open here, the other processes see no end of file
        other.close()
    with suppress(EOFError, BrokenPipeError):
        while True:
            item = pipe.recv()
            try:
                result: object = (work(item, pipe.send),)
            except BrokenPipeError:
                raise
            except Exception:  # noqa: BLE001 - told to the caller, who raises
                result = _Failed(traceback.format_exc())
            pipe.send(result)
