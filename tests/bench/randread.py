"""Read 4 KiB at random places of a file and print the seconds that took; run as a program by `reading`."""

from __future__ import annotations

import os
import random
import sys
import time

BLOCK = 4096


def main() -> None:
    """`randread.py FILE COUNT`."""
    path, count = sys.argv[1], int(sys.argv[2])
    descriptor = os.open(path, os.O_RDONLY)
    blocks = os.fstat(descriptor).st_size // BLOCK
    chosen = random.Random(1)  # noqa: S311 - the same places for every contender
    offsets = [chosen.randrange(blocks) * BLOCK for _ in range(count)]
    started = time.perf_counter()
    for offset in offsets:
        os.pread(descriptor, BLOCK, offset)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
