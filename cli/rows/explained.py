"""What `layerfs explain NAME PATH` prints: the verdict, the rows of each component, and the history."""

from __future__ import annotations

import os
import shutil
import stat
import textwrap
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

from ..colors import HEADING, colored, paint
from ..units import ellipsis, human_size, plural
from .entries import escaped
from .verdictwords import a_thing, layer_words, listed, own_word, steps_text, verdict_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerfs.analysis.explain.names import Named, Names
    from layerfs.analysis.explain.path import Explanation
    from layerfs.analysis.explain.rows import Component, Held, Row
    from layerfs.subject import Subject

    from .proofs import Proof, Prover

__all__ = ["RULES", "explanation_lines", "holds_text"]

_Cells: TypeAlias = tuple[str, str, str, str, str]
"""Layer, mark, what it holds, rule, effect."""

RULES: dict[int | str, str] = {
    1: "Top down. A name is looked for in the uppermost layer first, then in the next, as long as the "
    "directory above it is kept there.",
    2: "First wins. The first file, link, device or whiteout ends the search: a file is shown, a whiteout "
    'means "not here".',
    3: "Directories pile up. Directories of one name are shown as one, down to an opaque one (it still "
    "counts), a whiteout or a file.",
    4: "The top one speaks. Mode, owner and times come from the uppermost; only lists of names are merged, "
    "never contents.",
    5: "Cut is cut. Below a directory only those layers are asked that the directory was made of.",
    6: "The root is never cut. No layer can hide everything below it at once.",
    "redirect": "This directory was renamed: go on in lower layers under its old name.",
    "metacopy": "Only the attributes were copied: the bytes are in a lower layer.",
}
"""The rules of the union, by what the column RULE says; their numbers never change."""

DEEP = 20
"""Layers from which on those that hold nothing are counted, not listed."""

_COMPONENT = 12
_HOLDS = 28
_NARROW, _WIDE = 60, 120


def width(columns: int | None = None) -> int:
    """The columns of a line: those that are given, or of the terminal, in bounds; 80 where there is none."""
    return min(max(columns or shutil.get_terminal_size((80, 24)).columns, _NARROW), _WIDE)


class _Printer:
    """Prints one explanation."""

    def __init__(
        self, subject: Subject, found: Explanation, *, every: bool, full: bool, columns: int | None
    ) -> None:
        self._subject = subject
        self._found = found
        self._every = every
        self._full = full
        self._width = width(columns)
        self._bold = colored()

    def table(self) -> Iterator[str]:
        """The rows of each component."""
        cells = [(part, list(self._cells(part))) for part in self._found.components]
        every = [row for _, rows in cells for row in rows]
        number = max([5, *(len(row[0]) for row in every)])
        holds = min(max([5, *(len(row[2]) for row in every)]), _HOLDS)
        rules = max([4, *(len(row[3]) for row in every)])
        indent = _COMPONENT + number + holds + rules + 8
        head = f"{'COMPONENT':{_COMPONENT}}{'LAYER':{number}}    {'HOLDS':{holds}}  {'RULE':{rules}}  SO"
        yield paint(head, HEADING if self._bold else "")
        for part, rows in cells:
            name = escaped(part.path)
            if len(name) >= _COMPONENT:
                yield from textwrap.wrap(name, self._width, break_on_hyphens=False) or [name]
                name = ""
            for layer, mark, what, rule, so in rows:
                cell = ellipsis(what, holds)
                begin = f"{name:{_COMPONENT}}{layer:{number}}  {mark:1} {cell:{holds}}  {rule:{rules}}  "
                lines = textwrap.wrap(so, max(self._width - indent, 20)) or [""]
                yield paint((begin + lines[0]).rstrip(), HEADING if self._bold and mark else "")
                yield from (" " * indent + line for line in lines[1:])
                name = ""

    def _cells(self, part: Component) -> Iterator[_Cells]:
        """The cells of a component: layer, mark, what it holds, rule, effect."""
        last = part is self._found.last
        nothing = 0
        deep = len(self._subject.layers) > DEEP and not self._every
        for is_empty, run in groupby(part.rows, key=lambda row: row.held.is_nothing and not self._every):
            rows = list(run)
            if not is_empty:
                yield from self._runs([self._row(part, row, last=last) for row in rows])
            elif deep and not any(row.winner for row in rows):
                nothing += len(rows)
            else:
                yield self._empty(part, rows)
        if nothing:
            yield "others", "", "nothing", "1", f"{nothing} more layers were asked"

    def _runs(self, rows: list[_Cells]) -> Iterator[_Cells]:
        """The rows, more than two equal ones of neighbouring layers as one, unless each was asked for."""
        for _, run in groupby(rows, key=lambda row: row[1:]):
            equal = list(run)
            numbers = [int(row[0]) for row in equal]
            if len(equal) > 2 and numbers[0] - numbers[-1] == len(equal) - 1 and not self._every:
                yield (f"{numbers[0]}-{numbers[-1]}", *equal[0][1:])
            else:
                yield from equal

    def _empty(self, part: Component, rows: Sequence[Row]) -> _Cells:
        """Neighbouring layers that hold nothing."""
        numbers = f"{rows[0].layer}-{rows[-1].layer}" if len(rows) > 1 else str(rows[0].layer)
        winner = rows[-1].winner
        so = "look further down"
        rule = "1"
        if part.rows[-1] is rows[-1] or winner:
            so = "no more layers to ask"
        if winner and any(row.layer < rows[-1].layer for row in part.rows):
            so = "asked alone, no such name" if len(rows) == 1 else "asked alone, have no such name"
            rule = "5"
        return numbers, "*" if winner else "", "nothing", rule, so

    def _row(self, part: Component, row: Row, *, last: bool) -> _Cells:
        if row.held.is_nothing:
            return self._empty(part, [row])
        mark = "*" if row.winner and (last or not row.held.is_directory) else ""
        rules = ",".join(str(rule) if isinstance(rule, int) else rule[:1] for rule in row.rules)
        text = holds_text(row.held, row.part.path, in_tar=self._in_tar(row))
        return str(row.layer), mark, text, rules or "-", self._so(part, row)

    def _so(self, part: Component, row: Row) -> str:
        """What the search made of what a layer holds; of a metacopy where its bytes are."""
        from layerfs.analysis.explain.rows import Effect

        data = self._found.data
        if row.held.metacopy and row.effect is Effect.SHOWN and part is self._found.last:
            if data is None:
                return "refused: its bytes cannot be found"
            return f"shown; its bytes are in layer {len(self._subject.layers) - data.layer}"
        if self._found.likely and row.effect is Effect.UNREADABLE:
            return "cannot be read, and is passed over"
        if data == row.part and row.effect is not Effect.SHOWN:
            return "its bytes are shown"
        return _so(part, row)

    def own(self) -> Iterator[str]:
        """Which of the layers are a container's own."""
        numbers = sorted({row.layer for part in self._found.components for row in part.rows}, reverse=True)
        own = [(number, own_word(self._subject, number)) for number in numbers]
        texts = [f"layer {number} is {word}" for number, word in own if word]
        if texts:
            yield from self.wrapped(f"Of these, {', and '.join(texts)}.")

    def archived(self) -> Iterator[str]:
        """Which marks are not on the disk, but told by an archive."""
        from layerfs.analysis.explain.places import is_from_archive

        layers = self._subject.tree.layers
        told = {
            row.layer
            for part in self._found.components
            for row in part.rows
            if not row.held.is_nothing and is_from_archive(layers[row.part.layer])
        }
        if told:
            numbers = layer_words(sorted(told, reverse=True))
            yield from self.wrapped(
                f"Note: modes, owners, times and marks of {numbers} are told by tar-split.json.gz, as this "
                "copy lost them."
            )

    def _in_tar(self, row: Row) -> bool:
        """Whether the marks of an entry are names, as in tars."""
        from layerfs.analysis.explain.places import is_tar, marker

        layer, held = self._subject.tree.layers[row.part.layer], row.held
        if is_tar(layer):
            return True
        return (held.whiteout or held.opaque) and marker(layer, row.part, opaque=held.opaque) is not None

    def history(self) -> Iterator[str]:
        """The history in one paragraph."""
        text = steps_text(self._subject, self._found, full=self._full)
        if text:
            yield from self.wrapped(f"History: {text}")

    def wrapped(self, text: str, indent: str = "") -> list[str]:
        """A sentence in lines."""
        return textwrap.wrap(
            text, self._width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )

    def proof(self, label: str, proof: Proof) -> Iterator[str]:
        """A command and its value: beside it, or below where the line is too short."""
        value = proof.value if self._full or not _is_digest(proof.value) else proof.value[:12] + "…"
        value = "".join(c if c.isprintable() else "?" for c in value)
        line = f"{label:9}{proof.command}"
        if len(line) + 2 + len(value) <= self._width:
            yield line + value.rjust(self._width - len(line))
        else:
            yield line
            yield value.rjust(self._width)

    def rules(self) -> Iterator[str]:
        """The rules that were used."""
        used = {rule for part in self._found.components for row in part.rows for rule in row.rules}
        if not used:
            return
        yield "Rules:"
        for rule, text in RULES.items():
            if rule in used:
                head = f" {rule}  " if isinstance(rule, int) else f" {rule[:1]}  {rule}: "
                yield from textwrap.wrap(
                    text, self._width, initial_indent=head, subsequent_indent="    ", break_on_hyphens=False
                )

    def names(self, names: Names) -> Iterator[str]:
        """What several layers have in a directory, or what it does not show."""
        if not names.notable:
            return
        yield ""
        cells = [(escaped(item.name), self._held_by(item.found), self._shown(item)) for item in names.notable]
        name = min(max(4, *(len(cell[0]) for cell in cells)), 24)
        room = self._width - name - 4 - max(len(cell[2]) for cell in cells)
        by = min(max(9, *(len(cell[1]) for cell in cells)), max(room, 9))
        yield f"{'NAME':{name}}  {'IN LAYERS':{by}}  SHOWN"
        for first, second, third in cells:
            yield f"{ellipsis(first, name):{name}}  {ellipsis(second, by):{by}}  {third}"
        if names.left_out:
            yield f"and {plural(names.left_out, 'more name')} like these (-v shows all)"

    def _held_by(self, part: Component) -> str:
        rows = (row for row in part.rows if not row.held.is_nothing)
        return "; ".join(
            f"{row.layer} {holds_text(row.held, row.part.path, in_tar=self._in_tar(row))}" for row in rows
        )

    def _shown(self, item: Named) -> str:
        if item.shown:
            return f"yes: {layer_words(item.found.made_of)}"
        row = next((row for row in item.found.rows if row.winner and not row.held.is_nothing), None)
        if row:
            return f"no: rule {row.rules[0] if row.rules else 2}, layer {row.layer}"
        by = next((row.by for row in item.found.rows if row.by), None)
        return f"no: rule 5, layer {by}" if by else "no"


def explanation_lines(
    subject: Subject,
    found: Explanation,
    prover: Prover,
    names: Names | None,
    *,
    every: bool,
    full: bool,
    columns: int | None = None,
) -> Iterator[str]:
    """The lines, without line feeds; for `columns` columns, or for those of the terminal."""
    printer = _Printer(subject, found, every=every, full=full, columns=columns)
    verdict = verdict_sentence(subject, found, names)
    yield from (paint(line, HEADING if colored() else "") for line in printer.wrapped(verdict))
    if not subject.layers:
        return
    yield from printer.table()
    if names:
        yield from printer.names(names)
    yield from printer.own()
    yield from printer.archived()
    yield from printer.history()
    if check := prover.check(found):
        yield from printer.proof("Check:", check)
    old = [item for item in reversed(found.past.versions) if item.hidden]
    for version in old if every else old[:1]:
        if proof := prover.old(version):
            yield from printer.proof("The old:", proof)
    if found.kernel_lists:
        name = escaped(found.wanted.rpartition(b"/")[2])
        yield from printer.wrapped(
            "Note: as its directory is not merged, the kernel's listing still shows the name (`ls -la` "
            f"prints `c????????? ? {name}`) and refuses it; layerfs leaves it out."
        )
    yield from printer.rules()


def holds_text(held: Held, path: bytes, *, in_tar: bool) -> str:
    """What a layer holds, in a few words; in an archive's layer marks have their names there."""
    if held.error is not None:
        return "unreadable"
    if held.stat is None:
        return "nothing"
    if held.whiteout:
        return f".wh.{escaped(path.rpartition(b'/')[2])}" if in_tar else "whiteout"
    mode = f"{stat.S_IMODE(held.stat.mode):04o}"
    if held.stat.is_dir:
        words = f"directory {mode}"
        words += (", .wh..wh..opq" if in_tar else ", opaque") if held.opaque else ""
        return words + (", redirect" if held.redirect is not None else "")
    if held.stat.is_symlink:
        return f"link -> {escaped(held.target or b'')}"
    if held.stat.is_file:
        size = held.stat.size
        text = f"file {mode}, {size} B" if size < 10_000 else f"file {mode}, {human_size(size)}"
        return text + (", metacopy" if held.metacopy else "")
    if held.stat.kind in (stat.S_IFCHR, stat.S_IFBLK):
        kind = "char" if held.stat.kind == stat.S_IFCHR else "block"
        return f"{kind} device {os.major(held.stat.rdev)},{os.minor(held.stat.rdev)}"
    return f"{a_thing(held.stat).partition(' ')[2]} {mode}"


def _so(part: Component, row: Row) -> str:
    """What the search made of what a layer holds."""
    from layerfs.analysis.explain.rows import Effect

    held = row.held
    if row.effect is Effect.SHOWN:
        if part.target is not None:
            return f"shown; go on at {escaped(part.target)}"
        return "shown; the search ends here"
    texts = {
        Effect.PASSED: "look further down",
        Effect.UNREADABLE: "cannot be read: the search cannot go on",
        Effect.UNASKED: f"not asked, as layer {row.by} cannot be read",
        Effect.ABSENT: '"not here": the search ends',
        Effect.ENDED: "not shown, and ends the search: a directory is above",
        Effect.HIDDEN: f"not asked: hidden by layer {row.by}",
        Effect.CUT_OFF: f"cut off by layer {row.by}",
        Effect.REFUSED: "its redirect cannot be followed",
        Effect.WAY: f"on the way of the redirect, at /{escaped(row.part.path)}",
    }
    if row.effect in texts:
        return texts[row.effect]
    so = "kept" if row.effect is Effect.KEPT else "kept; mode, owner, times are its own"
    if held.opaque:
        so = "kept; cuts off lower layers"
    elif held.redirect is not None:
        so += f"; go on at {escaped(held.redirect)}"
    elif row.effect is Effect.KEPT and (row.layer,) == part.made_of[-1:]:
        so += f": made of {listed(part.made_of)}"
    return so


def _is_digest(value: str) -> bool:
    return len(value) == 64 and not set(value) - set("0123456789abcdef")
