"""The emulator as tests and commands use it: a thread of its own around the server."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from functools import partial

from llmkit.testing.emulator.behaviour import Behaviour
from llmkit.testing.emulator.controls import control
from llmkit.testing.emulator.received import ReceivedRequest, RequestLog
from llmkit.testing.emulator.server import Connection, Server
from llmkit.testing.local_names import LocalNames
from llmkit.testing.local_server import LocalServer


class Emulator(LocalServer):
    """A provider without a model, on a local port: Anthropic, Gemini, Ollama and both of OpenAI's APIs.

    ```python
    with Emulator(behaviour=Behaviour(tokens=5, delay=0)) as emulator:
        emulator.script(Behaviour(status=529), Behaviour(cut_at=400))  # for the next two requests
        anthropic.Anthropic(base_url=emulator.base_url, api_key="any")
        openai.OpenAI(base_url=emulator.openai_base_url, api_key="any")
    ```

    It runs on a thread with an event loop of its own. All methods may be called from any thread;
    those that wait block it, so in async code call them through `anyio.to_thread.run_sync`.

    Attributes:
        behaviour: how requests are answered when the script is used up. May be set at any time.
    """

    def __init__(
        self,
        *,
        behaviour: Behaviour | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        require_key: bool = True,
        keep_requests: int = 10_000,
    ) -> None:
        """Prepare; `start` or `with` opens the port.

        Args:
            behaviour: the default behaviour.
            host: the address to listen on. There is no access control, so use a loopback address. Only requests
                to its own name are answered, unless it listens on all addresses.
            port: 0 chooses a free one.
            require_key: whether a request without an API key is refused, as by the vendor: Ollama asks for none in its own API. Any key will do.
            keep_requests: how many of the received requests to remember.

        Raises:
            ValueError: the port is not a valid one.
        """
        if not 0 <= port <= 65535:  # the socket module would leave a socket open
            raise ValueError(f"{port} is not a port. A port is 0 to 65535.")
        self._default = behaviour or Behaviour()
        super().__init__("emulator", host, port)
        self._log = RequestLog(keep_requests)
        self._server = Server(
            self._default,
            require_key=require_key,
            names=LocalNames(host),
            log=self._log,
            controls=partial(control, self),
        )

    @property
    def behaviour(self) -> Behaviour:
        """How requests are answered when the script is used up."""
        return self._server.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._server.behaviour = behaviour

    @property
    def base_url(self) -> str:
        """The base URL for Anthropic, Gemini and Ollama: the root, without a slash at its end."""
        return f"http://{self._netloc()}"

    @property
    def openai_base_url(self) -> str:
        """The base URL for both of OpenAI's APIs, which ends in /v1."""
        return f"{self.base_url}/v1"

    @property
    def requests(self) -> list[ReceivedRequest]:
        """The requests received so far, oldest first, in their current state."""
        return self._log.snapshots()

    @property
    def open_connections(self) -> int:
        """How many TCP connections are open now."""
        return self._log.connections

    def script(self, *behaviours: Behaviour) -> None:
        """Use these behaviours for the next requests, one each, after those already in the script.

        A request that the vendor would refuse (no key, a bad body) is refused and uses none.

        Raises:
            TypeError: one of them is no Behaviour.
        """
        for behaviour in behaviours:
            if not isinstance(behaviour, Behaviour):
                raise TypeError(f"script() takes Behaviours, not a {type(behaviour).__name__}")
        self._server.script.extend(behaviours)

    def release(self, n: int | None = 1, *, index: int | None = None) -> None:
        """Release `n` more withheld tokens in every running answer, or in the one with this index.

        None releases everything, including stalled answers. A token that is released before its
        turn is not withheld.
        """
        self._call(partial(self._server.release, n, index))

    def reset(self) -> None:
        """Start again: no script, no requests, the original behaviour.

        Connections that are being answered are closed.
        """
        self._server.behaviour = self._default
        self._call(self._server.reset)

    def wait_for_requests(self, n: int, timeout: float = 5) -> list[ReceivedRequest]:
        """Wait until `n` requests have arrived since the start or the last reset; return them all.

        Raises:
            TimeoutError: they did not arrive within `timeout` seconds.
        """
        self._log.wait(lambda: self._log.count >= n, timeout, f"{n} requests")
        return self.requests

    def wait_for_tokens(self, n: int, *, index: int = 0, timeout: float = 5) -> ReceivedRequest:
        """Wait until `n` tokens of an answer have been sent.

        Raises:
            TimeoutError: they were not sent within `timeout` seconds.
        """
        return self._wait(
            lambda request: request.tokens_sent >= n,
            index,
            timeout,
            f"{n} tokens of request {index}",
        )

    def wait_until_gone(self, index: int = 0, timeout: float = 5) -> ReceivedRequest:
        """Wait until the client of a request has disconnected before the end of its answer.

        Raises:
            TimeoutError: it did not within `timeout` seconds.
        """
        return self._wait(
            lambda request: request.state == "client_gone",
            index,
            timeout,
            f"the client of request {index} to leave",
        )

    def wait_until_ended(self, index: int = 0, timeout: float = 5) -> ReceivedRequest:
        """Wait until a request is no longer being answered, for any reason.

        Raises:
            TimeoutError: it was still being answered after `timeout` seconds.
        """
        return self._wait(
            lambda request: request.state != "answering",
            index,
            timeout,
            f"the end of request {index}",
        )

    def wait_for_connections(self, n: int, timeout: float = 5) -> None:
        """Wait until exactly `n` TCP connections are open.

        Raises:
            TimeoutError: the number was never reached.
        """
        self._log.wait(lambda: self._log.connections == n, timeout, f"{n} open connections")

    def serve_forever(self) -> None:
        """Answer until KeyboardInterrupt, which is raised.

        Raises:
            OSError: the port cannot be opened.
        """
        with self:
            threading.Event().wait()

    async def _serve(self, listener: socket.socket) -> Callable[[], None]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(partial(Connection, self._server, loop), sock=listener)

        def close() -> None:
            server.close()
            self._server.close()

        return close

    def _wait(
        self,
        condition: Callable[[ReceivedRequest], bool],
        index: int,
        timeout: float,
        what: str,
    ) -> ReceivedRequest:
        def holds() -> bool:
            entry = self._log.entry(index)
            return entry is not None and condition(entry.snapshot())

        self._log.wait(holds, timeout, what)
        entry = self._log.entry(index)
        assert entry is not None
        return entry.snapshot()
