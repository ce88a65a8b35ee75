"""The union: layers in, one tree out. Knows nothing of Docker's store, of FUSE, or of terminals."""
