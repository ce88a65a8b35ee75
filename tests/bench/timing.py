"""How long commands take: contenders by turns, so that a busy moment hits all of them, and medians."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["Medians", "Used", "alternate", "measured", "seconds", "used"]

_MEASURE = """
import os, sys, time
away = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
started = time.perf_counter()
process = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=away)
_, status, used = os.wait4(process, 0)
elapsed, cpu = time.perf_counter() - started, used.ru_utime + used.ru_stime
print(elapsed, cpu, used.ru_maxrss, os.waitstatus_to_exitcode(status))
"""
"""Run by a small process, as what the parent has resident counts as its child's until that calls exec(2)."""

Values: TypeAlias = "Mapping[str, float]"
Medians: TypeAlias = "dict[str, dict[str, float]]"


def seconds(
    command: Sequence[str | os.PathLike[str]],
    *,
    cwd: str | os.PathLike[str] | None = None,
    good: Iterable[int] = (0,),
) -> float:
    """Run a command to its end, its output thrown away, and return the seconds it took.

    Raises:
        RuntimeError: its exit code is none of the `good` ones; a failure is no measurement.
    """
    started = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    elapsed = time.perf_counter() - started
    if done.returncode not in good:
        shown, said = " ".join(os.fspath(word) for word in command)[:300], os.fsdecode(done.stderr)[-2000:]
        raise RuntimeError(f"{shown}: exit {done.returncode}: {said}")
    return elapsed


class Used(NamedTuple):
    """What a command took: seconds, of processors too, and the most bytes that one process had resident."""

    seconds: float
    cpu: float
    resident: int


def used(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    good: Iterable[int] = (0,),
) -> Used:
    """What a command and the processes that it waited for took; raises as `seconds`."""
    said = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _MEASURE, *command],
        stdout=subprocess.PIPE,
        env=environment,
        check=True,
    )
    elapsed, cpu, resident, code = said.stdout.split()
    if int(code) not in good:
        raise RuntimeError(f"{' '.join(command)[:300]}: exit {int(code)}")
    return Used(float(elapsed), float(cpu), int(resident) << 10)


def measured(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    good: Iterable[int] = (0,),
) -> tuple[float, int]:
    """The seconds that a command took, and the most bytes that it had resident; raises as `seconds`."""
    found = used(command, environment=environment, good=good)
    return found.seconds, found.resident


def alternate(
    contenders: Mapping[str, Callable[[], Values]], runs: int, progress: Callable[[str], None]
) -> Medians:
    """Let the contenders take turns, A B C B C A, and return the median of each of their values.

    Another begins each time: what one reads from the disk, the machine's host may keep for the next.

    Args:
        contenders: by name, what measures once and returns values by row.
        runs: how many turns each gets.
        progress: is told who is next.
    """
    found: dict[str, dict[str, list[float]]] = {name: {} for name in contenders}
    names = list(contenders)
    for run in range(runs):
        first = run % len(names)
        for name in names[first:] + names[:first]:
            progress(f"run {run + 1} of {runs}: {name}")
            for row, value in contenders[name]().items():
                found[name].setdefault(row, []).append(value)
    return {
        name: {row: statistics.median(values) for row, values in rows.items()} for name, rows in found.items()
    }
