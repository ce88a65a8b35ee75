"""The checks of a containerd root for `verify` and `doctor`, and what their findings mean."""
