"""Values as instructions of a Dockerfile, written so that its parser reads these values and nothing else.

A text of an image may hold anything: line breaks, a backslash at its end, the beginning of a heredoc, what
looks like a JSON array, a flag or a directive. Each instruction here is one logical line, or a heredoc whose
end is no line of its text. What a Dockerfile cannot say is None.

Source: BuildKit `frontend/dockerfile/parser/parser.go`, `line_parsers.go`, `shell/lex.go`; moby's classic
builder has the same parser, without heredocs.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["LONGEST_TEXT", "array", "comment", "heredoc", "line", "pairs", "paths", "run", "visible", "word"]

_PLAIN = re.compile(r"(?!-)[A-Za-z0-9_./:@%+,~=*?\[\]{}-]+")
_HEREDOC = re.compile(r"(?:^|\s)\d*<<")
_STRICT_HEREDOC = re.compile(r"(?:^|(?<=\s))<<(['\"]?)([A-Za-z_][A-Za-z0-9_]*)\1(?=\s|$)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FOLD = re.compile(r"(?<=[^\s\\]) (?=(?:[ ]{2}|\t)[ \t]*[^\s#\\])")
_FOLDED_FROM = 60
_LONGEST_LINE = 60_000
"""Bytes of a line that the parser surely takes; it refuses 65,536."""

LONGEST_TEXT = 1 << 14
"""Bytes of a copied text that is written into the Dockerfile itself."""

_BROKEN_AT = _LONGEST_LINE // 4  # characters, of at most four bytes each
_COMMENT_WIDTH = 200
_MOST_HEREDOCS = 16


def visible(text: str) -> str:
    r"""A text in one line, with escapes for all that is not plainly seen, as `\n`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1] if char != "\x7f" else "\\u007f"


def comment(text: str) -> str:
    """A comment of one line; a long one is cut."""
    shown = visible(text[: _COMMENT_WIDTH + 1])
    return f"# {shown if len(text) <= _COMMENT_WIDTH else shown[:_COMMENT_WIDTH] + '…'}".rstrip()


def word(value: str) -> str | None:
    """A value as one word that is expanded to itself; None if it has a line break."""
    if "\n" in value:
        return None
    return value if _PLAIN.fullmatch(value) else '"' + re.sub(r'([\\"$])', r"\\\1", value) + '"'


def pairs(keyword: str, items: Iterable[tuple[str, str | None]]) -> str | None:
    """ENV, LABEL or ARG of names with their values; a name alone for ARG."""
    words: list[str] = []
    for name, value in items:
        key = word(name)
        said = None if value is None else word(value) if value else '""'
        if not name or key is None or "=" in name or (value is not None and said is None):
            return None
        words.append(key if said is None else f"{key}={said}")
    return _whole(f"{keyword} {' '.join(words)}")


def array(keyword: str, values: Iterable[str]) -> str | None:
    """An instruction with a JSON array, as CMD: its texts are taken as they are."""
    return _whole(f"{keyword} [{', '.join(map(_json, values))}]")


def paths(keyword: str, values: Sequence[str], flags: Sequence[str] = ()) -> str | None:
    """ADD, COPY or VOLUME of paths, in which variables would be expanded."""
    begin = " ".join([keyword, *flags])
    if any("\n" in value or not value for value in values):
        return None
    if all(map(_PLAIN.fullmatch, values)) and not values[0].startswith("["):
        return _whole(f"{begin} {' '.join(values)}")
    return array(begin, [re.sub(r"([\\\"'$])", r"\\\1", value) for value in values])


def line(keyword: str, text: str) -> str | None:
    """An instruction whose text is a Dockerfile's already; None if it is not in one line for its parser."""
    return _whole(f"{keyword} {text}") if _is_one_line(text) else None


def run(text: str, shell: Sequence[str], *, heredocs: bool = True) -> str | None:
    """RUN of a command for the shell; one of several lines as a heredoc, if the builder has such."""
    if "\n" in text:
        return (_script(text) if heredocs else None) or array("RUN", (*shell, text))
    if not _is_one_line(text) or text.startswith("--") or _begins_with_array(text):
        return array("RUN", (*shell, text))
    return _whole(_FOLD.sub(" \\\\\n", f"RUN {text}") if len(text) > _FOLDED_FROM else f"RUN {text}")


def heredoc(keyword: str, flags: Sequence[str], name: str, dest: str, content: bytes) -> str | None:
    """ADD or COPY of a text that stands in the Dockerfile itself; None where that would change it.

    Args:
        keyword: of the instruction.
        flags: of it.
        name: of the heredoc, which is that of the file in a directory.
        dest: where the text is copied to.
        content: the text.
    """
    try:
        *lines, rest = content.decode().split("\n")
    except UnicodeDecodeError:
        return None
    if rest or len(content) > LONGEST_TEXT or not _NAME.fullmatch(name) or name in lines:
        return None
    if not all(part.replace("\t", " ").isprintable() and _size(part) < _LONGEST_LINE for part in lines):
        return None
    if not all(map(_PLAIN.fullmatch, (dest, *(flag.removeprefix("--") for flag in flags)))):
        return None
    # in quotes, or variables would be expanded
    return "\n".join([" ".join([keyword, *flags, f'<<"{name}"', dest]), *lines, name])


def _is_one_line(text: str) -> bool:
    """Whether the parser takes a text behind a keyword as it is: no part of it is for the parser itself."""
    return (
        text.replace("\t", " ").isprintable()
        and text != ""
        and text == text.strip()
        and not text.endswith("\\")
        and not _HEREDOC.search(text)
    )


def _begins_with_array(text: str) -> bool:
    """Whether a parser may take it for the exec form: it begins with an array, whatever follows."""
    if not text.startswith("["):
        return False
    try:
        json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _script(text: str) -> str | None:
    """RUN of several lines as a heredoc; None if that would change them."""
    lines = text.split("\n")
    if not all(part.replace("\t", " ").isprintable() and _size(part) < _LONGEST_LINE for part in lines):
        return None
    if _has_own_heredocs(lines):
        return f"RUN {text}"
    if text.startswith("#!"):  # that would be run as a file
        return None
    if lines[-1] == "":
        lines.pop()
    end, taken = "EOF", {part.strip() for part in lines}
    while end in taken:
        end += "_"
    return "\n".join([f"RUN <<{end}", *lines, end])


def _has_own_heredocs(lines: Sequence[str]) -> bool:
    """Whether it is a command with heredocs, complete to the last line, as BuildKit writes them down."""
    first, *rest = lines
    ends = [match[2] for match in _STRICT_HEREDOC.finditer(first)]
    plain = not re.search(r"[\\\"'`$]", _STRICT_HEREDOC.sub("", first))
    if (
        not 0 < len(ends) <= _MOST_HEREDOCS
        or len(ends) != len(_HEREDOC.findall(first))
        or not plain
        or first != first.strip()
    ):
        return False
    if _STRICT_HEREDOC.sub("", first).strip() == "" or first.startswith(("--", "[")):
        return False  # a heredoc alone is a script for the shell, not a command with one
    for end in ends:
        if end not in rest:
            return False
        rest = rest[rest.index(end) + 1 :]
    return not rest


def _json(value: str) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _whole(text: str) -> str | None:
    """One logical line, in several lines of the file where one would be too long for the parser.

    None where it cannot be broken: it is nothing but backslashes, spaces and `#` for too long.
    """
    if all(_size(part) < _LONGEST_LINE for part in text.split("\n")):
        return text
    pieces: list[str] = []
    for part in text.split("\n"):
        at = 0
        while len(part) - at > _BROKEN_AT:
            end = _break(part, at, at + _BROKEN_AT)
            if end is None:
                return None
            pieces.append(part[at:end] + "\\")
            at = end
        pieces.append(part[at:])
    return "\n".join(pieces)


def _break(text: str, start: int, end: int) -> int | None:
    """Where a line may be broken at or before `end`: nothing there means anything to the parser."""
    places = range(end, start, -1)
    return next((at for at in places if not {text[at - 1], text[at]} & set("\\ \t#")), None)
