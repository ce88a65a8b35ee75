"""What `layerfs dockerfile` writes is read by a parser of Dockerfiles as what it was made from."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from layerfs.analysis.dockerfile.configured import Configured, Told
from layerfs.analysis.dockerfile.created import DEFAULT_SHELL, KEYWORDS, Said, read_row
from layerfs.analysis.dockerfile.document import FIRST_LINE
from layerfs.analysis.dockerfile.instructions import write
from layerfs.analysis.dockerfile.sources import copied
from layerfs.analysis.dockerfile.writing import array, comment, line, pairs, paths, run, word
from layerfs.formats.imageconfig import HistoryEntry
from tests.support.dockerfileparser import EXPANDED, Instruction, parse

PIECES = (
    *(
        "\\",
        "\\\n",
        "\n",
        "\r\n",
        "\r",
        " ",
        "\t",
        "#",
        "# escape=`\n",
        "# syntax=evil\n",
        "FROM evil\n",
        "$HOME",
    ),
    *(
        "<<EOF",
        "<<'EOF'",
        "EOF",
        "\nEOF\n",
        "EOF_",
        "3<<-X",
        '"',
        "'",
        "[",
        "]",
        '["a"]',
        "[1]",
        "--mount=x ",
        "`",
    ),
    *(
        "=",
        "A=1",
        "x",
        "é",
        "\u2028",
        "\x1b[2J",
        "\x00",
        "\ufeff",
        "&& ",
        "     y",
        "RUN",
        "${X}",
        "\u202e",
        "//",
    ),
    *(
        "/bin/sh -c ",
        "#(nop) ",
        " #(nop)  ",
        " # buildkit",
        "|2 ",
        "file:" + "a" * 64 + " in ",
        "map[80/tcp:{}]",
    ),
)
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)
END = "LABEL the=end"


def _read(text: str | None) -> Instruction | None:
    """The only instruction that a text is; None where there is no text."""
    if text is None:
        return None
    directives, found = parse(f"{FIRST_LINE}\nFROM base\n{text}\n# a comment\n{END}\n")
    assert not directives
    assert [found[0], found[-1]] == [parse(f"{part}\n")[1][0] for part in ("FROM base", END)]
    assert len(found) == 3, text
    return found[1]


def _command(found: Instruction, shell: tuple[str, ...]) -> str:
    """What a RUN gives the shell."""
    assert found.keyword == "RUN"
    assert not found.flags
    if isinstance(found.value, list):
        assert tuple(found.value[:-1]) == shell
        return str(found.value[-1])
    if len(found.heredocs) == 1 and found.value == f"<<{found.heredocs[0][0]}":
        assert not found.heredocs[0][1].startswith("#!")
        return found.heredocs[0][1]
    return str(found.value) + "".join(f"\n{body}{name}" for name, body in found.heredocs)


@given(TEXT)
@example("cat <<EOF > /x\na\nEOF")
@example("cat <<A <<B\na\nA\nb\nB")
@example("cat <<EOF > /x\na\nEOF\nFROM evil")
@example("#!/bin/sh\nx\n")
@example("make &&     make install && " + "x" * 80)
@example("make " + "\\" * 70_000)
@example("\\ #" * 70_000)
@example("é" * 70_000 + "\n" + "y" * 70_000)
@example("x" * 1_000_000)
@example("make\n")
def test_run(text: str) -> None:
    """RUN gives the shell the same text, but for a line break at the end of several lines."""
    found = _read(run(text, DEFAULT_SHELL))
    if found is None:
        assert len(text) > 15_000
        return
    command = _command(found, DEFAULT_SHELL)
    assert command == text or ("\n" in text and command == f"{text}\n")


@given(TEXT)
def test_run_without_heredocs(text: str) -> None:
    """For a builder without heredocs it is the same text, always."""
    found = _read(run(text, DEFAULT_SHELL, heredocs=False))
    assert found
    assert not found.heredocs
    assert _command(found, DEFAULT_SHELL) == text


@given(st.sampled_from(["ENV", "LABEL", "ARG"]), st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3))
def test_pairs(keyword: str, items: list[tuple[str, str]]) -> None:
    """Names and values are the same, and no variable is expanded; what has a line break is not said."""
    found = _read(pairs(keyword, items))
    if found is None:
        assert any("\n" in name + value or "=" in name or not name for name, value in items)
    else:
        assert (found.keyword, found.value) == (keyword, items)


@given(st.sampled_from(["COPY", "ADD", "VOLUME"]), st.lists(TEXT, min_size=1, max_size=3))
def test_paths(keyword: str, values: list[str]) -> None:
    """Paths are the same, and none is a heredoc or a flag."""
    found = _read(paths(keyword, values))
    if found is None:
        assert any("\n" in value or not value for value in values)
    else:
        assert (found.keyword, found.value, found.heredocs, found.flags) == (keyword, values, [], [])


@given(st.sampled_from(["CMD", "ENTRYPOINT", "SHELL", "RUN"]), st.lists(TEXT, max_size=3))
def test_array(keyword: str, values: list[str]) -> None:
    """The texts of an array are the same."""
    found = _read(array(keyword, values))
    assert found
    assert (found.keyword, found.value, found.heredocs) == (keyword, values, [])


@given(st.sampled_from(["USER", "WORKDIR", "STOPSIGNAL"]), TEXT.filter(bool))
def test_word(keyword: str, value: str) -> None:
    """A value alone is the same."""
    said = word(value)
    if said is None:
        assert "\n" in value
    else:
        found = _read(f"{keyword} {said}")
        assert found
        assert (found.keyword, found.value, found.flags) == (keyword, value, [])


@given(st.sampled_from(["ONBUILD", "MAINTAINER", "RUN"]), TEXT)
def test_line(keyword: str, text: str) -> None:
    """What is taken from a Dockerfile is one instruction, or refused as it was there, or nothing."""
    try:
        found = _read(line(keyword, text))
    except ValueError:
        assert keyword == "RUN"
        assert text.startswith("[")
        return
    if found:
        assert found.keyword == keyword
        assert not found.heredocs


@given(TEXT)
def test_comment(text: str) -> None:
    """A comment is no instruction, and no directive behind the first line."""
    directives, found = parse(f"{FIRST_LINE}\n{comment(text)}\nFROM base\n")
    assert not directives
    assert [item.keyword for item in found] == ["FROM"]


@given(
    TEXT, st.sampled_from(["", "buildkit.dockerfile.v0", "FROM base:1"]), st.sampled_from(sorted(KEYWORDS))
)
@example("A=1 B=2 \nFROM evil", "buildkit.dockerfile.v0", "ENV")
@example("a\nFROM evil", "", "MAINTAINER")
def test_any_row(text: str, comment_of_row: str, keyword: str) -> None:
    """Whatever a row is, it becomes instructions of the one keyword that it tells, or none."""
    for created_by in (
        text,
        f"{keyword} {text}",
        f"/bin/sh -c #(nop)  {keyword} {text}",
        f"/bin/sh -c {text}",
    ):
        entry = HistoryEntry(None, created_by, "", comment_of_row, empty_layer=True)
        said = read_row(entry, DEFAULT_SHELL)
        if not said.keyword:
            continue
        lines = _lines(said)
        for written in lines:
            try:
                found = _read(written)
            except ValueError:  # a Dockerfile that was none: refused, and nothing else
                assert said.raw
                continue
            assert found is None or found.keyword == said.keyword
            assert EXPANDED not in str(found) or said.raw or said.keyword in ("RUN", "ONBUILD")


def _lines(said: Said) -> tuple[str, ...]:
    if said.keyword in ("ADD", "COPY"):
        found = copied(said, None).line
        return (found,) if found else ()
    return write(said, Configured.of({}), Told()).lines
