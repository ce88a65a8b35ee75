from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.views.fuse.drivers import DRIVERS
from tests.support.mounts import KERNEL, VARIANTS

if TYPE_CHECKING:
    import pytest

_NO_SERVER = "no process serves it"
_NO_PROVENANCE = "overlayfs has no user.layerfs.* attributes"
_OBJECTS = "the kernel stacks directories: no objects of a test, no tars"
_AS_ON_DISK = "overlayfs hides the whiteouts and marks of a layer alone"
_FOR_ALL = "the kernel knows owners and modes, and no user who mounted"
_ROOT = "for root"

_WHOLE_TREES = ("test_containerd", "test_view")

NOT_BY_THE_KERNEL = {
    "test_mount_ends_cleanly": _NO_SERVER,
    "test_second_signal_ends_a_busy_mount_at_once": _NO_SERVER,
    "test_mount_outlives_its_terminal": _NO_SERVER,
    "test_dead_mount_can_be_taken_off": _NO_SERVER,
    "test_mounts_are_listed": _NO_SERVER,
    "test_no_command_waits_for_a_stopped_server": _NO_SERVER,
    "test_busy_mount_stays_unless_lazy": _NO_SERVER,
    "test_refusal_of_the_kernel_is_told": _NO_SERVER,
    "test_one_layer_mounts_as_it_is_on_disk": _AS_ON_DISK,
    "test_others_look_in_only_where_allowed": _FOR_ALL,
    "test_ordinary_user_mounts_too": _ROOT,
    "test_every_entry_tells_its_layer": _NO_PROVENANCE,
    "test_versions_tell_what_hides_them": _NO_PROVENANCE,
    "test_containers_own_layer_has_no_ids": _NO_PROVENANCE,
    "test_attributes_are_listed_on_request_only": _NO_PROVENANCE,
    "test_attribute_of_the_file_wins": _NO_PROVENANCE,
    "test_packed_images_are_mounted": _OBJECTS,
    "test_one_slow_read_stalls_nobody_else": _OBJECTS,
}
"""Promises that `--driver kernel` cannot keep, each with the reason; `test_kernel` has what holds instead."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every promise of a mount holds for all drivers: `variant` is each in each of its modes.

    `driver` is the name of each. The ways in which the kernel is given layers differ in nothing but that, so
    only whole trees are compared in both.
    """
    excluded = KERNEL if metafunc.function.__name__ in NOT_BY_THE_KERNEL else ()
    if metafunc.module.__name__.rpartition(".")[2] not in _WHOLE_TREES:
        excluded = (*excluded, *KERNEL[1:])
    for argument, names in (("variant", VARIANTS), ("driver", DRIVERS)):
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, [name for name in names if name not in excluded])
