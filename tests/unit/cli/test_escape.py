from __future__ import annotations

import json
import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfs_cli.escape import json_text, printable, printable_lines

file_names = st.binary().map(os.fsdecode)
texts = st.one_of(st.text(), file_names)
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), texts),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(texts, inner)),
)


@given(texts)
def test_printable_has_no_power(text: str) -> None:
    """Escaped text holds no control, format, surrogate, private or unassigned character, nor odd spaces."""
    for char in printable(text):
        assert char == " " or unicodedata.category(char)[0] not in "CZ"


@given(texts)
def test_visible_text_stays(text: str) -> None:
    """Text that is plainly visible is shown as it is, a backslash too."""
    if all(char == " " or unicodedata.category(char)[0] not in "CZ" for char in text):
        assert printable(text) == text


@given(st.binary())
def test_bytes_are_told_from_characters(name: bytes) -> None:
    """Undoing the escapes gives a name's bytes back, where the name has no backslash itself."""
    name = name.replace(b"\\", b"/")
    shown = printable(os.fsdecode(name))
    characters = shown.encode("ascii", "backslashreplace").decode("unicode_escape")
    undone = bytearray()
    for char, source in zip(characters, _escapes(shown), strict=True):
        undone += bytes([ord(char)]) if source.startswith("\\x") else char.encode()
    assert bytes(undone) == name


def _escapes(shown: str) -> list[str]:
    """`shown` a character or an escape at a time."""
    lengths = {"x": 4, "u": 6, "U": 10}
    found = []
    while shown:
        length = lengths.get(shown[1], 2) if shown[0] == "\\" else 1
        found.append(shown[:length])
        shown = shown[length:]
    return found


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "a\x7f", "\x9b31m", "\u202etxt.exe", "\u200b", "\udc9b", "\u2028", "\U000e0001"]
)
def test_what_controls_a_terminal_is_gone(text: str) -> None:
    """Escape sequences, C1 controls, bidirectional and invisible characters reach no terminal, nor JSON."""
    for shown in (printable(text), printable_lines(text), json_text(text)):
        assert shown.isprintable()
        assert not set(shown) & {char for char in text if not char.isprintable()}


@given(texts)
def test_lines_stay_lines(text: str) -> None:
    """With lines kept, each line is what it would be alone."""
    lines = printable_lines(text).split("\n")
    assert lines == ["\t".join(map(printable, line.split("\t"))) for line in text.split("\n")]


@given(documents, st.sampled_from([None, 2]))
def test_json_loses_nothing(value: object, indent: int | None) -> None:
    """Every value comes back from its JSON, names that are not UTF-8 included, and can be printed."""
    text = json_text(value, indent=indent)
    assert json.loads(text) == value
    assert text.replace("\n", "").isprintable()
    text.encode("utf-8")


@given(st.binary())
def test_json_keeps_the_bytes_of_a_name(name: bytes) -> None:
    """A file name's bytes can be had back from JSON with `os.fsencode`."""
    assert os.fsencode(json.loads(json_text(os.fsdecode(name)))) == name
