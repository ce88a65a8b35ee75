"""The image, container or layer that a NAME means, as a `Subject`.

Shared by all commands with a NAME; also completes names and the paths inside their trees.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from .options import (
    metadata_option,
    root_option,
    type_option,
)
from .stores import find_name, is_carried, open_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.store import Store
    from layerfs.subject import Subject

__all__ = [
    "complete_containers",
    "complete_images",
    "complete_names",
    "container_names",
    "image_names",
    "layer_options",
    "name_argument",
    "names_argument",
    "open_sides",
    "open_subject",
    "paths_below",
    "silently",
    "split_layer",
    "subject_options",
    "tree_path",
]

KINDS = ("container", "image", "layer")

_Function = TypeVar("_Function", bound="Callable[..., Any]")


def name_argument(metavar: str | None = None) -> Callable[[_Function], _Function]:
    """Add the argument `name`: an image, container or layer; None if it was left out."""
    return click.argument("name", metavar=metavar, required=False, shell_complete=complete_names)


def names_argument(metavar: str) -> Callable[[_Function], _Function]:
    """Add the argument `names`: any number of images, containers and layers."""
    return click.argument("names", metavar=metavar, nargs=-1, shell_complete=complete_names)


def subject_options(function: _Function) -> _Function:
    """`--up-to`, `--layer`, `--type`, `--metadata` and `--root`, for commands that show one tree."""
    return layer_options(type_option(*KINDS)(metadata_option()(root_option(function))))


def layer_options(function: _Function) -> _Function:
    """`--up-to` and `--layer`: only some layers of an image."""
    alone = click.option(
        "--layer",
        type=click.IntRange(1),
        metavar="N",
        help="Show only layer N of the image, as it is on disk.",
    )
    as_of = click.option(
        "--up-to",
        type=click.IntRange(1),
        metavar="N",
        help="Show the image as of its layer N (1 is the base).",
    )
    return as_of(alone(function))


def open_subject(
    root: Store, name: str, *, kind: str | None, up_to: int | None, layer: int | None
) -> Subject:
    """The tree that NAME and the options ask for; raises as `layerfs.open_subject`, or a usage error."""
    from layerfs import subject

    if subject.split_layer(name)[1] is not None and (up_to is not None or layer is not None):
        raise click.UsageError(f"{name} names a layer already: --up-to and --layer cannot be given too")
    if up_to is not None and layer is not None:
        raise click.UsageError("--up-to and --layer exclude each other")
    try:
        return subject.open_subject(root, name, up_to=up_to, layer=layer, kinds=(kind,) if kind else None)
    except subject.LayerChoiceError as error:
        name = subject.split_layer(name)[0]
        message = f"a layer's number (@N, --up-to, --layer) needs an image; {name} is none"
        raise click.UsageError(message) from error


def split_layer(name: str) -> tuple[str, int | None]:
    """`IMAGE@N` as the image's name and N; any other name, and None."""
    from layerfs import subject

    return subject.split_layer(name)


def open_sides(root: Store, name: str, *, kind: str | None) -> tuple[Subject, Subject]:
    """The tree below NAME's uppermost layer, and the tree with it; raises as `open_subject`.

    For a container these are its image with the files of its init layer, and the container. For a layer they
    are the union of the layers below it, and that union with the layer.
    """
    from layerfs.analysis.diff.difference import below_top
    from layerfs.model import BareLayer, Layer
    from layerfs.subject import Subject, numbered

    after = open_subject(root, name, kind=kind, up_to=None, layer=None)
    if isinstance(after.of, (BareLayer, Layer)):
        layers = numbered(root.stack(after.of))
        after = Subject(root, root.tree_below(after.of), after.title, layers, after.of)
    below = Subject(root, below_top(after.tree), f"{after.title} below its top layer", after.layers[1:])
    return below, after


def tree_path(text: str) -> bytes:
    """The path inside a tree that a command-line argument means."""
    return os.fsencode(text)


# -- completion ----------------------------------------------------------------------------------


def complete_images(context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Image references that begin as typed, IDs once hex digits are typed, and paths of the host."""
    if is_carried(typed):
        return _complete_carried(context, typed)
    found = _items(typed, silently(context, image_names), silently(context, _image_ids, typed))
    return [*found, *_transports(typed)]


def complete_containers(
    context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Names and IDs of containers that begin as typed."""
    names = [*silently(context, container_names), *(silently(context, _container_aliases) if typed else ())]
    return _items(typed, names, silently(context, _container_ids, typed))


def complete_names(context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """References, container names and IDs that begin as typed; after `IMAGE@` the numbers of its layers.

    For a NAME that includes its store: files and directories, and after the colon the names in the store.
    """
    name, at, number = typed.rpartition("@")
    if at and (number.isdecimal() or not number):
        return _items(typed, (f"{name}@{layer}" for layer in _in_tree_of(context, name, _layer_numbers)))
    if is_carried(typed):
        return _complete_carried(context, typed)
    names = [*silently(context, image_names), *silently(context, container_names)]
    if typed:  # not before: each container has several names
        names += silently(context, _container_aliases)
    ids = [*silently(context, _image_ids, typed), *silently(context, _container_ids, typed)]
    return [*_items(typed, names, ids), *_transports(typed)]


def _transports(typed: str) -> list[CompletionItem]:
    """Those that begin with what was typed; none if nothing was typed."""
    from layerfs.stores.transports import TRANSPORTS

    return _items(typed, [f"{name}:" for name in TRANSPORTS]) if typed else []


def _complete_carried(context: click.Context, typed: str) -> list[CompletionItem]:
    """Complete a path of the host, or after the path a name in that store."""
    from layerfs.stores.transports import carried

    name = carried(typed)
    assert name is not None  # noqa: S101 - asked for such words only
    if not name.transport and ":" not in typed:
        return [CompletionItem(typed, type="file")]  # a shell can do that best
    before = typed[: len(typed) - len(name.text)]
    if found := _host_paths(name.text):
        return [CompletionItem(before + path) for path in found]
    path, colon, _ = name.text.partition(":")
    if not colon:
        return []
    begin = f"{before}{path}:"
    with_colon = [name for name in _in_store_of(context, begin[:-1]) if f"{begin}{name}".startswith(typed)]
    return [CompletionItem(f"{begin}{name}") for name in with_colon]


def _host_paths(typed: str) -> list[str]:
    """Paths of the host that begin as typed; a directory ends in a slash."""
    directory, slash, beginning = typed.rpartition("/")
    try:
        with os.scandir(directory + slash or ".") as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in entries)
    except OSError:
        return []
    return [
        f"{directory}{slash}{name}{'/' * is_dir}"
        for name, is_dir in found
        if name.startswith(beginning) and name.isprintable() and (beginning or not name.startswith("."))
    ]


def _in_store_of(context: click.Context, word: str) -> list[str]:
    """The names of images in the store that a word carries."""
    from .stores import open_word

    def names() -> Iterator[str]:
        store, _, _ = open_word(context, word)
        yield from (store.names.spelled(image) for image in store.images())

    return _without_errors(names)


def paths_below(context: click.Context, name: str, typed: str) -> list[str]:
    """Paths inside the tree of `name` that begin as typed; those of directories end in a slash."""

    def paths(root: Store, inside: str) -> Iterator[str]:
        options = {option: context.params.get(option) for option in ("kind", "up_to", "layer")}
        subject = open_subject(root, inside, **options)
        directory, slash, _ = typed.rpartition("/")
        node = subject.tree.resolve(tree_path(directory + slash))
        for child_name, child in subject.tree.children(node).items():
            yield directory + slash + os.fsdecode(child_name) + ("/" if child.is_dir else "")

    return [path for path in _in_tree_of(context, name, paths) if path.startswith(typed)]


def _items(typed: str, *lists: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for names in lists for name in names if name.startswith(typed)]


def image_names(root: Store) -> Iterator[str]:
    """Every name of an image, as Docker shows it."""
    yield from sorted((*(str(row.reference) for row in root.repositories.rows), *root.other_names()))


def container_names(root: Store) -> Iterator[str]:
    """The name of every container."""
    yield from (container.name for container in root.containers())


def _container_aliases(root: Store) -> Iterator[str]:
    """Other names of containers, such as those with their pods."""
    yield from root.container_aliases()


def _image_ids(root: Store, typed: str) -> Iterator[str]:
    return _ids_like(typed, (image_id.hex for image_id in root.image_ids()))


def _container_ids(root: Store, typed: str) -> Iterator[str]:
    return _ids_like(typed, (container.id for container in root.containers()))


def _ids_like(typed: str, ids: Iterable[str]) -> Iterator[str]:
    """IDs in the form that is being typed: 12 digits, or all."""
    digits = typed.removeprefix("sha256:")
    if not re.fullmatch("[0-9a-f]{2,}" if digits == typed else "[0-9a-f]*", digits):
        return
    length = 12 if digits == typed and len(digits) <= 12 else None
    yield from sorted({typed[: len(typed) - len(digits)] + found[:length] for found in ids})


def _layer_numbers(root: Store, name: str) -> Iterator[str]:
    yield from map(str, range(1, len(root.image(name).config.diff_ids) + 1))


def _in_tree_of(context: click.Context, word: str, names: Callable[[Store, str], Iterable[str]]) -> list[str]:
    """The result of `names` for the store and the name that a NAME means; empty on errors."""

    def found() -> Iterable[str]:
        at = find_name(context, word)
        return names(at.store, at.name)

    return _without_errors(found)


def silently(context: click.Context, names: Callable[..., Iterable[str]], *given: str) -> list[str]:
    """The result of `names` for the chosen store; empty on errors."""
    return _without_errors(lambda: names(open_root(context), *given))


def _without_errors(names: Callable[[], Iterable[str]]) -> list[str]:
    """The result of `names`; empty if the root or the name cannot be read, as a shell shows no errors."""
    from layerfs.errors import LayerfsError

    try:
        return [name for name in names() if name.isprintable()]
    except (LayerfsError, OSError, click.UsageError):
        return []
