"""`layerfs report`: a page about a store, an image or a container, to keep, print and pass on."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import click

from ..main import FINDINGS
from ..options import root_option, type_option
from ..progress import phases, progress
from ..stores import evidence, find_names, open_root
from ..subjects import KINDS, names_argument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from layerfs.ids import ChainID, ImageID
    from layerfs.model import Container, Finding, Image
    from layerfs.store import Store
    from layerfs.views.export.newfile import NewFile

    from ..report.evidence import Witness
    from ..report.readback import ReadBack

__all__ = ["command"]

PAGE = "report.html"
STDOUT = "-"


@click.command("report")
@names_argument("[NAME]...")
@click.option("--all", "everything", is_flag=True, help="All images and containers of the store.")
@click.option(
    "-o",
    "--output",
    default=PAGE,
    show_default=True,
    metavar="FILE.html|FILE.json|-",
    help="The page to write; its twin in JSON is written beside it, with .json in place of .html. "
    "FILE.json: the twin alone. -: the page alone, to standard output.",
)
@click.option(
    "--verify", is_flag=True, help="Compare every layer's files with its archive too, as `layerfs verify`."
)
@click.option(
    "--reproducible", is_flag=True, help="Leave out times of this run and all that is only so on this host."
)
@click.option("-f", "--force", is_flag=True, help="Replace the files if they exist.")
@click.option(
    "--compare",
    "earlier",
    metavar="OLD.json",
    help="Say what changed since the report whose twin is OLD.json; then the exit code is 1. NAME may be the "
    "twin of a later report, a file ending in .json. Without NAME and --all: all, if OLD.json is of all.",
)
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
    earlier: str | None,
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
      layerfs report app:1 -o app.json && jq '.images[].hidden[].path' app.json
      layerfs report --compare monday.json -o friday.html
      layerfs report --compare monday.json ./friday.json -o changes.html
    """
    if everything and names:
        raise click.UsageError("give NAMEs, or --all, and not both")
    page_path, twin_path = _paths(output)
    old = _read_back(earlier) if earlier is not None else None
    later = _read_back(names[0]) if old and _is_twin(names) else None
    if old and not later:
        everything = everything or not (names or old.twin["scope"] != "all")
    if later and (verify or reproducible or kind):
        raise click.UsageError(
            "--verify, --reproducible and --type are for what is read: two twins are compared"
        )
    read = [item.place for item in (old, later) if item]
    with ExitStack() as files:
        if later:
            outputs = _outputs(ctx, files, (page_path, twin_path), read, force=force)
            twin = later.twin
        else:
            witness = files.enter_context(_witness())
            store, owners = _chosen(ctx, names, kind, everything=everything)
            outputs = _outputs(ctx, files, (page_path, twin_path), read, force=force)
            from ..report.twin import Asked, make_twin

            findings = _verified(store, owners, everything=everything) if verify else None
            with progress(owners, "Reading", len(owners)) as watched:
                twin = make_twin(Asked(store, owners, everything, reproducible, findings), witness, watched)
        if old:
            from ..report.compare import Side, compared

            twin["compared"] = compared(old.side, later.side if later else Side(twin))
        _write(twin, *outputs)
        _name_together(files)
    if page_path != STDOUT:
        click.echo("; ".join(_said(page_path, twin_path)))
    return _code(twin)


def _name_together(files: ExitStack) -> None:
    """Give the files their names: a signal waits meanwhile, so that there are both or none."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        files.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _code(twin: dict[str, Any]) -> int:
    """Whether something could not be read, or has changed; damage of an archived report is told in it."""
    changed = "compared" in twin and twin["compared"]["differences"]
    return FINDINGS if twin["problems"] or changed else 0


@contextmanager
def _witness() -> Iterator[Witness]:
    """A block in which each record that is read is noted."""
    from layerfs.witness import witnessed

    from ..report.evidence import Witness

    witness = Witness()
    with witnessed(witness.told):
        yield witness


def _is_twin(names: Sequence[str]) -> bool:
    return len(names) == 1 and names[0].lower().endswith(".json") and os.path.isfile(names[0])


def _read_back(path: str) -> ReadBack:
    """The twin of an earlier report."""
    from ..report.readback import BadTwin, read_back

    try:
        return read_back(path)
    except BadTwin as error:
        raise click.BadParameter(f"{path} {error}", param_hint="--compare") from error


def _outputs(
    context: click.Context,
    files: ExitStack,
    paths: Iterable[str | None],
    read: Sequence[tuple[int, int]],
    *,
    force: bool,
) -> list[NewFile | None]:
    """The files to write, by their paths; none may be one that was read."""
    return [_new_file(context, files, path, read, force=force) for path in paths]


def _paths(output: str) -> tuple[str | None, str | None]:
    """Where the page and the twin are written; None for what is not wanted."""
    if output == STDOUT:
        if sys.stdout.isatty():
            raise click.UsageError("a page is not for a terminal: use -o FILE.html, or redirect the output")
        return STDOUT, None
    stem, ending = os.path.splitext(output)
    if ending.lower() in (".html", ".htm"):
        return output, f"{stem}.json"
    if ending.lower() == ".json":
        return None, output
    raise click.BadParameter(f"{output!r} ends neither in .html nor in .json", param_hint="--output")


def _said(page_path: str | None, twin_path: str | None) -> Iterator[str]:
    if page_path:
        yield f"{page_path}: the page"
    if twin_path:
        yield f"{twin_path}: {'its' if page_path else 'the'} twin in JSON"


def _new_file(
    context: click.Context,
    files: ExitStack,
    path: str | None,
    read: Sequence[tuple[int, int]],
    *,
    force: bool,
) -> NewFile | None:
    """A file that appears at the end of the block; None for standard output, and for nothing."""
    from layerfs.views.export.newfile import NewFile
    from layerfs.views.place import BadTarget

    if path in (None, STDOUT):
        return None
    try:
        return files.enter_context(NewFile(os.fsencode(path), [*evidence(context), *read], force=force))
    except BadTarget as error:
        raise click.BadParameter(f"{path}: {error}", param_hint="--output") from error


def _write(twin: dict[str, Any], page_file: NewFile | None, twin_file: NewFile | None) -> None:
    """Write both whole, so that nothing but two names is missing when the first gets its name."""
    from ..report.page import page
    from ..report.twintext import twin_text

    digest = None
    if twin_file:
        noted = sha256()
        for line in twin_text(twin):
            noted.update(line)
            twin_file.write(line)
        digest = noted.hexdigest()
        twin_file.flush()
        if not page_file:
            return
    write = page_file.write if page_file else sys.stdout.buffer.write
    for piece in page(twin, digest):
        write(piece.encode("utf-8"))
    if page_file:
        page_file.flush()


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


def _verified(store: Store, owners: list[Image | Container], *, everything: bool) -> list[Finding]:
    """What `verify` finds in the images and layers of the report, or in all there are."""
    from layerfs.capabilities import Checkable, Verifiable, VerifyOptions, lacking

    images, chains = _wanted(store, owners)
    if not (images or chains or everything):
        return []
    with phases({"layers": "Verifying"}) as told:
        if isinstance(store, Checkable):
            return list(store.faults(None if everything else {*images, *chains}, told))
        if not isinstance(store, Verifiable):
            raise lacking(store, "verify")
        options = VerifyOptions(
            frozenset(("mode", "owner", "mtime", "xattr")), processes=len(os.sched_getaffinity(0))
        )
        named = [] if everything else [(name, None) for name in (*images, *chains)]
        return list(store.verification(named, options).findings(told))


def _wanted(store: Store, owners: list[Image | Container]) -> tuple[dict[ImageID, None], dict[ChainID, None]]:
    """The images, and the layers below the containers; in archives also the layers of the images."""
    from layerfs.capabilities import Checkable
    from layerfs.errors import CorruptStore
    from layerfs.model import Image

    images: dict[ImageID, None] = {}
    chains: dict[ChainID, None] = {}
    for owner in owners:
        if isinstance(owner, Image):
            images[owner.id] = None
            chains |= dict.fromkeys(owner.chain) if isinstance(store, Checkable) else {}
            continue
        try:
            chains |= dict.fromkeys(layer.chain_id for layer in store.layers_below(owner))
        except CorruptStore as error:
            store.report(error)
    return images, chains
