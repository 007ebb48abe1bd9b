"""One connection of threads: its bytes go out, and what comes is read."""

from __future__ import annotations

import socket
from collections.abc import Callable

from llmkit.transport.base import shut_down
from llmkit.transport.http1.answers import ASKED, BODY, GONE, IDLE, Answers

# How much is read at once, in bytes.
READ_SIZE = 64 * 1024


class Connection:
    """A connection that serves one request after another.

    Attributes:
        answers: what has come over it.
        idle_since: since when nobody uses it, on the transport's clock, in seconds.
    """

    __slots__ = ("_aborted", "_socket", "_spoiled", "_waits", "answers", "idle_since")

    def __init__(self, line: socket.socket) -> None:
        self._socket = line
        self._aborted = False
        self._spoiled = False
        self._waits = False
        self.answers = Answers()
        self.idle_since = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent over it: nothing has come since the last answer, not even its end."""
        if self.answers.state is not IDLE:
            return False
        self._socket.settimeout(0)
        try:
            # Below TLS, which would not look without taking it.
            socket.socket.recv(self._socket, 1, socket.MSG_PEEK)
        except BlockingIOError:
            self._socket.settimeout(None)
            return True
        except OSError:
            pass
        return False

    def ask(self, request: bytes) -> None:
        """Send a request."""
        self.answers.expect()
        try:
            self._socket.sendall(request)
        except OSError:
            # Who closes while it is told may have answered before: its answer is read, or the failure seen again.
            self._spoiled = True

    def head(self, before: Callable[[socket.socket], object] | None = None) -> None:
        """Wait for the head of the answer, and do something before each time that it waits.

        Raises:
            ConnectionFailed: the connection broke or was cut, or what came is no HTTP.
        """
        while self.answers.state is ASKED:
            if before is not None:
                before(self._socket)
            self._receive()
        if self._aborted or (self.answers.state is GONE and not self.answers.status):
            raise self.answers.failure()

    def read(self) -> bytes:
        """Return what has come of the body, once something has; nothing at its end.

        Raises:
            ConnectionFailed: the connection broke or was cut, or what came is no HTTP.
        """
        answers = self.answers
        while not answers.chunks and answers.state is BODY:
            self._receive()
        if self._aborted:
            raise answers.failure()
        return answers.take()

    def _receive(self) -> None:
        self._waits = True
        try:
            data = self._socket.recv(READ_SIZE)
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:  # the system's own has one
                raise  # it is still being connected
            self.answers.end(type(error).__name__, error)
            return
        finally:
            self._waits = False
        if data:
            self.answers.feed(data)
        else:
            self.answers.feed_eof()

    def renew(self) -> bool:
        """Make ready for the next request, if it can serve again."""
        return not (self._aborted or self._spoiled or self._waits) and self.answers.renew()

    def abort(self) -> None:
        """Shut the connection down. May come from any thread; whoever reads learns of it."""
        self._aborted = True
        shut_down(self._socket)

    def close(self) -> None:
        """Close it. Whoever still reads, in another thread, learns of it."""
        self.answers.end("it is closed")
        if self._waits:
            shut_down(self._socket)
        self._socket.close()
