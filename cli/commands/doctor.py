"""`layerfs doctor`: everything that is wrong with a data root, in one report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..diagnoses import diagnosis_table, names_of, report_lines, row_of, summary
from ..output import emit, format_option, no_trunc_option
from ..params import root_option
from ..progress import progress
from ..subjects import open_root

if TYPE_CHECKING:
    from layerfs.analysis.doctor import Diagnosis, Doctor

__all__ = ["command"]

FINDINGS = 1
SEVERITIES = ("error", "warning", "note")


@click.command("doctor")
@click.option("--quick", is_flag=True, help="Do not count files: no sizes of layers, no bytes of findings.")
@click.option(
    "--severity",
    type=click.Choice(SEVERITIES),
    default="note",
    show_default=True,
    help="Leave out what is less than this.",
)
@no_trunc_option
@format_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    quick: bool,
    severity: str,
    no_trunc: bool,
    form: str,
    root: str,  # noqa: ARG001 - read from the context
) -> int:
    """Find all that is damaged, missing, orphaned, left over, half-written or stale in a data root.

    Of each finding it says what an Engine would do with it when it starts and later, which images and
    containers it concerns, what it takes on disk, and what an administrator could do. Nothing is changed.
    The contents of layers are not read: that is `layerfs verify`. Exits with 1 where an error or a
    warning is found, with 0 where there are but notes.

    \b
    Examples:
      layerfs doctor
      layerfs doctor --quick --severity warning
      layerfs doctor --format jsonl | jq -r 'select(.group == "orphaned") | .path'
      layerfs doctor --format '{{.Code}} {{.Subject}}'
    """
    from layerfs.analysis.doctor import Doctor

    data_root = open_root(ctx)
    doctor = Doctor(data_root)
    found = _examined(doctor, quick=quick)
    wanted = SEVERITIES[: SEVERITIES.index(severity) + 1]
    rows = [row_of(item) for item in found if item.finding.severity in wanted]
    if form == "table":
        for line in report_lines(rows, data_root.path, names_of(data_root), full=no_trunc):
            click.echo(line)
        total = None if quick else doctor.allocation.total
        click.echo(summary(rows, total, complete=doctor.allocation.complete))
    else:
        emit(diagnosis_table(full=no_trunc), rows, form)
    return FINDINGS if any(item.finding.severity != "note" for item in found) else 0


def _examined(doctor: Doctor, *, quick: bool) -> list[Diagnosis]:
    """Everything that is found, with what it costs unless that shall be quick."""
    found = doctor.examine()
    if quick:
        return found
    with progress(doctor.layers, "Counting layers", len(doctor.layers)) as layers:
        for chain in layers:
            found += doctor.sizes(chain)
    with progress(found, "Counting findings", len(found)) as watched:
        found = [doctor.priced(item) for item in watched]
    return doctor.ordered(found)
