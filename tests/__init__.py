"""The tests of layerfs; run with `make test`."""
