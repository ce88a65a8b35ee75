"""The OCI runtime specification of a container: the config.json of runc, as far as it is used.

Source: OCI runtime-spec `config.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from layerfs.formats.containerconfig import MountPoint
from layerfs.formats.jsontext import array, mapping, text, texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerfs.formats.jsontext import Json

__all__ = ["NO_SPEC", "RuntimeSpec", "read_spec"]


class RuntimeSpec(NamedTuple):
    """The used parts of a container's specification.

    Attributes:
        os: `linux`, or empty.
        command: path and arguments of its main process.
        mounts: the bind mounts.
        raw: the whole document.
    """

    os: str
    command: tuple[str, ...]
    mounts: tuple[MountPoint, ...]
    raw: Json

    @property
    def annotations(self) -> Mapping[str, str]:
        """What its engine noted in it; a note of another type than a text is none."""
        noted = self.raw.get("annotations")
        found = noted if isinstance(noted, dict) else {}
        return {name: value for name, value in found.items() if isinstance(value, str)}


NO_SPEC = RuntimeSpec("", (), (), {})
"""Stands for one that is missing or damaged."""


def read_spec(document: Json) -> RuntimeSpec:
    """A specification from its JSON; raises `FormatError`."""
    return RuntimeSpec(
        "linux" if "linux" in document else "",
        tuple(texts(mapping(document, "process"), "args")),
        tuple(_mounts(document)),
        document,
    )


def _mounts(document: Json) -> Iterator[MountPoint]:
    """The bind mounts; all others are of the system, such as /proc."""
    for item in array(document, "mounts"):
        if isinstance(item, dict) and _is_bind(item):
            options = texts(item, "options")
            yield MountPoint("bind", "", text(item, "source"), text(item, "destination"), "ro" not in options)


def _is_bind(item: dict[str, Any]) -> bool:
    return item.get("type") == "bind" or bool({"bind", "rbind"} & set(texts(item, "options")))
