"""A server of which every byte is said by a test."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def scripted(
    *scripts: Callable[[socket.socket], object], tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Serve one connection after another, each by its script in a thread of its own; yield the address. It is closed where the script ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threads = []
        lines: list[socket.socket] = []

        def serve(line: socket.socket, script: Callable[[socket.socket], object]) -> None:
            with suppress(OSError), line:  # who asks may be gone
                if tls is None:
                    lines.append(line)
                    script(line)
                    return
                with tls.wrap_socket(line, server_side=True) as secured:
                    lines.append(secured)
                    script(secured)

        def accept() -> None:
            for script in scripts:
                with suppress(OSError):  # more scripts than connections
                    line, _ = server.accept()
                    threads.append(threading.Thread(target=serve, args=(line, script)))
                    threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for line in lines:
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)  # no script waits for what does not come
            for thread in threads:
                thread.join()


def read_request(line: socket.socket) -> bytes:
    """Read a request to the end of its head."""
    came = b""
    while b"\r\n\r\n" not in came:
        data = line.recv(65536)
        if not data:
            raise ConnectionResetError
        came += data
    return came


def answer(body: bytes, *, status: int = 200) -> bytes:
    """Write an answer."""
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body)


def completion(text: str) -> bytes:
    """Write an answer of the OpenAI wire."""
    message = {"role": "assistant", "content": text}
    said = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    return answer(json.dumps(said).encode())


def settings_of(url: str, transport: str) -> dict[str, Any]:
    """Return settings whose one model answers there."""
    provider = {"wire": "openai", "base_url": f"{url}/v1", "api_key": None, "price": 0}
    return {
        "providers": {"local": provider},
        "models": {"default": "local:any"},
        "retry": {"attempts": 2, "wait_initial": 0.001, "wait_max": 0.002},
        "transport": transport,
        "ledger": False,
    }
