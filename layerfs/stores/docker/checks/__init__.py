"""The checks of Docker data roots: `verification` of images and layers, `doctor` of everything."""
