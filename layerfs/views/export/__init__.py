"""Exports images and trees as streams: docker archives, OCI layouts, and plain tars."""
