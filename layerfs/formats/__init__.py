"""Bytes in, values out: the file formats of the data root. Opens no file."""
