"""The user namespace of a rootless store, as the system that it lies in has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerfs.formats.idmap import IDRange
from layerfs.stores.containers_storage.store import GraphRoot
from layerfs.stores.registry import Options
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from pathlib import Path

    from layerfs.formats.idmap import Owners

pytestmark = pytest.mark.root

PLACE = "home/ann/.local/share/containers/storage"
USERS = "root:x:0:0:root:/root:/bin/sh\nann:x:4711:4711::/home/ann:/bin/sh\n"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a system with the store of one user."""
    top = tmp_path_factory.mktemp("system")
    sample = unpack_sample("podman-4.3-rootless-fuse", top / "unpacked")
    (top / PLACE).parent.mkdir(parents=True)
    sample.rename(top / PLACE)
    (top / "etc").mkdir()
    return top


def _write(system: Path, subid: str, passwd: str = USERS) -> None:
    (system / "etc/passwd").write_text(passwd)
    for name in ("subuid", "subgid"):
        (system / "etc" / name).unlink(missing_ok=True)
        (system / "etc" / name).write_text(subid)


def _owners(system: Path) -> Owners:
    store = GraphRoot.open(str(system / PLACE), Options())
    return store.owners(next(iter(store.storage.all.values())))


def test_system_tells_where_ranges_end(system: Path) -> None:
    """The map is that of the user's lines, and what is beyond their ranges is nobody's."""
    _write(system, "ann:200000:65536\n")
    ranges = (IDRange(0, 4711, 1), IDRange(1, 200000, 65536))
    assert _owners(system).users.ranges == _owners(system).groups.ranges == ranges


def test_archives_win(system: Path) -> None:
    """Ranges that contradict the archives are not those with which the layers were unpacked."""
    _write(system, "ann:700000:65536\n")
    assert _owners(system).users.outside(1) == 200000


@pytest.mark.parametrize(
    ("subid", "passwd"),
    [
        ("ann:200000:65536\n", USERS.replace("4711", "4712")),
        ("ann:200000:65536\n", USERS.replace("/home/ann", "/home/other")),
        ("bob:200000:65536\n", USERS),
        ("ann:200000:4294967290\n", USERS),
    ],
)
def test_other_users_and_homes_tell_nothing(system: Path, subid: str, passwd: str) -> None:
    """Lines of another user, of one who does not live there, or of no use are passed over."""
    _write(system, subid, passwd)
    assert _owners(system).users.ranges[1].length > 65536


def test_no_link_is_followed(system: Path, tmp_path: Path) -> None:
    """A file of the system that is a link is not read."""
    _write(system, "ann:200000:65536\n")
    (tmp_path / "subuid").write_text("ann:200000:65536\n")
    (system / "etc/subuid").unlink()
    (system / "etc/subuid").symlink_to(tmp_path / "subuid")
    assert _owners(system).users.ranges[1].length > 65536


def test_where_archives_are_lost_the_system_tells(system: Path) -> None:
    """Without any archive nothing in the store tells other users than root: their IDs are those of subuid."""
    _write(system, "ann:200000:65536\n")
    for path in (system / PLACE / "overlay-layers").glob("*.tar-split.gz"):
        path.rename(path.with_suffix(".away"))
    try:
        assert _owners(system).users.ranges == (IDRange(0, 4711, 1), IDRange(1, 200000, 65536))
    finally:
        for path in (system / PLACE / "overlay-layers").glob("*.away"):
            path.rename(path.with_suffix(".gz"))
