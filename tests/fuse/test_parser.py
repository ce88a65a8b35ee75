"""The native server's request parser, fed with anything: it answers an error and goes on, always."""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfs.errors import MountFailed
from layerfs.views.fuse import native
from layerfs.views.fuse.device import Device
from layerfs.views.fuse.native import Session
from layerfs.views.fuse.protocol import (
    ENTRY_OUT,
    FORGET_IN,
    IN_HEADER,
    INIT_IN_OLD,
    INIT_OUT,
    KERNEL_VERSION,
    MINOR,
    OUT_HEADER,
    READ_IN,
    ROOT_ID,
    InitFlags,
    Opcode,
)
from layerfs.views.fuse.requests import Requests
from tests.support.layerspec import Dir, File, LayerSpec, materialise_stack
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from collections.abc import Iterator

STACK = [LayerSpec(Dir({b"d": Dir({b"f": File(b"content")}), b"g": File(b"more")}))]
SILENT = {Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.NOTIFY_REPLY}
READS = st.builds(
    READ_IN.pack, *[st.integers(0, 2**64 - 1)] * 2, *[st.integers(0, 2**32 - 1)] * 2, st.just(0), st.just(0)
)
BUFFER = memoryview(bytearray(1 << 20))


class Wire:
    """A session on a socket that keeps message boundaries, as /dev/fuse does; we hold the other end."""

    def __init__(self, requests: Requests) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.settimeout(0)
        self.session = Session(Device(self.theirs.fileno()), requests)

    def ask(self, request: bytes) -> list[bytes]:
        """Hand one request over; every reply it got."""
        self.session.answer(request, BUFFER)
        replies = []
        while True:
            try:
                replies.append(self.ours.recv(1 << 21))
            except BlockingIOError:
                return replies


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """A session about a small tree, without a kernel."""
    made = Wire(Requests(union_of(materialise_stack(STACK, tmp_path_factory.mktemp("wire")))))
    with made.ours, made.theirs:
        yield made


def _request(opcode: int, node_id: int, body: bytes) -> bytes:
    return IN_HEADER.pack(IN_HEADER.size + len(body), opcode, 7, node_id, 0, 0, 1, 0, 0) + body


@given(
    opcode=st.sampled_from(Opcode) | st.integers(0, 2**32 - 1),
    node_id=st.integers(0, 4) | st.integers(0, 2**64 - 1),
    body=st.binary(max_size=200) | st.just(b"d\0") | READS,
)
def test_any_request_is_answered_once(wire: Wire, opcode: int, node_id: int, body: bytes) -> None:
    """A malformed or unexpected request gets one well-formed reply, or none where the protocol has none."""
    replies = wire.ask(_request(opcode, node_id, body))
    if opcode in SILENT:
        assert replies == []
        return
    (reply,) = replies
    length, error, unique = OUT_HEADER.unpack_from(reply)
    assert (length, unique) == (len(reply), 7)
    assert -4096 < error <= 0
    assert error == 0 or length == OUT_HEADER.size
    assert -error != errno.EIO


@given(st.binary(max_size=100))
def test_any_bytes_are_survived(wire: Wire, request: bytes) -> None:
    """Bytes that are no request at all never end the server."""
    wire.ask(request)


@pytest.mark.parametrize("cut", range(IN_HEADER.size + READ_IN.size))
def test_truncated_request_is_refused(wire: Wire, cut: int) -> None:
    """A READ cut anywhere is refused or dropped, and the next request is served."""
    for reply in wire.ask(_request(Opcode.READ, ROOT_ID, READ_IN.pack(0, 0, 4096, 0, 0, 0))[:cut]):
        assert OUT_HEADER.unpack_from(reply)[1] < 0
    assert OUT_HEADER.unpack_from(wire.ask(_request(Opcode.GETATTR, ROOT_ID, bytes(16)))[0])[1] == 0


def test_node_that_was_never_given_out_is_stale(wire: Wire) -> None:
    """A request about an unknown node is ESTALE, whatever it asks."""
    for opcode in (Opcode.LOOKUP, Opcode.GETATTR, Opcode.READLINK, Opcode.READ, Opcode.READDIRPLUS):
        (reply,) = wire.ask(_request(opcode, 12345, READ_IN.pack(0, 0, 4096, 0, 0, 0)))
        assert OUT_HEADER.unpack_from(reply)[1] == -errno.ESTALE


def test_forgotten_nodes_are_given_back(wire: Wire) -> None:
    """After FORGET of every look-up a node is held no longer; forgetting too much harms nothing."""
    nodes = wire.session.requests.nodes
    (reply,) = wire.ask(_request(Opcode.LOOKUP, ROOT_ID, b"g\0"))
    node_id = ENTRY_OUT.unpack_from(reply, OUT_HEADER.size)[0]
    assert nodes[node_id].name == b"g"
    for _ in range(3):
        wire.ask(_request(Opcode.FORGET, node_id, FORGET_IN.pack(1 << 40)))
    wire.ask(_request(Opcode.FORGET, ROOT_ID, FORGET_IN.pack(1 << 40)))
    with pytest.raises(KeyError):
        nodes[node_id]
    assert nodes[ROOT_ID].parent is None


@pytest.mark.parametrize(
    ("minor", "offered", "granted"),
    [
        (
            31,
            InitFlags.ASYNC_READ | InitFlags.DO_READDIRPLUS,
            InitFlags.ASYNC_READ | InitFlags.DO_READDIRPLUS,
        ),
        (31, InitFlags.NO_OPEN_SUPPORT | 1 << 9, InitFlags.NO_OPEN_SUPPORT),
        (45, InitFlags.INIT_EXT | InitFlags.PASSTHROUGH, InitFlags.INIT_EXT | InitFlags.PASSTHROUGH),
        (45, InitFlags.PASSTHROUGH, 0),
    ],
    ids=["7.31", "7.31, a flag we do not know", "7.45", "7.45 without more than 32 flags"],
)
def test_what_a_kernel_lacks_is_not_used(wire: Wire, minor: int, offered: int, granted: int) -> None:
    """INIT is answered with the older of both versions and only with flags that were offered."""
    body = INIT_IN_OLD.pack(KERNEL_VERSION, minor, 1 << 17, offered & 0xFFFFFFFF)
    if offered & InitFlags.INIT_EXT:
        body += struct.pack("=I44x", offered >> 32)
    wire.ours.send(_request(Opcode.INIT, 0, body))
    Session(Device(wire.theirs.fileno()), Requests(wire.session.requests.tree)).negotiate(
        native._WANTED | InitFlags.PASSTHROUGH
    )
    reply = INIT_OUT.unpack_from(wire.ours.recv(4096), OUT_HEADER.size)
    assert reply[:2] == (KERNEL_VERSION, min(minor, MINOR))
    assert reply[3] | reply[10] << 32 == granted


def test_kernel_that_is_too_old_is_refused(wire: Wire) -> None:
    """A kernel before 7.31 gets EPROTO, and the user a reason and a way out."""
    wire.ours.send(_request(Opcode.INIT, 0, INIT_IN_OLD.pack(KERNEL_VERSION, 30, 0, 0)))
    with pytest.raises(MountFailed, match=r"7\.30.*7\.31"):
        wire.session.negotiate()
    assert OUT_HEADER.unpack_from(wire.ours.recv(4096))[1] == -errno.EPROTO
