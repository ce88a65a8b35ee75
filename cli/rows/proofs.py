"""Commands to paste, with the value that each gives: what lies in a layer, and what a later one hides."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from ..options import options_again, selected_root
from ..paste import pasted, quoted
from .entries import STAT_WORDS
from .tarproofs import Proof, TarProofs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click

    from layerfs.analysis.explain.path import Explanation
    from layerfs.analysis.explain.places import OnDisk
    from layerfs.analysis.explain.rows import Held
    from layerfs.analysis.tree.versions import Version
    from layerfs.subject import Subject
    from layerfs.tree.node import FileStat, Node, Part

__all__ = ["Proof", "Prover"]

_LONGEST_TEXT = 60
"""Bytes of a file that is shown as it is."""


class Prover:
    """Makes commands about one subject. Contents are read for their values, but of large files."""

    def __init__(self, context: click.Context, subject: Subject, name: str, *, full: bool) -> None:
        """Make commands about `subject`, called `name`; `full` writes names of directories in full."""
        self._context = context
        self._subject = subject
        self._name = name
        self._full = full
        self._tars = TarProofs(subject.tree)

    def check(self, found: Explanation) -> Proof | None:
        """The command that shows what decided; None where there is none, or none is safe."""
        if found.error and not found.likely:
            return None
        if found.blocked:
            return self._of_kind(found.blocked.part, found.blocked.stat)
        if found.link and found.link.found:
            return self._link(found.link.found.part, found.link.target)
        if found.node and found.node.stat.is_file:
            return self._digest(found.node)
        if opaque := self._opaque(found):
            return opaque
        row = next((row for row in found.last.rows if row.winner), None)
        return self.of(row.part, row.held) if row else None

    def of(self, part: Part, held: Held) -> Proof | None:
        """The command that shows what lies at a place; of a file only its kind."""
        if held.stat is None:
            return None
        if held.stat.is_symlink:
            return self._link(part, held.target)
        return self._marker(part) or self._of_kind(part, held.stat) or self._by_layerfs(part, held)

    def place(self, part: Part) -> str | None:
        """Where an entry lies, to be shown: a path, perhaps with a pattern."""
        found = self._on_disk(part)
        return _written(found) if found else None

    def place_of(self, version: Version) -> str | None:
        """Where a version of an entry lies."""
        return self.place(self._part(version))

    def old(self, version: Version) -> Proof | None:
        """The command that gives a hidden file back; None where no name of an image means its layers."""
        if not version.stat.is_file or version.hidden is None:
            return None
        content = self._content(version)
        if content is None:
            return None
        command = self._tars.file(self._part(version)) or self._old_by_layerfs(version)
        if command is None:
            return self._run(("sha256sum",), self._part(version), hashlib.sha256(content).hexdigest())
        if (text := _one_line(content)) is not None:
            return Proof(command, text)
        return Proof(f"{command} | sha256sum", hashlib.sha256(content).hexdigest())

    def _old_by_layerfs(self, version: Version) -> str | None:
        if self._is_damaged():  # then the image as of a layer may be refused, and the layer alone is not
            return self._in_layer(self._part(version), ("cat",))
        if (reachable := self.reachable(version)) is None:
            return None
        return pasted("layerfs", *options_again(self._context), "cat", reachable, version.path)

    def _is_damaged(self) -> bool:
        from layerfs.analysis.explain.damaged import UnreadableLayer

        return any(isinstance(layer, UnreadableLayer) for layer in self._subject.tree.layers)

    def _part(self, version: Version) -> Part:
        """The place of a version in the stack."""
        from layerfs.tree.node import Part

        return Part(len(self._subject.layers) - version.layer, version.part)

    def reachable(self, version: Version) -> str | None:
        """The name under which commands show a version: the image as of the first layer that shows it."""
        number = max(version.layer, version.since)
        name = self._image_with(number)
        return f"{name}@{number}" if name and version.seen_in(number) else None

    def _image_with(self, number: int) -> str | None:
        """The name of the image that has the layer of a number; None for a container's own layers."""
        from layerfs.analysis.store.stack import made_from
        from layerfs.model import Container, Image
        from layerfs.subject import split_layer

        image = self._subject.of
        name = split_layer(self._name)[0]
        if name.startswith("-") or selected_root(self._context) == "-":
            return None  # standard input is read only once
        if isinstance(image, Container):
            image = made_from(self._subject.store, image)
            name = image.name if image else name
        if not isinstance(image, Image) or number > len(image.config.diff_ids):
            return None
        return name.removeprefix("sha256:")

    # -- single commands ---------------------------------------------------------------------------

    def _digest(self, node: Node) -> Proof | None:
        """The digest of a shown file, where its bytes lie; of a large one its size."""
        from layerfs.analysis.explain.history import LARGEST_READ
        from layerfs.errors import TreeError

        tree = self._subject.tree
        try:
            part = tree.data_part(node)
            if node.stat.size > LARGEST_READ:
                size = str(node.stat.size)
                return self._run(("stat", "-c", "%s"), part, size) or self._tars.of(part, "wc -c", size)
            digest = hashlib.sha256()
            with tree.open(node) as content:
                for chunk in content.chunks():
                    digest.update(chunk)
        except (TreeError, OSError):
            return None
        value = digest.hexdigest()
        if proof := self._run(("sha256sum",), part, value) or self._tars.of(part, "sha256sum", value):
            return proof
        command = self._in_layer(part, ("cat",))
        return Proof(f"{command} | sha256sum", value) if command else None

    def _in_layer(self, part: Part, command: Sequence[str]) -> str | None:
        """A command of layerfs about a place in one layer of the image, where no other tool can look."""
        number = len(self._subject.layers) - part.layer
        name = self._image_with(number)
        if name is None or not part.path:
            return None
        words = ["layerfs", *options_again(self._context), *command, "--layer", str(number), name]
        return pasted(*words, b"/" + part.path)

    def _by_layerfs(self, part: Part, held: Held) -> Proof | None:
        """What `stat` says of an entry of a layer that lies in no directory, or whose disk lost its marks."""
        words = [word for word in ("whiteout", "opaque", "redirect", "metacopy") if getattr(held, word)]
        if not words:
            return None
        if words in (["whiteout"], ["opaque"]) and (proof := self._tars.mark(part, words[0])):
            return proof
        if words == ["whiteout"] and (proof := self._listed(part)):
            return proof
        command = self._in_layer(part, ("stat", "--format", "{{.Marks}}"))
        return Proof(command, ",".join(words)) if command else None

    def _listed(self, part: Part) -> Proof | None:
        """Where the layer is a list of files with their contents in a pool: what it calls a whiteout."""
        from layerfs.analysis.explain.places import listed_in
        from layerfs.formats.unpacked import WHITEOUT

        above, slash, name = part.path.rpartition(b"/")
        found = listed_in(self._subject.tree.layers[part.layer], above + slash + WHITEOUT + name)
        return Proof(pasted("grep", "-aoF", found[1], found[0]), found[1]) if found else None

    def _link(self, part: Part, target: bytes | None) -> Proof | None:
        text = (target or b"").decode("utf-8", "surrogateescape")
        return self._run(("readlink",), part, text) if text.isprintable() else None

    def _opaque(self, found: Explanation) -> Proof | None:
        """The mark of the directory that cut off what was asked for."""
        from layerfs.analysis.explain.places import is_from_archive, opaque_by

        rows = (row for part in reversed(found.components) for row in part.rows if row.held.opaque)
        row = None if found.is_shown else next(rows, None)
        if row is None or (found.likely or found.verdict) != "cut-off":
            return None
        layer = self._subject.tree.layers[row.part.layer]
        mark = opaque_by(layer, row.part)
        if proof := self._marker(row.part, opaque=True):
            return proof
        if mark is None or is_from_archive(layer):
            return self._by_layerfs(row.part, row.held)
        proof = self._run(("getfattr", "--only-values", "-n", mark), row.part, "y")
        return proof or self._by_layerfs(row.part, row.held)

    def _marker(self, part: Part, *, opaque: bool = False) -> Proof | None:
        """The file that is the mark of an entry, where the layer's form has files for marks."""
        from layerfs.analysis.explain.places import disk_stat, marker
        from layerfs.tree.node import Part

        layer = self._subject.tree.layers[part.layer]
        path = marker(layer, part, opaque=opaque)
        found = disk_stat(layer, Part(part.layer, path)) if path else None
        if path is None or found is None or not stat.S_ISREG(found.st_mode):
            return None
        words = "regular file" if found.st_size else "regular empty file"
        return self._run(("stat", "-c", "%F"), Part(part.layer, path), words)

    def _of_kind(self, part: Part, found: FileStat) -> Proof | None:
        """What stat(1) says of an entry that is no link."""
        from layerfs.analysis.explain.places import disk_stat, is_from_archive

        layer = self._subject.tree.layers[part.layer]
        there = disk_stat(layer, part)
        if is_from_archive(layer) or there is None or not _looks_so(there, found):
            return None  # the disk has not what is shown
        word = STAT_WORDS[found.kind]
        if found.is_dir:
            return self._run(("stat", "-c", "%F %a"), part, f"{word} {stat.S_IMODE(found.mode):o}")
        if found.kind in (stat.S_IFCHR, stat.S_IFBLK):
            numbers = f"{os.major(found.rdev):x},{os.minor(found.rdev):x}"
            return self._run(("stat", "-c", "%F %t,%T"), part, f"{word} {numbers}")
        if found.is_file and not found.size:
            word = "regular empty file"
        return self._run(("stat", "-c", "%F"), part, word)

    def _run(self, words: tuple[str, ...], part: Part, value: str) -> Proof | None:
        """A command about a place on the disk."""
        found = self._on_disk(part)
        if found is None:
            return None
        path = _written(found)
        if path is not None and not (words == ("sha256sum",) and b"\\" in found.begin + found.end):
            return Proof(f"{pasted(*words)} {path}", value)
        whole = self._on_disk(part, short=False)
        assert whole is not None  # noqa: S101 - it was found just now
        if words == ("sha256sum",):  # it would escape such a name, and mark the line
            return Proof(f"{pasted('cat', whole.begin)} | sha256sum", value)
        return Proof(pasted(*words, whole.begin), value)

    def _on_disk(self, part: Part, *, short: bool = True) -> OnDisk | None:
        from layerfs.analysis.explain.places import disk_path

        return disk_path(self._subject.tree.layers[part.layer], part, short=short and not self._full)

    def _content(self, version: Version) -> bytes | None:
        """The bytes of a hidden version; None where it is large, or cannot be read."""
        from layerfs.analysis.explain.history import LARGEST_READ
        from layerfs.analysis.tree.versions import node_of
        from layerfs.errors import TreeError

        if version.stat.size > LARGEST_READ:
            return None
        try:
            with self._subject.tree.open(node_of(self._subject.tree, version)) as content:
                return b"".join(content.chunks())
        except (TreeError, OSError):
            return None


def _looks_so(there: os.stat_result, shown: FileStat) -> bool:
    """Whether the disk has what is shown: attributes may be kept beside an entry, and marks be files."""
    of_devices = stat.S_IFMT(there.st_mode) == shown.kind and shown.kind in (stat.S_IFCHR, stat.S_IFBLK)
    return there.st_mode == shown.mode and (not of_devices or there.st_rdev == shown.rdev)


def _written(found: OnDisk) -> str | None:
    """A path for a shell; None where it has bytes that are not plainly visible."""
    begin, end = quoted(found.begin), quoted(found.end) if found.end else ""
    return None if begin is None or end is None else f"{begin}{found.pattern}{end}"


def _one_line(content: bytes) -> str | None:
    """A short text of one line, without the line feed at its end; None for all else."""
    try:
        text = content.decode().removesuffix("\n")
    except UnicodeDecodeError:
        return None
    return text if text and text.isprintable() and len(text) <= _LONGEST_TEXT else None
