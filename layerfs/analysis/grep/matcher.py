"""Where patterns match in the lines of a buffer; in linear time, as what is searched may be hostile.

Patterns are matched by RE2, which an extra installs. Plain words are found without it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

from layerfs.formats.errors import FormatError
from layerfs.formats.posixregex import is_plain, quoted, translated
from layerfs.formats.utf8classes import WORD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["BadPattern", "Matcher", "NeedsRE2", "Patterns", "matcher_of"]

_NO_WORD = rb"[^0-9A-Za-z_\n]"
_MEMORY = 256 << 20  # for the program of a pattern and its states


class BadPattern(ValueError):
    """What is wrong with a pattern, in words."""


class NeedsRE2(BadPattern):
    """The patterns need RE2, which is not installed."""


class Patterns(NamedTuple):
    """What to look for: a line fits if one of the patterns does.

    Attributes:
        texts: the patterns, none of which has a line feed.
        syntax: of all of them: `basic`, `extended`, or `fixed` for plain texts.
        ignore_case: whether upper and lower case are the same.
        word: whether a match has no letter, digit or underscore beside it.
        line: whether a match is a whole line.
    """

    texts: tuple[bytes, ...]
    syntax: str = "basic"
    ignore_case: bool = False
    word: bool = False
    line: bool = False

    @property
    def only_text(self) -> tuple[bytes, ...] | None:
        """The patterns as texts, if all mean just themselves."""
        extended = self.syntax == "extended"
        if self.syntax == "fixed" or all(is_plain(text, extended=extended) for text in self.texts):
            return self.texts
        return None

    def regexes(self) -> list[bytes]:
        """The patterns in RE2's syntax; raises `BadPattern`."""
        plain = self.only_text
        if plain is not None:
            return [quoted(text, ignore_case=self.ignore_case) for text in plain]
        extended = self.syntax == "extended"
        found = []
        for text in self.texts:
            try:
                found.append(translated(text, extended=extended, ignore_case=self.ignore_case))
            except FormatError as error:
                raise BadPattern(error.problem) from error
        return found


class Matcher(Protocol):
    """Patterns, ready to search.

    Attributes:
        anchored: whether it may matter to a match where lines begin and end.
    """

    anchored: bool

    def first(self, data: bytes, begin: int, end: int) -> tuple[int, int] | None:
        """A stretch of one line between two places that shows that the line fits, or None.

        No line before it fits. `begin` is at the beginning of a line.
        """

    def spans(self, data: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """The matches within one line: the leftmost, of these the longest, and so on behind it."""


def matcher_of(patterns: Patterns) -> Matcher:
    """What searches for some patterns.

    Raises:
        BadPattern: one is none, or cannot be matched in linear time.
        NeedsRE2: RE2 is needed, and not installed.
    """
    plain = patterns.only_text
    bare = not (patterns.ignore_case or patterns.word or patterns.line)
    if not patterns.texts:
        return _Nothing()
    try:
        import re2  # noqa: PLC0415 - an extra, which only this needs
    except ImportError:
        if plain is None:
            raise NeedsRE2(
                "this pattern needs RE2, which is not installed; fixed texts (-F) do not"
            ) from None
        return _Literal(plain[0]) if len(plain) == 1 and bare and plain[0] else _Texts(patterns)
    return _RE2(re2, patterns)


class _Nothing:
    """No pattern, which fits no line."""

    anchored = False

    def first(self, data: bytes, begin: int, end: int) -> tuple[int, int] | None:
        """As the protocol has it."""
        del data, begin, end
        return None

    def spans(self, data: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """As the protocol has it."""
        del data, begin, end
        return iter(())


class _Literal:
    """One text."""

    anchored = False

    def __init__(self, text: bytes) -> None:
        self._text = text

    def first(self, data: bytes, begin: int, end: int) -> tuple[int, int] | None:
        """As the protocol has it."""
        at = data.find(self._text, begin, end)
        return None if at < 0 else (at, at + len(self._text))

    def spans(self, data: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """As the protocol has it."""
        while (at := data.find(self._text, begin, end)) >= 0:
            begin = at + len(self._text)
            yield at, begin


class _Texts:
    """Some texts, by Python's own expressions, which take linear time for alternatives of texts."""

    def __init__(self, patterns: Patterns) -> None:
        self.anchored = patterns.line
        longest = sorted(zip(map(len, patterns.texts), patterns.regexes(), strict=True), reverse=True)
        either = b"(?:" + b"|".join(regex for _, regex in longest) + b")"
        if patterns.line:
            either = b"^" + either + b"$"
        elif patterns.word:
            either = rb"(?<![0-9A-Za-z_])" + either + rb"(?![0-9A-Za-z_])"
        self._found = re.compile(either, re.MULTILINE)

    def first(self, data: bytes, begin: int, end: int) -> tuple[int, int] | None:
        """As the protocol has it."""
        found = self._found.search(data, begin, end)
        return found.span() if found else None

    def spans(self, data: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """As the protocol has it."""
        return (
            found.span() for found in self._found.finditer(data, begin, end) if found.end() > found.start()
        )


class _RE2:
    """Any patterns."""

    def __init__(self, re2: Any, patterns: Patterns) -> None:
        self._re2 = re2
        marks = [] if patterns.only_text is not None else [b"^", b"$", rb"\`", rb"\'"]
        self.anchored = patterns.line or any(mark in text for text in patterns.texts for mark in marks)
        self._word = patterns.word and not patterns.line
        either = b"(?:" + b"|".join(patterns.regexes()) + b")"
        self._either = b"^" + either + b"$" if patterns.line else either
        beside = rb"(?:^|" + _NO_WORD + b")" + either + b"(?:" + _NO_WORD + b"|$)"
        self._any = self._compiled(beside if self._word else self._either, longest=False)
        self._anywhere, self._here = re2._re2.RE2.Anchor.UNANCHORED, re2._re2.RE2.Anchor.ANCHOR_START  # noqa: SLF001
        self._spans: tuple[Any, ...] = ()

    def _compiled(self, regex: bytes, *, longest: bool) -> Any:
        """A compiled expression: the native object, as the layer above it takes twice as long for a file."""
        options = self._re2.Options()
        options.encoding = self._re2.Options.Encoding.LATIN1
        options.log_errors = False
        options.never_capture = True
        options.longest_match = longest
        options.max_mem = _MEMORY
        made = self._re2._re2.RE2(b"(?m:" + regex + b")", options)  # noqa: SLF001 - see above
        if not made.ok():
            raise BadPattern(_in_words(made.error()))
        return made

    def first(self, data: bytes, begin: int, end: int) -> tuple[int, int] | None:
        """As the protocol has it."""
        found: tuple[int, int] = self._any.Match(self._anywhere, data, begin, end)[0]
        return found if found[0] >= 0 else None

    def spans(self, data: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """As the protocol has it."""
        if not self._spans:
            either = self._either
            wanted = (either + b"$", either + _NO_WORD) if self._word else (either,)
            self._spans = tuple(self._compiled(regex, longest=True) for regex in wanted)
        return self._words(data, begin, end) if self._word else self._matches(data, begin, end)

    def _matches(self, data: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
        longest = self._spans[0]
        while begin < end:
            first, last = longest.Match(self._anywhere, data, begin, end)[0]
            if first < 0:
                return
            if last > first:
                yield first, last
            begin = max(last, first + 1)

    def _words(self, data: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
        at = begin
        while at < end:
            found = self.first(data, max(begin, at - 1), end)
            if found is None:
                return
            # what was found begins with the character before the word, or at the beginning of the line
            places = (begin, begin + 1) if found[0] == begin else (found[0] + 1,)
            for place in places:
                free = place == begin or data[place - 1] not in WORD.single
                if place >= at and free and (last := self._word_at(data, place, end)) is not None:
                    break
            else:
                at += 1
                continue
            if last > place:
                yield place, last
            at = max(last, place + 1)

    def _word_at(self, data: bytes, place: int, end: int) -> int | None:
        """Where the longest match at a place ends that has no letter of a word behind it."""
        to_end, inside = self._spans
        last: int = to_end.Match(self._here, data, place, end)[0][1]
        if last >= 0:
            return last
        last = inside.Match(self._here, data, place, end)[0][1]
        return last - 1 if last >= 0 else None


def _in_words(error: Any) -> str:
    text = error.decode("utf-8", "replace") if isinstance(error, bytes) else str(error)
    if "repetition" in text:
        return "more than 1000 repetitions, counting those within others"
    return f"RE2 refuses it: {text}"
