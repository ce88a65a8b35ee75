"""A progress bar on standard error, for work that may take long; none where that is no terminal."""

from __future__ import annotations

import sys
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
    """Give a function that is told how many bytes more are done, and show the part of `total` they make."""
    if not total or not sys.stderr.isatty():
        yield lambda _count: None
        return
    steps = max(1, total // 200)
    with click.progressbar(length=total, label=label, file=sys.stderr, update_min_steps=steps) as bar:
        yield bar.update
