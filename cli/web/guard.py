"""Which requests are answered: those of our own page, from a browser of this machine, that know the secret.

Any page of the web may send requests to 127.0.0.1, and may let its own name lead there (DNS rebinding).
So the Host must be one of this machine's own addresses, and an Origin must be the page's own. A socket must
have one: every browser sends it there, and no page can set it. Knows no server.

Source: RFC 9110, 7.2 (Host); RFC 6454, 7 (Origin); RFC 6455, 10.2.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NOTHING", "SOCKET", "Guard", "Refused", "new_secret"]

SOCKET = "socket"
"""The name of the socket, beside those of files."""

NOTHING = "nothing is here"
"""What is said of any path without the secret, and of a name that is not there."""

_NAMES = ("127.0.0.1", "[::1]", "localhost")


class Refused(Exception):
    """A request that gets no answer.

    Attributes:
        status: the status of HTTP.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def new_secret() -> str:
    """128 bits that nobody can guess, as letters of a path."""
    return secrets.token_hex(16)


class Guard:
    """Knows the port and the secret of one server."""

    def __init__(self, port: int, secret: str) -> None:
        """For the server of `port`, whose paths begin with `secret`."""
        self._hosts = frozenset(f"{name}:{port}" for name in _NAMES)
        self._secret = secret.encode()

    def admit(self, method: str, target: str, hosts: Sequence[str], origins: Sequence[str]) -> str:
        """The name behind the secret that a request asks for; "" is the page itself.

        Args:
            method: of the request.
            target: the path and query as they were sent, nothing decoded.
            hosts: every Host of its headers.
            origins: every Origin of its headers.

        Raises:
            Refused: it is not from our own page, or does not know the secret.
        """
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            raise Refused(403, "this is not the address of this server")
        own = f"http://{hosts[0].lower()}"
        if len(origins) > 1 or any(origin != own for origin in origins):
            raise Refused(403, "another page asks")
        start, secret, *names = [*target.partition("?")[0].split("/", 2), ""][:3]
        known = secrets.compare_digest(secret.encode(errors="replace"), self._secret)
        if start or not known or target.count("/") < 2:
            raise Refused(404, NOTHING)
        name = names[0]
        if name == SOCKET and not origins:
            raise Refused(403, "no page asks")
        if method != "GET":
            raise Refused(405, "this server is only read")
        return name
