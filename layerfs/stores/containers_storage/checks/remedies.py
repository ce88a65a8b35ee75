"""What each finding in a graph root means, and what could be done about it.

What Podman does was seen with 4.3; what was not carried out for a real engine says so. `podman system check`
came with Podman 5.4.

Sources: containers/storage `store.go`, `layers.go`, `check.go`, `drivers/overlay/overlay.go`.
"""

from __future__ import annotations

from layerfs.model import Remedy

__all__ = ["REMEDIES", "remedy_of"]

_AGAIN = "remove the containers and images that need it (`podman rmi -f`), then pull or build these again"
_REMEDIES = {}


def remedy_of(code, subject=""):
    return Remedy("damaged", "", "", _AGAIN)
