"""The relay for frameworks in which the response is written: it pushes frames as they arrive."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Awaitable, Mapping
from typing import Protocol, Self

from llmkit._async.stream import AsyncStream, AsyncStreamManager
from llmkit.errors import LLMKitError, StreamClosed
from llmkit.relay.dialects.text import HEADERS, HEARTBEAT, TextDialect
from llmkit.relay.problem import CLIENT_LEFT, INTERNAL, problem_of

log = logging.getLogger("llmkit.relay")


class Sink(Protocol):
    """Where a response is written to."""

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Write the head."""

    def send(self, data: bytes, *, more: bool) -> Awaitable[None]:
        """Write a part of the body. OSError means that nobody reads it any more."""


class _Gone(Exception):
    """Nobody reads the response any more. An error of its own, for the app's code may raise any other."""


class PushRelay:
    """Relays one answer into a sink.

    The status waits for the first content or the first heartbeat, so that an early failure has a real error status. There is one
    timer for the heartbeats; the frames of one network read are one write.

    Args:
        manager: the call, not opened yet.
        sink: where the response goes.
        heartbeat: seconds of silence before a comment is sent.
        tool_details: whether the browser sees what tools are called with, and what they return.
    """

    def __init__(
        self,
        manager: AsyncStreamManager,
        sink: Sink,
        *,
        heartbeat: float,
        tool_details: bool = False,
    ) -> None:
        self._manager = manager
        self._sink = sink
        self._heartbeat = heartbeat
        self._dialect = TextDialect(manager.call.call_id, tool_details=tool_details)
        self._stream: AsyncStream | None = None
        self._started = False
        self._ended = False
        self._left = False
        self._writing = False
        self._last_write = 0.0
        self._beat: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> Self:
        """Open the call, with heartbeats from now on; then `run` it.

        Raises:
            LLMKitError: the call failed before its first content.
        """
        self._loop = asyncio.get_running_loop()
        self._last_write = self._loop.time()
        self._timer = self._call_at(self._last_write + self._heartbeat)
        try:
            self._stream = await self._manager.open()
        except BaseException:
            self._timer.cancel()
            raise
        return self

    async def run(self) -> None:
        """Open the call if it is not open, relay it to its end and close it. A reader that left stops the call."""
        try:
            if self._stream is None:
                await self.open()
            await self._relay()
        except StreamClosed:
            await self._leave()
        except LLMKitError as error:
            with contextlib.suppress(_Gone):
                await self._fail(error)
        except _Gone:
            log.debug("the browser left while the response was being sent")
        except Exception:
            if self._started and not self._ended:
                with contextlib.suppress(_Gone):
                    await self._write(self._dialect.error(INTERNAL), more=False)
            raise  # the host's own handlers and logs come next
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if self._beat is not None:
                self._beat.cancel()

    def abort(self) -> None:
        """Stop the call, since nobody reads it any more."""
        self._left = self._left or not self._ended
        self._ended = True
        self._manager.abort()

    async def _relay(self) -> None:
        assert self._stream is not None  # noqa: S101  # opened by the caller
        async with self._stream as stream:
            while (events := await stream.read()) is not None:
                frames = self._dialect.encode(events)
                if self._started and self._beat is None and not self._dialect.finished:
                    if frames:  # as _write does, without its coroutine for every token
                        self._writing = True
                        try:
                            await self._sink.send(frames, more=True)
                        except OSError as error:
                            raise _Gone from error
                        self._writing = False
                        self._last_write = self._loop.time()
                elif frames:
                    await self._write(frames, more=not self._dialect.finished)

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        if self._beat is not None:
            await self._beat
        self._writing = True
        self._ended = self._ended or not more
        await self._send(200, HEADERS, data, more=more)
        self._writing = False
        self._last_write = self._loop.time()

    async def _fail(self, error: LLMKitError) -> None:
        problem = problem_of(error)
        if self._left:
            await self._leave()
        if self._ended:
            return
        if self._beat is not None:
            await self._beat
        if self._started:
            await self._write(self._dialect.error(problem), more=False)
            return
        self._ended = True
        answer = problem.answer
        await self._send(answer.status, answer.headers, answer.body, more=False)

    async def _send(
        self, status: int, headers: Mapping[str, str], data: bytes, *, more: bool
    ) -> None:
        """Write, with the head if that was not written yet."""
        try:
            if not self._started:
                self._started = True
                await self._sink.start(status, headers)
            await self._sink.send(data, more=more)
        except OSError as error:
            raise _Gone from error

    async def _leave(self) -> None:
        """End a response that nobody reads any more: a host's own middleware wants to see an end."""
        with contextlib.suppress(_Gone):
            if self._beat is not None:
                await self._beat
            await self._send(CLIENT_LEFT, {"content-length": "0"}, b"", more=False)

    def _on_timer(self) -> None:
        if self._ended:
            return
        now = self._loop.time()
        if self._writing or self._beat is not None:
            self._last_write = now  # a slow reader is not a silent one
        elif now >= self._last_write + self._heartbeat:
            self._last_write = now
            self._beat = self._loop.create_task(self._send_heartbeat())
        self._timer = self._call_at(self._last_write + self._heartbeat)

    def _call_at(self, when: float) -> asyncio.TimerHandle:
        # A relay that nobody runs, or holds any more, goes with its stream.
        return self._loop.call_at(when, _look, weakref.ref(self))

    async def _send_heartbeat(self) -> None:
        try:
            await self._send(200, HEADERS, HEARTBEAT, more=True)
        except _Gone:
            self.abort()
        finally:
            self._beat = None


def _look(relay: weakref.ref[PushRelay]) -> None:
    held = relay()
    if held is not None:
        held._on_timer()  # noqa: SLF001  # its own timer
