"""Kinds of store, one package each: nothing outside a package names its types."""
