"""The one error of this package: bytes do not follow their format.

The stores turn it into a `MalformedFile`, which names the file.
"""

from __future__ import annotations

__all__ = ["FormatError"]


class FormatError(ValueError):
    """What is wrong, what was expected, and what was found instead (both optional).

    Attributes:
        part: which record of the file it is, where a file has many.
    """

    def __init__(
        self, problem: str, *, expected: str | None = None, found: str | None = None, part: str = ""
    ) -> None:
        """Keep them apart: the store adds the file's name."""
        super().__init__(problem)
        self.problem = problem
        self.expected = expected
        self.found = found
        self.part = part

    def place(self, name: str) -> str:
        """What is wrong in a file called `name`: the file, or the record in it."""
        return f"{name}: {self.part}" if self.part else name
