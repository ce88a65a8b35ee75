"""What a layer gives of a regular file: its `Content`, read at explicit offsets.

A content is a file of the host (`openfile`), a stretch of an archive (`stretch`), or bytes in memory
(`memory`). No code above `tree/` asks which; only where the kernel can read a file by itself, `backing_fd`
says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from typing import Self

__all__ = ["Content"]


class Content(Protocol):
    """The bytes of one regular file, open for reading; safe to use from several threads.

    Methods raise `OSError` as the operating system gives it.
    """

    def __enter__(self) -> Self:
        """The content."""

    def __exit__(self, *exc_info: object) -> None:
        """Close it."""

    @property
    def size(self) -> int:
        """How many bytes it has."""

    @property
    def identity(self) -> Hashable:
        """The same for contents that are the same stored bytes."""

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes at `offset`; fewer only at the end."""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; the bytes read, fewer than its size only at the end."""

    def chunks(self) -> Iterator[bytes]:
        """The whole content, a mebibyte at a time."""

    def read(self) -> bytes:
        """The whole content."""

    def seek(self, offset: int, whence: int) -> int:
        """Where data (`os.SEEK_DATA`) or a hole (`os.SEEK_HOLE`) begins from `offset` on, as lseek(2)."""

    def backing_fd(self) -> int | None:
        """A descriptor of a file that holds just this content, which the kernel can read; None for none."""

    def close(self) -> None:
        """Let it go; harmless when repeated."""
