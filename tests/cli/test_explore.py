"""`layerfs explore`: what its screens show is what the other commands print, and every key does its work."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import pty
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerfs.stores.registry import Options, open_store
from layerfs.subject import open_subject
from layerfs.tree.memory import Inode, MemoryLayer
from layerfs.tree.union import UnionTree
from layerfs_cli.escape import printable
from layerfs_cli.explore import keys, questions
from layerfs_cli.explore.opening import Stack
from tests.support.browsing import Browser, browse
from tests.support.command import layerfs
from tests.support.processes import hear_signals, is_readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs_cli.explore.spans import Span

DOCS = Path(__file__).parents[2] / "docs/explore.md"


# -- the list of images, and the way to a file -----------------------------------------------------


def test_first_screen_lists_what_the_root_holds(dataroot_path: Path) -> None:
    """The four lists have a row for each thing that the commands list; an empty one says where to go."""

    async def script(at: Browser) -> None:
        counts = [
            len(layerfs(dataroot_path, "images", "--format", "jsonl").stdout.splitlines()),
            len(layerfs(dataroot_path, "containers", "--format", "jsonl").stdout.splitlines()),
            len(layerfs(dataroot_path, "layers", "--format", "jsonl").stdout.splitlines()),
            len(layerfs(dataroot_path, "doctor", "--quick", "--format", "jsonl").stdout.splitlines()),
        ]
        for number, count in enumerate(counts, 1):
            await at.press(str(number))
            assert len(at.place.view.model) == count
            assert f"1 of {count}" in at.text if count else "nothing found" in at.text
        await at.press("1", "end")
        assert f"{counts[0]} of {counts[0]}" in at.text

    browse(dataroot_path, None, script, (200, 50))


def test_the_way_to_a_file_and_back(dataroot_path: Path) -> None:
    """From the root by Enter to an image, a layer, a directory, a file; Esc goes the same way back."""

    async def script(at: Browser) -> None:
        words = [row.word for row in at.place.view.model.rows]  # type: ignore[attr-defined]
        at.place.view.move_to(words.index("demo:latest"))
        await at.press("enter")
        assert "demo:latest > as of layer 6 of 6" in at.lines[0]
        await at.press("down", "enter")
        assert "as of layer 5 of 6" in at.lines[0]
        await at.press(*["j"] * 4)
        assert "/root/password.txt" in at.lines[0]
        assert "29 bytes of layer 3; deleted by layer 5" in at.text
        await at.press("enter")
        assert "correct horse battery staple" in at.text
        assert "deleted" in at.lines[0]
        await at.press("escape", "escape")
        assert at.lines[0].startswith(f" layerfs > {dataroot_path}"[:30])

    browse(dataroot_path, None, script)


def test_every_layer_has_the_marks_of_changes(dataroot_path: Path) -> None:
    """As of each layer the tree marks what `layerfs changes --layer` lists, and nothing else."""
    letters = {"added": "A", "deleted": "D", "modified": "M", "metadata": "m", "type": "T"}

    async def script(at: Browser) -> None:
        from layerfs_cli.explore.imagescreen import ImageScreen

        screen = at.place
        assert isinstance(screen, ImageScreen)
        for number in range(6, 1, -1):
            listed = layerfs(dataroot_path, "changes", "demo", "--layer", str(number), "--format", "jsonl")
            rows = [json.loads(line) for line in listed.stdout.splitlines()]
            want = {row["path"].rstrip("/") or "/": letters[row["change"]] for row in rows}
            want.pop("/", None)
            assert screen.number == number
            assert {path.decode(): mark for path, mark in screen.marks.letters.items()} == want
            shown = {
                item.found.path.decode(): item.found.mark for item in screen.rows.items if item.found.mark
            }
            assert shown == want  # the few directories with changes are open
            await at.press("down")

    browse(dataroot_path, "demo", script)


def test_the_tree_is_that_of_the_command(dataroot_path: Path) -> None:
    """All directories opened, the rows are the lines of `find`, as of each layer."""

    async def script(at: Browser) -> None:
        from layerfs_cli.explore.imagescreen import ImageScreen

        screen = at.place
        assert isinstance(screen, ImageScreen)
        for number in (6, 3):
            screen.layers_view.move_to(6 - number)
            await at.press("tab")
            for index, item in enumerate(screen.rows.items):  # grows while directories are opened
                if item.found.node.is_dir and not item.found.gone and not item.open:
                    screen.tree_view.move_to(index)
                    await at.press("l")
            want = layerfs(dataroot_path, "find", f"demo@{number}", "--format", "{{.Path}}").stdout.split(
                "\n"
            )
            have = sorted(item.found.path.decode() for item in screen.rows.items if not item.found.gone)
            assert have == sorted(path.rstrip("/") for path in want if path not in ("", "/"))
            await at.press("z", "tab")
            assert not screen.rows.opened()

    browse(dataroot_path, "demo", script)


# -- files -----------------------------------------------------------------------------------------


def test_tabs_of_a_file(dataroot_path: Path) -> None:
    """Text, bytes, versions and blame are what `cat`, `find` and `blame` print."""

    async def script(at: Browser) -> None:
        await at.press("tab", "/")
        await at.type("motd")
        assert "1 found" in at.text
        await at.press("enter")
        assert "Welcome. This file was replaced by a later layer." in at.text
        await at.press("2")
        assert "57 65 6c 63 6f 6d 65 2e" in at.text
        await at.press("3")
        assert at.lines[3].split()[:3] == ["shown", "*", "4"]
        assert "replaced by layer 4" in at.lines[4]
        await at.press("4")
        steps = layerfs(dataroot_path, "blame", "demo", "/etc/motd", "--format", "jsonl").stdout.splitlines()
        for line, step in zip(at.lines[3:], map(json.loads, steps), strict=False):
            assert line.split()[0] == step["action"]
            assert step["sha256"][:12] in line
        await at.press("5")
        printed = layerfs(dataroot_path, "explain", "demo", "/etc/motd").stdout
        shown = "".join(at.lines[2:-6])  # a long word is broken in the pane
        assert shown.replace(" ", "") == "".join(printed.split())
        await at.press("3", "down", "enter")
        assert "66B  layer 2  hidden" in at.lines[0]

    browse(dataroot_path, "demo", script, (81, 50))


def test_contents_have_no_power() -> None:
    """Control bytes of a file are dots, in text and in hexadecimal; markup is text."""
    from layerfs_cli.explore.filerows import visible_text

    assert visible_text(b"\x1b]0;x\x07 \xff[red]") == "·]0;x· \ufffd[red]"
    for byte in range(256):
        assert visible_text(bytes([byte])).isprintable()


# -- without a terminal, without Textual -----------------------------------------------------------


def test_without_a_terminal_it_names_the_command(dataroot_path: Path) -> None:
    """Where there is no terminal it exits with 2, and names a command that prints the same."""
    done = layerfs(dataroot_path, "explore")
    assert done.code == 2
    assert "layerfs images prints" in done.stderr
    done = layerfs(dataroot_path, "explore", "de mo\n")
    assert done.code == 2
    assert "layerfs changes 'de mo\\n' prints" in done.stderr


# -- keys ------------------------------------------------------------------------------------------


def test_table_of_keys_is_that_of_the_page() -> None:
    """docs/explore.md has the table that the code has."""
    assert keys.markdown() in DOCS.read_text()


@pytest.mark.parametrize("pane", keys.PANES)
def test_no_key_means_two_things_in_a_pane(pane: str) -> None:
    """In a pane each key has one row, the footer at most seven, and help is always one of them."""
    pressed = [name for key in keys.KeyMap().in_pane(pane) for name in key.keys]
    assert len(pressed) == len(set(pressed))
    assert len(keys.KeyMap().footer(pane)) <= 7
    assert keys.KeyMap().footer(pane)[-1].action == "help"


async def _open_pane(at: Browser, pane: str) -> None:
    """Go from an image to a pane."""
    ways = {
        "layers": (),
        "tree": ("tab",),
        "text": ("tab", "t"),
        "hex": ("tab", "x"),
        "versions": ("tab", "v"),
        "blame": ("tab", "B"),
        "explain": ("tab", "e"),
        "compare": ("=", "enter"),
        "waste": ("W",),
        "pick": ("=",),
        "help": ("?",),
        "root": ("escape",),
    }
    await at.press(*ways[pane])


@pytest.mark.parametrize(
    ("pane", "size"),
    [*((pane, (80, 24)) for pane in keys.PANES), ("tree", (40, 30))],
    ids=str,
)
def test_every_key_in_every_pane(dataroot_path: Path, pane: str, size: tuple[int, int]) -> None:
    """Each key of the table does something in its pane, and the screen stays whole; no other key does."""
    leaving = {"quit", "suspend", "back", "back_or_quit", "help", "reload"}

    async def script(at: Browser) -> None:
        await _open_pane(at, pane)
        assert at.place.pane == pane
        place = at.place
        for key in keys.KeyMap().in_pane(pane):
            if key.action in leaving:
                continue
            await at.press(key.keys[0])
            assert "is no key here" not in at.text
            if place not in at.app.screen_stack:
                return  # a choice was made, and the screen is gone
            while at.place is not place or place.has_class("asking"):
                await at.press("escape")
            if pane in ("layers", "tree"):
                place.set_focus(place.query_one("#left" if pane == "layers" else "#tree"))
            elif pane in ("text", "hex", "versions", "blame", "explain"):
                place.do(pane)
            await at.settled()
            assert place.pane == pane
        await at.press("ctrl+g")
        assert "is no key here; ? shows all" in at.text

    browse(dataroot_path, "demo", script, size)


def test_help_lists_the_keys_and_does_them(dataroot_path: Path) -> None:
    """? shows every key of the pane; Enter on one does it in the pane below."""

    async def script(at: Browser) -> None:
        await at.press("?")
        for key in keys.KeyMap().in_pane("layers"):
            assert key.does in at.text
        at.place.view.move_to([key.action for key in keys.KeyMap().in_pane("layers")].index("waste"))
        await at.press("enter")
        assert "demo:latest > waste" in at.lines[0]

    browse(dataroot_path, "demo", script, (120, 40))


# -- waste, comparison, search, copies -------------------------------------------------------------


@pytest.mark.parametrize("name", ["demo", "buildkit", "lab/hundred", "changed", "zero/scratch:1"])
def test_waste_is_that_of_the_command(dataroot_path: Path, name: str) -> None:
    """The total is what `layerfs waste` counts, and the rows add up to it."""

    async def script(at: Browser) -> None:
        from layerfs_cli.explore.overlays import WasteScreen

        await at.press("W")
        screen = at.place
        assert isinstance(screen, WasteScreen)
        (row,) = layerfs(dataroot_path, "waste", name, "--format", "jsonl").stdout.splitlines()
        assert screen.total == json.loads(row)["wasted"]

    browse(dataroot_path, name, script)


def test_comparison_is_that_of_diff(dataroot_path: Path) -> None:
    """Two images of the list compared have the paths that `layerfs diff` lists."""

    async def script(at: Browser) -> None:
        words = [row.word for row in at.place.view.model.rows]  # type: ignore[attr-defined]
        for word in ("demo:latest", "buildkit:latest"):
            at.place.view.move_to(words.index(word))
            await at.press("=")
        listed = layerfs(dataroot_path, "diff", "demo", "buildkit", "--format", "{{.Path}}").stdout
        rows = at.place.view.model
        have = [change.path.decode() for change in rows.changes]  # type: ignore[attr-defined]
        assert have == [line.rstrip("/") or "/" for line in listed.splitlines()]
        assert "6 shared" in at.lines[0]

    browse(dataroot_path, None, script)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("PASS", ["-iname", "*pass*"]),
        ("*.log", ["-name", "*.log"]),
        (">60", ["-type", "f", "-size", "+60c"]),
        ("<20", ["-type", "f", "-size", "-20c"]),
        ("o <50", ["-iname", "*o*", "-type", "f", "-size", "-50c"]),
    ],
)
def test_search_finds_what_find_finds(dataroot_path: Path, typed: str, words: list[str]) -> None:
    """A search has the hits of `layerfs find` with the same tests."""

    async def script(at: Browser) -> None:
        await at.press("tab", "/")
        await at.type(typed)
        want = layerfs(dataroot_path, "find", "demo", *words, "--format", "{{.Path}}").stdout.split()
        hits = at.place.view.model.items  # type: ignore[attr-defined]
        assert sorted(item.found.path.decode() for item in hits) == sorted(
            path for path in want if path != "/"
        )

    browse(dataroot_path, "demo", script)


def test_bad_search_says_what_would_do(dataroot_path: Path) -> None:
    """A search that means nothing is answered by what one could write, and the tree stays."""

    async def script(at: Browser) -> None:
        await at.press("tab")
        for typed, said in ((">x", ">1M"), ("layer:x", "layer:4"), ("is:x", "is:added")):
            await at.press("/")
            await at.type(typed)
            assert said in at.text
        assert len(at.place.view.model) > 7

    browse(dataroot_path, "demo", script)


def test_copying_out_replaces_nothing(dataroot_path: Path, tmp_path: Path) -> None:
    """Marked entries are copied to their own paths, a deleted one with its layer, once."""
    target = tmp_path / "out"

    async def script(at: Browser) -> None:
        await at.press("down", "tab", "j", "m", "j", "j", "m", "m", "ctrl+e")
        found = layerfs(dataroot_path, "find", "demo@5", "/etc", "/srv", "--format", "{{.Path}}").stdout
        assert f"{len(found.split()) + 1} entries" in at.text
        await at.type(str(target))
        assert "copied to" in at.text
        before = sorted(target.rglob("*"))
        await at.press("ctrl+e")
        await at.type(str(target))
        assert f"nothing was copied: {target} is not empty" in at.text
        assert sorted(target.rglob("*")) == before
        await at.press("ctrl+e")
        await at.type(str(dataroot_path / "new"))
        assert "lies in the data root" in at.text

    browse(dataroot_path, "demo", script, (240, 30))
    assert (target / "root/password.txt@layer3").read_text() == "correct horse battery staple\n"
    assert (target / "etc/motd").read_text() == "Welcome. This file was replaced by a later layer.\n"
    assert not (dataroot_path / "new").exists()


def _top_layer(root: Path, name: str) -> str:
    """The cache ID of the uppermost layer of an image."""
    return layerfs(root, "layers", name, "--format", "{{.CacheID}}", "--no-trunc").stdout.split()[-1]


# -- what is hostile, huge, damaged or absent ------------------------------------------------------


@pytest.mark.parametrize("image", ["lab/names:1", "config/hostile:1", "lab/types:1", "lab/nodes:1"])
def test_names_have_no_power(dataroot_path: Path, image: str) -> None:
    """Every row of hostile names is visited, opened and shown: each line is visible text, none is markup."""

    async def script(at: Browser) -> None:
        from layerfs_cli.explore.imagescreen import ImageScreen

        screen = at.place
        assert isinstance(screen, ImageScreen)
        await at.press("tab", "H")
        index = 0
        while index < len(screen.rows):
            screen.tree_view.move_to(index)
            await at.press("l")
            assert at.text.replace("\n", "").isprintable()
            name = printable(os.fsdecode(screen.rows.items[index].found.node.name))
            if len(name) < 20:
                assert name in at.lines[0]
                assert name in at.text.split("\n", 1)[1]
            index += 1
        screen.tree_view.move_to(0)
        for key in "txvBe":
            await at.press(key)
            assert at.text.replace("\n", "").isprintable()
            await at.press("escape")

    browse(dataroot_path, image, script, (120, 30))


def test_no_text_is_read_as_markup() -> None:
    """No module of the browser uses what Textual reads markup in: all text goes through `spans.strip`."""
    for path in (Path(__file__).parents[2] / "cli/explore").glob("*.py"):
        words = path.read_text()
        for name in ("Static", "Label", "notify(", "from_markup", "DataTable", "OptionList", "Markdown"):
            assert name not in words, path


def test_a_directory_of_a_hundred_thousand(dataroot_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens, is drawn by lines, and its last entry is one key away."""
    layer = MemoryLayer({b"many/%06d" % number: Inode(0o100644, content=b"x") for number in range(100_000)})
    store = open_store(str(dataroot_path), Options())
    subject = open_subject(store, "base:1")
    stack = Stack(dataclasses.replace(subject, tree=UnionTree([layer]), layers=subject.layers[:1]), "base:1")

    async def script(at: Browser) -> None:
        await at.press("tab", "l")
        assert len(at.place.view.model) == 100_001
        drawn: list[int] = []
        row = at.place.view.model.row

        def noted(index: int, width: int) -> Sequence[Span]:
            drawn.append(index)
            return row(index, width)

        monkeypatch.setattr(at.place.view.model, "row", noted)
        await at.press("G")
        assert "/many/099999" in at.lines[0]
        assert drawn
        assert len(set(drawn)) < 60

    browse(dataroot_path, stack, script)


def test_huge_directory_is_shown_by_its_names_first(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until a directory of thousands is read its names are shown, in order; then the cursor stays."""
    diff = copy / "overlay2" / _top_layer(copy, "demo") / "diff"
    (diff / "many").mkdir()
    for number in range(questions.HUGE + 500):
        os.close(os.open(diff / f"many/{number:05}", os.O_CREAT))
    (diff / "many/00007").unlink()
    os.mknod(diff / "many/00007", 0o020000, 0)  # a whiteout
    go_on = threading.Event()
    read = questions.children

    def slowly(tree: UnionTree, found: questions.Found, *args: object, **more: object) -> object:
        if found.path == b"/many":
            go_on.wait(20)
        return read(tree, found, *args, **more)  # type: ignore[arg-type]

    async def script(at: Browser) -> None:
        from layerfs_cli.explore.imagescreen import ImageScreen

        await at.press("tab", "z")
        screen = at.place
        assert isinstance(screen, ImageScreen)
        index = screen.rows.find(b"/many")
        assert index is not None
        screen.view.move_to(index)
        monkeypatch.setattr(questions, "children", slowly)
        await at.press_only("l")
        while len(screen.view.model) < questions.HUGE:
            await at.pause()
        names = [item.found.node.name.decode() for item in screen.rows.items if item.depth == 1]
        assert names == sorted(path.name for path in (diff / "many").iterdir() if path.name != "00007")
        await at.press_only("l")
        assert "reading its entries" in at.text
        assert " 00000" in at.text
        row = index + 2000
        screen.view.move_to(row)
        await at.pause()
        assert "0 bytes of layer 6" in at.text
        at_path = at.lines[0]
        assert sum("…" in line.split("│")[-1] for line in at.lines[2:19]) > 10
        go_on.set()
        await at.settled()
        assert at.lines[0] == at_path
        assert not any("…" in line.split("│")[-1] for line in at.lines[2:19])

    browse(copy, "demo", script)


def test_damage_is_told_where_it_is_met(copy: Path) -> None:
    """An image with a lost layer is not opened, and the line says why; the findings name it; others open."""
    top = _top_layer(copy, "demo")
    shutil.rmtree(copy / "overlay2" / top)

    async def script(at: Browser) -> None:
        await at.press("4")
        rows = [row.cells[0] for row in at.place.view.model.rows]  # type: ignore[attr-defined]
        assert any(top in cell for cell in rows)
        await at.press("1")
        words = [row.word for row in at.place.view.model.rows]  # type: ignore[attr-defined]
        for word, opens in (("demo:latest", False), ("base:1", True)):
            at.place.view.move_to(words.index(word))
            await at.press("enter")
            assert at.app.depth == 1 + opens
            assert opens or top in at.text

    browse(copy, None, script, (240, 30))


@pytest.mark.parametrize("way", ["q", "\x03", signal.SIGTERM, signal.SIGHUP], ids=str)
def test_terminal_is_as_before(dataroot_path: Path, way: str | signal.Signals) -> None:
    """However it ends, the terminal has its screen, its cursor and its modes again, and no mouse."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(slave)
    command = [sys.executable, "-m", "layerfs", "--root", str(dataroot_path), "explore"]
    environ = os.environ | {"TERM": "xterm-256color"}
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True
    )
    try:
        seen = _read_until(master, b"IMAGE ID")
        if isinstance(way, str):
            os.write(master, way.encode())
        else:
            process.send_signal(way)
        seen += _read_until(master, b"\x1b[?1049l")
        while process.poll() is None or is_readable(master, 0):  # what it writes on leaving
            if is_readable(master, 0.02):
                seen += os.read(master, 65536)
        assert process.wait(20) == (0 if isinstance(way, str) else 128 + way)
        assert termios.tcgetattr(slave) == before
        for on, off in (
            (b"\x1b[?1049h", b"\x1b[?1049l"),
            (b"\x1b[?25l", b"\x1b[?25h"),
            (b"\x1b[?1000h", b"\x1b[?1000l"),
        ):
            assert seen.rindex(on) < seen.rindex(off)
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


def test_stops_goes_on_and_dies_with_its_terminal(dataroot_path: Path) -> None:
    """Ctrl+Z and fg, Ctrl+C while something is typed; where its terminal is closed it ends."""
    explore = shlex.join([sys.executable, "-m", "layerfs", "--root", str(dataroot_path), "explore", "demo"])
    script = f"set -m; {explore}; echo was=$?; fg; echo now=$?; {explore}"
    shell, terminal = pty.fork()
    if not shell:
        hear_signals()
        os.environ["TERM"] = "xterm-256color"
        os.execvp("sh", ["sh", "-c", script])  # noqa: S606 - the shell is what is meant
    rest = b""

    def until(wanted: bytes) -> bytes:
        """What comes until something was in it; what is behind it is kept."""
        nonlocal rest
        seen, found, rest = _read_until(terminal, wanted, rest).partition(wanted)
        return seen + found

    children: list[str] = []
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        until(b"as of layer 6")
        os.write(terminal, b"\t/")
        until(b"Enter searches")
        os.write(terminal, b"\x1a")
        seen = until(b"was=")
        for off in (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l"):
            assert off in seen
        assert b"\x1b[?1049h" in until(b"as of layer 6")
        os.write(terminal, b"\x03")
        assert b"\x1b[?1049l" in until(b"now=0")
        until(b"as of layer 6")
        children += Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        held = os.pidfd_open(int(children[0]))
        os.close(terminal)
        assert is_readable(held, 60)
        os.close(held)
        children.clear()
    finally:
        with suppress(OSError):
            os.close(terminal)
        children += Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        for number in (shell, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        os.waitpid(shell, 0)


def _read_until(master: int, wanted: bytes, seen: bytes = b"") -> bytes:
    """What a terminal is sent until something was in it, behind what was seen already."""
    while wanted not in seen:
        assert is_readable(master, 60), seen[-2000:]
        seen += os.read(master, 65536)
    return seen


def test_without_textual_it_names_the_pip_line(dataroot_path: Path) -> None:
    """Where Textual is not installed it exits with 2, and says how to install it."""
    master, slave = pty.openpty()
    program = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'textual' else find(name, *more)\n"
        "from layerfs_cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "--root", str(dataroot_path), "explore"]
    done = subprocess.run(command, stdin=slave, stdout=slave, stderr=subprocess.PIPE, check=False)
    os.close(slave)
    os.close(master)
    assert done.returncode == 2
    assert b"pip install 'layerfs[explore]'" in done.stderr
