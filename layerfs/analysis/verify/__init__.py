"""A layer beside the tar it was unpacked from, in any kind of store."""
