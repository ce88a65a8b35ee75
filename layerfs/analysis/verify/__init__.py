"""Compares an unpacked layer with the tar it was unpacked from, for every kind of store."""
