from __future__ import annotations

import errno
import json
import os
import random
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfs_cli import spool
from layerfs_cli.spool import in_order, kept
from tests.support.growth import peak
from tests.unit.cli.test_output import FACTS, TYPED, _emitted

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXTS = st.text(st.characters(), max_size=5)  # surrogates too, as names on disk may be any bytes
KEYS = st.tuples(st.integers(-(2**70), 2**70), st.binary(max_size=2), st.sampled_from(["", "a", "\udcff"]))


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in memory is little here, so that most goes to a file."""
    monkeypatch.setattr(spool, "MOST", 7)
    monkeypatch.setattr(spool, "_BLOCK", 3)


@given(st.lists(TEXTS, max_size=60))
def test_what_is_kept_comes_as_it_was_given(texts: list[str]) -> None:
    """Few or many, whatever characters: the same texts in the same order."""
    assert list(kept(iter(texts))) == texts


@given(st.lists(st.tuples(KEYS, TEXTS), max_size=60))
def test_order_is_that_of_sorted(pairs: list[tuple[Any, str]]) -> None:
    """Runs that are merged are what one stable sort in memory gives."""
    assert list(in_order(iter(pairs))) == [text for _, text in sorted(pairs, key=lambda pair: pair[0])]


def test_all_is_taken_before_anything_is_given() -> None:
    """Who asks for the first text has caused all to be made: the widths of columns are known then."""
    made: list[int] = []

    def texts() -> Iterator[str]:
        for number in range(50):
            made.append(number)
            yield str(number)

    kept(texts())
    assert len(made) == 50
    in_order((int(text), text) for text in texts())
    assert len(made) == 100


@pytest.mark.parametrize("form", [*TYPED, "{{.Name}} {{.Count}}", r"table {{.Count}}\t{{.Name}}", "github"])
@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 50])
def test_rows_sorted_here_are_those_sorted_before(form: str, count: int) -> None:
    """Every format gives of a key the bytes that it gives of sorted rows, however many there are."""
    names = [f"{'name' * (number % 5)}\t{number % 9}\x1b" for number in range(count)]
    rows = [{"name": name, "count": number, "more": [name]} for number, name in enumerate(names)]
    random.Random(1).shuffle(rows)  # noqa: S311 - the same each time
    found = _emitted(FACTS, iter(rows), form, key=lambda row: row["name"])
    assert found == _emitted(FACTS, sorted(rows, key=lambda row: str(row["name"])), form)
    if form == "json":
        assert found == json.dumps(json.loads(found), indent=2) + "\n"


def test_memory_is_that_of_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times the texts need next to no more memory."""
    monkeypatch.setattr(spool, "MOST", 500)
    monkeypatch.setattr(spool, "_BLOCK", 50)

    def most(count: int) -> int:
        return peak(lambda: [None for _ in in_order((-n, f"{n:0200}") for n in range(count))])

    assert most(20_000) < 2 * most(2_000)


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written to the temporary file is an error that says what it is for."""

    def full() -> Any:
        return open("/dev/full", "wb", buffering=0)

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full())
    with pytest.raises(OSError, match="TMPDIR") as caught:
        list(kept(map(str, range(100))))
    assert caught.value.errno == errno.ENOSPC


def test_nothing_is_left(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary file has no name in its directory, also while it is used."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = kept(map(str, range(100)))
    assert next(found) == "0"
    assert os.listdir(tmp_path) == []
    assert sum(1 for _ in found) == 99
