"""`logs` beside `podman logs` of a real Podman."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.podman.conftest import BASE
from tests.support.command import layerfs, run_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.support.podman import Podman

pytestmark = [pytest.mark.podman, pytest.mark.root]

SAYS = (
    "/bin/fx", "print", "one", ",", "append", "/dev/stderr", "wrong\\n", ",", "print", "\\e[31mred", ",",
    "print", "y" * 40_000, ",", "append", "/dev/stdout", "no\\send",
)  # fmt: skip
MANY = ("/bin/fx", *[word for number in range(60) for word in ("print", f"{number}", "y" * 100, ",")][:-1])
CONTAINERS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "k8s": (("--log-driver=k8s-file",), SAYS),
    "json": (("--log-driver=json-file",), SAYS),
    "tty": (("--log-driver=k8s-file", "--tty"), SAYS),
    "small": (("--log-driver=k8s-file", "--log-opt=max-size=2k"), MANY),
    "none": (("--log-driver=none",), SAYS),
}


@pytest.fixture(scope="module")
def engine(made: Callable[[str], Podman]) -> Iterator[Podman]:
    """A Podman that has run containers of every log driver; they are gone afterwards."""
    podman = made("rootful")
    for name, (options, words) in CONTAINERS.items():
        podman("run", "--detach", *podman._confined(), "--name", name, *options, BASE, *words)
        podman("wait", name)
    podman("create", *podman._confined(), "--name=new", "--log-driver=k8s-file", BASE, "/bin/fx")
    yield podman
    podman("rm", "--force", *CONTAINERS, "new")


@pytest.mark.parametrize("options", ["", "-t", "--tail 1", "--tail 0", "-t --tail 1", "--since 24h"])
def test_logs_are_those_of_podman(engine: Podman, options: str) -> None:
    """Standard output and standard error, as Podman writes them."""
    for name in ("k8s", "json", "tty", "small", "new"):
        found = run_bytes(engine.root, "logs", *options.split(), name)
        assert found.code == 0
        script = f"{' '.join(engine._podman())} logs {options} {name}"
        assert found.stdout.decode().replace("\r\n", "\n") == engine.run(
            "sh", "-c", script + " 2>/dev/null"
        ), name
        assert found.stderr == engine.run("sh", "-c", script + " 2>&1 >/dev/null"), name


def test_log_that_is_not_kept_is_refused(engine: Podman) -> None:
    """That nothing is kept is said, and among all the others are shown."""
    done = layerfs(engine.root, "logs", "none")
    assert (done.code, done.stdout) == (4, "")
    assert "its log driver is none" in done.stderr
    done = layerfs(engine.root, "logs", "--all", "--tail", "1")
    assert done.code == 0
    assert {line.split(" ")[0] for line in done.stdout.splitlines()} >= {"k8s", "json", "tty", "small"}
    assert done.stderr.count("layerfs: note: container none: ") == 1
