"""A browser's tab, down to its bytes: httpx would hide when it leaves, and how."""

from __future__ import annotations

import json
import socket
import struct
from urllib.parse import urlsplit

from contract.hosts import Host
from support.browser import SAY_HI

JSON = {"content-type": "application/json"}


class Tab:
    """A tab that asks, and leaves when it is told to."""

    def __init__(self, host: Host, path: str = "/llm/stream", **headers: str) -> None:
        where = urlsplit(host.url)
        body = json.dumps(SAY_HI).encode()
        lines = {"host": "x", **JSON, **host.user, "content-length": str(len(body)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._line = socket.create_connection((where.hostname, where.port), timeout=30)
        self._line.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body)

    def read_until(self, wanted: bytes) -> bytes:
        """Read until these bytes have come."""
        data = b""
        while wanted not in data:
            more = self._line.recv(65536)
            assert more, data
            data += more
        return data

    def close(self, *, reset: bool = False) -> None:
        """Leave: with a FIN, or with a reset."""
        if reset:
            self._line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._line.close()
