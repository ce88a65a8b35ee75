"""`layerfs cp`: files and directories of images, containers and layers, copied to the host."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

import click

from ..copying import reason, tell_not_kept
from ..main import FINDINGS
from ..messages import say
from ..places import complete_source, open_words, split_source
from ..progress import progress
from ..rows.entries import Complaints, lossless
from ..stores import evidence, find_name
from ..subjects import open_subject, subject_options, tree_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.subject import Subject
    from layerfs.tree.node import Node
    from layerfs.views.copyout import CopyOut
    from layerfs.views.copytree import Copied
    from layerfs.views.place import Destination

__all__ = ["command"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors after which every further copy would fail too."""


class Source(NamedTuple):
    """A source of a copy; `name` is None for the contents of a directory."""

    subject: Subject
    node: Node
    name: bytes | None


@click.command("cp")
@click.argument("sources", metavar="NAME:/PATH...", nargs=-1, shell_complete=complete_source)
@click.argument("dest", metavar="DEST", type=click.Path())
@click.option(
    "-L",
    "--follow-link",
    "follow",
    is_flag=True,
    help="If PATH is a symbolic link, copy what it leads to in its tree.",
)
@click.option(
    "--force", is_flag=True, help="Replace existing files, and set the attributes of existing directories."
)
@click.option("--specials", is_flag=True, help="Create FIFOs, sockets and devices too.")
@subject_options
@click.pass_context
def command(
    ctx: click.Context,
    sources: tuple[str, ...],
    dest: str,
    follow: bool,
    force: bool,
    specials: bool,
    kind: str | None,
    up_to: int | None,
    layer: int | None,
) -> int:
    """Copy files and directories of an image, container or layer to the host.

    As with `docker cp` and cp(1), sources are copied into DEST if it is a directory; otherwise the source
    becomes DEST. PATH/. means the contents of a directory. Mode, times, links and holes are kept, and
    owners and extended attributes if you may set them. Symbolic links are copied as links. An existing file
    is not replaced, and nothing is written outside DEST, or through a link in it.

    \b
    Examples:
      layerfs cp nginx:latest:/etc/nginx .
      layerfs cp nginx@2:/etc/passwd old-passwd  # as of its second layer
      layerfs cp web:/var/log/. logs             # what is in the directory
      layerfs cp -L nginx:/etc/os-release osrel  # the file that the link leads to
    """
    from layerfs.views.copyout import CopyOut

    if not sources:
        raise click.UsageError("Missing argument 'DEST'.")
    if dest == "-":
        raise click.UsageError("a tar stream is not written; name a file ./-, or use `layerfs cat`")
    complaints = Complaints()

    def opened(name: str | None) -> Subject:
        found = find_name(ctx, name)
        return open_subject(found.store, found.name, kind=kind, up_to=up_to, layer=layer)

    unnamed = open_words(ctx, sources) is not None
    places = [(None, text) if unnamed else split_source(text) for text in sources]
    wanted = list(_sources(places, opened, complaints, follow=follow))
    forbidden = evidence(ctx)
    destination = _destination(forbidden, dest, several=len(sources) > 1)
    with CopyOut(destination.fd, merge=True, replace=force, specials=specials, forbidden=forbidden) as copy:
        copies = _Copies(copy, dest, complaints)
        for source in wanted:
            copies.make(source, destination.name)
    copies.finish()
    return complaints.code or (FINDINGS if copies.failed else 0)


def _sources(
    places: Iterable[tuple[str | None, str]],
    opened: Callable[[str | None], Subject],
    complaints: Complaints,
    *,
    follow: bool,
) -> Iterator[Source]:
    """The sources that the arguments name; a missing one is a complaint."""
    from layerfs.errors import TreeError

    subjects: dict[str | None, Subject] = {}
    for name, typed in places:
        path = tree_path(typed)
        subject = subjects[name] if name in subjects else subjects.setdefault(name, opened(name))
        try:
            node = subject.tree.resolve(path, follow=follow)
        except TreeError as error:
            complaints.refuse(error)
            continue
        last = path.rstrip(b"/").rpartition(b"/")[2]
        yield Source(subject, node, None if last in (b"", b".", b"..") else last)


def _destination(forbidden: set[tuple[int, int]], dest: str, *, several: bool) -> Destination:
    from layerfs.views.place import BadTarget, open_destination

    try:
        found = open_destination(os.fsencode(dest), forbidden)
    except BadTarget as error:
        raise click.BadParameter(f"{dest}: {error}", param_hint="DEST") from error
    if several and found.name is not None:
        os.close(found.fd)
        raise click.BadParameter(
            f"{dest}: no directory, and there are several things to copy", param_hint="DEST"
        )
    return found


class _Copies:
    """The copies of one run, and the messages about them."""

    def __init__(self, copy: CopyOut, dest: str, complaints: Complaints) -> None:
        self._copy = copy
        self._dest = dest
        self._complaints = complaints
        self._specials = 0
        self.failed = False

    def make(self, source: Source, name: bytes | None) -> None:
        """Copy one source: as `name`, or with its own name into the directory."""
        from layerfs.tree.walk import walk
        from layerfs.views.copytree import copy_tree

        if name is not None and self._dest.endswith("/") and not source.node.is_dir:
            raise click.BadParameter(f"{self._dest}: there is no such directory", param_hint="DEST")
        path = name if name is not None else source.name or b""
        tree = source.subject.tree
        visits = list(walk(tree, source.node))
        results = copy_tree(tree, visits, path, self._copy)
        with progress(results, "Copying", len(visits)) as bar:
            for result in bar:
                if result.error:
                    self._tell(source, result, result.error, named=name is not None)

    def _tell(self, source: Source, result: Copied, error: OSError, *, named: bool) -> None:
        from layerfs.errors import TreeError
        from layerfs.views.copyout import NotCopied

        if isinstance(error, TreeError):
            is_asked = result.node is source.node
            (self._complaints.refuse if is_asked else self._complaints.add)(error)
        elif isinstance(error, NotCopied) and result.node is not source.node:
            self._specials += 1
        elif error.errno in _FULL:
            raise OSError(error.errno, reason(error), self._place(result.path, named=named)) from error
        else:
            hint = ""
            if isinstance(error, NotCopied):
                hint = "; --specials makes it"
            elif isinstance(error, FileExistsError) and not result.node.is_dir:
                hint = "; --force replaces it"
            self._complain(result.path, f"{reason(error)}{hint}", named=named)

    def finish(self) -> None:
        """Report attributes that could not be kept."""
        for path, error in self._copy.unfinished:
            self._complain(path, reason(error), named=False)
        tell_not_kept(self._copy)
        if self._specials:
            say("warning", f"{self._specials} FIFOs, sockets or devices not copied; --specials makes them")

    def _complain(self, path: bytes, why: str, *, named: bool) -> None:
        self.failed = True
        say("error", f"{self._place(path, named=named)}: {why}")

    def _place(self, path: bytes, *, named: bool) -> str:
        """The place of a copy, for messages."""
        place = self._dest.rstrip("/") or "/"
        if named:  # the first component is that of DEST
            path = path.partition(b"/")[2]
        return "/".join(filter(None, (place, lossless(path))))
