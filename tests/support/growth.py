"""How work grows with its input: counted, never timed.

What is counted are the steps of the interpreter: lines (each turn of a loop is one), calls of Python and calls
of C. Work that C does in one call (copying bytes, comparing, searching a list) is none of them; where that
could grow, a test says so and looks at memory, or at what was read.
"""

from __future__ import annotations

import sys
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["growth", "peak", "steps"]


def steps(run: Callable[[], object]) -> int:
    """How many steps a call takes, in all threads that it begins."""
    count = 0

    def trace(_frame: FrameType, _event: str, _argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    def profile(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "c_call"

    before = sys.gettrace(), sys.getprofile()
    threading.settrace(trace)
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(before[1])
        sys.settrace(before[0])
        threading.settrace(None)  # type: ignore[arg-type]
    return count


def peak(run: Callable[[], object]) -> int:
    """The most bytes that a call holds at a time."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def growth(measure: Callable[[int], int], size: int) -> float:
    """By how much more a measure grows from `size` to four times that than it grew up to `size`.

    4 where it is linear, 16 where it is quadratic; what does not depend on the size is left out.
    """
    nothing = measure(0)
    once, four_times = measure(size) - nothing, measure(4 * size) - nothing
    return four_times / max(once, 1)
