"""The results as markdown: docs/benchmarks.md, and what is printed."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import commands, diffs, memory, reading, verifying
from tests.bench.mounts import FUSE_OVERLAYFS, KERNEL
from tests.bench.packing import BIG_SIZE
from tests.bench.roots import IMAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.bench.reading import Contents
    from tests.bench.timing import Medians

__all__ = [
    "command_section",
    "diff_section",
    "document",
    "memory_section",
    "mount_section",
    "verify_section",
]


def document(sections: Iterable[str], runs: int) -> str:
    """The whole page."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    head = f"""\
# Benchmarks

Written by `make bench` on {today}: everything measured in one run on one machine, the contenders by turns,
medians of at least {runs} runs. Times depend on the machine; the ratios hardly.

{_machine()}
"""
    return "\n".join([head, *sections])


def _machine() -> str:
    """What it ran on, by name."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    facts = {
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "CPUs": f"{os.cpu_count()}, {_cpu_model()}",
        "memory": f"{memory / 2**30:.0f} GiB",
        "fuse-overlayfs": _fuse_overlayfs_version(),
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _fuse_overlayfs_version() -> str:
    try:
        done = subprocess.run(
            ["fuse-overlayfs", "--version"], capture_output=True, text=True, check=True
        ).stdout
    except FileNotFoundError:
        return "not installed"
    return next((line.split()[-1] for line in done.splitlines() if line.startswith("fuse-overlayfs")), "?")


def command_section(medians: Medians) -> str:
    """The commands, each beside what it promises."""
    rows = []
    for name, values in medians.items():
        promise = commands.PROMISES.get(name)
        limit = f"under {promise:.2f}" if promise else ""
        rows.append([f"`{name}`", f"{values[commands.ROW]:.3f}", limit])
    text = f"A generated data root of {IMAGES:,} images, five layers each, many of them shared."
    return f"## Commands\n\n{text}\n\n" + _table(["command", "seconds", "promised"], rows)


def mount_section(medians: Medians, held: Contents, layers: int) -> str:
    """The mounts, each driver of ours beside the others."""
    text = f"""\
The same image mounted in turn: {held.entries:,} entries of this machine's `/usr`, loaded into {layers} layers
by a Docker Engine, with replaced files, whiteouts, opaque directories, and one file of
{BIG_SIZE >> 20} MiB, which `grep` and `tar` leave out.
{_sentences(reading.__doc__ or "")}
"""
    ours = [name for name in medians if name not in (KERNEL, FUSE_OVERLAYFS)]
    others = [name for name in (FUSE_OVERLAYFS, KERNEL) if name in medians]
    columns = ["seconds", *others]
    for name in ours:
        columns += [name, *(f"÷ {other.split()[0]}" for other in others)]
    rows = [_mount_row(title, key, medians, ours, others) for key, title in reading.TIME_ROWS.items()]
    memory = [
        [title, *(f"{medians[name][key]:.0f}" for name in (*ours, *others) if name != KERNEL)]
        for key, title in reading.MEMORY_ROWS.items()
    ]
    servers = [name for name in (*ours, *others) if name != KERNEL]
    return (
        f"## Mounts\n\n{text}\n{_table(columns, rows)}\n"
        f"Peak memory of the server process:\n\n{_table(['', *servers], memory)}"
    )


def diff_section(medians: Medians, held: Contents, layers: int) -> str:
    """The difference that one layer makes, each contender beside the other."""
    text = f"""\
The image of {held.entries:,} entries in {layers} layers, as of a layer and as of the one before.
{_sentences(diffs.__doc__ or "")}
"""
    rows = []
    others = [name for name in medians if name != diffs.OURS]
    for key, title in diffs.rows():
        ours = medians[diffs.OURS][key]
        cells = [title, f"{ours:.3f}"]
        for other in others:
            theirs = medians[other].get(key)
            cells += [f"{theirs:.3f}", f"{ours / theirs:.2f}"] if theirs else ["", ""]
        rows.append(cells)
    columns = ["seconds", "layerfs diff", *(cell for other in others for cell in (other, f"ours ÷ {other}"))]
    return f"## Differences\n\n{text}\n{_table(columns, rows)}"


def verify_section(medians: Medians, size: int, held: Contents) -> str:
    """Verification on one core and on all, beside the hash and the Engine."""
    others = [name for name in (verifying.OPENSSL, verifying.SAVE) if name in medians]
    ours = [verifying.ONE_CORE, verifying.OURS]
    rows = [_mount_row(title, key, medians, ours, others) for key, title in verifying.ROWS.items()]
    columns = ["seconds", *others]
    for name in ours:
        columns += [name, *(f"÷ {other.split()[0]}" for other in others)]
    text = (
        f"The image of {held.entries:,} entries; its layers' tars have {size / 1e6:,.0f} MB.\n"
        f"{_sentences(verifying.__doc__ or '')}"
    )
    return f"## Verification\n\n{text}\n\n{_table(columns, rows)}"


def memory_section(found: Medians) -> str:
    """The servers over a large tree, measured once: memory hardly varies."""
    rows = [
        [title, *(f"{values[key]:.0f}" for values in found.values())] for key, title in memory.ROWS.items()
    ]
    text = f"{memory.ENTRIES:,} entries in two layers.\n{_sentences(memory.__doc__ or '')}"
    return f"## Memory\n\n{text}\n\n{_table(['', *found], rows)}"


def _sentences(docstring: str) -> str:
    """A module's docstring without its first line."""
    return docstring.partition("\n\n")[2].strip()


def _mount_row(
    title: str, key: str, medians: Medians, ours: Sequence[str], others: Sequence[str]
) -> list[str]:
    cells = [title, *(f"{medians[name][key]:.3f}" for name in others)]
    for name in ours:
        value = medians[name][key]
        cells += [f"{value:.3f}", *(f"{value / medians[other][key]:.2f}" for other in others)]
    return cells


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table, numbers to the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "".join("| " + " | ".join(cell or " " for cell in line) + " |\n" for line in lines)
