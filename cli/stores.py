"""The stores of a command line: the chosen one, and those contained in NAMEs; each is opened once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from .archives import blob_progress, selected_cache, selected_platform
from .options import (
    selected_additional_stores,
    selected_bolt_state,
    selected_metadata,
    selected_namespace,
    selected_root,
    selected_store,
    selected_userns,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerfs.ids import ImageID
    from layerfs.layernames import Match
    from layerfs.naming import Names
    from layerfs.store import Store
    from layerfs.stores.registry import Options
    from layerfs.stores.transports import Carried, Located

__all__ = [
    "Found",
    "chosen_with_one_image",
    "evidence",
    "find_name",
    "find_names",
    "find_thing",
    "is_carried",
    "is_known",
    "name_before_path",
    "open_root",
    "open_word",
    "store_options",
]

_T = TypeVar("_T")

_OPEN = "layerfs.stores"
_KINDS = ("container", "image")


class Found(NamedTuple):
    """A NAME, resolved to its store.

    Attributes:
        store: the store.
        name: the name in it.
        given: whether the command line has a name; if not, it is a name of the only image.
    """

    store: Store
    name: str
    given: bool = True


def open_root(context: click.Context) -> Store:
    """The store that the command line chose, of whatever kind it is."""
    from layerfs.stores.transports import Located

    return _open(context, Located("", selected_root(context), None))


def find_name(context: click.Context, word: str | None, argument: str = "NAME") -> Found:
    """The store and the name of a NAME; without one, the only image of the chosen store.

    Raises:
        LookupFailed: it is ambiguous, or no name was given and the store has several images. DataRootError,
        CorruptStore: its store cannot be opened. UsageError: there is no NAME, and the chosen store does not
        make one needless.
    """
    from layerfs.errors import DataRootError
    from layerfs.hostdir import is_there
    from layerfs.stores.transports import carried

    if word is None:
        store = chosen_with_one_image(context)
        if store is None:
            raise click.MissingParameter(ctx=context, param_hint=repr(argument), param_type="argument")
        return Found(store, _only(store, ""), given=False)
    found = carried(word)
    if found is None:
        return Found(open_root(context), word)
    if _may_be_a_containers(found) and not is_there(found.text.partition("@")[0]):
        try:
            return Found(open_root(context), word)
        except DataRootError:
            if _is_chosen(context):
                raise
    return _found(context, found)


def find_names(context: click.Context, words: Sequence[str], missing: str) -> list[Found]:
    """Each of several NAMEs; without any, the only image of the chosen store.

    Raises as `find_name`; `missing` is the text of the usage error if there is neither.
    """
    if not words and chosen_with_one_image(context) is None:
        raise click.UsageError(missing, context)
    return [find_name(context, word) for word in words] or [find_name(context, None)]


def find_thing(context: click.Context, word: str) -> Found:
    """As `find_name`, for commands that first look for a path in the chosen store.

    A path below that store, and a path that is no store on this host, are names in the chosen store.
    """
    from layerfs.errors import DataRootError
    from layerfs.stores.transports import carried

    name = carried(word)
    if name is None or name.transport or not word.startswith(("/", ".")):
        return find_name(context, word)
    top = os.path.abspath(selected_root(context))
    if os.path.abspath(word).startswith(top.rstrip("/") + "/"):
        return Found(open_root(context), word)
    try:
        return find_name(context, word)
    except (DataRootError, OSError) as error:
        try:
            return Found(open_root(context), word)
        except DataRootError:
            raise error from None


def open_word(context: click.Context, word: str) -> tuple[Store, str | None, ImageID | None]:
    """The store in a word, and its REF, or the image of its index; raises as `find_name`."""
    from layerfs.stores.transports import carried, image_at

    found = carried(word)
    assert found is not None  # noqa: S101 - asked for such words only
    at = _located(context, found)
    store = _open(context, at)
    return store, at.ref, None if at.number is None else image_at(at, store)


def is_carried(word: str) -> bool:
    """Whether a word has the form of a NAME that contains its store."""
    from layerfs.stores.transports import carried

    return carried(word) is not None


def is_known(context: click.Context, name: str) -> bool:
    """Whether the chosen store has something with this full name; damage is not reported."""
    return bool(_matches(context, name))


def chosen_with_one_image(context: click.Context) -> Store | None:
    """The store that `--root` or LAYERFS_ROOT chose, if it has only one image, and nothing else."""
    from layerfs.errors import LookupFailed

    if not _is_chosen(context):
        return None
    try:
        store = open_root(context)
        store.names.only_image()
    except LookupFailed:
        return None
    return store


def evidence(context: click.Context) -> set[tuple[int, int]]:
    """The directories of all open stores, below which nothing may be written."""
    opened: dict[Located, Store] = context.meta.get(_OPEN, {})
    return set().union(*(store.evidence() for store in opened.values()))


def _is_chosen(context: click.Context) -> bool:
    at: click.Context | None = context
    while at is not None:
        if at.get_parameter_source("root") not in (None, ParameterSource.DEFAULT):
            return True
        at = at.parent
    return False


def _found(context: click.Context, name: Carried) -> Found:
    from layerfs.stores.transports import image_at

    at = _located(context, name)
    store = _open(context, at)
    if at.number is not None:
        return Found(store, image_at(at, store) + at.as_of, given=False)
    if at.ref is not None:
        _check_ref(store, at, name.word)
        return Found(store, at.ref)
    return Found(store, _only(store, name.word.removesuffix(at.as_of)) + at.as_of, given=False)


def _check_ref(store: Store, at: Located, word: str) -> None:
    """Raise `LookupFailed`, with the name of the store, if nothing in it has that name."""
    from layerfs.errors import LookupFailed

    from .subjects import split_layer

    assert at.ref is not None  # noqa: S101 - asked only then
    try:
        store.names.matches(split_layer(at.ref)[0])
    except LookupFailed as error:
        begin = word.removesuffix(at.ref)
        likely = error.hint if (error.hint or "").startswith("did you mean") else None
        listed = f"`layerfs images {begin.rstrip(':')}` lists what there is; a path in it is {begin}/{at.ref}"
        raise LookupFailed(f"{at.path}: {error}", hint=likely or listed) from error


def _only(store: Store, word: str) -> str:
    """A name of the only image in a store that was called `word`; raises `LookupFailed`."""
    from layerfs.errors import AmbiguousName

    try:
        image = store.names.only_image()
    except AmbiguousName as error:
        dashes = "-- " if word == "-" else ""  # otherwise it would begin like an option
        hint = f"write the one that you mean behind it, as {dashes}{word}:{error.candidates[0]}"
        raise AmbiguousName(word, error.candidates, hint=hint) from error
    return store.names.spelled(image) if image.has_name else image.id


def _open(context: click.Context, at: Located) -> Store:
    from layerfs.stores.transports import STDIN, Located, open_located

    opened: dict[Located, Store] = context.meta.setdefault(_OPEN, {})
    transport = "" if at.path == STDIN else at.transport  # standard input can be read only once
    key = Located(transport, at.path, None, driver=at.driver, run=at.run)
    if key not in opened:
        opened[key] = open_located(at, store_options(context))
    return opened[key]


def store_options(context: click.Context) -> Options:
    """The options of the command line for reading stores."""
    from layerfs.stores.registry import Options

    return Options(
        metadata=selected_metadata(context),
        userns=selected_userns(context),
        platform=selected_platform(context),
        cache=selected_cache(context),
        progress=blob_progress(),
        bolt_state=selected_bolt_state(context),
        namespace=selected_namespace(context),
        store=selected_store(context),
        additional_stores=selected_additional_stores(context),
    )


# -- names that the chosen store has too -----------------------------------------------------------


def _may_be_a_containers(name: Carried) -> bool:
    """Whether a path has the form of a container's name with a slash, such as `/web`."""
    return not name.transport and name.word.startswith("/") and not set("/:") & set(name.word[1:])


def _located(context: click.Context, name: Carried) -> Located:
    """Where the store of a NAME is; raises `AmbiguousName` also where the chosen store has the name."""
    from layerfs.errors import NotAnArchive
    from layerfs.stores.transports import located

    _refuse_ambiguous(context, name)
    try:
        return located(name)
    except NotAnArchive as error:
        if not name.transport or not _in_root(context, name.transport):
            raise
        other = f"docker.io/library/{name.word}"
        raise NotAnArchive(
            str(error), hint=f"for an image of {selected_root(context)} write {other}"
        ) from error


def _refuse_ambiguous(context: click.Context, name: Carried) -> None:
    """Raise `AmbiguousName` if the chosen store has something with the same name as a store."""
    from layerfs.errors import AmbiguousName

    if not (name.transport or _may_be_a_containers(name)):
        return
    other = _in_root(context, name.word.partition(":/")[0])
    if other is not None:
        path = name.text if name.text.startswith(("/", "./", "../")) else f"./{name.text}"
        path = path if name.transport else f"/.{path}"
        raise AmbiguousName(
            name.word, [other, path], hint=f"{other} is of {selected_root(context)}, {path} of this host"
        )


def _in_root(context: click.Context, word: str) -> str | None:
    """Another name of what has this name in the chosen store; None if nothing has, or there is no store."""
    from layerfs.formats.errors import FormatError
    from layerfs.formats.reference import parse_reference
    from layerfs.ids import ImageID

    from .subjects import split_layer

    name, number = split_layer(word)
    as_of = "" if number is None else f"@{number}"
    for match in _matches(context, name):
        try:
            if isinstance(match.id, ImageID):
                return parse_reference(name).with_default_tag().canonical + as_of
        except FormatError:
            pass
        return match.id.removeprefix("sha256:")[:12] + as_of
    return None


def name_before_path(context: click.Context, word: str) -> str | None:
    """The name in full of something in the chosen store, if the word is that name, a slash and more."""
    return _asked(context, lambda names: names.before_path(word, _KINDS), None)


def _matches(context: click.Context, name: str) -> Sequence[Match]:
    """The matches of a name in the chosen store; damage is not reported here."""
    return _asked(context, lambda names: names.in_full(name, _KINDS), ())


def _asked(context: click.Context, question: Callable[[Names], _T], otherwise: _T) -> _T:
    """What the names of the chosen store answer, or `otherwise` if it does not open; damage is not told."""
    import logging

    from layerfs.errors import LayerfsError
    from layerfs.stores.registry import open_store
    from layerfs.stores.transports import STDIN, Located

    root = selected_root(context)
    if root == STDIN or Located("", root, None) in context.meta.get(_OPEN, {}):
        # it is open already, or can be opened only once
        return question(open_root(context).names)
    before = logging.root.manager.disable
    logging.disable()
    try:
        return question(open_store(root, store_options(context)).names)
    except (LayerfsError, OSError):
        return otherwise
    finally:
        logging.disable(before)
