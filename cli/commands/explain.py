"""`layerfs explain`: why a file is here or not, how a name leads to directories, and what a word means."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ..options import format_option, metadata_option, no_trunc_option, root_option
from ..places import Words, complete_place, open_place, place_metavar, split_place
from ..rows.provenance import kind_option
from ..stores import is_carried

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ..places import OpenPlace

__all__ = ["command"]

_EVERY = ""
"""The value of `--topic` without a word."""


def _complete_topic(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    from ..topics import TOPICS

    return [CompletionItem(word, help=topic.line) for word, topic in TOPICS.items() if word.startswith(typed)]


@click.command("explain")
@click.argument("words", metavar=place_metavar("[PATH]"), nargs=-1, shell_complete=complete_place)
@click.option(
    "--topic",
    metavar="[WORD]",
    is_flag=False,
    flag_value=_EVERY,
    shell_complete=_complete_topic,
    help="Explain a word, with an example from the root; without WORD, list what there is.",
)
@click.option(
    "-v",
    "every",
    is_flag=True,
    help="Show the steps of each layer; with a PATH also the layers that hold nothing.",
)
@no_trunc_option
@format_option
@kind_option
@metadata_option()
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    words: tuple[str, ...],
    topic: str | None,
    every: bool,
    no_trunc: bool,
    form: str,
    kind: str | None,
) -> int:
    """Explain how a name leads to directories, why a file is there or not, and what a word means.

    Of a NAME alone each step is shown by which one gets from it to directories and to the mount: its values,
    the file that they stand in, and the command that prints them. The commands are one script for sh, to be
    pasted where the store lies; the mount is for root. The exit code is 1 if a step is not as it should be.

    With a PATH there is a table for each component of it: what lies there in each layer, uppermost first;
    which of the union's rules applies (they are printed at the end); and where the search stops. `*` marks
    what is shown, or what says that nothing is. Below it is the history, and commands that can be pasted
    into a shell to see for oneself. The exit code is 0 if the path is shown, and 1 if not.

    \b
    Examples:
      layerfs explain nginx:latest
      layerfs explain --no-trunc web | sed -n 's/^   \\$ //p'  # the script alone
      layerfs explain nginx:latest /etc/passwd
      layerfs explain web /var/log/secret.log  # of a container
      layerfs explain --topic whiteout
      layerfs explain --topic                  # what can be explained
    """
    _check(words, ctx.params)
    if topic is not None:
        from ..topics import explain_topic

        return explain_topic(ctx, topic, form)
    at = _place(ctx, words)
    if not at.paths:
        from ..rows.explainname import explain_name

        with _words_told(at.name):
            return explain_name(at, kind=kind, form=form, verbose=every, full=no_trunc)
    from ..rows.explainpath import explain_path

    typed = split_place(words[0])[0] if is_carried(words[0]) else at.name
    return explain_path(ctx, at, typed=typed, kind=kind, form=form, verbose=every, full=no_trunc)


def _check(words: tuple[str, ...], given: Mapping[str, Any]) -> None:
    """Refuse options that exclude each other."""
    if given["topic"] is not None and (words or given["kind"]):
        raise click.UsageError("--topic takes a WORD, and no NAME, PATH or --type")


def _place(context: click.Context, words: tuple[str, ...]) -> OpenPlace:
    """As `open_place`; who gives no word at all is told of the topics, too."""
    try:
        return open_place(context, Words(words, "[PATH]"))
    except click.UsageError as error:
        if words:
            raise
        more = "To explain a word: --topic WORD; --topic alone lists them."
        raise click.UsageError(f"{error.message} {more}", context) from error


@contextlib.contextmanager
def _words_told(name: str) -> Iterator[None]:
    """Where nothing is called so, but a topic is, the error's hint is how to ask for that."""
    from layerfs.errors import LookupFailed

    from ..topics import topic_of

    try:
        yield
    except LookupFailed as error:
        topic = topic_of(name)
        if topic is None or type(error) is not LookupFailed:  # others tell more: ambiguous, lost, damaged
            raise
        raise LookupFailed(
            str(error), hint=f"the word is a topic: `layerfs explain --topic {topic}`"
        ) from error
