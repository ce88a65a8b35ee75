"""`layerfs doctor`: everything that is wrong with a data root, in one report."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from ..colors import color_option
from ..diagnoses import diagnosis_table, names_of, report_lines, row_of, summary
from ..output import emit, format_option, no_trunc_option
from ..params import root_option
from ..progress import byte_progress, progress
from ..subjects import open_data_root

if TYPE_CHECKING:
    from layerfs.ids import ChainID
    from layerfs.stores.docker.checks.doctor import Diagnosis, Doctor

__all__ = ["command"]

FINDINGS, STORE_GONE = 1, 4
SEVERITIES = ("error", "warning", "note")


@click.command("doctor")
@click.option("--quick", is_flag=True, help="Do not count files: no sizes of layers, no bytes of findings.")
@click.option("--verify", is_flag=True, help="Compare every layer's files with its archive too.")
@click.option(
    "--severity",
    type=click.Choice(SEVERITIES),
    default="note",
    show_default=True,
    help="Leave out what is less severe.",
)
@no_trunc_option
@color_option
@format_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    quick: bool,
    verify: bool,
    severity: str,
    no_trunc: bool,
    form: str,
    root: str,  # noqa: ARG001 - read from the context
) -> int:
    """Find all that is damaged, missing, orphaned, left over, half-written or stale in a data root.

    Of each finding it says what an Engine would do with it when it starts and later, which images and
    containers it concerns, what it takes on disk, and what an administrator could do. Nothing is changed.
    The contents of layers are read with --verify only. Exits with 1 where an error or a warning is found,
    with 0 where there are but notes, and with 4 where half of the store is not there.

    \b
    Examples:
      layerfs doctor
      layerfs doctor --quick --severity warning
      layerfs doctor --verify  # also names every altered file of every layer
      layerfs doctor --format jsonl | jq -r 'select(.group == "orphaned") | .path'
      layerfs doctor --format '{{.Code}} {{.Subject}}'
    """
    from layerfs.stores.docker.checks.doctor import Doctor

    if quick and verify:
        raise click.UsageError("--quick and --verify exclude each other")
    data_root = open_data_root(ctx)
    doctor = Doctor(data_root)
    found = doctor.examine() if quick else _examined(doctor, verify=verify)
    wanted = SEVERITIES[: SEVERITIES.index(severity) + 1]
    rows = [row_of(item) for item in found if item.finding.severity in wanted]
    if form == "table":
        for line in report_lines(rows, data_root.path, names_of(data_root), full=no_trunc):
            sys.stdout.write(line + "\n")
        total = None if quick else doctor.allocation.total
        click.echo(summary(rows, total, complete=doctor.allocation.complete))
    else:
        emit(diagnosis_table(full=no_trunc), rows, form)
    if data_root.gone:
        return STORE_GONE
    return FINDINGS if any(item.finding.severity != "note" for item in found) else 0


def _examined(doctor: Doctor, *, verify: bool) -> list[Diagnosis]:
    """Everything that is found when files are counted, or read, and what it costs."""
    found = doctor.examine()
    compared = set(_compared(doctor, found)) if verify else set()
    others = [chain for chain in doctor.layers if chain not in compared]
    with progress(others, "Counting layers", len(others)) as layers:
        for chain in layers:
            found += doctor.sizes(chain)
    with progress(found, "Counting findings", len(found)) as watched:
        found = [doctor.priced(item) for item in watched]
    return doctor.ordered(found)


def _compared(doctor: Doctor, found: list[Diagnosis]) -> list[ChainID]:
    """Compare layers with their archives, and add what is found; the layers for which there is one."""
    from layerfs.stores.docker.checks.verification import Choice, Verification

    verification = Verification(doctor.root, Choice())
    jobs = verification.jobs(doctor.layers)
    with byte_progress("Verifying", sum(job.work for job in jobs)) as advance:
        processes = len(os.sched_getaffinity(0))
        for _, verdict in verification.run(jobs, processes, lambda _job, amount: advance(amount)):
            found += map(doctor.judged, verdict.findings)
    return [job.chain_id for job in jobs]
