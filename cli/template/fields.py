"""The values that a template is applied to: the fields of a row, and printable texts. Imports no compiler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from ..escape import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Fields", "Shown", "TemplateError", "shown"]


class TemplateError(ValueError):
    """The template cannot be parsed or applied."""


class Fields(Mapping[str, Any]):
    """A mapping with fixed keys, whose values are computed when they are needed; another key is an error."""

    def __init__(
        self,
        names: Iterable[str],
        find: Callable[[str], Any],
        also: Mapping[str, str] | None = None,
        methods: Mapping[str, Callable[[str], str]] | None = None,
        unlisted: Iterable[str] = (),
    ) -> None:
        """Have the keys `names`, with the values that `find` returns.

        Args:
            names: the keys.
            find: gives the value of a key.
            also: further names of some keys.
            methods: fields that take an argument and are no keys: `{{.Label "name"}}`.
            unlisted: keys that `{{json .}}` leaves out.
        """
        self._names = dict.fromkeys(names)
        self._unlisted = dict.fromkeys(unlisted)
        self._find = find
        self._also = also or {}
        self._methods = methods or {}

    def __getitem__(self, name: str) -> Any:
        name = self._also.get(name, name)
        if name not in self._names and name not in self._unlisted:
            known = ", ".join(sorted(self._names | self._unlisted))
            raise TemplateError(f"there is no field .{name}; there are {known}")
        return self._find(name)

    def call(self, name: str, arguments: list[Any]) -> str:
        """The value of the method `name` for its one argument."""
        if name not in self._methods:
            raise TemplateError(f".{name} takes no argument")
        if len(arguments) != 1 or not isinstance(arguments[0], str):
            raise TemplateError(f".{name} takes one text")
        return self._methods[name](arguments[0])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Shown(str):
    """A printable text; `raw` is the original, which `json` prints."""

    __slots__ = ("raw",)

    raw: str

    def __new__(cls, text: str, raw: str) -> Self:
        """Show `raw` as `text`."""
        shown = super().__new__(cls, text)
        shown.raw = raw
        return shown


def shown(value: Any) -> Any:
    """A document with printable texts and keys; each that had to be changed is a `Shown`."""
    if isinstance(value, str):
        return value if value.isprintable() else Shown(printable(value), value)
    if isinstance(value, dict):
        return {shown(key): shown(item) for key, item in value.items()}
    return [shown(item) for item in value] if isinstance(value, list) else value
