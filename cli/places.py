"""`NAME:/PATH`: a tree and a path in it in one word, and the same as two: `NAME PATH`.

The one place for the rule, which looks at the word alone and at no data root: the NAME ends at the first
`:/`, and the PATH is all that follows its colon. A NAME never has `:/` in it. Also completes both forms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import click
from click.shell_completion import CompletionItem

from .options import complete_directory
from .subjects import complete_names, paths_below, split_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "Place",
    "complete_place",
    "complete_source",
    "place_argument",
    "read_place",
    "refuse_relative",
    "split_place",
    "split_source",
]

_Function = TypeVar("_Function", bound="Callable[..., Any]")


class Place(NamedTuple):
    """What a tree is of, and the paths in it, as they were typed; no path where none was given."""

    name: str
    paths: tuple[str, ...]


def place_argument(paths: str) -> Callable[[_Function], _Function]:
    """Add the arguments NAME and PATH, in either form, as the argument `place`.

    `paths` is how the help shows them: `PATH...`, `[PATH]...` or `[PATH]`.
    """

    def read(context: click.Context, _parameter: click.Parameter, words: Sequence[str]) -> Place:
        return read_place(words, paths, lenient=context.resilient_parsing)

    return click.argument(
        "place", metavar=place_metavar(paths), nargs=-1, callback=read, shell_complete=complete_place
    )


def place_metavar(paths: str) -> str:
    """Both forms, as usage shows them."""
    return f"NAME {paths}|NAME:/PATH{'...' * paths.endswith('...')}"


def read_place(words: Sequence[str], paths: str = "[PATH]...", *, lenient: bool = False) -> Place:
    """The place that the words of a command line mean; raises a usage error, unless `lenient`."""
    name, first = split_place(words[0]) if words else ("", None)
    if first is None:
        found = Place(name, tuple(words[1:]))
    else:
        found = Place(name, (first, *(_in_same_tree(name, word) for word in words[1:])))
    if not lenient:
        _check(found, paths, joined=first is not None)
    return found


def _in_same_tree(name: str, word: str) -> str:
    """The path of a further `NAME:/PATH`; any other word as it is."""
    other, path = split_place(word)
    return word if path is None or other != name else path


def _check(found: Place, paths: str, *, joined: bool) -> None:
    """Refuse fewer or more paths than the command takes, and one that lacks its slash."""
    name, given = found
    if not name:
        _refuse("Missing argument 'NAME'.")
    if not given:
        refuse_relative(name)
        if not paths.startswith("["):
            _refuse(f"Missing argument 'PATH': write {name}:/PATH, or {name} PATH")
    if len(given) > 1 and not paths.endswith("..."):
        _refuse(f"Got unexpected extra argument ({given[1]})")
    for path in given if joined else ():
        if not path.startswith("/"):
            _refuse(f"{path}: not in {name}: after {name}:/PATH come {name}:/PATH or /PATH")


def split_place(word: str) -> tuple[str, str | None]:
    """The NAME and the PATH of `NAME:/PATH`; of any other word the whole, and None."""
    name, colon, path = word.partition(":/")
    return (name, "/" + path) if colon and name else (word, None)


def split_source(word: str) -> tuple[str, str]:
    """The NAME and the PATH of a word that must be `NAME:/PATH`; raises a usage error."""
    name, path = split_place(word)
    if path is None:
        refuse_relative(word)
        name, colon, rest = word.rpartition(":")
        other = f" or {name}:/{rest}" if colon else ""
        _refuse(f"{word}: not NAME:/PATH; write {word}:/PATH{other}")
    return name, path


def refuse_relative(word: str) -> None:
    """A usage error for a NAME with a path behind its colon that lacks the slash, with the right form."""
    name, colon, path = word.rpartition(":")
    if colon and not _is_name(word) and _is_name(name):
        _refuse(f"{word}: a PATH behind a colon begins with a slash: {name}:/{path}")


def _is_name(word: str) -> bool:
    """Whether a word has the form of a NAME."""
    from layerfs.formats.errors import FormatError
    from layerfs.formats.reference import parse_reference

    name = split_layer(word)[0]
    try:
        parse_reference(name)
    except FormatError:
        return ":" not in name  # an ID, or a container, whose name is no reference
    return True


def _refuse(problem: str) -> NoReturn:
    raise click.UsageError(problem, click.get_current_context(silent=True))


# -- completion ----------------------------------------------------------------------------------


def complete_place(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """A NAME, and paths in its tree: in a word of their own, or behind `NAME:`."""
    before = context.params.get("place") or read_place(context.params.get("words") or (), lenient=True)
    if before.name and split_place(typed)[1] is None:
        return [CompletionItem(path) for path in paths_below(context, before.name, typed)]
    return complete_source(context, parameter, typed)


def complete_source(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """`NAME:/PATH` in one word; a word that begins like a path of the host is a directory of it."""
    name, path = split_place(typed)
    if path is not None:
        return [CompletionItem(f"{name}:{found}") for found in paths_below(context, name, path)]
    if typed.startswith(("/", ".", "~")):
        return complete_directory(context, parameter, typed)
    found = complete_names(context, parameter, typed)
    if typed.endswith(":") and paths_below(context, typed[:-1], "/"):
        found.append(CompletionItem(f"{typed}/"))
    return found
