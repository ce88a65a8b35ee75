"""Kernel overlayfs is the judge: the same layers, mounted for real."""
