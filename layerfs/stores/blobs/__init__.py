"""Blobs of layers that no engine unpacked, wherever they lie: their names, their trees, their bytes."""
