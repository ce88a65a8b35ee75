"""The paths that `podman diff` never tells: the engine itself makes or mounts them in each container.

Source: podman `libpod/diff.go` (initInodes).
"""

from __future__ import annotations

__all__ = ["HIDDEN_PATHS"]

HIDDEN_PATHS = frozenset(
    (
        *(b"/dev", b"/etc/hostname", b"/etc/hosts", b"/etc/mtab", b"/etc/resolv.conf", b"/proc", b"/run"),
        *(b"/run/.containerenv", b"/run/notify", b"/run/podman-init", b"/run/secrets", b"/sys"),
    )
)
"""Whole paths: what else lies below these directories is told. They are hidden in an image's diff too."""
