from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from fixtures.archives import Layer
from tests.support.containerd import running
from tests.support.layouts import Layout, as_tar
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.containerd import Containerd

BASE, UPPER, ARTIFACT = "docker.io/library/base:1", "docker.io/library/upper:1", "odd name/without:registry"


def _archive(program: bytes) -> bytes:
    """An archive of two images, a base with `program` and one on it with every kind of mark."""
    base = Layer().dir("bin").file("bin/fx", program, 0o755).dir("etc").file("etc/motd", b"base\n")
    base.file("etc/issue", b"issue\n").dir("srv").file("srv/old", b"old").symlink("etc/link", "motd")
    base.dir("opt").file("opt/kept", b"kept").link("opt/also", "opt/kept")
    upper = Layer().dir("etc").file("etc/motd", b"upper\n").whiteout("etc/issue")
    upper.dir("srv").opaque("srv").file("srv/new", b"new")
    third = Layer().dir("opt").file("opt/third", b"3")
    layers = [base.done(), upper.done(), third.done()]
    layout = Layout()
    layout.name(layout.image(layers[:1], config={"Cmd": ["/bin/fx"]}), BASE)
    layout.name(layout.image(layers, config={"Labels": {"a": "b"}}), UPPER)
    return as_tar(layout.done())


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    """A containerd that runs: images unpacked and not, two namespaces, native, leftovers, containers."""
    place = tmp_path_factory.mktemp("containerd")
    sample = unpack_sample("containerd-1.6-store", place / "sample")
    program = next(sample.glob("io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs/bin/fx")).read_bytes()
    (place / "images.tar").write_bytes(_archive(program))
    (place / "live").mkdir()
    with ExitStack() as stack:
        found = stack.enter_context(running(place / "live"))
        for namespace, options in (("default", ()), ("packed", ("--no-unpack",)), ("k8s.io", ())):
            found.ctr("images", "import", *options, str(place / "images.tar"), namespace=namespace)
        native = ("--snapshotter", "native")
        found.ctr("images", "import", *native, str(place / "images.tar"), namespace="native")
        found.ctr("images", "tag", UPPER, ARTIFACT)
        top = next(row[0] for row in found.rows("snapshots", "ls") if row[1].startswith("sha256:"))
        found.ctr("snapshots", "prepare", "left-active", top)
        words = ("write", "/edited", "e", ",", "rm", "/etc/motd", ",", "append", "/opt/kept", "more")
        found.ctr("run", "--null-io", UPPER, "web", "/bin/fx", *words)
        found.ctr("run", "--null-io", BASE, "alone", "/bin/fx", "write", "/x", "y")
        found.ctr("images", "rm", "--sync", BASE)
        found.ctr("snapshots", "view", "left-view", top)
        yield found
