"""One image in every form: the commands say of an archive what they say of the data root it came from.

The forms are written by `export`, which is proven against Engines elsewhere, and by skopeo.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support import archives
from tests.support.command import configs, layer_files, layerfs, run_bytes
from tests.support.snapshot import Snapshot, diff_snapshots, snapshot, without_ghosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

IMAGES = ("demo:1.0", "lab/whiteouts:1", "lab/opaque:1", "lab/links:1")
FORMS = (
    "docker-archive",
    "docker-archive, compressed whole",
    "OCI layout",
    "OCI layout of gzip",
    "OCI layout in a tar",
    pytest.param("dir by skopeo", marks=pytest.mark.skopeo),
)
SKOPEO = "dir by skopeo"

pytestmark = pytest.mark.root


class Form(NamedTuple):
    """An archive, and whether it holds the names of its images."""

    path: Path
    named: bool


class Forms:
    """Archives of `IMAGES`, each made when it is first asked for; of skopeo's, `demo:1.0` alone."""

    def __init__(self, dataroot: Path, place: Path) -> None:
        self._dataroot = dataroot
        self._place = place
        self._makers: Mapping[str, Callable[[Path], None]] = {
            "docker-archive": self._export,
            "docker-archive, compressed whole": self._compress,
            "OCI layout": lambda path: self._export(path, "--format", "oci"),
            "OCI layout of gzip": lambda path: self._export(path, "--format", "oci", "--compress", "gzip"),
            "OCI layout in a tar": lambda path: self._export(path, "--format", "oci"),
            SKOPEO: self._copy,
        }

    def __getitem__(self, name: str) -> Form:
        path = self._place / name
        if not path.exists():
            self._makers[name](path)
        return Form(path, name != SKOPEO)

    def _export(self, path: Path, *arguments: str) -> None:
        directory = path.name in ("OCI layout", "OCI layout of gzip")
        target = f"{path}/" if directory else str(path)
        done = layerfs(self._dataroot, "export", *arguments, "-o", target, *IMAGES)
        assert (done.code, done.stderr) == (0, "")

    def _compress(self, path: Path) -> None:
        path.write_bytes(gzip.compress(self["docker-archive"].path.read_bytes(), mtime=0))

    def _copy(self, path: Path) -> None:
        source = f"docker-archive:{self['docker-archive'].path}:{IMAGES[0]}"
        command = ["skopeo", "--insecure-policy", "copy", "--quiet", source, f"dir:{path}"]
        subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def forms(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forms]:
    """Every form of the images, read with a cache of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAYERFS_CACHE_DIR", str(tmp_path_factory.mktemp("cache") / "layerfs"))
        yield Forms(dataroot_path, tmp_path_factory.mktemp("forms"))


@pytest.fixture(scope="module")
def demo(dataroot_path: Path) -> str:
    """The ID of `demo:1.0`, as the data root's own files have it."""
    rows = json.loads((dataroot_path / "image/overlay2/repositories.json").read_text())
    return str(rows["Repositories"]["demo"]["demo:1.0"])


# -- the same answers ------------------------------------------------------------------------------

OF_THE_STORE = {
    *("cache_id", "link", "directory", "backing_path", "inode", "blocks", "atime", "ctime", "device"),
    *(
        "images",
        "containers",
        "image_ids",
        "image_id",
        "visible_in",
        "hidden_in",
        "blob_size",
        "distribution",
        "name",
        "buildkit",
    ),
}
"""What depends on where an image lies, and on what else lies there."""

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("history",),
    ("layers",),
    ("chain-id",),
    ("ls", "/etc"),
    ("ls", "--layers", "/"),
    ("tree",),
    ("tree", "--layer", "5"),
    ("stat", "/etc/motd", "/opt/app/run"),
    ("find",),
    ("find", "--deleted"),
    ("diff", "--ignore", "mtime"),
    ("blame", "-R"),
    ("blame", "/etc/motd"),
    ("deleted",),
    ("waste",),
    ("hashes",),
    ("hashes", "--all-versions"),
    ("whois",),
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_answer_is_that_of_the_root(
    dataroot_path: Path, forms: Forms, demo: str, form: str, command: tuple[str, ...]
) -> None:
    """As JSON, but for what depends on the store; not empty, and without a complaint."""
    name, *arguments = command
    words = (name, "--format", "json", demo, *arguments)
    expected, found = layerfs(dataroot_path, *words), layerfs(forms[form].path, *words)
    assert (found.code, found.stderr) == (expected.code, expected.stderr)
    assert expected.stderr == ""
    assert _comparable(expected.json)
    assert _comparable(found.json) == _comparable(expected.json)


def _comparable(value: Any) -> Any:
    """JSON without what depends on the store.

    In a layer's tar a root has no header, and so no time, and a whiteout one in whole seconds.
    """
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if not isinstance(value, dict):
        return value
    timeless = value.get("path") == "/" or value.get("name") == "/" or value.get("marks") == ["whiteout"]
    dropped = OF_THE_STORE | ({"mtime"} if timeless else set())
    return {key: _comparable(item) for key, item in value.items() if key not in dropped}


@pytest.mark.parametrize("form", FORMS)
def test_times_of_files_are_those_of_the_root(
    dataroot_path: Path, forms: Forms, demo: str, form: str
) -> None:
    """`timeline` has each change of content of each file in each layer, and each step of the build."""

    def events(path: Path) -> set[tuple[Any, ...]]:
        rows = layerfs(path, "timeline", "--format", "json", demo).json
        kept = [row for row in rows if row["path"] != "/" and row["event"] in ("file", "step")]
        return {
            (row["time_ns"] // 10**9, row["event"], row["path"], row["layer"], row["state"], row["command"])
            for row in kept
            if row["event"] == "step" or "m" in row["macb"]
        }

    expected = events(dataroot_path)
    assert {event for _, event, *_ in expected} == {"file", "step"}
    assert events(forms[form].path) == expected


@pytest.mark.parametrize("form", FORMS)
def test_images_are_listed(dataroot_path: Path, forms: Forms, form: str) -> None:
    """With names, IDs, times and sizes; of a form without names, the one image without them."""
    keys = ("repository", "tag", "id", "created", "size")
    here = forms[form]

    def rows(path: Path) -> dict[str, tuple[Any, ...]]:
        listed = layerfs(path, "images", "--format", "json").json
        return {f"{row['repository']}:{row['tag']}": tuple(row[key] for key in keys) for row in listed}

    everything = rows(dataroot_path)
    if here.named:
        assert rows(here.path) == {name: everything[name] for name in IMAGES}
    else:
        [row] = rows(here.path).values()
        assert row == (None, None, *everything[IMAGES[0]][2:])


@pytest.mark.parametrize("form", FORMS)
def test_the_config_is_shown(dataroot_path: Path, forms: Forms, demo: str, form: str) -> None:
    """`inspect` has the config's own fields, and the layers' diff IDs."""
    expected, [found] = configs(dataroot_path)[demo], layerfs(forms[form].path, "inspect", demo).json
    assert found["Id"] == demo
    assert (found["Created"], found["Architecture"]) == (expected["created"], expected["architecture"])
    assert found["Config"]["Env"] == expected["config"]["Env"]
    assert found["Config"]["Labels"] == expected["config"]["Labels"]
    assert found["RootFS"]["Layers"] == expected["rootfs"]["diff_ids"]


@pytest.mark.parametrize("form", FORMS)
def test_contents_are_those_of_the_root(
    dataroot_path: Path, forms: Forms, demo: str, form: str, tmp_path: Path
) -> None:
    """`cat` of a path and of a deleted file, and all of a tree by `cp`."""
    here = forms[form].path
    for words in (("cat", demo, "/bin/fx"), ("cat", f"{demo}@3", "/root/password.txt")):
        expected = run_bytes(dataroot_path, *words)
        assert run_bytes(here, *words) == expected
        assert expected.stdout
    for path, target in ((dataroot_path, "theirs"), (here, "ours")):
        assert layerfs(path, "cp", f"{demo}:/etc", str(tmp_path / target)).code == 0
    theirs, ours = snapshot(tmp_path / "theirs"), snapshot(tmp_path / "ours")
    assert diff_snapshots(_whole_seconds(theirs), _whole_seconds(ours)) == []


@pytest.mark.parametrize("form", [form for form in FORMS if isinstance(form, str)])
@pytest.mark.parametrize("image", IMAGES)
def test_a_root_is_compared_with_itself(forms: Forms, form: str, image: str) -> None:
    """`diff` of an image and itself finds nothing, `changes` something in each layer that has files."""
    here = forms[form].path
    assert layerfs(here, "diff", image, image).code == 0
    counts = layerfs(here, "changes", "--format", "json", image)
    assert counts.code == 0
    assert counts.json[0]["added"] > 0


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_intact(forms: Forms, demo: str, form: str) -> None:
    """`verify` finds nothing."""
    done = layerfs(forms[form].path, "verify", "--format", "json", demo)
    assert (done.code, done.stderr) == (0, "")


# -- export from any form to any -------------------------------------------------------------------


@pytest.mark.parametrize("target", ["docker-archive", "oci"])
@pytest.mark.parametrize("form", FORMS)
def test_export_keeps_every_digest(
    dataroot_path: Path, forms: Forms, demo: str, form: str, target: str
) -> None:
    """The config is byte for byte that of the data root, and the layers have the sha256 that it says."""
    done = run_bytes(forms[form].path, "export", "--format", target, demo)
    assert (done.code, done.stderr) == (0, "")
    index = archives.document(done.stdout, "index.json")
    manifest = archives.document(done.stdout, _member(index["manifests"][0]["digest"]))
    contents = {member.name: content for member, content in archives.members(done.stdout)}
    config = contents[_member(manifest["config"]["digest"])]
    assert f"sha256:{hashlib.sha256(config).hexdigest()}" == demo
    expected = configs(dataroot_path)[demo]["rootfs"]["diff_ids"]
    blobs = [contents[_member(layer["digest"])] for layer in manifest["layers"]]
    assert [_diff_id(blob) for blob in blobs] == expected
    for layer, blob in zip(manifest["layers"], blobs, strict=True):
        assert layer["digest"] == f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _member(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _diff_id(blob: bytes) -> str:
    plain = gzip.decompress(blob) if blob.startswith(b"\x1f\x8b") else blob
    return f"sha256:{hashlib.sha256(plain).hexdigest()}"


@pytest.mark.parametrize("form", FORMS)
def test_a_layer_is_exported_as_its_tar(dataroot_path: Path, forms: Forms, demo: str, form: str) -> None:
    """Each layer's tar hashes to the diff ID that the data root's own files have."""
    known = {files["diff"] for files in layer_files(dataroot_path).values()}
    diff_ids = configs(dataroot_path)[demo]["rootfs"]["diff_ids"]
    for number, diff_id in enumerate(diff_ids, 1):
        done = run_bytes(forms[form].path, "export", "--layer", str(number), demo)
        assert (done.code, done.stderr) == (0, "")
        assert f"sha256:{hashlib.sha256(done.stdout).hexdigest()}" == diff_id
        assert diff_id in known


# -- what an archive has not -----------------------------------------------------------------------


@pytest.mark.parametrize("command", ["containers", "du", "doctor", "system df", "images --usage"])
@pytest.mark.parametrize("form", ["docker-archive", "OCI layout"])
def test_what_it_has_not_is_said(forms: Forms, form: str, command: str) -> None:
    """In one sentence that names the archive, with exit code 4."""
    here = forms[form].path
    done = layerfs(here, *command.split())
    why = "it has no containers" if command == "containers" else f"layerfs {command} does not support it"
    assert (done.code, done.stdout) == (4, "")
    assert done.stderr == f"layerfs: error: {here}: an archive: {why}\n"


def test_duplicates_name_layers_without_a_cache_id(forms: Forms) -> None:
    """A layer of several images is called by its chain ID where it has no directory of an engine."""
    here = forms["docker-archive"].path
    done = layerfs(here, "waste", "--all", "--duplicates")
    assert (done.code, done.stderr) == (0, "")
    layers = layerfs(here, "layers", "--format", "json").json
    shared = {row["chain_id"].partition(":")[2][:12] for row in layers}
    named = re.findall(r" ([0-9a-f]{12}):/", done.stdout)
    assert named
    assert set(named) <= shared


@pytest.mark.parametrize("form", ["docker-archive", "OCI layout"])
def test_versions_are_named_by_their_member(dataroot_path: Path, forms: Forms, demo: str, form: str) -> None:
    """`hashes --all-versions` has the member of the layer and the path in it, without the archive's path."""
    done = layerfs(forms[form].path, "hashes", "--all-versions", demo, "/etc/motd")
    diff_ids = configs(dataroot_path)[demo]["rootfs"]["diff_ids"]
    assert sorted(line.split("  ")[1] for line in done.stdout.splitlines()) == sorted(
        f"./{_member(diff_ids[number - 1])}/etc/motd" for number in (2, 4)
    )


# -- mounted ---------------------------------------------------------------------------------------


@pytest.mark.fuse
@pytest.mark.kernel
@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("form", ["docker-archive, compressed whole", "OCI layout of gzip"])
def test_a_mount_is_what_the_kernel_shows(
    mounted_by_kernel: Callable[[str], AbstractContextManager[Path]],
    forms: Forms,
    tmp_path: Path,
    form: str,
    image: str,
) -> None:
    """Names, types, modes, owners, sizes, times, contents, links: all as overlayfs mounts the data root's."""
    with mounted_by_kernel(image) as top:
        expected = without_ghosts(snapshot(top))
    place = tmp_path / "mnt"
    place.mkdir()
    assert layerfs(forms[form].path, "mount", image, str(place)).code == 0
    try:
        found = snapshot(place)
    finally:
        assert layerfs(forms[form].path, "umount", str(place)).code == 0
    assert diff_snapshots(_whole_seconds(expected), _whole_seconds(found)) == []


def _whole_seconds(entries: Snapshot) -> Snapshot:
    """With times as a tar's plain header has them; the root has no header in a layer's tar."""
    return {
        path: replace(entry, mtime_ns=entry.mtime_ns // 10**9 * 10**9 if path else 0)
        for path, entry in entries.items()
    }
