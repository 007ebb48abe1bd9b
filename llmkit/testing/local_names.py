"""The names that a local server answers to, so that no page of the web can reach it under a name of its own.

A page may point its own name at 127.0.0.1 once it is loaded (DNS rebinding), and then asks the local server as its own origin. The browser
still says the page's name in the Host header. It cannot do so with an address: an address is not looked up.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address


class LocalNames:
    """Tells whether a request was meant for a server that listens on this host.

    Args:
        host: the name or address that it was told to listen on.
    """

    __slots__ = ("_host", "_listens")

    def __init__(self, host: str) -> None:
        self._host = host.lower()
        self._listens = _address(self._host)

    @property
    def everywhere(self) -> bool:
        """Whether it listens on all addresses of this machine."""
        return self._listens is not None and self._listens.is_unspecified

    def __contains__(self, header: object) -> bool:
        """Say whether a Host header names this server. The port does not matter: no page can choose another's."""
        if not isinstance(header, str):
            return False
        name = _without_port(header.strip().lower())
        if not name:
            return False
        if name in (self._host, "localhost"):
            return True
        address = _address(name)
        if address is None:
            return self.everywhere and name == socket.gethostname().lower()
        if self.everywhere:
            return True
        at_home = self._listens.is_loopback if self._listens else self._host == "localhost"
        return address == self._listens or (address.is_loopback and at_home)


def _without_port(name: str) -> str:
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].removesuffix(".")


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None
