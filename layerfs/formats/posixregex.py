r"""Regular expressions as grep(1) takes them, in the syntax of RE2, which matches in linear time.

`translated` takes a basic or an extended regular expression of POSIX, with GNU's additions (`\|`, `\+`,
`\?` in basic ones, `\w`, `\W`, `\s`, `\S`, `\b`, `\B`, `\<`, `\>`), and gives one for RE2 over bytes (its
Latin-1). It matches within a line only: a line feed is in no set, `^` and `$` are those of RE2's `(?m)`.

A character is one of UTF-8, and any byte is one as well, so that `.` matches in whatever encoding a file is.
Classes, words and `\w` are of ASCII, as in the C locale, also with text of other languages. Ranges are by
code point. Back references cannot be matched in linear time.

Sources: POSIX.1-2017 XBD 9; GNU grep 3.8 manual, ch. 3; gnulib `lib/dfa.c` (`lex`); RE2 `doc/syntax.txt`.
"""

from __future__ import annotations

import string

from layerfs.formats.errors import FormatError
from layerfs.formats.regexitems import (
    ONCE,
    WORD_BEGINS,
    WORD_ENDS,
    Item,
    Quantifier,
    joined,
    surely_word,
)
from layerfs.formats.utf8classes import ANY, WORD, Chars, Range, complement, merged

__all__ = ["is_plain", "quoted", "translated"]

_CLASSES = {
    "alnum": string.ascii_letters + string.digits,
    "alpha": string.ascii_letters,
    "blank": " \t",
    "cntrl": "".join(map(chr, (*range(32), 127))),
    "digit": string.digits,
    "graph": "".join(map(chr, range(33, 127))),
    "lower": string.ascii_lowercase,
    "print": "".join(map(chr, range(32, 127))),
    "punct": string.punctuation,
    "space": string.whitespace,
    "upper": string.ascii_uppercase,
    "xdigit": string.hexdigits,
}
_LINE_FEED = frozenset(b"\n")
_SPACE = Chars(frozenset(string.whitespace.encode()) - _LINE_FEED)
_SETS = {b"w": WORD, b"W": complement(WORD), b"s": _SPACE, b"S": complement(_SPACE)}
_SPECIAL = frozenset(rb".[\*^$+?{|()")
_MOST_REPEATS = 1000  # RE2's own
_DEEPEST = 500  # groups in groups


def is_plain(pattern: bytes, *, extended: bool) -> bool:
    """Whether a pattern means just its own bytes."""
    special = _SPECIAL if extended else _SPECIAL - set(b"+?{|()")
    return special.isdisjoint(pattern)


def translated(pattern: bytes, *, extended: bool, ignore_case: bool = False) -> bytes:
    """A pattern in RE2's syntax; raises `FormatError` for what is no pattern, or cannot be translated."""
    return _Parser(pattern, extended=extended, fold=ignore_case).whole()


def quoted(text: bytes, *, ignore_case: bool = False) -> bytes:
    """A pattern of RE2, and of Python's `re`, that matches this text."""
    parser = _Parser(text, extended=False, fold=ignore_case)
    return parser.literally()


class _Group:
    """A group that is being read: its alternatives so far, and the items of the current one."""

    def __init__(self) -> None:
        self.done: list[tuple[bytes, bool, bool]] = []
        self.items: list[Item] = []

    def close(self, *, outermost: bool) -> None:
        """The current alternative has ended."""
        items, self.items = self.items, []
        begins = bool(items) and surely_word(items[0])
        ends = bool(items) and surely_word(items[-1], end=True)
        self.done.append((joined(items, outermost=outermost), begins, ends))

    def regex(self) -> bytes:
        """The alternatives."""
        return b"|".join(text for text, _, _ in self.done)


class _Parser:
    def __init__(self, pattern: bytes, *, extended: bool, fold: bool) -> None:
        self._text = pattern
        self._extended = extended
        self._fold = fold
        self._at = 0
        self._groups = [_Group()]

    def whole(self) -> bytes:
        """The expression for the whole pattern."""
        while self._at < len(self._text):
            self._step()
        if len(self._groups) > 1:
            raise FormatError("unmatched ( or \\(")
        self._groups[0].close(outermost=True)
        return self._groups[0].regex()

    def literally(self) -> bytes:
        """The expression for a pattern that is a plain text."""
        while self._at < len(self._text):
            self._literal(self._at)
        return b"".join(item.regex() for item in self._items)

    # -- the parts of a pattern ----------------------------------------------------------------

    def _step(self) -> None:
        """Take the next part."""
        escaped = self._text[self._at] == 0x5C
        if escaped and self._at + 1 == len(self._text):
            raise FormatError("trailing backslash")
        place = self._at + escaped
        char = self._text[place : place + 1]
        operator = escaped != self._extended and char in b"(){|+?"
        self._at = place + 1
        if operator and self._operator(char):
            return
        if escaped:
            self._escaped(char, place)
        elif char == b"[":
            self._add(self._bracket())
        elif char == b".":
            self._add(ANY)
        elif char == b"*" and (self._extended or self._repeatable):
            self._repeat(Quantifier(0, None))
        elif char == b"^" and (self._extended or self._starting):
            self._items.append(Item(None, b"^"))
        elif char == b"$" and (self._extended or self._ending):
            self._items.append(Item(None, b"$"))
        else:
            self._literal(place)

    @property
    def _items(self) -> list[Item]:
        return self._groups[-1].items

    @property
    def _starting(self) -> bool:
        return not self._items

    @property
    def _repeatable(self) -> bool:
        """Whether there is something to repeat; in basic ones `*` is itself after `^` and the like too."""
        return any(not item.asserts for item in self._items)

    @property
    def _ending(self) -> bool:
        rest = self._text[self._at : self._at + 2]
        return not rest or rest in (rb"\)", rb"\|")

    def _operator(self, char: bytes) -> bool:
        """Take a group, an alternative or a quantifier; False if it is none here, but itself."""
        if char == b"(":
            if len(self._groups) > _DEEPEST:
                raise FormatError(f"more than {_DEEPEST} groups in each other")
            self._groups.append(_Group())
        elif char == b")":
            if len(self._groups) == 1:
                if not self._extended:
                    raise FormatError("unmatched ) or \\)")
                return False
            group = self._groups.pop()
            group.close(outermost=False)
            begins, ends = (all(item[place] for item in group.done) for place in (1, 2))
            self._items.append(Item(None, b"(?:" + group.regex() + b")", begins, ends))
        elif char == b"|":
            self._groups[-1].close(outermost=len(self._groups) == 1)
        elif char == b"{":
            return self._interval()
        elif not self._extended and not self._repeatable:
            return False
        else:
            self._repeat(Quantifier(1, None) if char == b"+" else Quantifier(0, 1))
        return True

    def _interval(self) -> bool:
        end = b"}" if self._extended else rb"\}"
        inside, closed, _ = self._text[self._at :].partition(end)
        low, comma, high = inside.partition(b",")
        fits = closed and all(not part or part.isdigit() for part in (low, high)) and (low or comma)
        least = int(low or 0) if fits and len(low) < 9 else _MOST_REPEATS + 1
        most = least if not comma else None if not high else int(high) if len(high) < 9 else least
        if not fits or (most is not None and fits and most < least):
            if self._extended:
                return False
            raise FormatError(r"invalid content of \{\}" if closed else r"unmatched \{")
        if max(least, most or 0) > _MOST_REPEATS:
            raise FormatError(f"more than {_MOST_REPEATS} repetitions")
        if not self._extended and not self._repeatable:
            return False
        self._at += len(inside) + len(end)
        self._repeat(Quantifier(least, most))
        return True

    def _escaped(self, char: bytes, place: int) -> None:
        if char in _SETS:
            self._add(_SETS[char])
        elif char in (b"b", b"B"):
            self._items.append(Item(None, b"\\" + char))
        elif char == b"<":
            self._items.append(WORD_BEGINS)
        elif char == b">":
            self._items.append(WORD_ENDS)
        elif char == b"`":
            self._items.append(Item(None, b"^"))
        elif char == b"'":
            self._items.append(Item(None, b"$"))
        elif char.isdigit() and char != b"0":
            raise FormatError(f"a back reference (\\{char.decode()}) cannot be matched in linear time")
        else:
            self._literal(place)

    def _literal(self, place: int) -> None:
        """A character of UTF-8, or a byte of none."""
        point, self._at = self._character(place)
        self._add(Chars(frozenset((point,))) if point < 0x80 or self._at == place + 1 else _wide(point))

    def _character(self, place: int) -> tuple[int, int]:
        """The code point or the byte at a place, and where the next one is."""
        for length in (1, 2, 3, 4):
            try:
                return ord(self._text[place : place + length].decode()), place + length
            except (TypeError, UnicodeDecodeError):
                continue
        return self._text[place], place + 1

    def _add(self, chars: Chars) -> None:
        self._items.append(Item(chars.folded() if self._fold else chars))

    def _repeat(self, times: Quantifier) -> None:
        """Repeat the last item; nothing, at the start of an extended one, repeated is nothing."""
        if not self._items:
            return
        item = self._items.pop()
        if item.asserts:
            # an assertion holds as often as wanted, or may be left out
            self._items.append(item if times.least else Item(None, b"(?:)"))
            return
        if item.times == ONCE:
            self._items.append(item._replace(times=times))
        elif (both := item.times.then(times)) is not None:
            self._items.append(item._replace(times=both))
        else:
            inner = b"(?:" + item.regex() + b")"
            self._items.append(Item(None, inner, item.begins, item.ends, times))

    # -- brackets ------------------------------------------------------------------------------

    def _bracket(self) -> Chars:
        """The set behind a `[`."""
        text = self._text
        negated = text[self._at : self._at + 1] == b"^"
        begin = self._at = self._at + negated
        single: set[int] = set()
        wide: list[Range] = []
        while self._at == begin or text[self._at : self._at + 1] != b"]":
            if text[self._at : self._at + 2] == b"[:":
                single |= self._class()
                continue
            low = high = self._end_of_range()
            if text[self._at : self._at + 1] == b"-" and text[self._at + 1 : self._at + 2] not in (b"]", b""):
                self._at += 1
                high = self._end_of_range()
            if high < low:
                raise FormatError("invalid range end")
            if self._is_byte(low) or self._is_byte(high):
                single |= set(range(low & 0xFF, (high & 0xFF) + 1))
            else:
                single |= set(range(low, min(high, 0x7F) + 1))
                wide.append((max(low, 0x80), high))
        inside = text[begin : self._at]
        if len(inside) > 2 and inside[:1] == inside[-1:] == b":" and not negated:
            raise FormatError("character class syntax is [[:space:]], not [:space:]")
        self._at += 1
        chars = Chars(frozenset(single), merged([pair for pair in wide if pair[0] <= pair[1]]))
        if self._fold:
            chars = chars.folded()
        return complement(chars) if negated else Chars(chars.single - _LINE_FEED, chars.wide)

    def _class(self) -> set[int]:
        name, closed, _ = self._text[self._at + 2 :].partition(b":]")
        found = _CLASSES.get(name.decode("latin-1"))
        if not closed or found is None:
            raise FormatError("unmatched [, [^, [:, [., or [=" if not closed else "invalid character class")
        if self._fold and name in (b"lower", b"upper"):
            found = string.ascii_letters
        self._at += len(name) + 4
        return set(found.encode())

    def _end_of_range(self) -> int:
        """A character in a bracket, perhaps as `[.x.]` or `[=x=]`; a byte of none beyond all characters."""
        mark = self._text[self._at : self._at + 2]
        place = self._at + 2 * (mark in (b"[.", b"[="))
        if place >= len(self._text):
            raise FormatError("unmatched [, [^, [:, [., or [=")
        point, self._at = self._character(place)
        odd = point >= 0x80 and self._at == place + 1
        if place > self._at - 1 or mark in (b"[.", b"[="):
            if self._text[self._at : self._at + 2] != mark[1:] + b"]":
                raise FormatError("invalid collation character")
            self._at += 2
        return point + _ODD if odd else point

    @staticmethod
    def _is_byte(point: int) -> bool:
        return point >= _ODD


_ODD = 0x110000
"""Added to a byte of no character, so that it is told from the character of this code point."""


def _wide(point: int) -> Chars:
    return Chars(frozenset(), merged([(point, point)]))
