"""What each layer holds at a path, and what the search for it made of that: `component`, of one look-up.

Whatever says where the search went is from the look-up's own trace (`tree.trace`). Only what lies in layers
that were not asked is read here, to show what is hidden.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.explain.damaged import SilentLayer
from layerfs.errors import reason
from layerfs.tree.lower import join
from layerfs.tree.node import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from layerfs.tree.node import FileStat, Node
    from layerfs.tree.source import Entry, LayerSource
    from layerfs.tree.trace import Answer, Lookup

__all__ = ["Component", "Cuts", "Effect", "Held", "Row", "component", "held", "root_component"]

Cuts = dict[Part, int]
"""Directories of layers that do not show through, and the number of the layer that hides each."""


class Effect(enum.StrEnum):
    """What the search made of what one layer holds.

    `PASSED`: nothing there, the next layer is asked. `KEPT`: a directory that is merged; `TOP` is the first,
    whose attributes are shown. `SHOWN`: it is what the union has. `ABSENT`: a whiteout says that nothing is
    there. `ENDED`: a file or whiteout below a directory, which ends the merge. `HIDDEN`: the search ended
    above. `CUT_OFF`: the directory it is in, or itself, was cut off by a layer above. `UNREADABLE`: it
    gave no answer. `UNASKED`: the search got no further for that. `REFUSED`: its redirect cannot be
    followed. `WAY`: on the way of a redirect, and not merged.
    """

    PASSED = "passed"
    TOP = "kept-top"
    KEPT = "kept"
    SHOWN = "shown"
    ABSENT = "absent"
    ENDED = "ended"
    HIDDEN = "hidden"
    CUT_OFF = "cut-off"
    UNREADABLE = "unreadable"
    UNASKED = "not-asked"
    REFUSED = "refused"
    WAY = "redirect"


class Held(NamedTuple):
    """What one layer holds at one place.

    Attributes:
        stat: its attributes; None for nothing, and where it cannot be read.
        whiteout: whether it is a whiteout.
        opaque: of a directory: nothing below shows through.
        redirect: of a directory or metacopy: its path in lower layers.
        metacopy: of a file: it has attributes only.
        target: of a link.
        error: why it cannot be read, else None.
    """

    stat: FileStat | None = None
    whiteout: bool = False
    opaque: bool = False
    redirect: bytes | None = None
    metacopy: bool = False
    target: bytes | None = None
    error: str | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether the layer has nothing there."""
        return self.stat is None and self.error is None

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.stat is not None and self.stat.is_dir


class Row(NamedTuple):
    """One layer's part in the search for one name.

    Attributes:
        layer: its number, 1 for the base.
        part: the place in it: index in the stack, and path.
        held: what is there.
        effect: what the search made of it.
        rules: the rules of the union that say so: 1 to 6, `redirect`, `metacopy`.
        by: of what is hidden or cut off: the number of the layer that does it.
        winner: whether it decides what is there.
    """

    layer: int
    part: Part
    held: Held
    effect: Effect
    rules: tuple[int | str, ...] = ()
    by: int | None = None
    winner: bool = False


@dataclass(slots=True)
class Component:
    """One component of a path, as it was looked up.

    Attributes:
        path: up to it, absolute.
        rows: by layer, uppermost first.
        made_of: the numbers of the layers it is made of, uppermost first: several of a merged directory.
        target: of a link that was followed, where it leads.
        cuts: of a directory what of it does not show through.
    """

    path: bytes
    rows: list[Row]
    made_of: tuple[int, ...] = ()
    target: bytes | None = None
    cuts: Cuts = field(default_factory=dict)

    @property
    def asked(self) -> list[int]:
        """The numbers of the layers that the search asked."""
        unasked = (Effect.HIDDEN, Effect.CUT_OFF, Effect.UNASKED)
        return [row.layer for row in self.rows if row.effect not in unasked]


def held(layers: Sequence[LayerSource], part: Part, entry: Entry | None = None) -> Held:
    """What lies at a place; `entry` if it is known already. What cannot be read is told in it."""
    layer = layers[part.layer]
    try:
        found = entry or layer.entry(part.path)
        if found is None:
            return Held()
        if found.whiteout:
            return Held(found.stat, whiteout=True)
        if found.stat.is_dir:
            marks = layer.marks(part.path)
            return Held(found.stat, opaque=marks.opaque, redirect=marks.redirect)
        if found.stat.is_symlink:
            return Held(found.stat, target=layer.readlink(part.path))
        copy = layer.metacopy(part.path) if found.stat.is_file else None
        return Held(found.stat, metacopy=copy is not None, redirect=copy.redirect if copy else None)
    except OSError as error:
        return Held(error=f"{layer.label}: {reason(error)}")


def root_component(layers: Sequence[LayerSource]) -> Component:
    """The root, which every layer has, and no layer cuts off."""
    rows: list[Row] = []
    for index in range(len(layers)):
        part = Part(index, b"")
        found = held(layers, part)
        rules: tuple[int | str, ...] = (3, 4) if not rows else (3,)
        effect = Effect.UNREADABLE if found.error else Effect.KEPT if rows else Effect.TOP
        rules += (6,) if found.opaque else ()
        rows.append(Row(len(layers) - index, part, found, effect, rules, winner=not rows))
    return Component(b"/", rows, tuple(row.layer for row in rows))


def component(layers: Sequence[LayerSource], lookup: Lookup, cuts: Mapping[Part, int]) -> Component:
    """What a look-up found in each layer.

    Args:
        layers: of the tree, uppermost first.
        lookup: the look-up.
        cuts: what of its directory does not show through.
    """
    found = lookup.found
    rows = list(_asked(layers, lookup))
    if found is None and rows and lookup.error is None and not any(row.winner for row in rows):
        rows[-1] = rows[-1]._replace(winner=True)
    made_of = tuple(len(layers) - part.layer for part in found.parts) if found else ()
    below = _below(layers, lookup, rows, cuts)
    rows = sorted((*rows, *below), key=lambda row: row.part.layer)
    hidden = {row.part: row.by for row in below if row.by is not None}
    return Component(lookup.path, rows, made_of, lookup.target, hidden)


def _asked(layers: Sequence[LayerSource], lookup: Lookup) -> Iterator[Row]:
    """The rows of what was asked. Behind a redirect these are the last steps of its way in each layer."""
    found = lookup.found
    answers, way = _split(lookup.answers)
    above = False
    for answer in answers:
        row = _row(layers, answer, found, above=above)
        above = above or row.effect is Effect.TOP
        if found and found.refusal and answer.part == found.parts[-1]:
            row = row._replace(effect=Effect.REFUSED)
        yield row
    last = {answer.part.layer: answer for answer in way}
    places = found.parts if found else ()
    for answer in last.values():
        effect = Effect.KEPT if answer.part in places else Effect.WAY
        seen = Held(error=reason(answer.error)) if answer.error else held(layers, answer.part, answer.entry)
        yield Row(len(layers) - answer.part.layer, answer.part, seen, effect, (3, "redirect"))


def _split(answers: Sequence[Answer]) -> tuple[Sequence[Answer], Sequence[Answer]]:
    """What the places of the directory answered, and what was asked behind a redirect."""
    for index, answer in enumerate(answers):
        if answer.marks and answer.marks.redirect is not None and not answer.marks.opaque:
            return answers[: index + 1], answers[index + 1 :]
    return answers, ()


def _row(layers: Sequence[LayerSource], answer: Answer, found: Node | None, *, above: bool) -> Row:
    """The row of an answer; `above` tells whether a directory was found in a layer above."""
    number = len(layers) - answer.part.layer
    entry = answer.entry
    if answer.error:
        return Row(number, answer.part, Held(error=reason(answer.error)), Effect.UNREADABLE)
    if entry is None:
        silent = layers[answer.part.layer]
        if isinstance(silent, SilentLayer):
            return Row(number, answer.part, Held(error=str(silent.problem)), Effect.UNREADABLE)
        return Row(number, answer.part, Held(), Effect.PASSED, (1,))
    seen = held(layers, answer.part, entry)
    if entry.whiteout:
        effect = Effect.ENDED if above else Effect.ABSENT
        return Row(number, answer.part, seen, effect, (3 if above else 2,), winner=not above)
    if not entry.stat.is_dir:
        if found and found.part == answer.part:
            rules: tuple[int | str, ...] = (2, "metacopy") if seen.metacopy else (2,)
            return Row(number, answer.part, seen, Effect.SHOWN, rules, winner=True)
        return Row(number, answer.part, seen, Effect.ENDED, (3,))
    effect, rules = (Effect.KEPT, (3,)) if above else (Effect.TOP, (3, 4))
    if answer.marks and answer.marks.redirect is not None and not answer.marks.opaque:
        rules = (*rules, "redirect")
    return Row(number, answer.part, seen, effect, rules, winner=not above)


def _below(
    layers: Sequence[LayerSource], lookup: Lookup, asked: Sequence[Row], cuts: Mapping[Part, int]
) -> list[Row]:
    """What is hidden: in places that were not asked, and below directories that were cut off."""
    name = lookup.name
    known = {row.part.layer for row in asked}
    rows: list[Row] = []
    if asked:
        stop = asked[-1]
        shown = any(row.effect in (Effect.TOP, Effect.KEPT) for row in asked)
        effect, rules = (Effect.CUT_OFF, (5,)) if shown else (Effect.HIDDEN, ())
        if stop.effect is Effect.UNREADABLE:
            effect, rules = Effect.UNASKED, ()
        places = _unasked(lookup.directory.parts, known, name)
        by = max((row.layer for row in asked if _ends(row)), default=stop.layer)
        rows += (
            Row(len(layers) - part.layer, part, held(layers, part), effect, rules, by) for part in places
        )
    inherited = [(Part(part.layer, join(part.path, name)), by) for part, by in cuts.items()]
    rows += (
        Row(len(layers) - part.layer, part, held(layers, part), Effect.CUT_OFF, (5,), by)
        for part, by in inherited
        if part.layer not in known
    )
    return [row for row in rows if not row.held.is_nothing]


def _unasked(parts: Iterable[Part], known: set[int], name: bytes) -> Iterator[Part]:
    """The places of a name in the places of its directory that were not asked."""
    return (Part(part.layer, join(part.path, name)) for part in parts if part.layer not in known)


def _ends(row: Row) -> bool:
    """Whether the search went no further because of a row."""
    ended = row.effect in (Effect.SHOWN, Effect.ABSENT, Effect.ENDED)
    return ended or row.held.opaque or row.held.redirect is not None
