"""The one error of this package: bytes do not follow their format.

The stores turn it into a `MalformedFile`, which names the file.
"""

from __future__ import annotations

__all__ = ["FormatError"]


class FormatError(ValueError):
    """What is wrong, what was expected, and what was found instead (both optional)."""

    def __init__(self, problem: str, *, expected: str | None = None, found: str | None = None) -> None:
        """Keep the three apart: the store adds the file's name."""
        super().__init__(problem)
        self.problem = problem
        self.expected = expected
        self.found = found
