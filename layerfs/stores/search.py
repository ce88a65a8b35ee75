"""Every store below a directory: where engines keep them, and in the volumes of each store that is found.

What is tried is opened beneath the directory with no link followed. A link on the way to where a store
lies is read, and what it names is tried beneath the top of its system. What a store is, its kind says.
"""

from __future__ import annotations

import os
import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import CorruptStore, DataRootError, NotADataRoot, reason
from layerfs.hostdir import HostDir
from layerfs.model import added_up
from layerfs.store import RECORDS
from layerfs.stores.beneath import MOST_LINKS, led_on
from layerfs.stores.moved import moved
from layerfs.stores.places import HOME_PLACES, PLACES, VOLUMES, homes, inside_var, unread_kind
from layerfs.stores.registry import detects, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.store import Store
    from layerfs.stores.registry import Options

__all__ = ["NOT_READ", "FoundStore", "find_stores"]

NOT_READ = "not read yet"
"""The problem of a store whose kind is known by its name alone."""

_PASSWD, _PASSWD_LIMIT = "etc/passwd", 1 << 20
_REMAPPED = re.compile(r"\d+\.\d+")
_OWNERS = {"containers-storage": "podman"}
_KINDS = {"k3s": "containerd", "rke2": "containerd", "podman": "containers-storage"}
_DEEPEST = 4  # stores in volumes of stores in volumes


class FoundStore(NamedTuple):
    """A store that lies below the directory.

    Attributes:
        kind: the word of its kind.
        path: where, beginning with the directory that was searched.
        owner: the engine that keeps it, or a guess by its kind.
        user: whose home it is in; None outside of homes.
        inside: the path of the store in whose volume it lies, or None.
        problem: why nothing is known of it, or None.
        images: how many, or None where that is not known; likewise the rest.
        containers: how many.
        size: bytes of its layers, as its engine counts them.
    """

    kind: str
    path: str
    owner: str
    user: str | None
    inside: str | None
    problem: str | None = None
    images: int | None = None
    containers: int | None = None
    size: int | None = None


class _Candidate(NamedTuple):
    """A path to look at, below the directory, and what is known of it.

    Attributes:
        path: where.
        system: the top of its system, which no link leads out of.
        owner: as of `FoundStore`; likewise `user` and `inside`.
        depth: how many stores it is in a volume of.
        links: how many were read to come here.
        named_by: the configuration file that says that a store is here, or None.
    """

    path: str
    system: str = ""
    owner: str = ""
    user: str | None = None
    inside: str | None = None
    depth: int = 0
    links: int = 0
    named_by: str | None = None


def find_stores(path: str, options: Options) -> Iterator[FoundStore]:
    """The stores below `path`, those of volumes after the store that they are in.

    Args:
        path: a directory of the host: the top of a system, a store, or what lies above several of them.
        options: how the stores are read that can be.

    Raises:
        NotADataRoot: it cannot be opened.
    """
    try:
        top = HostDir.open(path)
    except OSError as error:
        raise NotADataRoot(reason(error)) from error
    with top:
        yield from _Search(top, path, options).found()


class _Search:
    """One search, which looks at each directory once."""

    def __init__(self, top: HostDir, path: str, options: Options) -> None:
        self._top = top
        self._path = path
        self._options = options
        self._seen: set[tuple[int, int]] = set()
        self._lacking: set[str] = set()

    def found(self) -> Iterator[FoundStore]:
        """What lies below the top."""
        pending = list(reversed(list(self._first())))
        while pending:
            candidate = pending.pop()
            try:
                with self._top.subdir(candidate.path) as directory:
                    store = self._look(candidate, directory)
                    below = list(self._below(candidate, store, directory)) if store else []
                    known = _identity(directory) in self._seen
            except OSError as error:
                if linked := list(self._linked(candidate)):
                    pending.extend(linked)
                else:
                    yield from self._lost(candidate, error)
                continue
            if store:
                yield store
            elif not known:
                yield from self._lost(candidate)
            pending.extend(reversed(below))

    def _first(self) -> Iterator[_Candidate]:
        """The directory itself, and all places in it and in those directly below."""
        yield _Candidate("")
        yield from _of_system(self._top, _Candidate(""))
        for name in _directories(self._top):
            try:
                with self._top.subdir(name) as inner:
                    yield _Candidate(name)
                    yield from _of_system(inner, _Candidate(name))
            except OSError:
                continue

    def _look(self, candidate: _Candidate, directory: HostDir) -> FoundStore | None:
        """The store in a directory that was not met before, or None."""
        identity = _identity(directory)
        names = {os.fsdecode(name) for name in directory.names()}
        if identity in self._seen:
            return None
        kind = unread_kind(names)
        path = posixpath.join(self._path, candidate.path) if candidate.path else self._path
        is_known = detects(path)
        if kind is None and not is_known:
            return None
        found = FoundStore(kind or "", path, candidate.owner, candidate.user, candidate.inside, NOT_READ)
        if is_known:
            found = self._opened(found, identity)
        if found.kind:
            self._seen.add(identity)
            return found._replace(owner=found.owner or _OWNERS.get(found.kind, found.kind))
        return None

    def _opened(self, found: FoundStore, identity: tuple[int, int]) -> FoundStore:
        """A store as its kind reads it; without a kind where that is another directory's."""
        try:
            store = open_store(found.path, self._options)
        except (DataRootError, CorruptStore) as error:
            return found._replace(kind=found.kind or "unknown", problem=str(error))
        if identity not in store.evidence():
            return found  # further below: a place of its own
        images, containers, size = _counts(store)
        return found._replace(kind=store.kind, problem=None, images=images, containers=containers, size=size)

    def _below(self, candidate: _Candidate, store: FoundStore, directory: HostDir) -> Iterator[_Candidate]:
        """Where stores lie that belong to a store."""
        candidate = candidate._replace(named_by=None)
        yield candidate._replace(path=_join(candidate.path, "containerd/daemon"))
        for name in _directories(directory):
            if _REMAPPED.fullmatch(name):
                yield candidate._replace(path=_join(candidate.path, name))
        if candidate.depth >= _DEEPEST:
            return
        try:
            with directory.subdir(VOLUMES) as volumes:
                names = _directories(volumes)
        except OSError:
            return
        for name in names:
            inner = _Candidate(
                _join(candidate.path, VOLUMES, name, "_data"),
                candidate.system,
                inside=store.path,
                depth=candidate.depth + 1,
            )
            yield inner
            for path, owner in (*inside_var(), *PLACES):
                yield inner._replace(path=_join(inner.path, path), system=inner.path, owner=owner)

    def _linked(self, candidate: _Candidate) -> Iterator[_Candidate]:
        """What a link on the way to where a store should be names, beneath the top of its system."""
        try:
            with self._top.subdir(candidate.system) as system:
                path = led_on(system, candidate.path.removeprefix(candidate.system))
        except OSError:
            return
        if path and candidate.links < MOST_LINKS:
            yield candidate._replace(path=_join(candidate.system, path), links=candidate.links + 1)

    def _lost(self, candidate: _Candidate, error: OSError | None = None) -> Iterator[FoundStore]:
        """A store that a configuration file names, and that is not there."""
        if candidate.named_by and candidate.path not in self._lacking:
            self._lacking.add(candidate.path)
            is_gone = isinstance(error, FileNotFoundError)
            why = "no store" if error is None else "not there" if is_gone else error.strerror
            yield FoundStore(
                _KINDS.get(candidate.owner, candidate.owner),
                posixpath.join(self._path, candidate.path),
                candidate.owner,
                candidate.user,
                candidate.inside,
                f"{why}; named by {posixpath.join(self._path, candidate.named_by)}",
            )


def _identity(directory: HostDir) -> tuple[int, int]:
    status = directory.lstat()
    return status.st_dev, status.st_ino


def _counts(store: Store) -> tuple[int | None, int | None, int | None]:
    """The images, containers and bytes of a store; what is damaged of it is reported as ever.

    What is told by records that are gone is not known, and not none.
    """
    is_told = not store.lacks(RECORDS)
    try:
        return (
            len(store.image_ids()) if is_told else None,
            len(store.container_names()) if store.has_containers else None,
            added_up([layer.size for layer in store.layers()]) if is_told else None,
        )
    except (DataRootError, CorruptStore):
        return None, None, None


def _of_system(system: HostDir, at: _Candidate) -> Iterator[_Candidate]:
    """The usual places of a system, and those in the homes of its users."""
    at = at._replace(system=at.path)
    for path, owner in PLACES:
        yield at._replace(path=_join(at.path, path), owner=owner)
    yield from _moved(system, at)
    try:
        passwd = system.read(_PASSWD, _PASSWD_LIMIT)
    except OSError:
        return
    for user, home in homes(passwd):
        for path, owner in HOME_PLACES:
            yield at._replace(path=_join(at.path, home, path), owner=owner, user=user)
        yield from _moved(system, at._replace(user=user), home)


def _moved(system: HostDir, at: _Candidate, home: str = "") -> Iterator[_Candidate]:
    """Where the configuration of a system, or of a home in it, says that stores are."""
    for path, owner, named_by in moved(system, home):
        yield at._replace(path=_join(at.path, path), owner=owner, named_by=_join(at.path, named_by))


def _directories(directory: HostDir) -> list[str]:
    """The directories in a directory, sorted."""
    try:
        return sorted(os.fsdecode(name) for name, is_directory in directory.listing() if is_directory)
    except OSError:
        return []


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)
