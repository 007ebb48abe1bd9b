"""The connections of a process: those that its threads share, and those of each event loop."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING

from llmkit.errors import ConfigError

if TYPE_CHECKING:
    import asyncio

    import httpx

    from llmkit.concurrency.loops import PerLoop
    from llmkit.transport.base import AsyncTransport, Transport

log = logging.getLogger("llmkit.transport")


class Connections:
    """Opens transports on first use, and again after a fork.

    Args:
        choice: `transport` in the settings.
        http_client, async_http_client: httpx or httpx2 clients to use. Their owner closes them.
        beginning: called when an event loop first asks for connections.
        ending: awaited when an event loop ends, while it still runs and before its connections are closed.

    Raises:
        ConfigError: a client is none, or of the other kind.
    """

    def __init__(
        self,
        choice: str,
        http_client: httpx.Client | None,
        async_http_client: httpx.AsyncClient | None,
        beginning: Callable[[], object] | None,
        ending: Callable[[asyncio.AbstractEventLoop], Awaitable[None]],
    ) -> None:
        _check("http_client", http_client, "Client")
        _check("async_http_client", async_http_client, "AsyncClient")
        self._choice = choice
        self._http_client = http_client
        self._async_http_client = async_http_client
        self._beginning = beginning
        self._ending = ending
        # Those of a parent are kept in its children: to close them there would take them out of the selector that its loop uses too.
        self._of_processes: dict[int, _Open] = {}

    def transport(self) -> Transport:
        """Return the connections of the threads."""
        here = self._here()
        with here.lock:
            if here.threads is None:
                here.threads = _for_threads(self._choice, self._http_client)
                here.close_threads = weakref.finalize(self, _close, here.threads, os.getpid())
            return here.threads

    def async_transport(self) -> AsyncTransport:
        """Return the connections of the running event loop."""
        here = self._here()
        return (here.loops or self._begin(here)).get()

    def _begin(self, here: _Open) -> PerLoop[AsyncTransport]:
        from llmkit.concurrency.loops import PerLoop  # noqa: PLC0415  # asyncio

        with here.lock:  # loops run in several threads
            if here.loops is None:
                make = partial(_for_loop, self._choice, self._async_http_client, self._beginning)
                here.loops = PerLoop(make, self._ending)
            return here.loops

    def close(self) -> None:
        """Close the connections of the threads."""
        here = self._here()
        with here.lock:
            here.threads = None
            close, here.close_threads = here.close_threads, None
        if close is not None:
            close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        loops = self._here().loops
        if loops is not None:
            await loops.aclose()

    def _here(self) -> _Open:
        pid = os.getpid()
        # Made at once, if threads race for it, and with a lock that no thread of a parent can hold.
        return self._of_processes.get(pid) or self._of_processes.setdefault(pid, _Open())


class _Open:
    """What one process has open."""

    __slots__ = ("close_threads", "lock", "loops", "threads")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads: Transport | None = None
        self.close_threads: Callable[[], object] | None = None
        self.loops: PerLoop[AsyncTransport] | None = None


def _check(name: str, client: object, kind: str) -> None:
    send = getattr(client, "send", None)
    if client is not None and not (
        callable(send) and iscoroutinefunction(send) is (kind == "AsyncClient")
    ):
        raise ConfigError(
            f"{name} is of the type {type(client).__name__}",
            hint=f"Pass an httpx.{kind} as {name}.",
        )


def maker_of(choice: str) -> Callable[[], AsyncTransport]:
    """Load what a choice needs, and return what makes such a transport for the running event loop.

    Raises:
        ConfigError: it is not installed, or cannot be used.
    """
    if choice == "auto":
        return _automatic
    if choice == "native":
        from llmkit.transport.native.pool import NativeTransport  # noqa: PLC0415  # optional

        return NativeTransport
    if choice == "aiohttp":
        from llmkit.transport.aiohttp import AiohttpTransport  # noqa: PLC0415  # optional

        return AiohttpTransport
    from llmkit.transport._async.httpx import AsyncHttpxTransport  # noqa: PLC0415  # httpx

    return AsyncHttpxTransport


def _automatic() -> AsyncTransport:
    """Make the fastest that is installed and can be used."""
    from llmkit.transport._async.automatic import AsyncAutomaticTransport  # noqa: PLC0415

    with _passing_over():
        return AsyncAutomaticTransport(maker_of("native")())
    with _passing_over():
        return maker_of("aiohttp")()
    return maker_of("httpx")()


@contextmanager
def _passing_over() -> Iterator[None]:
    """Go on where a package is not installed, or cannot be used."""
    try:
        yield
    except ConfigError as error:
        log.debug("another transport is used: %s", error.message)


def _for_threads(choice: str, client: httpx.Client | None) -> Transport:
    if client is None and choice == "native":
        return _sockets()
    if client is None and choice == "auto":
        from llmkit.transport._sync.automatic import AutomaticTransport  # noqa: PLC0415

        with _passing_over():
            return AutomaticTransport(_sockets())
    from llmkit.transport._sync.httpx import HttpxTransport  # noqa: PLC0415  # httpx

    return HttpxTransport(client)


def _sockets() -> Transport:
    from llmkit.transport.sockets.pool import SocketTransport  # noqa: PLC0415  # optional

    return SocketTransport()


def _for_loop(
    choice: str, client: httpx.AsyncClient | None, beginning: Callable[[], object] | None
) -> AsyncTransport:
    if beginning is not None:
        beginning()
    if client is None:
        return maker_of(choice)()
    from llmkit.transport._async.httpx import AsyncHttpxTransport  # noqa: PLC0415  # httpx

    return AsyncHttpxTransport(client)


def _close(transport: Transport, pid: int) -> None:
    """Close connections, unless they are those of the process that this one was forked from."""
    if os.getpid() == pid:
        transport.close()
