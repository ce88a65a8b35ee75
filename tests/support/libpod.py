"""Records of containers written without layerfs, as Podman, CRI-O and Buildah write them.

`write_storage` is what containers/storage has of them; `write_sqlite` and `write_bolt` are libpod's two
databases, with the tables and buckets of a real one.

Sources: podman `libpod/sqlite_state_internal.go`, `libpod/boltdb_state_internal.go`; cri-o
`internal/storage/runtime.go`, `internal/oci/container.go`; buildah `buildah.go`.
"""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.support.bolt import bolt_tree

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Pairs: TypeAlias = "Sequence[tuple[Any, Any]]"

__all__ = [
    "EXITED",
    "RUNNING",
    "TIME",
    "config",
    "identity",
    "podman_metadata",
    "state",
    "stored",
    "write_bolt",
    "write_sqlite",
    "write_storage",
]

TIME = "2026-01-02T03:04:05.678Z"
RUNNING, EXITED = 3, 6

_TABLES = """
CREATE TABLE DBConfig(ID INTEGER PRIMARY KEY NOT NULL, SchemaVersion INTEGER NOT NULL, OS TEXT NOT NULL,
    StaticDir TEXT NOT NULL, TmpDir TEXT NOT NULL, GraphRoot TEXT NOT NULL, RunRoot TEXT NOT NULL,
    GraphDriver TEXT NOT NULL, VolumeDir TEXT NOT NULL, CHECK (ID IN (1)));
CREATE TABLE ContainerConfig(ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, PodID TEXT,
    JSON TEXT NOT NULL);
CREATE TABLE ContainerState(ID TEXT PRIMARY KEY NOT NULL, State INTEGER NOT NULL, ExitCode INTEGER,
    JSON TEXT NOT NULL, CHECK (ExitCode BETWEEN -1 AND 255));
CREATE TABLE PodConfig(ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, JSON TEXT NOT NULL);
CREATE TABLE PodState(ID TEXT PRIMARY KEY NOT NULL, InfraContainerID TEXT, JSON TEXT NOT NULL);
CREATE TABLE VolumeConfig(Name TEXT PRIMARY KEY NOT NULL, StorageID TEXT, JSON TEXT NOT NULL);
"""


def identity(number: int) -> str:
    """64 hex digits."""
    return f"{number:064x}"


def stored(number: int, name: str, metadata: Any = None, **more: Any) -> dict[str, Any]:
    """A record of containers.json; its layer is `identity(number + 1000)`, its image `identity(7)`."""
    record = {
        "id": identity(number),
        "names": [name],
        "image": identity(7),
        "layer": identity(number + 1000),
        "metadata": json.dumps(metadata) if metadata else "",
        "created": TIME,
        "flags": {"MountLabel": "", "ProcessLabel": ""},
    }
    return record | more


def podman_metadata(name: str) -> dict[str, Any]:
    """What Podman notes in such a record."""
    image = {"image-name": "localhost/image:1", "image-id": identity(7)}
    return {**image, "name": name, "created-at": 1_767_323_045}


def write_storage(root: Path, records: Any, file: str = "containers.json") -> None:
    """A containers.json of these records."""
    place = root / "overlay-containers"
    place.mkdir(parents=True, exist_ok=True)
    (place / file).write_text(json.dumps(records))


def config(number: int, name: str, **more: Any) -> dict[str, Any]:
    """The config of a container of libpod."""
    spec = {"process": {"args": ["/bin/true", name], "cwd": "/", "user": {"uid": 0, "gid": 0}}, "linux": {}}
    return {
        "id": identity(number),
        "name": name,
        "spec": spec,
        "rootfsImageID": identity(7),
        "rootfsImageName": "localhost/image:1",
        "createdTime": TIME,
        "labels": {"of": name},
    } | more


def state(number: int, **more: Any) -> dict[str, Any]:
    """A state of that number."""
    never = "0001-01-01T00:00:00Z"
    return {"state": number, "startedTime": never, "finishedTime": never} | more


def write_sqlite(root: Path, containers: Pairs, pods: Pairs = (), volumes: Sequence[Any] = ()) -> None:
    """A db.sql of configs and states; a state may be None, and bytes are written as they are."""
    root.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(root / "db.sql")
    connection.executescript(_TABLES)
    where = ("/var/lib/g/libpod", "/run/libpod", "/var/lib/g", "/run/g", "overlay", "/var/lib/g/volumes")
    connection.execute("INSERT INTO DBConfig VALUES (1, 1, 'linux', ?, ?, ?, ?, ?, ?)", where)
    for place, (own, its) in enumerate(containers):
        key, name = _key(own, place), _name(own, place)
        connection.execute("INSERT INTO ContainerConfig VALUES (?, ?, NULL, ?)", (key, name, _bytes(own)))
        if its is not None:
            # as after a start of the host: the column says something else than the document
            row = (key, 1, its.get("exitCode") if isinstance(its, dict) else None, _bytes(its))
            connection.execute("INSERT INTO ContainerState VALUES (?, ?, ?, ?)", row)
    for place, (own, its) in enumerate(pods):
        row3 = (_key(own, place), _name(own, place), _bytes(own))
        connection.execute("INSERT INTO PodConfig VALUES (?, ?, ?)", row3)
        connection.execute("INSERT INTO PodState VALUES (?, NULL, ?)", (_key(own, place), _bytes(its)))
    for own in volumes:
        connection.execute("INSERT INTO VolumeConfig VALUES (?, NULL, ?)", (own["name"], _bytes(own)))
    connection.commit()
    connection.close()


def write_bolt(root: Path, containers: Pairs, pods: Pairs = (), volumes: Sequence[Any] = ()) -> None:
    """A bolt_state.db of the same."""
    (root / "libpod").mkdir(parents=True, exist_ok=True)
    tree: dict[bytes, Any] = {
        b"ctr": {},
        b"pod": {},
        b"vol": {own["name"].encode(): {b"config": _bytes(own)} for own in volumes},
        b"runtime-config": {b"graph-root": b"/var/lib/g", b"volume-path": b"/var/lib/g/volumes"},
        b"exit-code": {},
    }
    for bucket, pairs in ((b"ctr", containers), (b"pod", pods)):
        for place, (own, its) in enumerate(pairs):
            record = {b"config": _bytes(own)} | ({} if its is None else {b"state": _bytes(its)})
            tree[bucket][_key(own, place).encode("utf-8", "surrogatepass")] = record
    (root / "libpod/bolt_state.db").write_bytes(bolt_tree(tree))


def _key(own: Any, place: int) -> str:
    return own["id"] if isinstance(own, dict) and isinstance(own.get("id"), str) else identity(place + 1)


def _name(own: Any, place: int) -> str:
    return str(own.get("name")) if isinstance(own, dict) else f"name{place}"


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()
