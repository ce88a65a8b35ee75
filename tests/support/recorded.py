"""What engines answered when the stores in `fixtures/containerd` were recorded, read without layerfs."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

__all__ = ["Recorded", "without_age"]

_STORES = Path(__file__).parents[2] / "fixtures/containerd"
_AGE = re.compile(r"(Less than a second|About an? \w+|\d+ \w+) ago")


class Recorded:
    """The files of one recording by their names."""

    def __init__(self, archive: str) -> None:
        """Read `fixtures/containerd/<archive>.tar.xz`."""
        with tarfile.open(_STORES / f"{archive}.tar.xz") as found:
            members = ((member.name, found.extractfile(member)) for member in found if member.isfile())
            self._files = {name.rpartition("/")[2]: file.read().decode() for name, file in members if file}

    def names(self, beginning: str, end: str) -> list[str]:
        """The files whose names begin and end so, sorted."""
        return sorted(name for name in self._files if name.startswith(beginning) and name.endswith(end))

    def text(self, name: str) -> str:
        """A file as it is."""
        return self._files[name]

    def json(self, name: str) -> Any:
        """A file that is one JSON document."""
        return json.loads(self._files[name])

    def lines(self, name: str) -> list[Any]:
        """A file with a JSON document on each line."""
        return list(map(json.loads, self._files[name].splitlines()))

    def table(self, name: str) -> list[dict[str, str]]:
        """The rows of a table by the words of its header."""
        return self.table_of(self._files[name])

    @staticmethod
    def table_of(text: str, title: str = "") -> list[dict[str, str]]:
        """The rows of a table, or of that of several whose headline begins so."""
        if title:
            text = text.partition(title)[2].partition("\n\n")[2].partition("\n\n")[0]
        header, *rows = text.rstrip("\n").split("\n")
        starts = [match.start() for match in re.finditer(r"\S+(?: \S+)*", header)]
        spans = list(zip(starts, [*starts[1:], None], strict=True))
        return [{header[a:b].strip(): row[a:b].strip() for a, b in spans} for row in rows]


def without_age(text: str) -> str:
    """A cell in which every age is one word, as the clock goes on."""
    return _AGE.sub("AGE", text)
