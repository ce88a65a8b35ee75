"""Docker data roots with the storage driver overlay2: readers of its directories, and the store."""
