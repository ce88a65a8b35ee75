"""Device and inode numbers of layers that are on no disk."""

from __future__ import annotations

__all__ = ["inode_base"]

_INODES = 1 << 52  # above those of real disks, below what JSON readers round
_NUMBER_BITS, _LAYER_BITS = 22, 30


def inode_base(key: int) -> tuple[int, int]:
    """The device number of a layer that is on no disk (below 0), and what its inode numbers are added to.

    Args:
        key: distinct among layers, and always the same for this one.
    """
    return -1 - key, _INODES | key % (1 << _LAYER_BITS) << _NUMBER_BITS
