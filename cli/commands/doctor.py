"""`layerfs doctor`: everything that is wrong with a data root, in one report."""

from __future__ import annotations

import os
import sys

import click

from ..colors import color_option
from ..emit import emit
from ..options import format_option, no_trunc_option, root_option
from ..progress import phases
from ..rows.diagnoses import diagnosis_table, report_lines, row_of, summary
from ..stores import open_root

__all__ = ["command"]

FINDINGS, STORE_GONE = 1, 4
SEVERITIES = ("error", "warning", "note")


@click.command("doctor")
@click.option("--quick", is_flag=True, help="Read the records alone: count no files, read no tar-split data.")
@click.option("--verify", is_flag=True, help="Compare every layer's files with its archive too.")
@click.option(
    "--severity",
    type=click.Choice(SEVERITIES),
    default="note",
    show_default=True,
    help="Show only findings of at least this severity.",
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
) -> int:
    """Find all that is damaged, missing, orphaned, left over, half-written or stale in a data root.

    For each finding it shows what an Engine would do with it at start and later, which images and
    containers are affected, how much disk space it takes, and what an administrator could do. Nothing is
    changed. The contents of layers are read with --verify only. The exit code is 1 if an error or a warning
    is found, 0 if there are only notes, and 4 if half of the store is missing.

    \b
    Examples:
      layerfs doctor
      layerfs doctor --quick --severity warning
      layerfs doctor --verify  # also names every altered file of every layer
      layerfs doctor --format jsonl | jq -r 'select(.group == "orphaned") | .path'
      layerfs doctor --format '{{.Code}} {{.Subject}}'
    """
    from layerfs.capabilities import Diagnosable, DoctorOptions, lacking

    if quick and verify:
        raise click.UsageError("--quick and --verify exclude each other")
    store = open_root(ctx)
    if not isinstance(store, Diagnosable):
        raise lacking(store, "doctor")
    options = DoctorOptions(sizes=not quick, verify=verify, processes=len(os.sched_getaffinity(0)))
    with phases({"layers": "Verifying", "sizes": "Counting layers", "costs": "Counting findings"}) as told:
        report = store.diagnose(options, told)
    wanted = SEVERITIES[: SEVERITIES.index(severity) + 1]
    rows = [row_of(item) for item in report.diagnoses if item.finding.severity in wanted]
    if form == "table":
        for line in report_lines(rows, store.path, report.names, full=no_trunc):
            sys.stdout.write(line + "\n")
        click.echo(summary(rows, report.total, complete=report.complete))
    else:
        emit(diagnosis_table(full=no_trunc), rows, form)
    if report.part_gone:
        return STORE_GONE
    return FINDINGS if any(item.finding.severity != "note" for item in report.diagnoses) else 0
