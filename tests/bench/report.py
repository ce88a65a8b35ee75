"""The results as markdown: docs/benchmarks.md, and what is printed."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import archives, commands, diffs, exporting, greps, memory, reading, scale, verifying
from tests.bench.mounts import CONTAINERD, FUSE_OVERLAYFS, KERNEL, OVERLAY2, WITHOUT_SERVER
from tests.bench.packing import BIG_SIZE
from tests.bench.roots import BIG, BIG_LAYERS, IMAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.bench.reading import Contents
    from tests.bench.timing import Medians

__all__ = [
    "BESIDE",
    "archive_section",
    "command_section",
    "diff_section",
    "document",
    "export_section",
    "memory_section",
    "mount_section",
    "scale_section",
    "stamped",
    "store_section",
    "verify_section",
    "with_section",
]


BESIDE = "beside"
"""What the program of another checkout is called in the tables."""


def document(sections: Iterable[str], runs: int) -> str:
    """The whole page."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    head = f"""\
# Benchmarks

Written by `make bench` on {today}: each part measured in one run on one machine, the contenders by turns,
medians of at least {runs} runs. Times depend on the machine; the ratios hardly.

{_machine()}
"""
    return "\n".join([head, *sections])


def stamped(section: str, load: float) -> str:
    """A section with when it was measured; `load` is the machine's load average before."""
    heading, rest = section.split("\n", 1)
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M")
    return f"{heading}\n\nMeasured until {now} UTC; load average before: {load:.1f}.\n{rest}"


def with_section(page: str, section: str) -> str:
    """A page with one of its sections replaced, or with one more at its end."""
    heading = section.split("\n", 1)[0]
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    parts[-1] += "\n"
    held = [part.split("\n", 1)[0] for part in parts]
    if heading in held:
        parts[held.index(heading)] = section + "\n"
    else:
        parts.append(section)
    return "".join(parts).rstrip("\n") + "\n"


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
    text = (
        f"A generated data root of {IMAGES:,} images, five layers each, many of them shared; "
        "CONTAINERD and GRAPHROOT (of Podman) have as many, shared alike, "
        f"BIG {BIG:,} in containerd with {BIG * BIG_LAYERS:,} snapshots."
    )
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
    servers = [name for name in (*ours, *others) if name not in WITHOUT_SERVER]
    rows = [_mount_row(title, key, medians, ours, others) for key, title in reading.TIME_ROWS.items()]
    memory = [
        [title, *(f"{medians[name][key]:.0f}" for name in servers)]
        for key, title in reading.MEMORY_ROWS.items()
    ]
    return (
        f"## Mounts\n\n{text}\n{_table(columns, rows)}\n"
        f"Peak memory of the server process:\n\n{_table(['', *servers], memory)}"
    )


def store_section(medians: Medians, held: Contents, layers: int) -> str:
    """The same image mounted from each kind of store."""
    text = (
        f"The image of {held.entries:,} entries in {layers} layers, mounted by layerfs from the Docker data "
        "root, and from a containerd root with copies of the same files."
    )
    rows = [
        _mount_row(title, key, medians, [CONTAINERD], [OVERLAY2]) for key, title in reading.WALK_ROWS.items()
    ]
    columns = ["seconds", OVERLAY2, CONTAINERD, f"÷ {OVERLAY2}"]
    return f"## Kinds of stores\n\n{text}\n\n{_table(columns, rows)}"


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


def grep_section(medians: Medians, held: Contents, layers: int) -> str:
    """Lines found in contents, ours beside others on mounts of the kernel."""
    others = [name for name in medians if name != greps.OURS]
    rows = []
    for key, title in greps.ROWS.items():
        ours = medians[greps.OURS][key]
        cells = [title, f"{ours:.3f}"]
        for other in others:
            cells += [f"{medians[other][key]:.3f}", f"{ours / medians[other][key]:.2f}"]
        rows.append(cells)
    text = f"The image of {held.entries:,} entries in {layers} layers.\n{_sentences(greps.__doc__ or '')}"
    columns = ["seconds", greps.OURS, *(cell for other in others for cell in (other, f"ours ÷ {other}"))]
    return f"## Searching\n\n{text}\n\n{_table(columns, rows)}"


def export_section(medians: Medians, size: int, layers: int) -> str:
    """Archives of the same image, ours beside the Engine's."""
    rows = []
    for key, title in exporting.ROWS.items():
        ours, theirs = medians[exporting.OURS][key], medians[exporting.DOCKER].get(key)
        rows.append(
            [title, f"{ours:.3f}", *([f"{theirs:.3f}", f"{ours / theirs:.2f}"] if theirs else ["", ""])]
        )
    text = f"The image of {size / 1e6:,.0f} MB in {layers} layers.\n{_sentences(exporting.__doc__ or '')}"
    columns = ["seconds", exporting.OURS, exporting.DOCKER, "ours ÷ theirs"]
    return f"## Export\n\n{text}\n\n{_table(columns, rows)}"


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


def scale_section(roots: Sequence[scale.Root]) -> str:
    """What whole roots take, by their size."""
    columns = ["layerfs"]
    for root in roots:
        columns += [f"{root.entries / 1e6:.2f} million: s", "CPU s a million", "MiB"]
    rows = []
    for name in (*scale.COMMANDS, scale.MOUNT):
        cells = [name]
        for root in roots:
            took = root.found[name] if root.found else None
            if took is None:
                cells += ["", "", ""]
                continue
            per_million = took.cpu / took.entries * 1e6 if took.cpu is not None else None
            cells += [
                f"{took.seconds:.1f}",
                f"{per_million:.1f}" if per_million else "",
                f"{took.resident >> 20}",
            ]
        rows.append(cells)
    sizes = "; ".join(
        f"{root.entries:,} entries in {root.layers:,} layers of {root.images:,} images" for root in roots
    )
    walked = {root.found[scale.MOUNT].entries for root in roots if root.found}
    shown = (
        f"The mount shows {' or '.join(f'{count:,}' for count in sorted(walked))} entries.\n"
        if walked
        else ""
    )
    text = f"{sizes}.\n{_sentences(scale.__doc__ or '')}\n{shown}"
    return f"## Scale\n\n{text}\n{_table(columns, rows)}"


def archive_section(done: Medians, mounted: Medians, size: int, held: Contents) -> str:
    """Commands and mounts of archives, beside other programs; those that are not to be had are named."""
    text = (
        f"The archive of {size / 1e6:,.0f} MB, of an image of {held.entries:,} entries.\n"
        f"{_sentences(archives.__doc__ or '')}"
    )
    commands_table = _lacking_table("command", archives.COMMAND_ROWS, done, ("dive", "docker load"))
    mounts_table = _lacking_table("mounted by", archives.MOUNT_ROWS, mounted, ("ratarmount",))
    return f"## Archives\n\n{text}\n\n{commands_table}\n{mounts_table}"


def _lacking_table(title: str, columns: Mapping[str, str], found: Medians, peers: Sequence[str]) -> str:
    """A row for each contender, and one for each peer that is not to be had."""
    rows = [
        [name, *(_figure(key, values[key]) if key in values else "" for key in columns)]
        for name, values in found.items()
    ]
    lacking = [name for name in peers if name not in found]
    if not any("OCI layout" in name for name in found):
        lacking.append("layerfs, OCI layout, gzip")
    rows += [[name, archives.LACKING[name], *[""] * (len(columns) - 1)] for name in lacking]
    return _table([title, *columns.values()], rows)


def _figure(key: str, value: float) -> str:
    return f"{value:.0f}" if key in ("memory", "per entry") else f"{value:.3f}"


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
