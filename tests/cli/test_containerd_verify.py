"""`layerfs verify` on containerd's stores: sound ones give nothing, and every change is found and named."""

from __future__ import annotations

import itertools
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import layerfs
from tests.support.containerdroots import ContainerdRoot
from tests.support.growth import growth_of_steps, steps
from tests.support.samples import unpack_sample
from tests.support.tarstacks import containerd_of_tars, member

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping
    from pathlib import Path

pytestmark = pytest.mark.root

IMAGE, NAME = "multi:1", "docker.io/library/multi:1"
SAMPLES = ("docker29-containerd", "containerd-1.6-store", "containerd-2.1-cri", "containerd-2.1-erofs")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> ContainerdRoot:
    """A data root of Docker 29."""
    top = unpack_sample("docker29-containerd", tmp_path_factory.mktemp("verify"))
    return ContainerdRoot(top, "containerd/daemon", "moby")


def found(root: ContainerdRoot, *arguments: str) -> list[dict[str, Any]]:
    """The findings for some names, as rows; the exit code is checked."""
    result = layerfs(root.top, "verify", "--jobs", "1", *(arguments or (IMAGE,)), "--format", "json")
    rows: list[dict[str, Any]] = result.json
    assert result.code == (1 if any(row["severity"] == "error" for row in rows) else 0), result
    assert "bug in layerfs" not in result.stderr
    return rows


def codes(root: ContainerdRoot, *arguments: str) -> list[str]:
    """The codes of the findings."""
    return [row["code"] for row in found(root, *arguments)]


@pytest.mark.parametrize("sample", SAMPLES)
def test_sound_stores_have_no_finding(sample: str, tmp_path: Path) -> None:
    """Of real stores every layer of every namespace is proven, and nothing is found, strictly."""
    top = unpack_sample(sample, tmp_path)
    result = layerfs(top, "--namespace", "all", "verify", "--all", "--strict", "--jobs", "1")
    assert (result.code, result.stderr) == (0, "")
    summary = result.stdout.strip()
    assert "0 errors, 0 warnings, 0 notes" in summary
    layers = summary.split(" layers")[0].split()[-1]
    assert f"content of {layers} layers proven" in summary
    assert int(layers) >= 8


# -- files -------------------------------------------------------------------------------------------


def _touched(path: Path, change: Callable[[Path], object]) -> None:
    """Change a file, and give it the times it had."""
    times = (path if path.exists() else path.parent).stat().st_mtime_ns, path.parent.stat().st_mtime_ns
    change(path)
    for changed, mtime in zip((path, path.parent), times, strict=True):
        if changed.exists():
            os.utime(changed, ns=(mtime, mtime))


CHANGES: Mapping[str, tuple[Callable[[Path], object], list[str]]] = {
    "content": (lambda fs: _touched(fs / "etc/motd", _flip), ["content-altered"]),
    "size": (lambda fs: _touched(fs / "etc/motd", lambda file: file.write_bytes(b"x")), ["size-altered"]),
    "gone": (lambda fs: _touched(fs / "etc/motd", lambda file: file.unlink()), ["entry-missing"]),
    "extra": (lambda fs: _touched(fs / "etc/new", lambda file: file.write_bytes(b"")), ["entry-extra"]),
    "mode": (lambda fs: (fs / "etc/motd").chmod(0o4755), ["mode-altered"]),
    "owner": (lambda fs: os.chown(fs / "etc/motd", 1, 2), ["owner-altered"]),
    "time": (lambda fs: os.utime(fs / "etc/motd", (5, 5)), ["mtime-altered"]),
    "attribute": (lambda fs: os.setxattr(fs / "etc/motd", "user.new", b"1"), ["xattr-extra"]),
    "type": (lambda fs: _touched(fs / "etc/motd", _as_directory), ["type-altered"]),
    "root": (lambda fs: fs.chmod(0o700), ["root-altered"]),
}


def _flip(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def _as_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_entry_is_named(root: ContainerdRoot, name: str) -> None:
    """One change to the files of a layer is one finding, with the path on disk."""
    change, wanted = CHANGES[name]
    with root.mended():
        directory = root.directory(root.layers(NAME)[1])
        root.keep(directory)
        change(directory / "fs")
        rows = found(root)
    assert [row["code"] for row in rows] == wanted
    assert rows[0]["path"].startswith(str(directory / "fs"))
    assert rows[0]["subject"] == f"layer {root.layers(NAME)[1]}"


# -- marks -------------------------------------------------------------------------------------------


def marks(fs: Path) -> list[Path]:
    """The whiteouts of a layer, and its opaque directories."""
    return [path for path in fs.rglob("*") if _is_whiteout(path) or _is_opaque(path)]


def _is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and not status.st_rdev


def _is_opaque(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and "trusted.overlay.opaque" in os.listxattr(path)


def unmark(path: Path) -> None:
    """Take back a deletion."""
    time = path.parent.stat().st_mtime_ns
    if path.is_dir():
        os.removexattr(path, "trusted.overlay.opaque")
    else:
        path.unlink()
    os.utime(path.parent, ns=(time, time))


@pytest.mark.parametrize("number", [2, 3])
def test_layers_without_whiteouts_are_called_by_their_fault(root: ContainerdRoot, number: int) -> None:
    """An upper layer of which no mark was unpacked is one finding that names containerd's own fault."""
    with root.mended():
        directory = root.directory(root.layers(NAME)[number - 1])
        root.keep(directory)
        every = marks(directory / "fs")
        assert every
        for path in every:
            unmark(path)
        (row,) = found(root)
        listed = codes(root, "--list-all", IMAGE)
    assert (row["code"], row["path"]) == ("marks-not-unpacked", str(directory / "fs"))
    assert "containerd 2.2.0 to 2.2.2" in row["message"]
    assert len(listed) == len(every)
    assert set(listed) <= {"whiteout-missing", "opaque-missing"}


def test_one_missing_whiteout_is_no_fault_of_containerd(root: ContainerdRoot) -> None:
    """Where other marks of the layer are there, a missing one was taken away by somebody."""
    with root.mended():
        directory = root.directory(root.layers(NAME)[1])
        root.keep(directory)
        first, *_ = [path for path in marks(directory / "fs") if _is_whiteout(path)]
        unmark(first)
        (row,) = found(root)
    assert (row["code"], row["path"]) == ("whiteout-missing", str(first))


# -- blobs and records -------------------------------------------------------------------------------


def test_altered_blob_makes_no_file_wrong(root: ContainerdRoot) -> None:
    """Of a blob with another digest that is said, and the files are not called changed for it."""
    with root.mended():
        path = root.blob(root.digest_of(NAME, "2"))
        root.write(path, root.blob(root.digest_of(NAME, "3")).read_bytes())
        rows = found(root)
        assert {row["code"] for row in rows} == {"layer-altered", "diff-id-wrong", "not-compared"}
        assert {row["path"] for row in rows if row["severity"] == "error"} == {str(path)}
    with root.mended():
        root.write(path, path.read_bytes()[:-9])
        assert codes(root) == ["layer-malformed"]


def test_documents_and_other_blobs_are_hashed(root: ContainerdRoot) -> None:
    """A manifest or config that was changed is an error of its image; a blob of none one of the store."""
    for which, wanted in (("manifest", "image-altered"), ("config", "image-altered")):
        with root.mended():
            path = root.blob(root.digest_of(NAME, which))
            root.write(path, path.read_bytes().replace(b"amd64", b"arm64") + b" ")
            rows = found(root, "--all")
        assert wanted in {row["code"] for row in rows if row["path"] == str(path)}, which
    with root.mended():
        root.write(root.blob("sha256:" + "0" * 64), b"x")
        assert codes(root, "--all") == ["blob-altered"]


def test_discarded_blobs_are_a_note_and_lost_ones_an_error(root: ContainerdRoot) -> None:
    """Without its entry in meta.db a blob was discarded on purpose; with it, it is lost."""
    digest = root.digest_of(NAME, "3")
    with root.mended():
        root.remove(root.blob(digest))
        assert codes(root) == ["blob-missing"]
        root.edit_meta(lambda tree: tree[b"content"][b"blob"].pop(digest.encode()))
        (row,) = found(root)
    assert (row["code"], row["severity"]) == ("blob-discarded", "note")


def test_databases_are_compared_with_each_other_and_the_disk(root: ContainerdRoot) -> None:
    """A lost or contradicted record and a lost directory are named, and no file is called changed."""
    key = root.layers(NAME)[1]
    name, base = root.name(key), root.name(root.layers(NAME)[0])
    with root.mended():
        number = root.directory(key).name
        root.edit_snapshots(lambda tree: tree[b"snapshots"].pop(name))
        (row,) = found(root)
        assert (row["code"], row["expected"]) == ("snapshot-unrecorded", number)
    with root.mended():
        root.edit_snapshots(lambda tree: tree[b"snapshots"][name].update({b"parent": name}))
        assert codes(root) == ["parent-wrong"]
    top = root.name(root.layers(NAME)[2])
    with root.mended():
        root.edit_snapshots(lambda tree: tree[b"snapshots"][top].update({b"parent": base}))
        assert codes(root) == ["parent-wrong"]
    with root.mended():
        root.remove(root.directory(key))
        assert codes(root) == ["directory-missing"]


def test_names_choose_what_is_checked(root: ContainerdRoot) -> None:
    """A layer, an image as of one, or all: what is wrong elsewhere is not told of others."""
    base, middle, top = root.layers(NAME)
    with root.mended():
        directory = root.directory(top)
        root.keep(directory)
        (directory / "fs/new").write_bytes(b"")
        for name, wanted in ((base, []), (f"{IMAGE}@2", []), (top, ["entry-extra"]), (middle, [])):
            assert [code for code in codes(root, name) if code != "root-altered"] == wanted, name
    refused = layerfs(root.top, "verify", "changed")
    assert refused.code == 3


# -- deep stacks -------------------------------------------------------------------------------------


def _deep(path: Path, depth: int) -> Path:
    """An image of so many layers, each with files in directories that only the base has besides."""
    base = [member(f"d{number}/f", b"base") for number in range(4 * depth)]
    uppers = ([member(f"d{4 * at + number}/g", b"x") for number in range(4)] for at in range(1, depth))
    return containerd_of_tars(path, {"deep:1": [base, *uppers] if depth else [[member("f", b"")]]})


def test_a_layer_costs_the_same_however_many_are_below_it(tmp_path: Path) -> None:
    """Directories without a header are looked for in the layers below: work grows with these, no faster."""
    number = itertools.count()

    def run(depth: int) -> Counter[str]:
        root = _deep(tmp_path / f"root{next(number)}", depth)
        checked: list[str] = []
        counted = steps(
            lambda: checked.append(layerfs(root, "verify", "--all", "--strict", "--jobs", "1").stdout)
        )
        assert "0 errors, 0 warnings, 0 notes" in checked[0]
        return counted

    run(0)  # what is imported now is not counted below
    found = growth_of_steps(run, 12)
    assert found.ratio < 7, found.what
