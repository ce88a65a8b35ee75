"""The joined sha256: the same as of the pieces one by one, whoever does the hashing."""

from __future__ import annotations

import hashlib
import random
import threading
from contextlib import suppress

import pytest

from layerfs.analysis.verify.joinedhash import ROOM, JoinedHash


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_same_as_of_the_pieces(seed: int, *, beside: bool) -> None:
    """Pieces that are added or read to where there is room, of every length, make the sha256 of them all."""
    generator, wanted = random.Random(seed), hashlib.sha256()  # noqa: S311 - a test
    with JoinedHash(beside=beside) as joined:
        for _ in range(60):
            size = generator.choice(
                [0, 1, 512, ROOM - 1, ROOM, ROOM + 1, 5 * ROOM, generator.randrange(ROOM)]
            )
            piece = generator.randbytes(size)
            if size and size <= ROOM and generator.random() < 0.5:
                room = joined.room(size)
                room[:] = piece
                count = generator.randrange(size + 1)  # a file may end early
                joined.fill(count)
                wanted.update(piece[:count])
            else:
                joined.add(piece)
                wanted.update(piece)
        assert joined.hexdigest() == wanted.hexdigest()
        joined.add(b"more")
        wanted.update(b"more")
        assert joined.hexdigest() == wanted.hexdigest()


def test_the_thread_ends() -> None:
    """No thread is left, also when the hash is not asked for."""
    before = threading.active_count()
    with suppress(KeyError), JoinedHash(beside=True) as joined:
        joined.add(bytes(9 * ROOM))
        assert threading.active_count() == before + 1
        raise KeyError
    assert threading.active_count() == before


def test_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no thread more, the hash is made without."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with JoinedHash(beside=True) as joined:
        joined.add(b"content")
        assert joined.hexdigest() == hashlib.sha256(b"content").hexdigest()
