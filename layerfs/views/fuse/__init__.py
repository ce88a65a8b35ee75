"""Mounting a tree: the drivers, the mount point, and the process that serves it."""
