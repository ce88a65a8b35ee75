"""Many damaged records, and some that this user may not read: the rest is told, and nothing called lost."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.command import configs, layer_files
from tests.support.fixture import private_copy
from tests.support.nobody import layerfs_as_nobody, layerfs_in_a_process
from tests.support.planting import placed_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.hostile.demo import Demo

pytestmark = pytest.mark.root

DAMAGED, NO_ROOT, HOST_ERROR = 1, 4, 74


def _run(root: Path, *arguments: str, descriptors: int = 1024) -> subprocess.CompletedProcess[str]:
    """Run layerfs in a process of its own, once it is loaded."""
    return layerfs_in_a_process("--root", str(root), *arguments, descriptors=descriptors)


def _run_as_nobody(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Likewise, as an ordinary user, to whom what is above the root may be closed."""
    return layerfs_as_nobody("--root", ".", *arguments, directory=root)


@pytest.fixture(scope="module")
def open_copy(shallow_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the recorded root that everybody may read."""
    root = private_copy(shallow_path, tmp_path_factory.mktemp("open") / "root")
    subprocess.run(["chmod", "-R", "a+rX", root], check=True)
    return root


@pytest.fixture(scope="module")
def whole(open_copy: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """What a command line says to an ordinary user where nothing is closed; each is run once."""
    return functools.cache(functools.partial(_run_as_nobody, open_copy))


@contextmanager
def _closed(path: Path) -> Iterator[None]:
    """Let nobody but root read a file or directory."""
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        yield
    finally:
        path.chmod(mode)


@pytest.mark.parametrize("descriptors", [64, 1024])
def test_thousands_of_empty_records_hide_no_sound_one(demo: Demo, descriptors: int) -> None:
    """1,100 records of layers without a file are each named, under any limit; every sound layer is listed."""
    sound = set(layer_files(demo.root))
    layers = demo.layer(1).parent
    empty = [f"{number:064x}" for number in range(1100)]
    for name in empty:
        (layers / name).mkdir()
    found = _run(demo.root, "layers", "--format", "json", descriptors=descriptors)
    assert found.returncode == DAMAGED
    assert {row["chain_id"] for row in json.loads(found.stdout)} == sound
    named = [line for line in found.stderr.splitlines() if any(name in line for name in empty)]
    assert len(named) == len(found.stderr.splitlines()) == len(empty)


def test_search_goes_on_past_a_damaged_size(demo: Demo) -> None:
    """`find --all` under a low limit finds the same where the size of a base layer is damaged."""
    whole = _run(demo.root, "find", "--all", "motd", "--format", "json", descriptors=100)
    (demo.layer(1) / "size").write_bytes(b"")
    found = _run(demo.root, "find", "--all", "motd", "--format", "json", descriptors=100)
    assert (whole.returncode, found.returncode) == (0, DAMAGED)
    assert found.stdout == whole.stdout
    assert str(demo.layer(1) / "size") in found.stderr


@pytest.mark.parametrize("arguments", [("ls", "-R", "demo"), ("find", "--all", "motd"), ("verify", "demo")])
def test_too_many_open_files_are_no_damage(shallow_path: Path, arguments: tuple[str, ...]) -> None:
    """Where the limit is too low for a tree, that is said, and no file is called missing or damaged."""
    found = _run(shallow_path, *arguments, descriptors=12)
    assert found.returncode == HOST_ERROR
    assert "Too many open files" in found.stderr
    assert "missing" not in found.stdout + found.stderr
    assert "not readable" not in found.stdout + found.stderr


def _one_config(root: Path) -> Path:
    name = min(configs(root)).removeprefix("sha256:")
    return root / "image/overlay2/imagedb/content/sha256" / name


def _one_size(root: Path) -> Path:
    return placed_layers(root, "demo:1.0")[2].record / "size"


def _layerdb(root: Path) -> Path:
    return root / "image/overlay2/layerdb"


def _one_container(root: Path) -> Path:
    return min((root / "containers").iterdir())


@pytest.mark.parametrize("closed", [_one_config, _one_size, _layerdb, _one_container])
@pytest.mark.parametrize(
    "arguments", [("images",), ("layers",), ("containers",), ("du",), ("find", "--all", "motd"), ("doctor",)]
)
def test_what_this_user_may_not_read_leaves_the_rest(
    open_copy: Path,
    whole: Callable[..., subprocess.CompletedProcess[str]],
    closed: Callable[[Path], Path],
    arguments: tuple[str, ...],
) -> None:
    """A listing names what an ordinary user may not read, and goes on; nothing is called lost."""
    before = whole(*arguments)
    with _closed(closed(open_copy)):
        found = _run_as_nobody(open_copy, *arguments)
    name = os.path.relpath(closed(open_copy), open_copy)
    if found.stdout != before.stdout or arguments != ("containers",):  # which need no config, no size
        assert found.returncode == DAMAGED, found.stderr
    assert found.stdout.strip()
    said = set(found.stderr.splitlines()) - set(before.stderr.splitlines())
    assert all(name in line for line in said if "permission denied" in line)
    assert "missing" not in "".join(said), sorted(said)
    assert not said or any(name in line for line in said)
    assert said or found.stdout == before.stdout or name in found.stdout


def test_nothing_readable_is_exit_4(open_copy: Path) -> None:
    """Where an ordinary user may read no image at all, that is an error, with exit code 4."""
    with _closed(open_copy / "image"):
        found = _run_as_nobody(open_copy, "images")
    assert (found.returncode, "permission denied" in found.stderr) == (NO_ROOT, True)


def test_salvage_calls_nothing_lost_that_this_user_may_not_read(open_copy: Path) -> None:
    """`export --salvage` by a user who may not read a layer is refused: nothing shows that it is lost."""
    with _closed(placed_layers(open_copy, "demo:1.0")[2].directory):
        found = _run_as_nobody(open_copy, "export", "--salvage", "demo:1.0", "-o", "-")
    assert found.returncode == NO_ROOT
    assert "is lost" not in found.stderr
