"""`layerfs report`: a page about a store, an image or a container, to keep, print and pass on."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from ..escape import json_text
from ..options import root_option, type_option
from ..progress import phases, progress
from ..stores import evidence, find_names, open_root
from ..subjects import KINDS, names_argument

if TYPE_CHECKING:
    from layerfs.model import Container, Finding, Image
    from layerfs.store import Store
    from layerfs.views.export.newfile import NewFile

__all__ = ["command"]

PAGE = "report.html"


@click.command("report")
@names_argument("[NAME]...")
@click.option("--all", "everything", is_flag=True, help="All images and containers of the store.")
@click.option(
    "-o",
    "--output",
    default=PAGE,
    show_default=True,
    metavar="FILE",
    help="The page to write; its twin in JSON is written beside it, with .json in place of .html.",
)
@click.option(
    "--verify", is_flag=True, help="Compare every layer's files with its archive too, as `layerfs verify`."
)
@click.option(
    "--reproducible", is_flag=True, help="Leave out times of this run and all that is only so on this host."
)
@click.option("-f", "--force", is_flag=True, help="Replace the files if they exist.")
@type_option(*KINDS[:2])
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    everything: bool,
    output: str,
    verify: bool,
    reproducible: bool,
    force: bool,
    kind: str | None,
) -> int:
    """Write a page about images and containers: one file for a browser, which needs no network.

    It shows where the bytes are, which images share layers, what each layer changed, what is hidden or
    deleted and still there, what doctor and verify find, and when things happened. The evidence part has the
    sha256 of every record that was read. A twin in JSON has all of it, also rows that the page leaves out.

    \b
    Examples:
      layerfs report nginx:latest -o nginx.html
      layerfs report --all --verify -o case-17.html
      layerfs report web db  # two containers
      jq '.images[].hidden[].path' nginx.json
    """
    from layerfs.witness import witnessed

    from ..report.evidence import Witness

    if everything and names:
        raise click.UsageError("give NAMEs, or --all, and not both")
    twin_path = _twin_path(output)
    witness = Witness()
    with witnessed(witness.told), ExitStack() as files:
        store, owners = _chosen(ctx, names, kind, everything=everything)
        written = [files.enter_context(_new_file(ctx, path, force=force)) for path in (twin_path, output)]
        from ..report.page import page
        from ..report.twin import Asked, make_twin

        findings = _verified(store, names) if verify else None
        with progress(owners, "Reading", len(owners)) as watched:
            twin = make_twin(Asked(store, list(watched), everything, reproducible, findings), witness)
        text = json_text(twin, indent=1) + "\n"
        written[0].write(text.encode("utf-8", "surrogateescape"))
        for piece in page(twin, text):
            written[1].write(piece.encode("utf-8"))
    click.echo(f"{output}: the page; {twin_path}: its twin in JSON")
    return 0


def _twin_path(output: str) -> str:
    """Where the twin is written: beside the page."""
    stem, dot, ending = output.rpartition(".")
    if dot and ending.lower() in ("html", "htm") and "/" not in ending:
        return f"{stem}.json"
    raise click.BadParameter(f"{output!r} does not end in .html", param_hint="--output")


def _new_file(context: click.Context, path: str, *, force: bool) -> NewFile:
    from layerfs.views.export.newfile import NewFile

    return NewFile(os.fsencode(path), evidence(context), force=force)


def _chosen(
    context: click.Context, names: tuple[str, ...], kind: str | None, *, everything: bool
) -> tuple[Store, list[Image | Container]]:
    """The store, and the images and containers that were asked for, each once."""
    from layerfs.analysis.store.listing import listed_images
    from layerfs.model import Container, Image

    if everything:
        store = open_root(context)
        listed = {item.image.id: item.image for item in listed_images(store)}
        return store, [*listed.values(), *store.containers()]
    found = find_names(context, names, "give NAMEs, or --all, and not both")
    stores = list(dict.fromkeys(item.store for item in found))
    if len(stores) > 1:
        raise click.UsageError("a report is about one store: these NAMEs are in several")
    owners = [stores[0].names.anything(item.name, (kind,) if kind else KINDS[:2]) for item in found]
    chosen = {owner.id: owner for owner in owners if isinstance(owner, (Image, Container))}
    return stores[0], [*chosen.values()]


def _verified(store: Store, names: tuple[str, ...]) -> list[Finding]:
    """What `verify` finds in the images and layers of the report."""
    from layerfs.capabilities import Checkable, Verifiable, VerifyOptions, lacking

    with phases({"layers": "Verifying"}) as told:
        if isinstance(store, Checkable):
            return list(store.faults(None, told))
        if not isinstance(store, Verifiable):
            raise lacking(store, "verify")
        options = VerifyOptions(
            frozenset(("mode", "owner", "mtime", "xattr")), processes=len(os.sched_getaffinity(0))
        )
        return list(store.verification([(name, None) for name in names], options).findings(told))
