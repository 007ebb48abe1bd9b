"""A provider that answers in bytes of the test's own: whatever HTTP forbids, too."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator

Answer = Callable[[socket.socket], None]


class _Handler(socketserver.StreamRequestHandler):
    answer: Answer

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # whoever asked may leave at any time
            while self._read_request():
                self.answer(self.connection)
                return

    def _read_request(self) -> bool:
        length = 0
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        self.rfile.read(length)
        return bool(line)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64


@contextlib.contextmanager
def raw_provider(answer: bytes | Answer) -> Iterator[str]:
    """Answer each request, one a connection, and close; yield the address.

    Args:
        answer: the bytes, or what writes them to the connection.
    """
    write = (lambda line: line.sendall(answer)) if isinstance(answer, bytes) else answer
    handler = type("Handler", (_Handler,), {"answer": staticmethod(write)})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
