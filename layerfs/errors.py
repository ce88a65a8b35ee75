"""Everything layerfs raises on purpose.

    LayerfsError
    ├── DataRootError            the directory cannot serve as a data root
    │   ├── NotADataRoot (NoStoreHere) · NotAnArchive · NotInThisKind · LogElsewhere
    │   ├── StoreGone            image/overlay2 or overlay2 is not there, and nothing else answers
    │   │   └── NameLost         a name that only what is gone could tell; also a LookupFailed
    │   ├── UnsupportedStorageDriver · ContainerdMissing
    │   └── DataRootUnreadable   permission refused; also a CorruptStore
    ├── LookupFailed             a name the user gave matches nothing, or too much
    │   ├── InvalidReference · ImageNotFound · LayerNotFound · ContainerNotFound
    │   └── AmbiguousName
    ├── CorruptStore             a file of the data root is not what it must be; names the file
    │   └── MissingFile · MalformedFile · DigestMismatch · BrokenChain
    ├── TreeError (and OSError)  an operation on a path of an image failed; carries an errno
    │   ├── PathNotFound · NameTooLong · NotADirectory · IsADirectory · NotASymlink · SymlinkLoop
    │   └── UnreadableEntry
    │       └── UnsupportedOverlay   a mark we see but cannot honour
    ├── MountFailed
    └── HostError                the host refuses; nobody takes it for damage
        └── HostExhausted (no descriptors or memory left) · CacheError (no room for what is decompressed)

Exit codes are not known here; the command line maps each top-level class to one.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "AmbiguousName",
    "BrokenChain",
    "CacheError",
    "ContainerNotFound",
    "ContainerdMissing",
    "CorruptStore",
    "DataRootError",
    "DataRootUnreadable",
    "DigestMismatch",
    "HostError",
    "HostExhausted",
    "ImageNotFound",
    "InvalidReference",
    "IsADirectory",
    "LayerNotFound",
    "LayerfsError",
    "LogElsewhere",
    "LookupFailed",
    "MalformedFile",
    "MissingFile",
    "MountFailed",
    "NameLost",
    "NameTooLong",
    "NoStoreHere",
    "NoSuchNamespace",
    "NotADataRoot",
    "NotADirectory",
    "NotASymlink",
    "NotAnArchive",
    "NotInThisKind",
    "PathNotFound",
    "StoreGone",
    "SymlinkLoop",
    "TreeError",
    "UnreadableEntry",
    "UnsupportedOverlay",
    "UnsupportedStorageDriver",
    "reason",
]


class LayerfsError(Exception):
    """Base of all errors."""

    _hint: str | Callable[[], str] | None = None

    def __init__(self, message: str, *, hint: str | Callable[[], str] | None = None) -> None:
        """Keep the message and, where one exists, the way out: how to find it, if that takes long."""
        super().__init__(message)
        self._hint = hint

    @property
    def hint(self) -> str | None:
        """What to do about it, when there is something."""
        if callable(self._hint):
            self._hint = self._hint()
        return self._hint


class DataRootError(LayerfsError):
    """The directory given cannot be read as an overlay2 data root."""


class NotADataRoot(DataRootError):
    """The directory is not a Docker data root at all, or not its top."""


class NoStoreHere(NotADataRoot):
    """The directory holds nothing that any kind of store knows."""


class NotAnArchive(DataRootError):
    """A file or directory holds no images, and is no tar of a root file system."""


class UnsupportedStorageDriver(DataRootError):
    """A data root of another storage driver, or of another tool."""


class ContainerdMissing(DataRootError):
    """The images of a Docker data root are in a containerd root that is not there."""


class NoSuchNamespace(DataRootError):
    """A containerd root has no namespace of the name that was asked for."""


class LookupFailed(LayerfsError):
    """A name matches nothing, or more than one thing."""


class InvalidReference(LookupFailed):
    """The text is neither a reference nor an ID."""


class ImageNotFound(LookupFailed):
    """No such image."""


class LayerNotFound(LookupFailed):
    """No such layer."""

    @classmethod
    def numbered(cls, name: str, number: int, depth: int) -> LayerNotFound:
        """For what was called `name` and has `depth` layers, none of that number."""
        hint = f"its layers are numbered 1 (base) to {depth} (top)" if depth else "it has no layers"
        return cls(f"{name} has no layer {number}", hint=hint)


class ContainerNotFound(LookupFailed):
    """No such container."""


class AmbiguousName(LookupFailed):
    """A prefix matches several things; `candidates` are their full names."""

    def __init__(self, name: str, candidates: Sequence[str], *, hint: str = "give more characters") -> None:
        """Name the prefix and every candidate (the first ten in the message)."""
        self.candidates = tuple(sorted(candidates))
        shown = ", ".join(self.candidates[:10])
        more = len(self.candidates) - 10
        super().__init__(
            f"{name!r} is ambiguous: it could be {shown}" + (f" or {more} more" if more > 0 else ""),
            hint=hint,
        )


class NotInThisKind(DataRootError):
    """A store of this kind has nothing of the sort that was asked for, or cannot be asked for it."""

    def __init__(self, path: str, noun: str, problem: str) -> None:
        """Say of the store at `path`, which is a `noun` ("an archive"), why it cannot answer."""
        super().__init__(f"{path}: {noun}: {problem}")


class LogElsewhere(DataRootError):
    """What a container wrote is not in the store: its engine sends it elsewhere, or keeps none of it."""


class StoreGone(DataRootError):
    """A half of the store is not there or cannot be read, and nothing that was asked for is known."""

    def __init__(self, problem: CorruptStore) -> None:
        """Say what follows from `problem`, which was reported."""
        super().__init__(
            f"without {problem.path} nothing of what was asked for can be read", hint=problem.hint
        )


class NameLost(StoreGone, LookupFailed):
    """Nothing that is left has a name, and what is gone may have had it."""

    def __init__(self, problem: CorruptStore, name: str, kinds: Sequence[str]) -> None:
        """Say of which kinds the names were in what `problem` is about, which was reported."""
        DataRootError.__init__(
            self, f"{name}: which {' or '.join(kinds)} that is cannot be told without {problem.path}"
        )


class CorruptStore(LayerfsError):
    """A file of the data root is missing or wrong.

    Attributes:
        path: the file, relative to the data root.
        problem: what is wrong, in a few words.
        expected: what should be there, or None.
        found: what is there, or None.
    """

    def __init__(
        self,
        path: str,
        problem: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Compose `path: problem (expected …, found …)`."""
        self.path = path
        self.problem = problem
        self.expected = expected
        self.found = found
        parts = [f"expected {expected}"] if expected is not None else []
        if found is not None:
            parts.append(f"found {found}")
        super().__init__(f"{path}: {problem}" + (f" ({', '.join(parts)})" if parts else ""), hint=hint)

    def again(self) -> Self:
        """The same error without its traceback, to keep or to raise again.

        A traceback holds whatever was open there; of a thousand kept errors that is a thousand descriptors.
        """
        same = type(self).__new__(type(self), *self.args)
        same.__dict__.update(self.__dict__)
        return same

    def instead(self, used: str) -> CorruptStore:
        """The same, with what is used instead; `used` is a clause in words."""
        told = self.again()
        told.problem = f"{self.problem}: {used}"
        before, after = f"{self.path}: {self.problem}", f"{self.path}: {told.problem}"
        told.args = (str(self).replace(before, after, 1),)
        return told


class DataRootUnreadable(DataRootError, CorruptStore):
    """The operating system refuses to let this user read a file of the data root.

    Where one file of many is meant, it is passed over and named like any other that cannot be used; but
    nobody may call what is in it damaged or lost.
    """

    def __init__(self, path: str) -> None:
        """Compose `path: permission denied`."""
        CorruptStore.__init__(
            self, path, "permission denied", hint="run as root, or as the owner of the copy"
        )


class MissingFile(CorruptStore):
    """A file that must exist does not."""


class MalformedFile(CorruptStore):
    """A file does not have the form it must have (or is too large, or no regular file)."""


class OneStateLost(MalformedFile):
    """Of the two states that a file keeps one is lost; whoever opens it goes on with the other."""


class DigestMismatch(CorruptStore):
    """A file's bytes do not hash to its name."""


class BrokenChain(CorruptStore):
    """A layer's place in its chain does not add up."""


class TreeError(LayerfsError, OSError):
    """An operation on a path of a tree failed; also an `OSError` with a real errno.

    Attributes:
        errno: the number, as the kernel would give it.
        path: the path inside the tree.
    """

    number: ClassVar[int] = errno.EIO

    def __init__(self, path: bytes, message: str | None = None, *, hint: str | None = None) -> None:
        """Compose `path: what went wrong`."""
        self.path = path
        text = message or os.strerror(self.number)
        LayerfsError.__init__(self, f"{os.fsdecode(path)}: {text}", hint=hint)
        self.errno = self.number
        self.strerror = text

    def __str__(self) -> str:
        """The composed message, not OSError's own form."""
        return str(self.args[0])


class PathNotFound(TreeError, FileNotFoundError):
    """No such file or directory."""

    number = errno.ENOENT


class NameTooLong(TreeError):
    """A name longer than any the layers' file systems could hold."""

    number = errno.ENAMETOOLONG


class NotADirectory(TreeError, NotADirectoryError):
    """A component that should be a directory is none."""

    number = errno.ENOTDIR


class IsADirectory(TreeError, IsADirectoryError):
    """A directory where a file is needed."""

    number = errno.EISDIR


class NotASymlink(TreeError):
    """readlink of something else."""

    number = errno.EINVAL


class SymlinkLoop(TreeError):
    """More than 40 symbolic links in one resolution."""

    number = errno.ELOOP


class UnreadableEntry(TreeError):
    """The backing file cannot be read: gone, changed type, refused, or not a regular file."""


class UnsupportedOverlay(UnreadableEntry):
    """An overlay mark (redirect, metacopy) leads nowhere; refused rather than guessed."""


class MountFailed(LayerfsError):
    """A mount or unmount did not happen; nothing is left mounted."""


class HostError(LayerfsError):
    """The host does not give what is needed; this says nothing of the evidence."""


class CacheError(HostError):
    """The host has no room for a decompressed layer, or its cache cannot be used."""


class HostExhausted(HostError):
    """The host refuses to open one more file, whatever it is.

    Attributes:
        errno: why: EMFILE, ENFILE or ENOMEM.
    """

    def __init__(self, number: int) -> None:
        """Say which limit it is."""
        self.errno = number
        limited = number == errno.EMFILE
        hint = "raise the limit with ulimit -n" if limited else "ask again when less is running"
        super().__init__(f"the host opens no more files: {os.strerror(number)}", hint=hint)


def reason(error: BaseException) -> str:
    """What went wrong in words: for an `OSError` its file and the system's words for its number.

    Never Python's own form of it (`[Errno 2] … b'/x'`): every message about a foreign error is made here.
    """
    if isinstance(error, LayerfsError) or not isinstance(error, OSError):
        return str(error) or type(error).__name__
    if error.errno is None:
        return str(error) or type(error).__name__
    words = error.strerror or os.strerror(error.errno)
    names = [
        os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))
    ]
    return ": ".join([" -> ".join(names), words] if names else [words])
