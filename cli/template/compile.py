r"""The part of Go's text/template that Docker's users write behind `--format`.

Actions: fields, `if`, `with`, `range`, `break`, `continue`, `define`, `template`, `block`, variables,
pipelines, comments, `{{- -}}`, and Docker's functions (`functions`). A template is compiled once
and rendered for each row.

Differences from Go: no types are known, so a key that a map lacks gives `<no value>` (only of `Fields`
is it an error); `truncate` and `slice` count characters, not bytes, so that none is cut in two.

Source: Go `text/template`; docker/cli `templates/templates.go`, `cli/command/formatter/formatter.go`.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from .expression import Expression, Scope, Token, compile_expression, tokenize, unquote
from .fields import TemplateError
from .functions import FUNCTIONS, HEADER_FUNCTIONS, truth
from .printf import go_text

__all__ = ["Template", "TemplateError", "compile_template"]

_ACTION = re.compile(
    r"""\{\{ (?P<trim_before>-(?=\s))?
    (?P<action> \s*/\*.*?\*/\s* | (?: "(?:\\.|[^"\\])*" | `[^`]*` | (?!\s-\}\}|\}\})[^"`] )* )
    (?P<trim_after>\s-)? \}\}""",
    re.VERBOSE | re.DOTALL,
)
_SPACE = " \t\r\n"
_DEEPEST = 50  # levels of templates in templates; Go's limit is 100,000

Node: TypeAlias = Callable[[Any, Scope], Iterator[str]]
"""A part of a template: yields its text for a value of the dot, in a scope."""


class Template:
    """A compiled template."""

    def __init__(self, body: list[Node], named: Mapping[str, list[Node]]) -> None:
        """Make a template of `body`, in which the templates `named` can be used."""
        self._body = body
        self._named = named

    def render(self, value: Any) -> str:
        """The text for one value; raises `TemplateError`."""
        return self._render(value, FUNCTIONS)

    def render_header(self, headers: Any) -> str:
        """The text for a table's header line: functions leave its words as they are."""
        return self._render(headers, HEADER_FUNCTIONS)

    def _render(self, value: Any, functions: Mapping[str, Callable[..., Any]]) -> str:
        scope = Scope(functions, ChainMap({"$": value}), self._named)
        return "".join(_render_all(self._body, value, scope))


def compile_template(text: str) -> Template:
    r"""Compile a template; `\t` and `\n` typed on a command line mean what they say, as in Docker.

    Raises:
        TemplateError: it does not parse.
    """
    parser = _Parser(_pieces(text))
    body, end = parser.body()
    if end:
        raise TemplateError(f"unexpected {{{{{end[0].text}}}}}")
    return Template(body, parser.named)


def _pieces(text: str) -> Iterator[str | list[Token]]:
    """Plain texts and the tokens of each action, in turn."""
    at, trim = 0, False
    for match in _ACTION.finditer(text):
        plain = text[at : match.start()]
        plain = plain.lstrip(_SPACE) if trim else plain
        yield _plain(plain.rstrip(_SPACE) if match["trim_before"] else plain)
        at, trim = match.end(), bool(match["trim_after"])
        action = match["action"].strip()
        if action.startswith("/*"):
            continue
        tokens = tokenize(action)
        if not tokens:
            raise TemplateError("missing value for command: {{}} is empty")
        yield tokens
    rest = text[at:]
    yield _plain(rest.lstrip(_SPACE) if trim else rest)


def _plain(text: str) -> str:
    if "{{" in text:
        raise TemplateError(f"unclosed action: {text[text.index('{{') :][:20]}")
    return text.replace("\\t", "\t").replace("\\n", "\n")


class _Parser:
    """Turns pieces into nodes, a block at a time."""

    def __init__(self, pieces: Iterator[str | list[Token]]) -> None:
        self._pieces = pieces
        self._blocks: list[str] = []
        self.named: dict[str, list[Node]] = {}

    def body(self) -> tuple[list[Node], list[Token]]:
        """The nodes up to an `else`, an `end` or the end of the text, and that action's tokens."""
        nodes: list[Node] = []
        for piece in self._pieces:
            if isinstance(piece, str):
                nodes.append(_text(piece))
                continue
            word = piece[0].text if piece[0].kind == "word" else ""
            if word in ("else", "end"):
                return nodes, piece
            nodes.append(self._node(word, piece))
        return nodes, []

    def _node(self, word: str, tokens: list[Token]) -> Node:
        """Compile an action by its first word; one that begins with no known word is a pipeline."""
        if word in _BLOCKS:
            self._blocks.append(word)
            try:
                return self._block(tokens)
            finally:
                self._blocks.pop()
        if word in _JUMPS:
            if "range" not in self._blocks or len(tokens) > 1:
                raise TemplateError(f"{{{{{word}}}}} stands alone, and inside {{{{range}}}}")
            return _jump(_JUMPS[word])
        if word == "template":
            return _template(*_named(tokens))
        if word in ("define", "block"):
            return self._definition(word, tokens)
        return _action(tokens)

    def _definition(self, word: str, tokens: list[Token]) -> Node:
        """Compile a `define` or `block`; a block is also used where it stands."""
        name, data = _named(tokens)
        if word == "define" and (self._blocks or len(tokens) > 2):
            raise TemplateError("unexpected {{define}}")
        if word == "block" and len(tokens) == 2:
            raise TemplateError("missing value for block clause")
        outside, self._blocks = self._blocks, ["block"]
        body, stop = self.body()
        self._blocks = outside
        if len(stop) != 1 or stop[0].text != "end":
            raise TemplateError(f"{{{{{word}}}}} lacks its {{{{end}}}}")
        if name in self.named:
            raise TemplateError(f"multiple definition of template {name!r}")
        self.named[name] = body
        return _template(name, data) if word == "block" else _text("")

    def _block(self, tokens: list[Token]) -> Node:
        kind = tokens[0].text
        variables, head = _assignment(tokens[1:])[0::2]
        body, stop = self.body()
        otherwise: list[Node] = []
        if stop and stop[0].text == "else" and len(stop) > 1:
            if stop[1].text not in _BLOCKS:
                raise TemplateError(f"unexpected {stop[1].text!r} behind else")
            otherwise = [self._block(stop[1:])]  # it takes the {{end}} of both
        else:
            if stop and stop[0].text == "else":
                otherwise, stop = self.body()
            if not stop or len(stop) > 1 or stop[0].text != "end":
                raise TemplateError(f"{{{{{kind}}}}} lacks its {{{{end}}}}")
        return _BLOCKS[kind](variables, head, body, otherwise)


def _named(tokens: list[Token]) -> tuple[str, Expression | None]:
    """The name behind `template`, `define` or `block`, and the pipeline behind that."""
    if len(tokens) < 2 or tokens[1].kind != "string":
        raise TemplateError(f"{{{{{tokens[0].text}}}}} needs a name in quotes")
    return unquote(tokens[1].text), compile_expression(tokens[2:]) if tokens[2:] else None


def _assignment(tokens: list[Token]) -> tuple[list[str], bool, Expression]:
    """The variables of `$a, $b := pipeline`, whether they are new, and the pipeline."""
    for at, token in enumerate(tokens[:4]):
        if token.kind == "sign" and token.text in (":=", "="):
            names, commas = tokens[0:at:2], tokens[1:at:2]
            if any(name.kind != "variable" for name in names) or any(sign.text != "," for sign in commas):
                raise TemplateError(f"unexpected {token.text!r}")
            return [name.text for name in names], token.text == ":=", compile_expression(tokens[at + 1 :])
    return [], True, compile_expression(tokens)


# -- nodes ---------------------------------------------------------------------------------------


def _render_all(nodes: list[Node], dot: Any, scope: Scope) -> Iterator[str]:
    for node in nodes:
        yield from node(dot, scope)


def _text(text: str) -> Node:
    return lambda _dot, _scope: iter((text,))


def _action(tokens: list[Token]) -> Node:
    """`{{pipeline}}`; one that sets a variable prints nothing."""
    variables, new, pipeline = _assignment(tokens)

    def render(dot: Any, scope: Scope) -> Iterator[str]:
        value = pipeline(dot, scope)
        if not variables:
            yield "<no value>" if value is None else go_text(value)
        elif new:
            scope.variables[variables[0]] = value
        else:
            _set(scope, variables[0], value)

    return render


def _set(scope: Scope, name: str, value: Any) -> None:
    """Give a variable another value, in whichever block it was declared."""
    for variables in scope.variables.maps:
        if name in variables:
            variables[name] = value
            return
    raise TemplateError(f"undefined variable {name}")


def _if(variables: list[str], head: Expression, body: list[Node], otherwise: list[Node]) -> Node:
    return _choice(variables, head, body, otherwise, moves_dot=False)


def _with(variables: list[str], head: Expression, body: list[Node], otherwise: list[Node]) -> Node:
    return _choice(variables, head, body, otherwise, moves_dot=True)


def _choice(
    variables: list[str], head: Expression, body: list[Node], otherwise: list[Node], *, moves_dot: bool
) -> Node:
    def render(dot: Any, scope: Scope) -> Iterator[str]:
        value = head(dot, scope)
        inner = scope.inner()
        inner.variables.update(dict.fromkeys(variables, value))
        if truth(value):
            yield from _render_all(body, value if moves_dot else dot, inner)
        else:
            yield from _render_all(otherwise, dot, inner)

    return render


def _range(variables: list[str], head: Expression, body: list[Node], otherwise: list[Node]) -> Node:
    def render(dot: Any, scope: Scope) -> Iterator[str]:
        items = _items(head(dot, scope))
        if not items:
            yield from _render_all(otherwise, dot, scope.inner())
        for key, item in items:
            inner = scope.inner()
            values = (key, item) if len(variables) > 1 else (item,)
            inner.variables.update(zip(variables, values, strict=False))
            try:
                yield from _render_all(body, item, inner)
            except _Continue:
                continue
            except _Break:
                break

    return render


class _Jump(Exception):
    """Ends the body of a `range`."""


class _Break(_Jump):
    """Ends the whole `range`."""


class _Continue(_Jump):
    """Goes on with the next item."""


def _jump(kind: type[_Jump]) -> Node:
    def render(_dot: Any, _scope: Scope) -> Iterator[str]:
        raise kind
        yield ""

    return render


def _template(name: str, data: Expression | None) -> Node:
    def render(dot: Any, scope: Scope) -> Iterator[str]:
        if name not in scope.named:
            raise TemplateError(f"template {name!r} not defined")
        if scope.depth >= _DEEPEST:
            raise TemplateError(f"exceeded maximum template depth ({_DEEPEST})")
        value = data(dot, scope) if data else None
        inner = Scope(scope.functions, ChainMap({"$": value}), scope.named, scope.depth + 1)
        yield from _render_all(scope.named[name], value, inner)

    return render


def _items(value: Any) -> list[tuple[Any, Any]]:
    """The keys and values for `range`: a list by number, a map sorted by key."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return sorted(value.items())
    if isinstance(value, list):
        return list(enumerate(value))
    raise TemplateError(f"range can't iterate over {go_text(value)[:40]}")


_BLOCKS = {"if": _if, "with": _with, "range": _range}
_JUMPS: Mapping[str, type[_Jump]] = {"break": _Break, "continue": _Continue}
