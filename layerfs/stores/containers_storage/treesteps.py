"""The steps from a layer to its directory, and from a stack of layers to the mount, as its engine does it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, MalformedFile
from layerfs.formats import layerfiles
from layerfs.formats.errors import FormatError
from layerfs.ids import InvalidID, LinkID
from layerfs.steps import MountLine, Step
from layerfs.stores.containers_storage.forms import Form
from layerfs.stores.containers_storage.places import OVERLAY
from layerfs.stores.containers_storage.recordfiles import full_name
from layerfs.stores.walker import LONGEST_OPTION, MOUNT_AT, fails, mounted, names_listed, plain_word, said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.formats.idmap import IDMap
    from layerfs.stores.containers_storage.parts import Part, Stored
    from layerfs.stores.containers_storage.recordfiles import Written
    from layerfs.stores.containers_storage.store import GraphRoot
    from layerfs.stores.walker import Walker

__all__ = ["TreeSteps"]

_SMALL = 64 << 10
_WIDTH = 75  # of a line of the script
_IN_AN_OPTION = re.compile(r"[A-Za-z0-9_./+@-]*")

_COMPOSEFS = (
    "There is no mount line that shows the tree: below diff/ are objects, called by the SHA-256 of what is "
    "in them, and no names. Which file has which stands in the table of contents, and in an image of EROFS "
    "(composefs-data/composefs.blob), in which whiteouts are ordinary files. `layerfs mount` reads the table."
)
_TOO_LONG = (
    "There is no mount line: without short names the directories do not fit in one page of options. "
    "`layerfs mount` needs none."
)
_ODD_PATH = (
    "There is no mount line: the path of another root has characters that stand for something else in the "
    "options of a mount. `layerfs mount` needs none."
)
_FORMS = {
    Form.KERNEL: "a name that it deleted is a device 0,0.",
    Form.USER: "a name that it deleted is a device 0,0; the marks of directories are user.overlay.*.",
    Form.FUSE: "a name that it deleted is a file .wh.NAME, or a device 0,0 in a container.",
}


class TreeSteps:
    """Adds the steps of layers' files to a walk.

    Attributes:
        line: the mount, once there is one.
    """

    def __init__(self, store: GraphRoot, walker: Walker, written: Written) -> None:
        """Add to `walker`, which stands in the first root of `store`."""
        self._store = store
        self._walker = walker
        self._written = written
        self.line: MountLine | None = None

    # -- one layer -----------------------------------------------------------------------------

    def files(self, stored: Stored, number: int | None) -> None:
        """What a layer's directory holds; raises `CorruptStore`."""
        part, layer = stored.part, stored.record.id
        path = part.files_path(layer)
        place = self._written.place(part.directory, path)
        step = Step("LAYER ID", "FILES", self._what(stored), place, layer=number)
        before, needs = self._written.text(part.directory)
        try:
            command, values = names_listed(_names(part, path), before + path.replace(layer, "$K"))
        except CorruptStore as error:
            self._walker.add(step._replace(ok=False, problem=said(error)))
            raise
        self._walker.add(step._replace(command=command, values=values), {**needs, "K": layer})

    @staticmethod
    def _what(stored: Stored) -> str:
        part, layer = stored.part, stored.record.id
        if part.opened.driver != OVERLAY:
            return "The whole tree: this driver copies it for each layer."
        if part.is_composefs(layer):
            return (
                "A pool of objects: each is called by the SHA-256 of its content, after two digits a slash."
            )
        return f"What this layer changed: {_FORMS[part.form]}"

    def link(self, stored: Stored, number: int | None) -> None:
        """A layer's short name, and where that leads."""
        part, layer = stored.part, stored.record.id
        if part.opened.driver != OVERLAY:
            return
        path, target = f"{part.layer_path(layer)}/link", f"../{layer}/diff"
        right = self._link(stored)
        step = Step(
            "LAYER ID", "LINK",
            "A short name for the directory: all options of a mount must fit in one page of 4096 bytes.",
            self._written.place(part.directory, path), ok=False, layer=number,
            expected=(right, target) if right else None,
        )  # fmt: skip
        try:
            noted = _link_id(_text(part, path), path)
        except CorruptStore as error:
            self._walker.add(step._replace(problem=said(error)))
            return
        before, needs = self._written.text(part.directory)
        step = step._replace(command=(f"L=$(cat {before}overlay/$K/link); echo $L",), values=(noted,))
        try:
            found = _target(part, noted)
        except CorruptStore as error:
            step = step._replace(problem=f"{error.path}: {said(error)}", expected=(noted, target))
        else:
            if found == target:
                step = step._replace(
                    command=(*step.command, f"readlink {before}overlay/l/$L"), values=(noted, target),
                    ok=True, expected=None,
                )  # fmt: skip
            else:
                problem = f"overlay/l/{noted} leads to {found!a}"
                step = step._replace(problem=problem, expected=step.expected or (noted, target))
        self._walker.add(step, {**needs, "K": layer}, {"L": noted})

    def _link(self, stored: Stored) -> LinkID | None:
        """The short name that leads to a layer; None where none does."""
        try:
            noted = self._store.dirs.link(stored)
        except CorruptStore:
            noted = None
        if noted and self._is_good(noted, stored):
            return noted
        found = self._store.dirs.link_to(stored.record.id)
        return found if found and self._is_good(found, stored) else None

    @staticmethod
    def _is_good(link: str, stored: Stored) -> bool:
        """Whether a short name leads to the directory, and to nothing else on this host."""
        try:
            return _target(stored.part, LinkID(link)) == f"../{stored.record.id}/diff"
        except (CorruptStore, InvalidID):
            return False

    # -- a stack -------------------------------------------------------------------------------

    def _lower(self, stack: Sequence[Stored]) -> None:
        """What a layer notes of those below it; `stack` is uppermost first, as it should be."""
        top, *below = stack
        path = f"{top.part.layer_path(top.record.id)}/lower"
        links = [self._link(stored) for stored in below]
        right = None if None in links else ":".join(f"l/{link}" for link in links)
        what = f"The short names of the {_layers(len(below))} below, nearest first."
        step = Step(
            "LAYER ID", "LOWER", what, self._written.place(top.part.directory, path), ok=False,
            expected=(right,) if right else None,
        )  # fmt: skip
        try:
            noted = _text(top.part, path)
            found = _parsed_lower(noted, path)
        except CorruptStore as error:
            self._walker.add(step._replace(problem=said(error)))
            return
        before, needs = self._written.text(top.part.directory)
        step = step._replace(command=(f"LOW=$(cat {before}overlay/$K/lower); echo $LOW",), values=(noted,))
        if noted != right:
            step = step._replace(problem="not the layers that the records name")
        elif [*found] != links:
            step = step._replace(problem="not every short name leads to its directory", expected=None)
        else:
            lines, more, leads = self._readlinks(found, below)
            step = step._replace(
                command=(*step.command, *lines), values=(noted, *leads), ok=True, expected=None
            )
            needs |= more
        self._walker.add(step, {**needs, "K": top.record.id}, {"LOW": noted})

    def _readlinks(
        self, links: Sequence[LinkID], below: Sequence[Stored]
    ) -> tuple[tuple[str, ...], dict[str, str], tuple[str, ...]]:
        """The lines that read short names, what they need, what they print; nothing if that is odd."""
        parts = list({id(stored.part): stored.part for stored in below}.values())
        wanted = tuple(f"../{stored.record.id}/diff" for stored in below)
        printed = tuple(target for link in links for part in parts if (target := _lead(part, link)))
        if printed != wanted:
            return (), {}, ()
        written = [self._written.text(part.directory) for part in parts]
        words = " ".join(f"{before}overlay/$X" for before, _ in written)
        failing = " || :" if len(parts) > 1 else ""
        needs = {name: value for _, needs in written for name, value in needs.items()}
        return (f"(IFS=:; for X in $LOW; do readlink {words}{failing}; done)",), needs, wanted

    def mount(self, stack: Sequence[Stored], names: Sequence[bytes] | None, *, own: bool) -> None:
        """The step that shows the tree, and `lower` before it; raises `CorruptStore`.

        Args:
            stack: the layers, uppermost first.
            names: what lies at the top of the tree; None where that cannot be read.
            own: whether the uppermost is a container's own.
        """
        if stack[0].part.opened.driver != OVERLAY:
            names = _names(stack[0].part, stack[0].part.files_path(stack[0].record.id))
            self._alone(stack[0], names, "The directory is the tree. For root, on a copy.")
            return
        if len(stack) > 1:
            self._lower(stack)
        for stored in stack:
            _names(stored.part, stored.part.files_path(stored.record.id))
        if any(stored.part.is_composefs(stored.record.id) for stored in stack):
            self._walker.add(Step("LAYERS", "TREE", _COMPOSEFS, ok=None))
        elif len(stack) == 1 and stack[0].part.form is not Form.FUSE and not _has_empty(stack[0]):
            why = "One layer is the whole tree, and there is nothing to lay it over. For root, on a copy."
            self._alone(stack[0], names, why)
        else:
            self._stacked(stack, names, own=own)

    def _alone(self, stored: Stored, names: Sequence[bytes] | None, why: str) -> None:
        part, layer = stored.part, stored.record.id
        before, needs = self._written.text(part.directory)
        path = part.files_path(layer)
        command = f"mount --bind -o ro,nosuid,nodev {before}{path.replace(layer, '$K')} {MOUNT_AT}"
        step = mounted(Step("LAYER ID", "TREE", why, command=(command,), needs_root=True), names)
        self._walker.add(step, {**needs, "K": layer})
        place = self._written.place(part.directory, path)
        self.line = MountLine(self._walker.steps[-1].command, (place,))

    def _stacked(self, stack: Sequence[Stored], names: Sequence[bytes] | None, *, own: bool) -> None:
        base = stack[0].part
        parts = [self._in_option(stored, base) for stored in stack]
        if not all(map(_IN_AN_OPTION.fullmatch, parts)):
            self._walker.add(Step("LOWER", "TREE", _ODD_PATH, ok=None))
            return
        top, needs = "$K/diff", {"K": str(stack[0].record.id)}
        if parts[0].startswith("l/"):
            top, needs = "l/$L", {"L": parts[0].removeprefix("l/")}
        below = ":".join(parts[1:])
        options, lower = self._options(stack[0]), ":$LOW" if below else ""
        if not below and base.form is not Form.FUSE:  # the kernel wants two, and the engine has made this one
            needs["K"], lower = str(stack[0].record.id), ":$K/empty"
        length = len(below) + sum(map(len, options))
        if length > LONGEST_OPTION and base.form is not Form.FUSE:
            self._walker.add(Step("LOWER", "TREE", _TOO_LONG, ok=None))
            return
        options.append(f"lowerdir={top}{lower}")
        lines = ["O=" + ",".join(options)]
        if len(lines[0]) > _WIDTH:
            lines = [f"O={'$O,' if number else ''}{option}" for number, option in enumerate(options)]
        if below:
            needs["LOW"] = below
        if own:
            needs["K"] = str(stack[0].record.id)
            lines.insert(0, "# the engine has lowerdir=$LOW,upperdir=$K/diff,workdir=$K/work")
        before, more = self._written.text(base.directory)
        program = "fuse-overlayfs" if base.form is Form.FUSE else "mount -t overlay overlay"
        lines.append(f"(cd {before}overlay && {program} -o $O {MOUNT_AT})")
        step = Step("LOWER", "TREE", self._why(stack[0], own=own), command=tuple(lines), needs_root=True)
        self._walker.add(mounted(step, names), {**more, **needs})
        found = (
            part if part.startswith("/") else self._written.place(base.directory, f"overlay/{part}")
            for part in parts
        )  # fmt: skip
        self.line = MountLine(self._walker.steps[-1].command, tuple(found))

    def _options(self, top: Stored) -> list[str]:
        """What stands before `lowerdir`."""
        form = top.part.form
        if form is not Form.FUSE:
            return ["ro,nosuid,nodev" + (",userxattr" if form is Form.USER else "")]
        owners = self._store.owners(top)
        maps = (("uidmapping", owners.users), ("gidmapping", owners.groups))
        return ["ro", *(f"{option}={_mapping(found)}" for option, found in maps if found.ranges)]

    def _why(self, top: Stored, *, own: bool) -> str:
        what = "as the engine does it"
        if own:
            what = "the container's own layer is uppermost, to which the engine writes"
        form = top.part.form
        if form is Form.FUSE:
            more = "Layers of this form are stacked by a program, fuse-overlayfs, and not by the kernel."
            return f"Read-only; {what}. {more} For root, on a copy."
        more = " Owners are those on disk: `layerfs mount` shows those inside." if form is Form.USER else ""
        return f"Read-only; {what}.{more} For root, on a copy: a mount changes access times."

    def _in_option(self, stored: Stored, base: Part) -> str:
        """A layer's directory as the mount calls it, which begins in that of `base`."""
        link = self._link(stored)
        path = f"l/{link}" if link else f"{stored.record.id}/diff"
        if stored.part is base:
            return path
        return f"{full_name(stored.part.directory, 'overlay')}/{path}"


def _has_empty(stored: Stored) -> bool:
    """Whether the engine made an empty directory beside a layer: a base is laid over it."""
    try:
        return not _names(stored.part, f"{stored.part.layer_path(stored.record.id)}/empty")
    except CorruptStore:
        return False


def _layers(count: int) -> str:
    return f"{count} layers" if count > 1 else "layer"


def _names(part: Part, path: str) -> list[bytes]:
    """What is in a directory; no link is followed. Raises `CorruptStore`."""

    def found() -> list[bytes]:
        with part.directory.subdir(path) as directory:
            return directory.names()

    return fails(path, found)


def _text(part: Part, path: str) -> str:
    """What `$(cat path)` is of a small file; raises `CorruptStore` unless it is one plain word."""
    content = fails(path, lambda: part.directory.read(path, _SMALL)).rstrip(b"\n")
    return plain_word(content, path)


def _target(part: Part, link: LinkID) -> str:
    """Where a short name leads; raises `CorruptStore`."""
    return fails(f"overlay/l/{link}", lambda: part.short_link(link)).decode("ascii", "backslashreplace")


def _lead(part: Part, link: LinkID) -> str | None:
    try:
        return _target(part, link)
    except CorruptStore:
        return None


def _link_id(text: str, path: str) -> LinkID:
    try:
        return LinkID(text)
    except InvalidID as error:
        found = ascii(text[:80])
        raise MalformedFile(path, "malformed", expected=f"a {LinkID.noun}", found=found) from error


def _parsed_lower(text: str, path: str) -> Sequence[LinkID]:
    try:
        return layerfiles.parse_lower(text.encode())
    except FormatError as error:
        raise MalformedFile(path, error.problem, expected=error.expected, found=error.found) from error


def _mapping(found: IDMap) -> str:
    """A map as fuse-overlayfs takes it: the ID outside, the one inside, how many."""
    return ":".join(f"{item.outside}:{item.inside}:{item.length}" for item in found.ranges)
