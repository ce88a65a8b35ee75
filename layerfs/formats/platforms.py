"""Which platforms of an image would do for a wanted one: containerd's order of preference.

Source: containerd `platforms` (defaults_unix.go, compare.go): a variant of ARM runs the older ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.formats.descriptors import Platform

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["normalised", "parse_platform", "preference"]

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
}
_VARIANTS = {("arm64", "8"): "", ("arm64", "v8"): "", ("arm", ""): "v7", ("amd64", "v1"): ""}
_ARM = ("v8", "v7", "v6", "v5")


def normalised(platform: Platform) -> Platform:
    """A platform in the usual words: `x86_64` is amd64, `arm64/v8` is arm64, `arm` is arm/v7."""
    architecture = _ARCHITECTURES.get(platform.architecture.lower(), platform.architecture.lower())
    variant = platform.variant.lower()
    if architecture == "arm" and variant.isdigit():
        variant = f"v{variant}"
    return Platform(platform.os.lower(), architecture, _VARIANTS.get((architecture, variant), variant))


def parse_platform(text: str) -> Platform:
    """`os/architecture[/variant]`, or an architecture alone for Linux; raises `ValueError`."""
    parts = text.split("/")
    if len(parts) == 1:
        parts = ["linux", *parts]
    if len(parts) > 3 or not all(parts):
        raise ValueError(f"{text!r} is no platform: it is os/architecture or os/architecture/variant")
    return normalised(Platform(*parts))


def preference(wanted: Platform) -> Sequence[Platform]:
    """The platforms that would do for `wanted`, best first."""
    if wanted.architecture == "arm64" and not wanted.variant:
        return (wanted, *(Platform(wanted.os, "arm", variant) for variant in _ARM))
    if wanted.architecture == "arm" and wanted.variant in _ARM:
        later = _ARM[_ARM.index(wanted.variant) :]
        return tuple(Platform(wanted.os, "arm", variant) for variant in later)
    if wanted.architecture == "amd64":
        level = int(wanted.variant[1:]) if wanted.variant[1:].isdigit() else 1
        variants = [f"v{number}" for number in range(level, 1, -1)] + [""]
        return (*(Platform(wanted.os, "amd64", variant) for variant in variants), Platform(wanted.os, "386"))
    return (wanted,)
