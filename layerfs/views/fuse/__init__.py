"""A tree as a FUSE file system, behind one driver interface. Loaded only by `layerfs mount`."""
