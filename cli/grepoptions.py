"""The options of `layerfs grep`, which are those of grep(1), and the patterns that words and options give."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .options import complete_path, one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerfs.analysis.grep.matcher import Matcher, Patterns

__all__ = ["Given", "grep_options", "matcher_for", "patterns_of"]

_Function = TypeVar("_Function", bound="Callable[..., Any]")

INSTALL = "pip install 'layerfs[grep]'"


@dataclass(frozen=True, slots=True)
class Given:
    """The values of `grep_options`, under their long names; numbers that were not given are None."""

    regexp: tuple[str, ...]
    file: tuple[str, ...]
    ignore_case: bool
    word_regexp: bool
    line_regexp: bool
    invert_match: bool
    count: bool
    only_matching: bool
    quiet: bool
    files_with_matches: bool
    files_without_match: bool
    max_count: int | None
    line_number: bool
    byte_offset: bool
    with_filename: bool
    no_filename: bool
    null: bool
    after_context: int | None
    before_context: int | None
    context: int | None
    text: bool
    skip_binary: bool
    binary_files: str | None


def _flag(*names: str, text: str) -> Callable[[_Function], _Function]:
    return click.option(*names, is_flag=True, help=text)


def _number(*names: str, text: str) -> Callable[[_Function], _Function]:
    return click.option(*names, type=click.IntRange(0), metavar="N", help=text)


_OPTIONS = (
    click.option(
        "-e", "--regexp", multiple=True, metavar="PATTERN", help="A pattern; there is no PATTERN word then."
    ),
    click.option(
        "-f",
        "--file",
        multiple=True,
        metavar="FILE",
        shell_complete=complete_path,
        help="Patterns from a file of the host, one a line; - is standard input.",
    ),
    click.option("-G", "--basic-regexp", **one_of("syntax"), help="Basic expressions, the default."),
    click.option("-E", "--extended-regexp", **one_of("syntax"), help="Extended expressions."),
    click.option("-F", "--fixed-strings", **one_of("syntax"), help="Patterns are plain text."),
    click.option(
        "-r",
        "-R",
        "--recursive",
        is_flag=True,
        expose_value=False,
        help="For habit: what is below a PATH is always searched.",
    ),
    _flag("-i", "--ignore-case", text="Upper and lower case are the same."),
    _flag("-w", "--word-regexp", text="Match whole words only."),
    _flag("-x", "--line-regexp", text="Match whole lines only."),
    _flag("-v", "--invert-match", text="Select the lines that do not match."),
    _flag("-c", "--count", text="Show how many lines of each file fit."),
    _flag("-o", "--only-matching", text="Show what matches, each match in a line."),
    _flag("-q", "--quiet", "--silent", text="Show nothing; end at the first match, with exit code 0."),
    _flag("-l", "--files-with-matches", text="Show only the names of files in which a line fits."),
    _flag("-L", "--files-without-match", text="Show only the names of files in which none does."),
    _number("-m", "--max-count", text="Stop in each file after N lines that fit."),
    _flag("-n", "--line-number", text="Show the numbers of lines."),
    _flag("-b", "--byte-offset", text="Show the offsets of lines, or with -o of matches."),
    _flag("-H", "--with-filename", text="Show names also if PATH is one file."),
    _flag("-h", "--no-filename", text="Show no names."),
    _flag("-Z", "--null", text="A NUL behind each name, which is then never escaped."),
    _number("-A", "--after-context", text="Show N lines behind each line that fits."),
    _number("-B", "--before-context", text="Show N lines before it."),
    _number("-C", "--context", text="Show N lines on both sides."),
    _flag("-a", "--text", text="Show lines of binary files too."),
    _flag("-I", "skip_binary", text="Pass over binary files."),
    click.option(
        "--binary-files",
        type=click.Choice(("binary", "text", "without-match")),
        help="Tell that a binary file matches (the default), or as -a, or as -I.",
    ),
)


def grep_options(function: _Function) -> _Function:
    """Add them all."""
    for decorate in reversed(_OPTIONS):
        function = decorate(function)
    return function


def patterns_of(given: Given, words: Sequence[str], syntax: str) -> tuple[Patterns, Sequence[str]]:
    """The patterns, and the words behind the PATTERN; raises a usage error if there is none."""
    from layerfs.analysis.grep.matcher import Patterns

    texts = [os.fsencode(text) for text in given.regexp]
    if not (given.regexp or given.file):
        if not words:
            raise click.UsageError("Missing argument 'PATTERN'.")
        texts, words = [os.fsencode(words[0])], words[1:]
    lines = [line for text in texts for line in text.split(b"\n")]
    for name in given.file:
        lines += _read(name)
    kinds = {"extended-regexp": "extended", "fixed-strings": "fixed"}
    unique = tuple(dict.fromkeys(lines))
    patterns = Patterns(
        unique,
        kinds.get(syntax, "basic"),
        ignore_case=given.ignore_case,
        word=given.word_regexp,
        line=given.line_regexp,
    )
    return patterns, words


def _read(name: str) -> list[bytes]:
    """The lines of a file of the host."""
    from layerfs.errors import reason

    try:
        if name == "-":
            content = sys.stdin.buffer.read()
        else:
            with open(name, "rb") as file:
                content = file.read()
    except OSError as error:
        raise click.BadParameter(reason(error), param_hint="--file") from error
    lines = content.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def matcher_for(patterns: Patterns) -> Matcher:
    """What searches for them; raises a usage error for what is no pattern, or cannot be searched for."""
    from layerfs.analysis.grep.matcher import BadPattern, NeedsRE2, matcher_of

    try:
        return matcher_of(patterns)
    except NeedsRE2 as error:
        raise click.UsageError(f"{error}: {INSTALL}") from error
    except BadPattern as error:
        raise click.UsageError(f"PATTERN: {error}") from error
