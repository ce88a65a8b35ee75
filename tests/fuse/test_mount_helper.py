"""The helper of mount(8), run by the real mount(8), in mount and process tables of its own.

There /sbin can be written without a trace, and whatever serves a mount ends with the shell.
"""

from __future__ import annotations

import os
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from layerfs import DataRoot
from tests.support.installs import copy_modules, python_for_all

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [pytest.mark.fuse, pytest.mark.kernel, pytest.mark.root]

SANDBOX = r"""
set -u
place=$1 dataroot=$2
mount --bind "$place" /mnt && mount --bind /mnt/fuse /dev/fuse && mount --bind "$dataroot" /mnt/root &&
    mount --bind "$dataroot" "/mnt/a,b" && mount --bind "$dataroot" "/mnt/a b" || exit 90
cd /mnt && mount -t tmpfs over over && mkdir over/upper over/work && sbin=$(realpath /sbin) &&
    mount -t overlay over -o "lowerdir=$sbin,upperdir=over/upper,workdir=over/work" "$sbin" || exit 91
[ ! -d /run/mount ] || mount -t tmpfs over /run/mount || exit 92
helper=/sbin/mount.fuse.layerfs layerfs=/mnt/layerfs
as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
"""


class Place:
    """A directory that the sandbox sees as /mnt, with a layerfs that all can run and only root can change."""

    def __init__(self, path: Path, dataroot: Path) -> None:
        self.path, self.dataroot = path, dataroot
        path.chmod(0o755)
        for name in ("root", "a,b", "a b", "over", "point", "evil"):
            (path / name).mkdir()
        os.mknod(path / "fuse", 0o20666, os.makedev(10, 229))
        (path / "fuse").chmod(0o666)
        # what PYTHONPATH would put before the real ones
        for module in ("click", "json", "layerfs_cli"):
            (path / "evil" / f"{module}.py").write_text("open('/mnt/over/evil', 'w').close()\n")
        python = python_for_all()
        if os.stat(python).st_uid != 0:
            pytest.skip(f"{python} belongs to an ordinary user, so no helper is installed for it")
        subprocess.run([python, "-m", "venv", "--without-pip", path / "venv"], check=True)
        [site] = (path / "venv/lib").glob("python*/site-packages")
        copy_modules(site)
        script = path / "layerfs"
        script.write_text("#!/mnt/venv/bin/python\nfrom layerfs_cli.main import main\nmain()\n")
        script.chmod(0o755)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run shell lines in the sandbox."""
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        return subprocess.run(
            [*alone, "sh", "-c", SANDBOX + script, "sh", self.path, self.dataroot],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": "/mnt/evil"},
            timeout=120,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, dataroot_path: Path) -> Place:
    """One installation for all tests."""
    return Place(tmp_path_factory.mktemp("helper"), dataroot_path)


# the developer's layerfs must not be hindered by PYTHONPATH, only the helper is shut off from it
INSTALL = "env -u PYTHONPATH $layerfs mount-helper --install || exit 93\n"


class Case(NamedTuple):
    """What mount(8) is given, and what comes of it: exit code, source, flags and type of the mount."""

    words: str
    code: int = 0
    source: str = "demo:latest"
    flags: Sequence[str] = ()
    says: str = ""
    kind: str = "fuse.layerfs"


MOUNTED = [
    Case("demo point -o root=/mnt/root"),
    Case("demo point -o rw,root=/mnt/root,suid,dev,exec,atime,defaults,nofail,x-mine=1,X-mine,_netdev"),
    Case("-r demo:1.0 point -o root=/mnt/root", source="demo:1.0"),
    Case("demo /mnt/point -o root=/mnt/root,up-to=3", source=r"demo:latest\040up\040to\040layer\0403"),
    Case(
        "demo point -o root=/mnt/root,up_to=3,user",
        source=r"demo:latest\040up\040to\040layer\0403",
        flags=["noexec"],  # mount(8) makes it of `user`
    ),
    Case(
        "demo@2 point -o root=/mnt/root,noexec",
        source=r"demo:latest\040up\040to\040layer\0402",
        flags=["noexec"],
    ),
    Case(
        "demo point -o root=/mnt/root,allow_other,driver=fusepy", flags=["allow_other", "default_permissions"]
    ),
    Case(
        "demo point -o root=/mnt/root,driver=kernel,noexec",
        source="layerfs:demo:latest",
        flags=["noexec"],
        kind="overlay",
    ),
    Case("demo point -o 'root=\"/mnt/a,b\",metadata=disk,no-passthrough'"),
    Case(r"demo point -o 'provenance,root=/mnt/a\,b'"),
    Case("demo point -o 'root=/mnt/a b,type=image'"),
    Case("here point -o root=/mnt/root,name=demo"),
    Case("any point -o name=changed,type=container,root=/mnt/root", source="changed"),
    Case("-s demo point -o root=/mnt/root,no-such-option=1"),
]
REFUSED = [
    Case("demo point -o root=/mnt/root,no-such-option", 1, says="unknown option 'no-such-option'"),
    Case("demo point -o root=/mnt/root,all", 1, says="say none in place of the name demo"),
    Case("none point -o root=/mnt/root,all,name=demo", 1, says="say none in place of the name"),
    Case("none point -o root=/mnt/root,all,up-to=2", 1, says="--up-to is for one NAME"),
    Case("demo point -o root=/mnt/root,foreground", 1, says="unknown option 'foreground'"),
    Case("demo point -o root=/mnt/root,up-to", 1, says="needs a value"),
    Case("demo point -o root=/mnt/root,provenance=1", 1, says="takes no value"),
    Case("demo point -o root=/mnt/root,up-to=last", 1, says="up-to"),
    Case("demo point -o root=/mnt/root,allow-other,ignore-permissions", 1, says="exclude each other"),
    Case("demo point -o root=/mnt/root,remount", 1, says="umount it first"),
    Case("here point -o root=/mnt/root", 1, says="-o name=NAME"),
    Case("demo point -o root=/mnt/none", 32, says="/mnt/none"),
    Case("no-such:image point -o root=/mnt/root", 32, says="no-such:image"),
    Case("demo venv -o root=/mnt/root", 32, says="not empty"),
    Case("-f demo point -o root=/mnt/root"),
]


def _digest_of_motd(dataroot: Path, source: str) -> str:
    """Of the file that the layer has that supplies it: the second, the fourth, or the container's own."""
    root = DataRoot.open(dataroot)
    container = root.container("changed").mount
    assert container
    if source == "changed":
        cache_id = container.mount_id
    else:
        cache_id = root.chain(root.image("demo"))[1 if "up" in source else 3].cache_id
    return sha256((dataroot / "overlay2" / cache_id / "diff/etc/motd").read_bytes()).hexdigest()


def test_real_mount_mounts_images(place: Place) -> None:
    """`mount -t fuse.layerfs` with any options of ours and of mount(8) mounts that image, read-only."""
    lines = [
        f"echo '===' ; mount -t fuse.layerfs {case.words}; echo $?; grep ' /mnt/point ' /proc/mounts; "
        "sha256sum < point/etc/motd; umount /mnt/point"
        for case in MOUNTED
    ]
    done = place.run(INSTALL + "touch here\n" + "\n".join(lines) + "\n[ ! -e /mnt/over/evil ] || exit 94")
    assert done.returncode == 0, done.stderr
    answers = [answer.splitlines() for answer in done.stdout.split("===\n")[1:]]
    assert len(answers) == len(MOUNTED)
    for case, (code, line, digest) in zip(MOUNTED, answers, strict=True):
        assert (case.words, int(code)) == (case.words, 0), done.stderr
        source, point, kind, options, *_ = line.split(" ")
        assert (source, point, kind) == (case.source, "/mnt/point", case.kind), case.words
        assert {"ro", "nosuid", "nodev", *case.flags} <= set(options.split(",")), case.words
        assert ("noexec" in options) == ("noexec" in case.flags), case.words
        assert digest.split()[0] == _digest_of_motd(place.dataroot, case.source), case.words


def test_real_mount_tells_what_is_wrong(place: Place) -> None:
    """What cannot be meant or done mounts nothing, with mount(8)'s own exit codes and a reason."""
    lines = [
        f"echo '==='; mount -t fuse.layerfs {case.words} 2>&1; echo $?; grep ' /mnt/point ' /proc/mounts"
        for case in REFUSED
    ]
    done = place.run(INSTALL + "touch here\n" + "\n".join(lines) + "\ntrue")
    assert done.returncode == 0, done.stderr
    answers = done.stdout.split("===\n")[1:]
    assert len(answers) == len(REFUSED)
    for case, answer in zip(REFUSED, answers, strict=True):
        *said, code = answer.splitlines()  # a line of the mount table would be the last
        assert (case.words, code) == (case.words, str(case.code)), answer
        assert case.says in "".join(said), case.words
        assert "Traceback" not in answer


FSTAB = r"""
demo:1.0  /mnt/point  fuse.layerfs  root=/mnt/a\040b,up-to=3,auto  0 0
none      /mnt/other  fuse.layerfs  name=changed,root="/mnt/a,b",noauto  0 0
none      /mnt/whole  fuse.layerfs  all,allow-other,root=/mnt/root,noauto  0 0
"""


def test_lines_of_fstab_mount(place: Place) -> None:
    """A line of fstab mounts by its mount point and by `mount -a`, which leaves noauto alone."""
    (place.path / "other").mkdir()
    (place.path / "whole").mkdir()
    (place.path / "fstab").write_text(FSTAB)
    done = place.run(
        INSTALL + "mount -T fstab /mnt/other || exit 10\n"
        "grep -q '^changed /mnt/other fuse.layerfs ro' /proc/mounts || exit 11\n"
        "umount /mnt/other || exit 12\n"
        "mount -T fstab -a || exit 13\n"
        "grep -q '^demo:1.0.*3 /mnt/point fuse.layerfs ro' /proc/mounts || exit 14\n"
        "grep /mnt/other /proc/mounts && exit 15\n"
        "cat point/root/password.txt >/dev/null || exit 16\n"
        "umount /mnt/point || exit 17\n"
        "mount -T fstab /mnt/whole || exit 18\n"
        "grep -q '^all.*/mnt/root /mnt/whole fuse.layerfs ro.*noexec.*allow_other' /proc/mounts || exit 19\n"
        "cat whole/images/demo/latest/etc/motd >/dev/null || exit 20\n"
        "umount /mnt/whole || exit 21\n"
    )
    assert done.returncode == 0, (done.stdout, done.stderr)


USER = r"""
mkdir own && chown 65534 own point
as_user env -u PYTHONPATH venv/bin/python fixtures/unpack.py own >/dev/null 2>&1 || exit 10
echo 'committed:1 /mnt/point fuse.layerfs root=/mnt/own/dataroot,ignore-permissions,users 0 0' > over/fstab
mount --bind over/fstab /etc/fstab || exit 11
as_user mount /mnt/point || exit 12
grep -q '^committed:1 /mnt/point fuse.layerfs ro,nosuid,nodev,noexec,.*user_id=65534' /proc/mounts || exit 13
as_user cat point/etc/passwd >/dev/null || exit 14
as_user umount /mnt/point || exit 15
as_user env -u PYTHONPATH $layerfs --root own/dataroot mount --all --ignore-permissions /mnt/point || exit 21
as_user cat point/images/committed/1/etc/passwd >/dev/null || exit 22
as_user env -u PYTHONPATH $layerfs --root own/dataroot mount --all /mnt/point 2>said && exit 24
grep -q 'layerfs: error: /mnt/point: ' said || exit 25
as_user sh -c 'cd point/by-id && sleep 30' & sleeper=$!
until [ "$(readlink /proc/$(pgrep -n -x sleep)/cwd)" = /mnt/point/by-id ]; do sleep 0.1; done
as_user env -u PYTHONPATH $layerfs umount /mnt/point 2>said && exit 26
grep -q 'busy' said || exit 27
kill $(pgrep -n -x sleep); wait $sleeper
as_user env -u PYTHONPATH $layerfs umount /mnt/point || exit 28
as_user env -u PYTHONPATH $layerfs --root own/dataroot mount --all --allow-other /mnt/point 2>said && exit 29
grep -q 'user_allow_other' said || exit 30
grep /mnt/point /proc/mounts && exit 16
[ ! -e /mnt/over/evil ] || exit 94
"""


def test_ordinary_user_mounts_a_line_of_fstab(place: Place) -> None:
    """With `users`, an ordinary user mounts and unmounts what the line says, and nothing is run as root."""
    recorded = Path(__file__).parents[2] / "fixtures"
    (place.path / "fixtures").mkdir()
    for name in ("unpack.py", "dataroot.tar.xz"):
        (place.path / "fixtures" / name).write_bytes((recorded / name).read_bytes())
    done = place.run(INSTALL + USER)
    assert done.returncode == 0, (done.stdout, done.stderr)


INSTALLING = r"""
unset PYTHONPATH
site=$(echo venv/lib/python*/site-packages)
$layerfs mount-helper > shown || exit 10
mount -t fuse.layerfs demo point -o root=/mnt/root && exit 11
$layerfs mount-helper --install >said && $layerfs mount-helper --install || exit 12
[ "$(cat said)" = "wrote $helper, which runs /mnt/venv/bin/python" ] || exit 26
cmp shown $helper && [ "$(head -1 $helper)" = '#!/mnt/venv/bin/python -I' ] || exit 13
[ "$(stat -c %u:%a $helper)" = 0:755 ] || exit 14
$layerfs mount-helper --remove >said && [ "$(cat said)" = "removed $helper" ] || exit 27
$layerfs mount-helper --remove >said && [ ! -e $helper ] || exit 15
grep -q "$helper is not there" said || exit 28
as_user $layerfs mount-helper --install; [ $? = 7 ] || exit 16
echo other > $helper
$layerfs mount-helper --install; [ $? = 7 ] || exit 17
$layerfs mount-helper --remove; [ $? = 7 ] || exit 18
[ "$(cat $helper)" = other ] || exit 19
ln -sf /mnt/root $helper
$layerfs mount-helper --install 2>said; [ $? = 7 ] || exit 24
grep -q "$helper: Too many levels" said || exit 25
rm $helper
for part in venv venv/bin venv/pyvenv.cfg $site $site/click $site/click/core.py $site/layerfs_cli; do
    mode=$(stat -c %a $part)
    chmod o+w $part
    $layerfs mount-helper --install 2>said; [ $? = 7 ] || exit 20
    grep -q "$part: writable for others" said || exit 21
    [ ! -e $helper ] || exit 22
    chmod $mode $part
done
$layerfs mount-helper --install || exit 23
"""


def test_helper_is_installed_where_only_root_can_change_it(place: Place) -> None:
    """It is written to /sbin, removed from there, and not installed over, or by, what others could change."""
    done = place.run(INSTALLING)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert not Path("/sbin/mount.fuse.layerfs").exists()
