"""`layerfs explore`: mouse, sizes, search in contents, letters without UTF-8, and a root that changes."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from layerfs.tree.memory import Inode, MemoryLayer
from layerfs.tree.union import UnionTree
from layerfs_cli.explore import spans
from layerfs_cli.explore.imagescreen import ImageScreen
from layerfs_cli.explore.keyfile import BadKeyFile, key_file, keys_of_user
from layerfs_cli.explore.keys import KEYS, KeyMap
from layerfs_cli.explore.reader import Ticket
from layerfs_cli.explore.seeking import BadNeedle, needle_of, seek
from layerfs_cli.explore.watching import Watch
from tests.support.browsing import Browser, browse
from tests.support.command import layerfs

if TYPE_CHECKING:
    from pathlib import Path

    from layerfs.tree.content import Content


# -- the mouse, and the size of the terminal -------------------------------------------------------


def test_mouse(dataroot_path: Path) -> None:
    """A click moves the cursor, a double click opens, the wheel scrolls, tabs and keys can be clicked."""

    async def script(at: Browser) -> None:
        words = [row.word for row in at.place.view.model.rows]  # type: ignore[attr-defined]
        first = at.lines[3]
        await at.scroll(10, 6)
        assert at.lines[3] != first
        await at.scroll(10, 6, up=True)
        assert at.lines[3] == first
        await at.click(10, 5)
        assert at.place.view.cursor == 2
        await at.click(14, 1)
        assert at.lines[2].split()[0] == "CONTAINER"
        await at.click(3, 1)
        assert at.lines[2].split()[0] == "IMAGE"
        at.place.view.move_to(words.index("demo:latest"))
        await at.settled()
        row = next(number for number, line in enumerate(at.lines) if line.startswith(" demo:latest "))
        await at.click(10, row, times=2)
        screen = at.place
        assert isinstance(screen, ImageScreen)
        await at.click(5, 3)
        assert screen.number == 5
        row = next(number for number, line in enumerate(at.lines) if "password.txt" in line)
        await at.click(60, row, times=2)
        assert "correct horse battery staple" in at.text
        await at.click(at.lines[-1].index("all keys"), 23)
        assert "keys of the text of a file" in at.lines[0]

    browse(dataroot_path, None, script)


def test_other_sizes(dataroot_path: Path) -> None:
    """From a wide to a narrow terminal and back: the cursor stays in view, and every line fits."""

    async def script(at: Browser) -> None:
        await at.press("tab", "/")
        await at.type("motd")
        await at.press("escape", "down")
        path = at.lines[0].rpartition(" > ")[2].split()[0]
        for width, height in ((80, 24), (40, 12), (200, 50), (60, 15), (20, 8), (200, 50)):
            await at.resize(width, height)
            assert len(at.lines) == height
            assert max(map(len, at.lines)) <= width
            if height > 8:
                assert path.rpartition("/")[2] in "\n".join(at.lines[1:-4])
            screen = at.place
            assert isinstance(screen, ImageScreen)
            assert screen.query_one("#preview").display == (width >= 160)
            assert screen.layers_view.display == (width >= 72)
        await at.press("e")
        wide = at.text
        await at.resize(60, 15)
        assert at.text != wide
        await at.resize(200, 50)
        assert at.text == wide

    browse(dataroot_path, "demo", script, (200, 50))


def test_beside_the_tree_is_what_the_cursor_is_on(dataroot_path: Path) -> None:
    """On a wide terminal the versions of an entry and its beginning are beside the tree."""

    async def rested(at: Browser, text: str) -> None:
        for _ in range(500):
            if any(text in line[140:] for line in at.lines):
                return
            await at.pause()
        raise AssertionError(at.text)

    async def script(at: Browser) -> None:
        await at.press("down", "tab")
        for path, text in (
            (b"/etc", "os-release"),
            (b"/root/password.txt", "correct horse battery staple"),
            (b"/bin", "2 entries"),
        ):
            screen = at.place
            assert isinstance(screen, ImageScreen)
            index = screen.rows.find(path)
            assert index is not None
            screen.tree_view.move_to(index)
            await rested(at, text)
        assert not any("password.txt" in line[140:] for line in at.lines)

    browse(dataroot_path, "demo", script, (200, 50))


# -- search in contents ----------------------------------------------------------------------------


def _content(data: bytes) -> Content:
    tree = UnionTree([MemoryLayer({b"f": Inode(0o100644, content=data)})])
    return tree.open(tree.resolve(b"/f"))


@pytest.mark.parametrize("back", [False, True])
def test_search_finds_every_place(monkeypatch: pytest.MonkeyPatch, back: bool) -> None:  # noqa: FBT001
    """One after the other, all places are found that bytes have, wherever a piece that is read ends."""
    data = b"abcabxAbcab" * 7 + b"ab"
    for typed, wanted, folded in (
        ("ab", b"ab", data.lower()),
        ("Ab", b"Ab", data),
        ("hex:61 62", b"ab", data),
    ):
        want = [at for at in range(len(data)) if folded.startswith(wanted, at)]
        for piece in (1, 2, 3, 7, 1000):
            monkeypatch.setattr("layerfs_cli.explore.seeking.PIECE", piece)
            found: list[int] = []
            start = len(data) if back else 0
            while (at := seek(_content(data), needle_of(typed), start, Ticket(), back=back)) is not None:
                found.append(at)
                start = at if back else at + 1
            assert sorted(found) == want


def test_search_in_a_file(dataroot_path: Path) -> None:
    """In text and bytes / goes to the first place behind the cursor, n to the next, N back."""

    async def script(at: Browser) -> None:
        await at.press("tab", "/")
        await at.type("passwd")
        await at.press("enter", "/")
        await at.type("ROOT")
        assert "it is nowhere in this file" in at.text
        await at.press("/")
        await at.type("root")
        assert "found at byte 0 (0x0)" in at.text
        await at.press("n")
        first = at.text
        assert "found at byte 0 " not in first
        await at.press("N")
        assert "found at byte 0 " in at.text
        await at.press("N")
        assert "from the end on" in at.text
        await at.press("2", "/")
        await at.type("hex:0a")
        data = b"root:x:0:0:root:/root:/bin/fx\n"
        assert f"found at byte {len(data) - 1} " in at.text
        assert at.place.view.cursor == (len(data) - 1) // 16
        await at.press("/")
        await at.type("hex:xyz")
        assert "two hexadecimal digits" in at.text
        await at.press("/", "escape", "n")
        assert at.place.pane == "hex"

    browse(dataroot_path, "demo", script)
    with pytest.raises(BadNeedle):
        needle_of("hex:")


# -- letters without UTF-8 -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "lacks"),
    [
        ({}, False),
        ({"LANG": "C"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),  # as Python leaves it
        ({"LANG": "de_DE.UTF-8"}, False),
        ({"LANG": "de_DE.utf8", "LC_ALL": "POSIX"}, True),
        ({"LC_ALL": "C.UTF-8", "LANG": "C"}, False),
        ({"LANG": "de_DE"}, True),
        ({"LANG": "de_DE.UTF-8", "TERM": "linux"}, True),
        ({"LANG": "de_DE.UTF-8", "TERM": "xterm"}, False),
    ],
)
def test_terminals_without_utf8_are_known(environ: dict[str, str], lacks: bool) -> None:  # noqa: FBT001
    """By the locale that its user chose, and by the kind of terminal."""
    assert spans.lacks_utf8(environ) is lacks


def test_ascii_is_enough(dataroot_path: Path) -> None:
    """Where only ASCII may be drawn, names of other letters and the signs of the tree are too."""

    async def script(at: Browser) -> None:
        await at.press("tab", "G")
        assert "v " in at.text or "> " in at.text
        await at.press("W", "escape", "t")
        assert at.text.isascii()
        await at.press("escape", "g")
        assert at.text.isascii()
        assert r"utf8-\u2603" in at.text

    spans.only_ascii(on=True)
    try:
        browse(dataroot_path, "lab/names:1", script)
    finally:
        spans.only_ascii(on=False)


# -- a root that changes ---------------------------------------------------------------------------


def test_change_of_the_root_is_told_once(copy: Path) -> None:
    """A record that is written anew: it is said, stays marked, and F5 reads the image anew."""
    watch = Watch()
    names = copy / "image/overlay2/repositories.json"

    async def looked(at: Browser) -> None:
        at.app.look()
        await at.settled()

    async def script(at: Browser) -> None:
        for name in ("changed", "demo"):
            watch.told(str(copy / f"image/overlay2/imagedb/content/sha256/{name}"), iter(()))
        watch.told(str(names), iter(()))
        await looked(at)
        await looked(at)
        assert "changed: F5" not in at.lines[0]
        text = names.read_text()
        names.unlink()
        names.write_text(text.replace('"demo:1.0"', '"demo:2.0"'))
        await looked(at)
        assert "the root has changed since it was read" in at.text
        await at.press("j")
        assert "the root has changed" not in at.text
        assert "changed: F5" in at.lines[0]
        await at.press("f5")
        assert "changed: F5" not in at.lines[0]
        assert "as of layer 5 of 6" in at.lines[0]
        await at.press("escape")
        assert "demo:2.0" in at.text
        await looked(at)
        await looked(at)
        assert "changed: F5" not in at.lines[0]

    browse(copy, "demo", script, (120, 60), watch=watch)


def test_change_is_seen_without_reading(copy: Path, tmp_path: Path) -> None:
    """A new entry beside a record, a lost record, an archive that is written, a root that vanished."""
    watch = Watch()
    container = next((copy / "containers").iterdir())
    watch.told(str(container / "config.v2.json"), iter(()))
    assert not watch.changed(str(copy))
    assert not watch.changed(str(copy))
    (copy / "containers/new").mkdir()
    assert watch.changed(str(copy))
    (container / "config.v2.json").unlink()
    assert watch.changed(str(copy))
    archive = tmp_path / "a.tar"
    archive.write_bytes(b"x")
    other = Watch()
    other.told(f"{archive}:manifest.json", iter(()))
    assert not other.changed(str(archive))
    archive.write_bytes(b"xy")
    assert other.changed(str(archive))
    os.unlink(archive)
    assert other.changed(str(archive))


def test_first_glance_has_the_names(dataroot_path: Path) -> None:
    """In every directory of these images a first look has the names that the whole reading has."""
    from layerfs.stores.registry import Options, open_store
    from layerfs.tree.glance import glance
    from layerfs.tree.walk import walk
    from layerfs_cli.explore.opening import open_stack

    store = open_store(str(dataroot_path), Options())
    count = 0
    for name in (
        "demo",
        "buildkit",
        "changed",
        "lab/whiteouts:1",
        "lab/opaque:1",
        "lab/types:1",
        "lab/nodes:1",
    ):
        tree = open_stack(store, name).subject.tree
        for visit in walk(tree, tree.root):
            if visit.node.is_dir and not visit.node.refusal:
                kinds = {child: node.stat.kind for child, node in tree.children(visit.node).items()}
                seen = glance(tree, visit.node)
                assert seen is not None
                assert seen.keys() == kinds.keys()
                assert all(kind in (kinds[child], 0) for child, kind in seen.items())
                count += 1
    assert count > 40


# -- keys of one's own -----------------------------------------------------------------------------


def test_keys_of_ones_own(dataroot_path: Path, tmp_path: Path) -> None:
    """A file gives an action other keys: these work, footer and help show them, the old ones do nothing."""
    path = tmp_path / "layerfs/explore.toml"
    path.parent.mkdir()
    path.write_text('[keys]\nwaste = ["ctrl+x"]\ndown = ["down", "f6"]\n')
    assert key_file({"XDG_CONFIG_HOME": str(tmp_path)}) == str(path)

    async def script(at: Browser) -> None:
        assert " Ctrl+X waste " in at.lines[-1]
        await at.press("f6")
        assert "as of layer 5" in at.lines[0]
        await at.press("j")
        assert "j is no key here" in at.text
        await at.press("?")
        assert " Down F6" in at.text
        await at.press("escape", "ctrl+x")
        assert "> waste" in at.lines[0]

    browse(dataroot_path, "demo", script, (100, 60), keymap=KeyMap(keys_of_user(str(path))))
    assert keys_of_user(str(tmp_path / "none.toml")) == KEYS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[keys", "explore.toml"),
        ("[keys]\nfly = ['x']", "fly: no action"),
        ("[keys]\nquit = ['x']", "quit: no action that can be given keys"),
        ("[keys]\nwaste = 'x'", "write a list of keys"),
        ('[keys]\nwaste = ["\\u001b"]', "write a list of keys"),
        ("[keys]\nwaste = []", "write a list of keys"),
        ("[keys]\nwaste = ['j']", "j is a key of both down and waste"),
        ("[colors]\nx = 1", "only a table [keys] is known"),
    ],
)
def test_bad_key_file_is_told(tmp_path: Path, text: str, said: str) -> None:
    """What a file of keys cannot say is told with the name of the file."""
    path = tmp_path / "explore.toml"
    path.write_text(text)
    with pytest.raises(BadKeyFile, match=re.escape(said)) as told:
        keys_of_user(str(path))
    assert str(path) in str(told.value)


def test_command_shown_is_the_line_that_prints_it(dataroot_path: Path) -> None:
    """The command of the file's tabs is accepted, as the words that Y copies."""

    async def script(at: Browser) -> None:
        await at.press("tab", "/")
        await at.type("motd")
        await at.press("enter")
        for tab in "1345":
            await at.press(tab)
            words = at.place.command()
            assert layerfs(dataroot_path, *words).code == 0

    browse(dataroot_path, "demo", script)
