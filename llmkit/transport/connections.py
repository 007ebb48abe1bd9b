"""The connections of a process: those that its threads share, and those of each event loop."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    import httpx

    from llmkit.transport.base import AsyncTransport, Transport
    from llmkit.transport.loops import LoopTransports


class Connections:
    """Opens transports on first use, and again after a fork.

    Args:
        choice: `transport` in the settings.
        http_client, async_http_client: httpx or httpx2 clients to use. Their owner closes them.
        beginning: called when an event loop first asks for connections.
        ending: awaited when an event loop ends, while it still runs and before its connections are closed.
    """

    def __init__(
        self,
        choice: str,
        http_client: httpx.Client | None,
        async_http_client: httpx.AsyncClient | None,
        beginning: Callable[[], object] | None,
        ending: Callable[[asyncio.AbstractEventLoop], Awaitable[None]],
    ) -> None:
        self._choice = choice
        self._http_client = http_client
        self._async_http_client = async_http_client
        self._beginning = beginning
        self._ending = ending
        self._lock = threading.Lock()
        self._threads: Transport | None = None
        self._close_threads: Callable[[], object] | None = None
        self._loops: LoopTransports | None = None
        self._of_parents: list[LoopTransports] = []
        self._pid = os.getpid()

    def transport(self) -> Transport:
        """Return the connections of the threads."""
        self._check_process()
        with self._lock:
            if self._threads is None:
                from llmkit.transport._sync.httpx import HttpxTransport  # noqa: PLC0415  # httpx

                self._threads = HttpxTransport(self._http_client)
                self._close_threads = weakref.finalize(self, _close, self._threads, os.getpid())
            return self._threads

    def async_transport(self) -> AsyncTransport:
        """Return the connections of the running event loop."""
        self._check_process()
        with self._lock:  # loops run in several threads
            if self._loops is None:
                from llmkit.transport.loops import LoopTransports  # noqa: PLC0415  # asyncio

                make = partial(_for_loop, self._choice, self._async_http_client, self._beginning)
                self._loops = LoopTransports(make, self._ending)
        return self._loops.get()

    def close(self) -> None:
        """Close the connections of the threads."""
        with self._lock:
            self._threads = None
            close, self._close_threads = self._close_threads, None
        if close is not None:
            close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        if self._loops is not None:
            await self._loops.aclose()

    def _check_process(self) -> None:
        if os.getpid() == self._pid:
            return
        self._pid = os.getpid()
        self._lock = threading.Lock()
        # Kept, for to close them here would take them out of the selector that the parent's loop uses too.
        if self._loops is not None:
            self._of_parents.append(self._loops)
        self._threads = self._close_threads = self._loops = None


def _for_loop(
    choice: str, client: httpx.AsyncClient | None, beginning: Callable[[], object] | None
) -> AsyncTransport:
    if beginning is not None:
        beginning()
    if client is None and (
        choice == "aiohttp" or (choice == "auto" and find_spec("aiohttp") is not None)
    ):
        from llmkit.transport.aiohttp import AiohttpTransport  # noqa: PLC0415  # optional

        return AiohttpTransport()
    from llmkit.transport._async.httpx import AsyncHttpxTransport  # noqa: PLC0415  # httpx

    return AsyncHttpxTransport(client)


def _close(transport: Transport, pid: int) -> None:
    """Close connections, unless they are those of the process that this one was forked from."""
    if os.getpid() == pid:
        transport.close()
