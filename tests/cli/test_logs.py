"""`logs` where no engine is asked: damage, terminals, logs outside of a store, and hostile ones."""

from __future__ import annotations

import gzip
import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import layerfs, run_bytes
from tests.support.libpod import EXITED, config, state, write_sqlite
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

ID = "c0" * 32
CRI_LOG = "run/cri/logs/app/2.log"
DAMAGED, NOT_HERE = 1, 4


def _line(text: str, second: int = 0, stream: str = "stdout", **more: Any) -> bytes:
    document = {"log": text, "stream": stream, "time": f"2026-01-02T03:04:{second:02}.5Z", **more}
    return json.dumps(document).encode() + b"\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with one container, `web`, whose log is yet to be written."""
    (tmp_path / "root/image/overlay2").mkdir(parents=True)
    _container(tmp_path / "root", ID, "web")
    return tmp_path / "root"


def _container(root: Path, own: str, name: str, driver: str = "json-file") -> None:
    (root / "containers" / own).mkdir(parents=True)
    state = {"StartedAt": "2026-01-02T03:04:00Z"}
    document = {"ID": own, "Name": f"/{name}", "State": state, "LogPath": "/etc/passwd"}
    (root / "containers" / own / "config.v2.json").write_text(json.dumps(document))
    host = {"LogConfig": {"Type": driver}}
    (root / "containers" / own / "hostconfig.json").write_text(json.dumps(host))


def _log(root: Path, own: str = ID, end: str = "") -> Path:
    return root / "containers" / own / f"{own}-json.log{end}"


def _asked(root: Path, *words: str) -> tuple[int, str, list[str]]:
    """Exit code, output, and what is said of the log itself: this root has no more than that."""
    done = layerfs(root, "logs", *words)
    own = [line for line in done.stderr.splitlines() if "-json.log" in line or "error" in line]
    return done.code, done.stdout, own


def test_damage_is_named_and_the_rest_is_shown(root: Path) -> None:
    """Each place that cannot be read is named; a packed part is read as far as it goes."""
    packed = gzip.compress(b"".join(_line(f"old {number} {os.urandom(40).hex()}\n") for number in range(50)))
    _log(root, end=".2.gz").write_bytes(packed[: len(packed) // 2])
    _log(root, end=".1").write_bytes(_line("a\n") + b"\0" * 700 + _line("b\n") + b"{}\n" + _line("c\n"))
    _log(root).write_bytes(_line("d\n") + _line("e\n")[:-9])
    code, shown, said = _asked(root, "web")
    assert code == DAMAGED
    lines = shown.splitlines()
    assert lines[-4:] == ["a", "b", "c", "d"]
    assert 5 < len(lines) < 54
    assert all(line.startswith(f"old {number} ") for number, line in enumerate(lines[:-4]))
    size = len(_line("a\n"))
    for words in (".2.gz: the compressed data are cut off", f".1: bytes {size} to {size + 700}: zeros"):
        assert sum(words in line for line in said) == 1
    assert sum("no record of a log" in line for line in said) == 1
    assert sum("-json.log: bytes" in line and "truncated" in line for line in said) == 1


def test_part_that_is_left_out_is_named(root: Path) -> None:
    """`.1` is not there: the engine may have ended while it renamed files, or it is lost."""
    _log(root).write_bytes(_line("new\n"))
    _log(root, end=".2").write_bytes(_line("old\n"))
    _, shown, said = _asked(root, "web")
    assert shown == "old\nnew\n"
    assert [line for line in said if f"{ID}-json.log.1 is not there" in line]


def test_log_that_is_missing_is_named(root: Path) -> None:
    """A container that was started has a log; that it is gone is damage, and `LogPath` is not followed."""
    code, shown, said = _asked(root, "web")
    assert (code, shown) == (DAMAGED, "")
    assert "the log of container web is missing" in said[-1]


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_log_that_is_no_file_is_refused(root: Path, kind: str) -> None:
    """Neither followed nor waited for."""
    path = _log(root)
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    code, shown, said = _asked(root, "web")
    assert (code, shown) == (DAMAGED, "")
    assert said


def test_bomb_is_not_unpacked(root: Path) -> None:
    """A packed part that is one endless line is passed over, and told; what follows is shown."""
    _log(root, end=".1.gz").write_bytes(gzip.compress(b"A" * (100 << 20), 1))
    _log(root).write_bytes(_line("after\n"))
    for words in (("web",), ("--tail", "5", "web")):
        code, shown, said = _asked(root, *words)
        assert (code, shown) == (DAMAGED, "after\n")
        assert sum("a line of more than" in line for line in said) == 1


def test_many_damaged_lines_are_counted(root: Path) -> None:
    """Ten are named, and then how many more there are."""
    _log(root).write_bytes(b"junk\n" * 5000 + _line("after\n"))
    code, shown, said = _asked(root, "web")
    assert (code, shown, len(said)) == (DAMAGED, "after\n", 11)
    assert "4990 more places that cannot be read" in said[-1]


def test_all_logs_are_merged_by_time(root: Path) -> None:
    """Lines of several containers in the order of time; parts of a line are put together."""
    other = "d0" * 32
    _container(root, other, "database")
    _log(root).write_bytes(_line("one\n", 1) + _line("three, ", 3) + _line("whole\n", 5) + _line("six\n", 6))
    _log(root, other).write_bytes(_line("two\n", 2, "stderr") + _line("four\n", 4))
    done = layerfs(root, "logs", "--all")
    assert done.stdout == ("web      | one\nweb      | three, whole\ndatabase | four\nweb      | six\n")
    assert "database | two\n" in done.stderr
    rows = layerfs(root, "logs", "--all", "--format", "json").json
    assert [row["text"] for row in rows] == ["one", "two", "three, ", "four", "whole", "six"]
    assert [row["partial"] for row in rows] == [False, False, True, False, False, False]
    assert {row["container_id"] for row in rows} == {ID, other}


def _on_terminal(*words: str) -> bytes:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "layerfs", *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL) as running:
        os.close(theirs)
        found = b""
        try:
            while piece := os.read(ours, 1 << 16):
                found += piece
        except OSError:
            pass  # EIO: the other side is closed
        running.wait()
    os.close(ours)
    return found.replace(b"\r\n", b"\n")


def test_terminal_is_given_colours_and_nothing_else(root: Path) -> None:
    """Sequences that choose colours stay, and end with the log; all others, and hidden text, are escaped."""
    text = "\x1b[1;38;5;8mred\x1b[0m \x1b]0;title\x07 \x1b[2J\x1b[8mhidden a\rb\u202e\tc \x1b[31mopen\r\n"
    _log(root).write_bytes(_line(text))
    shown = _on_terminal("--root", str(root), "logs", "web")
    kept = "\x1b[1;38;5;8mred\x1b[0m \\x1b]0;title\\x07 \\x1b[2J\\x1b[8mhidden a\\rb\\u202e\tc "
    kept += "\x1b[31mopen\r\n\x1b[0m"
    assert shown.decode() == kept
    assert run_bytes(root, "logs", "web").stdout == text.encode()


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("web", "--all"),
        ("--tail", "x", "web"),
        ("--tail", "1" * 30, "web"),
        ("--since", "x", "web"),
        ("-f", "web"),
    ],
)
def test_command_lines_that_are_refused(root: Path, words: tuple[str, ...]) -> None:
    """Without a container, with two wishes, or with what is no number and no time."""
    assert layerfs(root, "logs", *words).code == 2


def test_logs_of_kubernetes_lie_on_its_host(tmp_path: Path) -> None:
    """Its path is told; beneath the host's file system it is read, also where that is the root."""
    top = tmp_path / "host"
    place = top / "var/lib"
    place.mkdir(parents=True)
    unpack_sample("containerd-2.1-cri", place).rename(place / "containerd")
    log = top / CRI_LOG
    log.parent.mkdir(parents=True)
    old = b"2026-11-29T00:08:38.25+01:00 stdout P a line \n2026-11-29T00:08:38.26+01:00 stdout F in parts\n"
    (log.parent / "2.log.20261128-230839.gz").write_bytes(gzip.compress(old))
    log.write_bytes(b"2026-11-28T23:08:40.000000001Z stderr F wrong\n2026-11-28T23:08:41Z stdout F cut o")
    alone = layerfs(place / "containerd", "logs", "app")
    assert (alone.code, alone.stdout) == (NOT_HERE, "")
    assert f"its log is /{CRI_LOG} of its host" in alone.stderr
    assert "--host-root" in alone.stderr
    for root, words in ((place / "containerd", ("--host-root", str(top))), (top, ())):
        done = layerfs(root, "logs", "-t", *words, "app")
        assert done.stdout == (
            "2026-11-29T00:08:38.250000000+01:00 a line in parts\n2026-11-28T23:08:41.000000000Z cut o\n"
        )
        assert "2026-11-28T23:08:40.000000001Z wrong\n" in done.stderr
        assert f"{CRI_LOG}: bytes" in done.stderr
        assert "it ends within a line" in done.stderr
        assert done.code == DAMAGED


def test_journal_is_named(tmp_path: Path) -> None:
    """Podman's usual log driver writes to the journal of its host."""
    (tmp_path / "overlay-images").mkdir()
    record = config(1, "web", logDriver="journald")
    write_sqlite(tmp_path, [(record, state(EXITED))])
    done = layerfs(tmp_path, "logs", "web")
    assert (done.code, done.stdout) == (NOT_HERE, "")
    assert "its log is in the journal of its host (journald), which is not in the store" in done.stderr
