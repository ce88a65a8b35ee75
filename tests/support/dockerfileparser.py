"""A parser of Dockerfiles as BuildKit's, for what `layerfs dockerfile` writes.

It reads lines, directives, continuations, comments, flags, arrays, heredocs and words as
`frontend/dockerfile/parser/parser.go`, `line_parsers.go` and `shell/lex.go` do. A variable that would be
expanded is shown as `<expanded>`. Real Engines read the same files in `dockerd/test_dockerfile`.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

__all__ = ["EXPANDED", "Instruction", "parse"]

EXPANDED = "<expanded>"
LONGEST = 65_535

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_CONTINUED = re.compile(r"([^\\])\\[ \t]*\Z|\A\\[ \t]*\Z")
_HEREDOC = re.compile(r"(\d*)<<(-?)([^<]*)")
_SPACE = "".join(filter(str.isspace, map(chr, range(0x3001)))).translate(dict.fromkeys(range(0x1C, 0x20)))
_ARRAYS = ("RUN", "CMD", "ENTRYPOINT", "SHELL")


class Instruction(NamedTuple):
    """One instruction: its flags, and its value as the keyword's own parser has it.

    Attributes:
        keyword: in capitals.
        flags: what begins with `--`.
        value: a list for an array and for words, a list of pairs for ENV, LABEL and ARG, else a text.
        heredocs: name and content of each.
    """

    keyword: str
    flags: list[str]
    value: Any
    heredocs: list[tuple[str, str]]


def parse(text: str) -> tuple[dict[str, str], list[Instruction]]:
    """The directives and the instructions; raises `ValueError` for what BuildKit refuses."""
    lines = re.findall(r"[^\n]*\n|[^\n]+\Z", text)
    assert all(len(line.encode("utf-8", "surrogatepass")) < LONGEST for line in lines), "a line is too long"
    directives: dict[str, str] = {}
    found: list[Instruction] = []
    may_be_directive = True
    at = 0
    while at < len(lines):
        line = lines[at].rstrip("\r\n").lstrip(_SPACE)
        at += 1
        if may_be_directive and (match := _DIRECTIVE.fullmatch(line)):
            directives[match[1].lower()] = match[2]
            continue
        may_be_directive = False
        if line.startswith("#") or not line:
            continue
        line, is_continued = _without_continuation(line)
        while is_continued and at < len(lines):
            following = lines[at].rstrip("\r\n")
            at += 1
            if following.lstrip(_SPACE).startswith("#") or not following.strip(_SPACE):
                continue
            following, is_continued = _without_continuation(following)
            line += following
        instruction, is_array = _instruction(line)
        if instruction.keyword in ("RUN", "COPY", "ADD", "ONBUILD") and not is_array and "<<" in line:
            at = _take_heredocs(instruction, line, lines, at)
        found.append(instruction)
    return directives, found


def _take_heredocs(instruction: Instruction, line: str, lines: list[str], at: int) -> int:
    """Add the heredocs of an instruction; the number of the line behind them."""
    for name in _heredocs(line):
        ends = [number for number in range(at, len(lines)) if lines[number].rstrip("\r\n") == name]
        if not ends:
            raise ValueError("unterminated heredoc")
        instruction.heredocs.append((name, "".join(lines[at : ends[0]])))
        at = ends[0] + 1
    return at


def _without_continuation(line: str) -> tuple[str, bool]:
    return _CONTINUED.sub(lambda match: match[1] or "", line), bool(_CONTINUED.search(line))


def _heredocs(line: str) -> list[str]:
    names = []
    for word in _words(line):
        match = _HEREDOC.fullmatch(word)
        if match and match[3]:
            assert not match[2], "no test has these"
            names.append(_word(match[3]))
    return names


def _instruction(line: str) -> tuple[Instruction, bool]:
    keyword, _, rest = re.sub(r"[\t\v\f\r ]+", " ", line.strip(_SPACE), count=1).partition(" ")
    rest = rest.strip(_SPACE)
    keyword = keyword.upper()
    flags: list[str] = []
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        flags.append(flag)
        rest = rest.lstrip(_SPACE)
    array = _array(rest) if keyword in (*_ARRAYS, "COPY", "ADD", "VOLUME") else None
    if keyword in _ARRAYS:
        return Instruction(keyword, flags, rest if array is None else array, []), array is not None
    if keyword in ("ENV", "LABEL", "ARG"):
        words = [word.partition("=") for word in _words(rest)]
        pairs = [(_word(name), _word(value) if equals else None) for name, equals, value in words]
        return Instruction(keyword, flags, pairs, []), False
    if keyword in ("COPY", "ADD", "VOLUME"):
        words_or_array = array if array is not None else rest.split()
        return Instruction(keyword, flags, [_word(word) for word in words_or_array], []), array is not None
    if keyword in ("EXPOSE", "FROM"):
        return Instruction(keyword, flags, [_word(word) for word in rest.split()], []), False
    if keyword in ("USER", "WORKDIR", "STOPSIGNAL"):
        return Instruction(keyword, flags, _word(rest), []), False
    if keyword in ("MAINTAINER", "ONBUILD", "HEALTHCHECK"):
        return Instruction(keyword, flags, rest, []), False
    raise ValueError(f"unknown instruction: {keyword}")


def _array(rest: str) -> list[str] | None:
    if not rest.startswith("["):
        return None
    try:
        found = json.loads(rest)
    except ValueError:
        return None
    if not all(isinstance(item, str) for item in found):
        raise ValueError("not an array of texts")
    return list(found)


def _words(rest: str) -> list[str]:
    """Words as they are written, quotes and escapes included."""
    words, word, quote, at = [], "", "", 0
    while at < len(rest):
        char = rest[at]
        if char == "\\" and quote != "'" and at + 1 < len(rest):
            word += rest[at : at + 2]
            at += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in _SPACE:
            words += [word] if word else []
            word = ""
            at += 1
            continue
        word += char
        at += 1
    return words + ([word] if word else [])


def _word(text: str) -> str:
    """A word without its quotes and escapes; what would be expanded is `EXPANDED`."""
    result, quote, at = "", "", 0
    while at < len(text):
        char = text[at]
        following = text[at + 1 : at + 2]
        if quote == "'":
            quote, result = ("", result) if char == "'" else (quote, result + char)
        elif char == "\\" and following and (not quote or following in '\\"$'):
            result += following
            at += 1
        elif char == "$":
            result += EXPANDED
        elif char == '"':
            quote = "" if quote else '"'
        elif char == "'" and not quote:
            quote = "'"
        else:
            result += char
        at += 1
    if quote:
        raise ValueError("unexpected end of statement while looking for matching quote")
    return result
