"""What Go's zero values are in a template over an inspected document: the types that JSON does not tell.

To Docker's client a document is a struct: a list or map that is null prints as an empty one, a key that
is left out has its zero value, and a pointer that is null is `<nil>`. What no struct has a field for is
an error.

Source: moby `api/types/container/config.go`, `host_config.go`, `api/types/types.go` (v20.10.24).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .functions import Fields

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CONFIG_FIELDS", "HOST_CONFIG_FIELDS", "GoStruct", "inspected"]


class _NilList(list[Any]):
    """A slice that is nil: empty, but null in JSON."""

    raw = None


class _NilMap(dict[str, Any]):
    """A map that is nil: empty, but null in JSON."""

    raw = None


class _NilPointer:
    """A pointer that is nil: false, and null in JSON."""

    raw = None

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return "<nil>"


class _Empty(dict[str, Any]):
    """A struct without fields, as the values of a set are."""

    go_text = "{}"


class _Set(dict[str, Any]):
    """A map whose values say nothing, such as the ports exposed; `raw` is what it was."""

    def __init__(self, raw: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__({key: _Empty() for key in raw})
        self.raw = raw


class GoStruct(Fields):
    """A document, or an object in it, with what Go knows of its fields; `raw` is the object itself."""

    def __init__(
        self, raw: Mapping[str, Any], fields: Mapping[str, Any], also: Mapping[str, str] | None = None
    ) -> None:
        """Show `raw`.

        Args:
            raw: the object.
            fields: what is known of fields: what makes their zero value, or the fields of their own.
            also: further names of some of them.
        """
        super().__init__(raw, raw.__getitem__, also)
        self.raw = raw
        self._fields = fields

    def __getitem__(self, name: str) -> Any:
        """The value of a field; raises `TemplateError` for what is none."""
        name = self._also.get(name, name)
        value, kind = self.raw.get(name), self._fields.get(name)
        if isinstance(value, Mapping) and kind is not None:
            return (
                GoStruct(value, kind) if isinstance(kind, Mapping) else _Set(value) if kind is _Set else value
            )
        if value is None and kind is not None:
            return _NilMap() if kind is _Set else None if isinstance(kind, Mapping) else kind()
        return super().__getitem__(name)


def _fields(**kinds: str) -> dict[str, Any]:
    """Names of fields by what they are."""
    found: dict[str, Any] = {}
    of_kind: dict[str, Callable[[], Any]] = {
        "lists": _NilList,
        "maps": _NilMap,
        "sets": _Set,
        "pointers": _NilPointer,
    }
    of_kind |= {"flags": bool, "texts": str, "numbers": int}
    for kind, names in kinds.items():
        found |= dict.fromkeys(names.split(), of_kind[kind])
    return found


_GO_NAMES = {"ID": "Id"}
"""What Docker's inspect answers to as well: the names of its Go fields where JSON has others."""

CONFIG_FIELDS = _fields(
    lists="Cmd Entrypoint Env OnBuild Shell",
    maps="Labels",
    sets="ExposedPorts Volumes",
    pointers="Healthcheck StopTimeout",
    flags="ArgsEscaped NetworkDisabled",
    texts="MacAddress StopSignal",
)
HOST_CONFIG_FIELDS = _fields(
    lists="Binds BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps "
    "BlkioWeightDevice CapAdd CapDrop DeviceCgroupRules DeviceRequests Devices "
    "ExtraHosts GroupAdd Links MaskedPaths Mounts ReadonlyPaths SecurityOpt Ulimits VolumesFrom",
    maps="Annotations PortBindings StorageOpt Sysctls Tmpfs",
    pointers="Init MemorySwappiness OomKillDisable PidsLimit",
)
_DOCUMENT = {
    **_fields(lists="Args ExecIDs Mounts RepoDigests RepoTags"),
    **_fields(texts="OsVersion Variant"),
    "Config": CONFIG_FIELDS,
    "ContainerConfig": CONFIG_FIELDS,
    "GraphDriver": _fields(maps="Data"),
    "HostConfig": HOST_CONFIG_FIELDS,
    "NetworkSettings": _fields(lists="SecondaryIPAddresses SecondaryIPv6Addresses", maps="Networks Ports"),
    "RootFS": _fields(lists="Layers"),
    "State": _fields(pointers="Health"),
}


def inspected(document: Mapping[str, Any]) -> Fields:
    """The document of an image or a container as Docker's client has it; that of a layer as it is."""
    return GoStruct(document, _DOCUMENT if "GraphDriver" in document else {}, _GO_NAMES)
