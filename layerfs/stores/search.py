"""Searches a directory for stores: in the usual places, and in the volumes of each store that is found.

Candidates are opened beneath the directory without following links. If there is a link on the way to a
candidate, it is read, and its target is tried beneath the top of its system.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import CorruptStore, DataRootError, NotADataRoot, reason
from layerfs.hostdir import HostDir
from layerfs.model import added_up
from layerfs.store import RECORDS
from layerfs.stores.beneath import MOST_LINKS, led_on
from layerfs.stores.moved import moved
from layerfs.stores.places import (
    HOME_PLACES,
    PASSWD,
    PASSWD_LIMIT,
    PLACES,
    VOLUMES,
    homes,
    inside_var,
    owner_of_part,
    unread_kind,
)
from layerfs.stores.registry import KINDS, STORES, kinds_at, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.formats.engineconfig import Person
    from layerfs.store import Store
    from layerfs.stores.registry import Options

__all__ = ["NOT_READ", "FoundStore", "find_stores"]

NOT_READ = "not read yet"
"""The problem of a store of a kind that layerfs cannot read."""

_REMAPPED = re.compile(r"\d+\.\d+")
_OWNERS = {"containers-storage": "podman"}
_KINDS = {"k3s": "containerd", "rke2": "containerd", "podman": "containers-storage"}
_DEEPEST = 4  # how deep stores in volumes of stores are searched


class FoundStore(NamedTuple):
    """A store that was found.

    Attributes:
        kind: the name of its kind.
        path: its path, beginning with the directory that was searched.
        owner: the engine that uses it, or a guess by its kind.
        user: the user in whose home it is; None outside of homes.
        inside: the path of the store in whose volume it is, or None.
        problem: why it cannot be read, or None.
        part: the part of the store, such as a namespace; None for all of it.
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
    part: str | None = None


class _Candidate(NamedTuple):
    """A path below the directory that may be a store.

    Attributes:
        path: where.
        system: the top of its system; links do not lead out of that.
        owner: as in `FoundStore`, like `user` and `inside`.
        depth: in how many stores' volumes it is.
        links: how many links were read on the way.
        named_by: the configuration file that names this path, or None.
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
    """The stores below `path`; those in a store's volumes come after it.

    Args:
        path: a directory of the host: the top of a system, a store, or a directory with several of these.
        options: how to read the stores.

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
    """One search, which examines each directory once."""

    def __init__(self, top: HostDir, path: str, options: Options) -> None:
        self._top = top
        self._path = path
        self._options = options
        self._seen: set[tuple[int, int]] = set()
        self._lacking: set[str] = set()

    def found(self) -> Iterator[FoundStore]:
        """The stores below the top."""
        pending = list(reversed(list(self._first())))
        while pending:
            candidate = pending.pop()
            try:
                with self._top.subdir(candidate.path) as directory:
                    stores = self._look(candidate, directory)
                    below = list(self._below(candidate, stores[0], directory)) if stores else []
                    known = _identity(directory) in self._seen
            except OSError as error:
                if linked := list(self._linked(candidate)):
                    pending.extend(linked)
                else:
                    yield from self._lost(candidate, error)
                continue
            yield from stores
            if not known:
                yield from self._lost(candidate)
            pending.extend(reversed(below))

    def _first(self) -> Iterator[_Candidate]:
        """The first candidates: the directory, and the usual places in it and in its subdirectories.

        Each can be the top of a system or a home, as when only homes were copied.
        """
        yield _Candidate("")
        yield from _of_system(self._top, _Candidate(""))
        yield from _of_home("")
        for name in _directories(self._top):
            try:
                with self._top.subdir(name) as inner:
                    yield _Candidate(name)
                    yield from _of_system(inner, _Candidate(name))
                    yield from _of_home(name)
            except OSError:
                continue

    def _look(self, candidate: _Candidate, directory: HostDir) -> list[FoundStore]:
        """The stores of a directory that was not examined before, part by part."""
        identity = _identity(directory)
        names = {os.fsdecode(name) for name in directory.names()}
        if identity in self._seen:
            return []
        kind = unread_kind(names)
        path = posixpath.join(self._path, candidate.path) if candidate.path else self._path
        kinds = kinds_at(path)
        if kind is None and not kinds:
            return []
        found = FoundStore(kind or "", path, candidate.owner, candidate.user, candidate.inside, NOT_READ)
        if kind in KINDS and not kinds:
            found = found._replace(problem=_why_not(path, self._options))
        opened = [item for word in kinds for item in self._opened(found, identity, word)]
        stores = opened or ([found] if kind else [])
        if stores:
            self._seen.add(identity)
        return [item._replace(owner=item.owner or _OWNERS.get(item.kind, item.kind)) for item in stores]

    def _opened(self, found: FoundStore, identity: tuple[int, int], kind: str) -> Iterator[FoundStore]:
        """The parts of a store, opened by its kind; nothing if the kind opened another directory."""
        word = next((word for word, known in STORES.items() if known == kind), None)
        options = self._options._replace(store=word, searching=True)
        try:
            store = open_store(found.path, options)
        except (DataRootError, CorruptStore) as error:
            yield found._replace(kind=found.kind or kind, problem=_without_path(error, found.path))
            return
        if identity not in store.evidence():
            return  # the store is further below, and has its own candidate
        self._seen |= store.evidence()
        if store.lacks(RECORDS):
            images, containers, size = _counts(store)
            yield found._replace(
                kind=store.kind,
                problem=_without_path(store.damage[-1], found.path),
                images=images,
                containers=containers,
                size=size,
            )
            return
        for part in store.namespaces() or (None,):
            one = open_store(found.path, options._replace(namespace=part)) if part else store
            images, containers, size = _counts(one)
            yield found._replace(
                kind=one.kind,
                path=one.path if one.path.startswith(self._path) else found.path,
                owner=owner_of_part(part, found.owner),
                problem=None,
                images=images,
                containers=containers,
                size=size,
                part=part,
            )

    def _below(self, candidate: _Candidate, store: FoundStore, directory: HostDir) -> Iterator[_Candidate]:
        """The candidates in and beside a store."""
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
        """The candidate with the first link on its way resolved, beneath the top of its system."""
        try:
            with self._top.subdir(candidate.system) as system:
                path = led_on(system, candidate.path.removeprefix(candidate.system))
        except OSError:
            return
        if path and candidate.links < MOST_LINKS:
            yield candidate._replace(path=_join(candidate.system, path), links=candidate.links + 1)

    def _lost(self, candidate: _Candidate, error: OSError | None = None) -> Iterator[FoundStore]:
        """A store that a configuration file names, but that is missing."""
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


def _why_not(path: str, options: Options) -> str:
    """Why a directory that looks like a store cannot be opened."""
    try:
        open_store(path, options)
    except (DataRootError, CorruptStore) as error:
        return _without_path(error, path)
    return NOT_READ


def _without_path(error: Exception, path: str) -> str:
    return str(error).removeprefix(f"{path}: ").removeprefix(f"{path}/")


def _counts(store: Store) -> tuple[int | None, int | None, int | None]:
    """The numbers of images and containers, and the bytes, of a store; damage is reported.

    A number is None, and not 0, if its records are missing.
    """
    try:
        containers = len(store.container_names()) if store.has_containers else None
        if store.lacks(RECORDS):
            return None, containers or None, None
        return len(store.image_ids()), containers, added_up([layer.size for layer in store.layers()])
    except (DataRootError, CorruptStore):
        return None, None, None


def _of_home(home: str) -> Iterator[_Candidate]:
    """The candidates in a home whose user is not known."""
    for path, owner in HOME_PLACES:
        yield _Candidate(_join(home, path), home, owner)


def _of_system(system: HostDir, at: _Candidate) -> Iterator[_Candidate]:
    """The usual places of a system, and those in the homes of its users."""
    at = at._replace(system=at.path)
    for path, owner in PLACES:
        yield at._replace(path=_join(at.path, path), owner=owner)
    yield from _moved(system, at)
    try:
        passwd = system.read(PASSWD, PASSWD_LIMIT)
    except OSError:
        return
    for person in homes(passwd):
        for path, owner in HOME_PLACES:
            yield at._replace(path=_join(at.path, person.home, path), owner=owner, user=person.name)
        yield from _moved(system, at._replace(user=person.name), person)


def _moved(system: HostDir, at: _Candidate, person: Person | None = None) -> Iterator[_Candidate]:
    """The candidates that the configuration of a system, or of a user of it, names."""
    for path, owner, named_by in moved(system, person):
        told = _join(at.path, named_by) if named_by else None
        yield at._replace(path=_join(at.path, path), owner=owner, named_by=told)


def _directories(directory: HostDir) -> list[str]:
    """The directories in a directory, sorted."""
    try:
        return sorted(os.fsdecode(name) for name, kind in directory.listing() if kind == stat.S_IFDIR)
    except OSError:
        return []


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)
