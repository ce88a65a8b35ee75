"""`layerfs hashes`: its lists against those of coreutils in the kernel's mount, which checks ours in turn."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from layerfs import DataRoot
from tests.support.command import layerfs, run_bytes
from tests.support.hiding import objects
from tests.support.images import image_of
from tests.support.layerspec import WHITEOUT, Device, Dir, File, LayerSpec, Link, Meta, Symlink
from tests.support.mounts import stacked_by_docker
from tests.support.processes import Running

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.support.layerspec import Node

    Mounted = Callable[[str], AbstractContextManager[Path]]

pytestmark = [pytest.mark.root, pytest.mark.kernel]

LAYERFS = str(Path(sys.executable).with_name("layerfs"))
IMAGES = ("demo", "buildkit", "lab/names:1", "lab/links:1", "lab/types:1", "lab/hundred", "lab/xattrs:1")
ALGORITHMS = {"sha256": [], "md5": ["--md5"], "sha1": ["--sha1"], "sha512": ["--sha512"]}


def _list(root: Path, *arguments: str) -> bytes:
    done = run_bytes(root, "hashes", *arguments)
    assert done.code == 0, done.stderr
    return done.stdout


def _coreutils(command: str, place: Path, *, listed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"LC_ALL": "C"}
    return subprocess.run(
        ["sh", "-c", command], cwd=place, input=listed, env=environment, capture_output=True, check=False
    )


@pytest.mark.parametrize("name", IMAGES)
def test_list_is_that_of_sha256sum_in_the_kernels_mount(
    dataroot_path: Path, mounted_by_kernel: Mounted, name: str
) -> None:
    """The list is, byte for byte, what find, sort and sha256sum print in the mount; -c accepts it there."""
    listed = _list(dataroot_path, name)
    with mounted_by_kernel(name) as mounted:
        done = _coreutils("find . -type f -print0 | sort -z | xargs -0 sha256sum", mounted)
        assert listed == done.stdout
        checked = _coreutils("sha256sum -c --strict", mounted, listed=listed)
    assert (checked.returncode, checked.stderr) == (0, b"")
    assert checked.stdout.count(b": OK\n") == listed.count(b"\n") > 0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_is_that_of_its_tool(
    dataroot_path: Path, mounted_by_kernel: Mounted, algorithm: str
) -> None:
    """md5sum, sha1sum, sha256sum and sha512sum accept the list of their digests, and print the same."""
    listed = _list(dataroot_path, *ALGORITHMS[algorithm], "lab/names:1")
    with mounted_by_kernel("lab/names:1") as mounted:
        assert _coreutils(f"{algorithm}sum -c --strict", mounted, listed=listed).returncode == 0
        done = _coreutils(f"find . -type f -print0 | sort -z | xargs -0 {algorithm}sum", mounted)
    assert listed == done.stdout


NAMES = (
    b"a\nb",
    b"a\\b",
    b"a\rb",
    b"\\",
    b"\n",
    b" ",
    b"  x",
    b"-c",
    b"\xff\xfe",
    b"*",
    b"a\tb",
    b"\x1b[31m",
)


def test_names_are_escaped_as_coreutils_does(tmp_path: Path) -> None:
    """Newlines, backslashes and carriage returns in names come back from -c; with -z nothing is escaped."""
    files = Dir({name: File(name) for name in NAMES})
    root, (layer,) = image_of(tmp_path / "root", LayerSpec(Dir({b"d": files})))
    listed = _list(root, "test:1")
    assert listed == _coreutils("find . -type f -print0 | sort -z | xargs -0 sha256sum", layer.diff).stdout
    assert _coreutils("sha256sum -c --strict", layer.diff, listed=listed).returncode == 0
    zeroed = _list(root, "-z", "test:1")
    assert zeroed == _coreutils("find . -type f -print0 | sort -z | xargs -0 sha256sum -z", layer.diff).stdout


def test_a_changed_file_is_seen(dataroot_path: Path, tmp_path: Path) -> None:
    """The list of another state is refused, for the files that are different and for no others."""
    assert layerfs(dataroot_path, "cp", "demo:/", str(tmp_path / "copy")).code == 0
    checked = _coreutils("sha256sum -c", tmp_path / "copy", listed=_list(dataroot_path, "demo@3"))
    assert checked.returncode == 1
    assert [line for line in checked.stdout.splitlines() if b"FAILED" in line] == [
        b"./etc/motd: FAILED",
        b"./root/password.txt: FAILED open or read",
    ]


def test_paths_choose_files(dataroot_path: Path) -> None:
    """Files and directories named are listed, each file once, links among them followed in the tree."""
    everything = _list(dataroot_path, "demo").splitlines(keepends=True)
    listed = _list(dataroot_path, "demo", "/etc", "etc/motd", "/usr/share/doc/latest", "bin/")
    wanted = (b"  ./etc/", b"  ./usr/share/doc/union.txt", b"  ./bin/")
    assert listed == b"".join(line for line in everything if any(path in line for path in wanted))
    assert len(listed.splitlines()) == 6


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A file without data and a path not there are named, the rest is listed; the code says which."""
    no_data = File(b"x", meta=Meta(xattrs={b"trusted.overlay.metacopy": b""}))
    files: dict[bytes, Node] = {b"a": File(b"1"), b"b": no_data, b"c": File(b"2")}
    files |= {b"fifo": Device(stat.S_IFIFO), b"link": Symlink(b"a")}
    root, _ = image_of(tmp_path / "root", LayerSpec(Dir(files)))
    assert layerfs(root, "hashes", "test:1").code == 1
    done = layerfs(root, "hashes", "test:1", "/", "/nothing")
    assert done.code == 6
    assert [line[66:] for line in done.stdout.splitlines()] == ["./a", "./c"]
    assert ("/b: " in done.stderr, "/nothing: " in done.stderr) == (True, True)
    rows = layerfs(root, "hashes", "--all-versions", "test:1", "/nothing")
    assert (rows.code, rows.stdout, "/nothing" in rows.stderr) == (6, "", True)


# -- every version -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*IMAGES, "changed", "deep", "lab/opaque:1", "lab/whiteouts:1"])
def test_every_version_is_checked_where_it_lies(dataroot_path: Path, name: str) -> None:
    """The list of all versions names each file of each layer once, below the data root, and -c accepts it."""
    listed = _list(dataroot_path, "--all-versions", name)
    checked = _coreutils("sha256sum -c --strict --quiet", dataroot_path, listed=listed)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    opened = DataRoot.open(dataroot_path)
    found = opened.names.anything(name, ("image", "container"))
    layers = [layer.label for layer in opened.tree(found).layers]
    command = "find {} -type f -size +0 -print0 | sort -z | xargs -0 sha256sum".format(" ".join(layers))
    expected = {
        line.replace(bytes(dataroot_path) + b"/", b"./")
        for line in _coreutils(command, dataroot_path).stdout.splitlines()
    }
    lines = listed.splitlines()
    assert expected <= set(lines)
    assert len(lines) == len(set(lines))


def _rows(root: Path, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = layerfs(root, "hashes", "--format", "json", *arguments).json
    return found


@pytest.mark.parametrize("name", ["demo", "changed", "lab/whiteouts:1", "lab/opaque:1", "lab/hundred"])
def test_rows_tell_layer_and_state(dataroot_path: Path, name: str) -> None:
    """Each version has the layer it lies in, and what hides it, as a simple model of the layers has it."""
    opened = DataRoot.open(dataroot_path)
    subject = opened.names.anything(name, ("image", "container"))
    mount = getattr(subject, "mount", None)
    top = mount.mount_id if mount else opened.chain(subject)[-1].cache_id  # type: ignore[arg-type]
    layers = stacked_by_docker(dataroot_path, str(top))
    expected = {
        (
            os.fsdecode(item.path),
            item.layer,
            item.entry.content,
            *(item.hidden[:2] if item.hidden else (None, None)),
        )
        for item in objects(layers)
        if item.entry.content is not None
    }
    found = _rows(dataroot_path, "--all-versions", name)
    keys = ("path", "layer", "digest", "hidden_by", "how")
    assert {tuple(row[key] for key in keys) for row in found} == expected
    for row in found:
        assert row["state"] == ("hidden" if row["hidden_by"] else "visible")
        assert hashlib.sha256(Path(row["backing_path"]).read_bytes()).hexdigest() == row["digest"]


def test_a_metacopys_data_count_where_they_lie(tmp_path: Path) -> None:
    """A metacopy has the digest of the data below it; the list of all versions names those once."""
    upper = File(b"????", meta=Meta(xattrs={b"trusted.overlay.metacopy": b""}))
    root, _ = image_of(
        tmp_path / "root", LayerSpec(Dir({b"f": File(b"data")})), LayerSpec(Dir({b"f": upper}))
    )
    digest = hashlib.sha256(b"data").hexdigest()
    assert _list(root, "test:1") == f"{digest}  ./f\n".encode()
    listed = _list(root, "--all-versions", "test:1")
    assert len(listed.splitlines()) == 1
    assert _coreutils("sha256sum -c --strict", root, listed=listed).returncode == 0
    assert [row["layer"] for row in _rows(root, "--all-versions", "test:1")] == [1, 2]


def test_a_file_of_several_names_is_read_once(tmp_path: Path) -> None:
    """Of hard links every name is listed, and the bytes are read once."""
    size = 64 << 20
    links = {b"%d" % number: Link(0) for number in range(40)}
    root, (layer,) = image_of(tmp_path / "root", LayerSpec(Dir({**links, b"gone": Link(0)}), (File(b"x"),)))
    os.truncate(layer.diff / "0", size)
    code = (
        "import sys\n"
        "from layerfs_cli.main import run\n"
        "read = lambda: int(open('/proc/self/io').read().split()[1])\n"
        "before = read()\n"
        "assert run(sys.argv[1:]) == 0\n"
        "print(read() - before, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, "--root", str(root), "hashes", "test:1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 41
    assert len({line[:64] for line in done.stdout.splitlines()}) == 1
    assert size <= int(done.stderr) < 2 * size


def test_hidden_files_are_not_in_the_plain_list(tmp_path: Path) -> None:
    """What the tree does not show is not listed without --all-versions."""
    root, _ = image_of(
        tmp_path / "root",
        LayerSpec(Dir({b"f": File(b"x"), b"g": File(b"y")})),
        LayerSpec(Dir({b"f": WHITEOUT})),
    )
    assert [line[66:] for line in _list(root, "test:1").decode().splitlines()] == ["./g"]
    assert len(_list(root, "--all-versions", "test:1").splitlines()) == 2


def test_zero_and_format_exclude_each_other(dataroot_path: Path) -> None:
    """-z is about lines: a usage error says so."""
    assert layerfs(dataroot_path, "hashes", "-z", "--format", "json", "demo").code == 2


@pytest.mark.slow
def test_interruption_does_not_wait_for_large_files(tmp_path: Path) -> None:
    """Ctrl-C amid files that would take minutes ends the command with 130 and without a traceback."""
    root, (layer,) = image_of(tmp_path / "root", LayerSpec(Dir({b"%d" % n: File(b"x") for n in range(4)})))
    for number in range(4):
        os.truncate(layer.diff / str(number), 1 << 40)
    with Running([LAYERFS, "--root", root, "hashes", "test:1"], stderr=subprocess.PIPE) as running:
        while running.poll() is None and _read_by(running.pid) < 100 << 20:
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (130, b"")


def _read_by(process: int) -> int:
    """How many bytes a process has read."""
    return int(Path(f"/proc/{process}/io").read_text().split()[1])
