from __future__ import annotations

import csv
import io
import itertools
import json
from typing import TYPE_CHECKING, Any

import click
import pytest
import tabulate
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfs_cli.emit import emit, emit_objects
from layerfs_cli.escape import printable
from layerfs_cli.options import format_option
from layerfs_cli.table import Column, Table
from layerfs_cli.units import age, human_size
from tests.support.docker_client import docker, image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TYPED = ("table", "json", "jsonl", "csv", "tsv")
EVIL = "\x1b[31mred\udcff\u202e\n|<b>"

OF_TABULATE = [name for name in tabulate.tabulate_formats if name not in TYPED]

Row = dict[str, Any]


def _column(key: str, placeholder: str, header: str) -> Column[Row]:
    return Column(key, lambda row: row[key], placeholder, header)


IMAGES: Table[Row] = Table(
    (
        _column("repository", "Repository", "REPOSITORY"),
        _column("tag", "Tag", "TAG"),
        _column("id", "ID", "IMAGE ID"),
        Column("", lambda row: age(row["created"]), "CreatedSince", "CREATED"),
        Column("size", lambda row: row["size"], "Size", "SIZE", lambda row: human_size(row["size"])),
    ),
    ("Repository", "Tag", "ID", "CreatedSince", "Size"),
)
FACTS: Table[Row] = Table(
    (_column("name", "Name", "NAME"), _column("count", "Count", "COUNT"), _column("more", "More", "MORE")),
    ("Name", "Count"),
)
ROWS: list[Row] = [
    {"name": "plain", "count": 3, "more": ["a", "b"]},
    {"name": EVIL, "count": None, "more": {"k": True}},
]

names = st.from_regex(r"[a-z0-9]{1,30}", fullmatch=True)
image_rows = st.builds(
    lambda repository, tag, identity, size: {
        "repository": repository,
        "tag": tag,
        "id": f"{identity:012x}",
        "created": 10**9,
        "size": size,
    },
    *(names, names, st.integers(0, 16**12 - 1), st.integers(0, 10**12)),
)


def _answers(rows: list[Row]) -> dict[str, Any]:
    """The rows as an Engine tells them."""
    return {
        "/images/json": [
            image(
                Id=f"sha256:{row['id']}{'0' * 52}",
                RepoTags=[f"{row['repository']}:{row['tag']}"],
                Created=row["created"] // 10**9,
                Size=row["size"],
            )
            for row in rows
        ]
    }


def _emitted(table: Table[Row], rows: Iterable[Row], form: str, **options: Any) -> str:
    with pytest.MonkeyPatch.context() as patch:
        out = io.StringIO()
        patch.setattr("sys.stdout", out)
        emit(table, rows, form, **options)
    return out.getvalue()


@settings(max_examples=8)
@given(st.lists(image_rows, max_size=6))
def test_table_as_docker_prints_it(rows: list[Row]) -> None:
    """The table is the real client's byte for byte; without rows it is the header line."""
    assert _emitted(IMAGES, rows, "table") == docker(_answers(rows), "images").stdout


@settings(max_examples=3)
@given(st.lists(image_rows, min_size=1, max_size=6))
@pytest.mark.parametrize(
    "form",
    [
        r"table {{.ID}}\t{{.Size}}",
        "table {{.Repository}}",
        r"table {{upper .Tag}}\t{{json .Size}}\t{{truncate .ID 4}}|{{title .Repository}}\t",
        r"table   {{.Tag}}\t\t{{pad .Size 2 2}}\tx ",
        r"table {{.Tag}}{{if eq .Tag `TAG`}}\t{{end}}\t{{.Size}}\n{{.ID}}\t{{.Tag}}\tthe longest\t{{.Size}}",
        "table{{.ID}}",
        r"{{.ID}}\t{{.Size}}\n",
        "  {{.Repository}}:{{.Tag}}  ",
        "{{json .Tag}}{{with .CreatedSince}}{{.}}{{end}}",
    ],
)
def test_template_as_docker_prints_it(form: str, rows: list[Row]) -> None:
    """Templates, and tables of a template, are the real client's byte for byte."""
    assert _emitted(IMAGES, rows, form) == docker(_answers(rows), "images", "--format", form).stdout


@settings(max_examples=10)
@given(
    st.lists(st.lists(st.sampled_from(["", "a", "a wide cell", "é界"]), min_size=1, max_size=4), max_size=6)
)
def test_uneven_lines_as_docker_aligns_them(lines: list[list[str]]) -> None:
    """Lines with unlike numbers of cells line up as Go's tabwriter has it: by neighbouring lines."""
    form = "table {{.Tag}}" + "".join("\n" + "\t".join(cells) for cells in lines)
    rows = [{"repository": "r", "tag": "t", "id": "0" * 12, "created": 1, "size": 1}]
    assert _emitted(IMAGES, rows, form) == docker(_answers(rows), "images", "--format", form).stdout


def test_json_is_typed() -> None:
    """JSON is one array of objects, with numbers, null and lists as they are, and every byte of a name."""
    assert json.loads(_emitted(FACTS, ROWS, "json")) == ROWS
    assert json.loads(_emitted(FACTS, [], "json")) == []


def test_jsonl_is_an_object_a_line() -> None:
    """JSON lines hold the same objects, one a line."""
    lines = _emitted(FACTS, ROWS, "jsonl").split("\n")
    assert [json.loads(line) for line in lines[:-1]] == ROWS
    assert lines[-1] == ""


@pytest.mark.parametrize(("form", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_delimited_text_reads_back(form: str, delimiter: str) -> None:
    """CSV and TSV have the JSON keys as header, text as in a table, the rest as JSON, unknown as nothing."""
    text = _emitted(FACTS, ROWS, form)
    read = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
    assert [row["name"] for row in read] == ["plain", printable(EVIL)]
    assert text.count("\n") == 1 + len(ROWS)
    assert [row["count"] for row in read] == ["3", ""]
    assert [json.loads(row["more"]) for row in read] == [row["more"] for row in ROWS]


@pytest.mark.parametrize(
    "form", ["table", "csv", "tsv", "{{.Name}}", "{{upper .Name}}", "{{json .}}", *OF_TABULATE]
)
def test_evidence_has_no_power_over_a_terminal(form: str) -> None:
    """No format for people lets a control byte of a name through."""
    assert _emitted(FACTS, ROWS, form).replace("\n", "").replace("\t", "").isprintable()


def test_template_json_loses_nothing() -> None:
    """`{{json .Name}}` gives the name itself, not what a table shows of it."""
    assert json.loads(_emitted(FACTS, ROWS[1:], "{{json .Name}}")) == EVIL
    assert json.loads(_emitted(FACTS, ROWS[1:], "{{json .}}"))["Name"] == EVIL


@pytest.mark.parametrize("form", OF_TABULATE)
def test_every_format_of_tabulate(form: str) -> None:
    """Every other format of tabulate shows the headers and a line or more for each row."""
    shown = _emitted(FACTS, ROWS, form)
    assert "plain" in shown
    assert shown.count("\n") >= len(ROWS)


def test_a_cell_of_markdown_stays_one() -> None:
    """A bar in a name does not begin another cell of a Markdown table."""
    line = _emitted(FACTS, ROWS[1:], "github").splitlines()[-1]
    assert line.replace("\\|", "").count("|") == 3


@pytest.mark.parametrize("form", ["jsonl", "csv", "{{.Name}}"])
def test_rows_are_written_as_they_come(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row is written before the next one is asked for, so endless rows can be read from the start."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    lengths: list[int] = []

    def endless() -> Iterator[Row]:
        for number in itertools.count():
            lengths.append(len(out.getvalue()))
            if number == 4:
                raise BrokenPipeError
            yield {"name": "x", "count": number, "more": None}

    with pytest.raises(BrokenPipeError):
        emit(FACTS, endless(), form)
    assert lengths == sorted(set(lengths))


@click.command()
@format_option
def _show(form: str) -> None:
    emit(FACTS, ROWS, form)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("nonsense", ["nonsense", "{{.ID}}", *TYPED, "github"]),
        ("table NAME", ["table NAME"]),
        ("{{.Nme}}", ["Nme", "Count, More, Name"]),
        ("table {{.Nme}}", ["Nme", "Count, More, Name"]),
        ("{{if .Name}}", ["end"]),
        ("{{nope .Name}}", ["nope", "upper"]),
    ],
)
def test_a_wrong_format_is_a_usage_error(form: str, words: list[str]) -> None:
    """A format that is none ends with exit code 2, nothing on standard output, and what there is."""
    result = CliRunner().invoke(_show, ["--format", form])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "--format" in result.stderr
    assert all(word in " ".join(result.stderr.split()) for word in words)


def test_completion_of_formats() -> None:
    """The shell is offered every format that begins as typed."""
    option = _show.params[0]
    context = click.Context(_show)
    offered = [item.value for item in option.shell_complete(context, "j")]
    assert offered == [name for name in ("json", "jsonl", *tabulate.tabulate_formats) if name.startswith("j")]


DOCUMENTS = [{"Id": "sha256:1", "Config": {"Env": ["A=1"]}}, {"Id": "sha256:2", "Config": {"Env": None}}]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("{{.Id}} {{.ID}}", "sha256:1 sha256:1\nsha256:2 sha256:2\n"),
        ("{{range .Config.Env}}{{.}}{{else}}none{{end}}", "A=1\nnone\n"),
        ("{{json .Config}}", '{"Env":["A=1"]}\n{"Env":null}\n'),
    ],
)
def test_documents_by_template(form: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A template is rendered for each document, which answers to the names docker inspect knows."""
    emit_objects(DOCUMENTS, form)
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_documents_as_json(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Documents come as one array, or one a line."""
    emit_objects(DOCUMENTS, form)
    out = capsys.readouterr().out
    read = json.loads(out) if form == "json" else [json.loads(line) for line in out.splitlines()]
    assert read == DOCUMENTS


@pytest.mark.parametrize("form", ["table", "{{.Nothing}}", "{{"])
def test_documents_refuse_what_is_no_format(form: str) -> None:
    """A format that documents lack is a usage error."""
    with pytest.raises(click.BadParameter):
        emit_objects(DOCUMENTS, form)
