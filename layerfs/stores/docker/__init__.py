"""The data root's own files, one directory of it a module. Knows nothing of the union."""
