"""The search of many texts, one after the other; a file of several names that does not fit is read once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.grep.lines import Search
from layerfs.errors import TreeError, UnreadableEntry, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.analysis.grep.lines import Line, Wanted
    from layerfs.analysis.grep.matcher import Matcher
    from layerfs.analysis.grep.texts import Text

__all__ = ["Found", "searched"]


class Found(NamedTuple):
    """A text that is being searched.

    Attributes:
        text: what it is.
        search: how many lines fitted, once all of `lines` were taken.
        lines: those that fit, and those near them; taken before the next text is.
    """

    text: Text
    search: Search
    lines: Iterator[Line]


def searched(
    texts: Iterable[Text], matcher: Matcher, wanted: Wanted, problem: Callable[[TreeError], None]
) -> Iterator[Found]:
    """Search texts, in their order.

    Args:
        texts: what to search.
        matcher: what to look for.
        wanted: what is wanted of each.
        problem: called for a text that cannot be read to its end.
    """
    unfit: set[tuple[int, int]] = set()
    for text in texts:
        search = Search(matcher, wanted)
        if text.inode in unfit:
            yield Found(text, search, iter(()))
            continue
        yield Found(text, search, _read(text, search, problem))
        if text.inode and not search.count and not search.failed:
            unfit.add(text.inode)


def _read(text: Text, search: Search, problem: Callable[[TreeError], None]) -> Iterator[Line]:
    try:
        with text.open() as content:
            yield from search.lines(content)
    except TreeError as error:
        search.failed = True
        problem(error)
    except OSError as error:
        search.failed = True
        problem(UnreadableEntry(text.path, reason(error)))
