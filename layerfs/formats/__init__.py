"""The file formats of every kind of store: parsers from bytes to values. Nothing here opens a file."""
