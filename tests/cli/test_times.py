"""Times of any 64-bit value, as tmpfs and btrfs keep them: every listing shows them as the GNU tools do."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs
from tests.support.rootbuilder import RootBuilder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.root

_CALENDAR = (-67768040609740800, 67768036191676799)  # the first and last seconds that the C library can date
SECONDS = [
    *(0, -1, 1 << 31, -(1 << 31) - 5, (1 << 33) + 7, 1 << 34, 253402300799, 253402300800, 1 << 55),
    *(-62135596800, -62135596801, -62167219201, -62233315200),
    *(_CALENDAR[0] - 1, _CALENDAR[0], _CALENDAR[1], _CALENDAR[1] + 1),
    *(1 << 62, (1 << 63) - 1, -(1 << 63)),
]
NAMES = {f"t{seconds:+}": seconds * 10**9 + 5 for seconds in SECONDS}
IMAGE = "times:1"


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A data root on tmpfs whose image has a file for each time, and that image's layer on disk."""
    place = tmp_path_factory.mktemp("tmpfs")
    subprocess.run(["mount", "-t", "tmpfs", "times", place], check=True)
    try:
        builder = RootBuilder(place / "root")

        def fill(diff: Path) -> None:
            for name, time in NAMES.items():
                (diff / name).write_bytes(b"")
                os.utime(diff / name, ns=(time, time))
            os.utime(diff, (0, 0))

        layer = builder.layer(None, fill)
        builder.image(layer, IMAGE)
        yield builder.finish(), layer.diff
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
def test_listings_are_those_of_gnu(
    odd: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """`ls -l`, `ls --full-time` and `stat` show every time as the GNU tools do on the layer's directory."""
    root, diff = odd
    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        _reset_zone()
        for options in (["-ln"], ["-ln", "--full-time"]):
            ours = layerfs(root, "ls", *options, IMAGE, "/")
            expected = _run("ls", *options, "-U", str(diff), zone=zone)
            assert (ours.code, ours.stderr) == (0, "")
            assert sorted(_times_of_ls(ours.stdout)) == sorted(_times_of_ls(expected))
        shown = layerfs(root, "stat", IMAGE, *(f"/{name}" for name in NAMES))
        assert (shown.code, shown.stderr) == (0, "")
        wanted = _run("stat", "--format", "Modify: %y", *(str(diff / name) for name in NAMES), zone=zone)
        assert re.findall(r"Modify: .*", shown.stdout) == wanted.splitlines()
    _reset_zone()


def _reset_zone() -> None:
    import time

    time.tzset()


def _run(*command: str, zone: str) -> str:
    environment = {**os.environ, "TZ": zone, "LC_ALL": "C"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def _times_of_ls(listing: str) -> list[str]:
    """What stands between the size and the name, and the name."""
    rows = [re.fullmatch(r"\S+ +\d+ \d+ \d+ +0 (.*)", line) for line in listing.splitlines()]
    return [row[1] for row in rows if row]


def test_json_has_every_time(odd: tuple[Path, Path]) -> None:
    """In JSON every time is RFC 3339, with the year that date(1) shows where that can tell it."""
    root, diff = odd
    rows = layerfs(root, "ls", "--format", "json", IMAGE, "/").json
    found = {row["name"]: row["mtime"] for row in rows}
    for name, time in NAMES.items():
        if _CALENDAR[0] <= time // 10**9 <= _CALENDAR[1]:
            date, clock, _ = _run("stat", "--format", "%y", str(diff / name), zone="UTC").split()
            assert found[name] == f"{date}T{clock}Z"
    assert len(set(found.values())) == len(NAMES)


COMMANDS = {
    "tree": ["tree", "--format", "json", IMAGE],
    "find": ["find", IMAGE],
    "find -ls": ["find", IMAGE, "-ls"],
    "find --all": ["find", "--all", "--format", "jsonl"],
    "timeline": ["timeline", "--all"],
    "bodyfile": ["timeline", "--all", "--bodyfile"],
    "timeline in JSON": ["timeline", "--all", "--format", "jsonl"],
    "timeline as CSV": ["timeline", IMAGE, "--format", "csv"],
    "blame": ["blame", "-R", IMAGE],
    "changes": ["changes", "--layer", "1", IMAGE],
    "diff": ["diff", IMAGE],
    "diff in JSON": ["diff", "--format", "json", IMAGE],
    "stat in JSON": ["stat", "--format", "json", IMAGE, *(f"/{name}" for name in NAMES)],
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=list(COMMANDS))
def test_no_listing_ends_at_an_odd_time(odd: tuple[Path, Path], arguments: list[str]) -> None:
    """Every command that lists entries names them all, whatever their times."""
    found = layerfs(odd[0], *arguments)
    assert found.stderr == ""
    assert found.code in (0, 1)
    assert [name for name in NAMES if name not in found.stdout] == []


def test_a_bodyfile_has_whole_seconds(odd: tuple[Path, Path]) -> None:
    """A bodyfile has each time in seconds, as stat(1) has them."""
    root, diff = odd
    lines = layerfs(root, "timeline", "--all", "--bodyfile").stdout.splitlines()
    for name in NAMES:
        line = next(line for line in lines if f"/{name} " in line)
        seconds = _run("stat", "--format", "%Y", str(diff / name), zone="UTC").strip()
        assert line.split("|")[8] == seconds
