"""A live root in which something is replaced between the moment it was listed and the moment it is opened.

Whoever can write below a root, such as a container that got out, may try to have layerfs read the host.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerfs.reserves import RESERVES
from layerfs.stores.registry import Options, open_store
from tests.support.storekinds import each_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree
    from tests.support.storekinds import StoreKind

pytestmark = pytest.mark.root

SECRET = b"of the host"


def _link(place: Path, host: Path) -> None:
    place.symlink_to(host)


def _pipe(place: Path, host: Path) -> None:
    del host
    os.mkfifo(place)


def _relative(place: Path, host: Path) -> None:
    place.symlink_to(os.path.relpath(host, place.parent))


def _nothing(place: Path, host: Path) -> None:
    del place, host


PUT: tuple[Callable[[Path, Path], None], ...] = (_link, _relative, _pipe, _nothing)


@each_kind
def test_nothing_of_the_host_is_read(kind: StoreKind, tmp_path: Path) -> None:
    """A file, its directory or the whole layer became a link, a pipe, or nothing: an error that names it.

    Or the bytes that were there, where the directory is still open.
    """
    host = tmp_path / "host"
    (host / "etc").mkdir(parents=True)
    for name in ("motd", "etc/motd"):
        (host / name).write_bytes(SECRET)
    (tmp_path / "store").mkdir()
    path = kind.make(tmp_path / "store")
    for level, put, forgotten in itertools.product(("etc/motd", "etc", ""), PUT, (False, True)):
        store = open_store(path, Options())
        tree = store.tree(store.image(kind.image))
        etc = tree.children(tree.root)[b"etc"]
        motd = tree.children(etc)[b"motd"]
        with tree.open(motd) as content:
            before = content.read()
        place = Path(tree.layers[motd.part.layer].label, level)
        place.rename(place.with_name("aside"))
        put(place, host / level)
        try:
            while forgotten and any(reserve.give_back() for reserve in list(RESERVES)):
                pass
            found = [_read(tree, motd), _read(tree, None)]
        finally:
            if os.path.lexists(place):
                place.unlink()
            place.with_name("aside").rename(place)
        errors = [item for item in found if isinstance(item, str)]
        assert {item for item in found if isinstance(item, bytes)} <= {before}
        assert len(errors) == 2 or not (forgotten or level == "etc/motd"), (level, put, forgotten)
        assert all("etc" in error or place.name in error for error in errors), errors


def _searched(tree: UnionTree) -> Node:
    return tree.lookup(tree.lookup(tree.root, b"etc"), b"motd")


def _read(tree: UnionTree, known: Node | None) -> bytes | str:
    """The content of a file that is known, or looked up now; the error where that is refused."""
    try:
        with tree.open(known or _searched(tree)) as content:
            return content.read()
    except OSError as error:
        return str(error)
