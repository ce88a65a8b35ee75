"""System calls that the kernel refuses to one process, as an older kernel refuses them to all: seccomp(2)."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FSCONFIG", "FSOPEN", "Refusal", "refusing"]

FSOPEN, FSCONFIG = 430, 431

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ERRNO, _ALLOW = 0x00050000, 0x7FFF0000
_ARGUMENTS, _ARGUMENT = 16, 8  # struct seccomp_data: where they begin, and the size of each


class Refusal(NamedTuple):
    """A system call that ends with an errno, always or where its argument has a value."""

    call: int
    number: int
    argument: int | None = None
    value: int = 0


class _Step(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16), ("then", ctypes.c_uint8), ("other", ctypes.c_uint8), ("k", ctypes.c_uint32)
    )  # fmt: skip


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("steps", ctypes.POINTER(_Step)))


def refusing(refusals: Sequence[Refusal]) -> Callable[[], None]:
    """What has the kernel refuse these to the process that calls it, and to all that it starts."""
    steps: list[_Step] = []
    for refusal in refusals:
        block = [_Step(_RETURN, 0, 0, _ERRNO | refusal.number)]
        if refusal.argument is not None:
            at = _ARGUMENTS + _ARGUMENT * refusal.argument
            block = [_Step(_LOAD, 0, 0, at), _Step(_EQUAL, 0, len(block), refusal.value), *block]
        steps += [_Step(_LOAD, 0, 0, 0), _Step(_EQUAL, 0, len(block), refusal.call), *block]
    steps.append(_Step(_RETURN, 0, 0, _ALLOW))
    program = _Program(len(steps), (_Step * len(steps))(*steps))
    libc = ctypes.CDLL(None, use_errno=True)

    def refuse() -> None:
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
            _PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0
        ):
            raise OSError(ctypes.get_errno(), "seccomp")

    return refuse
