"""The standard streams: bytes as they are on disk in every locale, as GNU tools have it; closed and full."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from layerfs_cli.main import COMMANDS
from tests.hostile.test_untouched import INVOCATIONS
from tests.support.images import image_of
from tests.support.layerspec import Dir, File, LayerSpec, Symlink

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.support.layerspec import Node

LAYERFS = (sys.executable, "-c", "from layerfs_cli.main import main; main()")
BATCH = """
import sys
from layerfs_cli.streams import prepare
prepare()
from layerfs_cli.main import run
words = []
for word in [*sys.argv[1:], "--next-command"]:
    if word != "--next-command":
        words.append(word)
    else:
        print(end=f"\\1ended {run(words)}\\1", flush=True)
        words = []
"""
"""A process that prepares its streams as `main` does, runs many commands, and says how each ended."""

UTF8 = {"LC_ALL": "C.UTF-8"}
ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    "the C locale": {"LC_ALL": "C"},
    "ASCII, as Python has it": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "Latin-1": {"LC_ALL": "en_US"},
    "PYTHONIOENCODING": UTF8 | {"PYTHONIOENCODING": "ascii:strict"},
}
NEEDS = {"Latin-1": [pytest.mark.locales]}
each_environment = pytest.mark.parametrize(
    "environment",
    [pytest.param(found, marks=NEEDS.get(name, []), id=name) for name, found in ENVIRONMENTS.items()],
)

ELSEWHERE = ("completion", "cp", "explore", "export", "mount", "umount", "verify")
"""Commands that need a place or a terminal, or that tell how fast they were."""

CALLED = {"image": "lab/names:1", "other": "buildkit", "odd": "lab/whiteouts:1", "container": "changed"}
"""What the words of `INVOCATIONS` mean here: the image is the one with the odd names."""

NAMES: Mapping[bytes, Node] = {
    "ä".encode(): Dir({"日".encode(): File(b"j"), b"caf\xe9": File(b"k"), "Û".encode(): File(b"l")})
}
BYTES = (b"\xc3\xa4", b"\xe6\x97\xa5", b"caf\xe9", b"\xc3\x9b")
PRINTED_BY_LS = ("Û".encode(), "日".encode())


class Ended(NamedTuple):
    """What a command printed, and its exit code."""

    stdout: bytes
    code: int


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root of an image with names in UTF-8 and in Latin-1, and of nothing else."""
    top = {**NAMES, b"link": Symlink("ä/日".encode())}
    return image_of(tmp_path_factory.mktemp("names") / "root", LayerSpec(Dir(top)), name="names:1")[0]


@pytest.fixture(scope="module")
def locpath(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the locale en_US in Latin-1 lies, if this machine can make one."""
    place = tmp_path_factory.mktemp("locales")
    subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", place / "en_US"], check=False, capture_output=True
    )
    return place


def _environment(environment: Mapping[str, str], locpath: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LOCPATH": str(locpath), "TZ": "UTC", **environment}


def _run(
    environment: Mapping[str, str],
    locpath: Path,
    root: Path | bytes,
    commands: Sequence[Sequence[str | bytes]],
) -> list[Ended]:
    """Run commands one after the other in one process of that environment."""
    words: list[str | bytes | Path] = []
    for command in commands:
        words += ["--next-command", "--root", root, *command]
    done = subprocess.run(
        [sys.executable, "-c", BATCH, *words[1:]],
        env=_environment(environment, locpath),
        capture_output=True,
        check=True,
    )
    *pieces, end = re.split(rb"\x01ended (\d+)\x01", done.stdout)
    assert end == b""
    return [Ended(out, int(code)) for out, code in zip(pieces[::2], pieces[1::2], strict=True)]


def _every_command() -> Iterator[list[str]]:
    """Each command of `INVOCATIONS`, of the image with the odd names where it is of one."""
    for verb, calls in INVOCATIONS.items():
        if verb in COMMANDS and verb not in ELSEWHERE:
            for words in calls[:1]:
                if "--recover" not in words:
                    yield [verb, *(word.format(**CALLED) for word in words)]
    yield ["verify", "--all", "--format", "json"]


@pytest.fixture(scope="module")
def in_utf8(shallow_path: Path, locpath: Path) -> list[Ended]:
    """What every command says in a locale that is UTF-8."""
    return _run(UTF8, locpath, shallow_path, list(_every_command()))


@each_environment
def test_every_command_prints_the_same_bytes(
    shallow_path: Path, locpath: Path, in_utf8: list[Ended], environment: Mapping[str, str]
) -> None:
    """No command's output, nor its exit code, depends on the locale or on Python's own settings."""
    assert {ended.code for ended in in_utf8} <= {0, 1, 6}
    found = _run(environment, locpath, shallow_path, list(_every_command()))
    for command, ours, theirs in zip(_every_command(), found, in_utf8, strict=True):
        assert ours == theirs, command


@pytest.mark.root
@each_environment
def test_names_are_the_bytes_on_disk(root: Path, locpath: Path, environment: Mapping[str, str]) -> None:
    """What GNU tools print of the same directory in that locale is what we print: no byte is another."""
    (diff,) = (root / "overlay2").glob("*/diff")

    def gnu(*command: str) -> bytes:
        return subprocess.run(
            command, cwd=diff, env=_environment(environment, locpath), check=True, capture_output=True
        ).stdout

    ls, tree, found, zero, body, hashes, table = _run(
        environment,
        locpath,
        root,
        [
            ["ls", "names:1", "/ä"],
            ["tree", "names:1"],
            ["find", "names:1"],
            ["find", "names:1", "-print0"],
            ["timeline", "--bodyfile", "names:1"],
            ["hashes", "names:1"],
            ["find", "names:1", "--format", "table"],
        ],
    )
    shown = ls.stdout.replace(rb"\351", b"\xe9")  # ls -b, of what no UTF-8 terminal can show
    assert sorted(shown.splitlines()) == sorted(gnu("ls", "ä").splitlines())
    paths = [
        path.removeprefix(b".") for path in gnu("find", ".", "-mindepth", "1", "-print0").split(b"\0")[:-1]
    ]
    assert sorted(zero.stdout.split(b"\0")[:-1]) == sorted([b"/", *paths])
    assert sorted(found.stdout.splitlines()) == sorted([b"/", *paths])
    assert sorted(hashes.stdout.splitlines()) == sorted(
        gnu("find", ".", "-type", "f", "-exec", "sha256sum", "{}", "+").splitlines()
    )
    for output in (tree.stdout, body.stdout, table.stdout):
        for name in PRINTED_BY_LS:
            assert name in output
    assert "├── ".encode() in tree.stdout


@pytest.mark.root
@each_environment
def test_arguments_are_the_bytes_typed(root: Path, locpath: Path, environment: Mapping[str, str]) -> None:
    """A pattern or a path on the command line means its bytes."""
    patterns = _run(environment, locpath, root, [["find", "names:1", "-name", name] for name in BYTES])
    assert [os.path.basename(ended.stdout) for ended in patterns] == [name + b"\n" for name in BYTES]
    paths: list[str | bytes] = ["cat", "names:1", *("ä/".encode() + name for name in BYTES[1:])]
    (contents,) = _run(environment, locpath, root, [paths])
    assert contents == Ended(b"jkl", 0)


@pytest.mark.root
@each_environment
def test_places_are_the_bytes_typed(
    root: Path, locpath: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    """A data root and a target whose names are not ASCII are found and made under these bytes."""
    place = os.path.join(os.fsencode(tmp_path), b"ma\xc3\x9fe, ma\xdfe")
    os.symlink(root, place)
    command: list[str | bytes] = [*LAYERFS, "--root", place, "cp", "names:1:/ä".encode(), place + b".copy"]
    subprocess.run(command, env=_environment(environment, locpath), check=True)
    assert sorted(os.listdir(place + b".copy")) == sorted(BYTES[1:])
    assert len(os.listdir(tmp_path)) == 2


# -- closed and full -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["images", "ls demo", "tree demo", "cat demo /etc/motd", "--help"])
def test_closed_output_is_an_error(dataroot_path: Path, command: str) -> None:
    """Without a standard output a command that has something to say fails as GNU's do, in words."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *LAYERFS, "--root", dataroot_path, *command.split()],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 74
    assert done.stderr.startswith(b"layerfs: error: standard output: ")


def test_closed_output_does_not_matter_where_nothing_is_printed(dataroot_path: Path, tmp_path: Path) -> None:
    """With all streams closed files are written, and none of them is taken for a stream."""
    command = [*LAYERFS, "--root", str(dataroot_path), "export", "-o", str(tmp_path / "x.tar"), "demo"]
    subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command], check=True)
    subprocess.run(
        [*LAYERFS, "--root", dataroot_path, "export", "-o", tmp_path / "y.tar", "demo"], check=True
    )
    assert (tmp_path / "x.tar").read_bytes() == (tmp_path / "y.tar").read_bytes()


@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full"])
def test_messages_that_nobody_takes(dataroot_path: Path, stream: str) -> None:
    """Where standard error takes nothing, the answer and the exit code are what they are."""
    command = [*LAYERFS, "--root", str(dataroot_path), "cat", "demo", "/etc/motd", "/absent"]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {stream}', "sh", *command], capture_output=True, check=False
    )
    assert done.returncode == 6
    assert done.stdout.startswith(b"Welcome")


@pytest.mark.locales
@pytest.mark.root
def test_a_terminal_of_another_character_set(root: Path, locpath: Path) -> None:
    """A terminal in Latin-1 gets what it can show, and no byte that would be a control byte there."""
    master, slave = os.openpty()
    command = [*LAYERFS, "--root", str(root), "ls", "-1", "names:1", "/", "/ä"]
    with os.fdopen(slave, "wb") as terminal:
        subprocess.run(
            command,
            env=_environment({"LC_ALL": "en_US", "NO_COLOR": "1"}, locpath),
            stdout=terminal,
            stderr=terminal,
            check=True,
        )
        shown = os.read(master, 4096)
    os.close(master)
    assert "ä".encode("latin-1") in shown
    assert rb"\u65e5" in shown
    assert all(0x20 <= byte < 0x7F or byte > 0x9F for byte in shown.replace(b"\r\n", b""))
