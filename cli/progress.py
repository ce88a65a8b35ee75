"""A progress bar on standard error, for work that may take long; none where that is no terminal."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["byte_progress", "progress"]

Item = TypeVar("Item")


@contextmanager
def progress(items: Iterable[Item], label: str, length: int | None = None) -> Iterator[Iterable[Item]]:
    """Give `items` on to a loop, and show how many of `length` it has taken.

    Args:
        items: taken as the loop goes.
        label: what is being done.
        length: how many there are, where `items` does not know.
    """
    if not sys.stderr.isatty():
        yield items
        return
    steps = max(1, (length or 0) // 200)  # drawing costs more than many a step
    with click.progressbar(items, label=label, length=length, file=sys.stderr, update_min_steps=steps) as bar:
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
    with click.progressbar(
        length=total, label=label, file=sys.stderr, item_show_func=rate, update_min_steps=steps
    ) as bar:
        yield lambda amount: bar.update(amount, bar.pos + amount)
