from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from layerfs.formats.compression import HEAD_BYTES, Compression, decompressed
from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

zstd = pytest.importorskip("backports.zstd")

DATA = os.urandom(1 << 20) + b"a" * (3 << 20)
SKIPPABLE = b"\x5d\x2a\x4d\x18\x03\0\0\0abc"

BLOBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: gzip.compress(DATA),
    "gzip, two members and zeros": lambda: (
        gzip.compress(DATA[:1000]) + gzip.compress(DATA[1000:]) + bytes(700)
    ),
    "zstd": lambda: zstd.compress(DATA),
    "zstd, frames with a skippable one between": lambda: (
        zstd.compress(DATA[:1000]) + SKIPPABLE + zstd.compress(DATA[1000:]) + SKIPPABLE
    ),
    "zstd, a skippable frame first": lambda: SKIPPABLE + zstd.compress(DATA),
    "bzip2, two streams": lambda: bz2.compress(DATA[:1000]) + bz2.compress(DATA[1000:]),
    "xz, two streams and padding": lambda: lzma.compress(DATA[:999]) + lzma.compress(DATA[999:]) + bytes(8),
    "none": lambda: DATA,
}


def _pieces(blob: bytes, size: int = 60_001) -> Iterator[bytes]:
    return (blob[at : at + size] for at in range(0, len(blob), size))


@functools.cache
def _blob(name: str) -> bytes:
    return BLOBS[name]()


def _content(blob: bytes, **options: int) -> bytes:
    return b"".join(decompressed(_pieces(blob), Compression.of(blob[:HEAD_BYTES]), **options))


@pytest.mark.parametrize("name", BLOBS)
def test_content_comes_back(name: str) -> None:
    """A blob's content is what was compressed, however many streams it was compressed to."""
    blob = _blob(name)
    assert Compression.of(blob[:HEAD_BYTES]) == name.split(",", 1)[0]
    assert _content(blob) == DATA


@pytest.mark.parametrize("name", [name for name in BLOBS if name != "none"])
def test_pieces_are_bounded(name: str) -> None:
    """No piece is larger than a mebibyte, whatever it was compressed to."""
    blob = _blob(name)
    found = decompressed([blob], Compression.of(blob[:HEAD_BYTES]))
    assert max(map(len, found)) <= 1 << 20


@pytest.mark.parametrize("name", ["gzip", "zstd", "bzip2, two streams", "xz, two streams and padding"])
@pytest.mark.parametrize("cut", [7, 500, -20])
def test_a_blob_that_is_cut_off_is_refused(name: str, cut: int) -> None:
    """A blob that ends before its end is an error, not a shorter content."""
    with pytest.raises(FormatError, match="cut off"):
        _content(_blob(name)[:cut])


@pytest.mark.parametrize("name", ["gzip", "zstd", "bzip2, two streams"])
def test_what_follows_a_stream_must_be_one(name: str) -> None:
    """Bytes behind the last stream that are none are an error, as for the engines' readers."""
    with pytest.raises(FormatError, match="damaged"):
        _content(_blob(name) + b"rubbish and more rubbish")


@pytest.mark.slow
def test_memory_of_a_decoder_is_bounded() -> None:
    """What needs more memory than allowed is refused, and read when more is allowed."""
    wide = lzma.compress(b"a" * 1000, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 28}])
    with pytest.raises(FormatError, match="needs more memory than allowed"):
        _content(wide)
    assert _content(wide, memory=1 << 30) == b"a" * 1000
    done = subprocess.run(
        [*["python3", "-c"], "import sys; sys.stdout.buffer.write(bytes(300 << 20))"],
        capture_output=True,
        check=True,
    )
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 28})
    long = packer.compress(done.stdout) + packer.flush()
    with pytest.raises(FormatError, match="needs more memory than allowed"):
        _content(long)
    assert len(_content(long, memory=1 << 28)) == 300 << 20
