"""The checks of a graph root for `verify` and `doctor`, and what their findings mean."""
