"""Reads a Docker overlay2 data root offline, read-only, without Docker."""
