from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfs_cli.template.compile import TemplateError, compile_template
from layerfs_cli.template.fields import Fields
from tests.support.docker_client import docker

# what `docker image inspect` knows the types of, so that Go prints it as it is
DOCUMENT: dict[str, Any] = {
    "Id": "sha256:"
    + "ab" * 32,  # in Go the field is ID: with .Id, docker would fall back on what it knows no types of
    "RepoTags": ["one:1", "two:2", "three:3"],
    "RepoDigests": [],
    "Comment": "a <b> & 'c' \"d\" e_f-g h3i — ü",
    "Author": "",
    "Created": "2024-02-29T12:34:56.789Z",
    "Architecture": "amd64",
    "Size": 1234567,
    "Config": {
        "Env": ["PATH=/usr/bin:/bin", "A=1"],
        "Cmd": ["/bin/sh", "-c", "echo one two"],
        "Labels": {"a": "first", "m.n": "dotted", "z": "last"},
        "Tty": True,
        "User": "",
    },
    "GraphDriver": {"Name": "overlay2", "Data": {"LowerDir": "/l1:/l2", "UpperDir": "/u"}},
    "RootFS": {"Type": "layers", "Layers": ["sha256:11", "sha256:22", "sha256:33"]},
}

ALIKE = [
    # text and trimming
    *("plain", "a }} b", "x {{- .Architecture -}} y", "x\t {{- /* gone */ -}} \n y", "{{/* gone */}}x"),
    *(
        '{{"}}"}}',
        "{{`a\\tb`}}",
        r'{{"a\tb\"\\\x41\u00e9\101"}}',
        "{{ 3 }}{{- 3}}{{-3}}",
        "{{true}}{{1.5}}{{0x1F}}",
    ),
    # fields
    *("{{.ID}}", "{{ .Config.User }}", "{{.Config.Tty}}", "{{.Size}}", "{{.RepoTags}}", "{{.RepoDigests}}"),
    *(
        "{{.Config.Labels}}",
        "{{.Config.Labels.a}}",
        "{{.Config.Labels.none}}",
        "{{.GraphDriver.Data.LowerDir}}",
    ),
    *("{{$.ID}}", "{{(.Config).User}}", "{{(index .RepoTags 1)}}", "{{.Config.Cmd}}"),
    # json
    *(
        "{{json .RepoTags}}",
        "{{json .Comment}}",
        "{{.Config.Labels | json}}",
        "{{json .Size}}",
        "{{json .Config.Tty}}",
    ),
    *("{{json .RepoDigests}}", "{{json .GraphDriver.Data}}", '{{json (split .Comment " ")}}'),
    # blocks
    *("{{if .Author}}yes{{else}}no{{end}}", "{{if .Size}}yes{{end}}", "{{if not .Author}}none{{end}}"),
    "{{if eq .Architecture `arm64`}}a{{else if eq .Architecture `amd64`}}b{{else}}c{{end}}",
    "{{if .Author}}a{{else if .Comment}}b{{else if .ID}}c{{end}}|",
    "{{with .Config}}{{.User}}{{.Tty}}{{$.ID}}{{else}}none{{end}}",
    "{{with .Author}}{{.}}{{else}}nobody of {{.Architecture}}{{end}}",
    "{{with $x := .Config.Labels}}{{$x.z}}{{.a}}{{end}}",
    "{{range .RepoTags}}<{{.}}>{{end}}",
    "{{range .RepoDigests}}x{{else}}none{{end}}",
    "{{range $i, $e := .RootFS.Layers}}{{$i}}={{$e}},{{end}}",
    "{{range $e := .RootFS.Layers}}{{$e}}{{.}}{{end}}",
    "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}",
    "{{range .Config.Labels}}{{.}};{{end}}",
    "{{range .RepoTags}}{{range $.Config.Env}}{{.}}{{end}}|{{end}}",
    "{{$first := true}}{{range .RepoTags}}{{if $first}}{{$first = false}}{{else}}, {{end}}{{.}}{{end}}",
    "{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}",
    "{{$x := 1}}{{range .RepoTags}}{{$x}}{{$x = .}}{{end}}{{$x}}",
    "{{if and .Author (index .RepoDigests 0)}}x{{else}}short{{end}}",
    # functions
    *("{{index .RepoTags 0}}", '{{index .Config.Labels "m.n"}}', '{{index .Config.Labels "none"}}|'),
    *("{{index .Architecture 0}}", "{{slice .ID 7 19}}", "{{slice .RepoTags 1}}", "{{slice .RepoTags 0 2}}"),
    *(
        "{{len .RepoTags}}",
        "{{len .Config.Labels}}",
        "{{len .Comment}}",
        "{{len .Author}}",
        "{{.RepoTags | len}}",
    ),
    *('{{join .RepoTags ", "}}', '{{join .RepoDigests "x"}}', '{{split .GraphDriver.Data.LowerDir ":"}}'),
    *('{{split "abc" ""}}', '{{range split "a,b" ","}}[{{.}}]{{end}}', '{{join (split "a-b" "-") "+"}}'),
    *("{{upper .Comment}}", "{{lower .Comment}}", "{{title .Comment}}", "{{title `a.b'c d1e_f`}}"),
    *(
        "{{pad .Architecture 2 3}}|",
        "{{pad .Author 2 3}}|",
        "{{truncate .Architecture 3}}",
        "{{truncate `ab` 3}}",
    ),
    *("{{print .ID .Size 1 2 true `x` 3}}", "{{println 1 `a` .Config.Tty}}", "{{println}}", "{{print nil}}"),
    *(
        "{{printf `%s|%v|%d|%q` .ID .RepoTags .Size .Comment}}",
        "{{printf `%10s|%-10s|%.3s|%5.2s|` `abcd` `b` `cdef` `g`}}",
    ),
    *(
        "{{printf `%05d|%+d|%x|%X|%o|%b|%5d|%-5d|` .Size 3 255 255 8 5 42 42}}",
        "{{printf `%t %v` true false}}",
    ),
    *(
        "{{printf `%.2f|%8.3f|%e|%g` 1.5 2.25 1234.5 0.1}}",
        "{{printf `%x|%X` `hi` `hi`}}",
        "{{printf `100%%`}}",
    ),
    *(
        "{{printf `%d` `x`}}",
        "{{printf `%s` 5}}",
        "{{printf `%d %d` 1}}",
        "{{printf `a` 1 `b`}}",
        "{{printf `%t` 1}}",
    ),
    *(
        "{{printf `%q` .RepoTags}}",
        "{{printf `%s` .RepoTags}}",
        "{{.Size | printf `%d-%d` 5}}",
        "{{printf `%z` 1}}",
    ),
    # comparison and logic
    *("{{eq 1 1}}{{eq 1 2}}{{eq `a` `b` `a`}}{{ne `a` `b`}}", "{{lt 1 2}}{{le 2 2}}{{gt 1 2}}{{ge 1 2}}"),
    *("{{lt `a` `b`}}{{gt .ID .Comment}}{{ge 1.5 1.5}}", "{{and 1 0 2}}{{and 1 2}}{{or 0 `` 3}}{{or 0 ``}}|"),
    *(
        "{{not 0}}{{not .RepoTags}}",
        "{{ne .RepoTags nil}}",
        "{{eq .Config.Tty true}}",
        "{{if gt (len .RepoTags) 2}}many{{end}}",
    ),
    *(
        "{{.Architecture | upper | printf `%s-%s` `x`}}",
        "{{.Comment | json | len}}",
        "{{(split .ID `:`) | len}}",
    ),
]
REFUSED = [
    *("{{break}}", "{{if true}}{{continue}}{{end}}", "{{range .RepoTags}}{{break 1}}{{end}}"),
    *('{{template "none"}}', "{{template .Id}}", '{{template "a" 1 2}}{{define "a"}}{{end}}', "{{template}}"),
    '{{define "a"}}a{{end}}{{define "a"}}b{{end}}',
    *(
        '{{define "a"}}x',
        '{{define "a" .Id}}{{end}}',
        '{{block "a"}}x{{end}}',
        '{{if true}}{{define "a"}}{{end}}{{end}}',
    ),
    *('{{define "a"}}{{else}}{{end}}', '{{range .RepoTags}}{{block "a" .}}{{break}}{{end}}{{end}}'),
    '{{define "a"}}{{template "a"}}{{end}}{{template "a"}}',
    *(
        "{{",
        "{{.ID",
        "{{}}",
        "{{end}}",
        "{{else}}",
        "{{if .ID}}",
        "{{range .RepoTags}}{{else}}",
        "{{if}}{{end}}",
    ),
    *("{{.ID}} {{.Nothing}}", "{{nofunction .ID}}", "{{.ID .ID}}", "{{.ID | .Size}}", "{{(.ID}}", "{{.ID)}}"),
    *(
        "{{$x}}",
        "{{$x = 1}}",
        "{{range .Size}}{{end}}",
        "{{range .ID}}x{{end}}",
        "{{.ID.Nothing}}",
        '{{"open}}',
    ),
    *("{{index .RepoTags 9}}", "{{index .RepoTags `a`}}", "{{index .Config.Labels 1}}"),
    *("{{len 1}}", "{{slice .ID 9 3}}", "{{slice .RepoTags 0 9}}", "{{join .ID `,`}}", "{{split .Size `,`}}"),
    *(
        "{{upper .Size}}",
        "{{upper .RepoTags}}",
        "{{split .Config.Labels ``}}",
        "{{lower .RepoTags}}",
        "{{truncate .RepoTags 1}}",
        "{{eq 1 `a`}}",
        "{{eq 1}}",
        "{{lt true false}}",
        "{{lt 1 `a`}}",
        "{{eq .RepoTags .RepoTags}}",
    ),
    *(
        '{{"\\q"}}',
        "{{if .ID}}{{else}}{{else}}{{end}}",
        "{{and}}",
        "{{truncate .ID `x`}}",
        "{{pad .ID}}",
    ),
    *(
        "{{if true}}{{$y := 1}}{{end}}{{$y}}",
        "{{.ID,}}",
        "{{not}}",
        "{{.1a}}",
        "{{nil}}",
        "{{if nil}}{{end}}",
        "{{nil | print}}",
        "{{slice .RepoTags true}}",
    ),
]


def _ours(template: str) -> str:
    return compile_template(template).render(Fields(DOCUMENT, DOCUMENT.__getitem__, {"ID": "Id"}))


def _docker(template: str, document: dict[str, Any]) -> str:
    """What the real client prints, without the newline it ends with."""
    answers = {"/images/x/json": document}
    printed = docker(answers, "image", "inspect", "--format", template, "x")
    assert not printed.code, printed.stderr
    return printed.stdout[:-1]


@pytest.fixture(scope="module")
def docker_renders() -> dict[str, str]:
    """What the real client makes of every template of `ALIKE`; all of them in one run, for speed."""
    whole = "@@".join(ALIKE)
    return dict(zip(ALIKE, _docker(whole, DOCUMENT).split("@@"), strict=True))


@pytest.mark.parametrize("template", ALIKE)
def test_renders_as_docker_does(template: str, docker_renders: dict[str, str]) -> None:
    """The real client prints the same for the same document."""
    assert _ours(template) == docker_renders[template]


@pytest.mark.parametrize("template", REFUSED)
def test_refuses_as_docker_does(template: str) -> None:
    """What the real client refuses is an error here too, and never another one than `TemplateError`."""
    assert docker({"/images/x/json": DOCUMENT}, "image", "inspect", "--format", template, "x").code != 0
    with pytest.raises(TemplateError):
        _ours(template)


@settings(max_examples=8)
@given(st.lists(st.text(st.characters(max_codepoint=0x24F)), min_size=40, max_size=40))
def test_text_functions_as_docker_has_them(texts: list[str]) -> None:
    """Quoting, counting, splitting and changing the case of any text gives what the real client gives."""
    document = DOCUMENT | {"RepoTags": texts}
    facts = (
        "(len .) (printf `%q` .) (upper .) (lower .) (title .) (html .) (js .) (urlquery .) (split . ` `) "
        "(printf `%8s|%-8s|%.2s` . . .)"
    )
    template = (
        "{{range .RepoTags}}"
        + "".join(f"{{{{json ({fact})}}}}{{{{`\n`}}}}" for fact in facts.strip("()").split(") ("))
        + "{{end}}"
    )
    ours = compile_template(template).render(document)
    read = [
        [json.loads(line) for line in text.split("\n") if line]
        for text in (ours, _docker(template, document))
    ]
    assert len(read[0]) == 10 * len(texts)
    assert read[0] == read[1]


@given(st.lists(st.sampled_from([*'{}-|().$ "`ax:=,01', "{{", "}}", "if ", "end", "range "])).map("".join))
def test_nonsense_is_refused_in_words(template: str) -> None:
    """Any text is a template or a `TemplateError`, never another failure."""
    with suppress(TemplateError):
        assert isinstance(_ours(template), str)


def test_typed_tabs_and_newlines() -> None:
    r"""`\t` and `\n` typed on a command line are a tab and a newline, in plain text and in strings."""
    assert compile_template(r'a\tb\n{{"c\td"}}').render({}) == "a\tb\nc\td"


def test_unknown_field_lists_what_there_is() -> None:
    """A field that a row lacks is an error that names those it has."""
    with pytest.raises(TemplateError, match=r"no field \.Nme; there are ID, Name"):
        compile_template("{{.Nme}}").render(Fields(("Name", "ID"), str))


def test_unknown_function_lists_what_there_is() -> None:
    """A function that does not exist is refused before anything is rendered, with those that do."""
    with pytest.raises(TemplateError, match=r"'jsn' not defined; there are .*json.*upper"):
        compile_template("{{jsn .}}")


def test_only_fields_in_use_are_found() -> None:
    """A row computes the fields that its template names, and no others."""
    asked: list[str] = []

    def find(name: str) -> str:
        asked.append(name)
        return name

    assert compile_template("{{.A}}").render(Fields(("A", "B"), find)) == "A"
    assert asked == ["A"]
