"""Graph roots of a real Podman, one of every form that it can make here, with images and containers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from fixtures.archives import Archive, Image, Layer
from tests.support.podman import FORMS, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.podman import Podman

BASE, UPPER, HOSTED = "docker.io/library/base:1", "docker.io/library/upper:1", "localhost:5000/team/upper:2"
TWICE, COMMITTED, BUILT = "docker.io/library/twice:1", "localhost/committed:1", "localhost/built:1"

NEEDS = {"native": ("rootless",), "fuse": ("rootless", "fuse_overlayfs")}
"""What a form needs besides Podman."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what takes `podman` on a graph root of every form."""
    if "podman" in metafunc.fixturenames:
        forms = [pytest.param(name, marks=[getattr(pytest.mark, mark) for mark in NEEDS.get(name, ())])
                 for name in FORMS]  # fmt: skip
        metafunc.parametrize("podman", forms, indirect=True, scope="session")


@pytest.fixture(scope="session")
def made(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Podman]]:
    """Gives a Podman with a filled graph root of a form, which is made when it is first asked for."""
    found: dict[str, Podman] = {}
    with ExitStack() as stack:

        def make(form: str) -> Podman:
            if form not in found:
                place = tmp_path_factory.mktemp(f"podman-{form}")
                found[form] = stack.enter_context(running(place, FORMS[form]))
                (place / "images.tar").write_bytes(images_of(dataroot_path))
                _fill(found[form])
            return found[form]

        yield make


@pytest.fixture(scope="session")
def podman(request: pytest.FixtureRequest, made: Callable[[str], Podman]) -> Podman:
    """Podman on a graph root of each form; a test adds nothing to it."""
    found: str = request.param
    return made(found)


def images_of(dataroot: Path) -> bytes:
    """An archive of a base with `fx`, one on it with every kind of mark, and one that has a layer twice."""
    program = next(dataroot.glob("overlay2/*/diff/bin/fx")).read_bytes()
    base = Layer().dir("bin").file("bin/fx", program, 0o755).symlink("bin/sh", "fx").dir("etc")
    base.file("etc/motd", b"base\n").file("etc/issue", b"issue\n").symlink("etc/link", "motd")
    base.dir("srv").file("srv/old", b"old").dir("srv/www").file("srv/www/index.html", b"<p>")
    base.dir("opt").file("opt/kept", b"kept").link("opt/also", "opt/kept").file("opt/early", mtime=-5)
    base.file("opt/attributes", xattrs={"user.y": b"2"}).file("opt/gone").dir("opt/d").file("opt/d/f")
    base.file("opt/setuid", b"s", 0o4755, uid=1000, gid=50).dir("tmp", 0o1777, uid=7)
    upper = Layer().dir("etc", 0o750).file("etc/motd", b"upper\n").whiteout("etc/issue").dir("opt")
    upper.whiteout("opt/gone").whiteout("opt/d").whiteout("opt/never").opaque("srv").file("srv/new", b"new")
    third = Layer().dir("opt").file("opt/third", b"3").dir("opt/d").file("opt/d/again")
    third.dir("tmp", 0o1777, uid=7).file("tmp/inner")
    layers = [base.done(), upper.done(), third.done()]
    time = "2026-01-01T00:00:00Z"
    images = [
        Image([BASE], layers[:1], time, {"Cmd": ["/bin/fx"]}),
        Image([UPPER, HOSTED], layers, time, {"Labels": {"a": "b"}, "Env": ["X=1"]}),
        Image([TWICE], [*layers[:2], layers[1]], time),
    ]
    return Archive(images).done()


CHANGES = (
    "write", "/edited", "e", ",", "rm", "/etc/motd", ",", "append", "/opt/third", "more", ",",
    "rmtree", "/srv", ",", "mkdir", "/srv", ",", "write", "/srv/made", "m", ",", "chmod", "700", "/opt/d",
)  # fmt: skip
"""What the container `changed` does."""


def _fill(podman: Podman) -> None:
    """Images loaded, named, unnamed, committed and built; containers that ran, did not, and are Buildah's."""
    podman("load", "--quiet", "--input=images.tar")
    podman("tag", UPPER, "localhost/second:name")
    podman("untag", TWICE, TWICE)
    podman.start("changed", UPPER, "/bin/fx", *CHANGES)
    podman.create("idle", BASE, "/bin/fx")
    podman("commit", "--quiet", "--author=by hand", "changed", COMMITTED)
    context = podman.path / "context"
    context.mkdir()
    (context / "Containerfile").write_text(f"FROM {UPPER}\nCOPY Containerfile /copied/\nENV a=b\n")
    build = ("--quiet", "--isolation=chroot", "--pull=never", "--network=host")  # its own, without a network
    podman("build", *build, f"--tag={BUILT}", "context")
    podman.buildah("from", "--name=working", "--pull-never", UPPER)
