"""`layerfs verify` on graph roots: sound ones give nothing, and every change is found and named."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import layerfs
from tests.support.graphroots import GraphRootFiles
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.root

IMAGES = {
    "podman-4.3-rootful": ("docker.io/library/multi:1", 8),
    "podman-4.3-rootless-native": ("docker.io/library/multi:1", 3),
    "podman-4.3-rootless-fuse": ("docker.io/library/multi:1", 3),
    "podman-5.8-composefs": ("localhost:5057/chunked:1", 3),
    "podman-5.8-zstd-chunked": ("localhost:5057/chunked:1", 3),
}
"""Of every sample an image of several layers, and how many layers there are in all."""

TREES = [name for name in IMAGES if "composefs" not in name]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, GraphRootFiles]:
    """Every sample, which a test may change and puts back."""
    place = tmp_path_factory.mktemp("verify")
    return {name: GraphRootFiles(unpack_sample(name, place / name)) for name in IMAGES}


@contextmanager
def mended(store: GraphRootFiles) -> Iterator[None]:
    """Put a root back afterwards, byte for byte."""
    away = store.path.with_name(store.path.name + ".away")
    subprocess.run(["cp", "-a", store.path, away], check=True)
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", store.path], check=True)
        away.rename(store.path)


def found(store: GraphRootFiles, *arguments: str) -> list[dict[str, Any]]:
    """The findings for some names, or for all, as rows; the exit code is checked."""
    result = layerfs(store.path, "verify", "--jobs", "1", *(arguments or ("--all",)), "--format", "json")
    rows: list[dict[str, Any]] = result.json
    assert result.code == (1 if any(row["severity"] == "error" for row in rows) else 0), result
    return rows


def said(rows: list[dict[str, Any]], store: GraphRootFiles) -> list[tuple[str, str]]:
    """Codes and paths below the root."""
    return [(row["code"], row["path"].removeprefix(f"{store.path}/")) for row in rows]


@pytest.mark.parametrize("name", IMAGES)
def test_sound_roots_have_no_finding(samples: Mapping[str, GraphRootFiles], name: str) -> None:
    """Of real roots every layer is proven, and nothing is found, strictly; of one image too."""
    image, layers = IMAGES[name]
    for arguments, count in ((["--all"], layers), ([image], 3), ([f"{image}@1"], 1)):
        done = layerfs(samples[name].path, "verify", "--strict", "--jobs", "1", *arguments)
        assert (done.code, "0 errors, 0 warnings, 0 notes" in done.stdout) == (0, True), done
        assert f"content of {count} layer{'s' * (count > 1)} proven" in done.stdout


def test_several_stores(tmp_path: Path) -> None:
    """The tars of an image store are kept in the graph root; without it they cannot be compared."""
    top = unpack_sample("podman-5.8-imagestore", tmp_path)
    for words in (["graphroot", "imagestore"], ["imagestore", "graphroot"],
                  ["graphroot-additional", "imagestore", "graphroot"]):  # fmt: skip
        more = [word for name in words[1:] for word in ("--additional-store", str(top / name))]
        done = layerfs(top / words[0], *more, "verify", "--all", "--strict", "--jobs", "1")
        assert (done.code, done.stderr) == (0, ""), done
        assert "1 image, 3 layers: 0 errors, 0 warnings, 0 notes; content of 3 layers proven" in done.stdout
    store = GraphRootFiles(top / "imagestore")
    assert {code for code, _ in said(found(store), store)} == {"tar-split-missing"}


# -- files ---------------------------------------------------------------------------------------


def _touched(path: Path, change: Callable[[Path], object]) -> None:
    """Change a file, and give it and its directory the times they had."""
    status = (path if path.exists() else path.parent).stat()
    times = status.st_mtime_ns, path.parent.stat().st_mtime_ns
    existed = path.exists()
    change(path)
    for changed, mtime in zip((path, path.parent), times, strict=True):
        if changed.exists():
            os.utime(changed, ns=(mtime, mtime))
            if not existed and changed == path:
                os.chown(path, status.st_uid, status.st_gid)


def _flip(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def _as_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _as_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("/etc/passwd")


def _as_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


CHANGES: Mapping[str, tuple[Callable[[Path], object], str, str]] = {
    "content": (lambda fs: _touched(fs / "etc/motd", _flip), "content-altered", "etc/motd"),
    "size": (
        lambda fs: _touched(fs / "etc/motd", lambda file: file.write_bytes(b"x")), "size-altered", "etc/motd"
    ),
    "nothing in it": (
        lambda fs: _touched(fs / "etc/motd", lambda file: os.truncate(file, 0)), "size-altered", "etc/motd"
    ),
    "gone": (lambda fs: _touched(fs / "etc/motd", lambda file: file.unlink()), "entry-missing", "etc/motd"),
    "extra": (lambda fs: _touched(fs / "etc/new", lambda file: file.touch()), "entry-extra", "etc/new"),
    "mode": (lambda fs: (fs / "etc/motd").chmod(0o4755), "mode-altered", "etc/motd"),
    "owner": (lambda fs: os.chown(fs / "etc/motd", 1, 2), "owner-altered", "etc/motd"),
    "time": (lambda fs: os.utime(fs / "etc/motd", (5, 5)), "mtime-altered", "etc/motd"),
    "attribute": (lambda fs: os.setxattr(fs / "etc/motd", "user.new", b"1"), "xattr-extra", "etc/motd"),
    "type": (lambda fs: _touched(fs / "etc/motd", _as_directory), "type-altered", "etc/motd"),
    "pipe": (
        lambda fs: _touched(fs / "etc/motd", _as_pipe),
        "type-altered", "etc/motd",
    ),
    "root": (lambda fs: fs.chmod(0o711), "root-altered", ""),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", TREES)
def test_a_changed_entry_is_named(
    samples: Mapping[str, GraphRootFiles], name: str, change: str, tmp_path: Path
) -> None:
    """One change to the files of a layer is one finding, with the path on disk, in every form."""
    store, (act, code, path) = samples[name], CHANGES[change]
    image, _ = IMAGES[name]
    layer = store.stack(store.image(image)["layer"])[1]
    tree = store.directory(layer) / "diff"
    away = tmp_path / "away"
    subprocess.run(["cp", "-a", tree, away], check=True)
    try:
        act(tree)
        rows = found(store, image)
    finally:
        subprocess.run(["rm", "-rf", tree], check=True)
        away.rename(tree)
    assert said(rows, store) == [(code, f"overlay/{layer}/diff{'/' * bool(path)}{path}")]
    assert rows[0]["subject"].startswith("layer sha256:")


def _marks(fs: Path) -> Iterator[Path]:
    """The whiteouts of a layer, and its opaque directories, in whichever form."""
    for path in fs.rglob("*"):
        status = path.lstat()
        is_device = stat.S_ISCHR(status.st_mode) and not status.st_rdev
        is_opaque = stat.S_ISDIR(status.st_mode) and any("opaque" in name for name in os.listxattr(path))
        if is_device or is_opaque or path.name.startswith(".wh."):
            yield path


def _unmark(path: Path) -> None:
    """Take back a deletion."""
    time = path.parent.stat().st_mtime_ns
    if path.is_dir():
        for name in os.listxattr(path):
            os.removexattr(path, name)
    else:
        path.unlink()
    os.utime(path.parent, ns=(time, time))


@pytest.mark.parametrize("name", TREES)
def test_every_lost_mark_is_named(samples: Mapping[str, GraphRootFiles], name: str) -> None:
    """A whiteout that is gone, or an opaque mark, lets what it hid show again; one more hides something."""
    store = samples[name]
    image, _ = IMAGES[name]
    layer = store.stack(store.image(image)["layer"])[1]
    tree = store.directory(layer) / "diff"
    marks = sorted(_marks(tree))
    assert len(marks) >= 2
    for number in range(len(marks)):
        with mended(store):
            _unmark(marks[number])
            rows = found(store, image)
        assert {row["code"] for row in rows} <= {"whiteout-missing", "opaque-missing"}, (marks[number], rows)
        assert len(rows) == 1, (marks[number], rows)


@pytest.mark.parametrize("name", TREES)
def test_a_further_mark_is_named(samples: Mapping[str, GraphRootFiles], name: str) -> None:
    """A whiteout that no header names is found, whatever form it has."""
    store = samples[name]
    image, _ = IMAGES[name]
    tree = store.directory(store.stack(store.image(image)["layer"])[1]) / "diff"
    with mended(store):
        time = (tree / "etc").stat().st_mtime_ns
        if "fuse" in name:
            (tree / "etc/.wh.other").touch()
        else:
            os.mknod(tree / "etc/other", stat.S_IFCHR, 0)
        os.utime(tree / "etc", ns=(time, time))
        assert [row["code"] for row in found(store, image)] == ["whiteout-extra"]


# -- objects -------------------------------------------------------------------------------------


@pytest.fixture
def pool(samples: Mapping[str, GraphRootFiles]) -> Iterator[tuple[GraphRootFiles, Path]]:
    """A composefs root, and a layer's directory in it."""
    store = samples["podman-5.8-composefs"]
    with mended(store):
        yield store, store.directory(store.stack(store.records(store.images_file)[0]["layer"])[-1])


def _objects(layer: Path) -> list[Path]:
    return sorted(path for path in (layer / "diff").glob("??/*") if path.stat().st_size)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_flip, "object-altered"),
        (lambda path: os.truncate(path, 0), "object-altered"),
        (lambda path: path.unlink(), "object-missing"),
        (_as_pipe, "unreadable"),
        (_as_link, "unreadable"),
    ],
)
def test_objects(pool: tuple[GraphRootFiles, Path], change: Callable[[Path], object], code: str) -> None:
    """Each object must hash to its name."""
    store, layer = pool
    path = _objects(layer)[0]
    change(path)
    done = layerfs(store.path, "verify", "--all", "--jobs", "1", "--format", "json")
    assert said(done.json, store) == [(code, str(path.relative_to(store.path)))]
    assert done.code == 1


TOC = "=enN0ZC1jaHVua2VkLW1hbmlmZXN0"


def _entry(change: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Change the first entry that has what is changed."""

    def act(toc: dict[str, Any]) -> None:
        kind = "symlink" if "linkName" in change else "reg"
        next(item for item in toc["entries"] if item["type"] == kind).update(change)

    return act


@pytest.mark.parametrize(
    "change",
    [
        _entry({"mode": 0o4755}), _entry({"uid": 7}), _entry({"linkName": "/etc/shadow"}),
        _entry({"modtime": "2001-01-01T00:00:00Z"}), _entry({"xattrs": {"user.a": "Yg=="}}),
        lambda toc: toc["entries"].pop(),
    ],
)  # fmt: skip
def test_tables_of_contents(
    pool: tuple[GraphRootFiles, Path], change: Callable[[dict[str, Any]], object]
) -> None:
    """What the engine makes its tree of must say what the headers say."""
    store, layer = pool
    path = store.path / "overlay-layers" / layer.name / TOC
    toc = json.loads(path.read_bytes())
    change(toc)
    path.write_text(json.dumps(toc))
    rows = found(store)
    assert {row["code"] for row in rows} == {"toc-altered"}
    assert all(row["path"].startswith(str(path)) for row in rows)


# -- records -------------------------------------------------------------------------------------


def _edit_image(change: Callable[[dict[str, Any]], object]) -> Callable[[GraphRootFiles, str], None]:
    def act(store: GraphRootFiles, image: str) -> None:
        store.edit(store.images_file, lambda rows: [change(row) for row in rows if row["id"] == image])

    return act


def _edit_layer(change: Callable[[dict[str, Any]], object]) -> Callable[[GraphRootFiles, str], None]:
    def act(store: GraphRootFiles, image: str) -> None:
        top = store.image(image)["layer"]
        store.edit(store.layers_file, lambda rows: [change(row) for row in rows if row["id"] == top])

    return act


RECORDS: Mapping[str, tuple[Callable[[GraphRootFiles, str], object], set[str]]] = {
    "digest of a document": (
        _edit_image(lambda row: row["big-data-digests"].update(manifest="sha256:" + "0" * 64)),
        {"document-altered"},
    ),
    "size of a document": (
        _edit_image(lambda row: row["big-data-sizes"].update(manifest=5)), {"document-size-wrong"}
    ),
    "a document": (
        lambda store, image: store.big_data(image, "manifest").write_bytes(b"{}"), {"document-altered"}
    ),
    "an empty document": (
        lambda store, image: os.truncate(store.big_data(image, "manifest"), 0), {"document-altered"}
    ),
    "no document": (lambda store, image: store.big_data(image, "manifest").unlink(), {"document-missing"}),
    "config": (
        lambda store, image: store.big_data(image, f"sha256:{image}").write_bytes(b"{}"), {"config-altered"}
    ),
    "no config": (
        lambda store, image: store.big_data(image, f"sha256:{image}").unlink(), {"config-missing"}
    ),
    "other layer": (_edit_image(lambda row: row.pop("layer")), {"image-layer-missing"}),
    "size of a layer": (_edit_layer(lambda row: row.update({"diff-size": 7})), {"size-wrong"}),
    "diff ID of a layer": (
        _edit_layer(lambda row: row.update({"diff-digest": "sha256:" + "0" * 64})),
        {"chain-wrong", "layer-id-other", "tar-split-altered"},
    ),
    "parent of a layer": (
        _edit_layer(lambda row: row.pop("parent")), {"chain-wrong", "layer-id-other", "lower-wrong"}
    ),
    "a parent that is not there": (
        _edit_layer(lambda row: row.update(parent="0" * 64)),
        {"layer-missing", "layer-id-other", "parent-missing"},
    ),
    "digest of the blob": (
        _edit_layer(lambda row: row.update({"compressed-diff-digest": "sha256:" + "0" * 64})), set()
    ),
    "size of the blob": (_edit_layer(lambda row: row.update({"compressed-size": 7})), set()),
}  # fmt: skip
"""What is changed, and the codes of all that is found."""


@pytest.mark.parametrize("name", RECORDS)
def test_records(samples: Mapping[str, GraphRootFiles], name: str) -> None:
    """Each wrong record is found; what is said of the blob that was applied last proves nothing."""
    store, (change, codes) = samples["podman-4.3-rootful"], RECORDS[name]
    image = store.image("docker.io/library/multi:1")["id"]
    with mended(store):
        change(store, image)
        rows = found(store)
    assert {row["code"] for row in rows} == codes, rows


@pytest.mark.parametrize("name", ["podman-5.8-composefs", "podman-5.8-zstd-chunked"])
def test_digest_of_the_table_is_not_judged(samples: Mapping[str, GraphRootFiles], name: str) -> None:
    """It is that of the packed table, of which nothing is kept; a layer known by it alone is proven."""
    store = samples[name]

    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if "toc-digest" in row:
                row["toc-digest"] = "sha256:" + "1" * 64
                del row["diff-digest"]
                del row["diff-size"]

    with mended(store):
        store.edit(store.layers_file, change)
        assert {row["code"] for row in found(store)} == {"layer-id-other"}
        assert "content of 3 layers proven" in layerfs(store.path, "verify", "--all").stdout
