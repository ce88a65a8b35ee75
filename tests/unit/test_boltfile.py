"""Bolt files as they lie on a disk: in use, changed while read, and what is no file at all."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from layerfs.boltfile import PREVIOUS, read_boltfile
from layerfs.errors import CorruptStore, MalformedFile
from layerfs.hostdir import HostDir, Refused
from layerfs.hostfile import HostFile
from tests.support.boltfiles import (
    everything,
    next_transaction,
    page_size,
    patched,
    real,
    root_of,
    trusting,
)
from tests.support.capabilities import in_own_namespaces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.boltfiles import Tree

META = "containerd-2.1/meta"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[HostDir]:
    """A directory with `db`, a real database."""
    (tmp_path / "db").write_bytes(real(META).content)
    with HostDir.open(tmp_path) as opened:
        yield opened


def _tree(directory: HostDir, told: list[CorruptStore] | None = None, state: str = "newest") -> Tree:
    """Everything in `db`, and what was told of it, which must be asked for."""
    problems: list[CorruptStore] = []
    found = everything(read_boltfile(directory, "db", problems.append, state).root)
    if told is None:
        assert problems == []
    else:
        told += problems
    del found[b""]
    return found


def test_a_sound_file_is_read_and_left_alone(directory: HostDir, tmp_path: Path) -> None:
    """Both states, without a word of damage, and without a new access time."""
    os.utime(tmp_path / "db", (1, 1))
    assert _tree(directory) == real(META).newest
    assert _tree(directory, state=PREVIOUS) == real(META).older
    assert (tmp_path / "db").stat().st_atime == 1


def test_a_chosen_older_state_is_said(directory: HostDir, caplog: pytest.LogCaptureFixture) -> None:
    """Who asked for it is told which transaction it is; that is no damage."""
    _tree(directory, state=PREVIOUS)
    assert [record.getMessage() for record in caplog.records] == [
        f"{directory.name_of('db')}: read as of transaction 167, the state before its newest"
    ]
    assert not hasattr(caplog.records[0], "damage")


def test_damage_is_told_with_the_file_and_the_way_out(directory: HostDir, tmp_path: Path) -> None:
    """An older state that had to be read, and a page that is lost: the file, the page, the transaction."""
    content, size = real(META).content, page_size(real(META).content)
    newest, older = real(META).txids
    told: list[CorruptStore] = []
    (tmp_path / "db").write_bytes(patched(content, size * (newest % 2), bytes(size)))
    assert _tree(directory, told) == real(META).older
    said = f"one of its two meta pages is damaged: read as of transaction {older}, which may not be the last"
    assert [str(item) for item in told] == [f"{directory.name_of('db')}: {said}"]
    told.clear()
    page = next(page for page in trusting(content).pages if page != root_of(content))
    (tmp_path / "db").write_bytes(patched(content, size * page, bytes(size)))
    assert _tree(directory, told) == trusting(content, without=page).tree
    assert len(told) == 1
    assert f"{directory.name_of('db')}: bolt page {page}: " in str(told[0])
    assert f"(its older state, transaction {older}, may have them)" in str(told[0])


def test_a_lock_is_not_waited_for(directory: HostDir, tmp_path: Path) -> None:
    """The engine holds its databases locked while it runs."""
    with (tmp_path / "db").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert _tree(directory) == real(META).newest


def _changing(monkeypatch: pytest.MonkeyPatch, change: Callable[[int], None]) -> list[int]:
    """Have `change` called, with its number, at each reading of a file, when half of it is read."""
    readings: list[int] = []
    beginning = HostFile.beginning

    def read_with_change(file: HostFile, size: int) -> memoryview:
        first = bytes(beginning(file, size // 2))
        readings.append(size)
        change(len(readings))
        return memoryview(first + bytes(beginning(file, size)[size // 2 :]))

    monkeypatch.setattr(HostFile, "beginning", read_with_change)
    return readings


def test_what_changed_while_it_was_read_is_read_again(
    directory: HostDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that ends meanwhile: the new state is read, whole."""
    other = real("docker29/meta").content

    def change(number: int) -> None:
        if number == 1:
            (tmp_path / "db").write_bytes(other)
        elif number == 2:
            (tmp_path / "db").write_bytes(next_transaction(other))

    readings = _changing(monkeypatch, change)
    assert _tree(directory) == real("docker29/meta").newest
    assert len(readings) == 3


def test_what_never_rests_is_told(
    directory: HostDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a few readings what was read last counts, and that it may be torn is said."""

    def change(_number: int) -> None:
        (tmp_path / "db").write_bytes(next_transaction((tmp_path / "db").read_bytes()))

    readings = _changing(monkeypatch, change)
    told: list[CorruptStore] = []
    assert _tree(directory, told) == real(META).newest
    assert len(readings) == 10
    assert ["changed during each of 10 readings" in str(item) for item in told] == [True]


def test_only_what_is_in_use_is_read(directory: HostDir, tmp_path: Path) -> None:
    """A file of a terabyte that is a hole but for its beginning costs what there is."""
    os.truncate(tmp_path / "db", 1 << 40)
    assert _tree(directory) == real(META).newest


NO_DATABASE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "short": lambda path: path.write_bytes(real(META).content[:60]),
    "zeros": lambda path: path.write_bytes(bytes(65536)),
    "holes": lambda path: path.write_bytes(b"") or os.truncate(path, 1 << 40),  # type: ignore[func-returns-value]
    "text": lambda path: path.write_bytes(b"no bolt file"),
}
NO_FILE: dict[str, Callable[[Path], object]] = {
    "FIFO": os.mkfifo,
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "directory": os.mkdir,
    "nothing": lambda _path: None,
}


@pytest.mark.parametrize("make", NO_DATABASE.values(), ids=NO_DATABASE)
def test_what_is_no_database(directory: HostDir, tmp_path: Path, make: Callable[[Path], object]) -> None:
    """It is an error that names the file."""
    make(tmp_path / "db")
    with pytest.raises(MalformedFile, match=r"/db: not a bolt database"):
        _tree(directory)


@pytest.mark.parametrize("make", NO_FILE.values(), ids=NO_FILE)
def test_what_is_no_file(directory: HostDir, tmp_path: Path, make: Callable[[Path], object]) -> None:
    """Nothing but a regular file is opened, and nothing is waited for."""
    (tmp_path / "db").unlink()
    make(tmp_path / "db")
    with pytest.raises((Refused, OSError)):
        _tree(directory)


_CONFIG = """\
version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{0}/socket"
[ttrpc]
  address = "{0}/socket.ttrpc"
"""

# writes until it is ended: one lease more, and now and then one less, a label that changes
_BUSY = """\
containerd --config "$1/config.toml" >"$1/log" 2>&1 &
ctl() { ctr --address "$1/socket" "${@:2}" >>"$1/log" 2>&1; }
until ctl "$1" version; do sleep 0.05; done
for worker in 1 2; do
  for number in $(seq 400); do
    ctl "$1" leases create --id "$worker-$number" "a=$number" || exit
    ctl "$1" namespaces label default "w$worker=$number"
    ((number % 3)) || ctl "$1" leases delete "$worker-$((number - 1))"
  done &
done
wait
"""


def _wait_for(file: Path, word: bytes, engine: subprocess.Popen[bytes]) -> None:
    """Until a file is there and has a word in it."""
    for _ in range(600):
        if file.exists() and word in file.read_bytes():
            return
        assert engine.poll() is None, "containerd did not start"
        time.sleep(0.05)
    pytest.fail("containerd wrote nothing")


@pytest.mark.containerd
@pytest.mark.root
@pytest.mark.slow
def test_a_busy_containerd_gives_no_torn_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a real containerd writes, each of some hundred readings is whole, also when it takes a while."""
    _changing(monkeypatch, lambda _number: time.sleep(0.003))
    (tmp_path / "config.toml").write_text(_CONFIG.format(tmp_path))
    path = "root/io.containerd.metadata.v1.bolt/meta.db"
    command = in_own_namespaces("bash", "-c", _BUSY, "busy", str(tmp_path))
    seen: set[int] = set()
    alive, held = os.pipe()  # what it starts holds this open as long as it runs
    with subprocess.Popen(command, pass_fds=[held]) as engine, os.fdopen(alive, "rb") as ended:
        os.close(held)
        try:
            _wait_for(tmp_path / path, b"leases", engine)
            with HostDir.open(tmp_path) as directory:
                for _ in range(300):
                    told: list[CorruptStore] = []
                    database = read_boltfile(directory, path, told.append)
                    assert everything(database.root)[b"v1"]
                    assert told == []
                    seen.add(database.meta.txid)
            assert engine.poll() is None
        finally:
            engine.kill()
            ended.read()
    assert len(seen) > 5  # it wrote meanwhile
