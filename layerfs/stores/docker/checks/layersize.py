"""Checks a layer's `size`, and the sizes of its files.

The engine counts once, when a layer is registered, and later uses the recorded number. It counts in two ways:
the lengths of all inodes, symbolic links included; or only the contents of regular files, as for BuildKit.
The layer's `tar-split.json.gz` gives both original sizes, so a wrong record and changed files can be
distinguished without reading contents.

Sources: moby `pkg/directory/directory_unix.go`, `layer/layer_store.go` (applyTar).
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from layerfs.analysis.doctor.findings import Finding, layer_subject
from layerfs.errors import CorruptStore
from layerfs.formats.tarsplit import Member, Paths, clean_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.ids import ChainID
    from layerfs.stores.docker.dataroot import DataRoot
    from layerfs.stores.layerarchive import LayerArchive

__all__ = ["size_findings"]


def size_findings(root: DataRoot, chain: ChainID) -> Iterator[Finding]:
    """The faults of a layer's `size`, and of the sizes of its files, as far as they are known."""
    noted, directory = root.layerdb.noted_layer(chain), root.records.directories.of(chain)
    if noted.size is None or directory is None:
        return
    try:
        on_disk = root.overlay2.content_size(directory.cache_id)
        if on_disk == noted.size:
            return
        original = _original_sizes(root, chain)
    except CorruptStore:
        return
    entries, contents = original or (on_disk, on_disk)
    subject = layer_subject(chain)
    if noted.size not in (entries, contents):
        path = root.layerdb.file_name(chain, "size")
        message = "not the size of the layer's files"
        yield Finding("size-wrong", "warning", subject, path, str(entries), str(noted.size), message)
    if on_disk != entries:
        path = f"{root.overlay2.path_of(directory.cache_id)}/diff"
        message = "files were changed, added or removed since the layer was registered"
        yield Finding("layer-altered", "error", subject, path, str(entries), str(on_disk), message)


def _original_sizes(root: DataRoot, chain: ChainID) -> tuple[int, int] | None:
    """The original bytes of all entries, and of regular files only; None if they are not known."""
    try:
        archive = root.archive(root.records.layer(chain))
        links = contents = 0
        again, seen = False, Paths()
        for member in archive.members(seen):
            if isinstance(member, Member):
                again = again or member.again
                contents += member.content.size
                links += _link_size(member) + _copied_up(archive, member, seen)
        gone = sum(member.content.size + _link_size(member) for member in archive.overtaken()) if again else 0
    except CorruptStore:
        return None
    return contents + links - gone, contents


def _copied_up(archive: LayerArchive, member: Member, seen: Paths) -> int:
    """Bytes of a file of a lower layer that the engine copied up to make this hard link."""
    target = clean_name(member.header.linkname) if member.header.is_hard_link else b""
    if not target or target in seen:
        return 0
    try:
        found = archive.diff.lstat(target)
    except OSError:
        return 0
    return found.st_size


def _link_size(member: Member) -> int:
    return len(member.header.linkname) if member.header.kind == stat.S_IFLNK else 0
