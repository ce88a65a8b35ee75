"""Progress bars on standard error, for work that may take long; none without a terminal."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import TextIO

    from layerfs.capabilities import Progress

__all__ = ["byte_progress", "clear_bar", "phases", "progress"]

Item = TypeVar("Item")

_IN_BYTES = frozenset({"layers"})
"""The parts of long work that the engine measures in bytes; all others in items."""

_bars = 0  # bars on the terminal now


def clear_bar(stream: TextIO) -> None:
    """Erase the bar before something is printed to `stream`; it is drawn again below that."""
    if _bars and stream.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


@contextmanager
def _while_shown() -> Iterator[None]:
    """A context for a bar, which erases it from its line when it has ended."""
    global _bars  # noqa: PLW0603 - there is one terminal
    _bars += 1
    try:
        yield
    finally:
        _bars -= 1
        sys.stderr.write("\x1b[A\x1b[K")
        sys.stderr.flush()


@contextmanager
def progress(items: Iterable[Item], label: str, length: int | None = None) -> Iterator[Iterable[Item]]:
    """Pass `items` to a loop, and show how many of `length` it has taken.

    Args:
        items: taken one by one.
        label: the label of the bar.
        length: how many items there are, if `items` has no length.
    """
    if not sys.stderr.isatty():
        yield items
        return
    steps = max(1, (length or 0) // 200)  # drawing takes longer than many steps
    with (
        _while_shown(),
        click.progressbar(items, label=label, length=length, file=sys.stderr, update_min_steps=steps) as bar,
    ):
        yield bar


@contextmanager
def byte_progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many bytes were done since the last time; shows rate and time left."""
    if not sys.stderr.isatty() or not total:
        yield lambda _amount: None
        return
    from .units import human_size

    started = time.monotonic()

    def rate(done: int | None) -> str:
        elapsed = time.monotonic() - started
        return f"{human_size(int((done or 0) / elapsed))}/s" if elapsed else ""

    steps = max(1, total // 200)
    with (
        _while_shown(),
        click.progressbar(
            length=total, label=label, file=sys.stderr, item_show_func=rate, update_min_steps=steps
        ) as bar,
    ):
        yield lambda amount: bar.update(amount, bar.pos + amount)


@contextmanager
def phases(labels: Mapping[str, str]) -> Iterator[Progress]:
    """Give a function for `on_progress` of the engine; it draws a bar for each part, labelled by `labels`."""
    with ExitStack() as shown:
        now = ""
        advance: Callable[[int], object] = lambda _amount: None  # noqa: E731

        def told(part: str, amount: int, total: int) -> None:
            nonlocal now, advance
            if part != now:
                shown.close()
                now = part
                bar = byte_progress if part in _IN_BYTES else _item_progress
                advance = shown.enter_context(bar(labels[part], total))
            advance(amount)

        yield told


@contextmanager
def _item_progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many items were done since the last time."""
    if not sys.stderr.isatty():
        yield lambda _amount: None
        return
    steps = max(1, total // 200)  # drawing takes longer than many steps
    with (
        _while_shown(),
        click.progressbar(length=total, label=label, file=sys.stderr, update_min_steps=steps) as bar,
    ):
        yield bar.update
