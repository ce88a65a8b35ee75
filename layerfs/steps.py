"""How a name leads to directories, or to the tars of an archive, as one would walk it by hand: `Walk`.

Each kind of store has its own steps; what a step is, is the same for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from layerfs.errors import LayerfsError

__all__ = ["MountLine", "Step", "Walk"]


class Step(NamedTuple):
    """One step from a value to the next.

    Attributes:
        start, end: what it leads from and to, in capitals as of a table.
        why: one or two sentences.
        place: the file or directory it is read from, relative to the walk's directory; None if it is
            computed.
        command: lines of a POSIX shell; none where nothing harmless could be printed.
        values: the lines that the command prints on an intact store and on this one, if `ok`; where it is
            not ok, what was found, if anything.
        ok: whether what was found is what is expected; None where that was not looked at.
        expected: the lines that should be there, where others are, or none; None where there is nothing to
            compare with, or all is well.
        problem: what is wrong, in words; None if nothing is.
        needs_root: whether only root can do it.
        layer: the number of the layer that it is about, 1 is the base; None for other steps.
    """

    start: str
    end: str
    why: str
    place: str | None = None
    command: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    ok: bool | None = True
    expected: tuple[str, ...] | None = None
    problem: str | None = None
    needs_root: bool = False
    layer: int | None = None


class MountLine(NamedTuple):
    """How the kernel shows the tree.

    Attributes:
        command: lines of a shell, read-only.
        directories: what is laid over each other, uppermost first, relative to the walk's directory.
    """

    command: tuple[str, ...]
    directories: tuple[str, ...]


class Walk(NamedTuple):
    """All steps of one name.

    Attributes:
        kind: `image`, `container` or `layer`.
        reference: what the name means, in full; None where it is no reference.
        image: the ID of the image; None where there is none.
        layers: how many layers the tree has; None where that is not known.
        directory: where the commands are to be pasted.
        steps: in order.
        mount: None where the kernel has nothing to stack.
        note: what there is to know at the end.
        shortened: how many layers have the same steps, which are not given; 0 where each has them.
        failure: why the walk ends before its end; None where it does not.
    """

    kind: str
    reference: str | None
    image: str | None
    layers: int | None
    directory: str
    steps: tuple[Step, ...]
    mount: MountLine | None = None
    note: str | None = None
    shortened: int = 0
    failure: LayerfsError | None = None
