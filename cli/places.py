"""`NAME:/PATH`: a tree and a path in it in one word, and the same as two: `NAME PATH`.

The rule depends only on the word, not on a store: the NAME ends at the first `:/`, and the PATH begins at
this slash. A NAME contains `:/` only behind a transport, as in `oci:/layout`. If the chosen store has only
one image, a first word that begins with a slash is a PATH in that. Both forms are completed here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import click
from click.shell_completion import CompletionItem

from .stores import chosen_with_one_image, find_name, is_carried, is_known, name_before_path
from .subjects import complete_names, paths_below, split_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerfs.store import Store

__all__ = [
    "OpenPlace",
    "TypedPlace",
    "Words",
    "complete_place",
    "complete_source",
    "complete_words",
    "open_place",
    "open_words",
    "place_argument",
    "read_place",
    "refuse_nameless",
    "refuse_relative",
    "split_place",
    "split_source",
]

_Function = TypeVar("_Function", bound="Callable[..., Any]")


class TypedPlace(NamedTuple):
    """A name and paths in its tree, as typed; no paths if none were given."""

    name: str
    paths: tuple[str, ...]


class Words(NamedTuple):
    """The words of a command line for a place, and the form of paths in the help."""

    words: tuple[str, ...]
    shown: str


class OpenPlace(NamedTuple):
    """A place whose store is open.

    Attributes:
        store: the store.
        name: the name in it.
        paths: the paths as typed; empty if none were given.
    """

    store: Store
    name: str
    paths: tuple[str, ...]


def place_argument(paths: str) -> Callable[[_Function], _Function]:
    """Add the arguments NAME and PATH, in either form, as the argument `place`, for `open_place`.

    `paths` is how the help shows them: `PATH...`, `[PATH]...` or `[PATH]`.
    """

    def read(_context: click.Context, _parameter: click.Parameter, words: Sequence[str]) -> Words:
        return Words(tuple(words), paths)

    return click.argument(
        "place", metavar=place_metavar(paths), nargs=-1, callback=read, shell_complete=complete_place
    )


def open_place(context: click.Context, given: Words) -> OpenPlace:
    """The store, the name and the paths that the words mean; raises as `find_name`, and usage errors."""
    if unnamed := open_words(context, given.words):
        _check(TypedPlace(unnamed.name, unnamed.paths), given.shown, joined=False)
        return unnamed
    place = read_place(given.words, given.shown)
    found = find_name(context, place.name)
    return OpenPlace(found.store, found.name, place.paths)


def open_words(context: click.Context, words: Sequence[str], marks: str = "") -> OpenPlace | None:
    """The only image of the chosen store, if the words are paths in it, or there are no words; else None.

    A word with one of `marks` in it is no NAME.
    """
    from layerfs.errors import LayerfsError

    if words and not set(words[0]) & set(marks) and not _is_bare_path(words[0]):
        return None
    try:
        if chosen_with_one_image(context) is None:
            return None
    except (LayerfsError, OSError):
        if words:
            return None
        raise
    found = find_name(context, None)
    return OpenPlace(found.store, found.name, tuple(words))


def _is_bare_path(word: str) -> bool:
    """Whether a word begins with a slash, and is no `NAME:/PATH`."""
    return word.startswith("/") and split_place(word)[1] is None


def place_metavar(paths: str) -> str:
    """Both forms, for the usage line."""
    return f"NAME {paths}|NAME:/PATH{'...' * paths.endswith('...')}"


def read_place(words: Sequence[str], paths: str = "[PATH]...", *, lenient: bool = False) -> TypedPlace:
    """The place that the words of a command line mean; raises a usage error, unless `lenient`."""
    name, first = split_place(words[0]) if words else ("", None)
    if first is None:
        found = TypedPlace(name, tuple(words[1:]))
    else:
        found = TypedPlace(name, (first, *(_in_same_tree(name, word) for word in words[1:])))
    if not lenient:
        _check(found, paths, joined=first is not None)
    return found


def _in_same_tree(name: str, word: str) -> str:
    """The PATH of another `NAME:/PATH` with the same NAME; any other word unchanged."""
    other, path = split_place(word)
    return word if path is None or other != name else path


def _check(found: TypedPlace, paths: str, *, joined: bool) -> None:
    """Refuse too few or too many paths, and a path without a slash."""
    name, given = found
    if not name:
        _refuse("Missing argument 'NAME'.")
    refuse_nameless(name)
    if not given:
        refuse_relative(name)
        if not paths.startswith("["):
            known = None if is_carried(name) else name_before_path(click.get_current_context(), name)
            shown = f"{known}:{name[len(known) :]}" if known else f"{name}:/PATH, or {name} PATH"
            if name.startswith("/"):
                shown += f"; if {name} is the PATH, NAME:{name}"
            _refuse(f"Missing argument 'PATH': write {shown}")
    if len(given) > 1 and not paths.endswith("..."):
        command = click.get_current_context().info_name
        _refuse(
            f"Got unexpected extra argument ({given[1]}); {command} takes one PATH: ask for each by itself"
        )
    for path in given if joined else ():
        if not path.startswith("/"):
            _refuse(f"{path}: not in {name}: after {name}:/PATH come {name}:/PATH or /PATH")


def split_place(word: str) -> tuple[str, str | None]:
    """The NAME and the PATH of `NAME:/PATH`; for any other word (word, None)."""
    from layerfs.stores.transports import carried

    found = carried(word)
    text = found.text if found else word
    begin = len(word) - len(text)
    name, colon, path = text.partition(":/")
    return (word[:begin] + name, "/" + path) if colon and word[:begin] + name else (word, None)


def split_source(word: str) -> tuple[str, str]:
    """The NAME and the PATH of a word that must be `NAME:/PATH`; raises a usage error."""
    name, path = split_place(word)
    if path is None:
        refuse_relative(word)
        name, colon, rest = word.rpartition(":")
        other = f" or {name}:/{rest}" if colon and not is_carried(word) else ""
        _refuse(f"{word}: not NAME:/PATH; write {word}:/PATH{other}")
    return name, path


def refuse_relative(word: str) -> None:
    """Raise a usage error for a NAME with a colon and a path without a slash; it shows the right form.

    Names that the chosen store has are accepted, as containerd has names that are no references.
    """
    refuse_nameless(word)
    name, colon, path = word.rpartition(":")
    refused = colon and not is_carried(word) and not _is_name(word) and _is_name(name)
    context = click.get_current_context()
    if refused and not is_known(context, split_layer(word)[0]):
        known = name_before_path(context, word)  # of NAME:TAG/PATH
        shown = f"{known}:{word[len(known) :]}" if known else f"{name}:/{path}"
        _refuse(f"{word}: a PATH behind a colon begins with a slash: {shown}")


def refuse_nameless(word: str) -> None:
    """Raise a usage error for a path behind a colon without a NAME; it shows the right forms."""
    if word.startswith(":"):
        path = "/" + word[1:].lstrip("/")
        _refuse(
            f"{word}: no NAME before the colon: write NAME:{path}; "
            f"where --root is a store of one image, {path} alone"
        )


def _is_name(word: str) -> bool:
    """Whether a word has the form of a NAME."""
    from layerfs.formats.errors import FormatError
    from layerfs.formats.reference import parse_reference

    name = split_layer(word)[0]
    try:
        parse_reference(name)
    except FormatError:
        return ":" not in name  # an ID, or a container's name, which is no reference
    return True


def _refuse(problem: str) -> NoReturn:
    raise click.UsageError(problem, click.get_current_context(silent=True))


# -- completion ----------------------------------------------------------------------------------


def complete_place(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Complete a NAME, and paths in its tree, in a separate word or behind `NAME:`."""
    given = context.params.get("place")
    words = (given.words if given else context.params.get("words")) or ()
    return complete_words(context, parameter, words, typed)


def complete_words(
    context: click.Context, parameter: click.Parameter, words: Sequence[str], typed: str
) -> list[CompletionItem]:
    """Complete a NAME, or paths in its tree, where `words` come before what is typed."""
    before = read_place(words, lenient=True)
    if before.name and split_place(typed)[1] is None:
        return [CompletionItem(path) for path in paths_below(context, before.name, typed)]
    return complete_source(context, parameter, typed)


def complete_source(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Complete `NAME:/PATH` in one word."""
    name, path = split_place(typed)
    if path is not None:
        return [CompletionItem(f"{name}:{found}") for found in paths_below(context, name, path)]
    found = complete_names(context, parameter, typed)
    if typed.endswith(":") and paths_below(context, typed[:-1], "/"):
        found.append(CompletionItem(f"{typed}/"))
    return found
