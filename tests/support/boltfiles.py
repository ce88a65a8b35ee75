"""Real bolt databases with what bbolt itself says of them, a reader that trusts all, and ways to damage them.

`fixtures/bolt.tar.xz` holds the databases of containerd 1.6 and 2.1 and of Docker 29, and some that bbolt was
made to write (`fixtures/bolt.go`), each with a dump of both its states by bbolt.
"""

from __future__ import annotations

import base64
import functools
import json
import struct
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from layerfs.formats.bolt import Bucket, Database, buffer_reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.formats.boltdamage import Damaged

__all__ = [
    "NAMES",
    "Real",
    "Tree",
    "change",
    "checksum",
    "everything",
    "next_transaction",
    "page_size",
    "patched",
    "read",
    "real",
    "root_of",
    "trusting",
]

_ARCHIVE = Path(__file__).parents[2] / "fixtures/bolt.tar.xz"

Tree: TypeAlias = dict[bytes, Any]
"""A bucket: values by key, a `Tree` for a bucket, and its sequence at the empty key."""

NAMES = (
    *("containerd-1.6/meta", "containerd-1.6/metadata", "containerd-2.1/meta", "containerd-2.1/metadata"),
    *("docker29/cache", "docker29/history_c8d", "docker29/identity-cache", "docker29/meta"),
    *("docker29/metadata", "docker29/metadata_v2", "docker29/volumes"),
    *("made/page-1024", "made/page-4096", "made/page-16384", "made/page-65536"),
)


class Real(NamedTuple):
    """A database, what bbolt reads of its newest state and of the older one, and their transactions."""

    content: bytes
    newest: Tree
    older: Tree
    txids: tuple[int, int]


@functools.cache
def _members() -> dict[str, bytes]:
    with tarfile.open(_ARCHIVE) as archive:
        files = {
            item.name.removeprefix("bolt/"): archive.extractfile(item) for item in archive if item.isfile()
        }
        return {name: file.read() for name, file in files.items() if file}


@functools.cache
def real(name: str) -> Real:
    """One of `NAMES`."""
    dump = json.loads(_members()[f"{name}.json"])
    newest, older = dump["newest"], dump["older"]
    return Real(
        _members()[f"{name}.db"],
        _tree(newest["buckets"]),
        _tree(older["buckets"]),
        (newest["txid"], older["txid"]),
    )


def _tree(dumped: Any) -> Any:
    if isinstance(dumped, str):
        return base64.b64decode(dumped)
    if isinstance(dumped, int):
        return dumped
    return {base64.b64decode(key): _tree(value) for key, value in dumped.items()}


def read(content: bytes, told: list[Damaged] | None = None, *, previous: bool = False) -> Tree:
    """Everything in a database as layerfs reads it; what is lost joins `told`, or is raised without that."""
    damaged = None if told is None else told.append
    root = Database(*buffer_reader(content), previous=previous, damaged=damaged).root
    found = everything(root)
    del found[b""]  # bbolt dumps no sequence of the outermost
    return found


def everything(bucket: Bucket) -> Tree:
    """All that is in a bucket."""
    found: Tree = {
        key: value if isinstance(value, bytes) else everything(value) for key, value in bucket.items()
    }
    found[b""] = bucket.sequence
    return found


def page_size(content: bytes) -> int:
    """Bytes of a page, as meta 0 has it."""
    return int(struct.unpack_from("<I", content, 24)[0])


def root_of(content: bytes, *, older: bool = False) -> int:
    """The page at which a state starts."""
    size = page_size(content)
    metas = [struct.unpack_from("<QQQQQ", content, page * size + 32) for page in (0, 1)]
    metas.sort(key=lambda meta: -meta[4])
    return int(metas[older][0])


def patched(content: bytes, at: int, new: bytes) -> bytes:
    """The same bytes with others at a place."""
    return content[:at] + new + content[at + len(new) :]


def change(content: bytes, page: int, at: int, form: str, value: int) -> bytes:
    """The same with another number at byte `at` of a page."""
    return patched(content, page * page_size(content) + at, struct.pack(form, value))


def next_transaction(content: bytes) -> bytes:
    """The same after a transaction that changed nothing: its meta is written over the older one."""
    size = page_size(content)
    newest = max((0, 1), key=lambda page: struct.unpack_from("<Q", content, page * size + 64)[0])
    meta = bytearray(content[newest * size + 16 : newest * size + 72])
    struct.pack_into("<Q", meta, 48, struct.unpack_from("<Q", meta, 48)[0] + 1)
    return patched(content, (1 - newest) * size + 16, bytes(meta) + checksum(meta))


def checksum(meta: bytes | bytearray) -> bytes:
    """FNV-1a of a meta."""
    total = 0xCBF29CE484222325
    for byte in meta:
        total = ((total ^ byte) * 0x100000001B3) & (2**64 - 1)
    return struct.pack("<Q", total)


class Trusted(NamedTuple):
    """What a reader makes of a database that believes all it says.

    Attributes:
        tree: everything but what lies on the page left out, and below it.
        pages: every page of the state that was reached.
    """

    tree: Tree
    pages: list[int]


def trusting(content: bytes, *, without: int = 0) -> Trusted:
    """Read the newest state, leaving out a page."""
    reached: list[int] = []
    tree = dict(_pairs(content, root_of(content), without, reached))
    return Trusted(tree, reached)


def _pairs(content: bytes, page: int, without: int, reached: list[int]) -> Iterator[tuple[bytes, Any]]:
    reached.append(page)
    if page == without:
        return
    at = page * page_size(content)
    _, flags, count, _ = struct.unpack_from("<QHHI", content, at)
    if flags == 1:
        for index in range(count):
            child = struct.unpack_from("<IIQ", content, at + 16 * (1 + index))[2]
            yield from _pairs(content, child, without, reached)
        return
    yield from _leaf_pairs(content, at, without, reached)


def _leaf_pairs(content: bytes, at: int, without: int, reached: list[int]) -> Iterator[tuple[bytes, Any]]:
    count = struct.unpack_from("<QHHI", content, at)[2]
    for index in range(count):
        element = at + 16 * (1 + index)
        flags, position, key_size, value_size = struct.unpack_from("<IIII", content, element)
        key_at = element + position
        value_at = key_at + key_size
        key, value = content[key_at:value_at], content[value_at : value_at + value_size]
        if not flags:
            yield key, value
            continue
        root, sequence = struct.unpack_from("<QQ", value)
        inside = (
            _pairs(content, root, without, reached)
            if root
            else _leaf_pairs(content, value_at + 16, without, reached)
        )
        yield key, {b"": sequence, **dict(inside)}
