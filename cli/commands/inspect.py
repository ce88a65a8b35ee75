"""`layerfs inspect`: all that is known of images, containers and layers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ..emit import emit_objects
from ..messages import say_error
from ..options import root_option, type_option
from ..stores import find_name
from ..subjects import KINDS, names_argument

if TYPE_CHECKING:
    from layerfs.errors import LayerfsError
    from layerfs.store import Store

__all__ = ["command"]

PARTLY = 1


@click.command("inspect")
@names_argument("NAME...")
@type_option(*KINDS)
@click.option("-s", "--size", is_flag=True, help="Also measure containers and their own layers.")
@click.option(
    "-f",
    "--format",
    "form",
    default="json",
    metavar="FORMAT",
    shell_complete=lambda _context, _parameter, typed: [
        CompletionItem(name) for name in ("json", "jsonl") if name.startswith(typed)
    ],
    help="json, jsonl, or a Go template such as '{{.RootFS.Layers}}' or '{{json .Config}}'.",
)
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    kind: str | None,
    size: bool,
    form: str,
) -> int:
    """Show all that is known of images, containers and layers, as `docker inspect` does.

    NAME is a reference, a container's name, an ID, any name of a layer (chain ID, diff ID, cache ID, short
    link, digest of its blob), or the beginning of an ID.

    Two keys are not Docker's: type tells what was found, and Layers has the IDs, directories and digests in
    registries of each layer, base first. Paths of files in the data root are those where they are now;
    RecordedPaths has them as the engine wrote them. The State of a container is the one last recorded.

    \b
    Examples:
      layerfs inspect nginx:latest
      layerfs inspect -f '{{.GraphDriver.Data.LowerDir}}' nginx:latest
      layerfs inspect -f '{{range .Layers}}{{println .CacheID}}{{end}}' nginx
      cat "$(layerfs inspect -f '{{.LogPath}}' web)"
      layerfs inspect --type layer 7Q2XUW…  # the layer of a short link
    """
    from layerfs.analysis.store.inspect import Inspector
    from layerfs.errors import CorruptStore, LookupFailed, StoreGone

    inspectors: dict[Store, Inspector] = {}
    documents = []
    failures: list[LayerfsError] = []
    for word in names or (None,):
        try:
            store, name, _ = find_name(ctx, word)
            if store not in inspectors:
                inspectors[store] = Inspector(store, os.path.abspath(store.path), sizes=size)
            found = store.names.anything(name, (kind,) if kind else KINDS)
            documents.append(inspectors[store].describe(found))
        except (LookupFailed, CorruptStore) as error:
            failures.append(error)
    emit_objects(documents, form)
    for failure in failures[:-1]:
        say_error(failure)
    if failures and not (documents and isinstance(failures[-1], StoreGone)):
        raise failures[-1]
    if failures:
        say_error(failures[-1])
        return PARTLY
    return 0
