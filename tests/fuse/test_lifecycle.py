"""The life of a mount through the installed command: it begins usable and ends without a trace."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from layerfs import DataRoot
from layerfs.views.fuse.drivers import DEFAULT_DRIVER, DRIVERS
from layerfs.views.fuse.mountpoint import find_mount
from tests.support.command import layerfs as layerfs_command
from tests.support.installs import install_for_all, python_for_all
from tests.support.kernel import kernel_snapshot
from tests.support.mounts import KERNEL, eventually, mount_line, servers, shown, stacked_by_docker
from tests.support.planting import image_only, placed_layers
from tests.support.processes import Running
from tests.support.snapshot import diff_snapshots, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.fuse

LAYERFS = str(Path(sys.executable).with_name("layerfs"))
IMAGE = "demo:latest"
CORRUPT = 5


class Mounting:
    """Runs `layerfs mount` and `umount` on one data root and mount point."""

    def __init__(self, root: Path, mountpoint: Path, driver: str) -> None:
        self.root, self.mountpoint, self.driver = root, mountpoint, driver

    def command(self, *arguments: str, name: str = IMAGE) -> list[str]:
        place = str(self.mountpoint)
        return [LAYERFS, "--root", str(self.root), "mount", "--driver", self.driver, *arguments, name, place]

    def mount(self, *arguments: str, name: str = IMAGE) -> subprocess.CompletedProcess[str]:
        return _run(self.command(*arguments, name=name))

    def umount(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return _run([LAYERFS, "umount", *arguments, str(self.mountpoint)])

    def listed(self) -> list[dict[str, Any]]:
        rows = json.loads(_run([LAYERFS, "mount", "--format", "json"]).stdout)
        return [row for row in rows if row["mountpoint"] == str(self.mountpoint)]

    def server(self) -> int:
        [pid] = servers(self.mountpoint)
        return pid

    def is_gone(self) -> bool:
        return not servers(self.mountpoint) and find_mount(self.mountpoint) is None


def _run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.fixture
def mounting(dataroot_path: Path, tmp_path: Path, driver: str) -> Iterator[Mounting]:
    """A mount point; whatever is mounted there at the end is taken off."""
    mountpoint = tmp_path / "m"
    mountpoint.mkdir()
    found = Mounting(dataroot_path, mountpoint, driver)
    yield found
    for pid in servers(mountpoint):
        os.kill(pid, signal.SIGKILL)
    if find_mount(mountpoint):
        found.umount("--lazy")


def test_driver_option_names_every_driver() -> None:
    """`--driver` offers what the engine has, and defaults to what it recommends."""
    from layerfs_cli.commands.mount import command

    option = next(parameter for parameter in command.params if parameter.name == "driver_name")
    assert list(getattr(option.type, "choices", ())) == list(DRIVERS)
    assert option.default == DEFAULT_DRIVER


def test_mount_is_usable_on_return(mounting: Mounting, driver: str) -> None:
    """When the command returns, the tree is there, read-only, under the image's name; its server lives."""
    done = mounting.mount()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (mounting.mountpoint / "etc" / "motd").read_bytes()
    line = mount_line(mounting.mountpoint)
    assert line is not None
    by_kernel = driver in KERNEL
    assert (line[0], line[2]) == (f"layerfs:{IMAGE}", "overlay") if by_kernel else (IMAGE, "fuse.layerfs")
    assert {"ro", "nosuid", "nodev"} <= set(line[3].split(","))
    assert "allow_other" not in line[3]
    assert len(servers(mounting.mountpoint)) == (not by_kernel)


@pytest.mark.parametrize(
    "end",
    [
        lambda mounting: os.kill(mounting.server(), signal.SIGTERM),
        lambda mounting: os.kill(mounting.server(), signal.SIGINT),
        lambda mounting: mounting.umount(),
        lambda mounting: _run(["umount", str(mounting.mountpoint)]),
        lambda mounting: _run(["fusermount3", "-u", str(mounting.mountpoint)]),
    ],
    ids=["SIGTERM", "SIGINT", "layerfs umount", "umount", "fusermount3"],
)
def test_mount_ends_cleanly(mounting: Mounting, end: Callable[[Mounting], object]) -> None:
    """However a mount is ended, its server goes, and nothing stays mounted."""
    assert mounting.mount().returncode == 0
    assert mounting.server()
    end(mounting)
    eventually(mounting.is_gone)
    assert os.listdir(mounting.mountpoint) == []


def test_second_signal_ends_a_busy_mount_at_once(mounting: Mounting) -> None:
    """While a file is open, one signal takes the mount out of sight, and a second ends the server."""
    assert mounting.mount().returncode == 0
    server = mounting.server()
    busy = os.open(mounting.mountpoint / "etc" / "motd", os.O_RDONLY)
    os.kill(server, signal.SIGTERM)
    eventually(lambda: find_mount(mounting.mountpoint) is None)
    with suppress(ProcessLookupError):  # libfuse ends at the first
        os.kill(server, signal.SIGTERM)
    eventually(mounting.is_gone)
    with suppress(OSError):  # the server is gone
        os.close(busy)


def test_foreground_says_what_it_waits_for(dataroot_path: Path, tmp_path: Path) -> None:
    """Ctrl-C while a file is open: it can be read to its end, that is said, and a second signal ends it."""
    mounting = Mounting(dataroot_path, tmp_path, "native")
    with Running(mounting.command("-f", "--no-passthrough"), stderr=subprocess.PIPE) as serving:
        assert serving.stderr
        assert b"is mounted on" in serving.stderr.readline()
        busy = os.open(tmp_path / "etc" / "motd", os.O_RDONLY)
        try:
            serving.send_signal(signal.SIGINT)
            said = serving.stderr.readline()
            assert said.startswith(
                f"layerfs: warning: {tmp_path}: unmounted; what somebody has open".encode()
            )
            assert find_mount(tmp_path) is None
            assert os.read(busy, 100)
            serving.send_signal(signal.SIGTERM)
            assert serving.wait() == -signal.SIGTERM
        finally:
            with suppress(OSError):  # the server is gone
                os.close(busy)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, None])
def test_foreground_serves_until_told(mounting: Mounting, number: signal.Signals | None) -> None:
    """With -f the command serves and says so; a signal or an unmount from outside makes it return 0."""
    with Running(mounting.command("-f"), stderr=subprocess.PIPE) as serving:
        eventually(lambda: find_mount(mounting.mountpoint) or serving.poll() is not None)
        assert (mounting.mountpoint / "etc" / "motd").read_bytes()
        assert serving.pid == mounting.server()
        if number is None:
            assert mounting.umount().returncode == 0
        else:
            serving.send_signal(number)
        _, said = serving.communicate()
    assert serving.returncode == 0
    assert b"is mounted on" in said
    assert mounting.is_gone()


def test_mount_outlives_its_terminal(mounting: Mounting) -> None:
    """Closing the terminal in which it was made does not end a mount."""
    child, terminal = pty.fork()
    if child == 0:
        command = mounting.command()
        os.execv(command[0], command)  # noqa: S606 - the child of the terminal
    _, status = os.waitpid(child, 0)
    assert status == 0
    os.close(terminal)
    os.kill(mounting.server(), signal.SIGHUP)
    assert (mounting.mountpoint / "etc" / "motd").read_bytes()
    assert mounting.umount().returncode == 0
    eventually(mounting.is_gone)


def test_dead_mount_can_be_taken_off(mounting: Mounting) -> None:
    """After its server was killed, a mount is called dead, and what is said then takes it off."""
    mounting.mountpoint /= "with space"
    mounting.mountpoint.mkdir()
    assert mounting.mount().returncode == 0
    os.kill(mounting.server(), signal.SIGKILL)
    eventually(lambda: not servers(mounting.mountpoint))
    with pytest.raises(OSError, match=r"not connected|connection abort"):
        os.listdir(mounting.mountpoint)
    again = mounting.mount()
    assert again.returncode == 7
    assert f"{IMAGE} is mounted there still, but its server is dead" in again.stderr
    advice = again.stderr.split("`")[1]
    assert advice.startswith("layerfs umount ")
    assert _run(["sh", "-c", advice], PATH=f"{Path(LAYERFS).parent}:{os.environ['PATH']}").returncode == 0
    assert mounting.is_gone()
    assert mounting.mount().returncode == 0
    assert mounting.umount().returncode == 0


def test_mounts_are_listed(mounting: Mounting) -> None:
    """`mount` without a NAME tells of each mount what it is of, where, its server, options, and its state."""
    assert mounting.listed() == []
    assert mounting.mount("--noexec", "--allow-other", "--up-to", "2").returncode == 0
    server = mounting.server()
    [row] = mounting.listed()
    assert row == {
        "name": f"{IMAGE} up to layer 2",
        "mountpoint": str(mounting.mountpoint),
        "pid": server,
        "state": "alive",
        "uid": os.geteuid(),
        "options": row["options"],
    }
    assert {"ro", "nosuid", "nodev", "noexec", "allow_other", "default_permissions"} <= set(row["options"])
    template = "{{.Mountpoint}} {{.PID}} {{.State}}"
    assert f"{mounting.mountpoint} {server} alive\n" in _run([LAYERFS, "mount", "--format", template]).stdout
    os.kill(server, signal.SIGKILL)
    eventually(lambda: [row["state"] for row in mounting.listed()] == ["dead"])
    [row] = mounting.listed()
    assert row["pid"] is None
    assert mounting.umount().returncode == 0
    assert mounting.listed() == []


@pytest.mark.root
def test_no_command_waits_for_a_stopped_server(mounting: Mounting) -> None:
    """A server that does not answer holds up neither the list, nor a second mount, nor its end."""
    assert mounting.mount("--ignore-permissions").returncode == 0  # then it is asked about access(2) too
    server = mounting.server()
    os.kill(server, signal.SIGSTOP)
    try:
        # where its process cannot be seen, it must be asked
        unseen = ["unshare", "--mount", "unshare", "--pid", "--fork", "--mount-proc"]
        rows = json.loads(_run([*unseen, LAYERFS, "mount", "--format", "json"]).stdout)
        [row] = [row for row in rows if row["mountpoint"] == str(mounting.mountpoint)]
        assert (row["pid"], row["state"]) == (None, "not answering")
        assert [row["state"] for row in mounting.listed()] == ["alive"]
        assert f"{IMAGE} is mounted there already" in mounting.mount().stderr
        assert mounting.umount("--lazy").returncode == 0
    finally:
        os.kill(server, signal.SIGCONT)
    eventually(mounting.is_gone)


def test_busy_mount_stays_unless_lazy(mounting: Mounting) -> None:
    """A mount in use is not taken off, with a reason and a way out; --lazy leaves it to its last user."""
    assert mounting.mount().returncode == 0
    with (mounting.mountpoint / "etc" / "motd").open("rb") as used:
        refused = mounting.umount()
        assert refused.returncode == 7
        assert "busy" in refused.stderr
        assert "--lazy" in refused.stderr
        assert mount_line(mounting.mountpoint)
        assert mounting.umount("--lazy").returncode == 0
        assert mount_line(mounting.mountpoint) is None
        assert used.read()
        assert servers(mounting.mountpoint)
    eventually(mounting.is_gone)


def _missing(mounting: Mounting) -> str:
    mounting.mountpoint.rmdir()
    return "No such file or directory"


def _file(mounting: Mounting) -> str:
    mounting.mountpoint.rmdir()
    mounting.mountpoint.write_bytes(b"")
    return "not a directory"


def _full(mounting: Mounting) -> str:
    (mounting.mountpoint / "file").touch()
    return "not empty"


def _in_the_root(mounting: Mounting) -> str:
    mounting.mountpoint.rmdir()
    mounting.mountpoint.symlink_to(mounting.root / "overlay2")
    return "lies in the data root"


@pytest.mark.parametrize("prepare", [_missing, _file, _full, _in_the_root])
def test_unfit_mount_point_is_refused(mounting: Mounting, prepare: Callable[[Mounting], str]) -> None:
    """What cannot or must not be mounted on is refused with 7 and the reason."""
    reason = prepare(mounting)
    done = mounting.mount()
    assert done.returncode == 7
    assert reason in done.stderr
    assert mounting.is_gone()


def test_second_mount_is_refused(mounting: Mounting) -> None:
    """A mount point in use takes no second mount, and the first goes on."""
    assert mounting.mount().returncode == 0
    done = mounting.mount(name="base:1")
    assert done.returncode == 7
    assert f"{IMAGE} is mounted there already" in done.stderr
    assert (mounting.mountpoint / "etc" / "motd").read_bytes()


@pytest.mark.parametrize("arguments", [["no-such:image"], ["demo:latest", "--up-to", "99"]])
def test_unknown_image_mounts_nothing(mounting: Mounting, arguments: list[str]) -> None:
    """A name that means nothing exits with 3, and nothing is mounted."""
    name, *options = arguments
    assert mounting.mount(*options, name=name).returncode == 3
    assert mounting.is_gone()


@pytest.mark.parametrize("foreground", [False, True])
@pytest.mark.root
def test_refusal_of_the_kernel_is_told(mounting: Mounting, *, foreground: bool) -> None:
    """Where /dev/fuse is no FUSE device the command exits with 7, says something, and mounts nothing."""
    program = 'mount --bind /dev/null /dev/fuse && exec "$@"'
    command = mounting.command(*["-f"] * foreground)
    done = _run(["unshare", "--mount", "sh", "-c", program, "sh", *command])
    assert done.returncode == 7
    assert str(mounting.mountpoint) in done.stderr
    assert "Traceback" not in done.stderr
    assert mounting.is_gone()


def test_missing_libfuse_is_told(mounting: Mounting) -> None:
    """Without libfuse 2, the fusepy driver says what to install."""
    mounting.driver = "fusepy"
    done = _run(mounting.command(), FUSE_LIBRARY_PATH="/nonexistent/libfuse.so.2")
    assert done.returncode == 7
    assert "libfuse2" in done.stderr
    assert mounting.is_gone()


def test_umount_touches_nothing_else(mounting: Mounting) -> None:
    """What is not mounted, or not ours, is refused with 7; the others given are still unmounted."""
    assert mounting.mount().returncode == 0
    done = _run([LAYERFS, "umount", "/proc", "/nonexistent", str(mounting.mountpoint)])
    assert done.returncode == 7
    assert "not a layerfs mount but proc" in done.stderr
    assert "/nonexistent: nothing is mounted there" in done.stderr
    eventually(mounting.is_gone)
    assert Path("/proc/self").exists()


@pytest.mark.parametrize(
    "name", ["with space", "comma,colon:", "日本", "new\nline", os.fsdecode(b"\xff\xfe"), "-x"]
)
def test_any_mount_point_will_do(mounting: Mounting, name: str) -> None:
    """A mount point may have any name, and is found again under it and through a symbolic link."""
    mounting.mountpoint /= name
    mounting.mountpoint.mkdir()
    assert mounting.mount().returncode == 0
    assert (mounting.mountpoint / "etc" / "motd").read_bytes()
    link = mounting.mountpoint.with_name("link")
    link.symlink_to(mounting.mountpoint)
    assert _run([LAYERFS, "umount", str(link)]).returncode == 0
    eventually(mounting.is_gone)


@pytest.mark.root
def test_one_layer_mounts_as_it_is_on_disk(mounting: Mounting) -> None:
    """--layer shows the layer's own directory: its whiteouts as devices, every attribute."""
    root = DataRoot.open(mounting.root)
    layer = root.chain(root.image("lab/whiteouts:1"))[2]
    assert mounting.mount("--layer", "3", name="lab/whiteouts:1").returncode == 0
    expected = snapshot(mounting.root / "overlay2" / layer.cache_id / "diff")
    assert diff_snapshots(expected, snapshot(mounting.mountpoint)) == []
    assert any(entry.rdev == (0, 0) for entry in expected.values())
    line = mount_line(mounting.mountpoint)
    assert line is not None
    assert line[0] == r"lab/whiteouts:1\040layer\0403\040alone"


@pytest.mark.kernel
def test_earlier_state_mounts(mounting: Mounting, driver: str) -> None:
    """--up-to shows what the kernel shows of the image's layers up to that one."""
    root = DataRoot.open(mounting.root)
    layer = root.chain(root.image("lab/whiteouts:1"))[2]
    assert mounting.mount("--up-to", "3", name="lab/whiteouts:1").returncode == 0
    layers = stacked_by_docker(mounting.root, layer.cache_id)
    assert diff_snapshots(kernel_snapshot(layers), shown(mounting.mountpoint, driver, layers)) == []


@pytest.mark.root
@pytest.mark.parametrize(("option", "code"), [([], 2), (["--allow-other"], 0)])
def test_others_look_in_only_where_allowed(mounting: Mounting, option: list[str], code: int) -> None:
    """Another user can list a mount with --allow-other, and cannot without."""
    assert mounting.mount(*option).returncode == 0
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", "."]
    # through its working directory, as the tests' own directories are closed to others
    done = subprocess.run(command, cwd=mounting.mountpoint, capture_output=True, check=False)
    assert done.returncode == code
    assert bool(done.stdout) == (code == 0)


USER_SCRIPT = r"""
set -u
mount --bind "$1" /mnt && mount --bind "$1/fuse" /dev/fuse || exit 9
mount --bind "$1/fuse.conf" /etc/fuse.conf || exit 9
shift
exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c '
    cd /mnt && python=$1 && layerfs=$2 && driver=$3
    "$python" fixtures/unpack.py own >/dev/null 2>&1 || exit 10
    export LAYERFS_ROOT=own/dataroot
    "$layerfs" mount --driver $driver demo:latest point || exit 11
    cat point/etc/motd >/dev/null || exit 12
    grep -q "^demo:latest /mnt/point fuse.layerfs ro,nosuid,nodev" /proc/mounts || exit 13
    (cd point && "$layerfs" umount /mnt/point) && exit 14
    (cd point && "$layerfs" umount --lazy /mnt/point) || exit 15
    "$layerfs" mount --driver $driver demo:latest point || exit 16
    "$layerfs" umount point || exit 17
    "$layerfs" mount --driver $driver --allow-other demo:latest point; [ $? = 7 ] || exit 18
    "$layerfs" mount --driver $driver demo:latest /mnt/closed; [ $? = 7 ] || exit 19
    grep -q " /mnt/[a-z]* fuse" /proc/mounts && exit 20

    # this copy has lost that the file is root'"'"'s alone, and its archive tells
    "$layerfs" mount --driver $driver committed:1 point 2>own/said || exit 21
    [ $(grep -c "ignore-permissions shows" own/said) = 1 ] || exit 22
    cat point/etc/passwd && exit 23
    "$layerfs" umount point || exit 24
    "$layerfs" mount --driver $driver --ignore-permissions --noexec committed:1 point 2>own/said || exit 25
    grep -q "ignore-permissions" own/said && exit 26
    [ $(stat -c %u:%a point/etc/passwd) = 0:600 ] || exit 27
    "$layerfs" cat committed:1 /etc/passwd | cmp - point/etc/passwd || exit 28
    [ -f point/bin/fx ] && point/bin/fx && exit 29
    "$layerfs" mount --format "{{.Mountpoint}} {{.State}}" | grep -qx "/mnt/point alive" || exit 30
    kill -9 $("$layerfs" mount --format "{{.PID}}")
    "$layerfs" mount --driver $driver committed:1 point 2>&1 | grep "its server is dead" || exit 31
    "$layerfs" umount point || exit 32
    exit 0
' sh "$@"
"""


@pytest.mark.root
@pytest.mark.slow
def test_ordinary_user_mounts_too(tmp_path: Path, driver: str) -> None:
    """Without privilege a copied root mounts and unmounts through fusermount, and refusals give the reason.

    In mount tables of its own: there /dev/fuse is open to all and fuse.conf allows nothing, as on a
    machine fresh from its installer.
    """
    tmp_path.chmod(0o755)
    os.mknod(tmp_path / "fuse", 0o20666, os.makedev(10, 229))
    (tmp_path / "fuse").chmod(0o666)
    (tmp_path / "fuse.conf").touch()
    (tmp_path / "closed").mkdir()
    for name in ("own", "point"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, 65534, 65534)
    recorded = Path(__file__).parents[2] / "fixtures"
    (tmp_path / "fixtures").mkdir()
    for name in ("unpack.py", "dataroot.tar.xz"):
        (tmp_path / "fixtures" / name).write_bytes((recorded / name).read_bytes())
    command = ["unshare", "--mount", "sh", "-c", USER_SCRIPT, "sh", str(tmp_path)]
    python = python_for_all()
    done = _run([*command, python, install_for_all(tmp_path, python), driver])
    assert done.returncode == 0, done.stderr
    assert "user_allow_other" in done.stderr
    assert "busy" in done.stderr
    assert "Traceback" not in done.stderr


def test_mount_of_a_damaged_root_is_whole_or_none(dataroot_path: Path, tmp_path: Path, driver: str) -> None:
    """With a record lost all is mounted, exit 0, with a warning; with a layer lost nothing is, exit 5."""
    root = image_only(dataroot_path, tmp_path / "root", "demo:1.0")
    layer = placed_layers(root, "demo:1.0")[3]
    (tmp_path / "m").mkdir()
    mounting = Mounting(root, tmp_path / "m", driver)
    whole = layerfs_command(root, "ls", "-A", "demo:1.0", "/etc").stdout
    (layer.record / "cache-id").write_bytes(b"")
    done = mounting.mount(name="demo:1.0")
    try:
        assert (done.returncode, str(layer.record / "cache-id") in done.stderr) == (0, True)
        assert sorted(os.listdir(mounting.mountpoint / "etc")) == sorted(whole.split())
    finally:
        mounting.umount()
    eventually(mounting.is_gone)
    shutil.rmtree(layer.directory)
    assert mounting.mount(name="demo:1.0").returncode == CORRUPT
    assert mounting.is_gone()
