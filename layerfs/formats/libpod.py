"""What libpod, the engine of Podman, writes down of containers and pods: the same JSON in both its databases.

`bolt_state.db` (bolt) is the one before Podman 4.8, `db.sql` (SQLite) the one since.

Sources: podman `libpod/container_config.go`, `libpod/container.go` (ContainerState), `libpod/pod.go`,
`libpod/define/containerstate.go`, `libpod/boltdb_state_internal.go`, `libpod/sqlite_state_internal.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layerfs.formats.containerconfig import MountPoint
from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import (
    array,
    flag,
    integer,
    load_object,
    mapping,
    text,
    texts,
    texts_by_name,
    time_ns,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from layerfs.formats.bolt import Bucket
    from layerfs.formats.bolt import Database as Bolt
    from layerfs.formats.jsontext import Json
    from layerfs.formats.sqlite import Database as Sqlite

__all__ = [
    "LibpodContainer",
    "LibpodPod",
    "RawContainer",
    "RawPod",
    "RawRecords",
    "bolt_records",
    "parse_libpod_container",
    "parse_libpod_pod",
    "sqlite_records",
]

STATES = (
    *("unknown", "created", "initialized", "running", "stopped"),
    *("paused", "exited", "removing", "stopping"),
)
"""The states by their numbers, as `podman ps` calls them; a number that is not here is unknown."""


class RawContainer(NamedTuple):
    """A container as a database has it.

    Attributes:
        id: its key, unchecked.
        config, state: JSON; empty where it is not there.
        exit_code: in a column, or a bucket, of its own; None for none.
    """

    id: str
    config: bytes
    state: bytes
    exit_code: int | None = None


class RawPod(NamedTuple):
    """A pod as a database has it; as `RawContainer`."""

    id: str
    config: bytes
    state: bytes


class RawRecords(NamedTuple):
    """What a database has, in the order in which it keeps it.

    Attributes:
        volumes: the configs of volumes, JSON, by their names.
        settings: where the engine keeps its files: `graph-root`, `run-root`, `volume-path`, and others.
    """

    containers: tuple[RawContainer, ...]
    pods: tuple[RawPod, ...]
    volumes: Mapping[str, bytes]
    settings: Mapping[str, str]


class LibpodContainer(NamedTuple):
    """A container; times in ns since 1970, None for never.

    Attributes:
        id: 64 hex digits, unchecked.
        pod: the ID of its pod; empty for none.
        image_id: of the image's config, hex digits; empty for none.
        image_name: the image's full name; the user's own word for it where the record has no other.
        state: one of `STATES`, as last written down: a container called running may have ended since, and a
            start of the host makes all of them anew.
        is_known: whether there is a state at all.
        exit_code: None where it is not known.
        command: path and arguments of the main process.
        named_volumes: the names of its volumes, in their order.
        mounts: what the user had mounted, volumes too; their `source` is empty until it is looked up.
        is_infra: whether it holds a pod together.
        spec: the OCI runtime specification that it was made with.
        config, raw_state: the whole documents.
    """

    id: str
    name: str
    pod: str
    image_id: str
    image_name: str
    created_ns: int | None
    started_ns: int | None
    finished_ns: int | None
    state: str
    is_known: bool
    exit_code: int | None
    error: str
    command: tuple[str, ...]
    labels: Mapping[str, str]
    mounts: tuple[MountPoint, ...]
    named_volumes: tuple[str, ...]
    log_path: str
    is_infra: bool
    spec: Json
    config: Json
    raw_state: Json

    @property
    def last_ns(self) -> int:
        """When something of it was last noted."""
        return max(self.created_ns or 0, self.started_ns or 0, self.finished_ns or 0)


class LibpodPod(NamedTuple):
    """A pod of Podman.

    Attributes:
        infra: the ID of the container that holds it together; empty for none.
        raw: the whole document.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    created_ns: int | None
    infra: str
    raw: Json


def parse_libpod_container(record: RawContainer) -> LibpodContainer:
    """A container from its record; raises `FormatError` where its config is missing or malformed."""
    config = load_object(record.config)
    state = load_object(record.state) if record.state else {}
    spec = mapping(config, "spec")
    return LibpodContainer(
        id=record.id,
        name=text(config, "name"),
        pod=text(config, "pod"),
        image_id=text(config, "rootfsImageID"),
        image_name=text(config, "rootfsImageName") or text(config, "RawImageName"),
        created_ns=time_ns(config, "createdTime"),
        started_ns=time_ns(state, "startedTime"),
        finished_ns=time_ns(state, "finishedTime"),
        state=_state_word(integer(state, "state")),
        is_known=bool(state),
        exit_code=_exit_code(state, record.exit_code),
        error=text(state, "error"),
        command=texts(mapping(spec, "process"), "args") or texts(config, "command"),
        labels=texts_by_name(mapping(config, "labels")),
        mounts=(*_volumes(config), *_binds(spec, texts(config, "userVolumes"))),
        named_volumes=tuple(mount.name for mount in _volumes(config)),
        log_path=text(config, "logPath"),
        is_infra=flag(config, "pause"),
        spec=spec,
        config=config,
        raw_state=state,
    )


def parse_libpod_pod(record: RawPod) -> LibpodPod:
    """A pod from its record; raises `FormatError`."""
    config = load_object(record.config)
    state = load_object(record.state) if record.state else {}
    return LibpodPod(
        id=record.id,
        name=text(config, "name"),
        labels=texts_by_name(mapping(config, "labels")),
        created_ns=time_ns(config, "created"),
        infra=text(state, "InfraContainerID"),
        raw=config,
    )


def _state_word(number: int) -> str:
    return STATES[number] if 0 <= number < len(STATES) else STATES[0]


def _exit_code(state: Json, beside: int | None) -> int | None:
    """The exit code: the state leaves out a zero, so where it has none, what is noted beside it is asked."""
    said = integer(state, "exitCode")
    if said:
        return said
    return beside if beside is not None else 0 if state else None


def _volumes(config: Json) -> Iterator[MountPoint]:
    for item in array(config, "namedVolumes"):
        if not isinstance(item, dict):
            raise FormatError("wrong type in namedVolumes", expected="objects")
        options = texts(item, "options")
        yield MountPoint("volume", text(item, "volumeName"), "", text(item, "dest"), "ro" not in options)


def _binds(spec: Json, wanted: tuple[str, ...]) -> Iterator[MountPoint]:
    """The bind mounts that the user asked for; all others are of the system, as /proc, or of the engine."""
    places = frozenset(wanted)
    for item in array(spec, "mounts"):
        if isinstance(item, dict) and text(item, "type") == "bind" and text(item, "destination") in places:
            options = texts(item, "options")
            yield MountPoint("bind", "", text(item, "source"), text(item, "destination"), "ro" not in options)


# -- the two databases -------------------------------------------------------------------------------


def bolt_records(database: Bolt) -> RawRecords:
    """What a `bolt_state.db` has; damaged pages are told of by the database."""
    root = database.root
    codes = {_text(key): _code(value) for key, value in _values(root, b"exit-code").items()}
    containers = []
    for key, (values, _) in _records(root, b"ctr"):
        name = _text(key)
        containers.append(
            RawContainer(name, values.get(b"config", b""), values.get(b"state", b""), codes.get(name))
        )
    pods = [
        RawPod(_text(key), values.get(b"config", b""), values.get(b"state", b""))
        for key, (values, _) in _records(root, b"pod")
    ]
    volumes = {_text(key): values.get(b"config", b"") for key, (values, _) in _records(root, b"vol")}
    settings = {_text(key): _text(value) for key, value in _values(root, b"runtime-config").items()}
    return RawRecords(tuple(containers), tuple(pods), volumes, settings)


_SETTINGS = {
    "OS": "os",
    "StaticDir": "static-dir",
    "TmpDir": "tmp-dir",
    "GraphRoot": "graph-root",
    "RunRoot": "run-root",
    "GraphDriver": "graph-driver-name",
    "VolumeDir": "volume-path",
}
"""The columns of `DBConfig`, and what `bolt_state.db` calls the same."""


def sqlite_records(database: Sqlite, damaged: Callable[[FormatError], None]) -> RawRecords:
    """What a `db.sql` has; `damaged` is told of tables, and parts of them, that cannot be read."""
    states: dict[str, tuple[bytes, int | None]] = {}
    for key, code, state in database.rows("ContainerState", ("ID", "ExitCode", "JSON"), damaged):
        states.setdefault(_text(key), (_bytes(state), code if isinstance(code, int) else None))
    containers = []
    for key, config in database.rows("ContainerConfig", ("ID", "JSON"), damaged):
        state, code = states.pop(_text(key), (b"", None))
        containers.append(RawContainer(_text(key), _bytes(config), state, code))
    # a state without a config is a container too, of which only this is left
    containers += [RawContainer(key, b"", state, code) for key, (state, code) in states.items()]
    pod_states = {
        _text(key): _bytes(state) for key, state in database.rows("PodState", ("ID", "JSON"), damaged)
    }
    pods = [
        RawPod(_text(key), _bytes(config), pod_states.get(_text(key), b""))
        for key, config in database.rows("PodConfig", ("ID", "JSON"), damaged)
    ]
    volumes = {
        _text(key): _bytes(config) for key, config in database.rows("VolumeConfig", ("Name", "JSON"), damaged)
    }
    settings: dict[str, str] = {}
    for row in database.rows("DBConfig", tuple(_SETTINGS), damaged):
        settings = {name: _text(value) for name, value in zip(_SETTINGS.values(), row, strict=True)}
        break
    return RawRecords(tuple(containers), tuple(pods), volumes, settings)


def _records(root: Bucket, name: bytes) -> Iterator[tuple[bytes, tuple[dict[bytes, bytes], object]]]:
    bucket = root.bucket(name)
    return bucket.records() if bucket else iter(())


def _values(root: Bucket, name: bytes) -> dict[bytes, bytes]:
    bucket = root.bucket(name)
    return bucket.contents()[0] if bucket else {}


def _code(raw: bytes) -> int | None:
    """An exit code, written as text."""
    return int(raw) if raw.isascii() and raw.isdigit() and len(raw) <= 3 else None


def _bytes(value: object) -> bytes:
    """A text or blob; anything else is nothing."""
    return value if isinstance(value, bytes) else b""


def _text(value: object) -> str:
    """A text, of whatever bytes; a value of another type is its digits, None is empty."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return "" if value is None else str(value)
