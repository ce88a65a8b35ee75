"""The `inspect` document of a container that no Docker Engine recorded: Docker's fields, then others.

Sources: moby `api/types/container`; OCI runtime-spec `config.md`; crictl `inspect`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layerfs.analysis.store.containers import recorded_state
from layerfs.formats.gotime import format_time
from layerfs.formats.jsontext import mapping, text, texts

if TYPE_CHECKING:
    from layerfs.formats.containerconfig import ContainerConfig, MountPoint
    from layerfs.formats.jsontext import Json
    from layerfs.model import Container

__all__ = ["described"]


def described(container: Container, records: Json) -> dict[str, Any]:
    """The document without sizes and layers; what is not known is null.

    Args:
        container: the container.
        records: the additional fields, from `Store.container_records`.

    Raises:
        FormatError: a field of its specification is of the wrong type.
    """
    config, pod = container.config, container.pod
    found: dict[str, Any] = {"Id": container.id, "Name": container.name, "Kind": container.kind}
    found |= _configured(config) if config else {}
    found["Pod"] = pod and {
        "Name": pod.name,
        "Namespace": pod.namespace,
        "Uid": pod.uid,
        "Id": pod.id,
        "Attempt": pod.attempt,
        "Labels": dict(pod.labels),
    }
    return {**found, "Attempt": container.attempt, **records}


def _configured(config: ContainerConfig) -> dict[str, Any]:
    process = mapping(config.raw, "process")
    user = mapping(process, "user")
    return {
        "Created": _time(config.created_ns),
        "Path": next(iter(config.command), ""),
        "Args": list(config.command[1:]),
        "State": _state(config),
        "Image": config.image_id or None,
        "LogPath": config.log_path,
        "Driver": config.driver,
        "Platform": config.os,
        "Mounts": [_mount(mount) for mount in config.mount_points],
        "Config": {
            "Hostname": text(config.raw, "hostname"),
            "User": ":".join(str(user[key]) for key in ("uid", "gid") if key in user),
            "Tty": bool(process.get("terminal")),
            "Env": list(texts(process, "env")),
            "Cmd": list(config.command),
            "Image": config.image_ref,
            "WorkingDir": text(process, "cwd"),
            "Labels": config.labels,
        },
    }


def _state(config: ContainerConfig) -> dict[str, Any]:
    """The state as last written, outdated after a crash; all null if none was written."""
    state = config.state
    found: dict[str, Any] = {
        "Status": recorded_state(config),
        "Running": state.running,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": _time(state.started_ns),
        "FinishedAt": _time(state.finished_ns),
    }
    return found if state.known else dict.fromkeys(found)


def _mount(mount: MountPoint) -> dict[str, Any]:
    return {
        "Type": mount.type,
        **({"Name": mount.name} if mount.name else {}),
        "Source": mount.source,
        "Destination": mount.destination,
        "RW": mount.writable,
    }


def _time(ns: int | None) -> str | None:
    return None if ns is None else format_time(ns)
