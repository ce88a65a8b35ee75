"""`layerfs verify`: whether images and layers are what they were when they were pulled or built."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import click

from ..emit import emit
from ..main import FINDINGS
from ..options import format_option, no_trunc_option, root_option
from ..progress import clear_bar, phases
from ..rows.verdicts import Tally, finding_line, finding_table
from ..stores import find_names, find_thing, open_root
from ..subjects import names_argument, split_layer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from layerfs.analysis.doctor.findings import Finding
    from layerfs.capabilities import Checkable, Verifiable, VerifyOptions
    from layerfs.ids import ChainID, ImageID
    from layerfs.model import Named
    from layerfs.store import Store

__all__ = ["command"]

ASPECTS = ("mode", "owner", "mtime", "xattr")


class Chosen(NamedTuple):
    """What to check."""

    images: list[ImageID]
    chains: list[ChainID]


@click.command("verify")
@names_argument("[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Check every image and every layer, used or not.")
@click.option("--quick", is_flag=True, help="Check the records only; the files of layers are not read.")
@click.option("--no-attributes", is_flag=True, help="Check contents, types and links only.")
@click.option(
    "--ignore",
    metavar="LIST",
    callback=lambda _ctx, _param, text: _aspects(text),
    help=f"Ignore attributes that this copy has lost: some of {','.join(ASPECTS)}.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings and notes too.")
@click.option(
    "--list-all", is_flag=True, help="List every entry, even if a copy lost the same attributes of all."
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Check N layers at a time. Default: the number of processors.",
)
@no_trunc_option
@format_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    everything: bool,
    quick: bool,
    no_attributes: bool,
    ignore: frozenset[str],
    strict: bool,
    list_all: bool,
    jobs: int | None,
    no_trunc: bool,
    form: str,
) -> int:
    """Check that images and layers are unchanged since they were pulled or built.

    For an image the config is hashed, the chain IDs are computed, and the records of each layer are
    compared with both. For a layer the original tar is rebuilt and hashed, and every file is compared with
    its checksum and its header: content, type, permissions, owner, time, extended attributes and links.
    Missing and additional files are found too. NAME is an image, IMAGE@N, or a layer by any ID, short link
    or path. A layer is read once, however many images have it.

    For an archive every digest, size and diff ID is computed from the bytes, and the tars are read. With
    NAME only the layers of that image are read; the documents of the archive are always checked.

    The exit code is 1 if an error is found, or something cannot be read. Other warnings and notes are what
    cannot be checked, or is no sign of a change: a sparse file, a socket of a build. docs/verify.md lists
    the codes, and says what a clean result does not prove.

    \b
    Examples:
      layerfs verify nginx:latest
      layerfs verify --all --strict
      layerfs verify --ignore owner,mtime nginx@3  # a copy that lost these
      layerfs verify --all --format '{{.Severity}} {{.Path}}' | grep ^error
    """
    from layerfs.capabilities import VerifyOptions

    aspects = frozenset() if no_attributes else frozenset(ASPECTS) - ignore
    options = VerifyOptions(aspects, quick, list_all, jobs or len(os.sched_getaffinity(0)))
    chosen = _stores(ctx, names, everything=everything)
    checks = [_check(store, within, options) for store, within in chosen]
    if form == "table":
        for check in checks:
            for finding in check.findings():
                clear_bar(sys.stdout)
                click.echo(finding_line(finding, check.store.path, full=no_trunc))
            click.echo(check.tally.summary())
    else:
        emit(finding_table(), (finding for check in checks for finding in check.findings()), form)
    severities = sum((check.tally.severities for check in checks), Counter[str]())
    is_wrong = severities["error"] or any(check.tally.unread for check in checks)
    return FINDINGS if is_wrong or (strict and severities.total()) else 0


class StoreCheck(NamedTuple):
    """The check of one store."""

    store: Store
    tally: Tally
    found: Iterable[Finding]

    def findings(self) -> Iterator[Finding]:
        """The findings, which are counted here."""
        return self.tally.counted(self.found)


def _stores(
    context: click.Context, names: tuple[str, ...], *, everything: bool
) -> list[tuple[Store, tuple[str, ...]]]:
    """The stores to check, and the names in each; no names for all that is in it."""
    if everything and names:
        raise click.UsageError("give a NAME, or --all, and not both")
    if everything:
        return [(open_root(context), ())]
    found = [find_thing(context, name) for name in names]
    found = found or find_names(context, (), "give a NAME, or --all, and not both")
    by_store: dict[Store, list[str]] = {}
    for store, name, _ in found:
        by_store.setdefault(store, []).append(name)
    return [(store, tuple(within)) for store, within in by_store.items()]


def _check(store: Store, names: tuple[str, ...], options: VerifyOptions) -> StoreCheck:
    """Prepare the check of one store; raises `NotInThisKind`."""
    from layerfs.capabilities import Checkable, Verifiable, lacking

    if isinstance(store, Checkable):
        if options.quick or len(options.aspects) < len(ASPECTS):
            raise click.UsageError(f"{store.noun} takes no --quick, --ignore or --no-attributes")
        chosen = _in_archive(store, names)
        wanted: set[ImageID | ChainID] | None = {*chosen.images, *chosen.chains} if names else None
        return StoreCheck(store, Tally(len(chosen.images), len(chosen.chains)), _by_digests(store, wanted))
    if not isinstance(store, Verifiable):
        raise lacking(store, "verify")
    here = os.fsencode(os.path.abspath(store.path))
    return StoreCheck(store, *_by_files(store, names, options._replace(path=here)))


def _aspects(text: str | None) -> frozenset[str]:
    given = frozenset(part for part in (text or "").split(",") if part)
    if unknown := sorted(given.difference(ASPECTS)):
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(ASPECTS)}", param_hint="--ignore")
    return given


def _in_archive(store: Store, names: tuple[str, ...]) -> Chosen:
    """The images and layers of the names, or all; raises `LookupFailed`."""
    from layerfs.model import Image, Layer

    subjects: list[tuple[Named, str | None, int | None]] = []
    for given in names:
        name, number = split_layer(given)
        subjects.append((store.find(name) if number is None else store.image(name), name, number))
    if not names:
        subjects = [(image, None, None) for image in map(store.read_image, store.image_ids())]
    images: list[ImageID] = []
    chains: list[ChainID] = []
    for subject, called, number in subjects:
        if isinstance(subject, Image):
            images.append(subject.id)
            depth = None if number is None else store.layer_number(subject, number, called)
            chains += subject.chain[:depth]
        elif isinstance(subject, Layer):
            chains.append(subject.chain_id)
    return Chosen(list(dict.fromkeys(images)), list(dict.fromkeys(chains)))


def _by_digests(store: Checkable, wanted: Collection[ImageID | ChainID] | None) -> Iterator[Finding]:
    """The findings of hashing the wanted images and layers, or all."""
    with phases({"layers": "Verifying"}) as told:
        yield from store.faults(wanted, told)


def _by_files(
    store: Verifiable, names: tuple[str, ...], options: VerifyOptions
) -> tuple[Tally, Iterator[Finding]]:
    """The findings of comparing files with tars, for the names or for all."""
    check = store.verification(list(map(split_layer, names)), options)
    tally = Tally(check.images, check.layers)

    def findings() -> Iterator[Finding]:
        with phases({"layers": "Verifying"}) as told:
            yield from check.findings(told)
        if not options.quick:
            tally.proved(check.proven, check.proven_size, check.seconds)

    return tally, findings()
