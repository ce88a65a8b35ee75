"""Text for a shell comes out of a shell as it went in, and a listing is what `ls` prints."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from layerfs.formats.shelltext import assigned, folded, listed

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 75
TEXTS = [
    *("", "plain/1.2:3@x", "a b", "$(touch x)", "`id`", "it's", '"', "\\", "-n", "--", "%s%%", "a\nb\n\n"),
    *("\x1b[31m", "ü", "\u202e", "\udcff\udce9", "'" * 90, "x" * 300, "\n" * 40, "~", "*", "#", "!", "\t\r"),
]


def _came_out(texts: list[str]) -> list[str]:
    """What a shell has in a variable after each assignment."""
    lines = [line for text in texts for line in (*assigned("V", text), "printf '%s\\0' \"$V\"")]
    assert all(len(line) <= WIDTH and line.isprintable() for line in lines)
    script = "".join(f"{line}\n" for line in lines).encode()
    done = subprocess.run(["sh", "-e"], input=script, capture_output=True, check=True)
    assert done.stderr == b""
    return [os.fsdecode(item) for item in done.stdout.split(b"\0")[:-1]]


def test_every_text_comes_out_as_it_went_in() -> None:
    """Quotes, expansions, options, control bytes, line feeds at the end, and texts longer than a line."""
    assert _came_out(TEXTS) == TEXTS


@settings(max_examples=5)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=40))
def test_any_text_comes_out_as_it_went_in(texts: list[str]) -> None:
    """Of any characters, none is lost, and none means anything to the shell."""
    assert _came_out(texts) == texts


def test_folded_lines_are_one_line() -> None:
    """A backslash at the end of a line joins it to the next."""
    line = "V=" + "0123456789" * 50
    found = folded(line)
    assert max(map(len, found)) <= WIDTH
    assert "".join(item.removesuffix("\\") for item in found) == line


def test_listing_is_that_of_ls(tmp_path: Path) -> None:
    """Names of any bytes, as `ls -Ab` writes them in the C locale."""
    names = [
        b"a b",
        b"\xff\xfe",
        "ü".encode(),
        b"\x07\x08\t\n\x0b\x0c\r\x1b\x7f",
        b"back\\slash",
        b".hidden",
        b"'\"$*",
    ]
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    done = subprocess.run(
        ["ls", "-Ab", tmp_path], env={**os.environ, "LC_ALL": "C"}, capture_output=True, check=True
    )
    assert done.stdout.decode("ascii").splitlines() == [listed(name) for name in sorted(names)]
