"""What is decompressed, and where that is kept: the only part of the engine, but for the views, that writes.

    <directory>/blobs/<sha256 of the compressed bytes>     the plain bytes
    <directory>/notes/<sha256 of a stamp>                  JSON: digest, diff_id, size

A blob is decompressed once and kept as the plain tar it is, under the sha256 of the compressed bytes that
were read. What a file was known as is noted under its stamp (device, inode, size, times, place), so that
the second command on the same archive reads nothing again. Nothing that an archive claims is a key.
"""
