"""`--bolt-state`, and what is said of a damaged database of BuildKit: its file and its transaction."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING

import pytest

from layerfs.boltfile import read_boltfile
from tests.support.boltfiles import page_size, patched, root_of, trusting
from tests.support.command import layerfs
from tests.support.fixture import private_copy

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

SNAPSHOTS, RECORDS = "buildkit/snapshots.db", "buildkit/metadata_v2.db"


@pytest.fixture(scope="module")
def copy(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded data root, of which the databases may be changed."""
    return private_copy(dataroot_path, tmp_path_factory.mktemp("damaged") / "root")


@pytest.fixture(scope="module")
def left(copy: Path) -> int:
    """The transaction that is left of the snapshots of `copy`."""
    return _without_newest_meta(copy / SNAPSHOTS)


def _without_newest_meta(path: Path) -> int:
    """Damage the newest meta of a database; the transaction that is left."""
    content = path.read_bytes()
    size = page_size(content)
    txids = [struct.unpack_from("<Q", content, page * size + 64)[0] for page in (0, 1)]
    path.write_bytes(patched(content, txids.index(max(txids)) * size + 16, bytes(64)))
    return int(min(txids))


@pytest.mark.parametrize("command", ["du", "system df -v", "doctor"])
def test_an_older_state_is_told(copy: Path, left: int, command: str) -> None:
    """The file and the transaction are named, and the command says by its exit code that it is not all."""
    found = layerfs(copy, *command.split())
    text = found.stdout + found.stderr
    assert SNAPSHOTS in text
    assert f"one of its two meta pages is damaged: read as of transaction {left}, which may not be" in text
    assert found.code == 1


@pytest.mark.parametrize("command", ["du", "system df -v"])
def test_the_older_state_is_read_on_request(dataroot_path: Path, command: str) -> None:
    """Which one that is, is said, and no damage is found."""
    content = (dataroot_path / SNAPSHOTS).read_bytes()
    txids = [struct.unpack_from("<Q", content, page * page_size(content) + 64)[0] for page in (0, 1)]
    found = layerfs(dataroot_path, "--bolt-state", "previous", *command.split())
    assert f"{SNAPSHOTS}: read as of transaction {min(txids)}, the state before its newest" in found.stderr
    assert found.code == 0


def test_a_record_that_is_left_is_listed(copy: Path) -> None:
    """Of a database with a damaged page the other records are listed, and what is lost is told."""
    content = (copy / RECORDS).read_bytes()
    whole = layerfs(copy, "system", "df", "-v", "--format", "json").json["build_cache"]
    pages = [page for page in trusting(content).pages if page != root_of(content)]
    assert pages
    size = page_size(content)
    (copy / RECORDS).write_bytes(patched(content, pages[-1] * size, bytes(size)))
    found = layerfs(copy, "system", "df", "-v", "--format", "json")
    assert found.code == 1
    assert f"{RECORDS}: bolt page {pages[-1]}: " in found.stderr
    lost = found.stderr.split("of bucket _main/")[1].split()[0]
    left = {row["id"]: row for row in found.json["build_cache"]}
    assert left.keys() == {row["id"] for row in whole}
    assert [left[row["id"]] == row for row in whole if row["id"] != lost] == [True] * (len(whole) - 1)


@pytest.mark.parametrize("command", ["du", "system df -v", "doctor"])
def test_each_database_is_read_once(dataroot_path: Path, command: str) -> None:
    """However many accounts of it a command makes."""
    calls: list[str] = []

    def count(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code is read_boltfile.__code__:
            calls.append(frame.f_locals["path"])

    sys.setprofile(count)
    try:
        layerfs(dataroot_path, *command.split())
    finally:
        sys.setprofile(None)
    assert SNAPSHOTS in calls
    assert len(calls) == len(set(calls))


def test_another_word_is_a_usage_error(dataroot_path: Path) -> None:
    """There are two states."""
    assert layerfs(dataroot_path, "--bolt-state", "oldest", "images").code == 2
