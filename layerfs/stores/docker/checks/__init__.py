"""What is wrong with a Docker data root: `verification` of layers, `doctor` of everything."""
