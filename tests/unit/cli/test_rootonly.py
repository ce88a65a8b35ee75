"""What others than root can change is what an ordinary user, who tries, does change."""

from __future__ import annotations

import os
import stat
from itertools import product
from typing import TYPE_CHECKING

import pytest

from layerfs_cli.rootonly import changeable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.root

USER = 65534
PROGRAM = "above/bin/program"
FILES = (PROGRAM, "lib/package/module.py", "lib/data", "apart/linked.py")
LINKS = {"lib/link.py": "../apart/linked.py", "above/link": "bin"}
TOPS = ("above/link/program", "lib")
"""What the program is made of; the first is reached through a link."""

CHANGES: dict[str, Callable[[str], None]] = {
    "nothing": lambda _path: None,
    "owner": lambda path: os.lchown(path, USER, 0),
    "group": lambda path: _add_mode(path, stat.S_IWGRP, group=USER),
    "others": lambda path: _add_mode(path, stat.S_IWOTH),
    "sticky": lambda path: _add_mode(path, stat.S_IWOTH | stat.S_ISVTX),
}
PLACES = (
    ".",
    "above",
    "above/bin",
    PROGRAM,
    "above/link",
    "lib",
    "lib/package",
    "lib/data",
    "lib/link.py",
    "apart",
)


def _add_mode(path: str, bits: int, group: int = 0) -> None:
    os.lchown(path, 0, group)
    if not os.path.islink(path):
        os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | bits)


def _make(top: Path) -> None:
    for name in FILES:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("root's")
    for name, target in LINKS.items():
        (top / name).symlink_to(target)
    for name in ("above", "above/bin", "lib", "lib/package", "apart", *FILES):
        (top / name).chmod(0o755)
    top.chmod(0o755)


def _user_changes(top: Path) -> bool:
    """Whether a user gets other bytes, or another module, into what root would run."""
    directory = os.open(top, os.O_RDONLY)  # the tests' own directories are closed to others
    child = os.fork()
    if child == 0:
        changed = 1
        try:
            os.fchdir(directory)
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
            _attack()
            changed = 0
        finally:
            os._exit(changed)
    os.close(directory)
    _, status = os.waitpid(child, 0)
    assert status == 0
    run = [top / "above/link/program", *(top / "lib").rglob("*"), top / "lib/link.py"]
    return any(not path.exists() or (path.is_file() and path.read_text() != "root's") for path in run)


def _attack() -> None:
    """Write into files, make new ones beside them, and put others in place of all that is there."""
    for name in ("above", "above/bin", "above/link", "lib", "lib/package", "lib/link.py", "apart", *FILES):
        for attempt in (_write, _replace):
            try:
                if not os.path.islink(name) and os.stat(name).st_uid == USER:
                    os.chmod(name, 0o777)
                attempt(name)
            except OSError:
                continue


def _write(name: str) -> None:
    path = f"{name}/new.py" if os.path.isdir(name) and name not in ("above", "apart") else name
    with open(path, "w") as file:
        file.write("the user's")


def _replace(name: str) -> None:
    """Only what is the whole of the program, or a part of it, is looked at afterwards."""
    kind = "directory" if os.path.isdir(name) else "file"
    os.rename(name, f"{name}-before")
    if kind == "directory":
        os.mkdir(name)
        for inner in ("program", "module.py", "linked.py", "bin", "link"):
            if inner in ("bin", "link"):
                os.mkdir(f"{name}/{inner}")
            target = f"{name}/{inner}/program" if inner in ("bin", "link") else f"{name}/{inner}"
            with open(target, "w") as file:
                file.write("the user's")
    else:
        with open(name, "w") as file:
            file.write("the user's")


@pytest.mark.parametrize(("place", "change"), list(product(PLACES, CHANGES)))
def test_what_a_user_can_change_is_found(tmp_path: Path, place: str, change: str) -> None:
    """It is found changeable exactly when a user who tries does change it; the reason names the place."""
    top = tmp_path / "top"
    top.mkdir()
    _make(top)
    CHANGES[change](str(top / place))
    found = changeable(str(top / name) for name in TOPS)
    changes = _user_changes(top)
    assert bool(found) == changes, found
    assert found is None or str(top / place).removesuffix("/.") in found


def test_links_are_replaced_by_their_owner(tmp_path: Path) -> None:
    """In a directory that all may write to, with the sticky bit, a user's link leads where the user wants."""
    top = tmp_path / "top"
    top.mkdir()
    _make(top)
    CHANGES["sticky"](str(top / "above"))
    assert changeable([str(top / "above/link/program")]) is None
    assert not _user_changes(top)
    CHANGES["owner"](str(top / "above/link"))
    assert "above/link" in (changeable([str(top / "above/link/program")]) or "")
    assert _user_changes(top)


def test_what_is_missing_must_not_be_makeable(tmp_path: Path) -> None:
    """A directory for modules that is not there is fine, unless others than root can make it."""
    assert changeable([str(tmp_path / "none/python.zip")]) is None
    tmp_path.chmod(0o1777)
    assert changeable([str(tmp_path / "none/python.zip")]) is not None


def test_links_in_circles_end(tmp_path: Path) -> None:
    """A link to itself is a reason to refuse, not to go on for ever."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "links" in (changeable([str(tmp_path / "a")]) or "")
