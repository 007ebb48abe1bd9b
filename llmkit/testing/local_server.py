"""A local server on a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self


class LocalServer(ABC):
    """Opens a port and serves it until it is stopped. All methods may be called from any thread.

    Args:
        name: what it is, for messages and for the thread's name.
        host: the address to listen on.
        port: 0 chooses a free one.
    """

    def __init__(self, name: str, host: str, port: int) -> None:
        self._name = name
        self._address = (host, port)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def start(self) -> Self:
        """Open the port and serve it on a thread of its own.

        Raises:
            OSError: the port cannot be opened.
            RuntimeError: it is running already.
        """
        if self._thread is not None:
            raise RuntimeError(f"the {self._name} is already running")
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
        self._address = (host, listener.getsockname()[1])
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._work,
            args=(listener, ready),
            name=f"llmkit-{self._name}",
            daemon=True,
        )
        self._thread.start()
        ready.wait()
        return self

    def stop(self) -> None:
        """Close the port and every connection. May be called twice."""
        if self._thread is None:
            return
        assert self._stop is not None
        self._call(self._stop.set)
        self._thread.join()
        self._thread = None

    def __enter__(self) -> Self:
        return self if self._thread is not None else self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @abstractmethod
    async def _serve(self, listener: socket.socket) -> Callable[[], None]:
        """Take over the listening socket, in the thread's loop; return what closes all that came of it."""

    def _netloc(self) -> str:
        """Return host and port, as a URL writes them."""
        if self._thread is None:
            raise RuntimeError(f"the {self._name} is not running; start it with `with` or start()")
        host, port = self._address
        return f"{f'[{host}]' if ':' in host else host}:{port}"

    def _call(self, function: Callable[[], object]) -> None:
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

    def _work(self, listener: socket.socket, ready: threading.Event) -> None:
        # asyncio's own loop, whatever the host's policy is: uvloop does not let go of a listener as below.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self._run(listener, ready))

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
