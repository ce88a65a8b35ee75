"""`layerfs blame`: which layer did what to a path."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

import click

from ..emit import emit
from ..options import format_option, metadata_option, no_trunc_option, root_option
from ..places import Words, complete_place, open_place, place_metavar
from ..progress import phases, progress
from ..rows.blame import ENTRIES, EVERYWHERE, HISTORY, BlameRow, blame_table
from ..rows.entries import Complaints, lossless
from ..rows.provenance import backing_path, kind_option, maker, open_stack
from ..stores import open_root
from ..subjects import tree_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from layerfs.analysis.tree.blame import Blame, Content, Event
    from layerfs.store import Store
    from layerfs.subject import Subject

__all__ = ["command"]


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
        emit(blame_table(EVERYWHERE, full=no_trunc), rows, form)
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
    emit(blame_table(shown, full=no_trunc), found, form)
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


def _rows(blame: Blame, subject: Subject, events: Iterable[Event], *, read: bool) -> Iterator[BlameRow]:
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
            yield BlameRow(event, content, ids, subject.created_by(number), maker(subject, number), backing)


def _everywhere(root: Store, path: bytes, complaints: Complaints, *, every: bool) -> Iterator[BlameRow]:
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
        yield BlameRow(
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
    """The content of a version that was read already, for `BlameRow.content`."""
    return content
