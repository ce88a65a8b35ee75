"""Computes digests of the files of a tree: of the visible ones, or of every version in its layers.

Several threads read files, as hashing releases Python's lock; a file with several names is read once.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.tree.versions import node_of, versions
from layerfs.errors import PathNotFound, TreeError, UnreadableEntry
from layerfs.tree.node import Part
from layerfs.tree.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from layerfs.analysis.tree.versions import Hidden
    from layerfs.tree.node import FileStat, Node
    from layerfs.tree.union import UnionTree

__all__ = ["Hashed", "HashedFile", "every_version", "hashes", "shown_files"]

_AHEAD = 64
"""For each thread, the most files that are being read or whose digests were not yet taken."""


class HashedFile(NamedTuple):
    """A regular file to read.

    Attributes:
        path: its absolute path in the tree; if it is hidden, in the tree before that.
        node: the node with which the tree reads it.
        part: the layer that holds it, as an index of the stack (0 is uppermost), and its path there.
        data: the same for its bytes, which for a metacopy are elsewhere.
        hidden: what hides it; None where the tree shows it.
    """

    path: bytes
    node: Node
    part: Part
    data: Part
    hidden: Hidden | None = None

    @property
    def stat(self) -> FileStat:
        """Its attributes."""
        return self.node.stat


class Hashed(NamedTuple):
    """A file with its digest in hexadecimal digits, or the error why it has none."""

    file: HashedFile
    digest: str | None
    error: TreeError | None


def shown_files(
    tree: UnionTree, tops: Iterable[Node], problem: Callable[[TreeError], None]
) -> list[HashedFile]:
    """The regular files at and below some nodes, each once, in the byte order of their paths.

    Args:
        tree: the tree of the nodes.
        tops: the nodes.
        problem: called for what cannot be read, which is left out.
    """
    found: dict[bytes, HashedFile] = {}
    for top in tops:
        for visit in walk(tree, top):
            node = visit.node
            if visit.problem:
                problem(visit.problem)
            if node.stat.is_file and node.path not in found:
                try:
                    found[node.path] = HashedFile(node.path, node, node.part, tree.data_part(node))
                except TreeError as error:
                    problem(error)
    return [found[path] for path in sorted(found)]


def every_version(
    tree: UnionTree, tops: Iterable[bytes], problem: Callable[[TreeError], None]
) -> list[HashedFile]:
    """Every version of the regular files at and below some paths, by path, oldest first.

    Args:
        tree: an image's or a container's.
        tops: the paths; links are not followed.
        problem: called for what cannot be read, which is left out.
    """
    found: dict[tuple[bytes, Part], HashedFile] = {}
    for top in tops:
        there = False
        for version in versions(tree.layers, below=top, problem=problem):
            there = True
            part = Part(len(tree.layers) - version.layer, version.part)
            if version.stat.is_file and (version.path, part) not in found:
                node = node_of(tree, version)
                try:
                    data = tree.data_part(node)
                except TreeError as error:
                    problem(error)
                    continue
                found[version.path, part] = HashedFile(version.path, node, part, data, version.hidden)
        if not there:
            problem(PathNotFound(top))
    return sorted(found.values(), key=lambda file: (file.path, -file.part.layer))


def hashes(tree: UnionTree, files: Sequence[HashedFile], algorithm: str, threads: int) -> Iterator[Hashed]:
    """Read files, and give each with its digest, in their order.

    Args:
        tree: the tree of the files.
        files: the files.
        algorithm: a name that `hashlib` knows.
        threads: how many files to read at once.
    """
    stopped = threading.Event()

    def read(file: HashedFile) -> str | TreeError:
        try:
            return _digest(tree, file, algorithm, stopped)
        except TreeError as error:
            return error

    pool = ThreadPoolExecutor(threads)
    known: dict[tuple[int, int], Future[str | TreeError]] = {}
    begun: deque[tuple[HashedFile, Future[str | TreeError]]] = deque()
    try:
        for file in files:
            inode = (file.stat.dev, file.stat.ino)
            answer = known.get(inode) or pool.submit(read, file)
            if file.stat.nlink > 1:
                known[inode] = answer
            begun.append((file, answer))
            if len(begun) > threads * _AHEAD:
                yield _hashed(*begun.popleft())
        while begun:
            yield _hashed(*begun.popleft())
    finally:  # an interrupt does not wait for the end of a large file
        stopped.set()
        pool.shutdown(cancel_futures=True)


def _hashed(file: HashedFile, answer: Future[str | TreeError]) -> Hashed:
    found = answer.result()
    return Hashed(file, None, found) if isinstance(found, TreeError) else Hashed(file, found, None)


def _digest(tree: UnionTree, file: HashedFile, algorithm: str, stopped: threading.Event) -> str:
    """The digest of a file's content; raises `TreeError`."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    try:
        with tree.open(file.node) as opened:
            for chunk in opened.chunks():
                digest.update(chunk)
                if stopped.is_set():
                    break
    except TreeError:
        raise
    except OSError as error:
        label = tree.layers[file.data.layer].label
        raise UnreadableEntry(file.path, f"{label}: {error.strerror or error}") from error
    return digest.hexdigest()
