"""What is made of a tree: mounts, copies, exports. Nothing here knows a kind of store."""
