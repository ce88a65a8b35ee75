"""Regular expressions of POSIX, translated for RE2, against GNU grep on generated patterns and lines."""

from __future__ import annotations

import random
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from layerfs.analysis.grep.matcher import BadPattern, Patterns, matcher_of
from layerfs.formats.errors import FormatError
from layerfs.formats.posixregex import translated
from layerfs.formats.utf8classes import Chars, complement, merged

if TYPE_CHECKING:
    from pathlib import Path

_PARTS = (
    *(rb"a", rb"b", rb"_", rb"-", rb".", rb"*", rb"\+", rb"\?", rb"+", rb"?", rb"\(", rb"\)", rb"(", rb")"),
    *(rb"|", rb"\|", rb"^", rb"$", rb"\<", rb"\>", rb"\w", rb"\W", rb"\s", rb"\S", rb"[ab]", rb"[^a]"),
    *(rb"[]a]", rb"[a-]", rb"[[:alpha:]_]", rb"[^[:space:]b]", rb"\{1,2\}", rb"{2}", rb"{,1}", rb"{1,}"),
    *(rb"\{2\}", rb" ", b"\xc3", rb"A", rb".*", rb"a", rb"b", rb"\.", rb"[[.-.]b]", rb"{", rb"\b"),
)
_BYTES = (*(b"a", b"b", b"_", b"-", b".", b" ", b"A", b"*", b"\xc3", b"\xff", b"(", b"+", b"{"),)
_ODD = re.compile(rb"\\[<>bB](\*|\\\+|\\\?|\\\{|\?|\+|\{)|\$\)|(^|\(|\|)(\\?\{|[*+?])|^[^(]*\)")
"""What grep takes now so and now so: quantifiers of nothing and of assertions, `$)`, a `)` too many."""


def _grep(file: Path, pattern: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    command: list[str | bytes] = ["grep", "-a", "-n", *options, "-e", pattern, str(file)]
    return subprocess.run(command, capture_output=True, env={"LC_ALL": "C"}, check=False)


@pytest.mark.parametrize(
    "options", [(), ("-E",), ("-E", "-i"), ("-w",), ("-x",), ("-o", "-b"), ("-o", "-b", "-E", "-w")]
)
def test_patterns_mean_what_they_mean_to_grep(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Generated patterns select the lines, and with -o the matches, of grep in the C locale."""
    chance = random.Random(17)  # noqa: S311 - cases, no secrets
    lines = sorted({b"".join(chance.choices(_BYTES, k=chance.randrange(7))) for _ in range(300)})
    text = tmp_path / "text"
    text.write_bytes(b"\n".join(lines) + b"\n")
    compared = 0
    for _ in range(110):
        pattern = b"".join(chance.choices(_PARTS, k=chance.randrange(1, 6)))
        if _ODD.search(pattern):
            continue
        theirs = _grep(text, pattern, *options)
        patterns = Patterns(
            (pattern,),
            "extended" if "-E" in options else "basic",
            "-i" in options,
            "-w" in options,
            "-x" in options,
        )
        try:
            matcher = matcher_of(patterns)
        except BadPattern as error:
            refused = str(error)
        else:
            refused = ""
        if refused:
            assert theirs.returncode == 2 or "\\<" in refused or "\\>" in refused, pattern
            continue
        assert theirs.returncode < 2, pattern
        if "-w" in options and matcher_of(patterns._replace(word=False, line=True)).first(b"\n", 0, 1):
            continue  # grep stops early where a word may be empty
        found = [number for number, line in enumerate(lines, 1) if matcher.first(line, 0, len(line))]
        if "-o" in options:
            data, at = text.read_bytes(), 0
            matches = []
            for number, line in enumerate(lines, 1):
                for first, last in matcher.spans(data, at, at + len(line)):
                    matches.append(b"%d:%d:%b" % (number, first, data[first:last]))
                at += len(line) + 1
            assert matches == theirs.stdout.splitlines(), pattern
        else:
            assert found == [int(line.partition(b":")[0]) for line in theirs.stdout.splitlines()], pattern
        compared += 1
    assert compared > 50


def test_characters_beyond_ascii_are_whole() -> None:
    """A character of UTF-8 is one: for `.`, in brackets, with a quantifier, and in both cases with -i."""

    def fits(pattern: str, text: str | bytes, *, fold: bool = False) -> bool:
        data = text if isinstance(text, bytes) else text.encode()
        matcher = matcher_of(Patterns((pattern.encode(),), "extended", fold, line=True))
        return matcher.first(data, 0, len(data)) is not None

    assert fits("M.ller", "Müller")
    assert fits("M.ller", b"M\xfcller")
    assert fits("M[üu]ller", "Müller")
    assert fits("ü{3}", "üüü")
    assert fits("[β-ω]+", "λβ")
    assert fits("MÜLLER", "müller", fold=True)
    assert fits("[^λ]", "β")
    assert not fits("[^λ]", "λ")
    assert not fits("[^β-ω]", "β")
    assert fits("😀.", "😀😀")


def test_complement_has_all_other_characters() -> None:
    """A character beyond ASCII is in a set or in its complement, and never in both."""
    chance = random.Random(3)  # noqa: S311 - cases, no secrets
    for _ in range(40):
        ends = sorted(chance.sample(range(0x80, 0xD800), 4))
        chars = Chars(frozenset((65,)), merged([(ends[0], ends[1]), (ends[2], ends[3])]))
        inside, outside = (re.compile(found.regex()) for found in (chars, complement(chars)))
        for point in (*ends, *(end + 1 for end in ends), 0x80, 0xE000, 0x10FFFF):
            if not 0xD800 <= point < 0xE000:
                text = chr(point).encode()
                assert bool(inside.fullmatch(text)) != bool(outside.fullmatch(text)), hex(point)


@pytest.mark.parametrize(
    "pattern",
    [
        rb"\1",
        rb"a\(b\)\1",
        b"a\\",
        rb"\(",
        rb"[a",
        rb"[[:no:]]",
        rb"[:alpha:]",
        rb"a\{2,1\}",
        rb"a\{1001\}",
        rb"[b-a]",
    ],
)
def test_what_is_no_pattern_is_refused_in_words(pattern: bytes) -> None:
    """What grep refuses, and what takes more than linear time, is refused with a sentence."""
    with pytest.raises(FormatError) as error:
        translated(pattern, extended=False)
    assert len(error.value.problem) > 8


def test_matching_takes_linear_time() -> None:
    """A pattern that takes exponential time elsewhere is done at once, on text made for it."""
    text = b"a" * 300_000
    matcher = matcher_of(Patterns((rb"(a*)*(a|aa)+b",), "extended"))
    assert matcher.first(text, 0, len(text)) is None
