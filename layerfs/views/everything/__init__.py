"""A whole store as one tree of directories: images, layers and containers, each built when it is entered."""
