"""The `layerfs` command, installed as `layerfs_cli`: parse, make one engine call, show the result."""
