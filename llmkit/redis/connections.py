"""Connections of threads that wait no longer than whoever asks over them, whatever they have to say first: a password, a database."""

from __future__ import annotations

from typing import Any, cast

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import TimeoutError as RedisTimeoutError

from llmkit.redis.asking import patience_of_thread


class _Patient:
    """Reads each answer within what is left."""

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Read one."""
        patience, connection = patience_of_thread(), cast(Any, self)
        socket = connection._sock  # noqa: SLF001  # what it waits with is given out nowhere
        if patience is not None and socket is not None:
            left = patience.remaining
            if left <= 0:
                connection.disconnect()
                raise RedisTimeoutError("Redis answers too slowly")
            socket.settimeout(min(left, connection.socket_timeout))
        return cast(Any, super()).read_response(*args, **options)


class _Plain(_Patient, Connection):
    """Over TCP."""


class _Secure(_Patient, SSLConnection):
    """Over TLS."""


class _Local(_Patient, UnixDomainSocketConnection):
    """Over a socket of this machine."""


def connection_class(url: str) -> type[Connection]:
    """Return the one for a URL."""
    kinds: dict[str, Any] = {"rediss": _Secure, "unix": _Local}
    found: type[Connection] = kinds.get(url.partition("://")[0], _Plain)
    return found
