"""The cache: ours alone, never believed blindly, bounded, and never below what is read."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import threading
from typing import TYPE_CHECKING

import pytest

from layerfs.cache.blobs import Cache, Packed
from layerfs.cache.directory import clear, open_folders, usage
from layerfs.cache.options import CacheOptions
from layerfs.errors import CacheError, MalformedFile
from layerfs.formats.compression import Compression
from layerfs.hostdir import HostDir
from layerfs.tree.openfile import OpenFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Blobs = Callable[..., Packed]

CONTENT = b"the plain bytes of a layer" * 5000


@pytest.fixture
def blob(tmp_path: Path) -> Blobs:
    """Makes a blob in a file, of a time long enough ago to be believed."""

    def make(content: bytes = CONTENT, name: str = "blob", *, packed: bool = True) -> Packed:
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if packed else content)
        fd = os.open(path, os.O_RDONLY)
        return Packed(
            name, _Aged(fd), 0, path.stat().st_size, Compression.GZIP if packed else Compression.NONE
        )

    return make


class _Aged(OpenFile):
    """A file that changed last an hour before it did."""

    def status(self) -> os.stat_result:
        found = super().status()
        values = list(found)
        fields = {"st_mtime_ns": found.st_mtime_ns, "st_ctime_ns": found.st_ctime_ns - 3600 * 10**9}
        return os.stat_result(values, fields)


def _cache(tmp_path: Path, **options: object) -> Cache:
    return Cache(CacheOptions(directory=str(tmp_path / "cache"), **options))  # type: ignore[arg-type]


def _read(cache: Cache, packed: Packed) -> bytes:
    plain = cache.plain(packed)
    assert plain.diff_id == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    return plain.file.pread(plain.size, plain.offset)


def test_a_blob_is_decompressed_once(tmp_path: Path, blob: Blobs) -> None:
    """The next process reads the plain bytes; nothing of the blob is read again."""
    told: list[str] = []
    packed = blob()
    for _ in range(2):
        cache = Cache(CacheOptions(directory=str(tmp_path / "cache")), lambda label, *_: told.append(label))
        assert _read(cache, packed) == CONTENT
    assert told == ["blob"]
    names = [path.name for path in (tmp_path / "cache/blobs").iterdir()]
    assert names == [hashlib.sha256((tmp_path / "blob").read_bytes()).hexdigest()]


@pytest.mark.parametrize("packed", [True, False])
def test_fresh_means_read_now(packed: bool, tmp_path: Path, blob: Blobs) -> None:  # noqa: FBT001
    """What was noted is no witness for who asks for proof; nor is it asked of a file that changed."""
    what = blob(packed=packed)
    told: list[str] = []
    for fresh, reads in ((False, 1), (False, 1), (True, 2)):
        cache = Cache(CacheOptions(directory=str(tmp_path / "cache")), lambda label, *_: told.append(label))
        cache.plain(what, fresh=fresh)
        assert len(told) == reads
    changed = blob(CONTENT + b"more", packed=packed)
    assert _cache(tmp_path).plain(changed).size == len(CONTENT) + 4


def test_without_a_directory_nothing_is_kept(tmp_path: Path, blob: Blobs) -> None:
    """Blobs go to one file without a name, each once."""
    cache = Cache(CacheOptions(scratch=str(tmp_path)))
    before = set(tmp_path.iterdir())
    one, two = blob(), blob(name="other")
    assert _read(cache, one) == _read(cache, two) == _read(cache, one) == CONTENT
    assert {path.name for path in set(tmp_path.iterdir()) - before} == {"blob", "other"}
    assert cache.plain(one).file is cache.plain(two).file
    assert cache.plain(one).offset != cache.plain(two).offset


def test_everything_is_closed_to_others(tmp_path: Path, blob: Blobs) -> None:
    """Directories are 0700, files 0600, whatever the umask."""
    old = os.umask(0)
    try:
        _read(_cache(tmp_path), blob())
    finally:
        os.umask(old)
    for path in [tmp_path / "cache", *(tmp_path / "cache").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


@pytest.mark.parametrize("where", ["cache", "cache/blobs", "cache/notes"])
@pytest.mark.parametrize("what", ["open to others", "a link", "a file", "of another"])
def test_a_directory_that_is_not_ours_is_refused(where: str, what: str, tmp_path: Path, blob: Blobs) -> None:
    """The cache is not used where somebody else could write, or a link leads elsewhere."""
    place = tmp_path / where
    place.parent.mkdir(mode=0o700, exist_ok=True)
    if what == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    elif what == "a file":
        place.touch(0o600)
    else:
        place.mkdir(mode=0o700)
        if what == "open to others":
            place.chmod(0o750)
        elif os.geteuid():
            pytest.skip("only root can give a directory away")
        else:
            os.chown(place, 12345, 12345)
    with pytest.raises(CacheError, match="cache"):
        _cache(tmp_path).plain(blob())
    assert not (tmp_path / "elsewhere").exists() or not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    "damage", ["shorter", "gone", "a link", "open to others", "a FIFO", "no JSON", "odd JSON"]
)
def test_what_is_not_as_it_was_left_is_made_again(damage: str, tmp_path: Path, blob: Blobs) -> None:
    """A file of the cache that somebody touched is none of it."""
    packed = blob()
    _read(_cache(tmp_path), packed)
    [kept], [note] = ((tmp_path / "cache" / name).iterdir() for name in ("blobs", "notes"))
    (tmp_path / "planted").write_bytes(b"x" * len(CONTENT))
    if damage == "shorter":
        kept.write_bytes(CONTENT[:-1])
    elif damage == "open to others":
        kept.chmod(0o644)
    elif damage == "no JSON":
        note.write_bytes(b"[" * 4000)
    elif damage == "odd JSON":
        note.write_text(json.dumps({"digest": "sha256:../../planted", "diff_id": "x", "size": len(CONTENT)}))
    else:
        kept.unlink()
        if damage == "a link":
            kept.symlink_to(tmp_path / "planted")
        elif damage == "a FIFO":
            os.mkfifo(kept, 0o600)
    assert _read(_cache(tmp_path), packed) == CONTENT


def test_a_file_of_the_cache_that_is_removed_while_in_use(tmp_path: Path, blob: Blobs) -> None:
    """A layer that another process evicted is decompressed again, without a word."""
    cache, packed = _cache(tmp_path), blob()
    plain = cache.plain(packed)
    [kept] = (tmp_path / "cache/blobs").iterdir()
    kept.unlink()
    cache._pool._open.clear()
    assert plain.file.pread(plain.size, 0) == CONTENT
    assert kept.exists()


def test_the_oldest_go_first(tmp_path: Path, blob: Blobs) -> None:
    """The cache holds no more than it may; what was used last stays; what was abandoned goes."""
    room = 3 * (len(CONTENT) // 4096 + 1) * 4096
    blobs = [blob(CONTENT[:-1] + bytes([number]), str(number)) for number in range(6)]
    cache = _cache(tmp_path, limit=room)
    for number, packed in enumerate(blobs):
        cache.plain(packed)
        for path in (tmp_path / "cache/blobs").iterdir():
            if path.stat().st_mtime_ns > 10**18:
                os.utime(path, ns=(0, number * 10**9))
    assert len(list((tmp_path / "cache/blobs").iterdir())) == 3
    abandoned = tmp_path / "cache/blobs/.new-0123"
    abandoned.touch(0o600)
    _cache(tmp_path, limit=room).plain(blob(CONTENT[1:], "one more"))
    assert not abandoned.exists()
    used = usage(str(tmp_path / "cache"))
    assert used.files >= 3
    assert clear(str(tmp_path / "cache")) == used
    assert usage(str(tmp_path / "cache")).files == 0


def test_clearing_what_is_not_there(tmp_path: Path) -> None:
    """Nothing is made, and nothing is removed that is no cache."""
    assert clear(str(tmp_path / "none")).files == 0
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "other").mkdir(mode=0o755)
    (tmp_path / "other/file").touch()
    with pytest.raises(CacheError):
        clear(str(tmp_path / "other"))
    assert (tmp_path / "other/file").exists()


@pytest.mark.parametrize("below", ["", "/deep/down"])
def test_never_below_what_is_read(below: str, tmp_path: Path, blob: Blobs) -> None:
    """Nothing is made inside of the evidence, not even a directory, also by way of a link."""
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    (tmp_path / "link").symlink_to(evidence)
    for way in ("evidence", "link"):
        cache = Cache(CacheOptions(directory=f"{tmp_path}/{way}{below}/cache"))
        with HostDir.open(evidence) as directory:
            cache.avoid(directory)
        with pytest.raises(CacheError, match="inside of what is read"):
            cache.plain(blob())
        assert list(evidence.iterdir()) == []


def test_a_damaged_blob_leaves_nothing(tmp_path: Path, blob: Blobs) -> None:
    """Neither in the cache, nor in the file without a name."""
    good, bad = blob(), blob(name="bad")
    path = tmp_path / "bad"
    path.write_bytes(path.read_bytes()[:-30])
    bad = Packed("bad", _Aged(os.open(path, os.O_RDONLY)), 0, path.stat().st_size, Compression.GZIP)
    cache = _cache(tmp_path)
    with pytest.raises(MalformedFile, match="cut off"):
        cache.plain(bad)
    assert list((tmp_path / "cache/blobs").iterdir()) == []
    unkept = cache.unkept()
    with pytest.raises(MalformedFile):
        unkept.plain(bad)
    assert _read(unkept, good) == CONTENT


def test_many_at_once(tmp_path: Path, blob: Blobs) -> None:
    """Threads and caches that want the same blob at the same time all get it."""
    packed, found = blob(), []

    def read() -> None:
        found.append(_read(_cache(tmp_path), packed))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 8
    assert len(list((tmp_path / "cache/blobs").iterdir())) == 1


def test_what_is_being_written_is_not_abandoned(tmp_path: Path) -> None:
    """Whoever empties the cache meanwhile takes no file from a writer before it has its name."""
    folder = open_folders(str(tmp_path / "cache"))["notes"]
    failed: list[BaseException] = []

    def write(final: str) -> None:
        try:
            for _ in range(500):
                folder.write(final, CONTENT[:100])
        except OSError as error:
            failed.append(error)

    writers = [threading.Thread(target=write, args=(str(number),)) for number in range(3)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        folder.clear()
    for writer in writers:
        writer.join()
    assert failed == []


def test_a_file_that_changed_just_now_is_not_noted(tmp_path: Path) -> None:
    """Its times may stay the same when it changes again: so what was read is not believed of what comes."""
    path = tmp_path / "new"
    path.write_bytes(gzip.compress(CONTENT))
    packed = Packed("new", OpenFile(os.open(path, os.O_RDONLY)), 0, path.stat().st_size, Compression.GZIP)
    cache = _cache(tmp_path)
    path.touch()
    cache.remember(packed, packed.stamp(), digest="x")
    assert cache.recall(packed) == {}
