"""`layerfs grep`: its lines against those of GNU grep in the kernel's mount of the same image."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from layerfs import DataRoot
from tests.support.command import Output, layerfs, run_bytes
from tests.support.images import image_of
from tests.support.kernel import overlay_mount
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec, Link, Symlink
from tests.support.mounts import stacked_by_docker
from tests.support.opens import Opens
from tests.support.rootbuilder import RootBuilder
from tests.support.storekinds import each_kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.storekinds import StoreKind

pytestmark = [pytest.mark.root, pytest.mark.kernel]

BLOCK = 1 << 20
"""What is read at a time."""

_LONG = b"".join(b"line %d of many" % number + b"." * 400 + b"\n" for number in range(2_600))
assert len(_LONG) > BLOCK
_ETC = {
    b"passwd": File(b"root:x:0:0:root:/root:/bin/sh\nbin:x:1:1::/bin:/bin/false\n"),
    b"gone": File(b"the secret is swordfish\n"),
    b"motd": File(b"old motd\n"),
}
_MANY = [b"%d root\n" % number if number % 7 == 3 else b"%d\n" % number for number in range(60)]
BASE = LayerSpec(
    Dir(
        {
            b"etc": Dir(_ETC),
            b"empty": File(b""),
            b"feeds": File(b"\n\n\n"),
            b"unended": File(b"one\ntwo root"),
            b"crlf": File(b"root one\r\ntwo\r\n"),
            b"binary": File(b"\x7fELF\0root\0x\nroot again\0\n"),
            b"long": File(_LONG + b"the root\n" + _LONG[:9000]),
            b"latin": File(b"gr\xfc\xdfe root\n"),
            b"umlaut": File("Grüße, root\n".encode()),
            b"words": File(b"root roots chroot root_ -root- root.root\n_root\nROOT\nrootroot root\n"),
            b"a\nb\xff": File(b"root in an odd name\n"),
            b"link": Symlink(b"etc/passwd"),
            b"names": Link(0),
            b"names2": Link(0),
            b"many": File(b"".join(_MANY)),
        }
    ),
    (File(b"a file with two names\n"),),
)
TOP = LayerSpec(Dir({b"etc": Dir({b"gone": WHITEOUT, b"motd": File(b"new motd\n")})}))

PLAIN = ("-n", "-b", "-c", "-l", "-L", "-v", "-i", "-h", "-a", "-I", "-m2", "-q")
WITH_ALL = ("", "-o", "-w", "-x", "-v -c")
OPTIONS = (
    *WITH_ALL,
    *PLAIN,
    *(
        "-n -b",
        "-o -b",
        "-o -w",
        "-o -i",
        "-c -m3",
        "-w -i",
        "-x -v -c",
        "-a -n -o",
        "-l -v",
        "-Z -l",
        "-Z",
    ),
    *("-A1", "-B1", "-C2 -n", "-A3 -B1 -n -b", "-C1 -v", "-A2 -m2", "-C3 -w", "-a -C1"),
)
PATTERNS = (
    "root",
    "^root",
    "[^:]*:x",
    "root$",
    "o.*t",
    "roo*t\\>",
    "\\<root",
    "\\(ro\\|ch\\)*ot",
    "^$",
    "",
    "no such line",
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with one image of two layers."""
    return image_of(tmp_path_factory.mktemp("grep"), BASE, TOP)[0]


@pytest.fixture(scope="module")
def mounted(image: Path) -> Iterator[Path]:
    """The image, mounted by the kernel."""
    root = DataRoot.open(image)
    place = root.chain(root.image("test:1"))[-1].cache_id
    with overlay_mount(stacked_by_docker(image, place)) as top:
        yield top


def _gnu(top: Path, options: str, *patterns: str) -> subprocess.CompletedProcess[bytes]:
    """GNU grep over all files, in the order of their paths."""
    command = ["xargs", "-0", "grep", "-H", *options.split(), *patterns, "--"]
    files = sorted(
        os.fsencode(os.path.relpath(os.path.join(directory, name), top))
        for directory, _, names in os.walk(top)
        for name in names
        if not os.path.islink(os.path.join(directory, name))
    )
    files.sort(key=lambda path: path.split(b"/"))
    files = [b"./" + path for path in files]
    return subprocess.run(
        command,
        cwd=top,
        input=b"\0".join(files),
        env=os.environ | {"LC_ALL": "C"},
        capture_output=True,
        check=False,
    )


def _as_paths(text: bytes) -> bytes:
    """GNU's output with the paths of the tree."""
    return text.replace(b"./", b"/")


def _binary(said: bytes) -> set[bytes]:
    """The files of which it is said that they are binary and match."""
    return set(re.findall(rb"(\S+): binary file matches", _as_paths(said)))


def _same(ours: Output, theirs: subprocess.CompletedProcess[bytes]) -> None:
    assert ours.stdout == _as_paths(theirs.stdout)
    assert _binary(os.fsencode(ours.stderr)) == _binary(theirs.stderr)


@pytest.mark.parametrize("options", OPTIONS)
def test_lines_are_those_of_grep_in_the_kernels_mount(image: Path, mounted: Path, options: str) -> None:
    """With every option, and pairs of them, the output is GNU grep's byte for byte, for every pattern."""
    for pattern in PATTERNS if options in WITH_ALL else PATTERNS[:3]:
        theirs = _gnu(mounted, options, "-e", pattern)
        ours = run_bytes(image, "grep", *options.split(), "-e", pattern, "test:1")
        if "-h" in options.split():
            theirs = _gnu(mounted, options.replace("-h", "--no-filename"), "-e", pattern)
        if (options, pattern) == ("-v -c", ""):
            continue  # grep does not look at the files at all
        if options == "-q":
            assert ours.stdout == b""
            assert ours.code == (0 if theirs.returncode == 0 else 1)
            continue
        _same(ours, theirs)
        assert ours.code == (0 if theirs.stdout or _binary(theirs.stderr) else 1) or "-c" in options


def _rows(root: Path, *words: str) -> list[dict[str, Any]]:
    done = layerfs(root, "grep", "--format", "json", *words)
    assert done.code == 0, done.stderr
    rows: list[dict[str, Any]] = done.json
    return rows


def test_what_later_layers_hide_is_found_and_marked(image: Path) -> None:
    """A deleted and a replaced version are found in every way of asking, with the layer that hides them."""
    assert run_bytes(image, "grep", "swordfish", "test:1").code == 1
    hidden = b"/etc/gone [layer 1, hidden by layer 2]:the secret is swordfish\n"
    assert run_bytes(image, "grep", "--deleted", "sword", "test:1").stdout == hidden
    assert run_bytes(image, "grep", "--everything", "sword", "test:1", "/etc").stdout == hidden
    everywhere = run_bytes(image, "grep", "--all", "sword").stdout
    assert everywhere == b"test:1@1:/etc/gone [hidden by layer 2]:the secret is swordfish\n"
    name, _, _ = everywhere.partition(b" [")
    assert run_bytes(image, "cat", os.fsdecode(name)).stdout == b"the secret is swordfish\n"
    for words in (["--all-versions", "motd", "test:1", "/etc"], ["--all", "motd"]):
        rows = [(row["text"], row["state"], row["layer"], row["hidden_by"]) for row in _rows(image, *words)]
        assert sorted(rows) == [("new motd", "visible", 2, None), ("old motd", "hidden", 1, 2)]


def test_rows_tell_where_a_match_is(image: Path, mounted: Path) -> None:
    """The offset of a row, and the places of matches in it, are those of the bytes in the file."""
    rows = _rows(image, "-e", "ro*t", "test:1")
    assert len(rows) >= 20
    for row in rows:
        content = (mounted / os.fsencode(row["path"]).decode("utf-8", "surrogateescape")[1:]).read_bytes()
        begin = row["offset"]
        assert row["binary"] == (row["text"] is None)
        if row["binary"]:
            assert b"root" in content[begin : begin + 10]
            continue
        text = row["text"].encode("utf-8", "surrogateescape")
        assert content[begin : begin + len(text)] == text
        assert row["line"] == content[:begin].count(b"\n") + 1
        assert {text[first:last] for first, last in row["matches"]} == {b"root"}


def _write(number: int, place: Path) -> None:
    (place / "own").write_text(f"needle {number}\n")


def test_whole_store_is_read_once(tmp_path: Path) -> None:
    """Of layers that many images share each file is opened once, and what is found is shown once."""
    builder = RootBuilder(tmp_path)
    base = builder.layer(fill=lambda place: (place / "shared").write_text("needle\n"))
    for number in range(5):
        own = builder.layer(base, functools.partial(_write, number))
        builder.image(own, f"app:{number}", config={"comment": str(number)})
    root = builder.finish()
    opens = Opens([str(root / "overlay2")])
    done = run_bytes(root, "grep", "--all", "-c", "needle")
    opened = opens.opened()
    lines = [*(b"app:%d:/own:1" % number for number in range(5)), b"app:0:/shared:1"]
    assert sorted(done.stdout.splitlines()) == sorted(lines)
    files = {path: times for path, times in opened.items() if path.endswith(("/shared", "/own"))}
    assert sorted(files.values()) == [1] * 6
    (row,) = [row for row in _rows(root, "--all", "-l", "needle") if row["path"] == "/shared"]
    assert len(row["visible_in"]) == 5


def test_records_are_searched_by_value(tmp_path: Path) -> None:
    """Environment, labels, histories and commands are found, each where it stands in the config."""
    builder = RootBuilder(tmp_path)
    layer = builder.layer()
    config = {
        "config": {
            "Env": ["A=1", "TOKEN=needle"],
            "Labels": {"key": "needle"},
            "ExposedPorts": {"1/needle": {}},
        },
        "history": [{"created_by": "RUN a\nRUN needle"}],
    }
    builder.image(layer, "app:1", config=config)
    root = builder.finish()
    expected = {
        "config.Env[1]:TOKEN=needle",
        "config.Labels:key=needle",
        "config.ExposedPorts:1/needle",
        "history[0].created_by:RUN needle",
    }
    for words in (["needle", "app:1"], ["--all", "needle"]):
        done = layerfs(root, "grep", "--configs", *words)
        assert set(done.stdout.splitlines()) == {f"app:1:{line}" for line in expected}
        assert run_bytes(root, "grep", *words).code == 1


def test_line_longer_than_the_window_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that does not fit into memory is searched in pieces, which is said; numbers stay right."""
    monkeypatch.setattr("layerfs.analysis.grep.lines.LONGEST", 2 << 20)
    content = b"x" * (5 << 20) + b"needle\nlast needle\n"
    root, _ = image_of(tmp_path / "root", LayerSpec(Dir({b"f": File(content)})))
    done = layerfs(root, "grep", "-n", "-o", "needle", "test:1", "/f")
    assert done.stdout == "1:needle\n2:needle\n"
    assert "in pieces" in done.stderr


def test_hole_is_passed_over(tmp_path: Path) -> None:
    """A sparse file of a terabyte is searched at once; it is binary, its data are found in their place."""
    root, _ = image_of(tmp_path / "root", LayerSpec(Dir({b"f": File(b"needle\n", hole=1 << 40)})))
    (row,) = _rows(root, "needle", "test:1")
    assert (row["binary"], row["offset"]) == (True, 1 << 40)


def test_exit_codes(image: Path) -> None:
    """0 for a line, 1 for none, 2 for a pattern that is none, 6 for a path that is not there."""
    for words, code in {
        ("root", "test:1"): 0,
        ("nothing like it", "test:1"): 1,
        ("-L", "root", "test:1"): 0,
        ("-E", "(", "test:1"): 2,
        ("\\(a\\)\\1", "test:1"): 2,
        ("-E", "(a{1000}){1000}", "test:1"): 2,
        ("root", "test:1", "/none"): 6,
        ("root", "none:1"): 3,
        ("--all", "root", "test:1"): 2,
        ("-f", "/none", "test:1"): 2,
    }.items():
        assert run_bytes(image, "grep", *words).code == code, words


def test_texts_are_found_without_re2(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where RE2 is not installed, plain texts are found all the same; other patterns name the extra."""
    asked = [
        ["root"],
        ["-F", "-w", "root"],
        ["-F", "-i", "-o", "ROOT"],
        ["-F", "-x", "-e", "ROOT", "-e", "x"],
    ]
    right = [run_bytes(image, "grep", *words, "test:1") for words in asked]
    monkeypatch.setitem(sys.modules, "re2", None)
    assert [run_bytes(image, "grep", *words, "test:1") for words in asked] == right
    refused = layerfs(image, "grep", "ro*t", "test:1")
    assert (refused.code, "pip install 'layerfs[grep]'" in refused.stderr) == (2, True)


@each_kind
def test_every_kind_of_store_is_searched(kind: StoreKind, tmp_path: Path) -> None:
    """In every kind of store a line of an image is found in its tree, and in the whole store."""
    root = kind.make(tmp_path)
    line = run_bytes(root, "cat", kind.image, "/etc/motd").stdout.splitlines()[0]
    one = run_bytes(root, "grep", "-F", "-x", "-e", os.fsdecode(line), kind.image, "/etc")
    assert b"/etc/motd:" + line in one.stdout.splitlines()
    everywhere = run_bytes(root, "grep", "-F", "-x", "-h", "--all", "-e", os.fsdecode(line))
    assert line in everywhere.stdout.splitlines()
