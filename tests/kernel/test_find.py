"""`layerfs find` against GNU find, run on the kernel's mount of the same layers."""

from __future__ import annotations

import functools
import gc
import os
import re
import subprocess
import time
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings

from layerfs import DataRoot
from layerfs.model import Container
from tests.support.command import layerfs
from tests.support.kernel import check_trusted_xattrs, overlay_mount, private_dir
from tests.support.layerspec import materialise
from tests.support.mounts import stacked_by_docker
from tests.support.rootbuilder import BuiltLayer, RootBuilder
from tests.support.stacks import stacks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.layerspec import LayerSpec

pytestmark = pytest.mark.kernel

_SIZES = ("0", "1", "+0", "-1", "-2k", "+3c", "8c", "-1M", "+1k", "1M", "0G", "1w", "+1b")
_OCTAL_MODES = ("755", "0", "-0", "/0", "644", "-111", "/222", "/6000")
_MODES = ("-u+s", "/u+s,g+s,o+t", "u=rwx,go=rx", "-a+X", "/g=u", "u=rwX,g=u,o=t", "-u=rw,g=r")
_NAMES = ("*", "*.*", ".*", "[a-m]*", "[!a-m]*", "?", "*[0-9]", "\\.wh.*", "motd", "a")
_TIMES = ("1970-01-01 00:00:00", "@1700000000", "2023-11-14 22:13:20", "2020-06-01")

TESTS: tuple[tuple[str, ...], ...] = (
    *(("-type", kind) for kind in ("f", "d", "l", "c", "b", "p", "s", "f,l", "d,c,s")),
    *(("-name", glob) for glob in _NAMES),
    *(("-iname", glob) for glob in ("*A*", "MOTD", "[B-D]")),
    *(("-size", size) for size in _SIZES),
    *(("-perm", mode) for mode in _OCTAL_MODES + _MODES),
    *(("-uid", number) for number in ("0", "+0", "-1000", "1000", "+65533")),
    *(("-gid", number) for number in ("0", "+0", "-1000")),
    ("-user", "1000"),
    ("-group", "65534"),
    ("-empty",),
    ("-maxdepth", "1"),
    ("-maxdepth", "2", "-type", "d"),
    ("-mindepth", "2"),
    ("-mindepth", "1", "-maxdepth", "1"),
    *(("-mtime", days) for days in ("+1", "-1", "0", "+2000", "-2000.5")),
    *(("-mmin", minutes) for minutes in ("+10", "-10")),
    *(("-newermt", moment) for moment in _TIMES),
    ("-type", "f", "-size", "+0", "-size", "-2", "-name", "[!.]*"),
)
"""Both understand these alike; what holds a path is asked with the mount's own path in front."""

SUBJECTS = ("demo:latest", "lab/types:1", "lab/nodes:1", "lab/attributes:1", "lab/names:1", "odd", "changed")
PATHS = ("*", "/etc/*", "/*/*", "/?", "*/a/*", "/[ab]*", "*d")
REGEXES = (".*", "/etc/.*", "/[a-d](/[a-d])?", ".*[0-9]+", "/(a|b/c).*")


class Asked(NamedTuple):
    """A mount, and how layerfs calls the same tree."""

    mount: Path
    root: Path
    name: str


def _expected(mount: Path, *tests: str) -> set[bytes]:
    """What GNU find finds, as absolute paths of the tree; names that are listed but not there are not."""
    done = subprocess.run(
        ["find", mount, "-mindepth", "1", *tests, "-printf", "%P\\0"],
        capture_output=True,
        check=False,
        # in a UTF-8 locale its regular expressions match no byte that is none; ours take it for a character
        env={"LC_ALL": "C" if "-regex" in tests else "C.UTF-8", "PATH": os.environ["PATH"], "TZ": "UTC"},
    )
    assert not done.returncode or b"No such file" in done.stderr, done.stderr
    top = os.fsencode(mount)
    return {b"/" + path for path in done.stdout.split(b"\0") if path and os.path.lexists(top + b"/" + path)}


def _found(asked: Asked, *tests: str) -> set[bytes]:
    done = layerfs(asked.root, "find", asked.name, *tests, "-print0")
    assert done.code in (0, 1), done.stderr
    paths = done.stdout.encode("utf-8", "surrogateescape").split(b"\0")
    assert len(paths) == len(set(paths))
    return {path for path in paths if path not in (b"", b"/")}


def _compare(asked: Asked) -> dict[tuple[str, ...], tuple[set[bytes], set[bytes]]]:
    """Each test that the two answer differently, with what only one of them finds."""
    top = str(asked.mount)
    questions = [(test, test) for test in TESTS]
    questions += [(("-path", glob), ("-path", top + glob)) for glob in PATHS]
    questions += [
        (("-regex", regex), ("-regextype", "posix-extended", "-regex", f"{re.escape(top)}({regex})"))
        for regex in REGEXES
    ]
    differences = {}
    haunted = _with_ghosts(asked.mount)
    for number, (ours, theirs) in enumerate(questions):
        if number % 25 == 0:
            gc.collect()  # each run leaves a data root open until then
        expected, found = _expected(asked.mount, *theirs), _found(asked, *ours)
        if ours == ("-empty",):
            expected, found = expected - haunted, found - haunted
        if expected != found:
            differences[ours] = expected - found, found - expected
    return differences


def _with_ghosts(mount: Path) -> set[bytes]:
    """Directories in which the kernel lists a name that it does not find: to find(1) they are not empty."""
    top = os.fsencode(mount)
    return {
        directory.removeprefix(top)
        for directory, directories, files in os.walk(top)
        if any(not os.path.lexists(directory + b"/" + name) for name in [*directories, *files])
    }


def test_every_test_finds_what_gnu_find_finds(dataroot_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On every image and container of the recorded root each test gives the paths that GNU find gives."""
    monkeypatch.setenv("TZ", "UTC")
    root = DataRoot.open(dataroot_path)
    differences = {}
    asked = 0
    for name in (
        "demo:latest",
        "lab/types:1",
        "lab/nodes:1",
        "lab/attributes:1",
        "lab/whiteouts:1",
        "odd",
        "changed",
    ):
        subject = root.find(name)
        if isinstance(subject, Container):
            top = subject.own[-1].cache_id
        else:
            top = root.chain(root.image(name))[-1].cache_id
        with overlay_mount(stacked_by_docker(dataroot_path, top)) as mount:
            if found := _compare(Asked(mount, dataroot_path, name)):
                differences[name] = found
            asked += 1
    assert differences == {}
    assert asked == len(SUBJECTS)


@settings(max_examples=5)
@given(stacks(max_layers=4))
def test_generated_stacks_give_what_gnu_find_finds(stack: list[LayerSpec]) -> None:
    """On any stack of layers each test gives the paths that GNU find gives."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        builder = RootBuilder(work / "root")
        top: BuiltLayer | None = None
        layers: list[Path] = []
        for spec in reversed(stack):
            top = builder.layer(top, functools.partial(materialise, spec))
            layers.insert(0, top.diff)
        builder.image(top, "generated:1")
        root = builder.finish()
        with overlay_mount(layers) as mount:
            assert _compare(Asked(mount, root, "generated:1")) == {}


def test_newer_than_a_file(dataroot_path: Path) -> None:
    """-newer FILE finds what is newer than that file of the tree, to the nanosecond; a link counts itself."""
    root = DataRoot.open(dataroot_path)
    top = root.chain(root.image("lab/attributes:1"))[-1].cache_id
    with overlay_mount(stacked_by_docker(dataroot_path, top)) as mount:
        asked = Asked(mount, dataroot_path, "lab/attributes:1")
        for name in os.listdir(mount):
            gc.collect()
            assert _found(asked, "-newer", f"/{name}") == _expected(mount, "-newer", str(mount / name)), name


def test_user_by_the_images_own_names(dataroot_path: Path) -> None:
    """-user NAME is the number that the image's /etc/passwd has for it, whatever this host calls it."""
    root = DataRoot.open(dataroot_path)
    top = root.chain(root.image("demo:latest"))[-1].cache_id
    with overlay_mount(stacked_by_docker(dataroot_path, top)) as mount:
        users = [line.split(":") for line in (mount / "etc/passwd").read_text().splitlines()]
        assert users
        asked = Asked(mount, dataroot_path, "demo:latest")
        for name, _, number, *_ in users:
            assert _found(asked, "-user", name) == _expected(mount, "-uid", number)


# -- start paths ---------------------------------------------------------------------------------


def _below(mount: Path, starts: list[str], *tests: str) -> list[bytes]:
    """What GNU find prints from start paths in the mount, with that taken off."""
    top = str(mount)
    done = subprocess.run(
        ["find", *[top + start for start in starts], *tests, "-print0"],
        capture_output=True,
        check=False,
        env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]},
    )
    return sorted(path.removeprefix(os.fsencode(top)) for path in done.stdout.split(b"\0") if path)


def _starts(mount: Path) -> list[list[str]]:
    """Entries of two levels, as they are and with a slash; spelled oddly; several; missing."""
    places = []
    for name in sorted(os.listdir(mount)):
        places.append(f"/{name}")
        if (mount / name).is_dir() and not (mount / name).is_symlink():
            places += [f"/{name}/{below}" for below in sorted(os.listdir(mount / name))[:3]]
    plain = [place for place in places if not set(place) & set("*?[\\") and place.isascii()][:6]
    alone = [[place] for place in plain] + [[f"{place}/"] for place in plain if (mount / place[1:]).is_dir()]
    odd = [["/"], [f"/.{plain[0]}"], [f"{plain[0]}/..{plain[0]}"], ["/no-such"], [f"{plain[0]}/no-such"]]
    return [*alone, *odd, plain[:3], [plain[0], plain[0]], ["/no-such", plain[-1]]]


@pytest.mark.parametrize("name", ["demo:latest", "lab/types:1"])
def test_start_paths_are_those_of_gnu_find(dataroot_path: Path, name: str) -> None:
    """One or several, with a slash, twice, spelled oddly, missing: GNU find prints the same paths."""
    root = DataRoot.open(dataroot_path)
    top = root.chain(root.image(name))[-1].cache_id
    with overlay_mount(stacked_by_docker(dataroot_path, top)) as mount:
        for starts in _starts(mount):
            gc.collect()
            for tests in ((), ("-maxdepth", "1", "-name", "*s*"), ("-mindepth", "1", "-type", "f")):
                done = layerfs(dataroot_path, "find", name, *starts, *tests, "-print0")
                found = [path.encode("utf-8", "surrogateescape") for path in done.stdout.split("\0") if path]
                assert sorted(found) == _below(mount, starts, *tests), starts
                missing = [start for start in starts if not (mount / start.lstrip("/")).exists()]
                assert done.code == (6 if any("no-such" in start for start in missing) else 0)
                assert all(start in done.stderr for start in missing if "no-such" in start)


def test_ages_are_those_of_gnu_find(tmp_path: Path) -> None:
    """-mtime and -mmin count as GNU find: whole days, minutes begun, fractions, more and less."""

    def fill(diff: Path) -> None:
        now = time.time()
        for age in [unit * count + more for unit, count, more in product((60, 86400), range(4), (-20, 20))]:
            (diff / f"age{age}").touch()
            os.utime(diff / f"age{age}", (now - age, now - age))

    builder = RootBuilder(tmp_path / "root")
    layer = builder.layer(None, fill)
    builder.image(layer, "ages:1")
    root = builder.finish()
    for test, sign, number in product(
        ("-mtime", "-mmin"), ("", "+", "-"), ("0", "1", "2", "1.5", ".5", "3.")
    ):
        question = (test, sign + number)
        before = _below(layer.diff, [""], "-type", "f", *question)
        done = layerfs(root, "find", "ages:1", "-type", "f", *question)
        found = sorted(map(os.fsencode, done.stdout.splitlines()))
        # a file may have come of age meanwhile
        assert found in (before, _below(layer.diff, [""], "-type", "f", *question)), question
