"""`layerfs dockerfile`: what it writes, built again by a real Engine, gives the same history and tree."""

from __future__ import annotations

import io
import re
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs
from tests.support.engine import Engine, engine_on_copy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.dockerd

SETTINGS = r"""
ENV X=1 Y="a b" Z='q"uo\te' DOLLAR='$HOME' EMPTY= EQ="a=b c=d"
LABEL a="b c" d=e "k k"="v\
w" q="\"x\"" back="c:\\x\\"
WORKDIR "/a place/$X"
EXPOSE 80 443/tcp 53/udp
VOLUME ["/data", "/da ta3"]
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=1m30s --retries=2 CMD ["fx", "ls", "a b\"\\c"]
ONBUILD COPY . /x
SHELL ["/bin/../bin/sh", "-c"]
RUN fx ls /
ENTRYPOINT ["/bin/fx", "a b", "c\"d", "e\n", "é☃"]
CMD fx ls "a b" $X
USER 1:2
"""

BUILDKITS = r"""
ENV OLD old style $X
WORKDIR /w/x
WORKDIR rel
VOLUME ["/da ta4"]
HEALTHCHECK NONE
HEALTHCHECK --timeout=3s --start-period=1s CMD fx ls / || fx ls "a b"
CMD ["fx", "ls"]
"""
"""What costs BuildKit nothing, and the classic builder a container each."""

STEPS = (
    r"""FROM base:1
MAINTAINER Some One <a@b>
ARG A=1
ARG B="x y"
ARG NODEF
RUN fx write /long-line-that-is-folded-again $A && \
    fx write /other 2 && \
    fx write /third 3
COPY ["b c.txt", "/with space"]
COPY d /d/
COPY a.txt e.txt /m/
COPY *.cfg /etc/
COPY a.txt /etc/
ADD t.tar /t/
"""
    + SETTINGS
)

HOSTILE = r"""FROM base:1
SHELL ["/bin/fx", "print"]
RUN ["/bin/fx", "print", "b 2 \\"]
RUN ["/bin/fx", "print", "c <<EOF"]
RUN ["/bin/fx", "print", "[\"fx\"]"]
RUN ["/bin/fx", "print", "--mount=type=bind fx"]
RUN ["/bin/fx", "print", " fx write /d 4 "]
RUN ["/bin/fx", "print", "fx write /e \u001b]0;x\u0007 \u2028 é"]
CMD ["\u001b[2J", "\nUSER root"]
"""

LINES = r"""FROM base:1
RUN ["/bin/fx", "print", "a 1\nFROM scratch\n# escape=`\nRUN <<EOF\nEOF\n"]
"""
"""BuildKit's would be a heredoc, which this Engine does not know yet."""


@pytest.fixture(scope="module")
def own_engine(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An Engine that may build."""
    with engine_on_copy(dataroot_path, tmp_path_factory.mktemp("dockerfile")) as running:
        yield running


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Dockerfiles above copy."""
    path = tmp_path_factory.mktemp("context")
    for name in ("a.txt", "b c.txt", "e.txt", "one.cfg", "two.cfg", "d/sub/s", "d/q"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(f"{name}\n")
    with tarfile.open(path / "t.tar", "w") as archive:
        for name, owner in (("in/one", 7), ("in/two", 0)):
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.mtime = 3, owner, 1_600_000_000
            archive.addfile(member, io.BytesIO(b"two"))
    return path


def _rows(engine: Engine, image: str) -> list[str]:
    """The texts of a history, oldest first, digests of what was copied apart."""
    texts = [str(row["CreatedBy"]) for row in reversed(engine.history(image))]
    return [re.sub(r":[0-9a-f]{64} in ", ": in ", text) for text in texts]


def _again(engine: Engine, image: str, target: Path, *options: str, buildkit: bool) -> str:
    """An image built from what `dockerfile --context` writes of another."""
    done = layerfs(engine.root, "dockerfile", "--context", str(target), image)
    assert done.code == 0, done.stderr
    assert "error" not in done.stderr
    return engine.build(target, *options, buildkit=buildkit)


def _tree(engine: Engine, image: str) -> dict[str, object]:
    """Every file of an image: type, mode, owner, and the digest of its content."""
    rows = layerfs(engine.root, "hashes", "--format", "json", image).json
    listed = layerfs(engine.root, "find", "--format", "json", image).json
    modes = {row["path"]: (row["type"], row["mode"], row["uid"], row["gid"]) for row in listed}
    return {row["path"]: (row.get("sha256"), modes[row["path"]]) for row in rows}


@pytest.mark.parametrize(
    ("text", "builder"),
    [
        (STEPS, "classic"),
        (STEPS, "buildkit"),
        (HOSTILE, "classic"),
        (HOSTILE, "buildkit"),
        (LINES, "classic"),
    ],
    ids=["steps-classic", "steps-buildkit", "hostile-classic", "hostile-buildkit", "lines-classic"],
)
def test_built_again(own_engine: Engine, context: Path, tmp_path: Path, text: str, builder: str) -> None:
    """The history is the same: all of BuildKit's, and of the classic builder's all but what digests tell."""
    buildkit = builder == "buildkit"
    (context / "Dockerfile").write_text(text)
    options = ("--build-arg", "NODEF=given") if "ARG" in text else ()
    first = own_engine.build(context, *options, buildkit=buildkit)
    second = _again(own_engine, first, tmp_path / "again", *options, buildkit=buildkit)
    assert _rows(own_engine, second) == _rows(own_engine, first)
    assert _tree(own_engine, second) == _tree(own_engine, first) != {}
    ours, theirs = (own_engine.image(image)["Config"] for image in (second, first))
    for config in (ours, theirs):
        config.pop("Image", None)  # the ID of the step before
    assert ours == theirs
