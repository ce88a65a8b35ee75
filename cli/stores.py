"""The stores of a command line: the one that was chosen, and those that NAMEs carry; each is opened once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import click
from click.core import ParameterSource

from .archives import blob_progress, selected_cache, selected_platform
from .params import selected_metadata, selected_root, selected_userns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.layernames import Match
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
    "open_root",
    "open_word",
]

_OPEN = "layerfs.stores"
_KINDS = ("container", "image")


class Found(NamedTuple):
    """Where a NAME is to be looked up.

    Attributes:
        store: the store.
        name: the name in it.
        given: whether the command line has a name; otherwise it is the ID of the only image.
    """

    store: Store
    name: str
    given: bool = True


def open_root(context: click.Context) -> Store:
    """The store that the command line chose, of whatever kind it is."""
    from layerfs.stores.transports import Located

    return _open(context, Located("", selected_root(context), None))


def find_name(context: click.Context, word: str | None, argument: str = "NAME") -> Found:
    """The store and the name that a NAME means; without one, the only image of the store that was chosen.

    Raises:
        LookupFailed: it may mean several things, or the store has several images and no name was given.
        DataRootError, CorruptStore: its store cannot be opened.
        UsageError: there is no NAME, and the chosen store does not make one needless.
    """
    from layerfs.stores.transports import carried

    if word is None:
        store = chosen_with_one_image(context)
        if store is None:
            raise click.MissingParameter(ctx=context, param_hint=repr(argument), param_type="argument")
        return Found(store, store.names.only_image().id, given=False)
    found = carried(word)
    if found is None or _is_containers(found):
        return Found(open_root(context), word)
    return _found(context, found)


def find_names(context: click.Context, words: Sequence[str], missing: str) -> list[Found]:
    """Each of several NAMEs; where there is none, the only image of the store that was chosen.

    Raises as `find_name`; `missing` is what a usage error says where there is neither.
    """
    if not words and chosen_with_one_image(context) is None:
        raise click.UsageError(missing, context)
    return [find_name(context, word) for word in words] or [find_name(context, None)]


def find_thing(context: click.Context, word: str) -> Found:
    """As `find_name`, for commands to which a path is first of all one in the chosen store.

    It is one below that store, and one that is no store here: as another host has it.
    """
    from layerfs.errors import LayerfsError
    from layerfs.stores.transports import carried

    if not word.startswith("/"):
        return find_name(context, word)
    top = os.path.abspath(selected_root(context))
    if not os.path.abspath(word).startswith(top.rstrip("/") + "/"):
        name = carried(word)
        try:
            return _found(context, name) if name else Found(open_root(context), word)
        except (LayerfsError, OSError):
            pass
    return Found(open_root(context), word)


def open_word(context: click.Context, word: str) -> tuple[Store, str | None]:
    """The store that a word carries, and the REF behind it; raises as `find_name`."""
    from layerfs.stores.transports import carried, located

    found = carried(word)
    assert found is not None  # noqa: S101 - asked for such words only
    _refuse_ambiguous(context, found)
    at = located(found)
    return _open(context, at), at.ref


def is_carried(word: str) -> bool:
    """Whether a word carries its store, as far as it tells alone."""
    from layerfs.stores.transports import carried

    return carried(word) is not None


def chosen_with_one_image(context: click.Context) -> Store | None:
    """The store that `--root` or LAYERFS_ROOT chose, if there is nothing in it but one image."""
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
    """What nothing may be written below, of all stores that are open."""
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
    from layerfs.stores.transports import located

    _refuse_ambiguous(context, name)
    at = located(name)
    store = _open(context, at)
    if at.ref is not None:
        return Found(store, at.ref)
    return Found(store, store.names.only_image().id + at.as_of, given=False)


def _open(context: click.Context, at: Located) -> Store:
    from layerfs.stores.transports import open_located

    opened: dict[Located, Store] = context.meta.setdefault(_OPEN, {})
    key = at._replace(ref=None, as_of="")
    if key not in opened:
        opened[key] = open_located(at, _options(context))
    return opened[key]


def _options(context: click.Context) -> Options:
    from layerfs.stores.registry import Options

    return Options(
        metadata=selected_metadata(context),
        userns=selected_userns(context),
        platform=selected_platform(context),
        cache=selected_cache(context),
        progress=blob_progress(),
    )


# -- names that the chosen store has too -----------------------------------------------------------


def _is_containers(name: Carried) -> bool:
    """Whether `/web` is a container's name with its slash: where the host has no such path."""
    from layerfs.hostdir import is_there

    return _may_be_a_containers(name) and not is_there(name.text.partition("@")[0])


def _may_be_a_containers(name: Carried) -> bool:
    return not name.transport and name.word.startswith("/") and not set("/:") & set(name.word[1:])


def _refuse_ambiguous(context: click.Context, name: Carried) -> None:
    """Raise `AmbiguousName` where the chosen store has a thing that is called as a store is."""
    from layerfs.errors import AmbiguousName

    if not (name.transport or _may_be_a_containers(name)):
        return
    other = _in_root(context, name.word.partition(":/")[0])
    if other is not None:
        here = name.text if name.text.startswith(("./", "../")) else f"./{name.text}"
        path = f"/.{name.text}" if name.text.startswith("/") else here
        raise AmbiguousName(
            name.word, [other, path], hint=f"{other} is of {selected_root(context)}, {path} of this host"
        )


def _in_root(context: click.Context, word: str) -> str | None:
    """Another name of what the chosen store has of this name; None where there is none, or no store."""
    from layerfs.formats.errors import FormatError
    from layerfs.formats.reference import parse_reference
    from layerfs.ids import ImageID

    from .subjects import split_layer

    name = split_layer(word)[0]
    for match in _matches(context, name):
        try:
            if isinstance(match.id, ImageID):
                return parse_reference(name).with_default_tag().canonical
        except FormatError:
            pass
        return match.id.removeprefix("sha256:")[:12]
    return None


def _matches(context: click.Context, name: str) -> Sequence[Match]:
    """What the chosen store has of a name. What is wrong with it is said when it is asked for an answer."""
    import logging

    from layerfs.errors import LayerfsError
    from layerfs.stores.registry import open_store
    from layerfs.stores.transports import STDIN

    root = selected_root(context)
    if root == STDIN:  # it can be read only once
        return open_root(context).names.in_full(name, _KINDS)
    logging.disable()
    try:
        return open_store(root, _options(context)).names.in_full(name, _KINDS)
    except (LayerfsError, OSError):
        return ()
    finally:
        logging.disable(logging.NOTSET)
