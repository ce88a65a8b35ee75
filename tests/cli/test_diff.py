"""`layerfs diff`: its rows against two mounts of the kernel, its text against patch(1), its options."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import pty
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from layerfs import DataRoot
from layerfs.formats.gotime import parse_time
from tests.support.changes import changed_paths, refused
from tests.support.command import layerfs
from tests.support.kernel import kernel_snapshot, refusals
from tests.support.mounts import stacked_by_docker
from tests.support.places import Places
from tests.support.rootbuilder import RootBuilder

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.command import Result
    from tests.support.snapshot import Entry, Snapshot

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char_device",
    stat.S_IFBLK: "block_device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
PAIRS = [
    ("demo@3", "demo"),
    ("demo", "demo@3"),
    ("demo@1", "lab/whiteouts:1"),
    ("lab/types:1", "lab/types:1@2"),
    ("lab/xattrs:1", "lab/attributes:1"),
    ("lab/names:1", "lab/links:1"),
    ("lab/opaque:1", "lab/opaque:1@2"),
    ("lab/opaque:1", "lab/opaque-values:1"),
    ("lab/root-attributes:1", "lab/nodes:1"),
    ("lab/redirect:1@1", "lab/redirect:1"),
    ("lab/metacopy:1", "lab/metacopy:1@1"),
    ("lab/xattr-whiteouts:1@1", "lab/xattr-whiteouts:1"),
    ("lab/hundred@30", "lab/hundred@61"),
    ("lab/twice:1@2", "lab/twice:1"),
    ("committed:1", "buildkit:latest"),
]


def _kernel(root: Path, name: str) -> Snapshot:
    """The kernel's mount of an image, `IMAGE@N` included, over the directories that Docker's files name."""
    image, _, number = name.partition("@")
    opened = DataRoot.open(root)
    chain = opened.chain(opened.image(image))
    top = chain[(int(number) if number else len(chain)) - 1]
    return refusals(kernel_snapshot(stacked_by_docker(root, top.cache_id), redirects=True))


def _rows(root: Path, *arguments: str) -> list[dict[str, Any]]:
    found = layerfs(root, "diff", "--format", "json", *arguments)
    assert found.stderr == ""
    assert found.code == int(found.json != [])
    return list(found.json)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _told(rows: list[dict[str, Any]]) -> dict[bytes, tuple[str, frozenset[str]]]:
    return {_raw(row["path"]): (row["change"], frozenset(row["attributes"])) for row in rows}


@pytest.mark.kernel
@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_rows_are_what_the_kernel_shows_differently(dataroot_path: Path, before: str, after: str) -> None:
    """Of two images exactly the paths that differ in the kernel's mounts are told, with all attributes."""
    old, new = _kernel(dataroot_path, before), _kernel(dataroot_path, after)
    found = layerfs(dataroot_path, "diff", before, after, "--hash", "--format", "json")
    out = refused(old, new)
    assert found.code == (6 if out and found.stderr else 1)
    rows = [row for row in found.json if _raw(row["path"])[1:] not in out]
    assert _told(rows) == changed_paths(old, new, without=out)
    for row in rows:
        path = _raw(row["path"])[1:]
        _assert_attributes(row["before"], old.get(path))
        _assert_attributes(row["after"], new.get(path))


def _assert_attributes(told: dict[str, Any] | None, entry: Entry | None) -> None:
    """Every attribute told of one entry is the kernel's."""
    if told is None or entry is None:
        assert (told, entry) == (None, None)
        return
    assert told["type"] == TYPES[stat.S_IFMT(entry.mode)]
    assert told["mode"] == f"{stat.S_IMODE(entry.mode):04o}"
    assert (told["uid"], told["gid"], told["nlink"]) == (entry.uid, entry.gid, entry.nlink)
    assert parse_time(told["mtime"]) == entry.mtime_ns
    assert told["target"] is None if entry.target is None else _raw(told["target"]) == entry.target
    assert told["rdev"] == (entry.rdev and {"major": entry.rdev[0], "minor": entry.rdev[1]})
    assert {_raw(name): _raw(value) for name, value in told["xattrs"].items()} == entry.xattrs
    assert told["sha256"] == entry.content
    assert entry.size in (None, told["size"])


@pytest.mark.kernel
def test_one_image_is_compared_with_what_its_top_layer_stands_on(dataroot_path: Path) -> None:
    """Of every recorded image `diff IMAGE` tells what its top layer changed in the kernel's mount."""
    root = DataRoot.open(dataroot_path)
    compared = 0
    for image in root.images():
        depth = len(image.config.diff_ids)
        if depth > 1:
            old, new = _kernel(dataroot_path, f"{image.id}@{depth - 1}"), _kernel(dataroot_path, image.id)
            found = layerfs(dataroot_path, "diff", image.id, "--format", "json")
            out = refused(old, new)
            rows = [row for row in found.json if _raw(row["path"])[1:] not in out]
            assert _told(rows) == changed_paths(old, new, without=out), image.name
            compared += 1
    assert compared > 20


@pytest.mark.kernel
def test_a_layer_is_compared_with_what_it_stands_on(dataroot_path: Path) -> None:
    """`diff LAYER` is the difference that the layer makes; two layers are compared as they are on disk."""
    chain = DataRoot.open(dataroot_path).chain(DataRoot.open(dataroot_path).image("demo"))
    for number in range(2, len(chain) + 1):
        expected = _rows(dataroot_path, f"demo@{number - 1}", f"demo@{number}")
        assert _rows(dataroot_path, chain[number - 1].chain_id) == expected
    rows = _rows(dataroot_path, chain[4].cache_id, chain[5].cache_id)
    whiteout = next(row for row in rows if row["path"] == "/root/password.txt")
    assert whiteout["change"] == "deleted"
    assert whiteout["before"]["rdev"] == {"major": 0, "minor": 0}


def test_base_and_empty_images(dataroot_path: Path) -> None:
    """An image of one layer is all added but for its root; one of no layers has no differences."""
    rows = _rows(dataroot_path, "base:1")
    assert {row["change"] for row in rows} == {"added"}
    assert {row["path"] for row in rows} == {"/bin", "/bin/fx", "/bin/sh"}
    assert _rows(dataroot_path, "zero/scratch:1") == []
    assert _rows(dataroot_path, "zero/null:1", "zero/no-diff-ids:1") == []
    deleted = _rows(dataroot_path, "base:1", "zero/scratch:1")
    assert {(row["change"], row["path"]) for row in deleted} == {("deleted", row["path"]) for row in rows}


def test_equal_trees(dataroot_path: Path) -> None:
    """Whatever does not differ exits with 0 and prints nothing, in every form of text."""
    for options in ([], ["-p"], ["--name-only"], ["--name-only", "-z"], ["--hash"], ["--docker"]):
        assert layerfs(dataroot_path, "diff", "demo", "demo:1.0", *options) == (0, "", "")
    assert layerfs(dataroot_path, "diff", "clean") == (0, "", "")
    assert layerfs(dataroot_path, "diff", "lab/twice:1@2", "lab/twice:1", "--ignore", "mtime").code == 0


@pytest.mark.parametrize("attribute", ["content", "target", "rdev", "mode", "uid", "gid", "mtime", "xattr"])
def test_ignored_attributes_do_not_count(dataroot_path: Path, attribute: str) -> None:
    """With --ignore the same differences are told without the attribute, or not at all."""
    pair = ("lab/xattrs:1", "lab/attributes:1") if attribute == "xattr" else ("demo@1", "demo")
    sides = [pair, ("demo", "changed"), ("lab/xattrs:1@2", "lab/xattrs:1"), ("lab/types:1@2", "lab/types:1")]
    for before, after in sides:
        expected = {}
        for path, (kind, attributes) in _told(_rows(dataroot_path, before, after)).items():
            left = attributes - {attribute}
            if left or not attributes:
                expected[path] = (kind if not left or "content" in left else "metadata", left)
        assert _told(_rows(dataroot_path, before, after, "--ignore", attribute)) == expected


def test_several_attributes_are_ignored(dataroot_path: Path) -> None:
    """Attributes to ignore are given as a list or one by one."""
    once = _rows(dataroot_path, "demo", "changed", "--ignore", "mtime,uid, gid")
    assert once == _rows(
        dataroot_path, "demo", "changed", "--ignore", "mtime", "--ignore", "uid", "--ignore=gid"
    )
    assert not any({"mtime", "uid", "gid"} & set(row["attributes"]) for row in once)


GLOBS: dict[str, Callable[[str], bool]] = {
    "motd": lambda path: path.endswith("/motd"),
    "*.txt": lambda path: path.endswith(".txt"),
    "/etc": lambda path: path == "/etc" or path.startswith("/etc/"),
    "etc/": lambda path: "etc" in path.split("/"),
    "/usr/*/doc": lambda path: path.startswith("/usr/share/doc"),
    "/usr/*.txt": lambda path: path.startswith("/usr/") and path.endswith(".txt"),
    "[mn]o*": lambda path: any(fnmatch.fnmatch(name, "[mn]o*") for name in path.split("/")),
    "/": lambda path: path == "/",
}


@pytest.mark.parametrize("glob", GLOBS)
@pytest.mark.parametrize("sides", [("demo@1", "demo"), ("changed",)], ids=" ".join)
def test_globs_choose_paths(dataroot_path: Path, sides: tuple[str, ...], glob: str) -> None:
    """--include shows what fits and what is below it, --exclude all else."""
    fits = GLOBS[glob]
    everything = [row["path"] for row in _rows(dataroot_path, *sides)]
    wanted = [path for path in everything if fits(path)]
    assert [row["path"] for row in _rows(dataroot_path, *sides, "--include", glob)] == wanted
    rest = [row["path"] for row in _rows(dataroot_path, *sides, "--exclude", glob)]
    if glob == "/":  # everything is below it
        assert rest == []
    else:
        # where nothing in it is told any more, Docker does not tell the directory either
        left = [path for path in everything if not fits(path)]
        assert [path for path in left if path in rest] == rest
        for path in set(left).difference(rest):
            assert any(other.startswith(f"{path}/") for other in everything if fits(other))
        assert rest == left or sides == ("changed",)


def test_globs_add_up(dataroot_path: Path) -> None:
    """Several patterns of a kind are alternatives, and what is excluded is never included."""
    options = ("--include", "/etc", "--include", "*.txt", "--exclude", "motd", "--exclude", "/usr")
    paths = {row["path"] for row in _rows(dataroot_path, "demo@1", "changed", *options)}
    assert {"/etc", "/etc/passwd", "/new.txt"} <= paths
    assert not any("motd" in path or path.startswith("/usr") or "/srv" in path for path in paths)


# -- forms ---------------------------------------------------------------------------------------


def _pairs_and_options() -> list[tuple[str, ...]]:
    return [("demo@1", "demo"), ("demo", "changed"), ("changed",), ("odd",), ("lab/names:1@1", "lab/names:1")]


@pytest.mark.parametrize("sides", _pairs_and_options(), ids=" ".join)
def test_every_form_tells_the_same(dataroot_path: Path, sides: tuple[str, ...]) -> None:
    """Lines, names, raw names, NDJSON, CSV and templates tell the same paths in the same order."""
    rows = _rows(dataroot_path, *sides)

    def out(*options: str) -> str:
        found = layerfs(dataroot_path, "diff", *sides, *options)
        assert (found.code, found.stderr) == (1, "")
        return found.stdout

    assert _raw(out("--name-only", "-z")).split(b"\0") == [*(_raw(row["path"]) for row in rows), b""]
    for form in ("ndjson", "jsonl"):
        assert [json.loads(line) for line in out("--format", form).splitlines()] == rows
    assert len(out("--name-only").splitlines()) == len(rows)
    words = out("--format", "{{.Change}} {{.SizeAfter}} {{.ModeBefore}}").splitlines()
    assert words == [
        f"{row['change']} {row['after']['size'] if row['after'] else ''} "
        f"{row['before']['mode'] if row['before'] else ''}"
        for row in rows
    ]
    lines = out().splitlines()
    assert len(lines) == len(rows)
    assert all(text.isprintable() for text in lines)
    if len(sides) == 2:
        assert [line.split()[0] for line in lines] == [row["change"] for row in rows]


def test_lines_say_what_changed(tmp_path: Path) -> None:
    """A line names each attribute, with its values where they are short."""
    root = _two_layers(tmp_path, _fill_old, _fill_new)
    lines = layerfs(root, "diff", "new:1", "--ignore", "mtime").stdout.splitlines()
    assert lines == [
        "type      /a-dir (directory -> file)",
        "deleted   /a-dir/in",
        "modified  /a-file (3 -> 5 bytes, mode 0644 -> 0600)",
        "metadata  /a-link (target old -> new\\ place)",
        "metadata  /a-null (device 1,3 -> 1,5)",
        "modified  /a-same-size (content)",
        "added     /new-dir/",
        "added     /new-link -> to\\n",
        "deleted   /old-link -> from",
        "metadata  /owned (uid 0 -> 7, gid 0 -> 8, xattr)",
    ]


def _fill_old(diff: Path) -> None:
    (diff / "a-dir").mkdir()
    (diff / "a-dir/in").touch()
    (diff / "a-file").write_text("old")
    (diff / "a-link").symlink_to("old")
    os.mknod(diff / "a-null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    (diff / "a-same-size").write_text("one")
    (diff / "old-link").symlink_to("from")
    (diff / "owned").write_text("x")
    (diff / "kept").write_text("x")


def _fill_new(diff: Path) -> None:
    (diff / "a-dir").write_text("")
    (diff / "a-file").write_text("newer")
    (diff / "a-file").chmod(0o600)
    (diff / "a-link").symlink_to("new place")
    os.mknod(diff / "a-null", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    (diff / "a-same-size").write_text("two")
    (diff / "new-dir").mkdir()
    (diff / "new-link").symlink_to("to\n")
    os.mknod(diff / "old-link", stat.S_IFCHR)
    (diff / "owned").write_text("x")
    os.chown(diff / "owned", 7, 8)
    os.setxattr(diff / "owned", "user.note", b"x")
    (diff / "kept").write_text("x")


def _two_layers(place: Path, below: Callable[[Path], object], above: Callable[[Path], object]) -> Path:
    """A data root of the images `old:1`, of one layer, and `new:1`, of that layer and another."""
    builder = RootBuilder(place / "root")
    base = builder.layer(None, below)
    builder.image(base, "old:1")
    builder.image(builder.layer(base, above), "new:1")
    return builder.finish()


# -- contents ------------------------------------------------------------------------------------

OLD_TEXTS = {
    "same": b"x\n",
    "changed": b"".join(b"line %d\n" % number for number in range(100)),
    "gone": b"one\ntwo\n",
    "gone-without-newline": b"one\ntwo",
    "loses-newline": b"one\ntwo\n",
    "gains-newline": b"one\ntwo",
    "never-had": b"one\ntwo",
    "carriage": b"one\r\ntwo\r\n",
    "returns\rin\ra\rline": b"one\rtwo\nthree\x0bfour\x0cfive\x85six\n",
    "latin": b"caf\xe9\nt\xe9\n",
    "emptied": b"x\n",
    "a name with spaces": b"x\n",
    "tab\tand\nnewline": b"x\n",
    'quote"and\\backslash': b"x\n",
    "caf\u00e9": b"x\n",
    "\udcff": b"x\n",
    "to-dir": b"was a file\n",
    "looks-like-a-header": b"-- a/evil\n",
}
NEW_TEXTS = {
    "same": b"x\n",
    "changed": b"".join(b"line %d\n" % number for number in range(100) if number % 30) + b"more\n",
    "loses-newline": b"one\ntwo",
    "gains-newline": b"one\ntwo\n",
    "never-had": b"one\nthree",
    "carriage": b"one\r\nthree\r\n",
    "returns\rin\ra\rline": b"one\rtwo\nthree\x0bfour\x0csix\x85six\n",
    "latin": b"caf\xe9\nth\xe9\n",
    "emptied": b"",
    "a name with spaces": b"y\n",
    "tab\tand\nnewline": b"y\n",
    'quote"and\\backslash': b"y\n",
    "caf\u00e9": b"y\n",
    "\udcff": b"y\n",
    "looks-like-a-header": b"++ b/evil\n",
    "new": b"new\n",
    "new-without-newline": b"new",
}


PATCH_TOOLS = [["patch", "-p1", "--binary"], ["git", "apply", "--whitespace=nowarn"]]


def _written(files: dict[str, bytes]) -> Callable[[Path], object]:
    return lambda diff: [(diff / name).write_bytes(content) for name, content in files.items()]


def _new_texts(diff: Path) -> None:
    _written(NEW_TEXTS)(diff)
    (diff / "to-dir").mkdir()
    for name in OLD_TEXTS.keys() - NEW_TEXTS.keys() - {"to-dir"}:
        os.mknod(diff / name, stat.S_IFCHR)


@pytest.mark.root
@pytest.mark.parametrize("tool", PATCH_TOOLS, ids="{0[0]}".format)
def test_contents_are_a_patch(tmp_path: Path, tool: list[str]) -> None:
    """What -p prints turns the old files into the new ones, by patch(1) and by git."""
    root = _two_layers(tmp_path, _written(OLD_TEXTS), _new_texts)
    found = layerfs(root, "diff", "-p", "new:1")
    assert found.code == 1
    place = tmp_path / "patched"
    place.mkdir()
    _written(OLD_TEXTS)(place)
    patch = found.stdout.encode("utf-8", "surrogateescape")
    done = subprocess.run(tool, cwd=place, input=patch, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    left = {path.name: path.read_bytes() for path in place.iterdir()}
    assert left == NEW_TEXTS


def test_contents_that_are_not_shown(tmp_path: Path) -> None:
    """Binary and large files are named, and a change of attributes alone shows no contents."""

    def below(diff: Path) -> None:
        (diff / "binary").write_bytes(b"\0old")
        (diff / "large").write_bytes(b"x\n" * (1 << 19) + b"x")
        (diff / "mode").write_bytes(b"text\n")

    def above(diff: Path) -> None:
        (diff / "binary").write_bytes(b"\0new")
        (diff / "large").write_bytes(b"y\n")
        (diff / "mode").write_bytes(b"text\n")
        (diff / "mode").chmod(0o600)
        (diff / "new-binary").write_bytes(b"text\n\0")

    root = _two_layers(tmp_path, below, above)
    lines = layerfs(root, "diff", "-p", "--ignore", "mtime", "new:1").stdout.splitlines()
    assert lines == [
        "modified  /binary (content)",
        "Binary files a/binary and b/binary differ",
        "modified  /large (1048577 -> 2 bytes)",
        "Files a/large and b/large differ: not shown, more than 1.05MB",
        "metadata  /mode (mode 0644 -> 0600)",
        "added     /new-binary",
        "Binary files /dev/null and b/new-binary differ",
    ]


def test_a_terminal_is_not_at_the_mercy_of_contents(tmp_path: Path) -> None:
    """On a terminal no control byte of names or contents gets through; a file gets the bytes."""
    evil = b"\x1b]0;title\x07\x1b[2J\rover\n"
    root = _two_layers(tmp_path, _written({}), _written({"name\x1b[2J": evil}))
    assert evil.decode() in layerfs(root, "diff", "-p", "new:1").stdout
    child, terminal = pty.fork()
    if child == 0:
        command = str(Path(sys.executable).with_name("layerfs"))
        os.execv(command, [command, "--root", str(root), "diff", "-p", "new:1"])  # noqa: S606 - the child
    shown = b""
    with contextlib.suppress(OSError):  # EIO is how a terminal says that nobody writes to it any more
        while piece := os.read(terminal, 4096):
            shown += piece
    os.close(terminal)
    os.waitpid(child, 0)
    assert b"\x1b[32m+\\x1b]0;title\\x07\\x1b[2J\\rover\x1b[0m\r\n" in shown
    shown = re.sub(rb"\x1b\[[0-9;]*m", b"", shown)  # our own colours are all there is
    assert all(byte >= 0x20 or byte in b"\r\n" for byte in shown)


def test_contents_of_a_container(dataroot_path: Path) -> None:
    """Also Docker's lines take contents."""
    found = layerfs(dataroot_path, "diff", "-p", "changed", "--include", "/etc/motd")
    assert found.stdout.splitlines()[:3] == ["C /etc/motd", "--- a/etc/motd", "+++ b/etc/motd"]
    assert "+A line from the container." in found.stdout


# -- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sides", [("demo@1", "demo"), ("demo", "changed"), ("changed",)], ids=" ".join)
def test_numbers_are_those_of_the_rows(dataroot_path: Path, sides: tuple[str, ...]) -> None:
    """--stat counts what is in each directory and --summary all, bytes of hard links once."""
    rows = _rows(dataroot_path, *sides)
    table = layerfs(dataroot_path, "diff", *sides, "--stat", "--format", "json").json
    assert table[-1] == _counted(rows, None, table[-1])
    directories = sorted({os.path.dirname(row["path"]) for row in rows})
    assert [row["directory"] for row in table[:-1]] == directories
    for row in table[:-1]:
        below = [item for item in rows if os.path.dirname(item["path"]) == row["directory"]]
        assert row == _counted(below, row["directory"], row)
    total = layerfs(dataroot_path, "diff", *sides, "--summary", "--format", "json").json
    assert total == [{key: value for key, value in table[-1].items() if key != "directory"}]


def _counted(rows: list[dict[str, Any]], directory: str | None, like: dict[str, Any]) -> dict[str, Any]:
    """What a row of numbers must be, with the kinds of the row given."""
    found: dict[str, Any] = {"directory": directory}
    inodes: set[int] = set()
    for kind in like.keys() - {"directory"}:
        entries = [row["after"] or row["before"] for row in rows if row["change"] == kind]
        size = 0
        for entry in entries:
            if entry["type"] != "directory" and entry["inode"] not in inodes:
                inodes.add(entry["inode"])
                size += entry["size"]
        found[kind] = {"entries": len(entries), "bytes": size}
    assert sum(found[kind]["entries"] for kind in like.keys() - {"directory"}) == len(rows)
    return found


# -- misuse and damage ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["demo", "no-such"], 3),
        (["demo@7"], 3),
        (["demo", "demo@0"], 3),
        (["demo", "--ignore", "colour"], 2),
        (["changed", "--ignore", "mtime"], 2),
        (["demo", "--docker", "--ignore", "mtime"], 2),
        (["demo", "--stat", "--summary"], 2),
        (["demo", "--stat", "-p"], 2),
        (["demo", "--name-only", "--hash"], 2),
        (["demo", "--name-only", "--format", "json"], 2),
        (["demo", "-p", "--format", "json"], 2),
        (["demo", "-z"], 2),
        (["demo", "--format", "{{"], 2),
        (["demo", "--type", "container"], 3),
        ([], 2),
    ],
)
def test_misuse(dataroot_path: Path, arguments: list[str], code: int) -> None:
    """What cannot be compared, or shown so, is refused before anything is printed."""
    found = layerfs(dataroot_path, "diff", *arguments)
    assert (found.code, found.stdout) == (code, "")


def test_containers_take_our_kinds_on_request(dataroot_path: Path) -> None:
    """--no-docker compares a container with what is below its own layer in our words, down to contents."""
    rows = _rows(dataroot_path, "changed", "--no-docker", "--ignore", "mtime")
    told = {row["path"]: row["change"] for row in rows}
    assert told["/etc/motd"] == "modified"
    assert told["/etc/passwd"] == "metadata"
    assert told["/opt/app"] == "type"
    assert told["/"] == "metadata"
    assert "/etc/hosts" not in told


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(copy: Path) -> None:
    """A directory or file that is refused is an error on its own line, and the exit code says so."""
    root = copy
    layer = DataRoot.open(root).chain(DataRoot.open(root).image("lab/redirect:1"))[1]
    diff = root / "overlay2" / layer.cache_id / "diff"
    os.setxattr(diff / "moved", "trusted.overlay.redirect", b"/old/../x")
    found = layerfs(root, "diff", "lab/redirect:1", "--format", "json")
    assert found.code == 6
    assert found.stderr.count("error:") == 1
    assert "/moved" in found.stderr
    paths = {row["path"] for row in found.json}
    assert "/here/new/c" in paths
    assert "/moved" in paths


# -- what is read --------------------------------------------------------------------------------

_LISTED = """
import os, sys
def hook(event, arguments):
    if event in ("os.scandir", "os.listdir"):
        found = os.stat(arguments[0])
        print(found.st_dev, found.st_ino, file=log, flush=True)
log = open(sys.argv.pop(1), "w")
from layerfs_cli.main import run
sys.addaudithook(hook)
sys.exit(run())
"""


def _listed(root: Path, log: Path, *arguments: str) -> tuple[Result, list[str]]:
    """Run a command in a process of its own; what it did, and which layers' directories it listed."""
    from tests.support.command import Result

    command = [sys.executable, "-c", _LISTED, str(log), "--root", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    known = Places(root / "overlay2")
    listed = [known.named(*map(int, line.split())) for line in log.read_text().splitlines()]
    places = [place for place in listed if "/diff" in place]
    return Result(done.returncode, done.stdout, done.stderr), places


@pytest.mark.root
def test_no_shared_layer_is_listed(tmp_path: Path) -> None:
    """Of a large image only the directories of the layer that differs are listed, and what it hides."""
    builder = RootBuilder(tmp_path / "root")
    base = builder.layer(None, _fill_large)
    middle = builder.layer(base, lambda diff: (diff / "dir-3").mkdir())
    builder.image(middle, "old:1")
    builder.image(builder.layer(middle, _fill_few), "new:1")
    root = builder.finish()
    expected = ["/dir-1/file-7", *(f"/dir-1/new-{number}" for number in range(100))]
    expected += [*(f"/dir-2/sub/file-{number}" for number in range(20)), "/dir-4", "/dir-4/sub"]
    expected += [f"/dir-4/file-{number}" for number in range(200)]
    expected += [f"/dir-4/sub/file-{number}" for number in range(20)]
    expected.sort()
    for sides in (("new:1",), ("old:1", "new:1"), ("new:1", "old:1")):
        found, listed = _listed(root, tmp_path / "log", "diff", "--ignore", "mtime", *sides, "--name-only")
        assert sorted(found.stdout.splitlines()) == expected
        own = [place for place in listed if f"/{_cache(root, 3)}/" in place]
        others = [place.partition("/diff")[2] for place in listed if place not in own]
        assert {place.partition("/diff")[2] for place in own} == {"", "/dir-1", "/dir-2", "/dir-2/sub"}
        assert sorted(set(others)) == ["/dir-2/sub", "/dir-4", "/dir-4/sub"]
        assert len(listed) < 12


def _cache(root: Path, number: int) -> str:
    opened = DataRoot.open(root)
    return opened.chain(opened.image("new:1"))[number - 1].cache_id


def _fill_large(diff: Path) -> None:
    """Twenty directories of two hundred files, each with a directory of twenty more."""
    for number in range(20):
        (diff / f"dir-{number}/sub").mkdir(parents=True)
        for count in range(200):
            (diff / f"dir-{number}/file-{count}").write_text(f"{number} {count}\n")
        for count in range(20):
            (diff / f"dir-{number}/sub/file-{count}").write_text(f"{number} {count}\n")


def _fill_few(diff: Path) -> None:
    """A hundred new files, one changed, one directory made opaque, and one deleted."""
    (diff / "dir-1").mkdir()
    for number in range(100):
        (diff / f"dir-1/new-{number}").write_text("new\n")
    (diff / "dir-1/file-7").write_text("changed\n")
    (diff / "dir-2/sub").mkdir(parents=True)
    os.setxattr(diff / "dir-2/sub", "trusted.overlay.opaque", b"y")
    (diff / "dir-2/sub/file-1").write_text("kept?\n")
    os.mknod(diff / "dir-4", stat.S_IFCHR)
