"""The part of Go's text/template that Docker's users write behind `--format`.

Actions: fields, `json`, `range`, `if`, `with`, variables, pipes, and Docker's functions. A template is
parsed once and rendered for each row: a mapping of placeholders, or a whole JSON document (`inspect`).

Source: Go `text/template`; docker/cli `templates/templates.go`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from .template_functions import FUNCTIONS, MISSING, TemplateError, go_text, truth

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Template", "TemplateError", "compile_template"]

_ACTION = re.compile(
    r"\{\{(-\s+)?((?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|/\*.*?\*/|(?!\}\}|\s-\}\}).)*)(\s+-)?\}\}", re.DOTALL
)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)"""
    r"""|(?P<path>\$\w*(?:\.\w+)*|(?:\.\w+)+|\.)|(?P<word>\w+)|(?P<sign>:=|[(),|=]))"""
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "'": "'"}

Token: TypeAlias = tuple[str, str]


class Template:
    """A parsed template."""

    def __init__(self, body: list[Text | Print | Block]) -> None:
        """Render `body`."""
        self._body = body

    def render(self, value: Any) -> str:
        """The text for one value; raises `TemplateError`."""
        return "".join(_render(self._body, value, {"$": value}))


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Print:
    """`{{pipeline}}`, perhaps assigned to variables and then silent."""

    pipeline: list[list[Any]]
    variables: tuple[str, ...] = ()


@dataclass(slots=True)
class Block:
    """`{{if}}`, `{{with}}` or `{{range}}`."""

    kind: str
    head: Print
    body: list[Text | Print | Block] = field(default_factory=list)
    otherwise: list[Text | Print | Block] = field(default_factory=list)


def compile_template(text: str) -> Template:
    r"""Parse a template; `\t` and `\n` typed on a command line mean what they say in Docker.

    Raises:
        TemplateError: it does not parse.
    """
    root: list[Text | Print | Block] = []
    # (what to append to, the block it belongs to, whether `end` closes the enclosing one as well)
    stack: list[tuple[list[Text | Print | Block], Block | None, bool]] = [(root, None, False)]
    for piece in _pieces(text.replace("\\t", "\t").replace("\\n", "\n")):
        if isinstance(piece, str):
            stack[-1][0].append(Text(piece))
        elif piece:
            _take(piece, stack)
    if len(stack) > 1:
        raise TemplateError("unexpected end of template: {{end}} is missing")
    return Template(root)


def _pieces(text: str) -> Iterator[str | list[Token]]:
    """Plain texts and the tokens of each action, in turn; `-` trims the text beside it."""
    at, trim = 0, False
    for match in _ACTION.finditer(text):
        plain = text[at : match.start()]
        plain = plain.lstrip() if trim else plain
        yield plain.rstrip() if match[1] else plain
        at, trim = match.end(), bool(match[3])
        body = match[2].strip()
        if not (body.startswith("/*") and body.endswith("*/")):
            yield _tokens(body)
    rest = text[at:]
    if "{{" in rest:
        raise TemplateError("unclosed action: }} is missing")
    yield rest.lstrip() if trim else rest


def _tokens(body: str) -> list[Token]:
    found: list[Token] = []
    at = 0
    while at < len(body.rstrip()):
        match = _TOKEN.match(body, at)
        if not match or match.end() == at:
            raise TemplateError(f"unexpected {body[at:].strip()[:20]!r} in {{{{{body}}}}}")
        assert match.lastgroup is not None  # noqa: S101 - every alternative has a name
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    if not found:
        raise TemplateError("missing value for command: {{}} is empty")
    return found


def _take(tokens: list[Token], stack: list[tuple[list[Text | Print | Block], Block | None, bool]]) -> None:
    """Add one action to the innermost open block."""
    word = tokens[0][1] if tokens[0][0] == "word" else ""
    body, block, _ = stack[-1]
    if word in ("if", "with", "range"):
        opened = Block(word, _print(tokens[1:]))
        body.append(opened)
        stack.append((opened.body, opened, False))
    elif word == "else":
        if block is None:
            raise TemplateError("unexpected {{else}}")
        stack[-1] = (block.otherwise, block, stack[-1][2])
        if len(tokens) > 1:  # {{else if …}}: a block in the other branch that shares our {{end}}
            nested = Block(tokens[1][1], _print(tokens[2:]))
            block.otherwise.append(nested)
            stack.append((nested.body, nested, True))
    elif word == "end":
        if block is None:
            raise TemplateError("unexpected {{end}}")
        while stack.pop()[2]:
            continue
    else:
        body.append(_print(tokens))


def _print(tokens: list[Token]) -> Print:
    """Parse `[$a[, $b] :=] command | command …`."""
    signs = [index for index, token in enumerate(tokens) if token in (("sign", ":="), ("sign", "="))]
    variables: tuple[str, ...] = ()
    if signs:
        variables = tuple(text for kind, text in tokens[: signs[0]] if kind == "path")
        tokens = tokens[signs[0] + 1 :]
    pipeline, rest = _pipeline(tokens)
    if rest:
        raise TemplateError(f"unexpected {rest[0][1]!r}")
    return Print(pipeline, variables)


def _pipeline(tokens: list[Token]) -> tuple[list[list[Any]], list[Token]]:
    """Commands separated by `|`, and the tokens behind them."""
    commands: list[list[Any]] = [[]]
    rest = list(tokens)
    while rest and rest[0] != ("sign", ")"):
        kind, text = rest.pop(0)
        if (kind, text) == ("sign", "|"):
            commands.append([])
        elif (kind, text) == ("sign", "("):
            inner, rest = _pipeline(rest)
            if not rest:
                raise TemplateError("unclosed left paren")
            rest.pop(0)
            path = ""
            if rest and rest[0][0] == "path" and rest[0][1].startswith(".") and rest[0][1] != ".":
                path = rest.pop(0)[1]
            commands[-1].append(("group", inner, path))
        elif kind == "sign":
            raise TemplateError(f"unexpected {text!r}")
        else:
            commands[-1].append((kind, _unquote(text) if kind == "string" else text, ""))
    if not all(commands):
        raise TemplateError("missing value for command")
    return commands, rest


def _unquote(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text[1:-1], flags=re.DOTALL)


# -- evaluation ----------------------------------------------------------------------------------


def _render(body: list[Text | Print | Block], dot: Any, names: dict[str, Any]) -> Iterator[str]:
    for part in body:
        if isinstance(part, Text):
            yield part.text
        elif isinstance(part, Print):
            value = _evaluate(part.pipeline, dot, names)
            if part.variables:
                names[part.variables[0]] = value
            else:
                yield go_text(value, top=True)
        elif part.kind == "range":
            yield from _render_range(part, dot, names)
        else:
            value = _evaluate(part.head.pipeline, dot, names)
            inner = {**names, **({part.head.variables[0]: value} if part.head.variables else {})}
            if truth(value):
                yield from _render(part.body, value if part.kind == "with" else dot, inner)
            else:
                yield from _render(part.otherwise, dot, inner)


def _render_range(block: Block, dot: Any, names: dict[str, Any]) -> Iterator[str]:
    value = _evaluate(block.head.pipeline, dot, names)
    if isinstance(value, dict):
        items: list[tuple[Any, Any]] = sorted(value.items())
    elif isinstance(value, (list, tuple)):
        items = list(enumerate(value))
    elif value is None or value is MISSING:
        items = []
    else:
        raise TemplateError(f"range can't iterate over {go_text(value)}")
    if not items:
        yield from _render(block.otherwise, dot, dict(names))
    for key, item in items:
        inner = dict(names)
        inner.update(
            zip(block.head.variables, (key, item) if len(block.head.variables) > 1 else (item,), strict=False)
        )
        yield from _render(block.body, item, inner)


def _evaluate(pipeline: list[list[Any]], dot: Any, names: dict[str, Any]) -> Any:
    value: Any = None
    for position, command in enumerate(pipeline):
        piped = (value,) if position else ()
        kind, text, _ = command[0]
        if kind == "word" and text in FUNCTIONS:
            arguments = [_operand(operand, dot, names) for operand in command[1:]]
            try:
                value = FUNCTIONS[text](*arguments, *piped)
            except TemplateError:
                raise
            except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
                raise TemplateError(f"error calling {text}: {error}") from error
        elif len(command) > 1 or piped:
            raise TemplateError(f"{text!r} is not a function")
        else:
            value = _operand(command[0], dot, names)
    return value


def _operand(operand: tuple[str, Any, str], dot: Any, names: dict[str, Any]) -> Any:
    kind, text, path = operand
    if kind == "group":
        return _follow(_evaluate(text, dot, names), path)
    if kind == "string":
        return text
    if kind == "number":
        return float(text) if "." in text else int(text)
    if kind == "path":
        if not text.startswith("$"):
            return _follow(dot, text)
        name, _, rest = text.partition(".")
        if name not in names:
            raise TemplateError(f"undefined variable {name!r}")
        return _follow(names[name], "." + rest if rest else "")
    if text in ("true", "false"):
        return text == "true"
    if text == "nil":
        return None
    if text in FUNCTIONS:
        return FUNCTIONS[text]()
    raise TemplateError(f"function {text!r} not defined")


def _follow(value: Any, path: str) -> Any:
    """The field that `.A.B` names below `value`."""
    for name in filter(None, path.split(".")):
        if value is None or value is MISSING:
            return MISSING
        if not isinstance(value, dict):
            raise TemplateError(f"can't evaluate field {name} in {go_text(value)[:40]}")
        if name not in value and getattr(value, "fixed", False):
            raise TemplateError(f"there is no field {name}; there are {', '.join(sorted(value))}")
        value = value.get(name, MISSING)
    return value
