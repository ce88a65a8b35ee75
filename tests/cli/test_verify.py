"""`layerfs verify`: what it takes for names, how it answers, and what a lossy copy or a poor reader gets."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.archived import archived_layer
from tests.support.command import configs, layer_files, layerfs
from tests.support.fixture import private_copy
from tests.support.kernel import private_dir
from tests.support.nobody import layerfs_as_nobody
from tests.support.planting import image_only, placed_layers, unchanged_times
from tests.support.processes import Running
from tests.support.rootbuilder import RootBuilder

if TYPE_CHECKING:
    from pathlib import Path

CLEAN, FOUND, USAGE, NOT_FOUND = 0, 1, 2, 3
LAYERFS = [sys.executable, "-c", "from layerfs_cli.main import main; main()"]


@pytest.mark.root
def test_names_of_layers(dataroot_path: Path) -> None:
    """A layer is known by any ID, link, path or a beginning of one; a shared diff ID means several."""
    layer = placed_layers(dataroot_path, "demo:1.0")[-1]
    link = (layer.directory / "link").read_text()
    diff_id, cache_id = (layer.record / "diff").read_text(), layer.directory.name
    names = [layer.chain_id, diff_id, cache_id, link, f"l/{link}", cache_id[:20], layer.chain_id[7:27]]
    names += [str(layer.diff / "etc"), f"/var/lib/docker/overlay2/{cache_id}/merged"]
    for name in names:
        done = layerfs(dataroot_path, "verify", name)
        assert (name, done.code, done.stdout.partition(":")[0]) == (name, CLEAN, "1 layer")
    shared = _shared_diff_id(dataroot_path)
    assert layerfs(dataroot_path, "verify", shared[0]).stdout.startswith(f"{len(shared)} layers: ")


def _shared_diff_id(root: Path) -> list[str]:
    """A diff ID that several layers have and that is no chain ID, once for each."""
    stored = layer_files(root)
    texts = [files["diff"] for chain, files in stored.items() if files["diff"] not in stored]
    return max(([text] * texts.count(text) for text in texts), key=len)


@pytest.mark.root
def test_images_share_layers(dataroot_path: Path) -> None:
    """A layer is checked once, however many images have it; IMAGE@N has N layers; --all has every layer."""
    depth = len(placed_layers(dataroot_path, "demo:1.0"))
    for names, count in ((("demo:1.0", "demo:latest", "demo:1.0@2"), depth), (("demo:1.0@2",), 2)):
        assert f"{count} layers: " in layerfs(dataroot_path, "verify", *names).stdout
    said = layerfs(dataroot_path, "verify", "--all").stdout.splitlines()[-1]
    assert said.startswith(
        f"{len(configs(dataroot_path))} images, {len(layer_files(dataroot_path))} layers: "
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), USAGE),
        (("--all", "demo"), USAGE),
        (("--all", "--ignore", "size"), USAGE),
        (("no/such/image",), NOT_FOUND),
        (("demo@99",), NOT_FOUND),
        (("nothing@1",), NOT_FOUND),
        (("a",), NOT_FOUND),
    ],
)
def test_misuse(dataroot_path: Path, arguments: tuple[str, ...], code: int) -> None:
    """Names and options that mean nothing are refused."""
    assert layerfs(dataroot_path, "verify", *arguments).code == code


@pytest.mark.root
def test_quick_reads_no_layer(dataroot_path: Path, tmp_path: Path) -> None:
    """--quick finds what is wrong with records, and does not look at the files of layers."""
    root = image_only(dataroot_path, tmp_path / "root", "demo:1.0")
    first, second = placed_layers(root, "demo:1.0")[1:3]
    (first.diff / "etc/motd").write_bytes(b"changed")
    assert layerfs(root, "verify", "--quick", "demo:1.0").code == CLEAN
    (second.record / "parent").write_text(second.chain_id)
    assert "[parent-wrong]" in layerfs(root, "verify", "--quick", "demo:1.0").stdout


@pytest.mark.root
@pytest.mark.parametrize("aspect", ["mode", "owner", "mtime", "xattr"])
def test_ignored_attributes(dataroot_path: Path, tmp_path: Path, aspect: str) -> None:
    """--ignore passes over one attribute, --no-attributes over all; contents are compared all the same."""
    root = image_only(dataroot_path, tmp_path / "root", "demo:1.0")
    path = placed_layers(root, "demo:1.0")[1].diff / "etc/motd"
    os.chmod(path, 0o600)
    os.chown(path, 7, 7)
    os.utime(path, (1, 1))
    os.setxattr(path, "user.x", b"1")
    codes = {
        "mode": "mode-altered",
        "owner": "owner-altered",
        "mtime": "mtime-altered",
        "xattr": "xattr-extra",
    }
    for options, wanted in (
        (("--ignore", aspect), set(codes.values()) - {codes[aspect]}),
        (("--no-attributes",), set()),
    ):
        result = layerfs(root, "verify", "--format", "json", *options, "demo:1.0")
        assert {found["code"] for found in result.json} == wanted
    path.write_bytes(b"changed")
    assert layerfs(root, "verify", "--no-attributes", "demo:1.0").code == FOUND


@pytest.mark.root
def test_lines(dataroot_path: Path, tmp_path: Path) -> None:
    """By default a line for each finding, harmless to a terminal, and a summary; else rows alone."""
    root = image_only(dataroot_path, tmp_path / "root", "lab/names:1")
    diff = placed_layers(root, "lab/names:1")[1].diff
    with unchanged_times(diff):
        (diff / "escape-\x1b[31mred").write_bytes(b"")
    (diff / "new\nline/extra").write_bytes(b"")
    *lines, summary = layerfs(root, "verify", "lab/names:1").stdout.splitlines()
    assert [line.rpartition("[")[2] for line in lines] == ["size-altered]", "mtime-altered]", "entry-extra]"]
    assert all(line.startswith("error: overlay2/") for line in lines)
    assert "\x1b" not in "".join(lines)
    assert "3 errors, 0 warnings, 0 notes; content of 2 of 3 layers proven" in summary
    rows = layerfs(root, "verify", "--format", "jsonl", "lab/names:1").stdout.splitlines()
    keys = ["code", "severity", "subject", "path", "expected", "actual", "message", "unread"]
    assert [list(json.loads(row)) for row in rows] == [keys] * 3


@pytest.mark.root
def test_lossy_copy_is_summed_up(tmp_path: Path) -> None:
    """What a copy lost of all entries is one finding a layer, or one an entry if wanted."""
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    for number in range(100):
        (tree / "d" / f"{number:03}").write_bytes(b"content")
        os.chown(tree / "d" / f"{number:03}", number, 5)
    builder = RootBuilder(tmp_path / "root")
    layer = archived_layer(builder, None, tree)
    builder.image(layer, "test:1")
    root = builder.finish()
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-dR", "--no-preserve=all", root, copy], check=True)
    (copy / "overlay2" / layer.cache_id / "diff/d/007").write_bytes(b"CONTENT")
    assert layerfs(root, "verify", "test:1").code == CLEAN
    few = layerfs(copy, "verify", "--format", "json", "test:1").json
    assert sorted(found["code"] for found in few) == ["content-altered", "mtime-altered", "owner-altered"]
    assert [found["message"].partition(":")[0] for found in few if "owner" in found["code"]] == [
        "100 of 101 entries have another owner"  # the directory is root's
    ]
    whole = layerfs(copy, "verify", "--list-all", "--format", "json", "test:1").json
    assert len(whole) == 1 + 100 + 101


@pytest.mark.root
def test_ordinary_user(dataroot_path: Path) -> None:
    """Who may not read all is told what was not compared: that is no error, but no clean result either."""
    with private_dir() as place:
        root = private_copy(dataroot_path, place / "root")
        others = [path for path in root.iterdir() if path.name != "overlay2"]
        subprocess.run(["chmod", "-R", "go+rX", *others], check=True)
        directories = [path for path in (root / "overlay2").iterdir() if path.is_dir()]
        subprocess.run(["chmod", "go+rx", root, root / "overlay2", *directories], check=True)
        for directory in (place, place.parent):
            directory.chmod(0o711)
        done = layerfs_as_nobody("--root", str(root), "verify", "--all", "--format", "jsonl", "--jobs", "2")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [item for item in found if item["severity"] == "error"] == []
    assert (done.stderr, done.returncode) == ("", FOUND)
    assert {(item["code"], item["severity"]) for item in found} == {
        ("marks-not-compared", "warning"),
        ("unreadable", "warning"),
        ("directory-unreadable", "warning"),
        ("sparse-member", "note"),
        ("whiteout-with-content", "note"),
        ("socket-kept", "note"),
    }


@pytest.mark.root
def test_progress_on_a_terminal_only(dataroot_path: Path) -> None:
    """Rate and progress are shown on standard error if that is a terminal, and else not at all."""
    command = [*LAYERFS, "--root", str(dataroot_path), "verify", "--all"]
    ours, theirs = pty.openpty()
    with Running(command, stdout=subprocess.PIPE, stderr=theirs) as running:
        os.close(theirs)
        assert running.stdout
        answer, shown = running.stdout.read(), b""
        while piece := _read(ours):
            shown += piece
    os.close(ours)
    assert b"Verifying" in shown
    assert b"B/s" in shown
    assert b"100%" in shown
    assert b"Verifying" not in answer
    quiet = subprocess.run(command, capture_output=True, check=True)
    assert (quiet.stderr, quiet.stdout.splitlines()[:-1]) == (b"", answer.splitlines()[:-1])


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 4096)
    except OSError:  # the other end is closed
        return b""
