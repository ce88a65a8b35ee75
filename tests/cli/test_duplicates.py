"""`layerfs waste --duplicates` against sha256 of every file, and what it reads to find them."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections import Counter, defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from layerfs import DataRoot
from layerfs.analysis.tree.duplicates import Duplicates
from tests.support.command import forget_image, layerfs
from tests.support.layerspec import Dir, File, LayerSpec, Link, Meta, materialise
from tests.support.opens import Opens
from tests.support.places import Places
from tests.support.processes import Running
from tests.support.rootbuilder import BuiltLayer, RootBuilder
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from io import FileIO
    from pathlib import Path

    from layerfs.analysis.tree.duplicates import Group
    from layerfs.errors import LayerfsError

pytestmark = pytest.mark.root


def _duplicates(root: Path, *arguments: str) -> dict[str, Any]:
    found = layerfs(root, "waste", "--duplicates", "--format", "json", *arguments)
    assert (found.code, found.stderr) == (0, "")
    return dict(found.json)


def _files(top: str) -> Iterator[tuple[str, os.stat_result]]:
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            found = os.lstat(path)
            if stat.S_ISREG(found.st_mode) and found.st_size:
                yield path, found


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _brute_force(tops: Iterable[str]) -> dict[str, set[tuple[int, int]]]:
    """The inodes of each content that several inodes have: every file is read."""
    found: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)
    for top in tops:
        for path, status in _files(top):
            found[_sha256(path)].add((status.st_dev, status.st_ino))
    return {digest: copies for digest, copies in found.items() if len(copies) > 1}


def _inodes(root: Path, group: dict[str, Any]) -> set[tuple[int, int]]:
    """The inodes a group names."""
    found = set()
    for file in group["files"]:
        for path in (file["path"], *file["links"]):
            status = os.lstat(
                f"{root}/overlay2/{file['cache_id']}/diff{path}".encode("utf-8", "surrogateescape")
            )
            found.add((status.st_dev, status.st_ino))
    return found


def _directories(root: Path, *names: str) -> dict[str, str]:
    """The `diff/` of every layer of some images, or of all, by cache ID."""
    data = DataRoot.open(root)
    images = [data.image(name) for name in names] or data.images()
    layers = {layer.cache_id for image in images for layer in data.chain(image)}
    return {cache_id: str(root / "overlay2" / cache_id / "diff") for cache_id in layers}


METACOPIES = ("lab/metacopy:1",)
"""Its attribute-only files are no content of their own; sha256 of what lies in `diff/` cannot know."""


# -- what is found -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "image", ["demo", "buildkit", "lab/hundred", "lab/opaque:1", "lab/links:1", "committed:1"]
)
def test_groups_of_an_image_are_those_of_sha256(dataroot_path: Path, image: str) -> None:
    """The groups are those that sha256 of every file of every layer gives, each with all its copies."""
    found = _duplicates(dataroot_path, "--top", "0", image)
    expected = _brute_force(_directories(dataroot_path, image).values())
    assert {group["sha256"]: _inodes(dataroot_path, group) for group in found["groups"]} == expected
    assert found["copies"] == sum(len(copies) - 1 for copies in expected.values())


def test_groups_of_the_root_are_those_of_sha256(copy: Path) -> None:
    """The same over the layers of all images, each layer once, and the sums are right."""
    root = copy
    for name in METACOPIES:
        layerfs_image = DataRoot.open(root).image(name)
        forget_image(root, layerfs_image.id)
    found = _duplicates(root, "--top", "0", "--all")
    directories = _directories(root)
    expected = _brute_force(directories.values())
    assert {group["sha256"]: _inodes(root, group) for group in found["groups"]} == expected
    inodes = {
        (item.st_dev, item.st_ino): item.st_size for top in directories.values() for _, item in _files(top)
    }
    assert (found["files"], found["stored"]) == (len(inodes), sum(inodes.values()))
    for group in found["groups"]:
        assert group["saved"] == group["size"] * (group["copies"] - 1)
    assert [group["saved"] for group in found["groups"]] == sorted(
        (group["saved"] for group in found["groups"]), reverse=True
    )
    assert found["saved"] == sum(group["saved"] for group in found["groups"])


@pytest.mark.kernel
def test_an_unlayered_image_duplicates_what_its_mount_does(
    dataroot_path: Path, mounted_by_kernel: Callable[[str], AbstractContextManager[Path]]
) -> None:
    """Contents that the kernel's mount of an image has several times are groups."""
    found = {group["sha256"]: group["copies"] for group in _duplicates(dataroot_path, "demo")["groups"]}
    with mounted_by_kernel("demo") as merged:
        shown = {digest: len(copies) for digest, copies in _brute_force([str(merged)]).items()}
    assert shown
    assert all(found[digest] >= copies for digest, copies in shown.items())


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, list[BuiltLayer]]:
    """Two images on one base: equal files in a layer, across layers, and across images."""
    builder = RootBuilder(tmp_path / "root")
    base = LayerSpec(
        Dir({b"one": Link(0), b"two": Link(0), b"three": File(b"content"), b"other": File(b"CONTENT")}),
        (File(b"content"),),
    )
    specs = [
        LayerSpec(Dir({b"d": Dir({b"four": File(b"content", meta=Meta(0o600, 7))})})),
        LayerSpec(Dir({b"five": File(b"content"), b"hole": File(hole=7), b"zeros": File(b"\0" * 7)})),
    ]
    bottom = builder.layer(None, lambda directory: materialise(base, directory))
    tops = [
        builder.layer(bottom, lambda directory, spec=spec: materialise(spec, directory))  # type: ignore[misc]
        for spec in specs
    ]
    for number, top in enumerate(tops, 1):
        builder.image(top, f"app:{number}")
    return builder.finish(), [bottom, *tops]


def _paths(found: dict[str, Any], content: bytes) -> list[tuple[str, list[str]]]:
    digest = hashlib.sha256(content).hexdigest()
    (group,) = [group for group in found["groups"] if group["sha256"] == digest]
    return [(file["path"], file["links"]) for file in group["files"]]


def test_hard_links_are_one_copy(built: tuple[Path, list[BuiltLayer]]) -> None:
    """An inode of two names is one copy that has both; whatever the attributes, content alone counts."""
    root, _ = built
    found = _duplicates(root, "app:1")
    assert _paths(found, b"content") == [("/one", ["/two"]), ("/three", []), ("/d/four", [])]
    (group,) = found["groups"]
    assert (group["size"], group["copies"], group["saved"]) == (7, 3, 14)
    assert [file["layer"] for file in group["files"]] == [1, 1, 2]
    assert found["files"] == 4


def test_shared_layers_count_once(built: tuple[Path, list[BuiltLayer]]) -> None:
    """Over all images the shared base is there once, and says whose it is."""
    root, (base, *_) = built
    found = _duplicates(root, "--all")
    assert [path for path, _ in _paths(found, b"content")][:2] == ["/one", "/three"]
    assert sorted(path for path, _ in _paths(found, b"content")) == ["/d/four", "/five", "/one", "/three"]
    assert sorted(path for path, _ in _paths(found, b"\0" * 7)) == ["/hole", "/zeros"]
    for group in found["groups"]:
        for file in group["files"]:
            shared = file["chain_id"] == base.chain_id
            assert len(file["images"]) == (2 if shared else 1)
            assert file["layer"] is None


def test_layers_linked_on_the_host_share_already(built: tuple[Path, list[BuiltLayer]]) -> None:
    """Files of several layers that a tool made one inode are one copy: nothing is to be saved."""
    root, (base, top, _) = built
    (top.diff / "d/four").unlink()
    os.link(base.diff / "three", top.diff / "d/four")
    found = _duplicates(root, "app:1")
    assert _paths(found, b"content") == [("/one", ["/two"]), ("/three", ["/d/four"])]
    assert found["saved"] == 7


def test_min_size_and_top(built: tuple[Path, list[BuiltLayer]]) -> None:
    """Smaller files are passed over; the sums are those of all groups, whatever is shown."""
    root, _ = built
    assert _duplicates(root, "--min-size", "7", "--all")["saved"] > 0
    found = _duplicates(root, "--min-size", "8", "--all")
    assert (found["saved"], found["groups"], found["files"]) == (0, [], 0)
    every, one = _duplicates(root, "--all"), _duplicates(root, "--top", "1", "--all")
    assert one["groups"] == every["groups"][:1]
    assert one["saved"] == every["saved"] > one["groups"][0]["saved"]


def test_allocated_keeps_the_largest_copy(built: tuple[Path, list[BuiltLayer]]) -> None:
    """With --allocated a copy that is a hole saves nothing: what goes is all but the largest."""
    root, (*_, top) = built
    digest = hashlib.sha256(b"\0" * 7).hexdigest()
    (group,) = [
        item for item in _duplicates(root, "--allocated", "app:2")["groups"] if item["sha256"] == digest
    ]
    taken = [(top.diff / name).lstat().st_blocks * 512 for name in ("hole", "zeros")]
    assert group["saved"] == min(taken)


def test_attribute_only_files_have_no_content(tmp_path: Path) -> None:
    """A metacopy's zeros are no content, so they equal neither each other nor a file of zeros."""
    builder = RootBuilder(tmp_path)
    meta = Meta(xattrs={b"trusted.overlay.metacopy": b""})
    base = LayerSpec(Dir({b"a": File(b"x" * 7), b"b": File(b"y" * 7), b"zeros": File(b"\0" * 7)}))
    upper = LayerSpec(Dir({b"a": File(hole=7, meta=meta), b"b": File(hole=7, meta=meta)}))
    below = builder.layer(None, lambda directory: materialise(base, directory))
    builder.image(builder.layer(below, lambda directory: materialise(upper, directory)), "app:1")
    assert _duplicates(builder.finish(), "app:1")["groups"] == []


# -- what is read --------------------------------------------------------------------------------


@contextmanager
def _scans(root: Path) -> Iterator[Counter[str]]:
    """The directories of a data root that are listed in the block, by path."""
    places = Places(root)
    found: Counter[str] = Counter()
    listening = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if listening and event == "os.scandir" and isinstance(arguments[0], int):
            found[places.path(arguments[0])] += 1

    sys.addaudithook(hook)
    try:
        yield found
    finally:
        listening = False


def test_each_directory_of_each_layer_is_listed_once(dataroot_path: Path) -> None:
    """However many images share a layer, each of its directories is listed once, and no other layer's."""
    directories = _directories(dataroot_path)
    expected = {directory for top in directories.values() for directory, _, _ in os.walk(top)}
    with _scans(dataroot_path) as found:
        _duplicates(dataroot_path, "--all")
    listed = {path: count for path, count in found.items() if "/diff" in path}
    assert set(listed) == expected
    assert set(listed.values()) == {1}


@pytest.mark.parametrize("image", ["demo", "lab/nodes:1", "buildkit", "lab/attributes:1"])
def test_only_files_of_a_size_that_occurs_twice_are_read_and_once(copy: Path, image: str) -> None:
    """Files of a size of their own, devices, FIFOs and sockets are never opened; the others once an inode."""
    root = copy
    tops = list(_directories(root, image).values())
    sizes: defaultdict[int, dict[int, str]] = defaultdict(dict)
    for top in tops:
        for path, found in _files(top):
            sizes[found.st_size].setdefault(found.st_ino, path)
    candidates = {ino for same in sizes.values() if len(same) > 1 for ino in same}
    watch = Opens(tops)
    _duplicates(root, image)
    opened = watch.opened()
    by_inode = Counter({os.lstat(path).st_ino: count for path, count in opened.items()})
    assert set(by_inode) == candidates
    assert set(by_inode.values()) <= {1}


# -- what goes wrong -----------------------------------------------------------------------------


def _search(
    layers: Sequence[Path], between: Callable[[], object], problems: list[LayerfsError] | None = None
) -> list[Group]:
    """Search, and do something when all layers were listed and no file was read."""
    sources = union_of(layers).layers
    search = Duplicates(
        [lambda source=source: source for source in sources],  # type: ignore[misc]
        problem=None if problems is None else problems.append,
    )
    listed: list[int] = []

    def told(part: str, amount: int, total: int) -> None:
        if part == "listing":
            listed.append(amount)
            if len(listed) == total:
                between()

    groups = search.search(told)
    assert len(listed) == len(layers)
    return groups


@pytest.mark.parametrize("event", ["gone", "fifo", "link", "longer", "shorter"])
def test_file_that_changes_meanwhile_is_left_out(tmp_path: Path, event: str) -> None:
    """What vanished, became something else, or changed its size is named and equals nothing."""
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"same")
    victim = tmp_path / "b"

    def change() -> None:
        if event in ("longer", "shorter"):
            victim.write_bytes(b"same"[: 4 if event == "longer" else 3] + b"x" * 9 * (event == "longer"))
            return
        victim.unlink()
        if event == "fifo":
            os.mkfifo(victim)
        if event == "link":
            victim.symlink_to("/etc/passwd")

    problems: list[LayerfsError] = []
    (group,) = _search([tmp_path], change, problems)
    assert [copy.places[0].path for copy in group.copies] == [b"a", b"c"]
    assert ["/b: " in str(problem) for problem in problems] == [True]


def test_layer_that_vanishes_is_left_out(copy: Path) -> None:
    """A layer without its directory is reported and the others are compared; alone it is an error."""
    root = copy
    directories = _directories(root, "lab/hundred")
    gone = min(directories)
    os.rename(directories[gone], directories[gone] + "-gone")
    found = layerfs(root, "waste", "--duplicates", "--top", "0", "--format", "json", "--all")
    assert (found.code, gone in found.stderr) == (1, True)
    left_out = {gone, *_directories(root, *METACOPIES)}
    expected = _brute_force(path for cache_id, path in _directories(root).items() if cache_id not in left_out)
    assert expected.keys() <= {group["sha256"] for group in found.json["groups"]}
    assert layerfs(root, "waste", "--duplicates", "lab/hundred").code == 5


def test_container_has_its_own_layers_and_its_images(dataroot_path: Path) -> None:
    """In a container its own two layers are searched too, numbered on from the image's."""
    found = _duplicates(dataroot_path, "--top", "0", "changed")
    data = DataRoot.open(dataroot_path)
    container = data.container("changed")
    assert container.mount is not None
    own = [container.mount.init_id, container.mount.mount_id]
    stack = [*(layer.cache_id for layer in data.chain_of_mount(container.mount)), *own]
    tops = [str(dataroot_path / "overlay2" / str(cache_id) / "diff") for cache_id in stack]
    expected = _brute_force(tops)
    assert {group["sha256"]: _inodes(dataroot_path, group) for group in found["groups"]} == expected
    files = [file for group in found["groups"] for file in group["files"]]
    assert all(stack[file["layer"] - 1] == file["cache_id"] for file in files)
    assert len(stack) in {file["layer"] for file in files}


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    """Control bytes and bytes that are no UTF-8 reach no table, and JSON keeps them all."""
    builder = RootBuilder(tmp_path)
    names = (b"\x1b[2J\n\xff", b"\x7f")
    spec = LayerSpec(Dir({name: File(b"same") for name in names}))
    builder.image(builder.layer(None, lambda directory: materialise(spec, directory)), "app:1")
    root = builder.finish()
    table = layerfs(root, "waste", "--duplicates", "app:1").stdout
    assert "1:/\\033[2J\\n\\377" in table
    assert not {"\x1b", "\x7f"} & set(table)
    paths = [path for path, _ in _paths(_duplicates(root, "app:1"), b"same")]
    assert paths == ["/" + name.decode("utf-8", "surrogateescape") for name in sorted(names)]


def test_progress_is_for_terminals_only(dataroot_path: Path) -> None:
    """With stderr on a terminal the work shows how far it is; stdout is the same as without."""
    import pty
    import subprocess

    program = "from layerfs_cli.main import main; main()"
    command = [sys.executable, "-c", program, "--root", str(dataroot_path), "waste", "--duplicates", "--all"]
    plain = subprocess.run(command, capture_output=True, check=True)
    assert plain.stderr == b""
    master, slave = pty.openpty()
    with (
        os.fdopen(master, "rb", buffering=0) as terminal,
        Running(command, stdout=subprocess.PIPE, stderr=slave) as shown,
    ):
        os.close(slave)
        text = b"".join(_until_closed(terminal))
        assert shown.communicate()[0] == plain.stdout
    assert b"100%" in text


def _until_closed(terminal: FileIO) -> Iterator[bytes]:
    """What is written to a terminal until its last writer is gone, which is an error to its reader."""
    while True:
        try:
            yield terminal.read(1 << 16)
        except OSError:
            return
