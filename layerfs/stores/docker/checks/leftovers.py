"""Finds what an interrupted engine left behind, and things that no engine puts into a data root.

For every directory of the store there is a list of names that belong in it; other names are judged by their
form.

Sources: moby `layer/filestore.go` (write-set, -removing), `pkg/ioutils/fswriters.go` (.tmp-),
`daemon/graphdriver/overlayutils/overlayutils.go` and `overlay2/check.go` (probes), `daemon/daemon.go`
(tmp), `daemon/graphdriver/overlay2/overlay.go`.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.doctor.findings import ROOT, Finding, Found
from layerfs.errors import CorruptStore
from layerfs.formats.layerfiles import parse_cache_id
from layerfs.ids import CacheID, InvalidID
from layerfs.stores.files import parse_optional

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from layerfs.analysis.doctor.findings import Severity
    from layerfs.hostdir import HostDir

__all__ = ["Scanner", "driver_prefix", "is_probe"]


class _Rules(NamedTuple):
    """The names that belong in a directory, and the forms of others by the code of their finding."""

    belong: re.Pattern[bytes]
    others: tuple[tuple[re.Pattern[bytes], str], ...] = ()


_HEX = rb"[0-9a-f]{64}"
_TEMPORARY = (re.compile(rb"\.tmp-.*", re.DOTALL), "temporary-left")
_PROBES = re.compile(r"(check-overlayfs-support|opaque-bug-check|metacopy-check)[0-9]*")
_ANY = re.compile(rb".*", re.DOTALL)
_NONE = re.compile(rb"(?!)")


def _rules(belong: bytes, *others: tuple[re.Pattern[bytes], str]) -> _Rules:
    return _Rules(re.compile(belong), (*others, _TEMPORARY))


_REMOVING = re.compile(_HEX + rb"-.*removing", re.DOTALL)
_STORE = {
    b"": _rules(rb"imagedb|layerdb|distribution|repositories\.json"),
    b"layerdb": _rules(rb"sha256|mounts|tmp"),
    b"layerdb/sha256": _rules(_HEX, (_REMOVING, "removing-left")),
    b"layerdb/mounts": _rules(_HEX),
    b"layerdb/tmp": _Rules(_NONE, ((_ANY, "transaction-left"),)),
    b"imagedb/content/sha256": _rules(_HEX),
    b"imagedb/metadata/sha256": _rules(_HEX),
    b"distribution/diffid-by-digest/sha256": _rules(_HEX),
    b"distribution/v2metadata-by-diffid/sha256": _rules(_HEX),
}
_TOP = {
    b"containers": _rules(_HEX),
    b"overlay2/l": _rules(rb"[A-Z2-7]{1,26}"),
    b"tmp": _Rules(_NONE, ((_ANY, "download-left"),)),
    b"tmp-old": _Rules(_NONE, ((_ANY, "download-left"),)),
}
_ONLY_TEMPORARY = _Rules(re.compile(rb"(?!\.tmp-).*", re.DOTALL), (_TEMPORARY,))
_NOT_LAYERS = (b"l", b"backingFsBlockDev")

_UNDONE = ("removing-left", "transaction-left")
"""The codes of leftovers that may have a directory in `overlay2/`, named in their `cache-id`."""

_SEVERITIES: Mapping[str, Severity] = {
    "removing-left": "warning",
    "transaction-left": "warning",
}
_WORDS = {
    "download-left": "left by a pull, load, build or import that did not end",
    "entry-unknown": "nothing that an engine puts here",
    "probe-left": "left by an engine that was trying out what the file system can do",
    "removing-left": "a layer whose removal did not end",
    "temporary-left": "a file that was being written when the engine ended",
    "transaction-left": "a layer whose registration did not end",
}


def is_probe(name: str) -> bool:
    """Whether a name in `overlay2/` is that of an engine's test of the file system."""
    return bool(_PROBES.fullmatch(name))


def driver_prefix(directory: HostDir) -> bytes:
    """`image/overlay2/`, or nothing in a data root that has no such directory."""
    try:
        directory.lstat(b"image/overlay2")
    except OSError:
        return b""
    return b"image/overlay2/"


class Scanner:
    """Scans the directories of one data root.

    Attributes:
        undone: names in `overlay2/` of layers whose removal or registration was not finished.
    """

    def __init__(self, directory: HostDir, claimed: Container[str]) -> None:
        """Scan the data root `directory`; `claimed` are the names in `overlay2/` that records have."""
        self._directory = directory
        self._claimed = claimed
        self.undone: set[str] = set()
        self._store = driver_prefix(directory)

    def scan(self) -> Iterator[Found]:
        """Every name that does not belong in its directory, and every unreadable directory."""
        for path, rules in _STORE.items():
            if path or self._store:
                yield from self._look((self._store + path).rstrip(b"/"), rules)
        for path, rules in _TOP.items():
            yield from self._look(path, rules)
        for parent in (self._store + b"imagedb/metadata/sha256", b"containers"):
            for name, found in self._entries(parent):
                if stat.S_ISDIR(found.st_mode):
                    yield from self._look(parent + b"/" + name, _ONLY_TEMPORARY)
        yield from self._overlay2()

    def _look(self, path: bytes, rules: _Rules) -> Iterator[Found]:
        try:
            self._directory.subdir(path).close()
        except FileNotFoundError:
            return
        except OSError as error:
            yield Found(unreadable(self._directory, path, error))
            return
        for name, _ in self._entries(path):
            if rules.belong.fullmatch(name):
                continue
            codes = [code for pattern, code in rules.others if pattern.fullmatch(name)]
            yield self._found(codes[0] if codes else "entry-unknown", path + b"/" + name)

    def _overlay2(self) -> Iterator[Found]:
        """Everything in `overlay2/` that is no directory of a layer."""
        for name, found in self._entries(b"overlay2"):
            if is_probe(os.fsdecode(name)):
                yield self._found("probe-left", b"overlay2/" + name)
            elif os.fsdecode(name) in self._claimed or name in _NOT_LAYERS:
                continue
            elif not (stat.S_ISDIR(found.st_mode) and _is_cache_id(name)):
                yield self._found("entry-unknown", b"overlay2/" + name)

    def _entries(self, path: bytes) -> list[tuple[bytes, os.stat_result]]:
        try:
            with self._directory.subdir(path) as directory:
                return sorted(directory.scan())
        except OSError:
            return []

    def _found(self, code: str, path: bytes) -> Found:
        finding = Finding(
            *(code, _SEVERITIES.get(code, "note"), ROOT, self._directory.name_of(path)), message=_WORDS[code]
        )
        return Found(finding, (path, *(self._directory_of(path) if code in _UNDONE else ())))

    def _directory_of(self, record: bytes) -> Iterator[bytes]:
        """The directory of a half-registered layer; nothing if another layer has the same."""
        try:
            cache_id = parse_optional(self._directory, os.fsdecode(record) + "/cache-id", parse_cache_id)
        except CorruptStore:
            return
        if cache_id and cache_id not in self._claimed:
            self.undone.add(cache_id)
            yield f"overlay2/{cache_id}".encode()


def unreadable(directory: HostDir, path: bytes, error: OSError) -> Finding:
    """The finding for a directory of the store that cannot be read."""
    return Finding(
        *("directory-unreadable", "error", ROOT, directory.name_of(path), "a directory"),
        actual=error.strerror,
        message="what is in it cannot be told",
        unread=True,
    )


def _is_cache_id(name: bytes) -> bool:
    try:
        return bool(CacheID(os.fsdecode(name)))
    except InvalidID:
        return False
