"""The driver without a server: the kernel's own overlayfs, what it refuses, and how its mounts end."""

from __future__ import annotations

import ast
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfs import DataRoot
from layerfs.errors import MountFailed
from layerfs.formats.whiteouts import TRUSTED, USER
from layerfs.hostdir import HostDir
from layerfs.tree.overlay import OverlayLayer, RawLayer
from layerfs.tree.union import UnionTree
from layerfs.views.fuse import mountpoint
from layerfs.views.fuse.driver import MountOptions
from layerfs.views.fuse.mountpoint import find_mount, unmount
from layerfs.views.kernel.driver import KernelDriver
from layerfs.views.kernel.overlayfs import Way
from tests.fuse.conftest import NOT_BY_THE_KERNEL
from tests.support.command import layerfs
from tests.support.images import image_of
from tests.support.kernel import kernel_snapshot, overlay_mount, private_dir, refusals
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec, Meta, materialise, materialise_stack
from tests.support.layouts import Layout, as_tar, layer_of
from tests.support.mounts import KERNEL, eventually, have_far_marks, served, shown
from tests.support.nobody import BECOME_NOBODY
from tests.support.oldkernel import FSCONFIG, FSOPEN, Refusal, refusing
from tests.support.processes import Running
from tests.support.snapshot import diff_snapshots
from tests.support.stacks import redirect_stacks, stacks
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.command import Result

pytestmark = [pytest.mark.fuse, pytest.mark.kernel, pytest.mark.root]

LAYERFS = str(Path(sys.executable).with_name("layerfs"))
WAYS = pytest.mark.parametrize("way", KERNEL)
STACK = [
    LayerSpec(Dir({b"gone": WHITEOUT, b"d": Dir({b"f": File(b"upper")})})),
    LayerSpec(Dir({b"gone": File(b"gone"), b"d": Dir({b"g": File(b"lower")})})),
]


class Mounting:
    """Runs `layerfs mount --driver kernel` on one root and mount point."""

    def __init__(self, root: Path, mountpoint: Path) -> None:
        self.root, self.mountpoint = root, mountpoint

    def mount(self, *arguments: str, name: str = "demo:latest") -> Result:
        return layerfs(self.root, "mount", "--driver", "kernel", *arguments, name, str(self.mountpoint))

    def umount(self, *options: str) -> Result:
        return layerfs(self.root, "umount", *options, str(self.mountpoint))

    def listed(self) -> list[dict[str, object]]:
        rows = json.loads(layerfs(self.root, "mount", "--format", "json").stdout)
        return [row for row in rows if row["mountpoint"] == str(self.mountpoint)]


@pytest.fixture
def mounting(dataroot_path: Path, tmp_path: Path) -> Iterator[Mounting]:
    """A mount point; whatever is mounted there at the end is taken off."""
    mountpoint = tmp_path / "m"
    mountpoint.mkdir()
    yield Mounting(dataroot_path, mountpoint)
    while find_mount(mountpoint):
        unmount(mountpoint, lazy=True)


def test_what_is_left_out_are_promises() -> None:
    """Every promise that is not asked of this driver is one of the others'."""
    sources = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    found = {
        node.name
        for text in sources
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }
    assert set(NOT_BY_THE_KERNEL) <= found


# -- life and end --------------------------------------------------------------------------------


@pytest.mark.parametrize("program", [[LAYERFS, "umount"], ["umount"]], ids=["layerfs umount", "umount"])
def test_mount_stays_until_it_is_taken_off(mounting: Mounting, program: list[str]) -> None:
    """No process serves it: it is listed as alive, with its options and no PID, and any umount ends it."""
    assert mounting.mount("--noexec", "--up-to", "2").code == 0
    [row] = mounting.listed()
    options = row.pop("options")
    place = str(mounting.mountpoint)
    expected = {
        "name": "demo:latest up to layer 2",
        "mountpoint": place,
        "pid": None,
        "state": "alive",
        "uid": 0,
    }
    assert row == expected
    assert isinstance(options, list)
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options)
    assert not [option for option in options if "lowerdir" in option]
    subprocess.run([*program, place], check=True)
    assert mounting.listed() == []
    assert os.listdir(mounting.mountpoint) == []


def test_foreground_is_listed_with_its_process(mounting: Mounting) -> None:
    """Who waits for the end of a mount is told as its process, and keeps nobody from ending it."""
    place = str(mounting.mountpoint)
    command = [LAYERFS, "--root", str(mounting.root), "mount", "--driver", "kernel", "-f", "demo", place]
    with Running(command, stderr=subprocess.PIPE) as waiting:
        eventually(lambda: [row["pid"] for row in mounting.listed()] == [waiting.pid])
        assert mounting.umount().code == 0
        assert waiting.wait() == 0


def test_busy_mount_stays_unless_lazy(mounting: Mounting) -> None:
    """A mount in use is not taken off, with a way out; --lazy leaves it to its last user, who reads on."""
    assert mounting.mount().code == 0
    with (mounting.mountpoint / "etc/motd").open("rb") as used:
        refused = mounting.umount()
        assert (refused.code, "busy" in refused.stderr, "--lazy" in refused.stderr) == (7, True, True)
        readers = 'while [ -e "$0/etc" ]; do find "$0" -type f -exec cat {} + >/dev/null; done'
        with Running(["sh", "-c", readers, mounting.mountpoint], stderr=subprocess.PIPE) as reading:
            assert mounting.umount("--lazy").code == 0
            assert find_mount(mounting.mountpoint) is None
            reading.communicate()
        assert used.read()


def test_ordinary_user_is_told(mounting: Mounting) -> None:
    """Whoever is not root can neither mount so, nor take it off, and is told who can."""
    program = f"""{BECOME_NOBODY}
import sys
from pathlib import Path
from layerfs.errors import MountFailed
from layerfs.tree.union import UnionTree
from layerfs.views.fuse.driver import MountOptions
from layerfs.views.fuse.mountpoint import unmount
from layerfs.views.kernel.driver import KernelDriver
become_nobody()
for act in (lambda: unmount(Path(sys.argv[1])),
            lambda: KernelDriver().mount(UnionTree([]), Path(sys.argv[1]), MountOptions("x"))):
    try:
        act()
    except MountFailed as error:
        print(error, error.hint)
"""
    assert mounting.mount().code == 0
    command = [sys.executable, "-c", program, str(mounting.mountpoint)]
    first, second = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "root mounted it" in first
    assert "run as root" in first
    assert "needs root of the host" in second
    assert "--driver native" in second
    assert mounting.listed()


@pytest.mark.parametrize(
    ("mode", "options", "told"), [(0o755, [], True), (0o755, ["--allow-other"], False), (0o700, [], False)]
)
def test_others_look_in_and_that_is_told(
    dataroot_path: Path, mode: int, options: list[str], *, told: bool
) -> None:
    """The kernel keeps nobody out: where others can come it is said, unless it was asked for."""
    with ExitStack() as held:
        place = Path(held.enter_context(_directory(mode))) / "m"
        place.mkdir()
        done = Mounting(dataroot_path, place).mount(*options)
        held.callback(unmount, place)
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", str(place)]
        seen = subprocess.run(user, capture_output=True, check=False)
    assert (done.code, "other users can look in" in done.stderr) == (0, told)
    assert ("--allow-other" in done.stderr) == told
    assert (seen.returncode == 0) == (mode == 0o755)


@contextmanager
def _directory(mode: int) -> Iterator[str]:
    """A directory that all can come to, if its mode lets them: those of the tests are closed."""
    path = f"/run/layerfs-test-{os.getpid()}"
    os.mkdir(path)
    try:
        os.chmod(path, mode)
        yield path
    finally:
        shutil.rmtree(path)


# -- what it shows -------------------------------------------------------------------------------


@WAYS
def test_marks_of_a_rootless_engine(tmp_path: Path, way: str) -> None:
    """Layers whose marks are `user.overlay.*` are read with these, and `trusted.overlay.*` means nothing."""
    opaque = Meta(xattrs={b"user.overlay.opaque": b"y"})
    plain = Meta(xattrs={b"trusted.overlay.opaque": b"y"})
    upper = Dir({b"o": Dir({b"new": File()}, opaque), b"p": Dir({b"new": File()}, plain)})
    lower = Dir({b"o": Dir({b"old": File()}), b"p": Dir({b"old": File()})})
    layers = materialise_stack([LayerSpec(upper), LayerSpec(lower)], tmp_path)
    with served(union_of(layers, userxattr=True), tmp_path / "m", way) as mounted:
        found = shown(mounted, way, layers)
        assert os.listdir(mounted / "o") == ["new"]
        assert sorted(os.listdir(mounted / "p")) == ["new", "old"]
    assert diff_snapshots(kernel_snapshot(layers, userxattr=True), found) == []


@WAYS
def test_many_layers_with_long_paths(tmp_path: Path, way: str) -> None:
    """Three hundred layers whose paths take more than the 4,096 bytes of mount options."""
    place = tmp_path / ("long, with:colon" * 10)
    place.mkdir()
    stack = [LayerSpec(Dir({b"%d" % number: File(), b"last": File(b"%d" % number)})) for number in range(300)]
    layers = materialise_stack(stack, place)
    assert sum(len(str(layer)) for layer in layers) > 4096
    with served(union_of(layers), tmp_path / "m", way) as mounted:
        assert sorted(os.listdir(mounted)) == sorted([*map(str, range(300)), "last"])
        assert (mounted / "last").read_bytes() == b"0"


def test_few_descriptors_are_enough(tmp_path: Path) -> None:
    """Where there are not descriptors enough for a mount of each layer, the kernel is given names."""
    root, _ = image_of(
        tmp_path / "root", *[LayerSpec(Dir({b"%d" % number: File()})) for number in range(100)]
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 60, hard))
    try:
        store = DataRoot.open(root)
        with served(store.tree(store.image("test:1")), tmp_path / "m", "kernel") as mounted:
            assert len(os.listdir(mounted)) == 100
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_other_overlays_are_left_alone(tmp_path: Path) -> None:
    """An overlay that layerfs did not mount is neither listed nor taken off."""
    with overlay_mount(materialise_stack(STACK, tmp_path)) as theirs:
        found = find_mount(theirs)
        assert found
        assert (found.fs_type, found.is_ours) == ("overlay", False)
        with pytest.raises(MountFailed, match="not a layerfs mount but overlay"):
            unmount(theirs)


@WAYS
def test_name_too_long_for_the_kernel_is_cut(tmp_path: Path, way: str) -> None:
    """The mount table takes 255 bytes of a source; a longer one begins alike, to the last whole character."""
    tree = union_of(materialise_stack(STACK, tmp_path))
    for name, shown_as in ("n" * 400, "n" * 247), ("日" * 100, "日" * 82):
        with served(tree, tmp_path / "m", way, MountOptions(name)) as mounted:
            found = find_mount(mounted)
            assert found
            assert found.name == shown_as


@WAYS
def test_layer_removed_under_the_mount(tmp_path: Path, way: str) -> None:
    """When a layer is removed, the others are read on, and the mount ends as ever."""
    layers = materialise_stack(STACK, tmp_path)
    with served(union_of(layers), tmp_path / "m", way) as mounted:
        shutil.rmtree(layers[0])
        assert (mounted / "d/g").read_bytes() == b"lower"


@WAYS
def test_layer_that_is_being_written_is_shown(tmp_path: Path, way: str) -> None:
    """The layer of a container that runs is the upper one of another mount, and can be looked at."""
    layers = materialise_stack(STACK, tmp_path)
    for name in ("work", "merged"):
        (tmp_path / name).mkdir()
    places = f"lowerdir={layers[1]},upperdir={layers[0]},workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", places, tmp_path / "merged"], check=True)
    try:
        with served(union_of(layers), tmp_path / "m", way) as mounted:
            assert (mounted / "d/f").read_bytes() == b"upper"
            (tmp_path / "merged/later").write_text("x")
    finally:
        subprocess.run(["umount", tmp_path / "merged"], check=True)


# -- kernels -------------------------------------------------------------------------------------

_SET_FD = 5
OLDER = {
    "before 6.13, no descriptors": ([Refusal(FSCONFIG, errno.EINVAL, 1, _SET_FD)], 0, ""),
    "before 5.2": ([Refusal(FSOPEN, errno.ENOSYS)], 7, "Function not implemented"),
    "without overlayfs": ([Refusal(FSOPEN, errno.ENODEV)], 7, "modprobe overlay"),
    "in a sandbox": ([Refusal(FSOPEN, errno.EPERM)], 7, "Operation not permitted"),
}


@pytest.mark.parametrize("kernel", OLDER)
@pytest.mark.parametrize("name", ["demo:latest", "base:1"])
def test_kernel_is_found_out_by_trying(mounting: Mounting, kernel: str, name: str) -> None:
    """Where the kernel takes no descriptors it is given names; where it can neither, the reason is told."""
    refusals, code, words = OLDER[kernel]
    place = str(mounting.mountpoint)
    command = [LAYERFS, "--root", str(mounting.root), "mount", "--driver", "kernel", name, place]
    done = subprocess.run(
        command,
        preexec_fn=refusing(refusals),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert (find_mount(mounting.mountpoint) is not None) == (code == 0)
    if code == 0:
        assert os.listdir(mounting.mountpoint)
        assert mounting.umount().code == 0
    assert find_mount(mounting.mountpoint) is None


# -- what it refuses -----------------------------------------------------------------------------


def _of_packed(place: Path) -> Path:
    layout = Layout()
    layout.name(
        layout.image([layer_of({"file": b"x"}), layer_of({"other": b"y"})]), "docker.io/library/demo:latest"
    )
    (place / "demo.tar").write_bytes(as_tar(layout.done()))
    return place / "demo.tar"


@pytest.mark.parametrize(
    ("name", "options", "words", "way_out"),
    [
        ("demo:latest", ["--layer", "2"], "as it is on disk", []),
        ("demo:latest", ["--metadata", "tar-split"], "taken from its archive", ["--metadata", "disk"]),
        ("demo:latest", ["--userns", "100000"], "user namespace", ["--userns", "none"]),
        ("lab/redirect:1", [], "redirect mark", []),
        ("lab/metacopy:1", [], "metacopy mark", []),
    ],
    ids=["layer alone", "tar-split", "owners", "redirect", "metacopy"],
)
def test_what_the_kernel_would_show_otherwise_is_refused(
    mounting: Mounting, name: str, options: list[str], words: str, way_out: list[str]
) -> None:
    """It is refused by the layer's name, with the way out, and nothing is mounted; and that is a way out."""
    done = mounting.mount(*options, name=name)
    assert (done.code, words in done.stderr) == (7, True), done.stderr
    assert done.stderr.startswith("layerfs: error: --driver kernel")  # the reason, and then the place
    assert str(mounting.root / "overlay2") in done.stderr
    assert "--driver native" in done.stderr
    assert " ".join(way_out) in done.stderr
    assert find_mount(mounting.mountpoint) is None
    if way_out:
        assert mounting.mount(*way_out, name=name).code == 0
        assert mounting.umount().code == 0


def test_packed_layers_are_refused(tmp_path: Path, mounting: Mounting) -> None:
    """An archive has no directories to stack; that is told, with the way out."""
    done = Mounting(_of_packed(tmp_path), mounting.mountpoint).mount()
    assert (done.code, "packed" in done.stderr, "--driver native" in done.stderr) == (7, True, True), (
        done.stderr
    )
    assert find_mount(mounting.mountpoint) is None


@pytest.mark.parametrize("option", ["--provenance", "--ignore-permissions"])
def test_what_only_a_server_does_is_wrong_usage(mounting: Mounting, option: str) -> None:
    """What overlayfs has nothing of is refused before anything is looked at, with the way out."""
    done = mounting.mount(option)
    assert (done.code, "--driver native" in done.stderr) == (2, True)
    assert find_mount(mounting.mountpoint) is None


def _too_many(place: Path) -> UnionTree:
    return union_of(materialise_stack([LayerSpec(Dir())] * 501, place))


def _within_each_other(place: Path) -> UnionTree:
    layers = materialise_stack([LayerSpec(Dir()), LayerSpec(Dir({b"inner": Dir()}))], place)
    return union_of([*layers, layers[1] / "inner"])


def _two_dialects(place: Path) -> UnionTree:
    directories = [HostDir.open(layer) for layer in materialise_stack(STACK, place)]
    return UnionTree(
        [OverlayLayer(RawLayer(directories[0]), TRUSTED), OverlayLayer(RawLayer(directories[1]), USER)]
    )


def _on_proc(place: Path) -> UnionTree:
    return union_of([*materialise_stack(STACK, place), Path("/proc/tty")])


@WAYS
@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (_too_many, "stacks 500 layers at most, and these are 501$"),
        (
            _within_each_other,
            "does not take a layer: it lies in another layer, or another in it: .*/1/inner$",
        ),
        (_two_dialects, "one kind of marks .*another kind than those above: .*1$"),
        (_on_proc, "does not take a layer: .*it lies on proc; .*: /proc/tty$"),
    ],
    ids=["too many", "within each other", "two dialects", "on proc"],
)
def test_stack_that_the_kernel_refuses(
    tmp_path: Path, way: str, tree: Callable[[Path], UnionTree], words: str
) -> None:
    """The sentence names the layer that is to blame, and nothing is mounted."""
    with (
        pytest.raises(MountFailed, match=words) as refused,
        served(tree(tmp_path), tmp_path / "m", way),
    ):
        pass
    assert "--driver native" in str(refused.value.hint)


@WAYS
def test_stack_too_deep_is_refused(tmp_path: Path, way: str) -> None:
    """Layers on overlayfs are stacked, those on overlayfs over overlayfs are refused, by name."""
    first = materialise_stack(STACK, tmp_path)
    with overlay_mount(first) as once:
        more = [materialise(LayerSpec(Dir({b"x": File(b"x")})), tmp_path / "more")]
        with served(union_of([*more, once]), tmp_path / "m", way) as mounted:
            assert (mounted / "d/f").read_bytes() == b"upper"
        with (
            overlay_mount([*more, once]) as twice,
            pytest.raises(MountFailed, match=r"overlayfs over overlayfs.*two at most") as refused,
            served(union_of([*more, twice]), tmp_path / "m", way),
        ):
            pass
        assert str(twice) in str(refused.value)


@settings(max_examples=30)
@given(stack=st.one_of(stacks(), redirect_stacks(max_layers=2)), userxattr=st.booleans())
def test_generated_stack_is_shown_or_refused(stack: list[LayerSpec], *, userxattr: bool) -> None:
    """Any stack, in both mark dialects, is refused if a mark is on it that is not followed, else shown."""
    with private_dir() as work:
        layers = materialise_stack(stack, work)
        tree = union_of(layers, userxattr=userxattr)
        if have_far_marks(layers, userxattr=userxattr):
            with (
                pytest.raises(
                    MountFailed, match=r"does not follow (redirect|metacopy) marks, and a layer has one: "
                ),
                served(tree, work / "m", "kernel"),
            ):
                pass
            return
        expected = refusals(kernel_snapshot(layers, userxattr=userxattr, redirects=not userxattr))
        with served(tree, work / "m", "kernel") as mounted:
            assert diff_snapshots(expected, refusals(shown(mounted, "kernel", layers))) == []


# -- interrupted ---------------------------------------------------------------------------------


@pytest.mark.parametrize("attached", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("way", "layers", "at"),
    [(Way.SEALED, 1, 1), (Way.SEALED, 2, 1), (Way.NAMED, 2, 1), (Way.NAMED, 1, 1), (Way.NAMED, 1, 2)],
)
def test_interrupted_mount_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way, layers: int, at: int, *, attached: bool
) -> None:
    """Ctrl-C right before or after something is attached leaves nothing mounted.

    Below a layer alone an empty directory is, which is attached for a moment to have a name.
    """
    place = tmp_path / "m"
    place.mkdir()
    attach = mountpoint.put_mount
    calls: list[Path] = []

    def interrupted(mount: int, place: Path) -> None:
        calls.append(place)
        if attached or len(calls) < at:
            attach(mount, place)
        if len(calls) == at:
            signal.raise_signal(signal.SIGINT)

    for module in ("driver", "overlayfs"):
        monkeypatch.setattr(f"layerfs.views.kernel.{module}.put_mount", interrupted)
    tree = union_of(materialise_stack(STACK[:layers], tmp_path))
    with pytest.raises(KeyboardInterrupt):
        KernelDriver([way]).mount(tree, place, MountOptions("test"))
    assert find_mount(place) is None
