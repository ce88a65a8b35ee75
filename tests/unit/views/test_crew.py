"""The threads of a server: whom a slow answer holds up, and how all of them end."""

from __future__ import annotations

import re
import resource
import threading
from pathlib import Path

import pytest

from layerfs.views.fuse.crew import Crew


@pytest.mark.timeout(60)
def test_a_thread_that_is_held_up_keeps_nobody() -> None:
    """Another thread answers meanwhile, and the end does not wait for an answer that never comes."""
    disk = threading.Event()
    requests = iter([b"slow", b"quick", None])
    answered = []

    def answer(request: bytes, _buffer: memoryview) -> None:
        if request == b"slow":
            disk.wait()
        answered.append(request)

    Crew(lambda _: next(requests), answer, lambda: False, 1).run()
    assert answered == [b"quick"]
    disk.set()


@pytest.mark.timeout(60)
def test_what_goes_wrong_in_a_thread_ends_the_work() -> None:
    """Nobody is left to ask for requests in vain: the error is raised where the work was begun."""

    def receive(_meanwhile: object) -> bytes | None:
        raise PermissionError("the device is gone")

    with pytest.raises(PermissionError, match="the device is gone"):
        Crew(receive, lambda *_: None, lambda: False, 1).run()


def test_the_kernel_has_room_for_descriptors_before_there_are_threads() -> None:
    """With threads, each growth of its table holds up whoever opens a file."""
    room = []

    def receive(_meanwhile: object) -> None:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        room.append(int(re.findall(r"FDSize:\s*(\d+)", status)[0]))

    Crew(receive, lambda *_: None, lambda: False, 1).run()
    assert room[0] >= min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
