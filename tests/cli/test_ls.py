"""`layerfs ls` against GNU ls on the kernel's own mount of the same layers."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from tests.support.command import layerfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    MountedByKernel = Callable[[str], AbstractContextManager[Path]]

IMAGES = (
    "demo:latest",
    "lab/attributes:1",
    "lab/links:1",
    "lab/names:1",
    "lab/opaque:1",
    "lab/types:1",
    "lab/xattrs:1",
    "lab/hundred:latest",
)
HIDDEN = {0x202E: r"\342\200\256"}
"""What ls takes for printable, and we do not: it would turn the rest of the line around."""

OPTIONS = (
    "",
    "-l",
    "-la",
    "-lA",
    "-lh",
    "-ld",
    "-liS",
    "-ltr",
    "-aRC",
    "-lhSr",
    "--full-time",
    "-RA",
    "-t",
    "-i1",
)
LAST_ONE_COUNTS = ("-St", "-tS", "-lC", "-C1l", "-l1", "-C1", "-1C", "-aA", "-Aa", "-n1C")


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest) -> str:
    """Each image that has something for ls to show."""
    name: str = request.param
    return name


@pytest.fixture
def mounted(mounted_by_kernel: MountedByKernel, image: str) -> Iterator[Path]:
    """The image as the kernel mounts it."""
    with mounted_by_kernel(image) as merged:
        yield merged


def _gnu_ls(top: Path, *arguments: str | bytes) -> str:
    """What ls(1) says: numeric owners, names escaped, spaces instead of tabs."""
    environment = {"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"], "COLUMNS": "80", "TZ": "UTC"}
    done = subprocess.run(
        ["ls", "-b", "--tabsize=0", "--numeric-uid-gid" if _is_long(arguments) else "-b", *arguments],
        cwd=top,
        env=environment,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().translate(HIDDEN)


def _is_long(arguments: tuple[str | bytes, ...]) -> bool:
    return any(re.fullmatch(r"-\w*l[^C\W]*|--full-time", os.fsdecode(word)) for word in arguments)


@pytest.mark.kernel
@pytest.mark.parametrize("options", OPTIONS)
def test_text_is_that_of_ls(
    dataroot_path: Path, image: str, mounted: Path, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every option gives, byte for byte, what GNU ls prints in the kernel's mount of the image."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    if image == "lab/names:1":
        options = options.replace("C", "1")  # how wide a combining character is, is the terminal's business
    names = sorted(os.listdir(os.fsencode(mounted)))
    if not _is_long((options,)):
        # on these ls(1) fails, because they lead to the host, or nowhere it can follow
        names = [name for name in names if not name.startswith(b"link-")]
    ours = layerfs(dataroot_path, "ls", *options.split(), "--", image, *map(os.fsdecode, names))
    assert ours.stderr == ""
    assert ours.code == 0
    assert ours.stdout == _gnu_ls(mounted, *options.split(), "--", *names)


@pytest.mark.kernel
def test_the_last_of_several_flags_for_one_thing_counts(
    dataroot_path: Path, mounted_by_kernel: MountedByKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order and layout are those of the last flag that chooses one, as in ls(1)."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    with mounted_by_kernel("lab/attributes:1") as merged:
        for options in LAST_ONE_COUNTS:
            ours = layerfs(dataroot_path, "ls", options, "lab/attributes:1")
            assert (ours.code, ours.stdout) == (0, _gnu_ls(merged, options)), options


@pytest.mark.kernel
def test_default_is_the_root(dataroot_path: Path, image: str, mounted: Path) -> None:
    """Without a path, the root's entries are listed."""
    assert layerfs(dataroot_path, "ls", image).stdout == _gnu_ls(mounted)


@pytest.mark.kernel
@pytest.mark.parametrize("options", ["-l", "-lr", "-lh"])
def test_device_numbers_line_up(
    dataroot_path: Path, mounted_by_kernel: MountedByKernel, options: str
) -> None:
    """Majors and minors stand below each other, and sizes below both, as in ls."""
    names = ["bin/fx", "dev/fifo", "dev/large", "dev/null", "dev/sda"]
    with mounted_by_kernel("lab/nodes:1") as merged:
        expected = _gnu_ls(merged, options, *names)
    assert layerfs(dataroot_path, "ls", options, "lab/nodes:1", *names).stdout == expected


@pytest.mark.kernel
def test_json_is_what_lstat_says(dataroot_path: Path, image: str, mounted: Path) -> None:
    """Each typed value of each entry is what lstat(2) and readlink(2) say in the kernel's mount."""
    found = layerfs(dataroot_path, "ls", "-AR", "--format", "json", image, "/").json
    paths = [os.fsencode(entry["path"]) for entry in found]
    real = [
        os.path.join(top, name)
        for top, below, files in os.walk(os.fsencode(mounted))
        for name in [*below, *files]
    ]
    assert sorted(paths) == sorted(path.removeprefix(os.fsencode(mounted)) for path in real)
    for entry, path in zip(found, paths, strict=True):
        status = os.lstat(os.fsencode(mounted) + path)
        assert entry["name"] == os.fsdecode(os.path.basename(path))
        assert entry["mode"] == f"{stat.S_IMODE(status.st_mode):04o}"
        assert entry["type"].replace("_device", "")[:4] == WORDS[stat.S_IFMT(status.st_mode)][:4]
        assert (entry["uid"], entry["gid"], entry["nlink"]) == (status.st_uid, status.st_gid, status.st_nlink)
        assert entry["size"] == status.st_size
        assert _ns(entry["mtime"]) == status.st_mtime_ns
        link = os.readlink(os.fsencode(mounted) + path) if stat.S_ISLNK(status.st_mode) else None
        assert entry["target"] == (None if link is None else os.fsdecode(link))
        if not stat.S_ISDIR(status.st_mode):
            assert entry["inode"] == status.st_ino
        numbers = {"major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev)}
        assert entry["rdev"] == (numbers if entry["type"].endswith("device") else None)


WORDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


def _ns(text: str) -> int:
    """RFC 3339 as nanoseconds, by date(1)."""
    done = subprocess.run(["date", "-d", text, "+%s%N"], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_layers_name_who_supplied_an_entry(dataroot_path: Path) -> None:
    """The number that --layers shows is that of the uppermost layer whose directory holds the path."""
    root = DataRoot.open(dataroot_path)
    chain = root.chain(root.image("demo:latest"))
    listed = layerfs(dataroot_path, "ls", "--layers", "demo:latest", "/etc").stdout.splitlines()
    assert listed
    for line in listed:
        number, name = line.split()
        held = [
            index
            for index, layer in enumerate(chain, 1)
            if os.path.lexists(dataroot_path / "overlay2" / layer.cache_id / "diff" / "etc" / name)
        ]
        assert int(number) == max(held)
    assert len({line.split()[0] for line in listed}) > 1


def test_container_layers_count_on(dataroot_path: Path) -> None:
    """What a container changed comes from the layer two above the image's top: init lies between."""
    root = DataRoot.open(dataroot_path)
    top = len(root.chain(root.image("demo:latest")))
    found = layerfs(dataroot_path, "ls", "-AR", "--format", "json", "changed").json
    assert max(entry["layer"] for entry in found) == top + 2


def test_one_layer_keeps_its_number(dataroot_path: Path) -> None:
    """--layer N shows that layer's own entries, whiteouts as devices, under its number."""
    found = layerfs(dataroot_path, "ls", "--layer", "3", "--format", "json", "lab/whiteouts:1").json
    assert {entry["layer"] for entry in found} == {3}
    gone = next(entry for entry in found if entry["name"] == "gone-file")
    assert (gone["type"], gone["rdev"]) == ("char_device", {"major": 0, "minor": 0})


def test_missing_path_is_told_and_the_rest_listed(dataroot_path: Path) -> None:
    """A path that is not there exits with 6 and a message, after the others were listed."""
    done = layerfs(dataroot_path, "ls", "demo:latest", "/none", "/etc/motd")
    assert done.code == 6
    assert done.stdout == "/etc/motd\n"
    assert "/none: No such file or directory" in done.stderr


def test_no_control_byte_reaches_the_terminal(dataroot_path: Path) -> None:
    """Names with control bytes are escaped in text, and whole in JSON."""
    text = layerfs(dataroot_path, "ls", "-R", "lab/names:1").stdout
    assert all(line.isprintable() for line in text.split("\n"))
    found = layerfs(dataroot_path, "ls", "--format", "json", "lab/names:1").json
    assert any("\n" in entry["name"] for entry in found)
    assert any("\udcff" in entry["name"] or "\udcf0" in entry["name"] for entry in found)


@pytest.mark.parametrize(
    "form", ["jsonl", "csv", "tsv", "github", "{{.Mode}} {{.Path}}", "table {{.Name}}\t{{.Size}}"]
)
def test_every_format_has_every_entry(dataroot_path: Path, form: str) -> None:
    """Each format of --format shows each entry."""
    names = json.loads(layerfs(dataroot_path, "ls", "--format", "json", "demo:latest", "/etc").stdout)
    done = layerfs(dataroot_path, "ls", "--format", form, "demo:latest", "/etc")
    assert done.code == 0
    assert names
    for entry in names:
        assert entry["name"] in done.stdout
