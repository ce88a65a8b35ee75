"""`layerfs blame`: which layer did what to a path."""

from __future__ import annotations

import functools
import stat
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ..emit import emit
from ..options import format_option, metadata_option, no_trunc_option, root_option
from ..places import Words, complete_place, open_place, place_metavar
from ..progress import phases, progress
from ..rows.entries import Complaints, escaped, lossless, type_word
from ..rows.identities import cache_id_column, chain_id_column, diff_id_column, id_words
from ..rows.provenance import backing_path, command_words, kind_option, maker, open_stack
from ..stores import open_root
from ..subjects import tree_path
from ..table import Column, Table
from ..units import human_size, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from layerfs.analysis.tree.blame import Blame, Content, Event
    from layerfs.analysis.tree.versions import Version
    from layerfs.model import Image
    from layerfs.store import Store
    from layerfs.subject import Subject

__all__ = ["command"]

HISTORY: tuple[str, ...] = ("Layer", "Action", "Detail", "Visible", "Mode", "Size", "SHA256", "CreatedBy")
ENTRIES: tuple[str, ...] = ("Layer", "Action", "Mode", "Size", "Path", "CreatedBy")
EVERYWHERE: tuple[str, ...] = (
    "ChainID",
    "Layer",
    "Action",
    "Detail",
    "Mode",
    "Size",
    "SHA256",
    "Images",
    "VisibleIn",
)


class Row(NamedTuple):
    """An event, its layer, and the command that made the layer.

    Attributes:
        event: the event.
        content: called for the content after the event, as reading a file takes time.
        ids: diff ID, chain ID and cache ID of the layer; a container's own layers have only the last.
        created_by: the history entry that made the layer, or None.
        maker: what a table says of that; of a container's own layer, whose it is.
        backing_path: the file of the data root, or None.
        images: with --all, the images that have the layer.
        visible_in: those of them that show this version.
    """

    event: Event
    content: Callable[[], Content]
    ids: tuple[str | None, str | None, str | None]
    created_by: str | None
    maker: str | None
    backing_path: str | None
    images: tuple[Image, ...] = ()
    visible_in: tuple[Image, ...] = ()

    @property
    def version(self) -> Version | None:
        """The version after the event, or None."""
        return self.event.step.after

    @property
    def visible(self) -> bool:
        """Whether the final tree, or that of any image, shows this version."""
        return bool(self.visible_in) if self.images else self.event.step.visible


@click.command("blame")
@click.argument("words", metavar=place_metavar("[PATH]"), nargs=-1, shell_complete=complete_place)
@click.option(
    "--all", "everywhere", is_flag=True, help="Search all images of the root: give a PATH and no NAME."
)
@click.option("-a", "intermediate", is_flag=True, help="With --all: show intermediate images too.")
@click.option("-d", "itself", is_flag=True, help="Show a directory itself, not its entries.")
@click.option("-R", "--recursive", is_flag=True, help="Show all entries below a directory.")
@click.option("--hidden", is_flag=True, help="Show the entries of a directory that are gone too.")
@no_trunc_option
@format_option
@kind_option
@metadata_option()
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    words: tuple[str, ...],
    everywhere: bool,
    intermediate: bool,
    itself: bool,
    recursive: bool,
    hidden: bool,
    no_trunc: bool,
    form: str,
    kind: str | None,
) -> int:
    """Show which layers of an image or container supplied, changed, hid or revealed a path.

    The oldest comes first; what the final tree shows is marked `*`. ACTION is `added`, `changed` (other
    content), `metadata` (the same content; DETAIL says what differs), `copied` (nothing differs), `type
    changed`, `hidden` (DETAIL says by what), or `revealed` (visible again after it was hidden, or moved
    here with its directory). A directory that replaces one, without the old entries, is `changed: opaque`.

    For a directory there is a line for each entry, with the layer that last changed what is seen. Without
    PATH it is the root. A PATH that is in no layer is looked up through the links of the final tree.

    \b
    Examples:
      layerfs blame nginx:latest /etc/passwd
      layerfs blame nginx:latest /etc         # the layer of each entry
      layerfs blame -R --hidden nginx:latest  # of all entries, also of those gone
      layerfs blame --all /etc/passwd         # in all images, each layer once
    """
    from layerfs.store import RECORDS

    _check(words, ctx.params)
    if everywhere:
        data_root = open_root(ctx)
        data_root.require(RECORDS)
        complaints = Complaints(tree_path(words[0]))
        rows = list(_everywhere(data_root, tree_path(words[0]), complaints, every=intermediate))
        emit(_table(EVERYWHERE, full=no_trunc), rows, form)
        return complaints.code
    from layerfs.analysis.tree.blame import Blame, Digests

    at = open_place(ctx, Words(words, "[PATH]"))
    subject = open_stack(at.store, at.name, kind)
    complaints = Complaints()
    complaints.ask(subject.tree, *map(tree_path, at.paths or ("/",)))
    blame = Blame(subject.tree, Digests(complaints.add), complaints.add)
    path = blame.locate(tree_path(*at.paths or ("/",)))
    if not itself and blame.is_directory(path):
        steps, shown = blame.entries(path, recursive=recursive, hidden=hidden), ENTRIES
    else:
        steps, shown = iter(blame.steps(path)), HISTORY
    found = _rows(blame, subject, map(blame.event, steps), read=form != "table")
    if sys.stdout.isatty() and sys.stderr.isatty():
        found = iter(list(found))  # the progress bar is gone before the first line
    emit(_table(shown, full=no_trunc), found, form)
    return complaints.code


def _check(words: Sequence[str], given: Mapping[str, Any]) -> None:
    """Refuse options that exclude each other."""
    of_directory = [name for name in ("recursive", "hidden") if given[name]]
    if given["everywhere"] and (len(words) != 1 or given["itself"] or of_directory or given["kind"]):
        raise click.UsageError("--all takes one PATH, and no NAME, -d, -R, --hidden or --type")
    if given["itself"] and of_directory:
        raise click.UsageError(f"-d and --{of_directory[0]} exclude each other: a directory, or its entries")
    if given["intermediate"] and not given["everywhere"]:
        raise click.UsageError("-a needs --all")


def _rows(blame: Blame, subject: Subject, events: Iterable[Event], *, read: bool) -> Iterator[Row]:
    """Events as rows; with `read`, contents are read as they come, while the bar runs."""
    with progress(events, "Reading layers") as bar:
        for event in bar:
            number = event.step.layer
            layer = subject.layer(number)
            ids = layer.diff_id, layer.chain_id, layer.cache_id
            after = event.step.after
            backing = backing_path(subject, after.layer, after.part) if after else None
            content = functools.partial(blame.content, event.step)
            if read:
                content()
            yield Row(event, content, ids, subject.created_by(number), maker(subject, number), backing)


def _everywhere(root: Store, path: bytes, complaints: Complaints, *, every: bool) -> Iterator[Row]:
    """The rows for all images. Unlisted images are named only if no listed one has the layer."""
    from layerfs.analysis.store.blameall import blame_all
    from layerfs.analysis.store.history import history
    from layerfs.analysis.store.listing import listed_images
    from layerfs.analysis.tree.blame import Digests

    listed = {item.image.id for item in listed_images(root, every=every)}

    digests = Digests(complaints.add)
    with phases({"images": "Reading images"}) as told:
        found = blame_all(root, path, digests, on_progress=told, problem=complaints.add)
    for item in found:
        named = [image for image in item.images if image.id in listed] or item.images
        named_ids = {image.id for image in named}
        # the image with the fewest layers above it is the closest to the build that made it
        maker = min(item.images, key=lambda image: len(image.config.diff_ids))
        made_by = {row.number: row.entry.created_by for row in history(root, maker)}
        after = item.event.step.after
        yield Row(
            item.event,
            functools.partial(_known, item.content),
            (item.layer.diff_id, item.layer.chain_id, item.layer.cache_id),
            made_by.get(item.event.step.layer),
            made_by.get(item.event.step.layer),
            f"{item.directory}/{lossless(after.part)}" if after else None,
            tuple(named),
            tuple(image for image in item.visible_in if image.id in named_ids),
        )


def _known(content: Content) -> Content:
    return content


# -- columns -------------------------------------------------------------------------------------


def _detail(row: Row) -> str:
    """The attributes that differ, or what hid the path."""
    event = row.event
    if event.hidden is None:
        return ", ".join(event.changes)
    if event.hidden.at == event.step.path:
        return str(event.hidden.how)
    return f"{event.hidden.how}: {escaped(event.hidden.at)}"


def _of(value: Callable[[Version], Any]) -> Callable[[Row], Any]:
    """A value of the version after the event; None without one."""
    return lambda row: None if row.version is None else value(row.version)


def _column(
    key: str, placeholder: str, header: str, value: Callable[[Row], Any], words: Any = None
) -> Column[Row]:
    return Column(key, value, placeholder, header, words and (lambda row: words(value(row))))


def _table(shown: tuple[str, ...], *, full: bool) -> Table[Row]:
    identity = id_words(full=full)

    def text(value: str | None) -> str:
        return "" if value is None else escaped(value.encode("utf-8", "surrogateescape"))

    def size(value: int | None) -> str:
        return "" if value is None else human_size(value, 4)

    def hash_words(value: str | None) -> str:
        return (value or "") if full else (value or "")[:12]

    def target(row: Row) -> str | None:
        found = row.content().target
        return None if found is None else lossless(found)

    def names(images: tuple[Image, ...]) -> str:
        return ", ".join(image.name if image.has_name else identity(image.id) for image in images)

    columns: tuple[Column[Row], ...] = (
        _column("path", "Path", "PATH", lambda row: lossless(row.event.step.path), text),
        _column("layer", "Layer", "LAYER", lambda row: row.event.step.layer),
        _column("action", "Action", "ACTION", lambda row: str(row.event.action)),
        Column("", _detail, "Detail", "DETAIL"),
        _column("changes", "Changes", "CHANGES", lambda row: list(row.event.changes), ", ".join),
        _column("how", "How", "HOW", lambda row: row.event.hidden and str(row.event.hidden.how)),
        _column(
            "hidden_at",
            "HiddenAt",
            "HIDDEN AT",
            lambda row: row.event.hidden and lossless(row.event.hidden.at),
            text,
        ),
        _column("visible", "Visible", "VISIBLE", lambda row: row.visible, lambda value: "*" if value else ""),
        _column("type", "Type", "TYPE", _of(lambda version: type_word(version.stat.mode))),
        _column("size", "Size", "SIZE", _of(lambda version: version.stat.size), size),
        Column(
            "mode",
            _of(lambda version: f"{stat.S_IMODE(version.stat.mode):04o}"),
            "Mode",
            "MODE",
            lambda row: "" if row.version is None else stat.filemode(row.version.stat.mode),
        ),
        _column("uid", "UID", "UID", _of(lambda version: version.stat.uid)),
        _column("gid", "GID", "GID", _of(lambda version: version.stat.gid)),
        _column("mtime", "MTime", "MTIME", _of(lambda version: rfc3339(version.stat.mtime_ns))),
        _column("target", "Target", "TARGET", target, text),
        _column("sha256", "SHA256", "SHA256", lambda row: row.content().sha256, hash_words),
        diff_id_column(lambda row: row.ids[0], identity),
        chain_id_column(lambda row: row.ids[1], identity),
        cache_id_column(lambda row: row.ids[2], identity),
        _column("backing_path", "BackingPath", "BACKING PATH", lambda row: row.backing_path),
        _maker_column(full=full),
        *(_image_columns(names) if shown is EVERYWHERE else ()),
    )
    return Table(columns, shown)


def _maker_column(*, full: bool) -> Column[Row]:
    command = command_words(full=full)
    return Column(
        "created_by", lambda row: row.created_by, "CreatedBy", "CREATED BY", lambda row: command(row.maker)
    )


def _image_columns(names: Callable[[tuple[Image, ...]], str]) -> Iterator[Column[Row]]:
    """The columns of --all."""
    yield Column(
        "images",
        lambda row: [image.name for image in row.images],
        "Images",
        "IMAGES",
        lambda row: names(row.images),
    )
    yield Column(
        "visible_in",
        lambda row: [image.name for image in row.visible_in],
        "VisibleIn",
        "VISIBLE IN",
        lambda row: names(row.visible_in),
    )
