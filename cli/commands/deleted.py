"""`layerfs deleted`: file versions that later layers hide, and their recovery."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ..copying import reason, tell_not_kept
from ..emit import emit
from ..globs import Globs
from ..main import FINDINGS
from ..messages import say
from ..options import (
    exclude_option,
    format_option,
    include_option,
    metadata_option,
    no_trunc_option,
    root_option,
)
from ..places import Words, open_place, place_argument
from ..progress import progress
from ..rows.entries import Complaints, escaped, lossless, type_word
from ..rows.identities import cache_id_column, diff_id_column
from ..rows.provenance import backing_path, command_words, kind_option, maker, open_stack, short_name
from ..subjects import tree_path
from ..table import Column, Table
from ..units import human_size, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerfs.analysis.tree.deleted import Deleted
    from layerfs.store import Store
    from layerfs.subject import Subject
    from layerfs.tree.node import FileStat
    from layerfs.tree.union import UnionTree

__all__ = ["command"]

SHOWN = ("Path", "Size", "Layer", "HiddenBy", "How", "Wasted")
RECOVERED = ("Path", "Size", "Layer", "HiddenBy", "How", "Recovered")


class Row(NamedTuple):
    """A hidden version, its target if it is a symbolic link, and its copy below DIR, if there is one."""

    item: Deleted
    target: bytes | None = None
    copy: bytes | None = None

    @property
    def stat(self) -> FileStat:
        """Its attributes."""
        return self.item.version.stat


class Selection(NamedTuple):
    """Which versions are shown; the account of wasted bytes is over all."""

    layer: int | None
    hidden_by: int | None
    below: Sequence[bytes]
    include: Globs | None
    exclude: Globs

    def takes(self, item: Deleted) -> bool:
        """Whether a version is among them."""
        path = item.version.path
        return (
            self.layer in (None, item.version.layer)
            and self.hidden_by in (None, item.hidden.by)
            and (not self.below or any((path + b"/").startswith(top) for top in self.below))
            and (self.include is None or self.include.fits_or_above(path))
            and not self.exclude.fits_or_above(path)
        )


@click.command("deleted")
@place_argument("[PATH]...")
@click.option("--layer", "layer", type=click.IntRange(1), metavar="N", help="Show only versions in layer N.")
@click.option(
    "--hidden-by", type=click.IntRange(1), metavar="N", help="Show only versions that layer N hides."
)
@include_option
@exclude_option
@click.option(
    "--recover",
    "target",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Copy the files to DIR/LAYER-ID/PATH; DIR must be new or empty.",
)
@no_trunc_option
@format_option
@kind_option
@metadata_option()
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    place: Words,
    layer: int | None,
    hidden_by: int | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    target: str | None,
    no_trunc: bool,
    form: str,
    kind: str | None,
) -> int:
    """List the files of an image or container that a later layer hides, and recover them.

    A row is one version of a file, link or device: the layer that has it, the layer that hides it, and HOW:
    by a whiteout (deleted), by an opaque directory (its directory was made anew), replaced by another
    version, or with its type changed. WASTED counts each inode once, and only if no other name of it is
    visible. `layerfs cat IMAGE@LAYER PATH` reads a version. A PATH that is in no layer, or ends in a slash,
    is looked up through the links of the final tree.

    --recover copies the files with mode and times, and with owners and extended attributes if you may set
    them. Links and holes are kept; devices, FIFOs and sockets are not made. LAYER-ID is the layer's number
    and diff ID, or the cache ID of a container's own layer.

    \b
    Examples:
      layerfs deleted nginx:latest
      layerfs deleted --layer 3 nginx:latest /etc /root
      layerfs deleted --include '*.pem' --recover /tmp/found nginx:latest
      layerfs cat nginx:latest@3 /root/password.txt
    """
    at = open_place(ctx, place)
    data_root = at.store
    subject = open_stack(data_root, at.name, kind)
    complaints = Complaints()
    below = [top for path in at.paths for top in _tops(subject.tree, tree_path(path), complaints)]
    choice = Selection(layer, hidden_by, below, Globs(include) if include else None, Globs(exclude))
    copies = None if target is None else _Copies(data_root, subject, target)
    rows = list(_rows(subject.tree, choice, complaints))
    if copies:
        rows = copies.make(rows)
    emit(_table(subject, full=no_trunc, recovered=copies is not None), rows, form)
    if form == "table":
        click.echo(f"\n{_sums(rows)}")
    return complaints.code or (FINDINGS if copies and copies.failed else 0)


def _tops(tree: UnionTree, typed: bytes, complaints: Complaints) -> list[bytes]:
    """What a path means, with a slash at its end: the beginning of what is at and below it.

    That is the path itself where any layer has it. Where none has it, and also where it ends in a slash, it
    is where links lead in the final tree. A path that nobody ever had is named.
    """
    from layerfs.analysis.tree.find import without_links
    from layerfs.errors import PathNotFound

    follow = typed.endswith(b"/")
    complaints.ask(tree, typed, follow=follow)
    literal = [place for place in [typed] if _is_known(tree, place)]
    led = [] if literal and not follow else [without_links(tree, typed, follow=follow)]
    found = literal + [place for place in led if _is_known(tree, place)]
    if not found:
        complaints.refuse(PathNotFound(typed.rstrip(b"/") or b"/"))
    return [_with_slash(place) for place in found or [typed]]


def _with_slash(path: bytes) -> bytes:
    return b"/" + b"".join(name + b"/" for name in path.split(b"/") if name not in (b"", b"."))


def _is_known(tree: UnionTree, path: bytes) -> bool:
    """Whether any layer has an entry at a path, or cannot be read there."""
    from layerfs.analysis.tree.versions import versions

    problems: list[Exception] = []
    found = versions(tree.layers, below=path, depth=0, problem=problems.append)
    return next(found, None) is not None or bool(problems)


def _rows(tree: UnionTree, choice: Selection, complaints: Complaints) -> Iterator[Row]:
    from layerfs.analysis.tree.deleted import deleted
    from layerfs.analysis.tree.versions import node_of
    from layerfs.errors import TreeError

    for item in filter(choice.takes, deleted(tree, problem=complaints.add)):
        target = None
        if item.version.stat.is_symlink:
            try:
                target = tree.readlink(node_of(tree, item.version))
            except TreeError as error:
                complaints.add(error)
        yield Row(item, target)


def _sums(rows: Sequence[Row]) -> str:
    """What is below the table."""
    layers = sorted({row.item.version.layer for row in rows})
    size, wasted = sum(row.stat.size for row in rows), sum(row.item.wasted for row in rows)
    where = f" in layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))}" if layers else ""
    files = f"{len(rows)} hidden file{'' if len(rows) == 1 else 's'}{where}"
    return f"{files}: {human_size(size, 4)}, {human_size(wasted, 4)} wasted"


# -- recovery ------------------------------------------------------------------------------------


class _Copies:
    """The copies of a run; the target is opened, and refused, before anything is read."""

    def __init__(self, root: Store, subject: Subject, target: str) -> None:
        from layerfs.views.copyout import CopyOut
        from layerfs.views.place import BadTarget, open_target

        self._subject = subject
        self._target = target
        self.failed = False
        try:
            self._copy = CopyOut(open_target(os.fsencode(target), root.evidence()))
        except BadTarget as error:
            raise click.BadParameter(f"{target}: {error}", param_hint="--recover") from error

    def make(self, rows: Sequence[Row]) -> list[Row]:
        """Copy each row's version; the rows, with what became of them."""
        from layerfs.views.copyout import NotCopied
        from layerfs.views.recovery import recover

        copied: list[Row] = []
        found = (row.item.version for row in rows)
        with self._copy as copy:
            results = recover(self._subject.tree, found, self._folder, copy)
            with progress(results, "Recovering", len(rows)) as bar:
                for row, result in zip(rows, bar, strict=True):
                    copied.append(row if result.error else row._replace(copy=result.path))
                    if isinstance(result.error, NotCopied):
                        say("warning", f"{lossless(result.version.path)}: {reason(result.error)}")
                    elif result.error:
                        self._complain(result.path, result.error)
        for path, error in copy.unfinished:
            self._complain(path, error)
        tell_not_kept(copy)
        return copied

    def _folder(self, number: int) -> bytes:
        return f"{number}-{short_name(self._subject, number)}".encode()

    def _complain(self, path: bytes, error: OSError) -> None:
        self.failed = True
        say("error", f"{self._target}/{lossless(path)}: {reason(error)}")


# -- columns -------------------------------------------------------------------------------------


def _column(
    key: str, placeholder: str, header: str, value: Callable[[Row], Any], words: Any = None
) -> Column[Row]:
    return Column(key, value, placeholder, header, words and (lambda row: words(value(row))))


def _table(subject: Subject, *, full: bool, recovered: bool) -> Table[Row]:
    command = command_words(full=full)

    def maker_column(key: str, placeholder: str, header: str, number: Callable[[Row], int]) -> Column[Row]:
        def cell(row: Row) -> str:
            return command(maker(subject, number(row)))

        return Column(key, lambda row: subject.created_by(number(row)), placeholder, header, cell)

    def text(value: str | None) -> str:
        return "" if value is None else escaped(value.encode("utf-8", "surrogateescape"))

    def size(value: int) -> str:
        return human_size(value, 4)

    def layer(row: Row) -> int:
        return row.item.version.layer

    columns: tuple[Column[Row], ...] = (
        _column("path", "Path", "PATH", lambda row: lossless(row.item.version.path), text),
        _column("type", "Type", "TYPE", lambda row: type_word(row.stat.mode)),
        _column("size", "Size", "SIZE", lambda row: row.stat.size, size),
        _column("layer", "Layer", "LAYER", layer),
        _column("hidden_by", "HiddenBy", "HIDDEN BY", lambda row: row.item.hidden.by),
        _column("how", "How", "HOW", lambda row: str(row.item.hidden.how)),
        _column("hidden_at", "HiddenAt", "HIDDEN AT", lambda row: lossless(row.item.hidden.at), text),
        _column("wasted", "Wasted", "WASTED", lambda row: row.item.wasted, size),
        _column("mode", "Mode", "MODE", lambda row: f"{stat.S_IMODE(row.stat.mode):04o}"),
        _column("uid", "UID", "UID", lambda row: row.stat.uid),
        _column("gid", "GID", "GID", lambda row: row.stat.gid),
        _column("mtime", "MTime", "MTIME", lambda row: rfc3339(row.stat.mtime_ns)),
        _column("nlink", "NLink", "NLINK", lambda row: row.stat.nlink),
        _column("inode", "Inode", "INODE", lambda row: row.stat.ino),
        _column("target", "Target", "TARGET", lambda row: row.target and lossless(row.target), text),
        diff_id_column(lambda row: subject.layer(layer(row)).diff_id),
        cache_id_column(lambda row: subject.layer(layer(row)).cache_id),
        _column(
            "backing_path",
            "BackingPath",
            "BACKING PATH",
            lambda row: backing_path(subject, layer(row), row.item.version.part),
        ),
        maker_column("created_by", "CreatedBy", "CREATED BY", layer),
        maker_column(
            "hidden_by_command", "HiddenByCommand", "HIDDEN BY COMMAND", lambda row: row.item.hidden.by
        ),
        _column("recovered", "Recovered", "RECOVERED", lambda row: row.copy and lossless(row.copy), text),
    )
    return Table(columns, RECOVERED if recovered else SHOWN)
