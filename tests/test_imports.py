"""Starting the command stays light: what `--help` imports, and what it must not."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import layerfs
from layerfs.stores.docker.dataroot import DataRoot
from tests.support import containerdbuilder
from tests.support.mounts import eventually, servers

if TYPE_CHECKING:
    from pathlib import Path

LAYERFS = "import sys; from layerfs_cli.main import run; code = run(sys.argv[1:]); "
REPORT = LAYERFS + "print(code, *sys.modules, file=sys.stderr)"

OURS_FOR_HELP = {
    f"layerfs_cli{name}" for name in ("", ".archives", ".guesses", ".main", ".options", ".spellings")
}
HEAVY = {
    *("argparse", "asyncio", "email", "gzip", "hashlib", "importlib.metadata", "json", "logging", "socket"),
    *("sqlite3", "subprocess", "tempfile", "zipfile"),
    *("fuse", "re2", "rich", "tabulate", "textual"),
}


def _modules_after(*arguments: str) -> set[str]:
    """The modules loaded in a new process that has run the command line."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *arguments], capture_output=True, text=True, check=True
    )
    code, *modules = done.stderr.splitlines()[-1].split()  # before it warnings, of a root that has some
    assert code == "0"
    return set(modules)


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("completion", "bash")])
def test_start_leaves_heavy_modules_alone(arguments: tuple[str, ...]) -> None:
    """Neither tables, nor FUSE, nor slow parts of the standard library load before they are needed."""
    allowed = {"json", "logging", "subprocess"} if arguments[0] == "completion" else set()
    assert _modules_after(*arguments) & (HEAVY - allowed) == set()


def test_help_loads_no_command_and_no_engine() -> None:
    """`layerfs --help` knows every command without importing one."""
    ours = {name for name in _modules_after("--help") if name.split(".")[0] in ("layerfs", "layerfs_cli")}
    assert ours == OURS_FOR_HELP


def test_public_api_loads_no_command_line() -> None:
    """`import layerfs` brings the engine alone: no click, no tables, no FUSE."""
    program = "import sys, layerfs; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"click", "fuse", "layerfs_cli", "tabulate", "layerfs.views"} == set()


NEVER = {
    *("argparse", "asyncio", "bz2", "csv", "decimal", "difflib", "email", "gzip", "lzma", "multiprocessing"),
    *("random", "shutil", "socket", "sqlite3", "subprocess", "tempfile", "zipfile"),
    *("backports.zstd", "fastcrc", "fuse", "re2", "rich", "tabulate", "textual"),
}
"""What a command that only reads an overlay2 root has no use for."""

ELSEWHERE = (
    "layerfs.stores.archive",
    "layerfs.stores.blobs",
    "layerfs.stores.docker.checks",
    "layerfs.analysis.verify",
)
"""Packages of other kinds of store, and of checks."""

OF_TREES = {
    *(
        "layerfs.analysis.store",
        "layerfs.capabilities",
        "layerfs.stores.docker.buildkit",
        "layerfs.stores.docker.pins",
    ),
    *("layerfs.formats.gostruct", "layerfs.tree.archived", "layerfs.tree.originals"),
    *("layerfs_cli.template.compile", "layerfs_cli.template.functions"),
}
"""What no tree needs: accounts, who else holds layers, copies that lost attributes, templates."""

LEAVE_ALONE = {
    ("ls", "demo:1.0", "/"): OF_TREES | {"layerfs.views", "layerfs.analysis.tree.versions"},
    ("tree", "demo:1.0", "/etc"): OF_TREES | {"layerfs.views"},
    ("cat", "demo:1.0", "/etc/motd"): OF_TREES | {"layerfs.views", "layerfs.analysis", "layerfs_cli.emit"},
    ("stat", "demo:1.0", "/etc"): OF_TREES | {"layerfs.views"},
    ("find", "demo:1.0", "-name", "motd"): OF_TREES | {"layerfs.views"},
    ("waste", "demo:1.0"): OF_TREES - {"layerfs.analysis.store", "layerfs.capabilities"} | {"layerfs.views"},
    ("images",): {"layerfs.views", "layerfs.analysis.tree", "layerfs.formats.gostruct"},
    ("containers",): {"layerfs.views", "layerfs.analysis.tree", "layerfs_cli.template.compile"},
}
"""What a command must not load besides, by its command line."""


@pytest.mark.parametrize("arguments", LEAVE_ALONE, ids=" ".join)
def test_command_loads_what_it_needs(arguments: tuple[str, ...], dataroot_path: Path) -> None:
    """A command on an overlay2 root loads no other kind of store, and nothing large that it does not use."""
    loaded = _modules_after("--root", str(dataroot_path), *arguments)
    assert loaded & (NEVER | LEAVE_ALONE[arguments]) == set()
    assert [name for name in loaded if name.startswith(ELSEWHERE)] == []


def test_images_of_containerd_load_no_layers(tmp_path: Path) -> None:
    """A list of a containerd root's images loads nothing of Docker's records, of trees, of decompression."""
    containerdbuilder.many_images(tmp_path, images=2, layers=2)
    loaded = _modules_after("--root", str(tmp_path), "images")
    unused = (
        *(
            "layerfs.stores.docker.dataroot",
            "layerfs.stores.archive",
            "layerfs.stores.blobs",
            "layerfs.views",
        ),
        *("layerfs.stores.containerd.trees", "layerfs.stores.containerd.pods", "layerfs.formats.buildkit"),
        *("layerfs.cache.blobs", "layerfs.tree.overlay", "layerfs.tree.tarlayer", "layerfs.analysis.tree"),
    )
    assert [name for name in loaded if name.startswith(unused)] == []
    assert loaded & NEVER == set()


@pytest.mark.fuse
def test_mount_loads_what_it_needs(dataroot_path: Path, tmp_path: Path) -> None:
    """A mount that is ready has loaded no list of mounts, no helper that root has no need of, no history."""
    try:
        loaded = _modules_after("--root", str(dataroot_path), "mount", "demo:1.0", str(tmp_path))
    finally:
        subprocess.run(["umount", tmp_path], check=False, capture_output=True)
        eventually(lambda: not servers(tmp_path))
    unused = {"layerfs.analysis", "layerfs_cli.table", "layerfs_cli.emit", "layerfs.views.fuse.fusermount"}
    assert loaded & (NEVER | OF_TREES | unused) == set()
    assert [name for name in loaded if name.startswith(ELSEWHERE)] == []


def test_public_names_are_those_of_their_modules() -> None:
    """Each public name is found at its first use, and another is no name."""
    for name in layerfs.__all__:
        assert getattr(layerfs, name) is not None
    assert set(layerfs.__all__) <= set(dir(layerfs))
    assert layerfs.DataRoot is DataRoot
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        layerfs.Nothing  # type: ignore[attr-defined]  # noqa: B018 - the look is the test
