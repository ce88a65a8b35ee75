"""Rows of histories as real builders wrote them, and the instructions that they were.

Recorded from Docker 20.10 with both builders and from buildah 1.28 (Podman 4.3); those of other builders are
as their sources write them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from layerfs.analysis.dockerfile.configured import Configured, Told
from layerfs.analysis.dockerfile.created import Said, read_row
from layerfs.analysis.dockerfile.instructions import Written, write
from layerfs.analysis.dockerfile.sources import copied
from layerfs.formats.imageconfig import HistoryEntry

BUILDKIT = "buildkit.dockerfile.v0"
NOP = "/bin/sh -c #(nop) "
DIGEST = "231e9b9664f0fa14a25408be0164e1756e7044c592f69fa999b6701074869e38"

CONFIG = {
    "Env": ["PATH=/bin", "X=1", "Y=a b", 'Z=q"uo\\te', "OLD=old style 1"],
    "Labels": {"a": "b c", "d": "e", "k k": "vw", "q": '"x"', "org.example.role": "demo"},
    "Volumes": {"/data": {}, "/data2": {}, "/da ta3": {}},
    "Shell": ["/bin/bash", "-o", "pipefail", "-c"],
}
ENV = r'ENV X=1 Y="a b" Z="q\"uo\\te"'
LABEL = r'LABEL a="b c" d=e "k k"=vw q="\"x\""'
EXEC = "where the words of this exec form begin"
HEALTH = r"""HEALTHCHECK &{["CMD" "fx" "ls" "a b"] "1m30s" "3s" "0s" '\x02'}"""


class Row(NamedTuple):
    """A row, and what is expected of it: who wrote it, its instructions, beginnings of what is unknown."""

    created_by: str
    builder: str
    lines: list[str]
    unknown: list[str] = []  # noqa: RUF012 - a NamedTuple's default
    comment: str = ""
    author: str = ""


def _classic(text: str, *lines: str) -> Row:
    return Row(NOP + text, "classic", list(lines))


def _buildkit(text: str, *lines: str, unknown: tuple[str, ...] = ()) -> Row:
    return Row(text, "BuildKit", list(lines), list(unknown), BUILDKIT)


def _buildah(text: str, *lines: str, unknown: tuple[str, ...] = ()) -> Row:
    return Row(text, "buildah", list(lines), list(unknown), "FROM localhost/base:1")


ROWS = {
    # 1: the classic builder's settings
    "cmd": _classic(' CMD ["/bin/fx" "cat" "/etc/motd"]', 'CMD ["/bin/fx", "cat", "/etc/motd"]'),
    "entrypoint": _classic(
        r' ENTRYPOINT ["/bin/fx" "a b" "c\"d" "e\n" "\u202e"]',
        r'ENTRYPOINT ["/bin/fx", "a b", "c\"d", "e\n", "\u202e"]',
    ),
    "maintainer": _classic(" MAINTAINER Some One <a@b>", "MAINTAINER Some One <a@b>"),
    "user": _classic(" USER 1:2", "USER 1:2"),
    "workdir": _classic("WORKDIR /a place/$x", r'WORKDIR "/a place/\$x"'),
    "stopsignal": _classic(" STOPSIGNAL SIGUSR1", "STOPSIGNAL SIGUSR1"),
    "onbuild": _classic(" ONBUILD COPY . /x", "ONBUILD COPY . /x"),
    "arg": _classic(" ARG B=x y", 'ARG B="x y"'),
    # 2: values without quotes
    "label": _classic(' LABEL a=b c d=e k k=vw q="x"', LABEL),
    "env": _classic(' ENV X=1 Y=a b Z=q"uo\\te', ENV),
    "env overridden": Row(
        NOP + " ENV Y=an older value X=1", "classic", ['ENV Y="an older value" X=1'], ["where the values end"]
    ),
    # 3: sources by digest
    "add file": Row(
        NOP + f"ADD file:{DIGEST} in / ", "classic", ["ADD UNKNOWN-231e9b9664f0 /"], ["the name"]
    ),
    "copy dir": Row(
        NOP + f"COPY dir:{DIGEST} in /with space ",
        "classic",
        ['COPY ["UNKNOWN-231e9b9664f0", "/with space"]'],
        ["the name"],
    ),
    "copy with owner": Row(
        NOP + f"COPY --chown=1:2file:{DIGEST} in /owned ",
        "classic",
        ["COPY --chown=1:2 UNKNOWN-231e9b9664f0 /owned"],
        ["the name"],
    ),
    # 4: commands
    "run": Row("/bin/sh -c fx rm /root/password.txt", "classic", ["RUN fx rm /root/password.txt"]),
    "run lines": Row("/bin/sh -c a\nFROM b", "classic", [r'RUN ["/bin/sh", "-c", "a\nFROM b"]']),
    "run exec": Row("/bin/fx write /built b", "classic", ['RUN ["/bin/fx", "write", "/built", "b"]'], [EXEC]),
    # 5: build arguments
    "run arguments": Row("|2 A=1 B=x y /bin/sh -c make", "classic", ["RUN make"]),
    "run arguments of buildkit": _buildkit("RUN |2 A=1 B=x y /bin/sh -c make # buildkit", "RUN make"),
    "exec arguments": _buildkit(
        "RUN |2 A=1 B=x y /bin/fx ls /d # buildkit", 'RUN ["/bin/fx", "ls", "/d"]', unknown=(EXEC,)
    ),
    # 6, 7: BuildKit's commands and copies
    "buildkit run": _buildkit("RUN /bin/sh -c fx ls / && x # buildkit", "RUN fx ls / && x"),
    "buildkit folded": _buildkit(
        "RUN /bin/sh -c fx write /a-file-that-is-long-enough 1 &&     fx write /another-one 2 # buildkit",
        "RUN fx write /a-file-that-is-long-enough 1 && \\\n    fx write /another-one 2",
    ),
    "buildkit heredoc": _buildkit(
        "RUN /bin/sh -c set -eux\nEOF\nmake\n # buildkit", "RUN <<EOF_\nset -eux\nEOF\nmake\nEOF_"
    ),
    "buildkit command with heredoc": _buildkit(
        "RUN /bin/sh -c cat <<'E' > /x\n$a\nE # buildkit", "RUN cat <<'E' > /x\n$a\nE"
    ),
    "buildkit script": _buildkit(
        "RUN /dev/pipes/EOF # buildkit",
        'RUN ["/dev/pipes/EOF"]',
        unknown=("the script of this heredoc",),
    ),
    "buildkit copy": _buildkit(
        "COPY /side.txt /etc/copied # buildkit", "COPY /side.txt /etc/copied", unknown=("--from, --link",)
    ),
    "buildkit flags": _buildkit(
        "COPY --chown=1:2 --chmod=644 a b /c/ # buildkit",
        "COPY --chown=1:2 --chmod=644 a b /c/",
        unknown=("where the names begin", "--from, --link"),
    ),
    "buildkit copy of a text": _buildkit(
        "COPY <<EOF /x # buildkit", "COPY EOF /x", unknown=("the texts in the Dockerfile", "--from, --link")
    ),
    # 8: what Go prints
    "expose map": _buildkit("EXPOSE map[443/tcp:{} 80/tcp:{}]", "EXPOSE 443/tcp 80/tcp"),
    "expose list": _buildkit("EXPOSE [80/tcp]", "EXPOSE 80/tcp"),
    "volume": _buildkit("VOLUME [/data /data2]", "VOLUME /data /data2"),
    "volume space": _buildkit("VOLUME [/da ta3]", 'VOLUME ["/da ta3"]'),
    "volume unknown": _buildkit("VOLUME [/old x]", "VOLUME /old x", unknown=("where the values end",)),
    "shell": _buildkit("SHELL [/bin/bash -o pipefail -c]", 'SHELL ["/bin/bash", "-o", "pipefail", "-c"]'),
    "healthcheck": _buildkit(
        HEALTH, 'HEALTHCHECK --interval=1m30s --timeout=3s --retries=2 CMD ["fx", "ls", "a b"]'
    ),
    "healthcheck shell": _buildkit(
        r"""HEALTHCHECK &{["CMD-SHELL" "fx ls /"] "0s" "0s" "0s" "2s" '\n'}""",
        "HEALTHCHECK --start-interval=2s --retries=10 CMD fx ls /",
    ),
    "healthcheck none": _buildkit(r"""HEALTHCHECK &{["NONE"] "0s" "0s" "0s" '\x00'}""", "HEALTHCHECK NONE"),
    "healthcheck unknown": _buildkit("HEALTHCHECK {Test:[CMD-SHELL x]}", unknown=("HEALTHCHECK {Test",)),
    # 9: kaniko
    "kaniko": Row("RUN apk add git", "kaniko", ["RUN apk add git"], author="kaniko"),
    "kaniko copy": Row(
        "COPY --from=build /out /app",
        "kaniko",
        ["COPY /out /app"],
        ["the build stage or image build"],
        author="kaniko",
    ),
    # 10: buildah
    "buildah env": _buildah(NOP + 'ENV X=1 Y="a b"', 'ENV X=1 Y="a b"'),
    "buildah arg": _buildah(NOP + "ARG A NEW", "ARG NEW", unknown=("the default value",)),
    "buildah copy": _buildah(
        NOP + f"COPY --link file:{DIGEST} in /x ", "COPY UNKNOWN-231e9b9664f0 /x", unknown=("the name",)
    ),
    "buildah exec": _buildah(
        '/bin/sh -c ["/bin/fx","write","/built","b"]', 'RUN ["/bin/fx","write","/built","b"]'
    ),
    "buildah heredoc": _buildah("/bin/sh -c <<EOF\nmake\nmake install", "RUN <<EOF\nmake\nmake install\nEOF"),
    "buildah mount": _buildah(f"/bin/sh -c make:{DIGEST}", "RUN make", unknown=("--mount",)),
    "buildah label": _buildah(NOP + "CMD x|unsetLabel=a", "CMD x"),
    # 11, 12: no Dockerfile, and no builder
    "jib": Row("jib-maven-plugin:3.4.0", "jib", [], comment="dependencies", author="Jib"),
    "ko": Row(
        "ko build ko://github.com/x/app", "ko", [], comment="go build output, at /ko-app/app", author="ko"
    ),
    "nix": Row("", "nix", [], comment="store paths: ['/nix/store/a', '/nix/store/b']"),
    "import": Row("", "import", [], comment="by hand"),
    "commit": Row("/bin/fx write /x y", "commit", [], comment="msg", author="me"),
    "podman commit": Row("/bin/sh", "commit", [], comment="FROM docker.io/library/multi:1"),
    "step of a tool": Row("step 1", "", []),
    "comment": Row("# debian.sh --arch 'amd64' out/ 'bookworm'", "", [], comment="debuerreotype 0.15"),
    "no keyword": Row(NOP + " FROM evil", "", []),
}


def _config(values: dict[str, Any]) -> Configured:
    return Configured.of({"config": values})


def _written(said: Said) -> Written:
    told = Told(arguments={"A": "1", "B": "x y"})
    if said.keyword in ("ADD", "COPY"):
        found = copied(said, None)
        return Written((found.line or "",), found.unknown)
    return write(said, _config(CONFIG), told) if said.keyword else Written()


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_row(row: Row) -> None:
    """Each row becomes its instruction again, and no more is called unknown than cannot be known."""
    entry = HistoryEntry(None, row.created_by, row.author, row.comment, empty_layer=False)
    said = read_row(entry, ("/bin/sh", "-c"))
    found = _written(said)
    assert (said.builder, list(found.lines)) == (row.builder, row.lines)
    assert len(found.unknown) == len(row.unknown)
    assert all(text.startswith(begin) for text, begin in zip(found.unknown, row.unknown, strict=True)), (
        found.unknown
    )


def test_shell_in_force() -> None:
    """The current SHELL is taken off, and a command of another one keeps it."""
    told = Told(shell=("/bin/bash", "-c"))  # noqa: S604 - no process
    for text, line in (("/bin/bash -c x", "RUN x"), ("/bin/sh -c x", 'RUN ["/bin/sh", "-c", "x"]')):
        entry = HistoryEntry(None, f"RUN {text} # buildkit", "", BUILDKIT, empty_layer=False)
        assert write(read_row(entry, told.shell), _config({}), told).lines == (line,)
    change = HistoryEntry(None, "/bin/zsh -c #(nop)  SHELL [/bin/zsh -c]", "", "", empty_layer=True)
    assert write(read_row(change, told.shell), _config({}), told).lines == ('SHELL ["/bin/zsh", "-c"]',)
    assert told.shell == ("/bin/zsh", "-c")


def test_given_build_argument() -> None:
    """A value that ARG does not have was given for the build, and is told."""
    told = Told(arguments={"A": None})
    entry = HistoryEntry(None, "|1 A=it's /bin/sh -c make", "", "", empty_layer=False)
    assert write(read_row(entry, told.shell), _config({}), told).notes == (
        """built with --build-arg A='it'"'"'s'""",
    )
