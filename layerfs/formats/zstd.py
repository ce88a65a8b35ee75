"""Decoders for zstd: `compression.zstd` of Python 3.14, or its backport.

Imported only where something is compressed with zstd.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["decoder"]


def decoder(memory: int) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    """A function that makes decoders of one frame, its window at most `memory` bytes; and their errors."""
    largest = max(10, memory.bit_length() - 1)
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: min(largest, 31)}
    return lambda: zstd.ZstdDecompressor(options=options), (zstd.ZstdError, EOFError)
