"""Work by several processes: every result, what is said meanwhile, deaths and bugs."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from layerfs.analysis.verify.workers import Lost, in_processes

if TYPE_CHECKING:
    from collections.abc import Callable


def _square(item: int, told: Callable[[int], object]) -> int:
    told(item)
    return item * item


@pytest.mark.parametrize("count", [1, 2, 9])
def test_every_item_once(count: int) -> None:
    """Every item gives its result, by however many processes, and what it says arrives before."""
    said: dict[int, int] = {}
    found = dict(in_processes(_square, range(20), count, lambda item, amount: said.update({item: amount})))
    assert found == {item: item * item for item in range(20)}
    assert said == {item: item for item in range(20)}


def _die_at_three(item: int, told: Callable[[int], object]) -> int:
    del told
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if item == 5:
        os._exit(7)
    return item


def test_a_death_costs_one_item() -> None:
    """A process that is killed, or leaves, loses what it was doing, and another takes its place."""
    found = dict(in_processes(_die_at_three, range(8), 2, lambda _item, _amount: None))
    assert found == {0: 0, 1: 1, 2: 2, 3: Lost(-9), 4: 4, 5: Lost(7), 6: 6, 7: 7}


def _raise(item: int, told: Callable[[int], object]) -> int:
    del told
    raise ZeroDivisionError(f"at {item}")


def test_a_bug_is_raised() -> None:
    """What is raised in a process is raised here, with its traceback."""
    with pytest.raises(RuntimeError, match="ZeroDivisionError: at "):
        list(in_processes(_raise, range(4), 2, lambda _item, _amount: None))


def test_no_process_outlives_the_caller() -> None:
    """Who stops early leaves no process."""

    def pid(item: int, told: Callable[[int], object]) -> int:
        del item, told
        return os.getpid()

    with closing(in_processes(pid, range(100), 2, lambda _item, _amount: None)) as running:
        pids = {next(running)[1] for _ in range(4)}
    assert os.getpid() not in pids
    for process in pids:
        assert isinstance(process, int)
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
