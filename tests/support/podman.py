"""A real Podman of the test's own, with a graph root of every form; all that it started ends with the block.

There is no daemon: `running` keeps namespaces alive in which each command of Podman and Buildah is run, with
directories of their own for what is shared by a whole machine, and without a network. So containers, mounts
and locks are nobody else's, and are gone when the namespaces end, however that comes about.

Source: containers-storage.conf(5), podman(1), podman-system-reset(1); subuid(5).
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.capabilities import in_own_namespaces
from tests.support.engine import CGROUP, remove_cgroups
from tests.support.processes import children_of
from tests.support.snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.snapshot import Snapshot

__all__ = ["FORMS", "MAP", "Form", "Podman", "running"]

USER, _FIRST, _COUNT = 231_000, 300_000, 65_536
"""Who runs Podman without being root, and the IDs that are theirs besides."""

MAP = f"0:{USER}:1,1:{_FIRST}:{_COUNT}"
"""The namespace in which this user is root, as `--userns` takes it."""

_PROJECT = Path(__file__).parents[2]
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_SETUP = f"""\
set -e
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 places /mnt
mkdir -p /mnt/work /run/user/{USER}
mount --bind "$1" /mnt/work
for name in passwd group subuid subgid; do touch "/etc/$name"; cp "/etc/$name" "/run/$name"; done
echo layerfs:x:{USER}:{USER}::/mnt/work:/bin/sh >> /run/passwd
echo layerfs:x:{USER}: >> /run/group
echo layerfs:{_FIRST}:{_COUNT} | tee /run/subuid > /run/subgid
for name in passwd group subuid subgid; do mount --bind "/run/$name" "/etc/$name"; done
mkdir /run/dev && mount -t tmpfs -o mode=755,dev dev /run/dev && mknod -m 666 /run/dev/fuse c 10 229
mount --bind /run/dev/fuse /dev/fuse
chown {USER}:{USER} /run/user/{USER}
chmod 700 /run/user/{USER}
echo ready
read -r end
"""
"""Makes the machine that Podman sees; `$1` is its directory. It lasts until its standard input is closed."""


_STORAGE = """\
[storage]
driver = "{0.driver}"
graphroot = "/mnt/work/root"
runroot = "/mnt/work/run"
"""


@dataclass(frozen=True, slots=True)
class Form:
    """What a graph root is like.

    Attributes:
        driver: the storage driver.
        rootless: whether `USER` runs Podman.
        mount_program: what mounts, where that is not the kernel.
    """

    driver: str = "overlay"
    rootless: bool = False
    mount_program: str = ""


FORMS = {
    "rootful": Form(),
    "native": Form(rootless=True),
    "fuse": Form(rootless=True, mount_program="/usr/bin/fuse-overlayfs"),
    "vfs": Form("vfs"),
}
"""Every form that Debian's Podman can make, by name."""


_LOOK = """
import ctypes, os, pickle, sys
from tests.support.snapshot import snapshot
process, place = sys.argv[1:]
setns = ctypes.CDLL(None, use_errno=True).setns
for entered in [os.open(f"{process}/ns/{name}", os.O_RDONLY) for name in ("user", "mnt")]:
    if setns(entered, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
os.setgroups([]); os.setresgid(0, 0, 0); os.setresuid(0, 0, 0)
pickle.dump(snapshot(place), sys.stdout.buffer)
"""
"""Python that takes a snapshot in the namespaces of a user's process, as the root that it is there."""


@dataclass(frozen=True, slots=True)
class Podman:
    """A Podman that can be asked.

    Attributes:
        path: its directory, which its commands see as `/mnt/work`.
        form: of its graph root.
        pid: a process in its namespaces.
    """

    path: Path
    form: Form
    pid: int

    @property
    def root(self) -> Path:
        """The graph root: what layerfs is to read."""
        return self.path / "root"

    def __call__(self, *words: str) -> str:
        """What `podman WORDS…` prints."""
        return self.run(*self._podman(), *words)

    def buildah(self, *words: str) -> str:
        """What `buildah WORDS…` prints, on the same store."""
        return self.run("buildah", *self._store(), *words)

    def skopeo(self, *words: str) -> str:
        """What `skopeo WORDS…` prints; `{store}` in a word is the transport of this store."""
        store = f"containers-storage:[{self.form.driver}@/mnt/work/root+/mnt/work/run]"
        return self.run("skopeo", "--insecure-policy", *(word.replace("{store}", store) for word in words))

    def json(self, *words: str) -> Any:
        """The document that `podman WORDS…` prints."""
        return json.loads(self(*words, "--format", "json"))

    def start(self, name: str, image: str, *words: str) -> None:
        """Run a container of an image to its end."""
        self("run", *self._confined(), "--name", name, image, *words)

    def create(self, name: str, image: str, *words: str) -> None:
        """Make a container that is never started."""
        self("create", *self._confined(), "--name", name, image, *words)

    def image_tree(self, image: str) -> Snapshot:
        """An image as `podman image mount` shows it, with the owners that Podman's user sees."""
        place = self._unshared("image", "mount", image).strip()
        try:
            return self._snapshot(place)
        finally:
            self._unshared("image", "umount", "--force", image)

    def container_tree(self, name: str) -> Snapshot:
        """A container as `podman mount` shows it, likewise."""
        place = self._unshared("mount", name).strip()
        try:
            return self._snapshot(place)
        finally:
            self._unshared("umount", "--force", name)

    def run(self, *command: str) -> str:
        """Run a command where Podman runs, as its user; what it prints."""
        user = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups")
        entered = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--net", "--wdns=/mnt/work"]
        entered += [
            *(user if self.form.rootless else ()),
            "env",
            "--ignore-environment",
            *self._environment(),
        ]
        done = subprocess.run([*entered, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def _environment(self) -> Iterator[str]:
        """Nothing of the machine's settings."""
        yield from (f"PATH={_PATH}", "HOME=/mnt/work", "TZ=UTC", "TMPDIR=/mnt/work")
        yield from (
            f"XDG_RUNTIME_DIR=/run/user/{USER if self.form.rootless else 0}",
            "CONTAINERS_CONF=/dev/null",
        )
        yield "CONTAINERS_STORAGE_CONF=/mnt/work/storage.conf"

    def _podman(self) -> list[str]:
        own = [
            "--tmpdir=/mnt/work/tmp",
            "--cgroup-manager=cgroupfs",
            "--events-backend=file",
            "--runtime=runc",
        ]
        return ["podman", *self._store(), *own]

    def _store(self) -> list[str]:
        words = ["--root=/mnt/work/root", "--runroot=/mnt/work/run", f"--storage-driver={self.form.driver}"]
        program = self.form.mount_program
        return [*words, *([f"--storage-opt=overlay.mount_program={program}"] if program else ())]

    def _confined(self) -> list[str]:
        """Within the limits of who runs the tests, and, of root, in a group that is removed."""
        limits = ["--ulimit=nofile=512:512", "--ulimit=nproc=512:512"]
        group = [] if self.form.rootless else [f"--cgroup-parent=/{CGROUP}"]
        return ["--pull=never", "--network=none", *limits, *group]

    def _unshared(self, *words: str) -> str:
        """Podman in the namespace where its user may mount."""
        if not self.form.rootless:
            return self(*words)
        return self("unshare", *self._podman(), *words)

    def _snapshot(self, place: str) -> Snapshot:
        """What the commands see at a place."""
        machine = Path(f"/proc/{self.pid}/root")
        if not self.form.rootless:
            return snapshot(machine / place.lstrip("/"))
        pause = (machine / "mnt/work/tmp/pause.pid").read_text().strip()  # it keeps such a user's mounts
        command = ["nsenter", f"--target={self.pid}", "--pid", sys.executable, "-c", _LOOK]
        done = subprocess.run(
            [*command, str(machine / "proc" / pause), place], capture_output=True, check=True, cwd=_PROJECT
        )
        found: Snapshot = pickle.loads(done.stdout)  # noqa: S301 - our own
        return found


@contextmanager
def running(path: Path, form: Form) -> Iterator[Podman]:
    """A Podman with its files below `path`, an empty directory of its own."""
    path.chmod(0o755)
    (path / "storage.conf").write_text(_STORAGE.format(form))
    if form.rootless:
        os.chown(path, USER, USER)
    alive, held = os.pipe()  # what it starts holds this open as long as it runs
    command = in_own_namespaces("unshare", "--net", "sh", "-c", _SETUP, "sh", str(path))
    pipe = subprocess.PIPE
    with (
        os.fdopen(alive, "rb") as ended,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, pass_fds=[held]) as machine,
    ):
        os.close(held)
        try:
            assert machine.stdout
            assert machine.stdout.readline() == "ready\n"
            (first,) = children_of(machine.pid)
            yield Podman(path, form, first)
        finally:
            machine.kill()
            ended.read()
            remove_cgroups()
