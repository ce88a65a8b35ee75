"""Layers as blobs that no engine unpacked: members of archives, trees made of tars, and exports."""
