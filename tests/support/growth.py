"""How work grows with its input: counted, never timed.

What is counted are the steps of the interpreter, for each line of code by itself: how often it is begun
(each turn of a loop is once) and, for each function of C, how often it is called. So a loop in a loop is
seen though all else takes far longer. Work that C does in one call (copying bytes, searching a list) is no
step; where that could grow, a test says so and gives it so much that a loop in a loop would not end.
"""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["Growth", "growth_of_memory", "growth_of_steps", "peak", "steps"]

_FEW = 8  # times the size: of what is done less often, a few more times is no growth


class Growth(NamedTuple):
    """By how much more something grows up to four times a size than up to it: 4 is linear, 16 quadratic.

    What there is without any input is left out.
    """

    ratio: float
    what: str


def steps(run: Callable[[], object]) -> Counter[str]:
    """How often each line is begun and each function of C is called, in all threads that a call begins."""
    counts: Counter[tuple[str, int]] = Counter()

    def trace(frame: FrameType, _event: str, _argument: Any) -> Any:
        counts[frame.f_code.co_filename, frame.f_lineno] += 1
        return trace

    def profile(_frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            counts[argument.__qualname__, 0] += 1

    before = sys.gettrace(), sys.getprofile()
    gc.disable()  # it closes what was left open when it likes
    threading.settrace(trace)
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(before[1])
        sys.settrace(before[0])
        threading.settrace(None)
        gc.enable()
    return Counter({f"{name}:{line}": count for (name, line), count in counts.items()})


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
