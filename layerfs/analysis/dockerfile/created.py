"""What a row of a history says, by the builder that wrote it: a keyword, and the text behind it.

| Builder | created_by |
|---|---|
| classic | `/bin/sh -c #(nop)  CMD ["a"]`; `/bin/sh -c make`, with build arguments `|1 A=1 /bin/sh -c make` |
| BuildKit | `RUN /bin/sh -c make # buildkit`, `ENV A=1`; comment `buildkit.dockerfile.v0` |
| buildah | as the classic builder, but the Dockerfile's text behind `#(nop)`; comment `FROM <base>` |
| kaniko | the line of the Dockerfile |
| jib, ko, nix, bazel, apko | no build by steps: the name of the tool, or of what is in the layer |
| commit, import | the command of the container, or nothing |

Sources: moby `builder/dockerfile/`, `daemon/commit.go` (v20.10.24); BuildKit `dockerfile2llb/convert.go`;
buildah `imagebuildah/stage_executor.go` (getCreatedBy); kaniko `pkg/executor/build.go`; nixpkgs
`pkgs/build-support/docker`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.dockerfile.gowords import texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.formats.imageconfig import HistoryEntry

__all__ = ["CONFIG_KEYWORDS", "DEFAULT_SHELL", "KEYWORDS", "Said", "read_row"]

DEFAULT_SHELL = ("/bin/sh", "-c")

CONFIG_KEYWORDS = frozenset(
    [
        "ARG",
        "CMD",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ]
)
KEYWORDS = CONFIG_KEYWORDS | {"ADD", "COPY", "RUN"}

_NOP = " #(nop) "
_NOP_SHELL = re.compile(r"([^#\n]{1,400}) #\(nop\)  SHELL \[\1\]")
_ARGUMENTS = re.compile(r"\|([0-9]{1,6}) ")
_WORD = re.compile(r"([A-Z]{3,11})(?: (.*))?", re.DOTALL)
_MOST_SHELLS = 64
_LONGEST_END = 2000
_BUILDAH_END = re.compile(
    r"(?::(?:sha256:)?[0-9a-f]{64})*(?: ?\|(?:unset|inherit|force|timestamp|label|annotation)[^\n]*)?\Z"
)
_BUILDAH_OPTION = re.compile(
    r"\|(?:inheritLabels|inheritAnnotations|unsetLabel|unsetAnnotation|force-mtime)=\S{1,80}\Z"
)
_BUILDKIT_END = " # buildkit"
_INTERACTIVE = frozenset(("sh", "bash", "/bin/sh", "/bin/bash", "/bin/ash", "/usr/bin/bash", "/bin/zsh"))
_TOOLS = (
    ("jib", re.compile(r"jib-|Jib\b")),
    ("ko", re.compile(r"ko build |ko publish |ko://")),
    ("bazel", re.compile(r"bazel build ")),
    ("apko", re.compile(r"apko\b")),
    ("buildpacks", re.compile(r"Buildpacks |Application Layer")),
)


class Said(NamedTuple):
    """What a row says.

    Attributes:
        builder: who wrote it; empty where that is not known.
        keyword: of the instruction; empty where there is none.
        text: what is behind the keyword, in the builder's own form.
        raw: whether that is the text of a Dockerfile.
        arguments: of RUN the build arguments in front of it, as text, and their number.
        shell: of RUN the shell in front of its text, joined with spaces.
        words: of RUN without a shell its words, joined with spaces, which hides where they begin.
        mounts: whether digests of bind mounts were behind the text.
    """

    builder: str
    keyword: str = ""
    text: str = ""
    raw: bool = False
    arguments: tuple[str, int] | None = None
    shell: str = ""
    words: bool = False
    mounts: bool = False


def read_row(entry: HistoryEntry, shell: Sequence[str], *, buildah: bool = False, command: str = "") -> Said:
    """What a row says.

    Args:
        entry: the row.
        shell: the SHELL that is in force before it.
        buildah: whether the image tells that buildah made it.
        command: the command of the image, joined with spaces: that of a container which was committed.
    """
    text = entry.created_by
    if not text:
        return _without_text(entry)
    if entry.comment.startswith("buildkit.dockerfile"):
        return _of_buildkit(text, shell)
    for tool, begins in _TOOLS:
        if begins.match(text) or begins.match(entry.author):
            return Said(tool, text=f"{text}: {entry.comment}" if entry.comment else text)
    buildah = buildah or entry.comment.startswith("FROM ") or _has_option_of_buildah(text)
    said = _of_nop(text, shell, buildah=buildah) or _of_run(text, shell, buildah=buildah)
    if said:
        return said
    if (match := _WORD.fullmatch(text)) and match[1] in KEYWORDS:
        if text.endswith(_BUILDKIT_END):
            return _of_buildkit(text, shell)
        return Said("kaniko" if entry.author == "kaniko" else "", match[1], match[2] or "", raw=True)
    return _of_container(entry, command)


def _without_text(entry: HistoryEntry) -> Said:
    if entry.comment.startswith("store paths:"):
        return Said("nix", text=entry.comment)
    if entry.comment.startswith("buildkit.") or not entry.comment:
        return Said("")  # kaniko's are like that, if they are to be reproducible; an import has a comment
    return Said("import", text=entry.comment)


def _has_option_of_buildah(text: str) -> bool:
    """Whether an option of a build stands behind a row, as only buildah writes it."""
    return bool(_BUILDAH_OPTION.search(text[-_LONGEST_END:]))


def _of_container(entry: HistoryEntry, command: str) -> Said:
    """A row with nothing but a command: of a container that was committed, or of RUN in the exec form."""
    text = entry.created_by
    if text in _INTERACTIVE or text == command or (text.startswith("/") and (entry.comment or entry.author)):
        return Said("commit", text=text)
    return Said("classic", "RUN", text, words=True) if text.startswith("/") else Said("", text=text)


def _of_buildkit(text: str, shell: Sequence[str]) -> Said:
    match = _WORD.fullmatch(text)
    if match is None or match[1] not in KEYWORDS:
        return Said("BuildKit", text=text)
    keyword, rest = match[1], match[2] or ""
    if keyword in ("ADD", "COPY", "RUN"):
        rest = rest.removesuffix(_BUILDKIT_END)
    if keyword != "RUN":
        return Said("BuildKit", keyword, rest)
    found = _of_run(rest, shell, buildah=False)
    return found._replace(builder="BuildKit") if found else Said("BuildKit", "RUN", rest, words=True)


def _of_nop(text: str, shell: Sequence[str], *, buildah: bool) -> Said | None:
    """A row of a step that ran nothing: the classic builder's, or buildah's."""
    change = _NOP_SHELL.fullmatch(text)
    shells = {" ".join(shell), " ".join(DEFAULT_SHELL), *([change[1]] if change else [])}
    begin = next((item + _NOP for item in shells if text.startswith(item + _NOP)), None)
    if begin is None:
        return None
    rest = text[len(begin) :]
    match = _WORD.fullmatch(rest.lstrip(" "))
    if match is None or match[1] not in KEYWORDS - {"RUN"}:
        return Said("", text=text)
    keyword = match[1]
    raw = not rest.startswith(" ") and (buildah or keyword not in ("ADD", "COPY", "WORKDIR"))
    behind = _without_end(match[2] or "") if raw else match[2] or ""
    return Said("buildah" if raw else "classic", keyword, behind, raw=raw and keyword not in ("ADD", "COPY"))


def _of_run(text: str, shell: Sequence[str], *, buildah: bool) -> Said | None:
    """A row of a command for a shell, with its build arguments or without."""
    builder = "buildah" if buildah else "classic"
    count = _ARGUMENTS.match(text)
    shells = list(dict.fromkeys((" ".join(shell), " ".join(DEFAULT_SHELL))))
    if count is None:
        begin = next((item + " " for item in shells if text.startswith(item + " ")), None)
        if begin is None:
            return None
        said = Said(builder, "RUN", text[len(begin) :], shell=begin[:-1])
    else:
        rest = text[count.end() :]
        places = [(place, item) for item in shells if (place := _shell_at(rest, item, int(count[1]))) >= 0]
        if not places:
            return Said(builder, "RUN", rest, arguments=("", int(count[1])), words=True)
        place, begin = min(places)
        arguments = (rest[:place], int(count[1]))
        said = Said(builder, "RUN", rest[place + len(begin) + 2 :], arguments=arguments, shell=begin)
    return _without_marks(said) if buildah else said


def _without_marks(said: Said) -> Said:
    """A command of buildah's without what it adds behind it: digests of bind mounts, labels that it unset."""
    text = _without_end(said.text)
    return said._replace(text=text, mounts=text != said.text, raw=texts(text) is not None)


def _without_end(text: str) -> str:
    """A text without what buildah adds behind it, which is short."""
    at = max(0, len(text) - _LONGEST_END)
    return text[:at] + _BUILDAH_END.sub("", text[at:])


def _shell_at(text: str, shell: str, count: int) -> int:
    """Where the shell begins behind so many build arguments; -1 where it does not."""
    at = -1
    for _ in range(_MOST_SHELLS):
        at = text.find(f" {shell} ", at + 1)
        if at < 0 or text.count("=", 0, at) >= count or text.count(" ", 0, at) + 1 >= count:
            return at
    return -1
