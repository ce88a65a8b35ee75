"""The steps of a walk from a layer to its directory, and from a stack of directories to the mount."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from layerfs.errors import CorruptStore, MalformedFile
from layerfs.formats import layerfiles
from layerfs.formats.errors import FormatError
from layerfs.ids import CacheID, InvalidID, LinkID
from layerfs.steps import MountLine, Step
from layerfs.store import FILES
from layerfs.stores.walker import LONGEST_OPTION, MOUNT_AT, fails, mounted, said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.ids import ChainID
    from layerfs.stores.docker.dataroot import DataRoot
    from layerfs.stores.walker import Walker

__all__ = ["HALF", "DirectorySteps"]

_ID = TypeVar("_ID", CacheID, LinkID)

HALF = {"I": "image/overlay2"}
"""What every command about records needs."""

_TOO_LONG = (
    "There is no mount line: without short names the directories do not fit in one page of options. "
    "`layerfs mount` needs none."
)
_READ_LINKS = "(IFS=:; for X in $LOW; do readlink overlay2/$X; done)"


class DirectorySteps:
    """Adds the steps of directories to a walk.

    Attributes:
        walker: the walk.
    """

    def __init__(self, root: DataRoot, walker: Walker) -> None:
        """Add to `walker`, which stands in the data root of `root`."""
        self._root = root
        self.walker = walker

    def of_chain(self, chain: ChainID, number: int | None) -> CacheID:
        """From a chain ID to its directory; raises `CorruptStore` where nothing tells it."""
        path = f"image/overlay2/layerdb/sha256/{chain.hex}/cache-id"
        right = self._root.place_of_chain(chain)
        step = Step(
            "CHAIN ID", "CACHE ID",
            "The layer's record has the name of its directory: random, so it tells nothing.",
            path, expected=(right,) if right else None, ok=False, layer=number,
        )  # fmt: skip
        try:
            noted = _as(CacheID, self.walker.text(path), path)
        except CorruptStore as error:
            instead = "; other records tell which it is" if right else ""
            self.walker.add(step._replace(problem=f"{said(error)}{instead}"))
        else:
            wrong = None if noted == right else "not the directory of this layer, as other records show"
            self.walker.add(
                step._replace(
                    command=("K=$(cat $I/layerdb/sha256/${C#*:}/cache-id); echo $K",),
                    values=(noted,), ok=not wrong, problem=wrong,
                    expected=step.expected if wrong else None,
                ),
                {**HALF, "C": chain}, {"K": noted},
            )  # fmt: skip
        return self._root.record(chain).cache_id

    def files(self, cache_id: CacheID, number: int | None, what: str = "What this layer changed") -> None:
        """What a layer's directory holds; raises `CorruptStore`."""
        path = f"overlay2/{cache_id}/diff"
        step = Step(
            "CACHE ID",
            "FILES",
            f"{what}, as overlayfs stores it: a name that it deleted is a device 0,0.",
            path,
            layer=number,
        )
        try:
            command, values = self.walker.listing(path, "overlay2/$K/diff")
        except CorruptStore as error:
            self.walker.add(step._replace(ok=False, problem=said(error)))
            self._root.require(FILES)
            raise
        self.walker.add(step._replace(command=command, values=values), {"K": cache_id})

    def link(self, cache_id: CacheID, number: int | None) -> None:
        """A directory's short name, and where that leads."""
        path, target = f"overlay2/{cache_id}/link", f"../{cache_id}/diff"
        right = self._root.link(cache_id)
        step = Step(
            "CACHE ID", "LINK",
            "A short name for the directory: all options of a mount must fit in one page of 4096 bytes.",
            path, expected=(right, target) if right else None, ok=False, layer=number,
        )  # fmt: skip
        try:
            noted = _as(LinkID, self.walker.text(path), path)
        except CorruptStore as error:
            self.walker.add(step._replace(problem=said(error)))
            return
        step = step._replace(command=("L=$(cat overlay2/$K/link); echo $L",), values=(noted,))
        try:
            found = self._target(noted)
        except CorruptStore as error:
            step = step._replace(problem=f"{error.path}: {said(error)}", expected=(noted, target))
        else:
            if found == target:
                step = step._replace(
                    command=(*step.command, "readlink overlay2/l/$L"), values=(noted, target),
                    ok=True, expected=None,
                )  # fmt: skip
            else:
                step = step._replace(problem=f"overlay2/l/{noted} leads to {found!a}")
        self.walker.add(step, {"K": cache_id}, {"L": noted})

    def _target(self, link: LinkID) -> str:
        path = f"overlay2/l/{link}"
        raw = fails(path, lambda: self._root.overlay2.link_text(link))
        return raw.decode("ascii", "backslashreplace")

    def lower(self, stack: Sequence[CacheID], what: str) -> None:
        """What a directory notes of those below it; `stack` is uppermost first, as it should be."""
        top, *below = stack
        path = f"overlay2/{top}/lower"
        links = [self._root.link(cache_id) for cache_id in below]
        right = None if None in links else ":".join(f"l/{link}" for link in links)
        step = Step("CACHE ID", "LOWER", what, path, expected=(right,) if right else None, ok=False)
        try:
            noted = self.walker.text(path)
            found = _parsed_lower(noted, path)
        except CorruptStore as error:
            self.walker.add(step._replace(problem=said(error)))
            return
        step = step._replace(command=("LOW=$(cat overlay2/$K/lower); echo $LOW",), values=(noted,))
        targets = [self.good_link(link, cache_id) for link, cache_id in zip(found, below, strict=False)]
        if noted != right:
            step = step._replace(problem="not the layers that the records name")
        elif not all(targets):
            step = step._replace(problem="not every short name leads to its directory", expected=None)
        else:
            leads = tuple(f"../{cache_id}/diff" for cache_id in below)
            step = step._replace(
                command=(*step.command, _READ_LINKS), values=(noted, *leads), ok=True, expected=None
            )
        self.walker.add(step, {"K": top}, {"LOW": noted})

    def good_link(self, link: str | None, cache_id: CacheID) -> bool:
        """Whether a short name leads to the directory, and to nothing else on this host."""
        try:
            return link is not None and self._target(LinkID(link)) == f"../{cache_id}/diff"
        except (CorruptStore, InvalidID):
            return False

    # -- mount ---------------------------------------------------------------------------------

    def mount(
        self, stack: Sequence[CacheID], names: Sequence[bytes] | None, *, own: bool
    ) -> MountLine | None:
        """The command that shows the tree, None where it would be too long for the kernel.

        Raises `CorruptStore` where a directory is not there.

        Args:
            stack: the directories, uppermost first.
            names: what lies at the top of the tree; None where that cannot be read.
            own: whether the uppermost is a container's own.
        """
        for cache_id in stack:
            self.walker.names(f"overlay2/{cache_id}/diff")
        parts = [self._part(cache_id) for cache_id in stack]
        top = "l/$L"
        needs = {"L": parts[0].removeprefix("l/")}
        if not parts[0].startswith("l/"):
            top, needs = "$K/diff", {"K": str(stack[0])}
        if len(parts) == 1:
            return self._alone(parts[0], top, needs, names)
        lines: tuple[str, ...] = (f"O=ro,nosuid,nodev,lowerdir={top}:$LOW",)
        if own:
            needs["K"] = str(stack[0])
            lines = ("# the engine has lowerdir=$LOW,upperdir=$K/diff,workdir=$K/work", *lines)
        lines = (*lines, f"(cd overlay2 && mount -t overlay overlay -o $O {MOUNT_AT})")
        what = (
            "the container's own layer is uppermost, to which the engine writes"
            if own
            else "as the engine does it"
        )
        why = f"Read-only; {what}. For root, on a copy: a mount changes access times."
        needs["LOW"] = ":".join(parts[1:])
        if len(needs["LOW"]) > LONGEST_OPTION:
            self.walker.add(Step("LOWER", "TREE", _TOO_LONG, ok=None))
            return None
        step = mounted(Step("LOWER", "TREE", why, command=lines, needs_root=True), names)
        self.walker.add(step, needs)
        return MountLine(self.walker.steps[-1].command, tuple(f"overlay2/{part}" for part in parts))

    def _alone(self, part: str, top: str, needs: dict[str, str], names: Sequence[bytes] | None) -> MountLine:
        command = f"mount --bind -o ro,nosuid,nodev overlay2/{top} {MOUNT_AT}"
        why = "One layer is the whole tree, and there is nothing to lay it over. For root, on a copy."
        step = mounted(Step("LINK", "TREE", why, command=(command,), needs_root=True), names)
        self.walker.add(step, needs)
        return MountLine(self.walker.steps[-1].command, (f"overlay2/{part}",))

    def _part(self, cache_id: CacheID) -> str:
        """A directory below `overlay2/` as the mount calls it: by its short name where that leads to it."""
        link = self._root.link(cache_id)
        return f"l/{link}" if self.good_link(link, cache_id) else f"{cache_id}/diff"


def _as(kind: type[_ID], text: str, path: str) -> _ID:
    try:
        return kind(text)
    except InvalidID as error:
        raise MalformedFile(path, "malformed", expected=f"a {kind.noun}", found=ascii(text[:80])) from error


def _parsed_lower(text: str, path: str) -> Sequence[LinkID]:
    try:
        return layerfiles.parse_lower(text.encode())
    except FormatError as error:
        raise MalformedFile(path, error.problem, expected=error.expected, found=error.found) from error
