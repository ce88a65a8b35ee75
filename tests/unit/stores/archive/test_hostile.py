"""What an attacker may put into an archive: nothing leads out of it, and nothing is without bounds."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from fixtures.archives import Layer
from layerfs.cache.options import CacheOptions
from layerfs.errors import CacheError, CorruptStore, MalformedFile, UnreadableEntry
from layerfs.formats.tarheader import BLOCK
from tests.support.layouts import Layout, as_directory, as_tar, digest, layer_of
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from layerfs.stores.archive.store import ArchiveStore

    Open = Callable[..., ArchiveStore]

SECRET = b"never to be read"
LAYER = layer_of({"a": b"a"})


def _image_of(tar: bytes) -> dict[str, bytes]:
    layout = Layout()
    layout.name(layout.image([tar], pack="plain"), "app:1")
    return layout.done()


def _config(*layers: bytes) -> bytes:
    return json.dumps(
        {"rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}}
    ).encode()


def _rows(*places: str) -> bytes:
    return json.dumps([{"Config": "c.json", "RepoTags": ["app:1"], "Layers": places}]).encode()


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../etc/passwd", "a/../../x", "/", "..", "../outer.tar"]
)
def test_links_out_of_an_archive(target: str, opened: Open) -> None:
    """A link that leads out of the archive is refused by name, wherever a member is expected."""
    for link in ("c.json", "l.tar", "manifest.json"):
        tar = Layer()
        for name, content in {
            "manifest.json": _rows("l.tar"),
            "c.json": _config(LAYER),
            "l.tar": LAYER,
        }.items():
            if name == link:
                tar.symlink(name, target)
            else:
                tar.file(name, content)
        store = opened(tar.done())
        assert {fault.path.rpartition(":")[2] for fault in store.faults()} == {link}
        if link == "l.tar":
            with pytest.raises(MalformedFile, match="leads out of the archive"):
                store.tree(store.image("app:1"))
        else:
            assert store.images() == []
            assert store.damage


@pytest.mark.parametrize("link", ["c.json", "l.tar", "manifest.json", "blobs"])
def test_links_out_of_a_directory(link: str, opened: Open, tmp_path: Path) -> None:
    """No link of a directory is followed on the host, be it the file or a directory on the way to it."""
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/l.tar").write_bytes(LAYER)
    members = {
        "manifest.json": _rows("blobs/l.tar" if link == "blobs" else "l.tar"),
        "c.json": _config(LAYER),
    }
    place = as_directory(members | {"l.tar": LAYER}, tmp_path / "layout")
    if link == "blobs":
        (place / link).symlink_to(tmp_path / "elsewhere")
    else:
        (place / link).unlink()
        (place / link).symlink_to(tmp_path / "secret")
    store = opened(place)
    assert store.images() == [] or link in ("blobs", "l.tar")
    for image in store.images():
        with pytest.raises(MalformedFile, match="link"):
            store.tree(image)
    assert list(store.faults())


def test_links_in_a_circle(opened: Open) -> None:
    """They end, and are told."""
    tar = Layer().file("manifest.json", _rows("a")).file("c.json", _config(LAYER))
    tar.symlink("a", "b").symlink("b", "a").symlink("self", "self")
    store = opened(tar.done())
    with pytest.raises(MalformedFile, match="circle"):
        store.tree(store.image("app:1"))


def test_special_files_in_a_directory_are_not_opened(opened: Open, tmp_path: Path) -> None:
    """A FIFO where a blob is expected is refused; opening it would wait for ever."""
    place = as_directory({"manifest.json": _rows("l.tar"), "c.json": _config(LAYER)}, tmp_path / "layout")
    os.mkfifo(place / "l.tar")
    store = opened(place)
    with pytest.raises(MalformedFile, match="FIFO"):
        store.tree(store.image("app:1"))


def test_names_that_climb(opened: Open) -> None:
    """Absolute names and `..`, of members and of what a layer holds, stay inside."""
    tar = layer_of({"../../etc/x": b"x", "/abs": b"y", "a/../../b": b"z"})
    store = opened({"./../manifest.json": _rows("/up/../l.tar"), "/c.json": _config(tar), "../l.tar": tar})
    found = tree_snapshot(store.tree(store.image("app:1")))
    assert {path for path in found if b"x" in path or b"abs" in path or b"b" in path} == {
        b"etc/x",
        b"abs",
        b"b",
    }


def test_odd_whiteouts_are_told(opened: Open) -> None:
    """A whiteout of nothing, one of what the same tar holds, and one sent as a hard link."""
    tar = Layer().dir("d").file("d/x", b"x").file("d/.wh.").file("d/.wh.x").link("d/.wh.y", "d/x").done()
    store = opened(_image_of(tar))
    found = tree_snapshot(store.tree(store.image()))
    assert {path for path in found if path} == {b"d", b"d/x"}
    assert len([fault for fault in store.faults() if fault.code == "tar-odd"]) == 2
    assert all("d/.wh." in str(problem) for problem in store.damage)


def test_hard_links_to_nothing(opened: Open) -> None:
    """A hard link to what only a lower layer has, or nobody, is left out, and told."""
    layout = Layout()
    layers = [layer_of({"low": b"low"}), Layer().link("up", "low").link("never", "gone").file("x").done()]
    layout.name(layout.image(layers), "app:1")
    store = opened(layout.done())
    assert {path for path in tree_snapshot(store.tree(store.image())) if path} == {b"low", b"x"}
    assert len(store.damage) == 2


def test_links_of_a_layer_are_followed_inside_it(opened: Open, tmp_path: Path) -> None:
    """A layer that unpacks through its own link to the host's files stays in memory."""
    tar = Layer().symlink("out", str(tmp_path)).file("out/planted", b"x").done()
    store = opened(_image_of(tar))
    tree_snapshot(store.tree(store.image()))
    assert not (tmp_path / "planted").exists()


def test_no_engine_file_is_made(opened: Open, tmp_path: Path) -> None:
    """Reading all of an archive makes nothing but files of the cache, all closed to others."""
    place = as_directory(_image_of(LAYER), tmp_path / "layout")
    before = sorted(place.rglob("*"))
    store = opened(place)
    tree_snapshot(store.tree(store.image()))
    list(store.faults())
    assert sorted(place.rglob("*")) == before
    for path in (tmp_path / "cache").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_bomb_is_stopped_by_its_size(opened: Open, tmp_path: Path) -> None:
    """Decompression ends at the cap, and the error names the option; what was written is gone."""
    layout = Layout()
    layout.name(layout.image([bytes(32 << 20)]), "app:1")
    options = CacheOptions(directory=str(tmp_path / "cache"), largest=1 << 20)
    store = opened(layout.done(), cache=options)
    with pytest.raises(MalformedFile, match="too large when decompressed") as caught:
        store.files.size(store.chain(store.image())[0])
    assert "--largest-layer" in str(caught.value.hint)
    with pytest.raises(MalformedFile, match="too large"):
        store.tree(store.image())
    assert list((tmp_path / "cache/blobs").iterdir()) == []


def test_a_damaged_lower_layer(opened: Open) -> None:
    """It is told when something of it is looked at, and the error says which member it is."""
    layout = Layout()
    layout.name(layout.image([layer_of({"d/low": b"low"}), layer_of({"d/up": b"up"})], pack="plain"), "app:1")
    members = layout.done()
    place = f"blobs/sha256/{digest(layer_of({'d/low': b'low'}))[7:]}"
    store = opened(members | {place: b"rubbish" * 200})
    tree = store.tree(store.image())
    with pytest.raises(UnreadableEntry, match=place):
        tree.children(tree.root)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a mebibyte."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "layerfs-test", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.kernel
@pytest.mark.parametrize("kept", [True, False])
def test_a_full_disk(kept: bool, opened: Open, small_disk: Path) -> None:  # noqa: FBT001
    """Where there is no room an error says so and names the options; what was begun is gone."""
    place = str(small_disk / "cache")
    layout = Layout()
    layout.name(layout.image([layer_of({"a": os.urandom(3 << 20)})]), "app:1")
    options = CacheOptions(directory=place if kept else None, scratch=str(small_disk))
    store = opened(layout.done(), cache=options)
    with pytest.raises(CacheError, match="No space left") as caught:
        store.files.size(store.chain(store.image())[0])
    assert "--cache-dir" in str(caught.value.hint)
    if kept:
        assert list((small_disk / "cache/blobs").iterdir()) == []


def test_documents_are_bounded(opened: Open) -> None:
    """A manifest of many mebibytes, nested indexes that multiply, and one that holds itself."""
    store = opened({"manifest.json": b"[" + b" " * (33 << 20) + b"]"})
    assert "too large" in str(store.damage[0])
    layout = Layout()
    at = layout.image([LAYER])
    for _ in range(12):
        at = layout.index([at] * 40)
    layout.name(at, "app:1")
    store = opened(layout.done())
    assert store.images() == []
    assert list(store.faults()) == []


def test_a_layer_with_too_many_headers(opened: Open) -> None:
    """Extended headers without end are refused."""
    header = tarfile.TarInfo("x")
    header.type, header.size = b"x", 17 << 20
    tar = header.tobuf() + bytes(17 << 20)
    store = opened(_image_of(tar))
    with pytest.raises(CorruptStore, match="too large"):
        store.files.size(store.chain(store.image())[0])


def test_a_layer_does_not_read_on_behind_itself(opened: Open) -> None:
    """A layer without end blocks ends where its member ends, not with what follows in the archive."""
    tar = layer_of({"a": b"a"})[: 2 * BLOCK]
    members = {"l.tar": tar, "secret": SECRET, "c.json": _config(tar), "manifest.json": _rows("l.tar")}
    store = opened(members)
    assert {path for path in tree_snapshot(store.tree(store.image())) if path} == {b"a"}
    cut = tar[:BLOCK]
    found = opened({"l.tar": cut, "c.json": _config(cut), "manifest.json": _rows("l.tar")})
    with pytest.raises(CorruptStore, match="cut off inside of a member"):
        found.files.size(found.chain(found.image())[0])


_MANY = """
import resource, sys
from layerfs.stores.archive.store import ArchiveStore
from layerfs.cache.options import CacheOptions
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
store = ArchiveStore.open(sys.argv[1], cache=CacheOptions(directory=sys.argv[2] or None, scratch=sys.argv[3]))
tree = store.tree(store.image())
names = tree.children(tree.root)
assert len(names) == 500, len(names)
for node in names.values():
    with tree.open(node) as file:
        assert file.read() == node.path[1:]
print(store.damage)
"""


@pytest.mark.parametrize("pack", ["plain", "gzip"])
@pytest.mark.parametrize("kept", [True, False])
def test_more_layers_than_descriptors(pack: str, kept: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Five hundred layers in a directory are read by a process that may open half as many files."""
    layout = Layout()
    layers = [layer_of({f"file-{number}": f"file-{number}".encode()}) for number in range(500)]
    layout.name(layout.image(layers, pack=pack), "app:1")
    place = as_directory(layout.done(), tmp_path / "layout")
    arguments = [place, tmp_path / "cache" if kept else "", tmp_path]
    done = subprocess.run(
        [sys.executable, "-c", _MANY, *arguments], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


_BYTES_AN_ENTRY = """
import resource, sys
from layerfs.stores.archive.store import ArchiveStore
store = ArchiveStore.open(sys.argv[1])
chain = store.chain(store.image("app:1"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = chain[0].size
print(size, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 // int(sys.argv[2]))
"""


def test_memory_by_the_entry(tmp_path: Path) -> None:
    """A layer takes less than a kibibyte an entry, so a million members take less than a gibibyte."""
    count = 30_000
    header = tarfile.TarInfo("x")
    pieces = []
    for number in range(count):
        header.name = f"usr/share/somewhere/{number % 300}/file-with-a-name-{number}"
        pieces.append(header.tobuf(tarfile.GNU_FORMAT))
    tar = b"".join(pieces) + bytes(1024)
    path = tmp_path / "x.tar"
    path.write_bytes(as_tar({"l.tar": tar, "c.json": _config(tar), "manifest.json": _rows("l.tar")}))
    done = subprocess.run(
        [sys.executable, "-c", _BYTES_AN_ENTRY, path, str(count)], capture_output=True, text=True, check=True
    )
    size, each = map(int, done.stdout.split())
    assert size == 0
    assert each < 1024


def test_standard_input_is_bounded(tmp_path: Path) -> None:
    """What comes from a pipe is spooled to a file without a name, and no more of it than allowed."""
    code = (
        "import sys; from layerfs.stores.archive.store import ArchiveStore\n"
        "from layerfs.cache.options import CacheOptions\n"
        "options = CacheOptions(scratch=sys.argv[1], largest=int(sys.argv[2]))\n"
        "store = ArchiveStore.open('-', cache=options)\n"
        "tree = store.tree(store.image())\n"
        "print(store.image().name, sorted(tree.children(tree.root)))\n"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "sys.exit(int(peak.split()[1]) >= 1 << 20)"
    )
    layout = Layout()
    layout.name(layout.image([LAYER]), "docker.io/library/app:1")
    tar = as_tar(layout.done())
    for content in (tar, gzip.compress(tar)):
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path, str(1 << 30)],
            input=content,
            capture_output=True,
            check=True,
        )
        assert done.stdout == b"app:1 [b'a']\n"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path, "4096"], input=tar, capture_output=True, check=False
    )
    assert b"CacheError: standard input: more than 4096 bytes" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_gone_do_not_count(opened: Open) -> None:
    """A file that replaces a directory takes with it the names in it that hard links gave to other files."""
    tar = (
        Layer().file("kept", b"x").dir("d").link("d/one", "kept").link("d/two", "kept").link("other", "kept")
    )
    store = opened(_image_of(tar.file("d", b"now a file").done()))
    found = tree_snapshot(store.tree(store.image()))
    assert {path: entry.nlink for path, entry in found.items() if path} == {b"kept": 2, b"other": 2, b"d": 1}
