"""The records of a layer in each kind of store, and what can befall each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layerfs.ids import chain_ids
from tests.support.bolt import bolt_tree
from tests.support.boltfiles import read
from tests.support.containerdroots import ContainerdRoot
from tests.support.graphroots import GraphRootFiles
from tests.support.planting import placed_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.support.planting import PlacedLayer

__all__ = [
    "DAMAGES", "BoltRecord", "DirectoryRecord", "JsonRecord", "Record", "containerd_records", "damaged",
    "graphroot_records", "overlay2_records",
]  # fmt: skip

_GARBAGE = b"\xff garbage\n"


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a layer that is a file.

    Attributes:
        path: its file, which messages name.
        others: the same file of another layer: what a mistake would put there.
    """

    path: Path
    others: Path

    @property
    def is_there(self) -> bool:
        """Whether this layer has one."""
        return self.path.exists()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Put it back at the end, whatever became of it."""
        content = _content(self.path)
        try:
            yield
        finally:
            if self.path.is_dir() and not self.path.is_symlink():
                self.path.rmdir()
            self.path.unlink(missing_ok=True)
            _put(self.path, content)

    def remove(self) -> None:
        """Lose it."""
        self.path.unlink()

    def write(self, content: bytes) -> None:
        """Let it say something else."""
        self.path.unlink()
        self.path.write_bytes(content)

    def swap(self) -> None:
        """Let it be the other layer's."""
        self.path.unlink()
        _put(self.path, _content(self.others))

    def hide(self) -> None:
        """Make it unreadable: a directory, as nobody can keep root from a file."""
        self.path.unlink()
        self.path.mkdir()


@dataclass(frozen=True, slots=True)
class BoltRecord(Record):
    """A record that is a bucket in a bolt database; `path` is the database.

    Attributes:
        place: the names of the buckets down to it.
        others_place: those of the same record of another layer.
    """

    place: tuple[bytes, ...]
    others_place: tuple[bytes, ...]

    def remove(self) -> None:
        """Lose it."""
        self._change(lambda parent: parent.pop(self.place[-1]))

    def write(self, content: bytes) -> None:
        """Let every value in it be another; none at all for nothing."""
        self._change(lambda parent: parent.update({self.place[-1]: _filled(parent[self.place[-1]], content)}))

    def swap(self) -> None:
        """Let it be the other layer's."""
        other = _inner(read(self.path.read_bytes()), self.others_place)
        self._change(lambda parent: parent.update({self.place[-1]: other}))

    def hide(self) -> None:
        """Put a value where the bucket was."""
        self._change(lambda parent: parent.update({self.place[-1]: b"value"}))

    def _change(self, change: Callable[[dict[bytes, Any]], object]) -> None:
        tree = read(self.path.read_bytes())
        change(_inner(tree, self.place[:-1]))
        self.path.write_bytes(bolt_tree(tree))


@dataclass(frozen=True, slots=True)
class JsonRecord(Record):
    """A record that is an object of an array of JSON; `path` is the file.

    Attributes:
        id: its `id`.
        others_id: that of the same record of another layer.
    """

    id: str
    others_id: str

    def remove(self) -> None:
        """Lose it."""
        self._change(lambda records, number: records.pop(number))

    def write(self, content: bytes) -> None:
        """Let every value in it be another text."""
        text = content.decode("latin-1")
        self._change(
            lambda records, number: records.__setitem__(number, dict.fromkeys(records[number], text))
        )

    def swap(self) -> None:
        """Let it be the other layer's."""
        self._change(
            lambda records, number: records.__setitem__(number, records[_number(records, self.others_id)])
        )

    def hide(self) -> None:
        """Put a number where the object was."""
        self._change(lambda records, number: records.__setitem__(number, 1))

    def _change(self, change: Callable[[list[Any], int], object]) -> None:
        records = json.loads(self.path.read_bytes())
        change(records, _number(records, self.id))
        self.path.write_text(json.dumps(records))


def _number(records: Sequence[Any], wanted: str) -> int:
    return next(number for number, record in enumerate(records) if record["id"] == wanted)


class DirectoryRecord(Record):
    """A record that is a directory of files."""

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Put it back at the end, whatever became of it."""
        away = self.path.with_name(self.path.name + ".away")
        self.path.rename(away)
        subprocess.run(["cp", "-a", away, self.path], check=True)
        try:
            yield
        finally:
            self._clear()
            away.rename(self.path)

    def _clear(self) -> None:
        if self.path.is_dir() and not self.path.is_symlink():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Lose it."""
        self._clear()

    def write(self, content: bytes) -> None:
        """Have a file in its place."""
        self._clear()
        self.path.write_bytes(content)

    def swap(self) -> None:
        """Have a link to the other's in its place."""
        self._clear()
        self.path.symlink_to(self.others)

    def hide(self) -> None:
        """Have a pipe in its place, which nobody writes to."""
        self._clear()
        os.mkfifo(self.path)


def _filled(bucket: dict[bytes, Any], content: bytes) -> dict[bytes, Any]:
    return dict.fromkeys((key for key, value in bucket.items() if isinstance(value, bytes)), content)


def _inner(tree: dict[bytes, Any], place: tuple[bytes, ...]) -> dict[bytes, Any]:
    for name in place:
        tree = tree[name]
    return tree


# -- of each kind --------------------------------------------------------------------------------


def overlay2_records(root: Path, image: str, number: int) -> Mapping[str, Record]:
    """Every record of an image's layer (1 is the base; it has a layer above and one below)."""
    layers = placed_layers(root, image)
    ours, theirs = (_files(root, layers[index]) for index in (number - 1, number))
    return {name: Record(path, theirs[name]) for name, path in ours.items()}


def _files(root: Path, layer: PlacedLayer) -> dict[str, Path]:
    in_layerdb = ("diff", "parent", "cache-id", "size", "tar-split.json.gz")
    return {
        **{name: layer.record / name for name in in_layerdb},
        **{name: layer.directory / name for name in ("link", "lower")},
        "l": root / "overlay2/l" / (layer.directory / "link").read_text(),
    }


def containerd_records(root: Path, image: str, number: int) -> Mapping[str, Record]:
    """Those of a layer of Docker's: what names its snapshot, what numbers it, its blob, its directory."""
    store = ContainerdRoot(root, "containerd/daemon", "moby")
    name = f"docker.io/library/{image}"
    manifest, config, ours, theirs = (
        store.blob(store.digest_of(name, which))
        for which in ("manifest", "config", str(number), str(number + 1))
    )
    diff_ids = json.loads(config.read_bytes())["rootfs"]["diff_ids"]
    key, other = chain_ids(diff_ids)[number - 1 : number + 1]
    snapshots = store.snapshotter / "metadata.db"
    return {
        "meta": BoltRecord(store.meta, store.meta, _in_meta(key), _in_meta(other)),
        "snapshot": BoltRecord(
            snapshots, snapshots, _in_snapshots(store.name(key)), _in_snapshots(store.name(other))
        ),
        "blob": Record(ours, theirs),
        "directory": DirectoryRecord(store.directory(key), store.directory(other)),
        "manifest": Record(manifest, ours),
        "config": Record(config, manifest),
    }


def _in_meta(key: str) -> tuple[bytes, ...]:
    return b"v1", b"moby", b"snapshots", b"overlayfs", key.encode()


def _in_snapshots(name: bytes) -> tuple[bytes, ...]:
    return b"v1", b"snapshots", name


def graphroot_records(root: Path, image: str, number: int) -> Mapping[str, Record]:
    """Those of a layer of containers/storage and of its image: objects of JSON, and files beside them."""
    store = GraphRootFiles(root)
    record = store.image(f"docker.io/library/{image}")
    stack = store.stack(record["layer"])[::-1]
    ours, theirs = stack[number - 1], stack[number]
    below = {name: store.directory(theirs) / name for name in ("link", "lower", "diff")}
    own = {name: store.directory(ours) / name for name in below}
    short = root / "overlay/l"
    config, manifest = (store.big_data(record["id"], key) for key in (f"sha256:{record['id']}", "manifest"))
    return {
        "record": JsonRecord(store.layers_file, store.layers_file, ours, theirs),
        "link": Record(own["link"], below["link"]),
        "lower": Record(own["lower"], below["lower"]),
        "l": Record(short / own["link"].read_text(), short / below["link"].read_text()),
        "tar-split": Record(store.tar_split(ours), store.tar_split(theirs)),
        "directory": DirectoryRecord(own["diff"], below["diff"]),
        "manifest": Record(manifest, config),
        "config": Record(config, manifest),
    }


# -- what befalls them ---------------------------------------------------------------------------


DAMAGES: Mapping[str, Callable[[Record], None]] = {
    "missing": lambda record: record.remove(),
    "empty": lambda record: record.write(b""),
    "garbage": lambda record: record.write(_GARBAGE),
    "another's": lambda record: record.swap(),
    "unreadable": lambda record: record.hide(),
}
"""What can befall a record."""


@contextmanager
def damaged(records: list[Record], damage: Callable[[Record], None]) -> Iterator[None]:
    """Damage records, and put them back."""
    with ExitStack() as stack:
        for record in records:
            stack.enter_context(record.kept())
        for record in records:
            damage(record)
        yield


def _content(path: Path) -> bytes | str:
    return os.readlink(path) if path.is_symlink() else path.read_bytes()


def _put(path: Path, content: bytes | str) -> None:
    if isinstance(content, str):
        path.symlink_to(content)
    else:
        path.write_bytes(content)
