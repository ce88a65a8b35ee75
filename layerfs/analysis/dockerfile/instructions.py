"""What a row says, as instructions of a Dockerfile; and what they set, for the rows behind it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.dockerfile.configured import health_line
from layerfs.analysis.dockerfile.created import DEFAULT_SHELL, Said
from layerfs.analysis.dockerfile.gowords import bracketed, health_check, ports, texts
from layerfs.analysis.dockerfile.splitting import split_list, split_pairs
from layerfs.analysis.dockerfile.writing import array, line, pairs, paths, run, word

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.analysis.dockerfile.configured import Configured, Told

__all__ = ["Written", "write"]

_LONGEST_SPLIT = 16_000

_SCRIPT = "the script of this heredoc, which BuildKit does not record"
_GUESSED = "where the values end, as the history does not quote them: split at spaces"


class Written(NamedTuple):
    """A row as instructions.

    Attributes:
        lines: the instructions; none where the row says none.
        unknown: what of them is not known, or only guessed.
        notes: what else the row tells.
    """

    lines: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def write(said: Said, config: Configured, told: Told) -> Written:
    """The instructions of a row, but for ADD and COPY; `told` is brought up to date.

    Args:
        said: the row.
        config: the image's config, which has values that the history does not quote.
        told: what the rows before have set.
    """
    if said.keyword == "RUN":
        return _run(said, told)
    if said.raw:
        return _raw(said, told)
    return _WRITERS[said.keyword](said, config, told)


def _one(text: str | None, *unknown: str, keyword: str = "") -> Written:
    if text is None:
        return Written(unknown=(f"{keyword}: a value that no Dockerfile can say", *unknown))
    return Written((text,), unknown)


def _raw(said: Said, told: Told) -> Written:
    """An instruction in the words of its Dockerfile."""
    keyword, text = said.keyword, said.text
    told.take_raw(keyword, text)
    if keyword == "SHELL":
        told.shell = texts(text) or told.shell
    elif keyword == "WORKDIR":
        told.enter(text.strip("\"'"))
    elif keyword == "ARG" and said.builder == "buildah":
        return _arguments_of_buildah(said, told)
    elif keyword == "HEALTHCHECK":
        told.health = True
    elif keyword == "ONBUILD":
        told.onbuild.append(text)
    return _one(line(keyword, text), keyword=keyword)


def _arguments_of_buildah(said: Said, told: Told) -> Written:
    """ARG: buildah writes the names of all arguments so far, and no value."""
    new = [name for name in said.text.split(" ") if name and name not in told.arguments]
    told.arguments.update(dict.fromkeys(new))
    lines = [text for name in new if (text := pairs("ARG", [(name, None)]))]
    return Written(tuple(lines), ("the default value of ARG",) if new else ())


# -- RUN -----------------------------------------------------------------------------------------


def _run(said: Said, told: Told) -> Written:
    unknown: list[str] = []
    notes: list[str] = []
    text = said.text
    if said.arguments:
        text = _take_arguments(said, told, unknown, notes)
    if said.words:
        is_script = said.builder == "BuildKit" and text.startswith("/dev/pipes/")
        unknown.append(_SCRIPT if is_script else "where the words of this exec form begin: split at spaces")
        return Written((_or_nothing(array("RUN", text.split(" ")), unknown),), tuple(unknown), tuple(notes))
    if said.raw and (found := line("RUN", text)):
        return Written((found,), tuple(unknown), tuple(notes))
    if said.mounts:
        unknown.append("--mount: buildah records the digests of what it bound, and nothing else")
    if said.builder == "buildah" and "\n" in text:
        text = _with_end(text, unknown)
    if said.builder == "buildah" or not said.shell or said.shell == " ".join(told.shell):
        written = run(text, told.shell, heredocs=said.builder != "classic")
    else:
        written = array("RUN", (*DEFAULT_SHELL, text))
    if written is None:
        return _one(None, keyword="RUN")
    return Written((written,), tuple(unknown), tuple(notes))


def _or_nothing(text: str | None, unknown: list[str]) -> str:
    if text is None:
        unknown.append("a command that is too long for a Dockerfile")
    return text or "# RUN"


def _with_end(text: str, unknown: list[str]) -> str:
    """A command with a heredoc as buildah writes it down: without the line that ends it."""
    first, _, body = text.partition("\n")
    mark, _, name = first.rpartition("<<")
    name = name.strip("'\"-")
    if mark.strip() or not name.isidentifier():
        unknown.append("where its heredocs end")
        return text
    return body


def _take_arguments(said: Said, told: Told, unknown: list[str], notes: list[str]) -> str:
    """Note the build arguments of a RUN; what is behind them, if no shell divides them."""
    assert said.arguments  # noqa: S101 - asked only then
    text, count = said.arguments
    rest = said.text
    if not text:
        words = rest.split(" ")
        text, rest = " ".join(words[:count]), " ".join(words[count:])
        if known := _known_begin(said.text, count, told):
            text, rest = known
    found = split_pairs(text, told.arguments) if len(text) < _LONGEST_SPLIT else None
    for name, value, sure in found or ():
        if told.arguments.get(name) != value:
            given = f"{name}={shlex.quote(value)}"
            is_buildah = said.builder == "buildah"  # which does not tell the default
            notes.append(
                f"built with ARG {given}, or --build-arg" if is_buildah else f"built with --build-arg {given}"
            )
            told.arguments[name] = value
        if not sure:
            unknown.append(f"where the value of the build argument {name} ends")
    if found is None:
        unknown.append(f"its {count} build arguments")
    return rest


def _known_begin(text: str, count: int, told: Told) -> tuple[str, str] | None:
    """The build arguments at the beginning of a text, where the steps before have told their values."""
    at = 0
    for _ in range(count):
        name = text[at : max(at, text.find("=", at))]
        if name not in told.arguments:
            return None
        at += len(name) + 1
        value = told.arguments[name]
        at = at + len(value) if value and text.startswith(value, at) else text.find(" ", at)
        if at < 0 or text[at : at + 1] != " ":
            return None
        at += 1
    return text[: at - 1], text[at:]


# -- what sets the config ------------------------------------------------------------------------


def _env(said: Said, config: Configured, told: Told) -> Written:
    return _pairs(said, config.env, told.env)


def _label(said: Said, config: Configured, told: Told) -> Written:
    return _pairs(said, config.labels, told.labels)


def _pairs(said: Said, known: dict[str, str], told: dict[str, str]) -> Written:
    found = split_pairs(said.text, known) if len(said.text) < _LONGEST_SPLIT else None
    if found is None:
        return Written(unknown=(f"{said.keyword} {said.text}",))
    told.update((name, value) for name, value, _ in found)
    unknown = () if all(item.sure for item in found) else (_GUESSED,)
    return _one(pairs(said.keyword, [item[:2] for item in found]), *unknown, keyword=said.keyword)


def _arg(said: Said, _config: Configured, told: Told) -> Written:
    name, equals, value = said.text.partition("=")
    told.arguments[name] = value if equals else None
    return _one(pairs("ARG", [(name, value if equals else None)]), keyword="ARG")


def _cmd(said: Said, _config: Configured, told: Told) -> Written:
    found = texts(said.text)
    if found is None:
        return Written(unknown=(f"{said.keyword} {said.text}",))
    if said.keyword == "CMD":
        told.cmd, told.has_cmd = found, True
    elif said.keyword == "ENTRYPOINT":
        told.entrypoint = found
        told.cmd = told.cmd if told.has_cmd else None  # that of the base is void then
    return _one(array(said.keyword, found), keyword=said.keyword)


def _shell(said: Said, config: Configured, told: Told) -> Written:
    inner = bracketed(said.text)
    if inner is None:
        return _cmd(said, config, told)
    items = config.shell or ()
    is_known = " ".join(items) == inner
    told.shell = tuple(items) if is_known else tuple(inner.split(" "))
    unknown = () if is_known or len(told.shell) <= 2 else (_GUESSED,)
    return _one(array("SHELL", told.shell), *unknown, keyword="SHELL")


def _volume(said: Said, config: Configured, told: Told) -> Written:
    found = texts(said.text)
    inner = bracketed(said.text)
    sure = True
    if found is None:
        found, sure = split_list(said.text if inner is None else inner, config.volumes)
    told.volumes.update(found)
    return _one(paths("VOLUME", found), *(() if sure else (_GUESSED,)), keyword="VOLUME")


def _expose(said: Said, _config: Configured, told: Told) -> Written:
    found = ports(said.text)
    told.ports.update(found)
    words = [said_word for port in found if (said_word := word(port))]
    return _one(f"EXPOSE {' '.join(words)}" if words else None, keyword="EXPOSE")


def _health(said: Said, _config: Configured, told: Told) -> Written:
    told.health = True
    found = health_check(said.text)
    if found is None:
        told.health = False  # the config tells the last one
        return Written(unknown=(f"HEALTHCHECK {said.text}",))
    return _one(health_line(*found), keyword="HEALTHCHECK")


def _single(said: Said, _config: Configured, told: Told) -> Written:
    value = said.text
    if said.keyword == "USER":
        told.user = value
    elif said.keyword == "WORKDIR":
        told.enter(value)
    elif said.keyword == "STOPSIGNAL":
        told.stop_signal = value
    found = word(value) if value else None
    return _one(found and f"{said.keyword} {found}", keyword=said.keyword)


def _text(said: Said, _config: Configured, told: Told) -> Written:
    if said.keyword == "ONBUILD":
        told.onbuild.append(said.text)
    return _one(line(said.keyword, said.text), keyword=said.keyword)


_WRITERS: dict[str, Callable[[Said, Configured, Told], Written]] = {
    "ARG": _arg,
    "CMD": _cmd,
    "ENTRYPOINT": _cmd,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _health,
    "LABEL": _label,
    "MAINTAINER": _text,
    "ONBUILD": _text,
    "SHELL": _shell,
    "STOPSIGNAL": _single,
    "USER": _single,
    "VOLUME": _volume,
    "WORKDIR": _single,
}
