"""A local server on a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable


class ServerThread:
    """Opens a port and serves it until it is stopped. All methods may be called from any thread.

    Args:
        name: the thread's name.
        serve: takes over the listening socket in the thread's loop, and returns what closes all that came of it.
    """

    def __init__(
        self,
        name: str,
        serve: Callable[[socket.socket], Awaitable[Callable[[], None]]],
    ) -> None:
        self._name = name
        self._serve = serve
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    @property
    def running(self) -> bool:
        """Whether it serves."""
        return self._thread is not None

    def start(self, host: str, port: int) -> int:
        """Open the port, 0 for any free one, and serve it; return its number.

        Raises:
            OSError: the port cannot be opened.
            RuntimeError: it is running already.
        """
        if self._thread is not None:
            raise RuntimeError(f"the {self._name.removeprefix('llmkit-')} is already running")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
        found: int = listener.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(listener, ready)), name=self._name, daemon=True
        )
        self._thread.start()
        ready.wait()
        return found

    def stop(self) -> None:
        """Close the port and every connection. May be called twice."""
        if self._thread is None:
            return
        assert self._stop is not None
        self.call(self._stop.set)
        self._thread.join()
        self._thread = None

    def call(self, function: Callable[[], object]) -> None:
        """Run on the loop; return when it has run. Nothing is run while it does not serve."""
        if self._loop is None or self._thread is None:
            return
        if threading.current_thread() is self._thread:
            function()
            return
        done = threading.Event()

        def run() -> None:
            try:
                function()
            finally:
                done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait()

    async def _run(self, listener: socket.socket, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        close = await self._serve(listener)
        ready.set()
        await self._stop.wait()
        # A connection that asyncio is just accepting would be forgotten open by a server that closes now.
        self._loop.remove_reader(listener)
        await _turns(3)
        close()
        # Tasks end, and aborted transports tell their connections so.
        await _turns(3)


async def _turns(count: int) -> None:
    """Let the loop do what it has to do so many times."""
    for _ in range(count):
        await asyncio.sleep(0)
