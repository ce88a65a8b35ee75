"""How work grows with its input: counted, never timed.

What is counted are the steps of the interpreter, for each line of code by itself: how often it is begun
(each turn of a loop is once) and, for each function of C, how often it is called. So a loop in a loop is
seen though all else takes far longer. Work that C does in one call (copying bytes, searching a list) is no
step; where that could grow, a test says so and gives it so much that a loop in a loop would not end.
"""

from __future__ import annotations

import cProfile
import gc
import sys
import threading
import tracemalloc
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

__all__ = ["Growth", "growth_of_memory", "growth_of_steps", "peak", "steps"]

_FEW = 10  # times the size: of what is done less often, a few more times is no growth (a cache that is full)


class Growth(NamedTuple):
    """By how much more something grows up to four times a size than up to it: 4 is linear, 16 quadratic.

    What there is without any input is left out.
    """

    ratio: float
    what: str


def steps(run: Callable[[], object]) -> Counter[str]:
    """How often each line is begun, in all threads that a call begins, and in this one each function of C."""
    lines: dict[int, _Lines] = {}

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if id(code) not in lines:  # by its number, as to hash what a function is made of takes long
            lines[id(code)] = _Lines(code)
        return lines[id(code)].count(frame, event, argument)

    before = sys.gettrace()
    calls = cProfile.Profile(subcalls=False)
    gc.disable()  # it closes what was left open when it likes
    threading.settrace(trace)
    sys.settrace(trace)
    calls.enable()
    try:
        run()
    finally:
        calls.disable()
        sys.settrace(before)
        threading.settrace(None)
        gc.enable()
    counted = Counter(
        {entry.code: entry.callcount for entry in calls.getstats() if isinstance(entry.code, str)}
    )
    for found in lines.values():
        counted.update({f"{found.code.co_filename}:{line}": count for line, count in found.counts.items()})
    return counted


class _Lines:
    """How often each line of a piece of code is begun."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        counts: defaultdict[int, int] = defaultdict(int)

        def count(frame: FrameType, _event: str, _argument: Any) -> Any:  # the less it does the better
            counts[frame.f_lineno] += 1
            return count

        self.counts, self.count = counts, count


def peak(run: Callable[[], object]) -> int:
    """The most bytes that a call holds at a time."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def growth_of_steps(measure: Callable[[int], Counter[str]], size: int) -> Growth:
    """Of the step that grows most, of those that are done so often that it tells."""
    nothing, once, four_times = measure(0), measure(size), measure(4 * size)
    found = [Growth(0, "nothing")]
    for step, count in four_times.items():
        if count - nothing[step] > _FEW * 4 * size:
            ratio = (count - nothing[step]) / max(once[step] - nothing[step], _FEW * size)
            found.append(Growth(ratio, f"{step}: {nothing[step]}, {once[step]}, {count} times"))
    return max(found)


def growth_of_memory(measure: Callable[[int], int], size: int) -> Growth:
    """The same of a number of bytes."""
    nothing, once, four_times = measure(0), measure(size), measure(4 * size)
    ratio = (four_times - nothing) / max(once - nothing, nothing // 10, 1)
    return Growth(ratio, f"{nothing}, {once}, {four_times} bytes")
