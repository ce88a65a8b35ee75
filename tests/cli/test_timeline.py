"""`layerfs timeline`: its times against lstat(2) and the engine's files, and as mactime reads them."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.formats.gotime import parse_time
from tests.support.command import layerfs
from tests.support.fixture import private_copy
from tests.support.hiding import objects
from tests.support.images import image_of
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec, Link, Meta, Symlink
from tests.support.mounts import stacked_by_docker

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

LAYERFS = str(Path(sys.executable).with_name("layerfs"))
USAGE = 2
NANO = 10**9


@pytest.fixture(scope="module")
def root(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the recorded root that nobody else reads, in which a listing renews no access time more."""
    made = private_copy(dataroot_path, tmp_path_factory.mktemp("timeline") / "root")
    for _ in _on_disk(made):
        pass
    return made


def _on_disk(root: Path) -> Iterator[tuple[str, str, os.stat_result]]:
    """Every entry of every layer: its cache ID, its path and its attributes."""
    for layer in (root / "overlay2").iterdir():
        if not (layer / "diff").is_dir():
            continue
        yield layer.name, "/", (layer / "diff").lstat()
        for directory, names, files in os.walk(layer / "diff"):
            for name in (*names, *files):
                path = os.path.join(directory, name)
                yield layer.name, path.removeprefix(f"{layer}/diff"), os.lstat(path)


def _rows(root: Path, *arguments: str) -> list[dict[str, Any]]:
    done = layerfs(root, "timeline", "--owners", "--format", "jsonl", *arguments)
    assert done.code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _body(root: Path, *arguments: str) -> list[list[str]]:
    """The fields of each line of a bodyfile."""
    done = layerfs(root, "timeline", "--bodyfile", *arguments)
    assert done.code == 0, done.stderr
    return [line.split("|") for line in done.stdout.split("\n")[:-1]]


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


# -- files ---------------------------------------------------------------------------------------


def test_every_time_of_every_file_in_every_layer(root: Path) -> None:
    """`--all` has each entry of each layer once, whiteouts too, with the times that lstat gives to the ns."""
    expected: Counter[tuple[object, ...]] = Counter()
    for cache_id, path, status in _on_disk(root):
        times = {"m": status.st_mtime_ns, "a": status.st_atime_ns, "c": status.st_ctime_ns}
        for letter, time_ns in times.items():
            expected[cache_id, path, status.st_ino, status.st_size, letter, time_ns] += 1
    found: Counter[tuple[object, ...]] = Counter()
    for row in _rows(root, "--all"):
        if row["event"] == "file":
            for letter in row["macb"].replace(".", ""):
                found[row["cache_id"], row["path"], row["inode"], row["size"], letter, row["time_ns"]] += 1
    assert found == expected
    assert len(expected) > 3000


def test_bodyfile_has_every_file_of_every_layer(root: Path) -> None:
    """A line for each entry of each layer: mode, owner, size and whole seconds as lstat gives them."""
    expected = Counter(
        (
            str(status.st_ino), stat.filemode(status.st_mode)[1:], str(status.st_uid), str(status.st_gid),
            str(status.st_size), *(str(ns // NANO) for ns in (status.st_atime_ns, status.st_mtime_ns)),
            str(status.st_ctime_ns // NANO), "0",
        )
        for _, _, status in _on_disk(root)
    )  # fmt: skip
    lines = [line for line in _body(root, "--all") if line[3] != "-/----------"]
    assert all(len(line) == 11 for line in lines)
    assert Counter((line[2], line[3][3:], *line[4:]) for line in lines) == expected
    names = [line[1] for line in lines]
    assert len(set(names)) == len(names)  # mactime knows a file by its name


def test_bodyfile_types_are_the_sleuth_kits(root: Path) -> None:
    """The letters before the mode tell the type, of a whiteout too."""
    letters = {0o10: "r", 0o4: "d", 0o12: "l", 0o2: "c", 0o6: "b", 0o1: "p", 0o14: "h"}
    kinds = {}
    for _, path, status in _on_disk(root):
        kind = "w" if _is_whiteout(status) else letters[status.st_mode >> 12]
        kinds[str(status.st_ino), path] = f"{kind}/{kind}"
    seen = set()
    for line in _body(root, "--all"):
        path = line[1].partition(" (")[0].partition(" -> ")[0]
        if (line[2], path) in kinds and "\\" not in path:
            assert line[3][:3] in (kinds[line[2], path], "w/w"), line  # whiteouts may also be attributes
            seen.add(line[3][0])
    assert seen == set("rdlcbphw")


@pytest.mark.parametrize("name", ["demo", "changed", "lab/whiteouts:1", "lab/opaque:1", "lab/types:1"])
def test_hidden_versions_are_marked(root: Path, name: str) -> None:
    """State, and in a bodyfile the words behind the name, are those of a simple model of the layers."""
    rows = layerfs(root, "inspect", name).json[0]
    top = rows["Layers"][-1]["CacheID"] if "Layers" in rows and name != "changed" else None
    if top is None:
        mounts = root / "image/overlay2/layerdb/mounts" / rows["Id"]
        top = (mounts / "mount-id").read_text()
    expected = {
        (os.fsdecode(item.path), item.layer): item.hidden[:2] if item.hidden else None
        for item in objects(stacked_by_docker(root, top))
    }
    found = {}
    for row in _rows(root, name):
        if row["event"] == "file" and row["type"] != "whiteout":
            hidden = [(sight["by"], sight["how"]) for sight in row["hidden_in"]]
            assert row["state"] == ("hidden" if hidden else "visible")
            found[row["path"], row["layer"]] = hidden[0] if hidden else None
    assert found == expected
    for line in _body(root, name):
        if line[3][0] in "-w":
            continue
        path, _, words = line[1].partition(" (layer ")
        if (key := (path.partition(" -> ")[0], int(words.split(" ")[0]))) in expected:
            mark = ")"
            if cause := expected[key]:
                verb = "deleted" if cause[1] in ("whiteout", "opaque") else "replaced"
                mark = f") ({verb} by layer {cause[0]})"
            assert words.endswith(mark)
            assert (" by layer " in words) == bool(cause)


def test_a_deletion_has_its_time(root: Path) -> None:
    """A whiteout is an event of its own: when the file was deleted, and by which layer's command."""
    (whiteout,) = [row for row in _rows(root, "demo") if row["type"] == "whiteout" and "m" in row["macb"]]
    assert (whiteout["path"], whiteout["state"]) == ("/root/password.txt", "whiteout")
    steps = [
        row for row in _rows(root, "demo") if row["event"] == "step" and row["layer"] == whiteout["layer"]
    ]
    assert [row["command"] for row in steps] == ["/bin/sh -c fx rm /root/password.txt"]
    assert abs(whiteout["time_ns"] - steps[0]["time_ns"]) < 60 * NANO
    words = [line[1] for line in _body(root, "demo") if line[1].startswith("/root/password.txt")]
    assert [line.rpartition(" (")[2] for line in sorted(words)] == ["deleted by layer 5)", "whiteout)"]


def test_digests_are_those_of_the_files(root: Path) -> None:
    """--md5 and --sha256 give each file's content, also of hidden versions; nothing else has a digest."""
    rows = [row for row in _rows(root, "--md5", "--sha256", "changed") if row["event"] == "file"]
    for row in rows:
        expected: tuple[str | None, str | None] = (None, None)
        if row["type"] == "file":
            content = Path(row["backing_path"]).read_bytes()
            expected = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()  # noqa: S324
        assert (row["md5"], row["sha256"]) == expected
    digests = {row["inode"]: row["md5"] for row in rows}
    assert {int(line[2]): line[0] for line in _body(root, "--md5", "changed") if line[2] != "0"} == {
        inode: digest or "0" for inode, digest in digests.items()
    }
    assert {line[0] for line in _body(root, "changed")} == {"0"}


# -- the engine ----------------------------------------------------------------------------------


def _noted(root: Path) -> Counter[tuple[str, int | None, str]]:
    """What the engine's own files say: event, time, and whose it is."""
    found: Counter[tuple[str, int | None, str]] = Counter()
    images = root / "image/overlay2/imagedb"
    for path in (images / "content/sha256").iterdir():
        if created := json.loads(path.read_bytes()).get("created"):
            found["image created", parse_time(created), f"sha256:{path.name}"] += 1
    for path in (images / "metadata/sha256").glob("*/lastUpdated"):
        found["image tagged", parse_time(path.read_text()), f"sha256:{path.parent.name}"] += 1
    for path in (root / "containers").glob("*/config.v2.json"):
        config = json.loads(path.read_bytes())
        for what, text in (
            ("created", config["Created"]),
            ("started", config["State"]["StartedAt"]),
            ("finished", config["State"]["FinishedAt"]),
        ):
            found[f"container {what}", parse_time(text), config["ID"]] += 1
    return Counter({key: number for key, number in found.items() if key[1] is not None})


def test_what_the_engine_noted(root: Path) -> None:
    """Every image and container is there with each time that the engine's files have of it, and no other."""
    found: Counter[tuple[str, int | None, str]] = Counter()
    for row in _rows(root, "--all"):
        if row["event"] not in ("file", "step"):
            found[row["event"], row["time_ns"], row["owners"][0]["id"]] += 1
    assert found == _noted(root)
    assert {event for event, _, _ in found} == {
        *("image created", "image tagged"),
        *("container created", "container started", "container finished"),
    }


def test_every_step_of_every_history(root: Path) -> None:
    """Each dated history entry of each image is an event of that image; a shared one is told once."""
    expected: Counter[tuple[str, int | None, str]] = Counter()
    for path in (root / "image/overlay2/imagedb/content/sha256").iterdir():
        for entry in json.loads(path.read_bytes()).get("history") or ():
            if "created" in entry:
                text = entry.get("created_by") or entry.get("comment", "")
                expected[f"sha256:{path.name}", parse_time(entry["created"]), text] += 1
    found: Counter[tuple[str, int | None, str]] = Counter()
    steps = [row for row in _rows(root, "--all") if row["event"] == "step"]
    for row in steps:
        for owner in row["owners"]:
            found[owner["id"], row["time_ns"], row["command"] or ""] += 1
    assert found == expected
    assert len(steps) < sum(expected.values())


# -- time ----------------------------------------------------------------------------------------


def test_events_are_in_the_order_of_time(root: Path) -> None:
    """In every format but the bodyfile the earliest is first, and the words of a time are its ns in UTC."""
    rows = _rows(root, "--all")
    assert [row["time_ns"] for row in rows] == sorted(row["time_ns"] for row in rows)
    assert all(row["time"] is None or parse_time(row["time"]) == row["time_ns"] for row in rows)
    table = layerfs(root, "timeline", "demo").stdout.splitlines()[1:]
    assert [line.split()[0] for line in table] == [row["time"] for row in _rows(root, "demo")]
    listed = list(csv.DictReader(layerfs(root, "timeline", "--format", "csv", "demo").stdout.splitlines()))
    assert [int(row["time_ns"]) for row in listed] == [row["time_ns"] for row in _rows(root, "demo")]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_a_period_is_in_utc(root: Path, zone: str) -> None:
    """--since takes what is at its time and later, --until what is before, in UTC whatever the zone here."""
    everything = [row for row in _rows(root, "--all") if row["time"]]
    middle = everything[len(everything) // 3]["time_ns"] // NANO
    since, until = middle, middle + 1
    words = [
        dt.datetime.fromtimestamp(second, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S") for second in (since, until)
    ]
    command = [
        *(LAYERFS, "--root", str(root), "timeline", "--all", "--owners", "--format", "jsonl"),
        *("--since", words[0], "--until", words[1]),
    ]
    done = subprocess.run(command, env=os.environ | {"TZ": zone}, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found == [row for row in everything if since * NANO <= row["time_ns"] < until * NANO]
    assert found
    body = _body(root, "--all", "--since", f"{words[0]}Z", "--until", f"{words[1]}+00:00")
    assert all(any(str(since) == time for time in line[7:]) for line in body)
    assert len(body) == len(
        {
            (
                row["event"],
                row["cache_id"],
                row["path"],
                row["owners"][0]["id"] if not row["path"] else "",
                row["command"],
                row["layer"],
            )
            for row in found
        }
    )


def test_the_end_of_a_period_is_not_in_it(root: Path) -> None:
    """What is at the very time of --until is left out, and of --since it is there."""
    times = {row["time_ns"] for row in _rows(root, "--all") if row["time"]}
    whole = next(time_ns for time_ns in sorted(times) if time_ns % NANO == 0 and time_ns > 0)
    word = str(whole // NANO)
    before = {row["time_ns"] for row in _rows(root, "--all", "--until", word)}
    after = {row["time_ns"] for row in _rows(root, "--all", "--since", word) if row["time"]}
    assert max(before) < whole == min(after)


# -- mactime -------------------------------------------------------------------------------------


def _mactime(body: str, place: Path) -> list[dict[str, str]]:
    """What the Sleuth Kit makes of a bodyfile, in UTC."""
    (place / "body").write_text(body, encoding="utf-8", errors="surrogateescape")
    command = ["mactime", "-b", str(place / "body"), "-d", "-y"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"}, check=True
    )
    assert done.stderr == ""
    return list(csv.DictReader(done.stdout.splitlines()))


def _clock(seconds: int) -> str:
    if seconds == 0:
        return "0000-00-00T00:00:00Z"
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.mactime
def test_mactime_reads_the_bodyfile(root: Path, tmp_path: Path) -> None:
    """The Sleuth Kit finds each file of each layer at each of its times, with its own mode and owner."""
    body = layerfs(root, "timeline", "--all", "--bodyfile").stdout
    expected: dict[tuple[str, str, str], list[str]] = {}
    for line in body.splitlines():
        _, name, inode, mode, uid, gid, size, *times = line.split("|")
        for letter, time in zip("amcb", map(int, times), strict=True):
            if time >= 0:  # mactime knows none before 1970
                fields = expected.setdefault((_clock(time), inode, name), [*"....", mode, uid, gid, size])
                fields["macb".index(letter)] = letter
    found = {
        (row["Date"], row["Meta"], row["File Name"]): [
            *row["Type"], row["Mode"], row["UID"], row["GID"], row["Size"],
        ]
        for row in _mactime(body, tmp_path)
    }  # fmt: skip
    assert found == expected
    assert len(found) > 2000


@pytest.mark.mactime
def test_no_name_breaks_a_line(tmp_path: Path) -> None:
    """Separators, newlines and backslashes in names and targets leave one line with eleven fields."""
    names = [
        b"a|b",
        b"a\nb",
        b"a\\b",
        b"a\\174b",
        b"\xff",
        b"\x1b[31m",
        b" ",
        b"a,b",
        b'"',
        b"|",
        b"#x",
        b"x (deleted)",
    ]
    files = Dir({name: File(name) for name in names} | {b"link": Symlink(b"|\n|")})
    root, _ = image_of(tmp_path / "root", LayerSpec(files))
    body = layerfs(root, "timeline", "--bodyfile", "test:1").stdout
    lines = [line.split("|") for line in body.splitlines()]
    assert {len(line) for line in lines} == {11}
    assert len({line[1] for line in lines}) == len(names) + 2
    rows = {row["File Name"] for row in _mactime(body, tmp_path)}
    assert rows == {line[1] for line in lines}


# -- chosen names --------------------------------------------------------------------------------


def test_names_choose_layers(root: Path) -> None:
    """Of images and containers named, each layer is told once, with those of them that have it."""
    rows = _rows(root, "demo", "changed", "base:1")
    stacks = {row["cache_id"] for row in layerfs(root, "layers", "--format", "json", "demo").json}
    found = {row["cache_id"] for row in rows if row["event"] == "file"}
    assert stacks < found
    assert len(found - stacks) == 2  # the container's own
    keys = Counter((row["cache_id"], row["path"], row["macb"]) for row in rows if row["event"] == "file")
    assert set(keys.values()) == {1}
    base = [row for row in rows if row["event"] == "file" and row["layer"] == 1]
    assert {len(row["owners"]) for row in base} == {3}
    noted = {row["event"] for row in rows if row["event"].startswith("container")}
    assert len(noted) == 3


def test_owners_are_bounded_unless_asked_for(root: Path) -> None:
    """A row has the first of many and their number, and all of them with --owners; a table one name."""
    every = _rows(root, "--all")
    plain = [
        json.loads(line)
        for line in layerfs(root, "timeline", "--all", "--format", "jsonl").stdout.splitlines()
    ]
    assert len(every) == len(plain)
    many = 0
    for row, short in zip(every, plain, strict=True):
        owners, hidden = row.pop("owners"), row.pop("hidden_in")
        assert short == row
        assert (short["owner"], short["owner_count"]) == (owners[0] if owners else None, len(owners))
        assert short["hidden_count"] == len(hidden)
        many += len(owners) > 3
    assert many
    header, *lines = layerfs(root, "timeline", "--all").stdout.splitlines()
    assert header.split() == ["TIME", "MACB", "WHAT", "EVENT", "SIZE", "LAYER", "STATE", "OF"]
    assert all(re.fullmatch(r"[^,]+( and [0-9]+ more)?|", line[header.index("OF") :]) for line in lines)
    assert any(line.endswith(" more") for line in lines)


def test_time_and_path_come_first(root: Path) -> None:
    """However long a path is, no line is wide: its middle is left out, and --no-trunc has it whole."""
    header, *lines = layerfs(root, "timeline", "lab/names:1").stdout.splitlines()
    paths = [row["path"] for row in _rows(root, "lab/names:1") if row["path"]]
    assert max(map(len, paths)) > 1000
    assert max(map(len, lines)) < 200
    longest = max(paths, key=len)
    assert any(f"{longest[:20]}…{longest[-39:]}" in line for line in lines)
    whole = layerfs(root, "timeline", "--no-trunc", "lab/names:1").stdout
    assert longest in whole
    short = [line for line in layerfs(root, "timeline", "demo").stdout.splitlines() if " /etc/motd " in line]
    assert short
    assert all("/etc/motd" in line[:80] for line in short)
    assert header.index("WHAT") < 50


def test_hard_links_and_moved_directories(tmp_path: Path) -> None:
    """Every name of an inode is told, and what lies in a directory that was moved is told where it lies."""
    moved = Dir(meta=Meta(xattrs={b"trusted.overlay.redirect": b"old"}))
    root, _ = image_of(
        tmp_path / "root",
        LayerSpec(Dir({b"old": Dir({b"f": Link(0)}), b"g": Link(0)}), (File(b"x"),)),
        LayerSpec(Dir({b"old": WHITEOUT, b"new": moved})),
    )
    found = {
        (row["layer"], row["path"]): row["state"] for row in _rows(root, "test:1") if row["event"] == "file"
    }
    assert found[1, "/old/f"] == found[1, "/g"] == "visible"
    assert found[2, "/old"] == "whiteout"
    assert set(found) == {(1, "/"), (1, "/old"), (1, "/old/f"), (1, "/g"), (2, "/"), (2, "/old"), (2, "/new")}


def test_damage_is_named_and_the_rest_goes_on(copy: Path) -> None:
    """A layer that is gone is named on standard error; all others are there; the exit code is 1."""
    broken = copy
    gone = layerfs(broken, "layers", "--format", "json", "demo").json[2]["cache_id"]
    shutil.rmtree(broken / "overlay2" / gone)
    done = layerfs(broken, "timeline", "--format", "jsonl", "demo")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.code, gone in done.stderr) == (1, True)
    assert {row["layer"] for row in rows if row["event"] == "file"} == {1, 2, 4, 5, 6}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--all", "demo"],
        ["--bodyfile", "--format", "json", "demo"],
        ["--bodyfile", "--sha256", "demo"],
        ["--bodyfile", "--owners", "demo"],
        ["--since", "yesterday", "demo"],
        ["--until", "2026-13-01", "demo"],
    ],
    ids=" ".join,
)
def test_misuse_is_told(root: Path, arguments: list[str]) -> None:
    """What makes no sense together, or is no time, is a usage error."""
    assert layerfs(root, "timeline", *arguments).code == USAGE
