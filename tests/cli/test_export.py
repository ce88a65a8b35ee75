"""`layerfs export`: digests, names of files, places, damage, and how it ends."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import pty
import re
import shutil
import stat
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from layerfs import DataRoot
from layerfs.views.export.newfile import NewFile
from tests.bench.mounts import LAYERFS
from tests.support.archives import document, images_of, members, names
from tests.support.command import configs, forget_image, run_bytes
from tests.support.kernel import overlay_mount
from tests.support.mounts import stacked_by_docker
from tests.support.processes import Running
from tests.support.snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.root

UNSAVABLE = "lab/unsavable:1"
OURS = re.compile(r"blobs(/sha256(/[0-9a-f]{64})?)?|index\.json|oci-layout|manifest\.json|repositories")


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _export(root: Path, *arguments: str) -> bytes:
    found = run_bytes(root, "export", *arguments)
    assert (found.code, found.stderr) == (0, "")
    return found.stdout


@pytest.fixture
def damaged(copy: Path) -> tuple[Path, Path]:
    """A copy of the recorded root, and a file of `demo`'s second layer that was altered in it."""
    root = copy
    path = root / "overlay2" / _layers(root)[1]["cache_id"] / "diff/etc/motd"
    path.write_bytes(path.read_bytes().swapcase())
    return root, path


def _layers(root: Path, image: str = "demo") -> list[dict[str, Any]]:
    return list(json.loads(run_bytes(root, "layers", "--format", "json", image).stdout))


# -- layers --------------------------------------------------------------------------------------


def test_every_layer_is_its_diff_id(dataroot_path: Path) -> None:
    """Layer N of an image, however it is asked for, is the tar whose sha256 is the image's Nth diff ID."""
    config = configs(dataroot_path)
    checked = 0
    for image in DataRoot.open(dataroot_path).images():
        if UNSAVABLE in map(str, image.references):
            continue
        for number, diff_id in enumerate(config[image.id]["rootfs"].get("diff_ids") or [], 1):
            assert _digest(_export(dataroot_path, "--layer", str(number), image.id)) == diff_id
            checked += 1
    assert checked > 100


@pytest.mark.parametrize("key", ["chain_id", "diff_id", "cache_id"])
def test_a_layer_may_be_named(dataroot_path: Path, key: str) -> None:
    """A chain, diff or cache ID names a layer, which is exported without being asked for as one."""
    layer = _layers(dataroot_path)[2]
    wanted = layer["diff_id"]
    assert _digest(_export(dataroot_path, layer[key])) == wanted
    assert _digest(_export(dataroot_path, "--format", "layer", "demo@3")) == wanted


# -- archives ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["docker-archive", "oci"])
def test_blobs_are_named_by_their_digests(dataroot_path: Path, form: str) -> None:
    """In an archive of every image that can be exported each file is there once, under its own sha256."""
    images = [str(image.id) for image in DataRoot.open(dataroot_path).images()]
    images.remove(str(DataRoot.open(dataroot_path).image(UNSAVABLE).id))
    archive = _export(dataroot_path, "--format", form, *images)
    found = [(member.name, content) for member, content in members(archive) if member.isreg()]
    blobs = [(name, content) for name, content in found if name.startswith("blobs/")]
    assert all(name == "blobs/" + _digest(content).replace(":", "/") for name, content in blobs)
    assert len(found) == len({name for name, _ in found})
    ids = {name.rpartition("/")[2] for name, _ in blobs}
    assert ids >= {image.removeprefix("sha256:") for image in images}
    assert all(OURS.fullmatch(name) for name in names(archive))


def test_the_same_images_make_the_same_archive(dataroot_path: Path, copy: Path) -> None:
    """An archive does not depend on when, where and as whom it was made."""
    for form in (["--format", "docker-archive"], ["--format", "oci", "--compress", "gzip"]):
        assert _export(dataroot_path, *form, "demo:1.0") == _export(copy, *form, "demo:1.0")


def test_all_are_those_that_images_lists(dataroot_path: Path) -> None:
    """`--all` exports every image that is listed, each with all its tags."""
    found = run_bytes(dataroot_path, "export", "--all", "--salvage")
    assert found.code == 1
    assert UNSAVABLE in found.stderr
    rows = images_of(found.stdout)
    listed = json.loads(run_bytes(dataroot_path, "images", "--format", "json").stdout)
    tags = sorted(f"{row['repository']}:{row['tag']}" for row in listed if row["tag"])
    assert sorted(tag for row in rows for tag in row["RepoTags"] or []) == tags
    assert len(rows) == len({row["id"] for row in listed})


def test_tar_accepts_what_we_write(dataroot_path: Path) -> None:
    """GNU tar lists every archive without a word of complaint."""
    for arguments in (["demo"], ["--format", "oci", "demo"], ["--format", "rootfs", "lab/names:1"], ["odd"]):
        archive = _export(dataroot_path, *arguments)
        done = subprocess.run(["tar", "-t"], input=archive, capture_output=True, check=True)
        assert done.stderr == b""
        assert done.stdout.count(b"\n") == len(names(archive))


def test_oci_leaves_out_what_is_there(dataroot_path: Path) -> None:
    """`--since` leaves out blobs, and the manifest names them nevertheless."""
    for compress in ([], ["--compress", "gzip"]):
        form = ["--format", "oci", *compress]
        whole = _export(dataroot_path, *form, "demo:1.0")
        rest = _export(dataroot_path, *form, "--since", "base:1", "demo:1.0")
        base = names(_export(dataroot_path, *form, "base:1"))
        assert set(names(whole)) - set(names(rest)) == {
            name for name in base if name in names(whole) and name not in names(rest)
        }
        assert len(names(whole)) == len(names(rest)) + 1
        assert document(whole, "index.json") == document(rest, "index.json")


def test_compressed_layers_unpack_to_their_diff_ids(dataroot_path: Path) -> None:
    """With `--compress gzip` a layer's blob is named and typed as what it is, and unpacks to its diff ID."""
    archive = _export(dataroot_path, "--format", "oci", "--compress", "gzip", "demo:1.0")
    files = {member.name: content for member, content in members(archive)}
    (descriptor,) = document(archive, "index.json")["manifests"]
    manifest = json.loads(files["blobs/" + descriptor["digest"].replace(":", "/")])
    layers = [files["blobs/" + layer["digest"].replace(":", "/")] for layer in manifest["layers"]]
    assert [_digest(gzip.decompress(layer)) for layer in layers] == [
        layer["diff_id"] for layer in _layers(dataroot_path)
    ]
    assert {layer["mediaType"] for layer in manifest["layers"]} == {
        "application/vnd.oci.image.layer.v1.tar+gzip"
    }


# -- trees ---------------------------------------------------------------------------------------


def test_a_tree_as_of_a_layer_is_the_kernels(dataroot_path: Path) -> None:
    """IMAGE@N is the tree that the kernel shows of the first N layers."""
    for number in range(1, 7):
        archive = _export(dataroot_path, f"demo@{number}")
        found = {os.fsencode(member.name): (member, content) for member, content in members(archive)}
        layer = _layers(dataroot_path)[number - 1]["cache_id"]
        with overlay_mount(stacked_by_docker(dataroot_path, layer)) as top:
            expected = snapshot(top)
        expected.pop(b"")
        assert found.keys() == expected.keys()
        for path, entry in expected.items():
            member, content = found[path]
            if member.isreg():
                assert hashlib.sha256(content).hexdigest() == entry.content


def test_no_member_leads_out(dataroot_path: Path) -> None:
    """Whatever a layer's names were, no member of a tree is absolute or has `..` in it."""
    for image in DataRoot.open(dataroot_path).images():
        if "lab/metacopy:1" in map(str, image.references):
            continue
        for name in names(_export(dataroot_path, "--format", "rootfs", image.id)):
            assert not name.startswith("/")
            assert not {"", ".", ".."} & set(name.split("/"))


def test_what_cannot_be_read_stops_a_tree(dataroot_path: Path) -> None:
    """A file without data ends the export of a tree, and is named."""
    found = run_bytes(dataroot_path, "export", "--format", "rootfs", "lab/metacopy:1")
    assert found.code == 6
    assert "metacopy without data" in found.stderr


# -- where to ------------------------------------------------------------------------------------


def test_a_file_is_what_the_pipe_gets(dataroot_path: Path, tmp_path: Path) -> None:
    """`-o FILE` writes what standard output would get, and nothing else in that directory."""
    for number, arguments in enumerate(
        (["demo"], ["--format", "oci", "demo"], ["clean"], ["--layer", "1", "demo"])
    ):
        target = tmp_path / f"{number}.tar"
        assert _export(dataroot_path, *arguments, "-o", str(target)) == b""
        assert target.read_bytes() == _export(dataroot_path, *arguments)
    assert len(list(tmp_path.iterdir())) == 4


def test_an_oci_directory_has_the_files_of_the_tar(dataroot_path: Path, tmp_path: Path) -> None:
    """An OCI directory, new or empty, holds exactly what the tar of it would."""
    (tmp_path / "empty").mkdir()
    archive = _export(dataroot_path, "--format", "oci", "demo", "base:1")
    expected = {member.name: content for member, content in members(archive) if member.isreg()}
    for target in ("new/", "empty"):
        _export(dataroot_path, "--format", "oci", "demo", "base:1", "-o", f"{tmp_path}/{target}")
        top = tmp_path / target
        files = [path for path in top.rglob("*") if path.is_file()]
        assert {str(path.relative_to(top)): path.read_bytes() for path in files} == expected


@pytest.mark.parametrize("what", ["file", "directory", "link", "fifo"])
def test_nothing_is_overwritten(dataroot_path: Path, tmp_path: Path, what: str) -> None:
    """What is there already stays; with `--force` a regular file is replaced, and nothing else."""
    target = tmp_path / "target"
    other = tmp_path / "other"
    other.write_text("other")
    if what == "file":
        target.touch()
    elif what == "directory":
        target.mkdir()
    elif what == "link":
        target.symlink_to(other)
    else:
        os.mkfifo(target)
    before = _without_access_time(target)
    found = run_bytes(dataroot_path, "export", "demo", "-o", str(target))
    assert (found.code, _without_access_time(target)) == (2, before)
    found = run_bytes(dataroot_path, "export", "demo", "--force", "-o", str(target))
    assert found.code == (0 if what == "file" else 2)
    assert (target.lstat().st_size > 0 and target.is_file()) == (what in ("file", "link"))
    assert other.read_text() == "other"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "target"]


def _without_access_time(path: Path) -> dict[str, int]:
    """Every number of `lstat` but the access time: looking where a link leads may set it."""
    found = path.lstat()
    return {
        name: getattr(found, name) for name in dir(found) if name.startswith("st_") and "atime" not in name
    }


def test_nothing_is_written_below_the_data_root(copy: Path, tmp_path: Path) -> None:
    """A FILE or directory in the data root is refused, also through a link and from within."""
    root = copy
    (tmp_path / "link").symlink_to(root / "containers")
    before = snapshot(root)
    for target in (root / "new", root / "overlay2/l/new", tmp_path / "link/new"):
        for form in (["-o", str(target)], ["--format", "oci", "-o", f"{target}/"]):
            found = run_bytes(root, "export", "demo", *form)
            assert found.code == 2
            assert "lies in the data root" in found.stderr
    assert snapshot(root) == before


def test_a_terminal_gets_no_archive(dataroot_path: Path) -> None:
    """On a terminal the command says what to do instead, and exits with 2."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(LAYERFS, [str(LAYERFS), "--root", str(dataroot_path), "export", "demo"])  # noqa: S606 - the child
    said = b""
    try:
        while piece := os.read(terminal, 4096):
            said += piece
    except OSError:  # the other side is closed
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert b"use -o FILE" in said
    assert b"blobs/" not in said


# -- damage and other ends -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo"],
        ["--format", "oci", "demo"],
        ["--format", "oci", "--compress", "gzip", "demo"],
        ["--layer", "2", "demo"],
    ],
    ids=" ".join,
)
def test_a_bad_layer_stops_the_export(
    damaged: tuple[Path, Path], tmp_path: Path, arguments: list[str]
) -> None:
    """An altered file stops everything: exit code 5, the file's name, and nothing left behind."""
    root, path = damaged
    place = tmp_path / "place"
    place.mkdir()
    for target in ("file.tar", "directory/") if "oci" in arguments else ("file.tar",):
        found = run_bytes(root, "export", *arguments, "-o", f"{place}/{target}")
        assert found.code == 5
        assert str(path) in found.stderr
        assert "expected CRC-64 " in found.stderr
        assert list(place.iterdir()) == []
    (place / "kept").write_text("as it was")
    assert run_bytes(root, "export", *arguments, "--force", "-o", f"{place}/kept").code == 5
    assert (place / "kept").read_text() == "as it was"
    assert b"index.json" not in run_bytes(root, "export", *arguments).stdout


@pytest.mark.parametrize("options", [(), ("--format", "oci"), ("--format", "oci", "--compress", "gzip")])
def test_all_leaves_out_what_cannot_be_rebuilt(
    damaged: tuple[Path, Path], tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Images with an altered or missing layer are named, all others exported, wherever to."""
    root, _ = damaged
    gone = _layers(root, "lab/types:1")[-1]
    shutil.rmtree(root / "overlay2" / gone["cache_id"])
    altered = _layers(root)[:2]
    listed = json.loads(run_bytes(root, "images", "--format", "json").stdout)
    diff_ids = {image: of["rootfs"].get("diff_ids") or [] for image, of in configs(root).items()}
    bad = [[layer["diff_id"] for layer in altered], diff_ids[_id(listed, "lab/types")]]
    lost = {image for image, ids in diff_ids.items() if any(ids[: len(of)] == of for of in bad)}
    lost.add(_id(listed, UNSAVABLE.partition(":")[0]))
    whole = {row["id"] for row in listed} - lost
    found = run_bytes(root, "export", "--all", *options)
    assert found.code == 1
    said = [line for line in found.stderr.splitlines() if "is left out: " in line]
    assert len(said) == len(lost & {row["id"] for row in listed}) < len(whole)
    assert all(str(root) in line for line in said)
    rows = document(found.stdout, "index.json")["manifests"]
    manifests = {row["digest"]: document(found.stdout, _blob(row["digest"])) for row in rows}
    assert {manifest["config"]["digest"] for manifest in manifests.values()} == whole
    assert all(_digest(content) == f"sha256:{name[-64:]}" for name, content in _blobs(found.stdout))
    places = ("file.tar", "directory/") if options else ("file.tar",)
    for place in places:
        again = run_bytes(root, "export", "--all", *options, "-o", f"{tmp_path}/{place}")
        assert (again.code, sorted(again.stderr.splitlines())) == (1, sorted(found.stderr.splitlines()))
    assert (tmp_path / "file.tar").read_bytes() == found.stdout
    if options:
        index = (tmp_path / "directory/index.json").read_bytes()
        assert json.loads(index) == document(found.stdout, "index.json")


def _id(listed: list[dict[str, Any]], repository: str) -> str:
    return next(str(row["id"]) for row in listed if row["repository"] == repository)


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _blobs(archive: bytes) -> Iterator[tuple[str, bytes]]:
    return (
        (member.name, content)
        for member, content in members(archive)
        if member.isreg() and member.name.startswith("blobs/")
    )


def test_all_of_a_root_where_nothing_can_be_rebuilt(copy: Path, tmp_path: Path) -> None:
    """No archive is made of it: exit code 5."""
    root = copy
    for row in _layers(root, "base:1"):
        (root / "image/overlay2/layerdb/sha256" / row["chain_id"][7:] / "tar-split.json.gz").unlink()
    [base] = json.loads(run_bytes(root, "images", "--format", "json", "base:1").stdout)
    for image in configs(root):
        if image != base["id"]:
            forget_image(root, image)
    found = run_bytes(root, "export", "--all", "-o", str(tmp_path / "all.tar"))
    assert found.code == 5
    assert "base:1 is left out" in found.stderr
    assert not (tmp_path / "all.tar").exists()


def test_an_altered_header_stops_the_export(copy: Path) -> None:
    """tar-split data that say something else than the layer's tar are found out by its digest."""
    root = copy
    layer = _layers(root)[1]
    path = root / "image/overlay2/layerdb/sha256" / layer["chain_id"].removeprefix("sha256:")
    path /= "tar-split.json.gz"
    first, rest = gzip.decompress(path.read_bytes()).split(b"\n", 1)
    entry = json.loads(first)
    header = bytearray(base64.b64decode(entry["payload"]))
    header[136:147] = b"00000000000"  # the time
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    entry["payload"] = base64.b64encode(header).decode()
    path.write_bytes(gzip.compress(json.dumps(entry).encode() + b"\n" + rest))
    found = run_bytes(root, "export", "demo")
    assert found.code == 5
    assert f"{path}: " in found.stderr
    assert layer["diff_id"] in found.stderr


def test_data_that_were_never_closed_are_good(dataroot_path: Path, copy: Path) -> None:
    """tar-split data whose gzip stream early engines never closed make the same archive."""
    root = copy
    for path in root.glob("image/overlay2/layerdb/sha256/*/tar-split.json.gz"):
        packer = zlib.compressobj(wbits=31)
        content = packer.compress(gzip.decompress(path.read_bytes()))
        path.write_bytes(content + packer.flush(zlib.Z_SYNC_FLUSH))
        with pytest.raises(EOFError):
            gzip.decompress(path.read_bytes())
    for arguments in ([], ["--salvage"]):
        assert _export(root, *arguments, "demo") == _export(dataroot_path, "demo")


def test_a_copy_without_attributes_gives_the_same_image(dataroot_path: Path, copy: Path) -> None:
    """Owners, modes, times, devices and extended attributes of the copy have no part in an archive."""
    names_of = ["demo", "lab/whiteouts:1", "lab/opaque:1", "lab/attributes:1", "lab/xattrs:1"]
    root = copy
    for image in names_of:
        for layer in _layers(root, image):
            _strip(root / "overlay2" / layer["cache_id"] / "diff")
    assert _export(root, *names_of) == _export(dataroot_path, *names_of)


def _strip(diff: Path) -> None:
    """Leave names, contents and targets, and nothing else."""
    for top, directories, files in os.walk(diff):
        for name in (*directories, *files):
            path = f"{top}/{name}"
            mode = os.lstat(path).st_mode
            if stat.S_ISCHR(mode):
                os.unlink(path)
                continue
            os.lchown(path, 1000, 1000)
            if not stat.S_ISLNK(mode):
                os.chmod(path, 0o700)
                for attribute in os.listxattr(path):
                    os.removexattr(path, attribute)
            os.utime(path, (0, 0), follow_symlinks=False)


def test_progress_is_shown_on_a_terminal(dataroot_path: Path, tmp_path: Path) -> None:
    """On a terminal standard error tells how far it is; elsewhere nothing."""
    control, terminal = pty.openpty()
    command: list[str | Path] = [LAYERFS, "--root", dataroot_path, "export", "odd", "--type", "container"]
    with (tmp_path / "odd.tar").open("wb") as target:
        subprocess.run(command, stdout=target, stderr=terminal, check=True)
        assert b"Exporting" in os.read(control, 4096)
        done = subprocess.run(command, stdout=target, stderr=subprocess.PIPE, check=True)
    os.close(terminal)
    os.close(control)
    assert done.stderr == b""


def test_progress_leaves_the_terminal_to_who_reads(dataroot_path: Path) -> None:
    """In a pipeline the reader has the terminal, as `docker load` with bars of its own."""
    control, terminal = pty.openpty()
    command: list[str | Path] = [LAYERFS, "--root", dataroot_path, "export", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal) as exported:
        reader = subprocess.run(["tar", "-t"], stdin=exported.stdout, capture_output=True, check=True)
    assert exported.returncode == 0
    assert b"manifest.json" in reader.stdout.splitlines()
    os.write(terminal, b"the end")
    assert os.read(control, 4096) == b"the end"
    os.close(terminal)
    os.close(control)


def test_salvage_of_what_is_whole_changes_nothing(dataroot_path: Path) -> None:
    """Without damage `--salvage` is the same export, and exits with 0."""
    assert _export(dataroot_path, "--salvage", "demo") == _export(dataroot_path, "demo")


def test_an_empty_existing_directory_stays_empty(damaged: tuple[Path, Path], tmp_path: Path) -> None:
    """A directory that was there before stays when the export into it fails, without our files."""
    target = tmp_path / "there"
    target.mkdir()
    assert run_bytes(damaged[0], "export", "--format", "oci", "demo", "-o", f"{target}/").code == 5
    assert list(target.iterdir()) == []


def test_head_ends_it_quietly(dataroot_path: Path) -> None:
    """A reader that goes away ends the command without a word: exit code 141."""
    command: list[str | Path] = [LAYERFS, "--root", dataroot_path, "export", "odd"]
    with Running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout
        assert running.stderr
        running.stdout.read(10)
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


def test_control_c_leaves_nothing(dataroot_path: Path, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a file ends with 130, and no file is there."""
    program = (
        "import os, signal, sys\n"
        "from layerfs.views.export import members\n"
        "from layerfs_cli.main import main\n"
        "copy = members.TreeTar._regular\n"
        "def interrupted(self, node, header):\n"
        "    if header.size > 1 << 20: os.kill(os.getpid(), signal.SIGINT)\n"
        "    copy(self, node, header)\n"
        "members.TreeTar._regular = interrupted\n"
        "main()\n"
    )
    command: list[str | Path] = [
        sys.executable,
        "-c",
        program,
        "--root",
        dataroot_path,
        "export",
        "odd",
        "-o",
        tmp_path / "x.tar",
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_a_killed_export_leaves_nothing(tmp_path: Path) -> None:
    """A file that is not complete has no name, so that even SIGKILL leaves none."""
    with NewFile(os.fsencode(tmp_path / "new"), set()) as file:
        file.write(b"x" * (2 << 20))
        assert list(tmp_path.iterdir()) == []
    assert (tmp_path / "new").stat().st_size == 2 << 20


def test_somebody_elses_file_is_not_replaced(tmp_path: Path) -> None:
    """A file that was made while we wrote stays, and we fail."""
    file = NewFile(os.fsencode(tmp_path / "new"), set())
    file.write(b"ours")
    (tmp_path / "new").write_text("theirs")
    with pytest.raises(FileExistsError):
        file.__exit__(None)
    assert (tmp_path / "new").read_text() == "theirs"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for next to nothing."""
    place = tmp_path / "full"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "layerfs-test", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.kernel
@pytest.mark.parametrize(
    "arguments", [["odd"], ["--layer", "1", "lab/hundred"], ["--all", "--salvage"]], ids=" ".join
)
def test_a_full_disk_is_said(dataroot_path: Path, full: Path, arguments: list[str]) -> None:
    """Where there is no room the command names the file, exits with 74, and leaves nothing."""
    target = full / "x.tar"
    if arguments[0] == "--layer":
        subprocess.run(["fallocate", "-l", "64k", full / "rest"], check=True)
    found = run_bytes(dataroot_path, "export", *arguments, "-o", str(target))
    assert found.code == 74
    assert "No space left on device" in found.stderr
    assert str(target) in found.stderr
    assert [path.name for path in full.iterdir()] == (["rest"] if arguments[0] == "--layer" else [])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--all", "demo"],
        ["demo@3", "--format", "docker-archive"],
        ["demo", "base:1", "--format", "rootfs"],
        ["demo", "--format", "layer"],
        ["changed", "--layer", "1", "--type", "container"],
        ["demo", "--layer", "1", "--format", "oci"],
        ["demo", "--compress", "gzip"],
        ["demo", "--format", "rootfs", "--since", "base:1"],
    ],
    ids=" ".join,
)
def test_misuse_is_refused(dataroot_path: Path, arguments: list[str]) -> None:
    """What makes no sense together is a usage error, and writes nothing."""
    found = run_bytes(dataroot_path, "export", *arguments)
    assert (found.code, found.stdout) == (2, b"")


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["demo", "--since", "nothing"], ["--layer", "7", "demo"]], ids=" ".join
)
def test_unknown_names_are_not_found(dataroot_path: Path, arguments: list[str]) -> None:
    """A name or layer that is not there exits with 3, and writes nothing."""
    found = run_bytes(dataroot_path, "export", *arguments)
    assert (found.code, found.stdout) == (3, b"")
