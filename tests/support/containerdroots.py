"""A containerd root of the test's own: its databases edited, its files taken away, and all put back."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

from tests.support.bolt import bolt_tree
from tests.support.boltfiles import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.boltfiles import Tree

__all__ = ["ContainerdRoot"]


class ContainerdRoot:
    """One root; what is done to it while it is `mended` is undone at the end.

    Attributes:
        top: what is given to `--root`.
        path: the containerd root, which may lie below.
        namespace: the namespace that is meant.
    """

    def __init__(self, top: Path, inside: str, namespace: str) -> None:
        """The root at `inside` below `top`."""
        self.top = top
        self.path = top / inside
        self.namespace = namespace
        self._undo = ExitStack()

    @contextmanager
    def mended(self) -> Iterator[Self]:
        """Undo all that is done meanwhile."""
        with ExitStack() as self._undo:
            yield self

    # -- places --------------------------------------------------------------------------------

    @property
    def meta(self) -> Path:
        """The database of namespaces."""
        return self.path / "io.containerd.metadata.v1.bolt/meta.db"

    @property
    def snapshotter(self) -> Path:
        """The directory of overlayfs's snapshots."""
        return self.path / "io.containerd.snapshotter.v1.overlayfs"

    def blob(self, digest: str) -> Path:
        """The file of a blob."""
        return self.path / "io.containerd.content.v1.content/blobs" / digest.replace(":", "/")

    def directory(self, key: str) -> Path:
        """The directory of the snapshot of a key."""
        return self.snapshotter / "snapshots" / str(self.record(key)["id"][0])

    def space(self, tree: Tree | None = None) -> Tree:
        """What the namespace has, of `tree` or of meta.db as it is."""
        found: Tree = (tree or read(self.meta.read_bytes()))[b"v1"][self.namespace.encode()]
        return found

    def name(self, key: str) -> bytes:
        """The snapshotter's name of a key."""
        found: bytes = self.space()[b"snapshots"][b"overlayfs"][key.encode()][b"name"]
        return found

    def record(self, key: str) -> dict[str, Any]:
        """The snapshotter's record of a key."""
        records = read((self.snapshotter / "metadata.db").read_bytes())[b"v1"][b"snapshots"]
        return {name.decode(): value for name, value in records[self.name(key)].items()}

    def keys_below(self, key: str) -> list[str]:
        """A key and those of all that its snapshot stands on, uppermost first."""
        records = self.space()[b"snapshots"][b"overlayfs"]
        found = [key]
        while parent := records[found[-1].encode()].get(b"parent"):
            found.append(parent.decode())
        return found

    def container(self, name: str) -> str:
        """The ID of one of a Docker Engine's containers."""
        for path in self.top.glob("containers/*/config.v2.json"):
            if json.loads(path.read_bytes())["Name"] == f"/{name}":
                return path.parent.name
        raise LookupError(name)

    # -- images --------------------------------------------------------------------------------

    def target(self, name: str) -> str:
        """The digest that the name of an image points at."""
        found: bytes = self.space()[b"images"][name.encode()][b"target"][b"digest"]
        return found.decode()

    def manifest(self, name: str) -> dict[str, Any]:
        """The manifest of an image that has but one."""
        found: dict[str, Any] = json.loads(self.blob(self.target(name)).read_bytes())
        return found

    def digest_of(self, name: str, which: str) -> str:
        """The digest of an image's `manifest`, its `config`, or its layer of a number from 1 on."""
        manifest = self.manifest(name)
        if which == "manifest":
            return self.target(name)
        found: str = (manifest["config"] if which == "config" else manifest["layers"][int(which) - 1])[
            "digest"
        ]
        return found

    def layers(self, name: str) -> list[str]:
        """The chain IDs of an image's layers, base first."""
        config = json.loads(self.blob(self.digest_of(name, "config")).read_bytes())
        first, *others = config["rootfs"]["diff_ids"]
        found = [first]
        for diff_id in others:
            found.append(f"sha256:{hashlib.sha256(f'{found[-1]} {diff_id}'.encode()).hexdigest()}")
        return found

    # -- damage --------------------------------------------------------------------------------

    def write(self, path: Path, content: bytes) -> None:
        """Put other bytes into a file, or a new file somewhere."""
        if path.exists():
            kept, status = path.read_bytes(), path.stat()
            self._undo.callback(_put_back, path, kept, status.st_mode)
        else:
            self._undo.callback(path.unlink)
        path.write_bytes(content)

    def remove(self, path: Path) -> None:
        """Take a file or directory away."""
        away = self.top.parent / f"away-{path.name}"
        path.rename(away)
        self._undo.callback(away.rename, path)

    def keep(self, path: Path) -> None:
        """Let a directory be changed at will, with all attributes."""
        away = self.top.parent / f"kept-{path.name}"
        subprocess.run(["cp", "-a", str(path), str(away)], check=True)

        def undo() -> None:
            shutil.rmtree(path)
            away.rename(path)

        self._undo.callback(undo)

    def make(self, path: Path, *names: str) -> None:
        """Make a directory, and others in it."""
        self._undo.callback(shutil.rmtree, path)
        path.mkdir(parents=True)
        for name in names:
            (path / name).mkdir()

    def edit_meta(self, change: Callable[[Tree], object]) -> None:
        """Change what meta.db has of the namespace."""
        self.edit(self.meta, lambda tree: change(self.space(tree)))

    def edit_snapshots(self, change: Callable[[Tree], object]) -> None:
        """Change the `v1` of overlayfs's metadata.db."""
        self.edit(self.snapshotter / "metadata.db", lambda tree: change(tree[b"v1"]))

    def edit(self, path: Path, change: Callable[[Tree], object]) -> None:
        """Change a database."""
        tree = read(path.read_bytes())
        change(tree)
        self.write(path, bolt_tree(tree))


def _put_back(path: Path, content: bytes, mode: int) -> None:
    path.write_bytes(content)
    path.chmod(mode)
