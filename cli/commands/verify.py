"""`layerfs verify`: whether images and layers are what they were when they were pulled or built."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

import click

from ..main import FINDINGS
from ..output import emit, format_option, no_trunc_option
from ..params import root_option
from ..progress import clear_bar, phases
from ..subjects import complete_names, open_root, split_layer
from ..verdicts import Tally, finding_line, finding_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.analysis.doctor.findings import Finding
    from layerfs.capabilities import Verifiable, VerifyOptions
    from layerfs.ids import ChainID, ImageID
    from layerfs.model import Named
    from layerfs.store import Store

__all__ = ["command"]

ASPECTS = ("mode", "owner", "mtime", "xattr")


class Chosen(NamedTuple):
    """What is to be checked."""

    images: list[ImageID]
    chains: list[ChainID]


@click.command("verify")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_names)
@click.option("--all", "everything", is_flag=True, help="Every image and every layer, used or not.")
@click.option("--quick", is_flag=True, help="The records only: the files of layers are not read.")
@click.option("--no-attributes", is_flag=True, help="Contents, types and links only.")
@click.option(
    "--ignore",
    metavar="LIST",
    callback=lambda _ctx, _param, text: _aspects(text),
    help=f"Attributes that this copy is known to have lost: some of {','.join(ASPECTS)}.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings and notes too.")
@click.option("--list-all", is_flag=True, help="Name every entry, also where a copy lost the same of all.")
@click.option(
    "--jobs", type=click.IntRange(1), metavar="N", help="Layers at a time; default: all processors."
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
    root: str,  # noqa: ARG001 - read from the context
) -> int:
    """Check that images and layers are what they were when they were pulled or built.

    Of an image the config is hashed, the chain IDs are computed, and the records of each layer compared
    with both. Of a layer the original tar is made anew and hashed, and every file is compared with its
    checksum and its header: content, type, permissions, owner, time, extended attributes, links; so is
    what is missing, and what is there besides. NAME is an image, IMAGE@N, or a layer by any ID, short link
    or path. A layer is read once, however many images have it.

    Of an archive every digest, size and diff ID is computed from the bytes, and the tars are read. With NAME
    only the layers of that image are; the archive's own documents always are.

    Exits with 1 where an error is found. Warnings and notes are what cannot be checked, or is no
    sign of a change: a sparse file, a socket of a build. docs/verify.md lists the codes, and says what a
    clean result does not prove.

    \b
    Examples:
      layerfs verify nginx:latest
      layerfs verify --all --strict
      layerfs verify --ignore owner,mtime nginx@3  # a copy that lost these
      layerfs verify --all --format '{{.Severity}} {{.Path}}' | grep ^error
    """
    if bool(names) == everything:
        raise click.UsageError("give a NAME, or --all, and not both")
    from layerfs.capabilities import Checkable, Verifiable, VerifyOptions, lacking

    store = open_root(ctx)
    aspects = frozenset() if no_attributes else frozenset(ASPECTS) - ignore
    if isinstance(store, Checkable):
        if quick or len(aspects) < len(ASPECTS):
            raise click.UsageError(f"{store.noun} takes no --quick, --ignore or --no-attributes")
        chosen = _in_archive(store, names)
        tally = Tally(len(chosen.images), len(chosen.chains))
        found = store.faults({*chosen.images, *chosen.chains} if names else None)
    elif isinstance(store, Verifiable):
        here = os.fsencode(os.path.abspath(store.path))
        options = VerifyOptions(aspects, quick, list_all, jobs or len(os.sched_getaffinity(0)), here)
        tally, found = _by_files(store, names, options)
    else:
        raise lacking(store)
    _show(tally.counted(found), tally, store.path, form, full=no_trunc)
    return FINDINGS if tally.severities["error"] or (strict and tally.severities.total()) else 0


def _show(found: Iterator[Finding], tally: Tally, place: str, form: str, *, full: bool) -> None:
    if form != "table":
        emit(finding_table(), found, form)
        return
    for finding in found:
        clear_bar(sys.stdout)
        click.echo(finding_line(finding, place, full=full))
    click.echo(tally.summary())


def _aspects(text: str | None) -> frozenset[str]:
    given = frozenset(part for part in (text or "").split(",") if part)
    if unknown := sorted(given.difference(ASPECTS)):
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(ASPECTS)}", param_hint="--ignore")
    return given


def _in_archive(store: Store, names: tuple[str, ...]) -> Chosen:
    """The images and layers that the names mean, or all; raises `LookupFailed`."""
    from layerfs.model import Image, Layer

    subjects: list[tuple[Named, int | None]] = []
    for given in names:
        name, number = split_layer(given)
        subjects.append((store.image(name) if number is not None else store.find(name), number))
    if not names:
        subjects = [(image, None) for image in map(store.read_image, store.image_ids())]
    images: list[ImageID] = []
    chains: list[ChainID] = []
    for subject, number in subjects:
        if isinstance(subject, Image):
            images.append(subject.id)
            chains += subject.chain[: number and store.layer_number(subject, number)]
        elif isinstance(subject, Layer):
            chains.append(subject.chain_id)
    return Chosen(list(dict.fromkeys(images)), list(dict.fromkeys(chains)))


def _by_files(
    store: Verifiable, names: tuple[str, ...], options: VerifyOptions
) -> tuple[Tally, Iterator[Finding]]:
    """What is found by comparing the files of what the names mean, or of all, with their tars."""
    check = store.verification(list(map(split_layer, names)), options)
    tally = Tally(check.images, check.layers)

    def findings() -> Iterator[Finding]:
        with phases({"layers": "Verifying"}) as told:
            yield from check.findings(told)
        tally.proved(check.proven, check.proven_size, check.seconds)

    return tally, findings()
