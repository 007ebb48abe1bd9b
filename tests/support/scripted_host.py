"""A host app whose answers a test writes byte by byte, for what runs in a browser.

It serves the pages as llmkit serves them and holds every `POST /llm/stream` until the test answers it.
"""

from __future__ import annotations

import json
import queue
import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from llmkit.caller import Caller
from llmkit.relay.answer import Answer
from llmkit.relay.pages import PAGES, chat_page, page
from llmkit.relay.rules import NOT_FOUND

PATIENCE = 10.0
"""Seconds after which a test that waits has failed."""

SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class Exchange:
    """One `POST /llm/stream` that waits for its answer. The end of the connection ends the body.

    Attributes:
        headers: what the browser sent, names in lower case.
        json: the body it sent.
    """

    def __init__(self, connection: socket.socket, headers: Mapping[str, str], body: bytes) -> None:
        self._connection = connection
        self.headers = headers
        self.json: Any = json.loads(body)
        self._over = threading.Event()

    def start(self, status: int = 200, headers: Mapping[str, str] = SSE) -> None:
        """Send the head."""
        lines = [f"HTTP/1.1 {status} Scripted", "connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode())

    def send(self, data: bytes) -> None:
        """Send bytes, now."""
        self._connection.sendall(data)

    def text(self, text: str) -> None:
        """Send a frame of text."""
        self.send(f"data: {json.dumps({'text': text})}\n\n".encode())

    def done(self) -> None:
        """Send the last frame of a complete answer, and end."""
        self.send(b"data: [DONE]\n\n")
        self.end()

    def end(self) -> None:
        """End the body."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Break the connection, so that the browser sees an error and not an end."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.shutdown(socket.SHUT_RD)

    def left(self) -> bool:
        """Wait until the browser has closed the connection; False if it does not."""
        return self._over.wait(PATIENCE)

    @property
    def is_over(self) -> bool:
        """Whether either side has ended the connection."""
        return self._over.is_set()

    def wait_until_over(self) -> None:
        """Hold the connection until either side ends it."""
        with suppress(OSError):
            while self._connection.recv(1024):
                pass
        self._over.set()


class ScriptedHost:
    """The app: a context manager that serves on a free port of this machine.

    Args:
        files: more files to serve, by path: content type and body.

    Attributes:
        user: who is logged in.
    """

    def __init__(self, files: Mapping[str, tuple[str, bytes]] | None = None) -> None:
        self.user: str | None = None
        self._files = files or {}
        self._asked: queue.Queue[Exchange] = queue.Queue()
        self._open: set[Exchange] = set()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.host = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        """Start to serve."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what is open and stop serving."""
        self.forget()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def asked(self) -> Exchange:
        """Wait for the browser's next question.

        Raises:
            queue.Empty: it asked nothing.
        """
        return self._asked.get(timeout=PATIENCE)

    def forget(self) -> None:
        """End all that is open, and forget what was asked and who is logged in, for the next test."""
        self.user = None
        for exchange in list(self._open):
            exchange.end()
        while not self._asked.empty():
            self._asked.get_nowait()

    @property
    def idle(self) -> bool:
        """Whether no question waits for an answer."""
        return self._asked.empty()

    def answer(self, exchange: Exchange) -> None:
        """Hand a question to the test and wait until it is dealt with."""
        self._open.add(exchange)
        self._asked.put(exchange)
        exchange.wait_until_over()
        self._open.discard(exchange)

    def file(self, path: str) -> Answer:
        """Return what is at a path, if anything is."""
        if path in self._files:
            content_type, body = self._files[path]
            return Answer.of(200, {"content-type": content_type}, body)
        path = path.removeprefix("/llm")
        if path == "/":
            return chat_page(user=Caller(user=self.user))
        return page(path) if path in PAGES else NOT_FOUND


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    host: ScriptedHost


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE

    def do_GET(self) -> None:
        answer = self.server.host.file(self.path)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers["content-length"]))
        self.connection.settimeout(None)
        self.server.host.answer(Exchange(self.connection, headers, body))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
