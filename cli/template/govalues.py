"""Go's types of an inspected document, for templates: structs, nil and zero values, which JSON does not have.

To Docker's client a document is a struct: a list or map that is null prints as an empty one, a key that
is left out has its zero value, and a pointer that is null is `<nil>`. What no struct has a field for is
an error. A whole struct is its values, in the order of its fields; where Go would print an address, as of a
pointer inside of a struct, what lies there is printed.

The client applies a template to the structs, by the names of their fields in Go (`.ID`, `.HostConfig.DNS`).
Where that fails it is applied to the JSON (`.Id`, `.HostConfig.Dns`), in which what was a struct is a map.

Source: moby `api/types/container/config.go`, `host_config.go`, `api/types/types.go`, `network/network.go`
(v20.10.24); Go `fmt`, `time.Time.String`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .fields import Fields, TemplateError
from .printf import go_struct

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CONFIG_FIELDS", "HOST_CONFIG_FIELDS", "GoStruct", "Struct", "inspected"]

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d(?:\.\d+)?)(Z|[+-]\d\d:\d\d)")


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
    """A struct without fields: the values of a set."""

    go_text = "{}"


class _Set(dict[str, Any]):
    """A map used as a set, such as the exposed ports; `raw` is the original."""

    def __init__(self, raw: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__({key: _Empty() for key in raw})
        self.raw = raw


class _Pointed(int):
    """A number behind a pointer: it is not empty, even if it is 0."""

    def __bool__(self) -> bool:
        return True


class _Time(str):
    """A time: printed as Go prints one; in JSON unchanged."""

    __slots__ = ()

    @property
    def go_text(self) -> str:
        """The text of `time.Time.String`."""
        found = _TIME.fullmatch(self or "0001-01-01T00:00:00Z")
        if found is None:
            return str(self)
        date, time, zone = found.groups()
        offset = zone.replace(":", "")
        seconds, dot, fraction = time.partition(".")
        fraction = fraction.rstrip("0")
        time = f"{seconds}{dot}{fraction}" if fraction else seconds
        return f"{date} {time} +0000 UTC" if zone == "Z" else f"{date} {time} {offset} {offset}"


class Struct:
    """The fields of a Go struct, in order.

    Attributes:
        kinds: for a field's name in JSON, a function for its zero value, its own `Struct`, or a list of one.
        names: for a field's name in JSON, its name in Go if that differs.
        is_pointer: whether its parent has a pointer to it.
        is_embedded: whether its fields are those of its parent in JSON.
    """

    def __init__(
        self, fields: str, *, pointer: bool = False, embedded: bool = False, later: str = "", **structs: Any
    ) -> None:
        """Take `NAME:KIND` or `JSON=NAME:KIND` for each field; `structs` has those that are structs.

        `later` are maps that only newer versions have.
        """
        kinds: dict[str, Any] = {}
        self.names: dict[str, str] = {}
        for field in fields.split():
            name, _, kind = field.partition(":")
            key, equals, other = name.partition("=")
            kinds[key] = structs[key] if key in structs else _KINDS[kind]
            if equals:
                self.names[key] = other
        self.kinds: Mapping[str, Any] = kinds
        self._later = later.split()
        self.is_pointer = pointer
        self.is_embedded = embedded
        self.embedded = {key: kind for key, kind in kinds.items() if _is_embedded(kind)}

    def find(self, name: str) -> Any:
        """The kind of a field, also of one in an embedded struct; None if it is unknown."""
        found = _NilMap if name in self._later else self.kinds.get(name)
        inner = (kind.find(name) for kind in self.embedded.values())
        return found if found is not None else next((kind for kind in inner if kind is not None), None)

    def fields(self) -> tuple[str, ...]:
        """The names of the fields in Go."""
        return tuple(self.names.get(key, key) for key in self.kinds)

    def is_renamed(self, key: str) -> bool:
        """Whether a key in JSON is not the name of its field in Go."""
        return any(key in struct.names for struct in (self, *self.embedded.values()))

    def key_of(self, name: str) -> str:
        """The key in JSON of a field by either name."""
        structs: list[Struct] = [self, *self.embedded.values()]
        keys = {other: key for struct in structs for key, other in struct.names.items()}
        return keys.get(name, name)


def _is_embedded(kind: Any) -> bool:
    return isinstance(kind, Struct) and kind.is_embedded


class GoStruct(Fields):
    """A document, or an object in it, as a Go struct; `raw` is the object itself."""

    def __init__(self, raw: Mapping[str, Any], struct: Struct, *, typed: bool) -> None:
        """Show `raw` as a `struct`; with `typed` by its names in Go, else by those in JSON and in Go."""
        super().__init__(raw, raw.__getitem__)
        self.raw = raw
        self._struct = struct
        self._typed = typed
        self.is_pointer = typed and struct.is_pointer

    def __getitem__(self, name: str) -> Any:
        """The value of a field; raises `TemplateError` if there is no such field."""
        if name in self._struct.embedded:
            return self._inner(self.raw, self._struct.embedded[name])
        key = self._struct.key_of(name)
        if self._typed and self._struct.is_renamed(name):
            raise TemplateError(f"there is no field .{name}")
        value, kind = self.raw.get(key), self._struct.find(key)
        return super().__getitem__(key) if kind is None else self._shown(value, kind)

    def _inner(self, raw: Mapping[str, Any], struct: Struct) -> GoStruct:
        return GoStruct(raw, struct, typed=self._typed)

    def _shown(self, value: Any, kind: Any) -> Any:
        """A value with its type in Go."""
        if isinstance(kind, Struct):
            return self._inner(value, kind) if isinstance(value, Mapping) else None
        if isinstance(kind, list):
            items = value if isinstance(value, list) else []
            found = [self._inner(item, kind[0]) if isinstance(item, Mapping) else item for item in items]
            return found or (_NilList() if value is None else value)
        if value is None:
            return _NilMap() if kind is _Set else kind()
        if kind is _Set and isinstance(value, Mapping):
            return _Set(value)
        if kind is _NilPointer and type(value) is int:
            return _Pointed(value)
        return _Time(value) if self._typed and kind is _Time and isinstance(value, str) else value

    @property
    def go_text(self) -> str | None:
        """The text of `%v` for a struct; None if it is shown as a map."""
        return self.words(named=False)

    def words(self, *, named: bool) -> str | None:
        """All values in the order of the fields, with names if `named`; None if it is shown as a map."""
        if not (self._typed and self._struct.kinds):
            return None
        found: list[str] = []
        for name in self._struct.fields():
            text = go_struct(self[name], named=named)
            found.append(f"{name}:{text}" if named else text)
        return "{" + " ".join(found) + "}"


_KINDS: dict[str, Callable[[], Any]] = {
    "list": _NilList,
    "map": _NilMap,
    "set": _Set,
    "pointer": _NilPointer,
    "flag": bool,
    "text": str,
    "number": int,
    "time": _Time,
}

_CONFIG = Struct(
    "Hostname:text Domainname:text User:text AttachStdin:flag AttachStdout:flag AttachStderr:flag "
    "ExposedPorts:set Tty:flag OpenStdin:flag StdinOnce:flag Env:list Cmd:list Healthcheck:pointer "
    "ArgsEscaped:flag Image:text Volumes:set WorkingDir:text Entrypoint:list NetworkDisabled:flag "
    "MacAddress:text OnBuild:list Labels:map StopSignal:text StopTimeout:pointer Shell:list",
    pointer=True,
)
_RESOURCES = Struct(
    "CpuShares=CPUShares:number Memory:number NanoCpus=NanoCPUs:number CgroupParent:text BlkioWeight:number "
    "BlkioWeightDevice:list BlkioDeviceReadBps:list BlkioDeviceWriteBps:list BlkioDeviceReadIOps:list "
    "BlkioDeviceWriteIOps:list CpuPeriod=CPUPeriod:number CpuQuota=CPUQuota:number "
    "CpuRealtimePeriod=CPURealtimePeriod:number CpuRealtimeRuntime=CPURealtimeRuntime:number CpusetCpus:text "
    "CpusetMems:text Devices:list DeviceCgroupRules:list DeviceRequests:list KernelMemory:number "
    "KernelMemoryTCP:number MemoryReservation:number MemorySwap:number MemorySwappiness:pointer "
    "OomKillDisable:pointer PidsLimit:pointer Ulimits:list CpuCount=CPUCount:number "
    "CpuPercent=CPUPercent:number IOMaximumIOps:number IOMaximumBandwidth:number",
    embedded=True,
)
_HOST_CONFIG = Struct(
    "Binds:list ContainerIDFile:text LogConfig:struct NetworkMode:text PortBindings:map RestartPolicy:struct "
    "AutoRemove:flag VolumeDriver:text VolumesFrom:list CapAdd:list CapDrop:list CgroupnsMode:text "
    "Dns=DNS:list DnsOptions=DNSOptions:list DnsSearch=DNSSearch:list ExtraHosts:list GroupAdd:list "
    "IpcMode:text Cgroup:text Links:list OomScoreAdj:number PidMode:text Privileged:flag "
    "PublishAllPorts:flag ReadonlyRootfs:flag SecurityOpt:list StorageOpt:map Tmpfs:map UTSMode:text "
    "UsernsMode:text ShmSize:number Sysctls:map Runtime:text ConsoleSize:list Isolation:text "
    "Resources:struct Mounts:list MaskedPaths:list ReadonlyPaths:list Init:pointer",
    pointer=True,
    later="Annotations",
    LogConfig=Struct("Type:text Config:map"),
    RestartPolicy=Struct("Name:text MaximumRetryCount:number"),
    Resources=_RESOURCES,
)
_GRAPH_DRIVER = Struct("Data:map Name:text")
_IMAGE = Struct(
    "Id=ID:text RepoTags:list RepoDigests:list Parent:text Comment:text Created:text Container:text "
    "ContainerConfig:struct DockerVersion:text Author:text Config:struct Architecture:text Variant:text "
    "Os:text OsVersion:text Size:number VirtualSize:number GraphDriver:struct RootFS:struct Metadata:struct",
    ContainerConfig=_CONFIG,
    Config=_CONFIG,
    GraphDriver=_GRAPH_DRIVER,
    RootFS=Struct("Type:text Layers:list BaseLayer:text"),
    Metadata=Struct("LastTagTime:time"),
)
_CONTAINER = Struct(
    "ContainerJSONBase:struct Mounts:list Config:struct NetworkSettings:struct",
    ContainerJSONBase=Struct(
        "Id=ID:text Created:text Path:text Args:list State:struct Image:text ResolvConfPath:text "
        "HostnamePath:text HostsPath:text LogPath:text Node:pointer Name:text RestartCount:number "
        "Driver:text Platform:text MountLabel:text ProcessLabel:text AppArmorProfile:text ExecIDs:list "
        "HostConfig:struct GraphDriver:struct SizeRw:pointer SizeRootFs:pointer",
        embedded=True,
        State=Struct(
            "Status:text Running:flag Paused:flag Restarting:flag OOMKilled:flag Dead:flag Pid:number "
            "ExitCode:number Error:text StartedAt:text FinishedAt:text Health:pointer",
            pointer=True,
        ),
        HostConfig=_HOST_CONFIG,
        GraphDriver=_GRAPH_DRIVER,
    ),
    Mounts=[
        Struct(
            "Type:text Name:text Source:text Destination:text Driver:text Mode:text RW:flag Propagation:text"
        )
    ],
    Config=_CONFIG,
    NetworkSettings=Struct(
        "NetworkSettingsBase:struct DefaultNetworkSettings:struct Networks:map",
        pointer=True,
        NetworkSettingsBase=Struct(
            "Bridge:text SandboxID:text HairpinMode:flag LinkLocalIPv6Address:text "
            "LinkLocalIPv6PrefixLen:number Ports:map SandboxKey:text SecondaryIPAddresses:list "
            "SecondaryIPv6Addresses:list",
            embedded=True,
        ),
        DefaultNetworkSettings=Struct(
            "EndpointID:text Gateway:text GlobalIPv6Address:text GlobalIPv6PrefixLen:number IPAddress:text "
            "IPPrefixLen:number IPv6Gateway:text MacAddress:text",
            embedded=True,
        ),
    ),
)
_UNKNOWN = Struct("Id=ID:text")

CONFIG_FIELDS = _CONFIG.fields()
"""The fields of the configuration of an image or a container, by their names in Go."""

HOST_CONFIG_FIELDS = (*_HOST_CONFIG.fields(), *_RESOURCES.fields())
"""The fields of what a container has of its host, likewise."""


def inspected(document: Mapping[str, Any], *, typed: bool) -> Fields:
    """The document of an image or container with the types of Docker's client; that of a layer unchanged.

    With `typed` its fields have their names in Go, else those in JSON.
    """
    is_docker = "GraphDriver" in document
    struct = (_CONTAINER if "State" in document else _IMAGE) if is_docker else _UNKNOWN
    return GoStruct(document, struct, typed=typed)
