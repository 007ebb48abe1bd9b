"""Whether a browser that waits for a JSON answer is still connected, as far as a WSGI server reports it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from llmkit.concurrency.timers import Timer, timers
from llmkit.relay._sync.door import answer_whole
from llmkit.relay.answer import Answer

if TYPE_CHECKING:
    from llmkit._sync.stream import StreamManager

# How often it is looked at the longest, in seconds.
EVERY = 1.0
# What gunicorn and Werkzeug's development server call the browser's connection.
_SOCKETS = ("gunicorn.socket", "werkzeug.socket")
# Of a connection whose other end has been closed: TCP_CLOSE and TCP_CLOSE_WAIT.
_CLOSED = (7, 8)


def answer_while_present(
    manager: StreamManager, environ: Mapping[str, Any], *, heartbeat: float
) -> Answer:
    """Make the call and return the complete answer; stop the call if the browser leaves, if the server reports that.

    Args:
        manager: the call, not opened yet.
        environ: the WSGI request's.
        heartbeat: in seconds; the connection is checked twice in each, or once a second.
    """
    with Watch(presence(environ), manager.abort, every=min(EVERY, heartbeat / 2)):
        return answer_whole(manager)


class Watch:
    """Calls back, in the timers' thread, when the browser has left before the block ends."""

    def __init__(
        self, is_gone: Callable[[], bool] | None, left: Callable[[], None], *, every: float
    ) -> None:
        self._is_gone = is_gone
        self._left = left
        self._every = every
        self._timer: Timer | None = None
        self._done = is_gone is None

    def __enter__(self) -> None:
        """Begin to look."""
        self._look_later()

    def __exit__(self, *exc_info: object) -> None:
        self._done = True
        if self._timer is not None:
            self._timer.cancel()

    def _look_later(self) -> None:
        if not self._done:
            self._timer = timers.call_later(self._every, self._look)

    def _look(self) -> None:
        if self._done or self._is_gone is None:
            return
        if self._is_gone():
            self._left()
        else:
            self._look_later()


def presence(environ: Mapping[str, Any]) -> Callable[[], bool] | None:
    """Return what says, without waiting, whether the browser has left; None where the server does not tell."""
    told: Callable[[], bool] | None = environ.get("waitress.client_disconnected")
    if told is not None:
        return told
    line = next((environ[name] for name in _SOCKETS if environ.get(name) is not None), None)
    if line is None:
        return None
    if isinstance(line, ssl.SSLSocket):  # what can be read is not what was sent
        return partial(_is_shut, line) if hasattr(socket, "TCP_INFO") else None
    line = getattr(line, "_sock", line)  # gevent's own waits
    if line.gettimeout() or not hasattr(socket, "MSG_DONTWAIT"):
        return None
    return partial(_is_at_end, line)


def _is_at_end(line: socket.socket) -> bool:
    """Whether nothing can come any more. What has come, as the next request may, is left where it is."""
    try:
        return not line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except (BlockingIOError, InterruptedError):
        return False
    except OSError:  # a reset
        return True


def _is_shut(line: ssl.SSLSocket) -> bool:
    try:
        return line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _CLOSED
    except OSError:
        return True
