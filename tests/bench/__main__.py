"""`python -m tests.bench`: measure, print the tables, and write them to docs/benchmarks.md."""

from __future__ import annotations

import argparse
import compileall
import functools
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import (
    archives,
    commands,
    diffs,
    exporting,
    greps,
    memory,
    mounts,
    reading,
    report,
    roots,
    scale,
    verifying,
)
from tests.bench.timing import alternate
from tests.support.capabilities import CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PROJECT = Path(__file__).parents[2]
_FEWEST_RUNS = 5


def main() -> None:
    """Parse the command line and run the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only",
        choices=[*_BESIDE, *_PARTS],
        help="measure one part; printed, and with --out put in its place in that page",
    )
    parser.add_argument("--runs", type=int, default=_FEWEST_RUNS, help="how often (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="the file to write (default: docs/benchmarks.md)")
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="CHECKOUT",
        help="another checkout with its .venv, whose layerfs takes turns in: " + ", ".join(_BESIDE),
    )
    parser.add_argument(
        "--place",
        type=Path,
        default=_PROJECT / ".bench",
        help="where generated data is kept (default: .bench)",
    )
    chosen = parser.parse_args()
    out = chosen.out or (None if chosen.only else _PROJECT / "docs/benchmarks.md")
    others = _others(parser, chosen.beside, chosen.only)
    for checkout in filter(None, (_PROJECT, chosen.beside)):
        _compile(checkout)
    place = chosen.place.resolve()
    sections = []
    for name in [chosen.only] if chosen.only else [*_PARTS, *_BESIDE]:
        load = os.getloadavg()[0]
        if name in _BESIDE:
            section = _BESIDE[name](place, chosen.runs, others)
        else:
            section = _PARTS[name](place, chosen.runs)
        sections.append(report.stamped(section, load))
    if chosen.only:
        print(sections[0])
    text = report.document(sections, chosen.runs)
    if chosen.only and out and out.exists():
        text = report.with_section(out.read_text(), sections[0])
    if not chosen.only:
        print(text)
    if out:
        out.parent.mkdir(exist_ok=True)
        out.write_text(text)


def _others(parser: argparse.ArgumentParser, beside: Path | None, only: str | None) -> dict[str, Path]:
    """The program of the other checkout, by the name it has in the tables."""
    if beside is None:
        return {}
    if only is not None and only not in _BESIDE:
        parser.error(f"--beside is for {', '.join(_BESIDE)}, and not for {only}")
    program = beside.resolve() / ".venv/bin/layerfs"
    if not program.exists():
        parser.error(f"{program}: not there; run make check in that checkout")
    return {report.BESIDE: program}


def _compile(checkout: Path) -> None:
    """Have the modules compiled, as an installed program has them, wherever Python does not do so itself."""
    for package in ("layerfs", "cli"):
        compileall.compile_dir(checkout / package, quiet=1)


def _progress(text: str) -> None:
    """Say on a terminal what is going on, in one line."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _commands(place: Path, runs: int, others: Mapping[str, Path]) -> str:
    _progress(f"a data root of {roots.IMAGES} images")
    root, containerd = roots.images_root(place), roots.containerd_root(place)
    big = roots.big_root(place)
    # they are short and so vary more; they also cost little
    graph_root = roots.graph_root(place)
    medians = commands.measure(root, containerd, graph_root, big, 3 * runs, _progress, others)
    _progress("")
    return report.command_section(medians)


def _mounts(place: Path, runs: int, others: Mapping[str, Path]) -> str:
    for name in ("root", "kernel", "fuse"):
        if missing := CAPABILITIES[name]():
            return f"## Mounts\n\nNot measured: {missing.reason}.\n"
    _progress("a data root of one image with many files")
    tree = roots.tree_root(place)
    held = reading.contents(tree)
    contenders = {
        name: functools.partial(reading.one_pass, mounter, tree, held)
        for name, mounter in mounts.mounters(tree, others).items()
    }
    medians = alternate(contenders, runs, _progress)
    _progress("")
    return report.mount_section(medians, held, len(tree.layers))


def _stores(place: Path, runs: int) -> str:
    for name in ("root", "kernel", "fuse"):
        if missing := CAPABILITIES[name]():
            return f"## Kinds of stores\n\nNot measured: {missing.reason}.\n"
    _progress("one image with many files in a data root and in a containerd root")
    tree = roots.tree_root(place)
    contenders = {
        kind: functools.partial(reading.walks, *mounted)
        for kind, mounted in mounts.stores(tree, roots.containerd_tree(place)).items()
    }
    medians = alternate(contenders, runs, _progress)
    _progress("")
    return report.store_section(medians, reading.contents(tree), len(tree.layers))


def _diff(place: Path, runs: int) -> str:
    for name in ("root", "kernel"):
        if missing := CAPABILITIES[name]():
            return f"## Differences\n\nNot measured: {missing.reason}.\n"
    _progress("a data root of one image with many files")
    tree = roots.tree_root(place)
    held = reading.contents(tree)
    store = roots.podman_store(place) if shutil.which("podman") else None
    medians = diffs.measure(tree, store, runs, _progress)
    _progress("")
    return report.diff_section(medians, held, len(tree.layers))


def _grep(place: Path, runs: int) -> str:
    for name in ("root", "kernel"):
        if missing := CAPABILITIES[name]():
            return f"## Searching\n\nNot measured: {missing.reason}.\n"
    _progress("a data root of one image with many files")
    tree = roots.tree_root(place)
    medians = greps.measure(tree, runs, _progress)
    _progress("")
    return report.grep_section(medians, reading.contents(tree), len(tree.layers))


def _export(place: Path, runs: int) -> str:
    if missing := CAPABILITIES["dockerd"]():
        return f"## Export\n\nNot measured: {missing.reason}.\n"
    _progress("a data root of one image with many files")
    tree = roots.tree_root(place)
    size = roots.image_size(tree)
    medians = exporting.measure(tree, runs, _progress)
    _progress("")
    return report.export_section(medians, size, len(tree.layers))


def _verify(place: Path, runs: int) -> str:
    if missing := CAPABILITIES["root"]():
        return f"## Verification\n\nNot measured: {missing.reason}.\n"
    _progress("a data root of one image with many files")
    tree = roots.tree_root(place)
    medians, size = verifying.measure(tree, runs, _progress)
    _progress("")
    return report.verify_section(medians, size, reading.contents(tree))


def _memory(place: Path, _runs: int) -> str:
    for name in ("root", "kernel", "fuse"):
        if missing := CAPABILITIES[name]():
            return f"## Memory\n\nNot measured: {missing.reason}.\n"
    _progress("a data root of one image with half a million entries")
    mounters = mounts.mounters(roots.many_root(place))
    contenders = {name: mounter for name, mounter in mounters.items() if name not in mounts.WITHOUT_SERVER}
    found = {}
    for name, mounter in contenders.items():
        _progress(f"memory: {name}")
        found[name] = memory.measure(mounter)
    _progress("")
    return report.memory_section(found)


def _scale(place: Path, _runs: int) -> str:
    for name in ("root", "fuse"):
        if missing := CAPABILITIES[name]():
            return f"## Scale\n\nNot measured: {missing.reason}.\n"
    found = list(scale.measure(place, scale.IMAGES, _progress))
    _progress("")
    return report.scale_section(found)


def _archives(place: Path, runs: int, others: Mapping[str, Path]) -> str:
    for name in ("root", "kernel", "fuse", "dockerd"):
        if missing := CAPABILITIES[name]():
            return f"## Archives\n\nNot measured: {missing.reason}.\n"
    _progress("an archive, a layout and the layers of one image with many files")
    peers = archives.Peers.below(place)
    held = reading.contents(peers.tree)
    done = archives.measure_commands(peers, held.entries, others, runs, _progress)
    mounted = archives.measure_mounts(peers, held, others, runs, _progress)
    _progress("")
    return report.archive_section(done, mounted, peers.saved.stat().st_size, held)


_BESIDE: dict[str, Callable[[Path, int, Mapping[str, Path]], str]] = {
    "commands": _commands,
    "mounts": _mounts,
    "archives": _archives,
}
"""Parts in which another checkout's program can take turns."""

_PARTS: dict[str, Callable[[Path, int], str]] = {
    "stores": _stores,
    "memory": _memory,
    "diff": _diff,
    "grep": _grep,
    "export": _export,
    "verify": _verify,
    "scale": _scale,
}


if __name__ == "__main__":
    main()
