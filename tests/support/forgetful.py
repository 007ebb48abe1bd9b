"""A provider whose load balancer forgets connections: the first request over each is answered, the second one is not."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from typing import Literal

End = Literal["close", "reset"]

_BODY = json.dumps(
    {
        "type": "message",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
).encode()
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(
    _BODY
)


class Forgetful(socketserver.ThreadingTCPServer):
    """Answers in Anthropic's wire. Counts the connections that it takes, and those that are open.

    Args:
        together: how many connections the first answers wait for, so that each of them needs its own.
        last_words: what is sent for the second request, before the connection is ended.
        end: how it is ended.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, together: int, last_words: bytes, end: End) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.together = together
        self.last_words = last_words
        self.end = end
        self.accepted = 0
        self.open = 0
        self.changed = threading.Condition()

    def wait_for_accepted(self) -> None:
        """Wait until there are as many connections as belong together."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.accepted >= self.together, 10)

    def wait_for_open(self, count: int) -> None:
        """Wait until so many connections are open."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.open == count, 10), self.open


class _Handler(socketserver.StreamRequestHandler):
    server: Forgetful

    def handle(self) -> None:
        self._count(accepted=1, opened=1)
        with contextlib.suppress(OSError):
            if self._read_request():
                self.connection.sendall(_HEAD)
                self.server.wait_for_accepted()
                self.connection.sendall(_BODY)
            if self._read_request():
                self.connection.sendall(self.server.last_words)
                if self.server.end == "reset":
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.rfile.close()
                    self.connection.close()
        self._count(opened=-1)

    def _count(self, *, accepted: int = 0, opened: int) -> None:
        with self.server.changed:
            self.server.accepted += accepted
            self.server.open += opened
            self.server.changed.notify_all()

    def _read_request(self) -> bool:
        length = 0
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        self.rfile.read(length)
        return bool(line)


@contextlib.contextmanager
def forgetful(
    *, together: int = 1, last_words: bytes = b"", end: End = "reset"
) -> Iterator[Forgetful]:
    """Run it."""
    with Forgetful(together, last_words, end) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
