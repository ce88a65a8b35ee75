"""The records of what the kernel holds while directories change, threads meet, and guesses fail."""

from __future__ import annotations

import errno
import random
import stat
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from layerfs.errors import HostExhausted
from layerfs.formats.whiteouts import TRUSTED
from layerfs.tree.memory import Inode, MemoryLayer
from layerfs.tree.overlay import OverlayLayer
from layerfs.tree.union import ASKED_BEFORE_LISTING, UnionTree
from layerfs.views.fuse.nodetable import NodeTable
from layerfs.views.fuse.protocol import DIRENTPLUS, NODE_ID, READ_IN, ROOT_ID
from layerfs.views.fuse.requests import Requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.tree.source import Entry

_ROOM = 1 << 14


class _Layer(MemoryLayer):
    """A layer that does something before it lists a directory, and may list it in another order."""

    before: Callable[[bytes], object] = staticmethod(lambda _path: None)
    backwards = False

    def scan(self, path: bytes) -> Iterable[Entry]:
        self.before(path)
        return list(super().scan(path))[:: -1 if self.backwards else 1]


def _made(*paths: bytes) -> tuple[_Layer, UnionTree]:
    layer = _Layer({path: Inode(stat.S_IFREG, content=path) for path in paths})
    return layer, UnionTree([OverlayLayer(layer, TRUSTED)])


def _told(page: bytes) -> Iterator[tuple[bytes, int]]:
    at = 0
    while at < len(page):
        node_id, *_, length, _kind = DIRENTPLUS.unpack_from(page, at)
        yield page[at + DIRENTPLUS.size : at + DIRENTPLUS.size + length], node_id
        at += (DIRENTPLUS.size + length + 7) & ~7


def _listed(nodes: NodeTable, node_id: int) -> dict[bytes, int]:
    return {name: held for name, held in _told(nodes.page(node_id, 0, _ROOM)) if held}


def test_an_id_never_answers_for_another_file() -> None:
    """Not even if all were given back, and the directory, of a container that runs, is another by now."""
    layer, tree = _made(b"a", b"b")
    requests = Requests(tree)
    before = _listed(requests.nodes, ROOT_ID)
    buffer = memoryview(bytearray(8))
    for held in before.values():
        requests.file(held)
        requests.nodes.forget(held, 1)
    layer.backwards = True
    after = _listed(requests.nodes, ROOT_ID)
    assert not set(before.values()) & set(after.values())
    for name, held in after.items():
        assert bytes(requests.read(held, READ_IN.pack(0, 0, 8, 0, 0, 0), buffer)) == name
    for held in before.values():
        with pytest.raises(KeyError):
            requests.nodes[held]


def test_many_names_are_answered_from_one_listing() -> None:
    """What was looked up before keeps its ID; what was not there is still not there."""
    names = [b"%d" % number for number in range(ASKED_BEFORE_LISTING + 9)]
    layer, tree = _made(*names)
    scans: list[bytes] = []
    layer.before = scans.append
    nodes = NodeTable(tree)
    found = {}
    for name in names:
        entry = nodes.look_up(ROOT_ID, name)
        assert entry
        found[name] = NODE_ID.unpack_from(entry)[0]
        assert scans == ([b""] if len(found) > ASKED_BEFORE_LISTING else [])
    assert nodes.look_up(ROOT_ID, b"nothing") is None
    assert {name: nodes[held].name for name, held in found.items()} == {name: name for name in names}
    assert _listed(nodes, ROOT_ID).items() <= found.items()
    assert scans == [b""]


def test_what_is_forgotten_while_it_is_prepared_leaves_nothing() -> None:
    """The guess that a directory will be listed may come too late."""
    layer, tree = _made(b"d/1")
    nodes = NodeTable(tree)
    directory = _listed(nodes, ROOT_ID)[b"d"]
    layer.before = lambda _path: nodes.forget(directory, 1)
    nodes.prepare(directory)
    assert set(nodes._entered) == {ROOT_ID}
    assert not nodes._listed
    with pytest.raises(KeyError):
        nodes.prepare(directory)
    assert set(nodes._entered) == {ROOT_ID}


@pytest.mark.parametrize("error", [HostExhausted(errno.EMFILE), MemoryError(), ValueError("unexpected")])
def test_a_guess_that_fails_ends_nothing(error: Exception) -> None:
    """Who asks in earnest is told: what is prefetched has nobody to tell, and must not stop the server."""

    def fail(path: bytes) -> None:
        if path:
            raise error

    layer, tree = _made(b"d/1")
    layer.before = fail
    requests = Requests(tree)
    requests.readdirplus(ROOT_ID, READ_IN.pack(0, 0, _ROOM, 0, 0, 0))
    assert requests.prefetch.step()
    assert not requests.prefetch.step()
    with pytest.raises(type(error)):
        requests.readdirplus(_listed(requests.nodes, ROOT_ID)[b"d"], READ_IN.pack(0, 0, _ROOM, 0, 0, 0))


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


class _Kernel:
    """One of several threads that ask, and give back what they were given."""

    def __init__(self, requests: Requests, alike: dict[int, bytes], seed: int) -> None:
        self._requests = requests
        self._nodes = requests.nodes
        self._alike = alike
        self._chance = random.Random(seed)  # noqa: S311 - a test
        self._given: Counter[int] = Counter()
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            for _ in range(60):
                self._turn()
        except Exception as error:  # noqa: BLE001 - told by the test
            self.failed = error

    def _turn(self) -> None:
        part, self._given = self._chance.randrange(4), Counter()
        path = b"/d%d" % part
        directory = self._ask(ROOT_ID, b"d%d" % part, path)
        for _ in range(self._chance.randrange(3)):
            if self._chance.random() < 0.5:
                name = b"%03d" % self._chance.randrange(60)
                self._ask(directory, name, path + b"/" + name)
            else:
                for name, held in _listed(self._nodes, directory).items():
                    self._take(held, path + b"/" + name)
                self._requests.prefetch.expect(self._nodes.directories(directory))
            self._requests.prefetch.step()
        below = [held for held in self._given.elements() if held != directory]
        self._chance.shuffle(below)
        for held in below:
            self._nodes.forget(held, 1)
        self._nodes.forget(directory, self._given[directory])

    def _ask(self, above: int, name: bytes, path: bytes) -> int:
        entry = self._nodes.look_up(above, name)
        assert entry is not None
        held: int = NODE_ID.unpack_from(entry)[0]
        self._take(held, path)
        return held

    def _take(self, held: int, path: bytes) -> None:
        self._given[held] += 1
        node = self._nodes[held]
        linked = node.stat.nlink > 1 and not node.is_dir
        assert linked or node.path == path
        assert self._alike.setdefault(held, b"" if linked else path) == (b"" if linked else path)


@pytest.mark.usefixtures("hasty")
def test_threads_that_list_ask_guess_and_forget() -> None:
    """When all is given back nothing is left; and every ID was of one file only."""
    linked = Inode(stat.S_IFREG)
    entries: dict[bytes, Inode] = {}
    for part in range(4):
        for name in range(60):
            entries[b"d%d/%03d" % (part, name)] = Inode(stat.S_IFREG) if name % 7 else linked
        entries[b"d%d/s/t" % part] = Inode(stat.S_IFREG)
    requests = Requests(UnionTree([OverlayLayer(MemoryLayer(entries), TRUSTED)]))
    alike: dict[int, bytes] = {}
    kernels = [_Kernel(requests, alike, seed) for seed in range(6)]
    threads = [threading.Thread(target=kernel.run) for kernel in kernels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    nodes = requests.nodes
    assert not [kernel.failed for kernel in kernels if kernel.failed]
    assert set(nodes._apart) == {ROOT_ID}
    assert not nodes._linked
    assert set(nodes._entered) <= {ROOT_ID}
    assert {folder.node.path for folder in nodes._listed.values()} <= {b"/"}
