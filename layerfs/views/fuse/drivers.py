"""The drivers by name; each is imported only when it is asked for, with what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerfs.views.fuse.driver import Driver

__all__ = ["DEFAULT_DRIVER", "DRIVERS", "driver_named"]

DRIVERS = ("native", "fusepy", "kernel")
DEFAULT_DRIVER = "native"


def driver_named(name: str) -> Driver:
    """The driver called `name`, one of `DRIVERS`.

    Raises:
        MountFailed: the driver needs something that is not installed.
        KeyError: there is no such driver.
    """
    if name == "native":
        from layerfs.views.fuse.native import NativeDriver  # noqa: PLC0415 - only what is asked for

        return NativeDriver()
    if name == "fusepy":
        from layerfs.views.fuse.fusepy_driver import FusepyDriver  # noqa: PLC0415 - fails without libfuse 2

        return FusepyDriver()
    if name == "kernel":
        from layerfs.views.kernel.driver import KernelDriver  # noqa: PLC0415 - only what is asked for

        return KernelDriver()
    raise KeyError(name)
