"""`python -m layerfs`: the command, for where its script is not on the PATH."""

from __future__ import annotations

from layerfs_cli.main import main

__all__ = []

if __name__ == "__main__":
    main()
