"""The paths of stores in the configuration files of engines.

Sources: moby `daemon/config/config.go` (`data-root`, before that `graph`); containerd
`docs/man/containerd-config.toml.5.md` (`root`); BuildKit `docs/buildkitd.toml.md` (`root`);
containers/storage `docs/containers-storage.conf.5.md` (`graphroot`); the documentation of k3s
and RKE2 (`data-dir`).
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import load_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "CONFIG_LIMIT",
    "Person",
    "containerd_root",
    "docker_root",
    "kubernetes_root",
    "podman_rootless_root",
    "podman_roots",
]

CONFIG_LIMIT = 1 << 16
"""The most bytes that a configuration file may have."""

_MOST_STORES = 100

_LONGEST_LINE = 1 << 12  # tomllib takes time that grows with the square of a key's parts

_VARIABLE = re.compile(r"\$(?:\{(HOME|USER|UID)\}|(HOME|USER|UID)(?![A-Za-z0-9_]))")


class Person(NamedTuple):
    """A user of a system.

    Attributes:
        name: the user's name.
        home: the home, as a path below the top of the system.
        uid: the number, as it is written.
    """

    name: str
    home: str
    uid: str


_DATA_DIR = re.compile(
    r"""^(["']?)data-dir\1[ \t]*:[ \t]+(?:"([^"\n]*)"|'([^'\n]*)'|([^\s"'#][^\s#]*))[ \t]*(?:#.*)?\r?$""",
    re.MULTILINE,
)


def docker_root(content: bytes) -> str | None:
    """The path that a `daemon.json` gives as `data-root`, None where it gives none; raises `FormatError`."""
    if not content.strip():
        return None  # the Engine takes an empty file for {}
    found = load_object(_text(content).encode())
    return _path(found, "data-root") or _path(found, "graph")


def containerd_root(content: bytes) -> str | None:
    """The path that a `config.toml` of containerd, or BuildKit's, gives as `root`; as `docker_root`."""
    return _path(_toml(content), "root")


def podman_roots(content: bytes, person: Person | None = None) -> Sequence[str]:
    """The paths that a `storage.conf` gives: of containers, of images, and of stores that are read besides.

    Args:
        content: of the file.
        person: whose stores are meant; None for those of root.

    Raises:
        FormatError: it is no TOML.
    """
    storage = _toml(content).get("storage")
    if not isinstance(storage, dict):
        return ()
    options = storage.get("options")
    further = options.get("additionalimagestores") if isinstance(options, dict) else None
    found = [storage.get("graphroot"), storage.get("imagestore")]
    if person:
        found = [_expanded(path, person) for path in (*found, storage.get("rootless_storage_path"))]
    found += further[:_MOST_STORES] if isinstance(further, list) else []
    return list(dict.fromkeys(path for path in found if _is_path(path)))


def podman_rootless_root(content: bytes, person: Person) -> Sequence[str]:
    """The path that the `storage.conf` of a system gives for a user's store; raises as `podman_roots`."""
    storage = _toml(content).get("storage")
    path = _expanded(storage.get("rootless_storage_path"), person) if isinstance(storage, dict) else None
    return [path] if _is_path(path) else []


def _expanded(path: object, person: Person) -> object:
    """A path with the variables that the engine replaces."""
    if not isinstance(path, str):
        return path
    values = {"HOME": f"/{person.home}", "USER": person.name, "UID": person.uid}
    return _VARIABLE.sub(lambda found: values[found[1] or found[2]], path)


def kubernetes_root(content: bytes) -> str | None:
    """The path of the containerd root below what a `config.yaml` of k3s or RKE2 gives as `data-dir`.

    Of YAML only a line of the outermost mapping is understood. Raises `FormatError` for what is no text.
    """
    found = _DATA_DIR.search(_text(content))
    path = next(filter(None, found.groups()[1:]), "") if found else ""
    return f"{path.rstrip('/')}/agent/containerd" if _is_path(path) else None


def _path(found: Mapping[str, Any], key: str) -> str | None:
    value = found.get(key)
    return value if _is_path(value) else None


def _is_path(value: object) -> TypeGuard[str]:
    """Whether it is an absolute path."""
    return isinstance(value, str) and value.startswith("/") and "\0" not in value


def _toml(content: bytes) -> dict[str, Any]:
    text = _text(content)
    longest = max(map(len, text.split("\n")))
    if longest > _LONGEST_LINE:
        raise FormatError("TOML that cannot be read", found=f"a line of {longest} characters")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FormatError("invalid TOML", found=str(error)) from error
    except (RecursionError, ValueError) as error:
        raise FormatError("TOML that cannot be read", found="a value nested too deep or too long") from error


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError("not UTF-8", found=f"byte 0x{content[error.start]:02x} at {error.start}") from error
