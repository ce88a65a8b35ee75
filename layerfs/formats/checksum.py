"""The CRC-64 (ISO 3309) that tar-split keeps of each file; `crc64(piece, before)` continues one.

A module of its own, because loading fastcrc takes milliseconds, and most commands do not need it.
"""

from __future__ import annotations

from fastcrc.crc64 import go_iso as crc64

__all__ = ["crc64"]
