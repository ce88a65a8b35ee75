"""`layerfs hashes`: digests of files, as sha256sum(1) lists them."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from ..emit import emit
from ..options import choice, format_option, one_of
from ..places import Words, open_place, place_argument
from ..progress import progress
from ..rows.entries import Complaints, escaped, lossless
from ..subjects import open_subject, subject_options, tree_path
from ..table import Column, Table
from ..units import human_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from layerfs.analysis.tree.hashes import Hashed, HashedFile
    from layerfs.model import LayerInfo
    from layerfs.subject import Subject


__all__ = ["command"]

_ESCAPES = {b"\\": rb"\\", b"\n": rb"\n", b"\r": rb"\r"}
"""Of coreutils: a name that has one of these is escaped, and a backslash begins its line."""

_SHOWN = ("Digest", "Size", "Layer", "State", "Path")


class Row(NamedTuple):
    """A file with its digest, and where it lies."""

    hashed: Hashed
    algorithm: str
    layer: LayerInfo | None
    backing: str

    @property
    def file(self) -> HashedFile:
        """The file."""
        return self.hashed.file


def _algorithm(name: str) -> Callable[..., Any]:
    return click.option(f"--{name}", **one_of("algorithm"), help=f"List {name} digests.")


@click.command("hashes")
@place_argument("[PATH]...")
@click.option(
    "--all-versions",
    "every",
    is_flag=True,
    help="List every version in every layer, hidden ones too, by its path in the data root.",
)
@_algorithm("md5")
@_algorithm("sha1")
@_algorithm("sha512")
@click.option(
    "-z",
    "--zero",
    is_flag=True,
    help="End each line with NUL instead of a line feed, and do not escape names.",
)
@format_option
@subject_options
@click.pass_context
def command(
    ctx: click.Context,
    place: Words,
    every: bool,
    zero: bool,
    form: str,
    kind: str | None,
    up_to: int | None,
    layer: int | None,
) -> int:
    """List digests of all files of an image, container or layer, as sha256sum does.

    Regular files are listed: all, or those at and below PATH. Paths are relative to the root of the tree,
    so that `sha256sum -c` accepts the list in a mount or a copy of it.

    With --all-versions every version of a file in every layer is listed, hidden ones too. Its path is
    relative to the data root; in an archive it is the member of the layer, and the path in it. --format
    also shows the layer, the state, and what hides a version. The exit code is 1 if a file could not be
    read, and 6 if it is one of those named.

    \b
    Examples:
      layerfs hashes nginx:latest > nginx.sha256
      cd /mnt && sha256sum -c nginx.sha256  # in a mount of it
      layerfs hashes --md5 nginx:latest /usr/bin
      layerfs hashes --all-versions nginx > known
      cd /var/lib/docker && sha256sum -c --quiet known  # the layers themselves
    """
    given = ctx.get_parameter_source("form") != ParameterSource.DEFAULT
    if zero and given:
        raise click.UsageError("--zero and --format exclude each other")
    at = open_place(ctx, place)
    subject = open_subject(at.store, at.name, kind=kind, up_to=up_to, layer=layer)
    algorithm = str(choice(ctx, "algorithm", "sha256"))
    complaints = Complaints()
    complaints.ask(subject.tree, *map(tree_path, at.paths or ("/",)), follow=True)
    files = _files(subject, at.paths, complaints, every=every)
    rows = _rows(subject, files, algorithm, complaints)
    if given:
        emit(_table(algorithm), rows, form)
    else:
        _print(
            rows, _lying(at.store.path.rstrip("/")) if every else lambda row: b"." + row.file.path, zero=zero
        )
    return complaints.code


def _files(
    subject: Subject, paths: Sequence[str], complaints: Complaints, *, every: bool
) -> list[HashedFile]:
    from layerfs.analysis.tree.hashes import every_version, shown_files
    from layerfs.errors import TreeError

    wanted = [tree_path(path) for path in paths] or [b"/"]
    if every:
        tops = [b"/" + path.strip(b"/") for path in wanted]
        return every_version(subject.tree, tops, complaints.add)
    nodes = []
    for path in wanted:
        try:
            nodes.append(subject.tree.resolve(path))
        except TreeError as error:
            complaints.refuse(error)
    return shown_files(subject.tree, nodes, complaints.add)


def _rows(
    subject: Subject, files: Sequence[HashedFile], algorithm: str, complaints: Complaints
) -> Iterator[Row]:
    from layerfs.analysis.tree.hashes import hashes

    found = hashes(subject.tree, files, algorithm, len(os.sched_getaffinity(0)))
    # a list on the terminal shows how far it is
    with nullcontext(found) if sys.stdout.isatty() else progress(found, "Hashing", len(files)) as watched:
        for hashed in watched:
            if hashed.error:
                complaints.add(hashed.error)
            place, path = hashed.file.data
            label = subject.tree.layers[place].label
            layer = subject.layers[hashed.file.part.layer]
            yield Row(hashed, algorithm, layer, f"{label}/{os.fsdecode(path)}")


# -- lines ---------------------------------------------------------------------------------------


def _lying(root: str) -> Callable[[Row], bytes | None]:
    """Names by where files lie, each once, though several paths or metacopies may have led there.

    They are relative to the store at `root`; behind an archive's name stands a colon, then the member's.
    """
    seen: set[str] = set()

    def name(row: Row) -> bytes | None:
        if row.backing in seen:
            return None
        seen.add(row.backing)
        return b"./" + os.fsencode(row.backing.removeprefix(f"{root}/").removeprefix(f"{root}:"))

    return name


def _print(rows: Iterable[Row], name_of: Callable[[Row], bytes | None], *, zero: bool) -> None:
    for row in rows:
        name = name_of(row)
        if row.hashed.digest is None or name is None:
            continue
        digest = row.hashed.digest.encode()
        if zero:
            sys.stdout.buffer.write(digest + b"  " + name + b"\0")
        elif sys.stdout.isatty():
            sys.stdout.write(f"{row.hashed.digest}  {escaped(name)}\n")
        else:
            sys.stdout.buffer.write(_line(digest, name))


def _line(digest: bytes, name: bytes) -> bytes:
    """A line of sha256sum(1)."""
    if not any(special in name for special in _ESCAPES):
        return digest + b"  " + name + b"\n"
    for special, shown in _ESCAPES.items():
        name = name.replace(special, shown)
    return b"\\" + digest + b"  " + name + b"\n"


# -- columns -------------------------------------------------------------------------------------


def _column(key: str, placeholder: str, value: Callable[[Row], Any], words: Any = None) -> Column[Row]:
    return Column(key, value, placeholder, placeholder.upper(), words)


def _table(algorithm: str) -> Table[Row]:
    def identity(name: str) -> Callable[[Row], str | None]:
        def text(row: Row) -> str | None:
            found = getattr(row.layer, name, None)
            return None if found is None else str(found)

        return text

    columns: tuple[Column[Row], ...] = (
        _column("path", "Path", lambda row: lossless(row.file.path), lambda row: escaped(row.file.path)),
        Column("algorithm", lambda row: row.algorithm, "Algorithm", "ALGORITHM"),
        Column("digest", lambda row: row.hashed.digest, "Digest", algorithm.upper()),
        _column(
            "size", "Size", lambda row: row.file.stat.size, lambda row: human_size(row.file.stat.size, 4)
        ),
        _column("nlink", "NLink", lambda row: row.file.stat.nlink),
        _column("inode", "Inode", lambda row: row.file.stat.ino),
        _column("state", "State", lambda row: "hidden" if row.file.hidden else "visible"),
        _column("layer", "Layer", lambda row: row.layer.number if row.layer else None),
        _column("diff_id", "DiffID", identity("diff_id")),
        _column("chain_id", "ChainID", identity("chain_id")),
        _column("cache_id", "CacheID", identity("cache_id")),
        Column(
            "hidden_by", lambda row: row.file.hidden.by if row.file.hidden else None, "HiddenBy", "HIDDEN BY"
        ),
        _column("how", "How", lambda row: str(row.file.hidden.how) if row.file.hidden else None),
        Column("backing_path", lambda row: row.backing, "BackingPath", "BACKING PATH"),
    )
    return Table(columns, _SHOWN)
