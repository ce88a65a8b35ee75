"""JSON objects as the engine prints them: with its fields, their order and their zero values.

The engine decodes a document into a Go struct and encodes that, so unknown keys vanish, missing ones
appear with zero values, and `omitempty` decides what is left out. A tuple of `Field`s describes such a
struct; `encode` does the rest.

Source: moby `api/types/container/config.go`, `api/types/types.go` (v20.10.24); Go `encoding/json`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from layerfs.formats.errors import FormatError
from layerfs.formats.gotime import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.formats.jsontext import Json

__all__ = ["CONFIG", "ENDPOINT", "MOUNT_POINT", "NETWORK_SETTINGS", "STATE", "ZERO_TIME", "encode", "go_time"]

ZERO_TIME = "0001-01-01T00:00:00Z"

_TIME = re.compile(r"(.*?:\d\d:\d\d)(?:[.,](\d+))?(?:[Zz]|([+-]\d\d:\d\d))")


class Field(NamedTuple):
    """One field of a struct: its key, how its value is decoded, and when it is left out.

    A field that only newer engines know (`omit_absent`) is left out where the document has none.
    """

    name: str
    decode: Callable[[Any], Any]
    omit_empty: bool = False
    omit_null: bool = False
    omit_absent: bool = False

    def omits(self, value: Any) -> bool:
        """Whether Go leaves the field out: where it is `omitempty`, for a pointer only when it is nil."""
        return (self.omit_null and value is None) or (self.omit_empty and not value)


def encode(document: Json | None, fields: tuple[Field, ...]) -> dict[str, Any]:
    """The document as the engine would write it; raises `FormatError` where it would refuse it."""
    found: dict[str, Any] = {}
    for field in fields:
        if field.omit_absent and field.name not in (document or {}):
            continue
        try:
            value = field.decode(_lookup(document or {}, field.name))
        except TypeError as error:
            raise FormatError(f"wrong type of {field.name}", expected=str(error)) from error
        if not field.omits(value):
            found[field.name] = value
    return found


def go_time(text: str) -> str:
    """A time as Go writes it: the offset is kept, the fraction loses its zeros; empty is Go's zero time.

    Raises:
        FormatError: no RFC 3339 time.
    """
    if not text:
        return ZERO_TIME
    parse_time(text)
    match = _TIME.fullmatch(text.strip())
    assert match  # noqa: S101 - `parse_time` took it
    fraction = (match[2] or "")[:9].rstrip("0")
    offset = match[3] if match[3] and match[3][1:] != "00:00" else "Z"
    return match[1].replace("t", "T") + (f".{fraction}" if fraction else "") + offset


def _lookup(document: Json, key: str) -> Any:
    """The value of a key, which Go finds without regard to case, an exact match first."""
    if key in document:
        return document[key]
    folded = key.casefold()
    return next((document[name] for name in document if name.casefold() == folded), None)


# -- decoders: the value that Go makes of a JSON value; a TypeError says which type it must have ----


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise TypeError("a text")
    return value or ""


def _flag(value: Any) -> bool:
    if value is not None and not isinstance(value, bool):
        raise TypeError("true or false")
    return bool(value)


def _integer(value: Any) -> int:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise TypeError("an integer")
    return value or 0


def _pointer(decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A pointer: null stays null, and does not become a zero value."""
    return lambda value: None if value is None else decode(value)


def _texts(value: Any) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise TypeError("an array of texts")
    return [_text(item) for item in value]


def _words(value: Any) -> list[str] | None:
    """A command (StrSlice): an array of texts, or one text, which is its only element."""
    return [_text(value)] if isinstance(value, str) else _texts(value)


def _mapping(decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A Go map: null is kept, keys are sorted."""

    def of(value: Any) -> dict[str, Any] | None:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise TypeError("an object")
        return {_text(key): decode(value[key]) for key in sorted(value)}

    return of


def _nothing(_value: Any) -> dict[str, Any]:
    return {}


def _anything(value: Any) -> Any:
    return value


def _struct(fields: tuple[Field, ...]) -> Callable[[Any], Any]:
    def of(value: Any) -> dict[str, Any]:
        if value is not None and not isinstance(value, dict):
            raise TypeError("an object")
        return encode(value, fields)

    return of


def _time(value: Any) -> str:
    return go_time(_text(value))


_HEALTH_CHECK = (
    Field("Test", _texts, omit_empty=True),
    Field("Interval", _integer, omit_empty=True),
    Field("Timeout", _integer, omit_empty=True),
    Field("StartPeriod", _integer, omit_empty=True),
    Field("Retries", _integer, omit_empty=True),
)

CONFIG = (
    Field("Hostname", _text),
    Field("Domainname", _text),
    Field("User", _text),
    Field("AttachStdin", _flag),
    Field("AttachStdout", _flag),
    Field("AttachStderr", _flag),
    Field("ExposedPorts", _mapping(_nothing), omit_empty=True),
    Field("Tty", _flag),
    Field("OpenStdin", _flag),
    Field("StdinOnce", _flag),
    Field("Env", _texts),
    Field("Cmd", _words),
    Field("Healthcheck", _pointer(_struct(_HEALTH_CHECK)), omit_null=True),
    Field("ArgsEscaped", _flag, omit_empty=True),
    Field("Image", _text),
    Field("Volumes", _mapping(_nothing)),
    Field("WorkingDir", _text),
    Field("Entrypoint", _words),
    Field("NetworkDisabled", _flag, omit_empty=True),
    Field("MacAddress", _text, omit_empty=True),
    Field("OnBuild", _texts),
    Field("Labels", _mapping(_text)),
    Field("StopSignal", _text, omit_empty=True),
    Field("StopTimeout", _pointer(_integer), omit_null=True),
    Field("Shell", _words, omit_empty=True),
)
"""`container.Config`: how a container is run; the same struct for images and containers."""

STATE = (
    Field("Running", _flag),
    Field("Paused", _flag),
    Field("Restarting", _flag),
    Field("OOMKilled", _flag),
    Field("Dead", _flag),
    Field("Pid", _integer),
    Field("ExitCode", _integer),
    Field("Error", _text),
    Field("StartedAt", _time),
    Field("FinishedAt", _time),
    Field("Health", _anything, omit_null=True),
)
"""`types.ContainerState` without its Status, which the engine makes up from the others."""

MOUNT_POINT = (
    Field("Type", _text, omit_empty=True),
    Field("Name", _text, omit_empty=True),
    Field("Source", _text),
    Field("Destination", _text),
    Field("Driver", _text, omit_empty=True),
    Field("Mode", _text),
    Field("RW", _flag),
    Field("Propagation", _text),
)
"""`types.MountPoint`."""

ENDPOINT = (
    Field("IPAMConfig", _anything),
    Field("Links", _texts),
    Field("Aliases", _texts),
    Field("NetworkID", _text),
    Field("EndpointID", _text),
    Field("Gateway", _text),
    Field("IPAddress", _text),
    Field("IPPrefixLen", _integer),
    Field("IPv6Gateway", _text),
    Field("GlobalIPv6Address", _text),
    Field("GlobalIPv6PrefixLen", _integer),
    Field("MacAddress", _text),
    Field("DriverOpts", _mapping(_text)),
    Field("GwPriority", _integer, omit_absent=True),
    Field("DNSNames", _texts, omit_absent=True),
)
"""`network.EndpointSettings`: a container in one network."""

NETWORK_SETTINGS = (
    Field("Bridge", _text),
    Field("SandboxID", _text),
    Field("HairpinMode", _flag),
    Field("LinkLocalIPv6Address", _text),
    Field("LinkLocalIPv6PrefixLen", _integer),
    Field("Ports", lambda value: _mapping(_anything)(value) or {}),
    Field("SandboxKey", _text),
    Field("SecondaryIPAddresses", _anything),
    Field("SecondaryIPv6Addresses", _anything),
    Field("EndpointID", _text),
    Field("Gateway", _text),
    Field("GlobalIPv6Address", _text),
    Field("GlobalIPv6PrefixLen", _integer),
    Field("IPAddress", _text),
    Field("IPPrefixLen", _integer),
    Field("IPv6Gateway", _text),
    Field("MacAddress", _text),
    Field("Networks", _mapping(_pointer(_struct(ENDPOINT)))),
)
"""`types.NetworkSettings`."""
