"""What `layerfs explain NAME` shows: a walk as text, as one JSON document, and as rows of steps."""

from __future__ import annotations

import os
import re
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from ..escape import printable
from ..table import Column, Table
from ..units import ellipsis, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerfs.steps import Step, Walk

__all__ = ["StepRow", "step_table", "walk_document", "walk_lines"]

_INDENT = "   "
_COMMAND, _VALUE, _WRONG = "   $ ", "   = ", "   ! "
_LONG = re.compile(
    r"(?<![0-9A-Za-z])([0-9a-f]{12}|[A-Z2-7]{12}|=[A-Za-z0-9+]{12})"
    r"(?:(?<==.{12})[A-Za-z0-9+]{48,}={0,2}|[0-9a-f]{20,}|[A-Z2-7]{13,})(?![0-9A-Za-z])"
)
"""An ID, the name of a short link, or that of a document in base64."""

_BETWEEN = "  "
_MOST_LINES, _FIRST_LINES = 5, 2

_TOOLS = ("jq", "getfattr", "fuse-overlayfs", "zstd", "bzip2", "xz")
"""What of a script's commands is not on every system."""


class StepRow(NamedTuple):
    """A step, and its number."""

    number: int
    step: Step


def step_table() -> Table[StepRow]:
    """The columns of steps, for formats of rows."""

    def column(key: str, placeholder: str, value: Any) -> Column[StepRow]:
        return Column(key, value, placeholder, placeholder.upper())

    return Table(
        (
            column("n", "N", lambda row: row.number),
            column("from", "From", lambda row: row.step.start),
            column("to", "To", lambda row: row.step.end),
            column("values", "Values", lambda row: list(row.step.values)),
            column("place", "Place", lambda row: row.step.place),
            column("why", "Why", lambda row: row.step.why),
            column("command", "Command", lambda row: _script(row.step.command)),
            column("needs_root", "NeedsRoot", lambda row: row.step.needs_root),
            column("ok", "OK", lambda row: row.step.ok),
            column("expected", "Expected", lambda row: _list(row.step.expected)),
            column("problem", "Problem", lambda row: row.step.problem),
            column("layer", "Layer", lambda row: row.step.layer),
        ),
        ("N", "From", "To", "Values", "OK"),
    )


def walk_document(walk: Walk, name: str, store: str) -> dict[str, Any]:
    """The walk as one JSON object; `store` is the word for its kind of store."""
    columns = step_table().columns
    rows = [StepRow(number, step) for number, step in enumerate(walk.steps, 1)]
    mount = walk.mount
    return {
        "name": name,
        "kind": walk.kind,
        "store": store,
        "directory": os.path.abspath(walk.directory),
        "reference": walk.reference,
        "image": walk.image,
        "layers": walk.layers,
        "steps": [{column.key: column.value(row) for column in columns} for row in rows],
        "mount": mount and {"command": _script(mount.command), "lowerdir": list(mount.directories)},
        "note": walk.note,
    }


def _script(lines: Sequence[str]) -> str | None:
    return "\n".join(lines) or None


def _list(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(values)


# -- text ------------------------------------------------------------------------------------------


def walk_lines(walk: Walk, name: str, width: int, *, full: bool) -> Iterator[str]:
    """The walk as text of at most `width` columns, but for what cannot be broken; `full` cuts no ID."""
    yield from _wrapped(_heading(walk, name), width, "")
    for number, step in enumerate(walk.steps, 1):
        yield from _step_lines(number, step, width, full=full)
    for text in _endings(walk):
        yield ""
        yield from _wrapped(text, width, "")


def _heading(walk: Walk, name: str) -> str:
    what = {"image": "an image", "container": "a container", "layer": "a layer"}[walk.kind]
    called = f"{walk.reference}, {what}" if walk.reference and walk.reference != name else what
    depth = "" if walk.layers is None else f" of {plural(walk.layers, 'layer')}"
    if walk.kind == "layer":
        depth = "" if walk.layers in (None, 1) else f" on {plural((walk.layers or 1) - 1, 'other')}"
    used = {
        tool for tool in _TOOLS if any(f"{tool} " in line for step in walk.steps for line in step.command)
    }
    tools = f" It needs {' and '.join(sorted(used))}." if used else ""
    return (
        f"{printable(name)} is {printable(called)}{depth}. The lines with $ are one script for sh, to "
        f"be pasted in {printable(os.path.abspath(walk.directory))}; those with = are what it prints.{tools}"
    )


def _step_lines(number: int, step: Step, width: int, *, full: bool) -> Iterator[str]:
    layer = "" if step.layer is None else f"   (layer {step.layer})"
    yield ""
    yield f"{number:2} {step.start} -> {step.end}{layer}"
    yield from _wrapped(step.why, width, _INDENT)
    for line in step.command:
        yield _COMMAND + line
    yield from _value_lines(step.values, width, _VALUE, full=full)
    if step.ok is None and step.command:
        yield from _wrapped("(not computed here: it would take a while)", width, _INDENT)
    if step.problem:
        where = f"{step.place}: " if step.place and not step.command else ""
        yield from _wrapped(_cut(printable(where + step.problem), full=full), width, _WRONG)
    if step.expected and not step.ok:
        yield from _value_lines(step.expected, width, _WRONG + "expected ", full=full)


def _value_lines(values: Sequence[str], width: int, mark: str, *, full: bool) -> Iterator[str]:
    """Values one a line; where they are cut as many as fit, and of many lines the first and the last."""
    shown = [_cut(printable(value), full=full) for value in values]
    room = width - len(mark)
    lines = [[value] for value in shown] if full else list(_packed(shown, room))
    if not full and len(lines) > _MOST_LINES:
        left_out = sum(map(len, lines[_FIRST_LINES:-1]))
        lines[_FIRST_LINES:-1] = [[f"… {left_out} more; --no-trunc shows all …"]]
    for line in lines:
        yield mark + (_BETWEEN.join(line) if full else ellipsis(_BETWEEN.join(line), room))


def _packed(values: Sequence[str], room: int) -> Iterator[list[str]]:
    """Values in lines, as many in each as there is room for."""
    line: list[str] = []
    for value in values:
        if line and len(_BETWEEN.join([*line, value])) > room:
            yield line
            line = []
        line.append(value)
    if line:
        yield line


def _cut(text: str, *, full: bool) -> str:
    return text if full else _LONG.sub(r"\1…", text)


def _endings(walk: Walk) -> Iterator[str]:
    if walk.shortened:
        others = "other layer has" if walk.shortened == 1 else f"other {walk.shortened} layers have"
        first = next((step.start for step in walk.steps if step.layer is not None), "LAYER")
        yield f"The {others} the same steps from {first} on: -v shows them."
    if walk.note:
        yield walk.note
    if walk.failure is None and walk.layers:
        yield "With a PATH behind the NAME, explain tells why a file is there, or is not."


def _wrapped(text: str, width: int, mark: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=mark, subsequent_indent=" " * len(mark) if mark == _INDENT else mark,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
