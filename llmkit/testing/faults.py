"""A network that fails on demand: a TCP proxy on a local port, in front of a provider, a Redis server or a database."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from llmkit.testing.local_server import LocalServer

READ = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to one connection. The default passes everything on.

    All of it applies to what the target sends, counted in bytes from the start of the connection, including HTTP headers.

    Attributes:
        latency: how many seconds every read of the answer is delayed.
        rate: bytes per second; None means no limit.
        piece: the largest write, in bytes; 1 writes byte by byte.
        cut_at: end the connection after so many bytes; None never does.
        end: how the connection ends. `close` closes it in order (FIN), `reset` resets it (RST), `silence` leaves it half-open, like a
            peer that has silently gone away: nothing more arrives, and nothing that is sent gets an answer.
    """

    latency: float = 0.0
    rate: float | None = None
    piece: int | None = None
    cut_at: int | None = None
    end: Literal["close", "reset", "silence"] = "close"

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ValueError: a number makes no sense.
        """
        if self.latency < 0:
            raise ValueError("latency has to be 0 or more seconds")
        if self.rate is not None and self.rate <= 0:
            raise ValueError("rate has to be more than 0 bytes a second, or None")
        if self.piece is not None and self.piece < 1:
            raise ValueError("piece has to be 1 or more bytes, or None")
        if self.cut_at is not None and self.cut_at < 0:
            raise ValueError("cut_at has to be 0 or more bytes, or None")


class FaultProxy(LocalServer):
    """Passes connections on to a target, with faults.

    ```python
    with Emulator() as emulator, FaultProxy(emulator.base_url) as proxy:
        proxy.script(Fault(cut_at=400, end="reset"))  # for the next connection
        anthropic.Anthropic(base_url=proxy.url, api_key="any")
    ```

    It does not look at the bytes, so TLS passes through too, if the client expects the target's name. With `tls` it terminates TLS
    itself, and talks to the target without TLS. All methods may be called from any thread.

    Attributes:
        fault: the fault of connections for which the script has none. May be set at any time, for new connections.
    """

    def __init__(
        self,
        target: str,
        *,
        fault: Fault | None = None,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare; `start` or `with` opens the port.

        Args:
            target: the URL of the server behind the proxy, with its port.
            fault: the default fault.
            host: the address to listen on.
            tls: serve TLS with this server-side context, which has a certificate for `host`.

        Raises:
            ValueError: the target has no host or no port.
        """
        parts = urlsplit(target)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        if parts.hostname is None or port is None:
            raise ValueError(
                "the target has to be a URL with a port, such as http://127.0.0.1:8200"
            )
        super().__init__("fault proxy", host, 0)
        self.fault = fault or Fault()
        self._tls = tls
        self._target = (parts.hostname, port)
        self._parts = parts
        self._script: deque[Fault] = deque()
        self._lock = threading.Lock()
        self._accepted = 0
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._stopping = False

    @property
    def url(self) -> str:
        """The target's URL, at the proxy's address."""
        login = "".join(self._parts.netloc.rpartition("@")[:2])
        scheme = self._parts.scheme if self._tls is None else "https"
        return urlunsplit(self._parts._replace(scheme=scheme, netloc=f"{login}{self._netloc()}"))

    @property
    def accepted(self) -> int:
        """How many connections were opened since the start."""
        return self._accepted

    def script(self, *faults: Fault) -> None:
        """Use these faults for the next connections, one each, after those already in the script."""
        with self._lock:
            self._script.extend(faults)

    def cut(self, end: Literal["close", "reset"] = "close") -> None:
        """End every connection now, by closing or resetting it; new ones are served as before."""
        self._call(partial(self._cut, end))

    async def _serve(self, listener: socket.socket) -> Callable[[], None]:
        self._stopping = False
        server = await asyncio.start_server(self._accept, sock=listener, ssl=self._tls)

        def close() -> None:
            self._stopping = True
            server.close()
            self._cut("close")

        return close

    def _cut(self, end: str) -> None:
        for task, writer in self._open.items():
            if end == "reset":
                _reset(writer)
            task.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stopping:
            writer.transport.abort()
            return
        with self._lock:
            self._accepted += 1
            fault = self._script.popleft() if self._script else self.fault
        task = asyncio.get_running_loop().create_task(self._handle(fault, reader, writer))
        self._open[task] = writer
        task.add_done_callback(
            self._over
        )  # not in the task, which may be cancelled before it begins

    def _over(self, task: asyncio.Task[None]) -> None:
        writer = self._open.pop(task)  # held until it is closed, or it would complain
        writer.transport.abort()

    async def _handle(
        self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            answer, question = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        try:
            await _carry(fault, reader, writer, answer, question)
        finally:
            question.transport.abort()


async def _carry(
    fault: Fault,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: asyncio.StreamReader,
    question: asyncio.StreamWriter,
) -> None:
    """Carry bytes both ways until one side is over; then both are."""
    up = asyncio.create_task(_pass_on(reader, question))
    down = asyncio.create_task(_answer(fault, answer, writer))
    try:
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        if not down.done():
            return  # the client has left
        if not down.result():
            await _close(writer)
        elif fault.end == "reset":
            _reset(writer)
        elif fault.end == "close":
            await _close(writer)
        else:
            up.cancel()
            await asyncio.wait({up})  # one reads at a time
            while await reader.read(READ):
                pass  # nobody is there to hear it
    except OSError:
        pass  # the client has left
    finally:
        up.cancel()
        down.cancel()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(READ):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # over, one way or the other


async def _answer(fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Pass the answer on as the fault says; return True where it cuts, False at the answer's own end."""
    passed = 0
    try:
        while data := await reader.read(READ):
            if fault.latency:
                await asyncio.sleep(fault.latency)
            if fault.cut_at is not None:
                data = data[: fault.cut_at - passed]
            size = fault.piece or (max(1, int(fault.rate / 20)) if fault.rate else len(data) or 1)
            for start in range(0, len(data), size):
                piece = data[start : start + size]
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(len(piece) / fault.rate if fault.rate else 0)
            passed += len(data)
            if passed == fault.cut_at:
                return True
    except OSError:
        pass  # over, one way or the other
    return False


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    line = writer.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
