"""What an image's config says, and what of it the steps of a Dockerfile have said already."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from layerfs.analysis.dockerfile.created import DEFAULT_SHELL
from layerfs.analysis.dockerfile.writing import array, line, pairs, paths, word
from layerfs.formats.jsontext import mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerfs.formats.jsontext import Json

__all__ = ["DEFAULT_PATH", "Configured", "Rest", "Told", "health_line", "rest_of"]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH as builders set it where nothing else does."""

_RAW_NAME = re.compile(r"\"([^\"=]*)\"=|([^\s\"=]+)=")
_NANOSECONDS = (
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 10**9),
    ("ms", 10**6),
    ("us", 10**3),
    ("ns", 1),
)


class Configured(NamedTuple):
    """The config of an image, as far as instructions set it; what has a wrong type counts as not there."""

    env: dict[str, str]
    labels: dict[str, str]
    ports: tuple[str, ...]
    volumes: tuple[str, ...]
    cmd: tuple[str, ...] | None
    entrypoint: tuple[str, ...] | None
    shell: tuple[str, ...] | None
    onbuild: tuple[str, ...]
    user: str
    workdir: str
    stop_signal: str
    health: Json

    @classmethod
    def of(cls, document: Json) -> Configured:
        """Of an image's whole config."""
        found = mapping(document, "config")
        env = [item.partition("=") for item in _texts(found, "Env") or ()]
        return cls(
            {name: value for name, _, value in env},
            {name: value for name, value in _object(found, "Labels").items() if isinstance(value, str)},
            tuple(sorted(_object(found, "ExposedPorts"))),
            tuple(sorted(_object(found, "Volumes"))),
            _texts(found, "Cmd"),
            _texts(found, "Entrypoint"),
            _texts(found, "Shell"),
            _texts(found, "OnBuild") or (),
            _text(found, "User"),
            _text(found, "WorkingDir"),
            _text(found, "StopSignal"),
            _object(found, "Healthcheck"),
        )


def _text(document: Json, key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _object(document: Json, key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _texts(document: Json, key: str) -> tuple[str, ...] | None:
    value = document.get(key)
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else None


@dataclass
class Told:
    """What the steps so far have set; `raw` has the names set by texts of a Dockerfile, by keyword."""

    env: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str | None] = field(default_factory=dict)
    ports: set[str] = field(default_factory=set)
    volumes: set[str] = field(default_factory=set)
    onbuild: list[str] = field(default_factory=list)
    cmd: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    shell: tuple[str, ...] = DEFAULT_SHELL
    user: str = ""
    workdir: str = ""
    stop_signal: str = ""
    health: bool = False
    has_cmd: bool = False
    raw: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def by(cls, base: Configured) -> Told:
        """What FROM of an image has set."""
        return cls(
            env=dict(base.env),
            labels=dict(base.labels),
            ports=set(base.ports),
            volumes=set(base.volumes),
            cmd=base.cmd,
            entrypoint=base.entrypoint,
            shell=base.shell or DEFAULT_SHELL,
            user=base.user,
            workdir=base.workdir,
            stop_signal=base.stop_signal,
            health=bool(base.health),
        )

    def enter(self, directory: str) -> None:
        """WORKDIR, which is relative to the one before."""
        self.workdir = posixpath.normpath(posixpath.join("/", self.workdir, directory))

    def take_raw(self, keyword: str, text: str) -> None:
        """Note an instruction in the words of its Dockerfile."""
        names = self.raw.setdefault(keyword, set())
        names.add(text.partition(" ")[0])
        names.update(quoted or plain for quoted, plain in _RAW_NAME.findall(text))

    def told_raw(self, keyword: str, name: str | None = None) -> bool:
        """Whether a text of a Dockerfile has set something, or something of a name."""
        return keyword in self.raw if name is None else name in self.raw.get(keyword, ())


class Rest(NamedTuple):
    """What the config says and no step did: instructions, and what no instruction can say."""

    lines: tuple[str, ...]
    unknown: tuple[str, ...]


def rest_of(config: Configured, told: Told) -> Rest:
    """The instructions that are left to be said of a config."""
    lines: list[str] = []
    unknown: list[str] = []
    for what, text in _rest(config, told):
        if text is None:
            unknown.append(f"{what} has what no Dockerfile can say, as a line break")
        else:
            lines.append(text)
    unknown += [
        f"ENV {name}: a step sets it; the config has it not" for name in sorted(told.env.keys() - config.env)
    ]
    return Rest(tuple(lines), tuple(unknown))


def _rest(config: Configured, told: Told) -> Iterator[tuple[str, str | None]]:
    """What is left to be said, each with its instruction; None where none can say it."""
    yield from _named("ENV", config.env, {"PATH": DEFAULT_PATH} | told.env, told)
    labels = {name: value for name, value in config.labels.items() if name != "io.buildah.version"}
    yield from _named("LABEL", labels, told.labels, told)
    if config.shell and config.shell != told.shell and not told.told_raw("SHELL"):
        yield "SHELL", array("SHELL", config.shell)
    yield from _single("USER", config.user, told.user, told)
    yield from _single("WORKDIR", config.workdir if config.workdir != "/" else "", told.workdir, told)
    ports = {port if "/" in port else f"{port}/tcp" for port in told.ports}
    for port in (port for port in config.ports if port not in ports):
        yield from _single("EXPOSE", port, "", told)
    volumes = [path for path in config.volumes if path not in told.volumes]
    if volumes and not told.told_raw("VOLUME"):
        yield "VOLUME", paths("VOLUME", volumes)
    yield from _single("STOPSIGNAL", config.stop_signal, told.stop_signal, told)
    if config.health and not told.health:
        yield "HEALTHCHECK", _health(config.health)
    for trigger in config.onbuild[len(told.onbuild) :]:
        yield "ONBUILD", line("ONBUILD", trigger)
    cmd = told.cmd or ()
    if (config.entrypoint or ()) != (told.entrypoint or ()) and not told.told_raw("ENTRYPOINT"):
        yield "ENTRYPOINT", array("ENTRYPOINT", config.entrypoint or ())
        cmd = cmd if told.has_cmd else ()  # that of the base is void then
    if (config.cmd or ()) != cmd and not told.told_raw("CMD"):
        yield "CMD", array("CMD", config.cmd or ())


def _named(
    keyword: str, values: Mapping[str, str], told_values: Mapping[str, str], told: Told
) -> Iterator[tuple[str, str | None]]:
    for name, value in values.items():
        if told_values.get(name) != value and not told.told_raw(keyword, name):
            yield f"{keyword} {name}", pairs(keyword, [(name, value)])


def _single(keyword: str, value: str, told_value: str, told: Told) -> Iterator[tuple[str, str | None]]:
    if value and value != told_value and not told.told_raw(keyword):
        said = word(value)
        yield keyword, None if said is None else f"{keyword} {said}"


def _health(found: Json) -> str | None:
    """A HEALTHCHECK of the config."""
    test = _texts(found, "Test") or ()
    flags = []
    for name, key in (
        ("interval", "Interval"),
        ("timeout", "Timeout"),
        ("start-period", "StartPeriod"),
        ("start-interval", "StartInterval"),
    ):
        value = found.get(key)
        if isinstance(value, int) and value > 0:
            flags.append(f"--{name}={_duration(value)}")
    retries = found.get("Retries")
    if isinstance(retries, int) and retries > 0:
        flags.append(f"--retries={retries}")
    return health_line(test, flags)


def _duration(nanoseconds: int) -> str:
    unit, size = next((unit, size) for unit, size in _NANOSECONDS if nanoseconds % size == 0)
    return f"{nanoseconds // size}{unit}"


def health_line(test: tuple[str, ...], flags: list[str] | tuple[str, ...]) -> str | None:
    """HEALTHCHECK of a test and its options; None for what no instruction says."""
    begin = " ".join(["HEALTHCHECK", *flags])
    if test[:1] == ("NONE",):
        return "HEALTHCHECK NONE"
    if test[:1] == ("CMD",) and len(test) > 1:
        return array(f"{begin} CMD", test[1:])
    if test[:1] == ("CMD-SHELL",) and len(test) == 2 and not test[1].startswith("["):
        return line(f"{begin} CMD", test[1])
    return None
