"""`layerfs find`: options, output, hidden entries, damage; what tests mean is compared in tests/kernel."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from layerfs import DataRoot
from tests.support.command import configs, layerfs
from tests.support.images import image_of
from tests.support.layerspec import Dir, File, LayerSpec
from tests.support.processes import Running

LAYERFS = str(Path(sys.executable).with_name("layerfs"))


def _rows(root: Path, *arguments: str) -> list[dict[str, Any]]:
    done = layerfs(root, "find", *arguments, "--format", "json")
    assert (done.code, done.stderr) == (0, "")
    return list(done.json)


def _paths(root: Path, *arguments: str) -> list[str]:
    done = layerfs(root, "find", *arguments)
    assert (done.code, done.stderr) == (0, "")
    return done.stdout.splitlines()


def _diff(root: Path, name: str, number: int) -> Path:
    """The directory of an image's layer."""
    data = DataRoot.open(root)
    return root / "overlay2" / data.chain(data.image(name))[number - 1].cache_id / "diff"


# -- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("-name", "motd"),
        ("--name", "motd"),
        ("--name=motd",),
        ("motd",),
        ("/etc/motd",),
        ("etc/motd",),
        ("*/motd",),
        ("-path", "/etc/motd"),
        ("-regex", "/etc/m.*d"),
        ("-iname", "MOTD"),
    ],
)
def test_ways_to_ask_for_a_name(dataroot_path: Path, words: tuple[str, ...]) -> None:
    """One dash or two, an option or a bare pattern, of a name or of a path: all find the same file."""
    assert _paths(dataroot_path, "demo:latest", *words) == ["/etc/motd"]


def test_every_option_has_both_dashes(dataroot_path: Path) -> None:
    """Each test of find is taken with one dash and with two, and means the same."""
    for name, *value in (
        ("type", "d"), ("size", "+0"), ("perm", "-111"), ("uid", "0"), ("gid", "0"), ("user", "root"),
        ("group", "0"), ("newer", "/etc/passwd"), ("newermt", "2020-01-01"), ("empty",), ("maxdepth", "1"),
        ("mindepth", "1"), ("mtime", "+1"), ("mmin", "+1"),
        ("live",), ("deleted",), ("iregex", ".*"), ("ipath", "*"), ("sha256", "0" * 64), ("print0",), ("ls",),
    ):  # fmt: skip
        single = layerfs(dataroot_path, "find", "demo:latest", f"-{name}", *value)
        double = layerfs(dataroot_path, "find", "demo:latest", f"--{name}", *value)
        assert single.code == 0, name
        assert single == double, name


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("demo:latest", "a", "b"),
        ("--all", "a", "b"),
        ("demo:latest", "/etc/*", "b"),
        ("--all", "/etc", "a", "b"),
        ("demo:latest", "/a\0b"),
        ("demo:latest", "-name", "a\0b"),
        ("demo:latest", "a\0b"),
        ("demo:latest", "-newer", "a\0b"),
        ("demo:latest", "-regex", "("),
        ("demo:latest", "-regex", "a{2,1}"),
        ("demo:latest", "-type", "x"),
        ("demo:latest", "-type", "fd"),
        ("demo:latest", "-size", "1T"),
        ("demo:latest", "-size", ""),
        ("demo:latest", "-perm", "+755"),
        ("demo:latest", "-perm", "77777"),
        ("demo:latest", "-perm", "u=q"),
        ("demo:latest", "-uid", "root"),
        ("demo:latest", "-newermt", "some day"),
        ("demo:latest", "--sha256", "abc"),
        ("demo:latest", "-ls", "-print0"),
        ("demo:latest", "-ls", "--format", "json"),
        ("--all", "-user", "root"),
        ("--all", "-newer", "/etc/passwd"),
        ("--all", "--up-to", "1"),
        ("demo:latest", "-maxdepth", "-1"),
        ("demo:latest", "-mindepth", "-1"),
        ("demo:latest", "-mtime", "1d"),
        ("demo:latest", "-mmin", ""),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(dataroot_path: Path, words: tuple[str, ...]) -> None:
    """Too many words, operators, malformed patterns, numbers and times: exit 2, and nothing on stdout."""
    done = layerfs(dataroot_path, "find", *words)
    assert (done.code, done.stdout) == (2, "")
    assert "Error: " in done.stderr


def test_every_word_of_find_is_taken_or_named_whole(dataroot_path: Path) -> None:
    """Each word that `find --help` has works here, or is named whole with what to use in its place."""
    from layerfs_cli.commands.find import command

    text = subprocess.run(["find", "--help"], capture_output=True, text=True, check=True).stdout
    usage = text[text.index("Operators") : text.index("Other common options")]
    words = {
        *re.findall(r"(?<![\w\[])-[a-z][a-z0-9_-]+", usage.replace("[-/]", "")),
        "!",
        "(",
        ")",
        ",",
        "-a",
        "-o",
    }
    assert len(words) > 60
    known = {name for option in command.params for name in option.opts}
    for word in words - known:
        for before in ((), ("-name", word), ("-type", "f")):  # also behind what takes a value
            done = layerfs(dataroot_path, "find", "demo:latest", *before, word, "x", "{}", ";")
            assert (done.code, done.stdout) == (2, ""), word
            assert re.search(rf"^Error: {re.escape(word)}: .{{5,}}", done.stderr, re.MULTILINE), done.stderr
    assert {"-name", "-mtime", "-mmin", "-mindepth", "-maxdepth", "-path", "-ls"} <= known & words


@pytest.mark.parametrize("word", ["-nmae", "--nmae", "-xyzzy", "-pr", "-newerct", "-e"])
def test_unknown_words_are_named_whole(dataroot_path: Path, word: str) -> None:
    """A word of nobody is named as it was typed; as a value, or behind --, it is none of them."""
    done = layerfs(dataroot_path, "find", "demo:latest", word)
    assert done.code == 2
    assert re.search(rf"(?<![-\w]){word}(?![-\w])", done.stderr)
    assert _paths(dataroot_path, "demo:latest", "-name", word) == []
    assert _paths(dataroot_path, "demo:latest", "--", word) == []


def test_start_paths(dataroot_path: Path) -> None:
    """A slash at the beginning and no wildcard: where to begin; with one, or without a slash: the PATTERN."""
    below = _paths(dataroot_path, "demo:latest", "/etc", "*s*")
    assert below == ["/etc/issue", "/etc/os-release", "/etc/passwd"]
    assert _paths(dataroot_path, "demo:latest", "*s*", "/etc") == below
    assert _paths(dataroot_path, "demo:latest", "/etc/*s*") == below
    assert _paths(dataroot_path, "demo:latest", "/root", "/etc", "-maxdepth", "0") == ["/root", "/etc"]
    assert _paths(dataroot_path, "demo:latest@3", "/root", "-type", "f") == ["/root/password.txt"]


def test_start_paths_of_what_is_hidden(dataroot_path: Path) -> None:
    """-deleted begins at a path that the tree no longer has; one that it never had is exit 6."""
    hidden = "/root/password.txt"
    assert _paths(dataroot_path, "demo:latest", hidden, "-deleted") == [hidden]
    assert _paths(dataroot_path, "demo:latest", hidden, "-deleted", "-live") == [hidden]
    assert _paths(dataroot_path, "demo:latest", "/etc", "-deleted") == ["/etc/motd"]
    assert _paths(dataroot_path, "demo:latest", "/opt", "-deleted") == []
    for options in ((), ("-deleted",), ("-deleted", "-live")):
        done = layerfs(dataroot_path, "find", "demo:latest", "/nope", "/etc/motd", *options)
        assert done.code == 6
        assert done.stderr.count("/nope") == 1
        assert "/etc/motd" in done.stdout


def test_start_paths_in_all_layers(dataroot_path: Path) -> None:
    """--all begins at a path of every layer, and depths count from there; one that no layer has is exit 6."""
    every = _rows(dataroot_path, "--all")
    below = [row for row in every if f"{row['path']}/".startswith("/etc/")]
    assert _rows(dataroot_path, "--all", "/etc") == below
    assert _rows(dataroot_path, "--all", "//etc/./") == below
    shallow = [row for row in below if row["path"].count("/") == 2]
    assert _rows(dataroot_path, "--all", "/etc", "-mindepth", "1", "-maxdepth", "1") == shallow != []
    done = layerfs(dataroot_path, "find", "--all", "/etc/motd", "/nope", "--format", "{{.Path}}")
    assert (done.code, set(done.stdout.splitlines())) == (6, {"/etc/motd"})
    assert "/nope" in done.stderr


def test_unknown_names(dataroot_path: Path) -> None:
    """An unknown image or user is exit 3, a file to compare with that is not there exit 6."""
    assert layerfs(dataroot_path, "find", "no-such-image").code == 3
    assert layerfs(dataroot_path, "find", "demo:latest", "-user", "nobody-here").code == 3
    assert layerfs(dataroot_path, "find", "demo:latest", "-newer", "/no/such").code == 6


# -- subjects ------------------------------------------------------------------------------------


def test_earlier_layers_and_single_ones(dataroot_path: Path) -> None:
    """IMAGE@N and --up-to search the image as of a layer, --layer that layer alone."""
    assert _paths(dataroot_path, "demo:latest", "password.txt") == []
    assert _paths(dataroot_path, "demo:latest@3", "password.txt") == ["/root/password.txt"]
    assert _paths(dataroot_path, "demo:latest", "--up-to", "3", "password.txt") == ["/root/password.txt"]
    assert _paths(dataroot_path, "demo:latest", "--layer", "3", "-type", "f") == ["/root/password.txt"]


@pytest.mark.root
def test_whiteouts_are_entries_of_a_layer_alone(dataroot_path: Path) -> None:
    """In a layer alone a whiteout is the device it is on disk."""
    assert _paths(dataroot_path, "demo:latest", "--layer", "5", "-type", "c") == ["/root/password.txt"]
    assert _paths(dataroot_path, "demo:latest", "-type", "c") == []


def test_container_and_its_kind(dataroot_path: Path) -> None:
    """A container is searched by its name, and --kind says so where it could be an image."""
    assert _paths(dataroot_path, "--kind", "container", "deep", "/", "-maxdepth", "0") == ["/"]
    assert layerfs(dataroot_path, "find", "--kind", "image", "deep").code == 3


# -- hidden --------------------------------------------------------------------------------------


def test_deleted_is_what_layers_have_and_the_image_hides(dataroot_path: Path) -> None:
    """-deleted gives hidden entries only, -live and -deleted both give all, and JSON what hides each."""
    hidden = _rows(dataroot_path, "demo:latest", "-type", "f", "-deleted")
    assert {(row["path"], row["layer"], row["state"]) for row in hidden} == {
        ("/etc/motd", 2, "hidden"),
        ("/root/password.txt", 3, "hidden"),
    }
    by_path = {row["path"]: row for row in hidden}
    assert by_path["/root/password.txt"]["hidden"] == {"by": 5, "how": "whiteout", "at": "/root/password.txt"}
    assert by_path["/etc/motd"]["hidden"] == {"by": 4, "how": "replaced", "at": "/etc/motd"}
    live = _rows(dataroot_path, "demo:latest", "-type", "f")
    assert {row["state"] for row in live} == {"visible"}
    both = _rows(dataroot_path, "demo:latest", "-type", "f", "-deleted", "-live")
    assert sorted(map(json.dumps, both)) == sorted(map(json.dumps, live + hidden))
    assert [row["path"].split("/") for row in both] == sorted(row["path"].split("/") for row in both)


def test_superseded_directories_are_not_deleted(dataroot_path: Path) -> None:
    """A directory whose attributes come from a later layer is not among what was deleted."""
    assert "/etc" not in _paths(dataroot_path, "demo:latest", "-deleted", "-type", "d")
    opaque = _paths(dataroot_path, "lab/opaque:1", "-deleted")
    assert opaque


def test_contents_of_hidden_files_are_searched(dataroot_path: Path) -> None:
    """--sha256 finds a deleted file by its content, names its digest, and where it lies."""
    secret = _diff(dataroot_path, "demo:latest", 3) / "root/password.txt"
    digest = hashlib.sha256(secret.read_bytes()).hexdigest()
    assert _rows(dataroot_path, "demo:latest", "--sha256", digest) == []
    (found,) = _rows(dataroot_path, "demo:latest", "-deleted", "--sha256", f"sha256:{digest.upper()}")
    assert (found["path"], found["sha256"], found["backing_path"]) == (
        "/root/password.txt",
        digest,
        str(secret),
    )
    other = hashlib.sha256((_diff(dataroot_path, "demo:latest", 4) / "etc/motd").read_bytes()).hexdigest()
    either = _paths(dataroot_path, "demo:latest", "-live", "-deleted", "--sha256", digest, "--sha256", other)
    assert either == ["/etc/motd", "/root/password.txt"]


# -- the whole root ------------------------------------------------------------------------------


def test_all_tells_who_shows_and_who_hides(dataroot_path: Path) -> None:
    """--all names for each entry the images and containers that show it, and those that hide it."""
    (found,) = _rows(dataroot_path, "--all", "password.txt")
    assert (found["path"], found["layer"], found["state"]) == ("/root/password.txt", 3, "visible")
    hidden = {owner["name"]: owner for owner in found["hidden_in"]}
    assert {"demo:1.0", "changed", "crashed"} <= hidden.keys()
    assert hidden["demo:1.0"]["by"] == 5
    root = DataRoot.open(dataroot_path)
    for image in root.images():
        if found["chain_id"] in image.chain:
            shows = layerfs(dataroot_path, "ls", image.id, "/root/password.txt").code == 0
            assert (image.id in {owner["id"] for owner in found["visible_in"]}) == shows
            assert (image.id in {owner["id"] for owner in found["hidden_in"]}) != shows


def test_all_is_the_sum_of_all_trees(dataroot_path: Path) -> None:
    """What --all says an image or container shows is what a search of that alone finds."""
    rows = _rows(dataroot_path, "--all", "-type", "f,l,p,s")
    root = DataRoot.open(dataroot_path)
    names = {str(image.id): image.name for image in root.images()}
    names |= {str(container.id): container.name for container in root.containers()}
    for owner, name in names.items():
        if name != "lab/redirect:1":  # what is moved there is in its layer under another path
            shown = {row["path"] for row in rows if owner in {item["id"] for item in row["visible_in"]}}
            assert shown == {row["path"] for row in _rows(dataroot_path, owner, "-type", "f,l,p,s")}, name


def test_all_with_live_and_deleted(dataroot_path: Path) -> None:
    """With --all, -live is what some tree shows, -deleted what some tree hides, neither is everything."""
    every = _rows(dataroot_path, "--all", "-type", "f")
    live = _rows(dataroot_path, "--all", "-type", "f", "-live")
    deleted = _rows(dataroot_path, "--all", "-type", "f", "-deleted")
    assert live == [row for row in every if row["visible_in"]]
    assert deleted == [row for row in every if row["hidden_in"]]
    assert 0 < len(live) < len(every)


def test_all_searches_what_nobody_uses(copy: Path) -> None:
    """A directory that no record names is searched too, and its state is unused."""
    root = copy
    left = root / "overlay2" / ("ab" * 32) / "diff/opt"
    left.mkdir(parents=True)
    (left / "leftover").write_text("x")
    (found,) = _rows(root, "--all", "leftover")
    assert (found["state"], found["cache_id"], found["layer"]) == ("unused", "ab" * 32, None)
    assert found["visible_in"] == found["hidden_in"] == []


def test_all_is_sorted_and_streams(dataroot_path: Path) -> None:
    """The table and JSON are in the order of paths; jsonl has the same rows."""
    rows = _rows(dataroot_path, "--all", "-name", "*.txt")
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    lines = layerfs(dataroot_path, "find", "--all", "-name", "*.txt", "--format", "jsonl").stdout.splitlines()
    assert sorted(lines) == sorted(json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in rows)
    header, *table = layerfs(dataroot_path, "find", "--all", "*.txt").stdout.splitlines()
    assert header.split() == ["STATE", "LAYER", "CACHE", "ID", "VISIBLE", "IN", "HIDDEN", "IN", "PATH"]
    assert len(table) == len(rows)


# -- output --------------------------------------------------------------------------------------


@pytest.mark.root
def test_names_go_out_as_they_are(dataroot_path: Path) -> None:
    """Into a pipe names are written byte for byte, ended by a line feed or with -print0 a NUL."""
    top = _diff(dataroot_path, "lab/names:1", 2)
    command = [LAYERFS, "--root", str(dataroot_path), "find", "lab/names:1", "-maxdepth", "1"]
    out = subprocess.run([*command, "-print0"], capture_output=True, check=True).stdout
    found = set(out.removesuffix(b"\0").split(b"\0"))
    assert {b"/" + name for name in os.listdir(os.fsencode(top))} - found <= {b"/\xff\xfe"}
    assert subprocess.run(command, capture_output=True, check=True).stdout == out.replace(b"\0", b"\n")


@pytest.mark.root
@pytest.mark.parametrize("words", [(), ("-ls",), ("--format", "table"), ("--format", "csv")])
def test_terminal_sees_no_control_byte(dataroot_path: Path, words: tuple[str, ...]) -> None:
    """On a terminal nothing in a name can move the cursor, whichever way it is shown."""
    ours, theirs = pty.openpty()
    command = [LAYERFS, "--root", str(dataroot_path), "find", "lab/names:1", *words]
    with Running(command, stdout=theirs, stderr=subprocess.DEVNULL) as process:
        os.close(theirs)
        out = b""
        try:
            while piece := os.read(ours, 65536):
                out += piece
        except OSError:  # the other side is closed
            pass
        finally:
            os.close(ours)
    assert process.returncode == 0
    text = out.decode("utf-8").replace("\r\n", "\n")
    assert "x1b" in text or "033" in text
    assert all(character.isprintable() or character == "\n" for character in text)


def test_ls_shows_layer_mode_owner_and_what_hides(dataroot_path: Path) -> None:
    """-ls has the layer, the fields of find -ls, and for what is hidden the reason."""
    (line,) = layerfs(
        dataroot_path, "find", "demo:latest", "-deleted", "-ls", "password.txt"
    ).stdout.splitlines()
    found = os.lstat(_diff(dataroot_path, "demo:latest", 3) / "root/password.txt")
    fields = line.split()
    assert fields[:4] == ["3", str(found.st_ino), str(found.st_blocks // 2), "-rw-r--r--"]
    assert fields[4:8] == ["1", str(found.st_uid), str(found.st_gid), str(found.st_size)]
    assert fields[11:] == ["/root/password.txt", "(layer", "5:", "whiteout)"]
    linked = layerfs(dataroot_path, "find", "demo:latest", "-type", "l", "-ls").stdout
    assert " -> " in linked


def test_template_and_placeholders(dataroot_path: Path) -> None:
    """A template sees each finding; unknown placeholders are a usage error."""
    done = layerfs(
        dataroot_path, "find", "demo:latest", "motd", "--format", "{{.Path}} {{.Layer}} {{.State}}"
    )
    assert done.stdout == "/etc/motd 4 visible\n"
    assert layerfs(dataroot_path, "find", "demo:latest", "motd", "--format", "{{.Nope}}").code == 2


# -- damage --------------------------------------------------------------------------------------


def test_lost_layer_leaves_the_rest(copy: Path) -> None:
    """With a layer's directory gone --all searches the others; who sees through it is not claimed. Exit 1."""
    root = copy
    lost = _diff(root, "demo:latest", 5)
    shutil.rmtree(lost)
    done = layerfs(root, "find", "--all", "password.txt", "--format", "json")
    assert done.code == 1
    assert str(lost) in done.stderr
    (found,) = done.json
    assert found["state"] == "visible"
    assert not {"demo:1.0"} & {owner["name"] for owner in found["visible_in"] + found["hidden_in"]}
    above = layerfs(root, "find", "--all", "build.log", "--format", "json").json
    assert "demo:1.0" in {owner["name"] for row in above for owner in row["visible_in"]}


def test_damaged_record_does_not_hide_its_directory(copy: Path) -> None:
    """A layer whose record is damaged is still searched as the layer it is."""
    root = copy
    data = DataRoot.open(root)
    layer = data.chain(data.image("demo:latest"))[2]
    (root / "image/overlay2/layerdb/sha256" / layer.chain_id.hex / "size").write_text("8\n")
    done = layerfs(root, "find", "--all", "password.txt", "--format", "json")
    assert done.code == 1
    (found,) = done.json
    assert (found["chain_id"], found["layer"]) == (layer.chain_id, 3)
    assert "demo:1.0" in {owner["name"] for owner in found["hidden_in"]}


def test_images_of_no_layers_have_their_root(dataroot_path: Path) -> None:
    """An image of no layers shows an empty root, and nothing else."""
    assert _paths(dataroot_path, "zero/scratch:1") == ["/"]
    assert _rows(dataroot_path, "zero/scratch:1", "-empty")[0]["path"] == "/"
    assert len(configs(dataroot_path)) > 0


@pytest.mark.root
@pytest.mark.parametrize(
    "number", ["9" * 5000, "4294967295", "", "-1", "0x10", "1 ", "٣"], ids=lambda number: number[:12]
)
def test_an_owner_that_the_kernel_has_not(tmp_path: Path, number: str) -> None:
    """A number of /etc/passwd that no file can have, however long, is no user's: exit 3, as for no line."""
    lines = f"root:x:{number}:0::/:\nother:x:007:0::/:\n".encode()
    root, _ = image_of(tmp_path / "root", LayerSpec(Dir({b"etc": Dir({b"passwd": File(lines)})})))
    found = layerfs(root, "find", "test:1", "-user", "root")
    assert found.code == 3
    assert "'root' is not in /etc/passwd" in found.stderr
    assert layerfs(root, "find", "test:1", "-user", "other") == (0, "", "")
