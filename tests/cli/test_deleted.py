"""`layerfs deleted`: its rows against a model, its copies against the layers' own files."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from layerfs import DataRoot
from tests.support.command import layerfs, run_bytes
from tests.support.hiding import objects, wasted
from tests.support.images import image_of
from tests.support.layerspec import WHITEOUT, Device, Dir, File, LayerSpec, Link, Meta, Symlink
from tests.support.mounts import stacked_by_docker
from tests.support.processes import Running
from tests.support.snapshot import snapshot

if TYPE_CHECKING:
    from tests.support.hiding import Held
    from tests.support.snapshot import Entry, Snapshot

pytestmark = pytest.mark.root

LAYERFS = str(Path(sys.executable).with_name("layerfs"))
IMAGES = ("demo", "lab/whiteouts:1", "lab/opaque:1", "lab/types:1", "lab/links:1", "lab/hundred", "buildkit")
CONTAINERS = ("changed", "deep", "links")


def _layers(root: Path, name: str) -> list[Path]:
    """The directories of an image's or container's layers, uppermost first, as Docker stacks them."""
    opened = DataRoot.open(root)
    if name in CONTAINERS:
        mount = opened.container(name).mount
        assert mount
        return stacked_by_docker(root, mount.mount_id)
    return stacked_by_docker(root, opened.chain(opened.image(name))[-1].cache_id)


def _hidden_files(found: list[Held]) -> list[Held]:
    return [item for item in found if item.hidden and not stat.S_ISDIR(item.entry.mode)]


@pytest.mark.parametrize("name", [*IMAGES, *CONTAINERS])
def test_rows_are_those_of_a_simple_model(dataroot_path: Path, name: str) -> None:
    """Every hidden file version of recorded images and containers is a row, with what hides it."""
    found = objects(_layers(dataroot_path, name))
    rows = layerfs(dataroot_path, "deleted", "--format", "json", name).json
    expected = [
        (os.fsdecode(item.path), item.layer, *item.hidden[:2], os.fsdecode(item.hidden.at), item.entry.size)
        for item in _hidden_files(found)
        if item.hidden
    ]
    keys = ("path", "layer", "hidden_by", "how", "hidden_at", "size")
    assert sorted(tuple(row[key] for key in keys) for row in rows) == sorted(expected)
    assert sum(row["wasted"] for row in rows) == wasted(found)
    assert (len(rows) > 0) == (name != "lab/opaque:1" or bool(expected))


def test_every_version_can_be_read_as_of_its_layer(dataroot_path: Path) -> None:
    """`cat IMAGE@LAYER PATH`, as the documentation has it, gives the bytes that lie in the layer."""
    rows = layerfs(dataroot_path, "deleted", "--format", "json", "demo").json
    assert len(rows) == 2
    for row in rows:
        done = run_bytes(dataroot_path, "cat", f"demo@{row['layer']}", row["path"])
        assert done.stdout == Path(row["backing_path"]).read_bytes()
        assert row["created_by"]
        assert row["hidden_by_command"]


def test_table_ends_with_the_sums(dataroot_path: Path) -> None:
    """Below the rows the table tells how many there are, and how many bytes are wasted."""
    rows = layerfs(dataroot_path, "deleted", "--format", "json", "demo").json
    lines = layerfs(dataroot_path, "deleted", "demo").stdout.splitlines()
    assert len(lines) == len(rows) + 3
    total = sum(row["wasted"] for row in rows)
    assert lines[-1] == f"2 hidden files in layers 2, 3: {total}B, {total}B wasted"


@pytest.mark.parametrize(
    ("arguments", "keep"),
    [
        (["--layer", "2"], lambda row: row["layer"] == 2),
        (["--hidden-by", "5"], lambda row: row["hidden_by"] == 5),
        (["--include", "*.txt"], lambda row: row["path"].endswith(".txt")),
        (["--include", "/etc"], lambda row: row["path"].startswith("/etc/")),
        (["--exclude", "motd"], lambda row: not row["path"].endswith("/motd")),
        (["--", "/etc"], lambda row: row["path"].startswith("/etc/")),
        (["--", "/etc/", "srv/www"], lambda row: row["path"].startswith(("/etc/", "/srv/www/"))),
        (["--", "/etc/motd"], lambda row: row["path"] == "/etc/motd"),
        (["--", "/et"], lambda _: False),
        (["--", "/"], lambda _: True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_filters_choose_rows(dataroot_path: Path, arguments: list[str], keep: Any) -> None:
    """Each filter keeps exactly the rows it names, and changes nothing in them."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    paths = arguments[len(options) + 1 :]
    rows = layerfs(dataroot_path, "deleted", "--format", "json", "changed").json
    found = layerfs(dataroot_path, "deleted", "--format", "json", *options, "changed", *paths).json
    assert found == [row for row in rows if keep(row)]


def test_a_hard_link_wastes_once_and_not_while_a_name_is_visible(tmp_path: Path) -> None:
    """Of an inode of several names one row has its bytes, and none where a name is still seen."""
    base = LayerSpec(
        Dir({b"a": Link(0), b"b": Link(0), b"kept": Link(1), b"gone": Link(1)}),
        (File(b"x" * 100), File(b"y" * 50)),
    )
    root, _ = image_of(
        tmp_path, base, LayerSpec(Dir({b"a": WHITEOUT, b"gone": WHITEOUT})), LayerSpec(Dir({b"b": WHITEOUT}))
    )
    rows = layerfs(root, "deleted", "--format", "json", "test:1").json
    assert {row["path"]: row["wasted"] for row in rows} == {"/a": 0, "/b": 100, "/gone": 0}


def test_a_path_that_goes_through_a_link(tmp_path: Path) -> None:
    """What no layer has at a path is looked for where links lead, also what the final tree hides there.

    A link itself is followed where a slash stands behind it, as find(1) does; hidden files of a directory
    that it took the place of are there all the same.
    """
    base = LayerSpec(
        Dir({b"real": Dir({b"f": Link(0)}), b"to": Symlink(b"real"), b"was": Dir({b"g": Link(1)})}),
        (File(b"x" * 100), File(b"y" * 50)),
    )
    root, _ = image_of(
        tmp_path, base, LayerSpec(Dir({b"real": Dir({b"f": WHITEOUT}), b"was": Symlink(b"/real")}))
    )
    found = {
        path: {row["path"] for row in layerfs(root, "deleted", "--format", "json", "test:1", path).json}
        for path in ("/to/f", "/to/", "to//./f", "/to", "/real", "/was", "/was/", "/was/f")
    }
    assert found == {
        **{path: {"/real/f"} for path in ("/to/f", "/to/", "to//./f", "/real")},
        "/to": set(),
        "/was": {"/was/g"},
        "/was/": {"/was/g", "/real/f"},
        "/was/f": {"/real/f"},
    }
    done = layerfs(root, "deleted", "test:1", "/to/none")
    assert (done.code, "/to/none" in done.stderr) == (6, True)


def test_a_layer_alone_is_refused(dataroot_path: Path) -> None:
    """One layer by itself hides nothing: a usage error says so."""
    layer = layerfs(dataroot_path, "layers", "-q", "--no-trunc", "demo").stdout.split()[-1]
    done = layerfs(dataroot_path, "deleted", layer)
    assert (done.code, "layer alone" in done.stderr) == (2, True)


# -- recovery ------------------------------------------------------------------------------------


def _recover(root: Path, name: str, target: Path, *options: str) -> list[dict[str, Any]]:
    done = layerfs(root, "deleted", "--recover", str(target), "--format", "json", *options, name)
    assert done.code == 0, done.stderr
    found: list[dict[str, Any]] = done.json
    return found


def _comparable(entry: Entry, *, directory: bool = False) -> dict[str, Any]:
    """What a copy must have of its original; marks of overlayfs are none of the file's own."""
    xattrs = {name: value for name, value in entry.xattrs.items() if not name.startswith(b"trusted.overlay.")}
    found = {
        "mode": entry.mode,
        "owner": (entry.uid, entry.gid),
        "mtime": entry.mtime_ns,
        "xattrs": xattrs,
    }
    if not directory:
        found |= {"size": entry.size, "target": entry.target, "content": entry.content}
    return found


def _compare(rows: list[dict[str, Any]], originals: dict[int, Snapshot], copies: Snapshot) -> None:
    """Copies, and the directories on the way, have all that their originals have; nothing else is there."""
    expected: set[bytes] = {b""}
    groups: defaultdict[tuple[int, frozenset[bytes]], set[bytes]] = defaultdict(set)
    for row in rows:
        if row["recovered"] is None:
            continue
        copy = os.fsencode(row["recovered"])
        folder, _, path = copy.partition(b"/")
        assert b"/" + path == os.fsencode(row["path"])
        assert folder.startswith(b"%d-" % row["layer"])
        original = originals[row["layer"]][path]
        assert _comparable(copies[copy]) == _comparable(original)
        groups[row["layer"], original.links].add(copy)
        expected |= {folder, copy}
        while b"/" in path:
            path = path.rpartition(b"/")[0]
            assert _comparable(copies[folder + b"/" + path], directory=True) == _comparable(
                originals[row["layer"]][path], directory=True
            )
            expected.add(folder + b"/" + path)
    assert set(copies) == expected
    for names in groups.values():
        assert all(copies[name].links == names for name in names)


@pytest.mark.parametrize("name", [*IMAGES, *CONTAINERS])
def test_copies_are_the_layers_own_files(dataroot_path: Path, tmp_path: Path, name: str) -> None:
    """Recovered files equal, in every byte and attribute, what lies in the layers, links among them too."""
    rows = _recover(dataroot_path, name, tmp_path / "out")
    layers = _layers(dataroot_path, name)
    originals = {number: snapshot(path) for number, path in enumerate(reversed(layers), 1)}
    _compare(rows, originals, snapshot(tmp_path / "out"))
    assert all(row["recovered"] for row in rows if row["type"] in ("file", "symlink"))


ACL = b"\x02\0\0\0" + b"".join(
    tag.to_bytes(2, "little") + mode.to_bytes(2, "little") + who.to_bytes(4, "little")
    for tag, mode, who in (
        (1, 6, 2**32 - 1),
        (2, 7, 1000),
        (4, 4, 2**32 - 1),
        (16, 7, 2**32 - 1),
        (32, 0, 2**32 - 1),
    )
)
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
EVERYTHING = LayerSpec(
    Dir(
        {
            b"d": Dir(
                {
                    b"setuid": File(b"#!", meta=Meta(0o6755, 1000, 65534, -1)),
                    b"capable": File(b"x", meta=Meta(xattrs={b"security.capability": CAPABILITY})),
                    b"acl": File(b"x", meta=Meta(xattrs={b"system.posix_acl_access": ACL})),
                    b"attributes": File(
                        b"x",
                        meta=Meta(
                            0, xattrs={b"user.a": b"\0\xff", b"trusted.b": b"", b"user.big": b"x" * 2000}
                        ),
                    ),
                    b"escaped": File(b"x", meta=Meta(xattrs={b"trusted.overlay.impure": b"y"})),
                    b"empty": File(),
                    b"link": Symlink(b"/etc/passwd", Meta(uid=5, gid=6, mtime_ns=7)),
                    b"dangling": Symlink(b"\xff\n\x1b[2J"),
                    b"one": Link(0),
                    b"locked": Dir({b"inside": File(b"deep")}, Meta(0, 1, 2, 3)),
                    b"sticky": Dir(
                        {b"two": Link(0), b"linked": Link(1)},
                        Meta(0o3777, 7, 8, 10**18 + 1, {b"user.dir": b"1", b"system.posix_acl_default": ACL}),
                    ),
                    b"linked": Link(1),
                },
                Meta(0o711, 9, 10, 11),
            ),
            b"new\nline": File(b"1"),
            b"\xff\xfe": File(b"2"),
            b"n" * 255: File(b"3"),
            b" -rf": File(b"4"),
            b"...": Dir({b"..x": File(b"5")}),
        }
    ),
    (File(b"shared"), Symlink(b"shared")),
)
GONE = LayerSpec(Dir(dict.fromkeys(EVERYTHING.root.children, WHITEOUT)))


def test_every_attribute_is_kept(tmp_path: Path) -> None:
    """Owners, set-ID bits, capabilities, access lists, nanoseconds, odd names and links are kept."""
    root, (layer, _) = image_of(tmp_path / "root", EVERYTHING, GONE)
    rows = _recover(root, "test:1", tmp_path / "out")
    copies = snapshot(tmp_path / "out")
    assert len(rows) == 18
    _compare(rows, {1: snapshot(layer.diff)}, copies)
    folder = b"1-" + layer.diff_id.hex[:12].encode()
    assert {path.partition(b"/")[0] for path in copies} == {b"", folder}
    for private in (tmp_path / "out", tmp_path / "out" / os.fsdecode(folder)):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700  # set-ID files of strangers are out of reach


def test_holes_stay_holes(tmp_path: Path) -> None:
    """Of a sparse file, holes at both ends and between are copied as holes, its bytes as they are."""
    root, (layer, _) = image_of(
        tmp_path / "root",
        LayerSpec(Dir({b"sparse": File(b"middle", hole=1 << 30), b"hole": File(hole=1 << 30)})),
        LayerSpec(Dir({b"sparse": WHITEOUT, b"hole": WHITEOUT})),
    )
    os.truncate(layer.diff / "sparse", 3 << 30)
    for row in _recover(root, "test:1", tmp_path / "out"):
        copy, original = tmp_path / "out" / row["recovered"], layer.diff / row["path"][1:]
        assert copy.stat().st_size == original.stat().st_size
        assert copy.stat().st_blocks <= original.stat().st_blocks
    with (tmp_path / "out" / f"1-{layer.diff_id.hex[:12]}" / "sparse").open("rb") as file:
        file.seek((1 << 30) - 3)
        assert file.read(12) == b"\0\0\0middle\0\0\0"


def test_special_files_are_told_and_not_made(tmp_path: Path) -> None:
    """FIFOs, sockets and devices are named on standard error; the rest is recovered: no failure."""
    special = {
        b"fifo": Device(stat.S_IFIFO),
        b"socket": Device(stat.S_IFSOCK),
        b"disk": Device(stat.S_IFBLK, 8, 0),
        b"null": Device(stat.S_IFCHR, 1, 3),
    }
    root, _ = image_of(
        tmp_path / "root",
        LayerSpec(Dir({**special, b"file": File(b"x")})),
        LayerSpec(Dir(dict.fromkeys([*special, b"file"], WHITEOUT))),
    )
    done = layerfs(root, "deleted", "--recover", str(tmp_path / "out"), "--format", "json", "test:1")
    assert done.code == 0
    assert {row["path"]: bool(row["recovered"]) for row in done.json} == {
        "/disk": False, "/fifo": False, "/file": True, "/null": False, "/socket": False,
    }  # fmt: skip
    assert [name for name in special if f"/{name.decode()}: " in done.stderr] == list(special)
    assert sum(1 for path in (tmp_path / "out").rglob("*") if not path.is_dir()) == 1


def test_a_failure_is_named_and_the_rest_recovered(tmp_path: Path) -> None:
    """A version that cannot be copied is named, the others are there, and the exit code is 1."""
    no_data = File(b"x", meta=Meta(xattrs={b"trusted.overlay.metacopy": b""}))
    root, _ = image_of(
        tmp_path / "root",
        LayerSpec(Dir({b"a": File(b"1"), b"no-data": no_data, b"z": File(b"2")})),
        LayerSpec(Dir({b"a": WHITEOUT, b"no-data": WHITEOUT, b"z": WHITEOUT})),
    )
    done = layerfs(root, "deleted", "--recover", str(tmp_path / "out"), "--format", "json", "test:1")
    assert done.code == 1
    assert "/no-data: " in done.stderr
    assert [bool(row["recovered"]) for row in done.json] == [True, False, True]
    assert sorted(path.name for path in (tmp_path / "out").glob("*/*")) == ["a", "z"]


def test_a_metacopys_data_are_recovered(tmp_path: Path) -> None:
    """A hidden file whose data lie in a lower layer is recovered whole."""
    upper = File(b"????", meta=Meta(0o600, xattrs={b"trusted.overlay.metacopy": b""}))
    root, _ = image_of(
        tmp_path / "root",
        LayerSpec(Dir({b"d": Dir({b"f": File(b"data")})})),
        LayerSpec(Dir({b"d": Dir({b"f": upper})})),
        LayerSpec(Dir({b"d": WHITEOUT})),
    )
    rows = _recover(root, "test:1", tmp_path / "out")
    assert [(tmp_path / "out" / row["recovered"]).read_bytes() for row in rows] == [b"data", b"data"]
    assert [row["wasted"] for row in rows] == [4, 4]


def test_a_moved_file_is_copied_once(tmp_path: Path) -> None:
    """A file seen at two paths, as its directory was moved, has two rows and one copy, where it lies."""
    moved = Dir(meta=Meta(xattrs={b"trusted.overlay.redirect": b"old"}))
    root, (base, _, _) = image_of(
        tmp_path / "root",
        LayerSpec(Dir({b"old": Dir({b"f": File(b"x")})})),
        LayerSpec(Dir({b"old": WHITEOUT, b"new": moved})),
        LayerSpec(Dir({b"new": WHITEOUT})),
    )
    rows = _recover(root, "test:1", tmp_path / "out")
    copy = f"1-{base.diff_id.hex[:12]}/old/f"
    assert [(row["path"], row["hidden_by"], row["recovered"]) for row in rows] == [
        ("/new/f", 3, copy),
        ("/old/f", 2, copy),
    ]
    assert sum(row["wasted"] for row in rows) == 1


def test_filters_hold_for_copies(dataroot_path: Path, tmp_path: Path) -> None:
    """Only the versions listed are recovered."""
    rows = _recover(dataroot_path, "demo", tmp_path / "out", "--include", "*.txt")
    assert [row["path"] for row in rows] == ["/root/password.txt"]
    copied = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert copied == ["password.txt"]


@pytest.mark.slow
def test_interrupted_recovery_leaves_what_is_complete(tmp_path: Path) -> None:
    """After Ctrl-C in the middle of a file that file is not there, those before it are whole; exit 130."""
    root, (layer, _) = image_of(
        tmp_path / "root",
        LayerSpec(Dir({b"a": File(b"whole"), b"b": File()})),
        LayerSpec(Dir({b"a": WHITEOUT, b"b": WHITEOUT})),
    )
    with (layer.diff / "b").open("wb") as file:
        for _ in range(512):
            file.write(b"x" * (1 << 20))
    folder = tmp_path / "out" / f"1-{layer.diff_id.hex[:12]}"
    command = [LAYERFS, "--root", str(root), "deleted", "--recover", str(tmp_path / "out"), "test:1"]
    with Running(command, stderr=subprocess.PIPE) as running:
        while running.poll() is None and not ((folder / "a").exists() and _writes_in(running.pid, folder)):
            time.sleep(0.001)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate()
    assert (running.returncode, b"Traceback" in errors) == (130, False)
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert (folder / "a").read_bytes() == b"whole"


def _writes_in(process: int, folder: Path) -> bool:
    """Whether a process holds a file of this directory open that has content."""
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        try:
            if os.readlink(descriptor).startswith(f"{folder}/") and descriptor.stat().st_size > 5:
                return True
        except OSError:  # closed meanwhile
            continue
    return False
