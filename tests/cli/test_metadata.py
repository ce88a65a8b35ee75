"""`--metadata`: where attributes come from, in every command that shows a tree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from layerfs import DataRoot
from tests.support.command import Result, layerfs
from tests.support.copies import COPIES, NOBODY
from tests.support.rootbuilder import RootBuilder
from tests.support.tarsplit import tar_split

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

LOST = "are taken from each layer's tar-split.json.gz"
NO_ARCHIVE = "layers of containers have no tar-split.json.gz"
LAYERFS = str(Path(sys.executable).with_name("layerfs"))


@pytest.fixture(scope="module")
def copied(shallow_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded root as an ordinary user copies it with `cp -r`."""
    target = tmp_path_factory.mktemp("copied") / "root"
    COPIES["cp -r by an ordinary user"].make(shallow_path, target)
    return target


COMMANDS = {
    "ls": ("ls", "-AnR", "--full-time", "--format", "jsonl", "lab/attributes:1"),
    "ls of a layer": ("ls", "-lAR", "--layer", "5", "demo"),
    "stat": ("stat", "--format", "{{.Path}} {{.Mode}} {{.UID}} {{.GID}} {{.MTime}} {{json .Xattrs}}",
             "lab/xattrs:1", "/acl", "/big", "/bin", "/capable", "/escaped", "/merged", "/private"),
    "tree": ("tree", "lab/whiteouts:1"),
    "find": ("find", "lab/attributes:1", "-uid", "4294967294", "-ls"),
    "find by mode": ("find", "lab/attributes:1", "-perm", "-4000"),
    "find devices": ("find", "lab/nodes:1", "-type", "c,b,p", "-ls"),
    "diff": ("diff", "--format", "jsonl", "--ignore", "mtime", "demo@3", "demo"),
    "changes": ("changes", "--format", "jsonl", "lab/types:1"),
    "blame": ("blame", "--format", "jsonl", "demo", "/etc/motd"),
    "deleted": ("deleted", "--format", "jsonl", "lab/whiteouts:1"),
    "waste": ("waste", "--format", "jsonl", "lab/links:1"),
    "cat": ("cat", "demo", "/etc/motd"),
}  # fmt: skip


def _comparable(found: Result, root: Path) -> str:
    """Without what is the copy's own: its place, its inode numbers, and when its layers were unpacked."""
    text = found.stdout.replace(str(root), "ROOT")
    text = re.sub(r'"inode": ?\d+', '"inode":N', text)
    text = re.sub(r'(?<="path":"/",)(.*)"mtime":"[^"]*"', r"\1", text)
    return re.sub(r"^( *\d+)? +\d{6,} ", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_every_command_tells_of_the_copy_what_it_tells_of_the_original(
    shallow_path: Path, copied: Path, arguments: tuple[str, ...]
) -> None:
    """The same answer as from the intact root, and one line that says where it comes from."""
    intact, found = layerfs(shallow_path, *arguments), layerfs(copied, *arguments)
    assert _comparable(found, copied) == _comparable(intact, shallow_path) != ""
    assert (found.code, intact.stderr) == (intact.code, "")
    assert found.stderr.count(LOST) == len(found.stderr.splitlines()) == 1


def _owner(found: Result) -> int:
    owner: int = found.json[0]["uid"]
    return owner


OWNER = ("stat", "--format", "json", "lab/attributes:1", "/high-uid")
ARCHIVED = 4294967294


@pytest.mark.parametrize(
    ("before", "after", "environment", "owner"),
    [
        ((), (), None, ARCHIVED),
        ((), (), "disk", NOBODY),
        (("--metadata", "disk"), (), "tar-split", NOBODY),
        (("--metadata", "disk"), ("--metadata", "auto"), "disk", ARCHIVED),
        (("--metadata", "tar-split"), ("--metadata", "disk"), None, NOBODY),
        ((), ("--metadata", "tar-split"), "disk", ARCHIVED),
    ],
)
def test_the_nearest_choice_counts(
    copied: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: tuple[str, ...],
    after: tuple[str, ...],
    environment: str | None,
    owner: int,
) -> None:
    """The option behind the command's name counts first, then the one in front of it, then the variable."""
    if environment:
        monkeypatch.setenv("LAYERFS_METADATA", environment)
    found = layerfs(copied, *before, OWNER[0], *after, *OWNER[1:])
    assert _owner(found) == owner
    assert (LOST in found.stderr) == (not before + after or after[-1:] == ("auto",)) == (owner != NOBODY) or (
        "tar-split" in after or owner == NOBODY
    )


def test_what_is_no_choice_is_refused(copied: Path) -> None:
    """Another word is wrong usage, by option and from Python."""
    assert layerfs(copied, "--metadata", "tape", "ls", "demo").code == 2
    with pytest.raises(ValueError, match="tape"):
        DataRoot.open(copied, metadata="tape")


def test_a_choice_says_nothing(copied: Path) -> None:
    """Who asked for the disk or for the archives is not told so."""
    for choice in ("disk", "tar-split"):
        assert layerfs(copied, "--metadata", choice, "ls", "demo").stderr == ""


def test_containers_are_as_on_disk(copied: Path) -> None:
    """Layers of containers have no archive: that is said, once, and their image still has its own owners."""
    found = layerfs(copied, "ls", "-R", "--format", "json", "changed")
    assert found.code == 0
    assert found.stderr.count(NO_ARCHIVE) == found.stderr.count(LOST) == 1
    owners = {row["layer"]: row["uid"] for row in found.json}
    assert {owner for layer, owner in owners.items() if layer > 6} == {NOBODY}
    assert {owner for layer, owner in owners.items() if layer <= 6} == {0}


def test_an_intact_root_is_read_from_disk(copy: Path) -> None:
    """Where attributes survived, with containers or without, the disk counts and nothing is said."""
    root = copy
    record = DataRoot.open(root).chain(DataRoot.open(root).image("lab/opaque:1"))[-1]
    for mounts in (True, False):
        if not mounts:
            shutil.rmtree(root / "image/overlay2/layerdb/mounts")
        (root / "overlay2" / record.cache_id / "diff").chmod(0o701)
        name = next(iter(os.listdir(root / "overlay2" / record.cache_id / "diff")))
        os.chown(root / "overlay2" / record.cache_id / "diff" / name, 77, 77)
        found = layerfs(root, "stat", "--format", "json", "lab/opaque:1", "/", f"/{name}")
        assert [row["mode"][-3:] for row in found.json][:1] == ["701"]
        assert (found.json[1]["uid"], found.code, found.stderr) == (77, 0, "")
        archived = layerfs(
            root, "--metadata", "tar-split", "stat", "--format", "json", "lab/opaque:1", f"/{name}"
        )
        assert (archived.json[0]["uid"], archived.stderr) == (0, "")


def test_a_copy_that_was_given_away_keeps_its_marks(dataroot_path: Path, copy: Path) -> None:
    """After `chown -R` of an exact copy images have their owners, containers their opaque directories."""
    root = copy
    subprocess.run(["chown", "-R", "--no-dereference", "1000:1000", root], check=True)
    found = layerfs(root, "ls", "-lR", "lab/attributes:1")
    assert found.stdout == layerfs(dataroot_path, "ls", "-lR", "lab/attributes:1").stdout
    assert LOST in found.stderr
    for container in ("changed", "deep"):
        names = layerfs(root, "ls", "-AR", container).stdout
        assert names == layerfs(dataroot_path, "ls", "-AR", container).stdout != ""


def test_a_copy_in_a_directory_of_the_users_own(dataroot_path: Path, copy: Path) -> None:
    """That the top of an exact copy belongs to whoever made it changes nothing."""
    root = copy
    os.chown(root, 1000, 1000)
    for name in ("lab/opaque:1", "changed"):
        assert layerfs(root, "ls", "-lR", name) == layerfs(dataroot_path, "ls", "-lR", name)


def _small_root(place: Path, *, rootless: bool = False, whiteout: bool = True) -> Path:
    """Two layers of files with owners and times, an opaque directory and a whiteout, and their archives."""
    builder = RootBuilder(place)

    def lower(diff: Path) -> None:
        (diff / "d").mkdir()
        for name in ("a", "b", "d/hidden"):
            (diff / name).write_text(name)
            os.chown(diff / name, 5, 6)
            os.utime(diff / name, (1_000_000_000, 1_000_000_000))
        os.utime(diff / "d", (1_000_000_000, 1_000_000_000))

    def upper(diff: Path) -> None:
        (diff / "d").mkdir()
        os.setxattr(diff / "d", "trusted.overlay.opaque", b"y")
        if whiteout:
            os.mknod(diff / "b", 0o20000, 0)
        (diff / "c").write_text("c")
        os.chown(diff / "c", 5, 6)
        for name in ("c", "d"):
            os.utime(diff / name, (1_000_000_000, 1_000_000_000))

    base = builder.layer(None, lower)
    top = builder.layer(base, upper)
    for layer in (base, top):
        record = place / "image/overlay2/layerdb/sha256" / layer.chain_id.hex
        (record / "tar-split.json.gz").write_bytes(tar_split(layer.diff))
    builder.image(top, "small:1")
    if rootless:
        os.removexattr(top.diff / "d", "trusted.overlay.opaque")
        os.setxattr(top.diff / "d", "user.overlay.opaque", b"y")
        subprocess.run(["chown", "-R", "1000:1000", place], check=True)
        for path in (base.diff / "a", base.diff / "b", base.diff / "d/hidden", top.diff / "c"):
            os.chown(path, 1005, 1006)
    return builder.finish()


@pytest.mark.parametrize("whiteout", [True, False])
def test_a_rootless_root_is_read_from_disk(tmp_path: Path, *, whiteout: bool) -> None:
    """The root of a rootless engine belongs to its user, who is root inside; its marks are `user.` ones."""
    root = _small_root(tmp_path / "root", rootless=True, whiteout=whiteout)
    found = layerfs(root, "ls", "-R", "--format", "json", "small:1")
    owners = {row["path"]: row["uid"] for row in found.json}
    assert owners == {"/a": 5, "/c": 5, "/d": 0} | ({} if whiteout else {"/b": 5})
    assert (found.code, found.stderr) == (0, "")


def test_an_owner_that_may_be_the_copiers_is_asked_about(tmp_path: Path) -> None:
    """Where nothing tells a copy from a rootless engine the disk is shown, with a hint."""
    builder = RootBuilder(tmp_path / "root")
    layer = builder.layer(None, lambda diff: (diff / "a").write_text("a"))
    record = builder.path / "image/overlay2/layerdb/sha256" / layer.chain_id.hex
    (record / "tar-split.json.gz").write_bytes(tar_split(layer.diff))
    builder.image(layer, "one:1")
    root = builder.finish()
    subprocess.run(["chown", "-R", "1000:1000", root], check=True)
    found = layerfs(root, "ls", "--format", "json", "one:1")
    assert ([row["uid"] for row in found.json], found.code) == ([1000], 0)
    assert "--metadata tar-split" in found.stderr
    archived = layerfs(root, "--metadata", "tar-split", "ls", "--format", "json", "one:1")
    assert ([row["uid"] for row in archived.json], archived.stderr) == ([0], "")


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("times", "times of modification are not those"),
        ("modes", "permissions are not those"),
        ("owners", "owners are not those"),
        ("whiteout", "whiteouts"),
        ("opaque", "opaque directories"),
    ],
)
def test_each_loss_is_seen_and_named(tmp_path: Path, loss: str, words: str) -> None:
    """One kind of loss is enough, and the warning says which it was."""
    root = _small_root(tmp_path / "root")
    expected = layerfs(root, "ls", "-lR", "--full-time", "small:1")
    assert expected.stderr == ""
    diffs = [path for path in (root / "overlay2").glob("*/diff") if path.parent.name != "l"]
    for path in [path for diff in diffs for path in (diff, *diff.rglob("*"))]:
        if loss == "times":
            os.utime(path)
        elif loss == "modes" and path not in diffs:
            path.chmod(0o777)
        elif loss == "owners":
            os.chown(path, 1000, 1000)
        elif loss == "whiteout" and path.is_char_device():
            path.unlink()
        elif loss == "opaque" and path.name == "d" and "trusted.overlay.opaque" in os.listxattr(path):
            os.removexattr(path, "trusted.overlay.opaque")
    found = layerfs(root, "ls", "-lR", "--full-time", "small:1")
    assert (found.code, found.stdout) == (0, expected.stdout)
    assert words in found.stderr
    assert LOST in found.stderr


def test_containers_without_marks_show_the_loss_of_attributes(dataroot_path: Path, tmp_path: Path) -> None:
    """A copy without extended attributes is seen by its containers, and gets its capabilities back."""
    root = tmp_path / "root"
    subprocess.run(["cp", "-a", "--no-preserve=xattr", dataroot_path, root], check=True)
    for path in ("/capable", "/big"):
        command = ("stat", "--format", "json", "lab/xattrs:1", path)
        found, intact = layerfs(root, *command), layerfs(dataroot_path, *command)
        assert found.json[0]["xattrs"] == intact.json[0]["xattrs"] != {}
        assert "carry no overlay attributes" in found.stderr
        assert layerfs(root, "--metadata", "disk", *command).json[0]["xattrs"] == {}


def test_one_layer_that_differs_is_its_own_affair(tmp_path: Path) -> None:
    """A layer whose files were touched, perhaps to hide something, is shown as it is; nothing is restored."""
    root = _small_root(tmp_path / "root")
    (top,) = [diff for diff in (root / "overlay2").glob("*/diff") if (diff / "c").exists()]
    for path in top.iterdir():
        os.utime(path, (77, 77), follow_symlinks=False)
    found = layerfs(root, "stat", "--format", "{{.MTime}}", "small:1", "/c", "/d")
    assert (found.code, found.stdout, found.stderr) == (0, "1970-01-01T00:01:17Z\n" * 2, "")


def test_who_cannot_see_the_marks_gets_them_from_the_archives(
    dataroot_path: Path, tmp_path: Path, copy: Path
) -> None:
    """An ordinary user reads an intact root as root does, and is told why."""
    root = copy
    subprocess.run(["chmod", "-R", "a+rX", root], check=True)
    for place in (tmp_path, *tmp_path.parents):
        place.chmod(place.stat().st_mode | 0o001)
    command = [LAYERFS, "--root", str(root), "ls", "-lR", "lab/opaque:1"]
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    found = subprocess.run([*user, *command], capture_output=True, text=True, check=False)
    assert found.stdout == layerfs(dataroot_path, *command[3:]).stdout != ""
    assert found.returncode == 0
    assert "cannot be read without root" in found.stderr


@pytest.mark.parametrize("chosen", ["1:2", "nobody", "-1"])
def test_no_map_is_no_choice(dataroot_path: Path, chosen: str) -> None:
    """A map of users that is none is refused, with how one is written."""
    found = layerfs(dataroot_path, f"--userns={chosen}", "images")
    assert found.code == 2
    assert "INSIDE:OUTSIDE:COUNT" in found.stderr
