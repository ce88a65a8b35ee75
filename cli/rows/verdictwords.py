"""The verdict of `layerfs explain NAME PATH` in one sentence, and the history of the path in another."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from ..units import ellipsis, plural
from .entries import escaped
from .provenance import maker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.analysis.explain.names import Names
    from layerfs.analysis.explain.path import Explanation
    from layerfs.analysis.tree.blame import Event
    from layerfs.analysis.tree.versions import Hidden
    from layerfs.subject import Subject
    from layerfs.tree.node import FileStat

__all__ = ["a_thing", "layer_words", "listed", "own_word", "steps_text", "verdict_sentence"]

_STEP_WIDTH = 40
_MOST_EVENTS = 8
_FEW = 6
_SHELL = re.compile(r"^/bin/sh -c (#\(nop\) +)?")

_A = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a link",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
}


def listed(numbers: Sequence[int]) -> str:
    """`5`, `5 and 2`, `5, 3 and 2`; of many numbers those that follow each other as `99-2`."""
    texts = _runs(numbers) if len(numbers) > _FEW else [str(number) for number in numbers]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _runs(numbers: Sequence[int]) -> list[str]:
    """Numbers that go down, those that follow each other together."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]


def layer_words(numbers: Sequence[int]) -> str:
    """`layer 4`, `layers 5 and 2`."""
    return f"layer{'s' * (len(numbers) > 1)} {listed(numbers)}"


def a_thing(found: FileStat) -> str:
    """What it is, with an article."""
    return _A.get(found.kind, "something")


def own_word(subject: Subject, number: int) -> str | None:
    """What a container's own layer is; None for a layer of the image."""
    from layerfs.model import INIT

    kind = subject.own_kind(number)
    if kind is None:
        return None
    return '"init": what the engine adds' if kind == INIT else "the container's own"


def verdict_sentence(subject: Subject, found: Explanation, names: Names | None) -> str:
    """What becomes of the path, and why."""
    path = escaped(found.path if found.path.startswith(b"/") else b"/" + found.path)
    doubt = ""
    if found.likely:
        numbers = {row.layer for part in found.components for row in part.rows if row.held.error is not None}
        doubt = f"cannot be told for sure: {layer_words(sorted(numbers, reverse=True))} cannot be read. "
        doubt += "As far as the others tell: "
    return f"{path}: {doubt}{_words(subject, found, names)}"


def _words(subject: Subject, found: Explanation, names: Names | None) -> str:
    from layerfs.analysis.explain.path import Verdict

    if not subject.layers:
        return "shown: the empty root." if found.is_shown else "not there: there are no layers."
    verdict = found.likely or found.verdict
    if verdict is Verdict.SHOWN:
        return _shown(subject, found, names)
    if verdict is Verdict.UNKNOWN:
        return _unknown(found)
    if verdict is Verdict.LOOP:
        return "not there: its links lead in a circle, or are more than 40."
    if verdict is Verdict.BROKEN_LINK and found.link:
        by = f" of layer {len(subject.layers) - found.link.found.part.layer}" if found.link.found else ""
        gone = "" if found.past.end is None else f" {_gone(found)}"
        return f"not there: a link{by} leads to {escaped(found.wanted)}, which is not there.{gone}"
    at = "" if found.wanted == found.path else f" Looked for as {escaped(found.wanted)}."
    if found.past.end:
        return f"not there. {_gone(found)}{at}"
    if found.blocked:
        number = len(subject.layers) - found.blocked.part.layer
        blocked = f"{escaped(found.blocked.path)} is {a_thing(found.blocked.stat)} (layer {number})"
        return f"not there, never was: {blocked}, no directory.{at}"
    ghost = next((row for part in found.components for row in part.rows if row.held.whiteout), None)
    if ghost:
        return f"not there, never was: layer {ghost.layer} has a whiteout that hides nothing.{at}"
    every = "no layer" if found.complete else "no layer that can be read"
    return f"not there, never was: {every} has it.{at}"


def _shown(subject: Subject, found: Explanation, names: Names | None) -> str:
    node = found.node
    assert node is not None  # noqa: S101 - as it is shown
    numbers = found.last.made_of or (len(subject.layers) - node.part.layer,)
    links = any(part.target is not None for part in found.components)
    by_link = f"by a link, as {escaped(node.path)}: " if links else ""
    if node.is_dir:
        own = ""
        what = (
            f"a directory made of {layer_words(numbers)}"
            if len(numbers) > 1
            else (f"a directory of layer {numbers[0]} alone")
        )
        tail = f" It lists {plural(names.shown, 'name')}." if names else ""
        return f"shown, {by_link}{what}{own}.{tail}"
    what = a_thing(node.stat)
    if node.stat.is_file:
        what += f" of {plural(node.stat.size, 'byte')}"
    elif node.stat.kind in (stat.S_IFCHR, stat.S_IFBLK):
        what += f" {os.major(node.stat.rdev)},{os.minor(node.stat.rdev)}"
    number = numbers[0]
    of = f"from layer {number}"
    if own_word(subject, number):
        of = f"of the container itself (layer {number})"
    old = sum(1 for item in found.past.versions if item.hidden)
    hidden = f" {_counted(old)} hidden." if old else ""
    return f"shown, {by_link}{what} {of}.{hidden}"


def _counted(old: int) -> str:
    words = ("", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
    number = words[old] if old < len(words) else str(old)
    return f"{number} older version{' is' if old == 1 else 's are'}"


def _unknown(found: Explanation) -> str:
    """What the layers tell that were read before the one that cannot be."""
    last = found.last
    broken = next((row for row in last.rows if row.held.error is not None), None)
    if broken is None:
        return f"cannot be told: {found.error.strerror if found.error else ''}"
    above = [row for row in last.rows if row.layer > broken.layer]
    if not above:
        return f"cannot be told: layer {broken.layer}, the first to be asked, cannot be read."
    first, end = above[0].layer, above[-1].layer
    span = f"layers {first}-{end} tell" if first != end else f"layer {first} tells"
    thing = "a directory" if last.made_of or any(row.held.is_directory for row in above) else "nothing"
    at = "" if last.path == found.path else f" of {escaped(last.path)}"
    return f"cannot be told: layer {broken.layer} cannot be read. As far as {span}{at}: {thing}."


def _gone(found: Explanation) -> str:
    """What the last thing there was hidden by."""
    end = found.past.end
    assert end  # noqa: S101 - asked for only then
    assert end.hidden  # noqa: S101 - as that is its end
    assert end.step.before  # noqa: S101 - likewise
    version = end.step.before
    what = "it"
    if version.stat.is_file:
        what = f"its {plural(version.stat.size, 'byte')}"
    where = f"{what} {'are' if version.stat.is_file else 'is'} in layer {version.layer}"
    how = _how(found, end.hidden)
    return f"{how[0].upper()}{how[1:]}; {where}."


def _how(found: Explanation, hidden: Hidden) -> str:
    """What a layer did to hide a path."""
    from layerfs.analysis.tree.versions import How

    whole = hidden.at == found.wanted
    at = escaped(hidden.at)
    if hidden.how is How.WHITEOUT:
        return f"deleted by layer {hidden.by}" + ("" if whole else f", with all of {at}")
    if hidden.how is How.OPAQUE:
        return f"layer {hidden.by} made {at} anew (opaque)"
    thing = "something else"
    if found.blocked and found.blocked.path == hidden.at:
        thing = a_thing(found.blocked.stat)
    return f"layer {hidden.by} put {thing} in the place of the directory {at}"


# -- history -------------------------------------------------------------------------------------


def steps_text(subject: Subject, found: Explanation, *, full: bool) -> str:
    """What layers did to the path, oldest first, and where its old bytes are."""
    events = found.past.events
    shown = events if full or len(events) <= _MOST_EVENTS else [*events[:3], *events[-4:]]
    texts = [_event(subject, found, event, full=full) for event in shown]
    if len(shown) < len(events):
        texts.insert(3, f"{len(events) - len(shown)} more changes (see `layerfs blame`)")
    if not texts:
        return ""
    text = "; ".join(texts) + "."
    if found.past.problems:
        text += " There may be more: not all of the layers can be read."
    old = next((item for item in reversed(found.past.versions) if item.hidden and item.stat.is_file), None)
    if old:
        source = subject.tree.layers[len(subject.layers) - old.layer]
        place = _place(source.label, subject.store.path)
        text += f" The {plural(old.stat.size, 'byte')} of layer {old.layer} are still in {place}."
    return text


def _event(subject: Subject, found: Explanation, event: Event, *, full: bool) -> str:
    from layerfs.analysis.tree.blame import Action

    number = event.step.layer
    after = event.step.after
    size = f", {plural(after.stat.size, 'byte')}" if after and after.stat.is_file else ""
    by = f"by layer {number}{_made_by(subject, number, full=full)}"
    if event.action is Action.HIDDEN and event.hidden:
        how = _how(found, event.hidden)
        return f"{how}{_made_by(subject, event.hidden.by, full=full)}"
    again = "added again" if after and after.layer == number == after.since else "there again"
    words = {
        Action.ADDED: f"added {by}{size}",
        Action.CHANGED: f"replaced {by}{size}",
        Action.METADATA: f"{', '.join(event.changes) or 'attributes'} changed {by}",
        Action.COPIED: f"written again {by} without a change",
        Action.TYPE_CHANGED: f"turned into {a_thing(after.stat) if after else 'nothing'} {by}{size}",
        Action.REVEALED: f"{again} {by}{size}",
    }
    if event.hidden and after and after.stat.is_dir:
        return f"made anew {by}, without what was in it"
    return words.get(event.action, f"{event.action} {by}")


def _made_by(subject: Subject, number: int, *, full: bool) -> str:
    """The step that made a layer, in parentheses; nothing where it is not known."""
    if (text := own_word(subject, number)) is not None:
        return f" ({text})"
    step = maker(subject, number)
    if not step:
        return ""
    text = _SHELL.sub("", step.replace("\t", " ")).removesuffix(" # buildkit").strip()
    text = text if full else ellipsis(text, _STEP_WIDTH)
    return f" ({escaped_text(text)})"


def escaped_text(text: str) -> str:
    """Text of a config, with what could control a terminal escaped."""
    from ..escape import printable

    return printable(text)


def _place(label: str, top: str) -> str:
    """Where a layer lies, below the store, its long name cut."""
    text = label.removeprefix(top.rstrip("/") + "/") if label != top else label
    return re.sub(r"([0-9a-z]{12})[0-9a-z]{8,}", r"\1…", escaped_text(text))
