"""Writes the context of a build: a Dockerfile, and beside it what its ADD and COPY take.

Everything is made below one new or empty directory, through its descriptor. Names are those that the image's
history has, so they may be anything: they cannot lead out of the directory, nor into a link in it.
"""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, NamedTuple, Self

from layerfs.analysis.dockerfile.sources import ARCHIVE, CONTENTS
from layerfs.errors import TreeError, UnreadableEntry
from layerfs.tree.walk import walk
from layerfs.views.copyout import CopyOut, NotCopied
from layerfs.views.copytree import copy_tree
from layerfs.views.export.members import TreeTar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.analysis.dockerfile.sources import Item
    from layerfs.analysis.dockerfile.steps import Recipe, Step
    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree

__all__ = ["DOCKERFILE", "OTHER_NAME", "Context", "Problem"]

DOCKERFILE = "Dockerfile"
OTHER_NAME = "Dockerfile.layerfs"
"""What the Dockerfile is called where a source is called `Dockerfile`."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_COMPARED = 1 << 20


class Problem(NamedTuple):
    """Something that is not in the context as a step needs it.

    Attributes:
        step: the step.
        name: its path below the context.
        error: why; a `FileExistsError` where an earlier step has put something else there.
    """

    step: Step
    name: str
    error: OSError


class Context:
    """A context that is being written; as a context manager it is complete at the end of the block."""

    def __init__(self, fd: int) -> None:
        """Write below the directory `fd`, which is closed at the end."""
        self._fd = fd
        self._copy = CopyOut(fd)
        self._made: dict[bytes, tuple[UnionTree, Node]] = {}

    def __enter__(self) -> Self:
        """Write inside the block."""
        self._copy.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Finish the directories."""
        self._copy.__exit__(*exc_info)

    @property
    def copies(self) -> CopyOut:
        """What tells of attributes that were not kept."""
        return self._copy

    def sources(self, recipe: Recipe) -> Iterator[Problem]:
        """Write what the steps need, and give what could not be written."""
        for step, number, item in recipe.needed():
            tree = recipe.layers.tree(number)
            if tree is None:
                continue  # was reported
            name = os.fsencode(item.name)
            try:
                node = tree.resolve(item.path, follow=False)
                for path, error in self._write(tree, node, item, name):
                    yield Problem(step, os.fsdecode(path), error)
            except OSError as error:
                yield Problem(step, item.name, error)

    def ignores(self, dockerfile: str) -> list[str]:
        """The files at the top by which a build of that Dockerfile leaves sources out."""
        names = (".dockerignore", f"{dockerfile}.dockerignore")
        return [name for name in names if os.path.lexists(f"/proc/self/fd/{self._fd}/{name}")]

    def dockerfile(self, text: str) -> str:
        """Write the Dockerfile; the name that it got."""
        content = text.encode("utf-8", "surrogateescape")
        for name in (DOCKERFILE, OTHER_NAME):
            try:
                fd = os.open(name, _NEW, 0o666, dir_fd=self._fd)
            except FileExistsError:
                continue
            with io.FileIO(fd, "wb") as file:
                file.write(content)
            return name
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), OTHER_NAME)

    def _write(self, tree: UnionTree, node: Node, item: Item, name: bytes) -> Iterator[tuple[bytes, OSError]]:
        self._parents(name if item.form == CONTENTS else name.rpartition(b"/")[0])
        if item.form == ARCHIVE:
            yield from self._archive(tree, node, name)
        elif item.form == CONTENTS:
            for child_name, child in sorted(tree.children(node).items()):
                if child_name not in item.without:
                    yield from self._entry(tree, child, name + b"/" + child_name if name else child_name)
        else:
            yield from self._entry(tree, node, name)

    def _parents(self, directory: bytes) -> None:
        at = b""
        for part in filter(None, directory.split(b"/")):
            at = at + b"/" + part if at else part
            self._copy.directory(at, None)

    def _entry(self, tree: UnionTree, top: Node, name: bytes) -> Iterator[tuple[bytes, OSError]]:
        """Copy an entry with all below it; what an earlier step has made there already may be the same."""
        for done in copy_tree(tree, walk(tree, top), name, self._copy):
            error = done.error
            if error is None:
                self._made[done.path] = (tree, done.node)
            elif isinstance(error, FileExistsError) and self._is_same(tree, done.node, done.path):
                continue
            elif not isinstance(error, NotCopied):
                yield done.path, error

    def _is_same(self, tree: UnionTree, node: Node, path: bytes) -> bool:
        """Whether the context has at a path what would be copied there now."""
        if path not in self._made:
            return False
        other_tree, other = self._made[path]
        if node.stat.kind != other.stat.kind:
            return False
        if node.stat.is_symlink:
            return tree.readlink(node) == other_tree.readlink(other)
        return (
            node.stat.is_file
            and node.stat.size == other.stat.size
            and _is_equal(tree, node, other_tree, other)
        )

    def _archive(self, tree: UnionTree, node: Node, name: bytes) -> Iterator[tuple[bytes, OSError]]:
        """Write what is in a directory as a tar, which ADD unpacks with owners and times."""
        skipped: list[TreeError] = []
        fd = self._copy.new_file(name)
        with io.BufferedWriter(io.FileIO(fd, "wb"), _COMPARED) as file:
            TreeTar(tree, file.write, skip=skipped.append, top=node).write_all()
        yield from ((name, error) for error in skipped)


def _is_equal(tree: UnionTree, node: Node, other_tree: UnionTree, other: Node) -> bool:
    """Whether two files have the same bytes."""
    ours, theirs = bytearray(_COMPARED), bytearray(_COMPARED)
    with tree.open(node) as one, other_tree.open(other) as two:
        for at in range(0, node.stat.size, _COMPARED):
            count = one.read_into(memoryview(ours), at)
            if two.read_into(memoryview(theirs), at) != count:
                raise UnreadableEntry(node.path, "became shorter while it was read")
            if ours[:count] != theirs[:count]:
                return False
    return True
