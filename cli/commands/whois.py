"""`layerfs whois`: the layer behind an ID, a link or a path, its command, and everyone using it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from ..emit import emit
from ..main import EXIT_CODES, FINDINGS
from ..messages import say_error
from ..options import format_option, root_option
from ..rows.whois import WHOIS_TABLE, WhoisRow, whois_lines
from ..stores import find_thing
from ..subjects import complete_names

if TYPE_CHECKING:
    from layerfs.store import Store

__all__ = ["command"]


@click.command("whois")
@click.argument("things", metavar="THING...", nargs=-1, required=True, shell_complete=complete_names)
@format_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    things: tuple[str, ...],
    form: str,
) -> int:
    """Show what an ID, name or path belongs to: its layer, the command that made it, and its users.

    THING is what an alert, a log or another tool shows: a cache ID, a short link, a chain ID, a diff ID,
    the digest of a blob or manifest, the number or key of a snapshot, an image or container, the beginning
    of an ID, or a path below the root. The path can be that of another host: /var/lib/docker/overlay2/...
    also works if --root is a copy elsewhere. For a path in a layer the trees that still show it are listed
    too; for a path in a merged/ directory, the layer that supplies it.

    The exit code is 1 if nothing uses it, 3 if it is not found in this root, 4 if what could tell is gone,
    and 5 if it is an image whose config is damaged or missing.

    \b
    Examples:
      layerfs whois /var/lib/docker/overlay2/0c3a…/diff/usr/bin/x
      layerfs whois 7Q2XUW… sha256:4f18858eae9d…
      layerfs whois --format '{{.Thing}} {{.Orphan}}' $(ls /mnt/docker/overlay2)
    """
    from layerfs.analysis.store.whois import Whois
    from layerfs.errors import CorruptStore, LookupFailed, NameLost

    known: dict[Store, Whois] = {}
    rows: list[WhoisRow] = []
    failures: list[CorruptStore | LookupFailed] = []
    for thing in things:
        try:
            store, name, _ = find_thing(ctx, thing)
            if store not in known:
                known[store] = Whois(store, os.fsencode(os.path.abspath(store.path)))
            rows += (WhoisRow(thing, answer, store) for answer in known[store].answers(name))
        except (CorruptStore, LookupFailed) as error:
            failures.append(error)
    if ctx.get_parameter_source("form") == ParameterSource.DEFAULT:
        for number, row in enumerate(rows):
            sys.stdout.writelines(["\n"] * bool(number))
            sys.stdout.writelines(whois_lines(row))
    else:
        emit(WHOIS_TABLE, rows, form)
    for failure in failures:
        say_error(failure)
    if failures:
        if any(isinstance(failure, NameLost) for failure in failures):
            return FINDINGS if rows else EXIT_CODES["DataRootError"]
        strange = any(isinstance(failure, LookupFailed) for failure in failures)
        return EXIT_CODES["LookupFailed" if strange else "CorruptStore"]
    return FINDINGS if any(row.answer.orphan for row in rows) else 0
