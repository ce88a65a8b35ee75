"""What stands between `{{` and `}}`: tokens, and pipelines compiled to functions.

Source: Go `text/template/parse/lex.go`, `exec.go`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .fields import Fields, TemplateError
from .functions import FUNCTIONS, truth
from .printf import go_text

if TYPE_CHECKING:
    from collections import ChainMap
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Expression", "Scope", "Token", "compile_expression", "tokenize", "unquote"]

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string> "(?:\\.|[^"\\\n])*" | `[^`]*` )
  | (?P<number> [-+]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?)\b )
  | (?P<variable> \$\w*(?:\.\w+)* )
  | (?P<field> (?:\.[^\W\d]\w*)+ | \.(?![\w.]) )
  | (?P<word> \w+ )
  | (?P<close> \)(?:\.\w+)* )
  | (?P<sign> :=|[(,|=] )
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[0-7]{3}|.)", re.DOTALL)
_ESCAPES = dict(zip("abfnrtv\\'\"", "\a\b\f\n\r\t\v\\'\"", strict=True))
_CONSTANTS = {"true": True, "false": False, "nil": None}


@dataclass(frozen=True, slots=True)
class Scope:
    """What the names in a template mean: functions, variables of the block and of outer blocks, templates.

    `depth` counts the templates around it.
    """

    functions: Mapping[str, Callable[..., Any]]
    variables: ChainMap[str, Any]
    named: Mapping[str, Any]
    depth: int = 0

    def inner(self) -> Scope:
        """The scope of an inner block."""
        return Scope(self.functions, self.variables.new_child(), self.named, self.depth)


Expression: TypeAlias = "Callable[[Any, Scope], Any]"
"""An expression: gives its value for a value of the dot, in a scope; raises `TemplateError`."""


class Token(NamedTuple):
    """A word of an action; `kind` is the name of a group of the pattern."""

    kind: str
    text: str


def tokenize(action: str) -> list[Token]:
    """The tokens of an action; raises `TemplateError`."""
    found: list[Token] = []
    action = action.rstrip()
    at = 0
    while at < len(action):
        match = _TOKEN.match(action, at)
        if match is None or match.lastgroup is None:
            raise TemplateError(f"unexpected {action[at:].strip()[:20]!r} in {{{{{action}}}}}")
        found.append(Token(match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


def compile_expression(tokens: Sequence[Token]) -> Expression:
    """Compile a whole pipeline; raises `TemplateError`."""
    rest = list(reversed(tokens))
    pipeline = _pipeline(rest)
    if rest:
        raise TemplateError(f"unexpected {rest[-1].text!r}")
    return pipeline


def _pipeline(rest: list[Token]) -> Expression:
    """Compile commands separated by `|`, up to a closing parenthesis; takes tokens from the end of `rest`."""
    value = _command(rest, None)
    while rest and rest[-1] == Token("sign", "|"):
        rest.pop()
        value = _command(rest, value)
    return value


def _command(rest: list[Token], piped: Expression | None) -> Expression:
    """Compile one value, or a function with its arguments; the piped value is the last argument."""
    first = rest[-1] if rest else None
    name = ""
    if rest and rest[-1].kind == "word" and rest[-1].text not in _CONSTANTS:
        name = rest.pop().text
    if rest and rest[-1] == Token("word", "nil") and not name:
        raise TemplateError("nil is not a command")
    operands: list[Expression] = []
    while rest and rest[-1].kind != "close" and rest[-1] != Token("sign", "|"):
        operands.append(_operand(rest))
    if name:
        return _call(name, operands if piped is None else [*operands, piped])
    if not operands:
        raise TemplateError("missing value for command")
    if len(operands) > 1 or piped:
        if first is None or first.kind != "field":
            raise TemplateError("only a function can be given arguments")
        return _method(
            first.text.removeprefix("."), operands[1:] if piped is None else [*operands[1:], piped]
        )
    return operands[0]


def _operand(rest: list[Token]) -> Expression:
    token = rest.pop()
    if token.kind == "string":
        return _constant(unquote(token.text))
    if token.kind == "number":
        return _constant(float(token.text) if "." in token.text else int(token.text, 0))
    if token.kind == "field":
        return _field(lambda dot, _scope: dot, token.text)
    if token.kind == "variable":
        name, dot, path = token.text.partition(".")
        return _field(_variable(name), dot + path)
    if token.kind == "word":
        return _constant(_CONSTANTS[token.text]) if token.text in _CONSTANTS else _call(token.text, [])
    if token == Token("sign", "("):
        inner = _pipeline(rest)
        if not rest:
            raise TemplateError("unclosed left parenthesis")
        return _field(inner, rest.pop().text[1:])
    raise TemplateError(f"unexpected {token.text!r}")


def _constant(value: Any) -> Expression:
    return lambda _dot, _scope: value


def _variable(name: str) -> Expression:
    def evaluate(_dot: Any, scope: Scope) -> Any:
        if name not in scope.variables:
            raise TemplateError(f"undefined variable {name}")
        return scope.variables[name]

    return evaluate


def _field(start: Expression, path: str) -> Expression:
    names = [name for name in path.split(".") if name]
    if not names:
        return start

    def evaluate(dot: Any, scope: Scope) -> Any:
        value = start(dot, scope)
        for name in names:
            if value is None:
                return None
            if not hasattr(value, "keys"):
                raise TemplateError(f"can't evaluate field .{name} in {go_text(value)[:40]}")
            value = value[name] if isinstance(value, Fields) else value.get(name)
        return value

    return evaluate


def _method(name: str, operands: Sequence[Expression]) -> Expression:
    """Compile a field with an argument: `.Label "name"`."""

    def evaluate(dot: Any, scope: Scope) -> Any:
        if not isinstance(dot, Fields):
            raise TemplateError("only a function can be given arguments")
        return dot.call(name, [operand(dot, scope) for operand in operands])

    return evaluate


def _call(name: str, operands: Sequence[Expression]) -> Expression:
    if name in ("and", "or"):
        return _shortcut(operands, stop=name == "or")
    if name not in FUNCTIONS:
        raise TemplateError(
            f"function {name!r} not defined; there are and, or, {', '.join(sorted(FUNCTIONS))}"
        )

    def evaluate(dot: Any, scope: Scope) -> Any:
        arguments = [operand(dot, scope) for operand in operands]
        try:
            return scope.functions[name](*arguments)
        except TemplateError as error:
            raise TemplateError(f"error calling {name}: {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            given = " ".join(go_text(argument)[:40] for argument in arguments)
            raise TemplateError(f"wrong arguments for {name}: {given}") from error

    return evaluate


def _shortcut(operands: Sequence[Expression], *, stop: bool) -> Expression:
    """Compile `and` or `or`: the first value that decides the result, or the last."""
    if not operands:
        raise TemplateError(f"{'or' if stop else 'and'} needs an argument")

    def evaluate(dot: Any, scope: Scope) -> Any:
        value: Any = None
        for operand in operands:
            value = operand(dot, scope)
            if truth(value) is stop:
                break
        return value

    return evaluate


def unquote(text: str) -> str:
    """The text that a token in quotes stands for; raises `TemplateError`."""

    def unescape(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] in "xu" and len(code) > 1:
            return chr(int(code[1:], 16))
        if len(code) == 3:
            return chr(int(code, 8))
        if code not in _ESCAPES:
            raise TemplateError(f"unknown escape \\{code} in {text}")
        return _ESCAPES[code]

    return text[1:-1] if text.startswith("`") else _ESCAPE.sub(unescape, text[1:-1])
