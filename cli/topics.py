"""The words that `layerfs explain --topic` explains, and what it prints of one."""

from __future__ import annotations

import re
import sys
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from .emit import emit_json, emit_objects
from .escape import printable
from .guesses import did_you_mean
from .options import options_again
from .paste import pasted
from .topictexts import TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerfs.analysis.explain.examples import Example

    from .topictexts import Text

__all__ = ["TOPICS", "Shown", "explain_topic", "topic_of"]

TOPICS: Mapping[str, Text] = TEXTS
"""What is explained, by the word."""

OTHER_WORDS = {
    "platform": "index",
    "digest": "distribution-digest",
    "hardlinks": "hard-links",
    "hard-link": "hard-links",
    "<missing>": "missing",
    "<none>": "dangling",
    "overlay2": "cache-id",
    "layer": "diff-id",
    "overlay": "layer-id",
    "toc": "composefs",
    "objects": "composefs",
    "whiteouts": "whiteout",
    ".wh.": "whiteout",
}
"""Other words for the same."""

SECONDS = 1.0
"""How long an example is looked for in the root."""

_WIDTH = 80


class Shown(NamedTuple):
    """An example as it is shown: what it is from, its facts, and commands to try."""

    origin: str
    facts: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]


def topic_of(word: str) -> str | None:
    """The topic that a word means; None for a word that is not explained."""
    name = word.lower().replace("_", "-").replace(" ", "-")
    name = OTHER_WORDS.get(name, name)
    return name if name in TOPICS else None


def explain_topic(context: click.Context, word: str, form: str) -> int:
    """Explain a word, or list what can be explained for an empty one; raises a usage error for others."""
    if not word:
        return _list(form)
    name = topic_of(word)
    if name is None:
        likely = did_you_mean(word.lower(), TOPICS)
        raise click.BadParameter(
            f"{word!r} is no topic{likely or '; `layerfs explain --topic` lists them'}", param_hint="--topic"
        )
    text = TOPICS[name]
    shown = _example(context, name, text)
    if form == "table":
        sys.stdout.writelines(f"{line}\n" for line in _lines(name, text, shown))
        return 0
    document: dict[str, Any] = {
        "topic": name,
        "line": text.line,
        "what": text.what,
        "why": text.why,
        "on_disk": text.disk,
        "example": {"from": shown.origin, "facts": dict(shown.facts)},
        "try": list(shown.commands),
        "see_also": list(text.see),
    }
    if form == "json":
        emit_json(document)
    else:
        emit_objects([document], form)
    return 0


def _list(form: str) -> int:
    """Every word, with a line."""
    if form != "table":
        emit_objects([{"topic": name, "line": text.line} for name, text in TOPICS.items()], form)
        return 0
    width = max(map(len, TOPICS))
    sys.stdout.writelines(f"{name:{width}}  {text.line}\n" for name, text in TOPICS.items())
    return 0


def _example(context: click.Context, name: str, text: Text) -> Shown:
    """An example of the chosen root, else the built-in one."""
    import logging

    from layerfs.errors import LayerfsError

    from .options import selected_root
    from .stores import open_root

    before = logging.root.manager.disable
    logging.disable()  # the root was not asked about: its damage is not the answer
    try:
        from layerfs.analysis.explain.examples import find_example

        found = find_example(open_root(context), name, SECONDS)
    except (LayerfsError, OSError):
        found = None
    finally:
        logging.disable(before)
    if found is None:
        commands = tuple(command.replace("PARENT", "DIR") for command in text.commands)
        return Shown(
            "built in, of a recorded root: yours has none that was found at once", text.facts, commands
        )
    facts = tuple((what, value) for what, value in found.facts)
    origin = f"of {_called(found)}, in {selected_root(context)}"
    return Shown(origin, facts, _commands(context, text, found))


def _called(found: Example) -> str:
    """Its name; 12 digits of an ID."""
    return re.sub(r"^sha256:([0-9a-f]{12})[0-9a-f]{52}$", r"\1", found.name)


def _commands(context: click.Context, text: Text, found: Example) -> tuple[str, ...]:
    """The commands of a topic about an example."""
    values: dict[str, str | bytes] = {
        "NAME": _called(found),
        "PATH": found.path or b"/",
        "PARENT": (found.path or b"/").rpartition(b"/")[0] or b"/",
        "LAYER": str(found.layer or 1),
    }
    options = options_again(context)
    lines: list[str] = []
    for command in text.commands:
        words = [values.get(word, word) for word in command.split()]
        lines.append(pasted(words[0], *options, *words[1:]))
    return tuple(lines)


def _lines(name: str, text: Text, shown: Shown) -> Iterator[str]:
    """A topic as text: at most 40 lines of 80 columns."""
    yield f"{name}: {text.line}"
    for heading, paragraph in (("", text.what), ("Why", text.why), ("On disk", text.disk)):
        yield ""
        begin = f"{heading}: " if heading else ""
        yield from textwrap.wrap(begin + paragraph, _WIDTH, break_on_hyphens=False, break_long_words=False)
    yield ""
    yield from textwrap.wrap(printable(f"Example ({shown.origin}):"), _WIDTH)
    for what, value in shown.facts:
        line = printable(f"  {what}: {value}")
        yield line if len(line) <= _WIDTH else _short(line)
    yield ""
    yield "Try:"
    yield from (f"  {command}" for command in shown.commands)
    yield f"See also: {', '.join(text.see)}"


def _short(line: str) -> str:
    """A line with its IDs cut, as it is too long."""
    return re.sub(r"([0-9a-z]{12})[0-9a-z]{9,}", r"\1…", line)
