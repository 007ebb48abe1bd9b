"""The stream: an answer that is read while it arrives."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self

from llmkit.concurrency.tasks import async_run_to_end
from llmkit.errors import InvalidRequest, ProviderError, StreamClosed
from llmkit.events import Event, Finish, Reset, TextDelta
from llmkit.outputs.output import NOTHING, Beginnings
from llmkit.parts import ToolCall
from llmkit.response import Outcome, OutputT_co, Response
from llmkit.tracebacks import forget_locals, forgetful

if TYPE_CHECKING:
    from llmkit._async.source import AsyncSource
    from llmkit.call import Call

log = logging.getLogger("llmkit.stream")


class AsyncStream(Generic[OutputT_co]):
    """An open answer. Iterate over it for events, or over `text()` for text; `response` is the answer so far.

    It is closed at its end, after a failure, and when its `async with` block ends. If it is closed early, its connection is cut, so
    that the provider stops. In the child of a fork, closing or dropping it does nothing: it is the parent's.
    """

    # One for all, since it is held for two lines.
    _closing = threading.Lock()

    def __init__(self, call: Call, source: AsyncSource, first: list[Event]) -> None:
        self.call = call
        self._source = source
        self._ready: list[Event] | None = first
        self._buffer: list[Event] | None = None
        self._taps: tuple[Callable[[list[Event]], None], ...] = ()
        self._finalisers: tuple[Callable[[Outcome], Awaitable[None]], ...] = ()
        self._error: BaseException | None = None
        # What the answer has to be, as long as it has not been read as that.
        self._wanted = call.output
        self._output: Any = None
        self._ended = False
        self._closed = False
        self._reading = False
        self._pid = os.getpid()

    async def read(self) -> list[Event] | None:
        """Return the events of one network read (the list may be empty); None when the answer is complete.

        Raises:
            ProviderError: the answer was cut off. The error's `response` holds the part that arrived.
            AnswerRefused, AnswerCut, OutputInvalid: it came to its end, and is not of the `output_type` that was asked for.
            StreamClosed: the stream was closed or aborted.
            RuntimeError: another task or thread reads it.
        """
        if self._ended:
            return None
        if self._closed:
            raise StreamClosed("the stream is closed")
        if self._reading:
            raise RuntimeError(
                "another task or thread reads this stream, and would miss what comes here"
            )
        self._reading = True
        try:
            events = self._ready if self._ready is not None else await self._source.read()
            self._ready = None
            if events is None:
                self._ended = True
                await self.aclose()
                return None
            if events:
                for tap in self._taps:
                    tap(events)
                if self._wanted is not None and type(events[-1]) is Finish:
                    await self._read_output()
        except BaseException as error:
            self._error = error
            try:
                if isinstance(error, ProviderError):
                    error.response = self.response
            finally:  # whatever a provider of the app's own says of its answer
                await self.aclose()
            forget_locals(error)
            raise
        finally:
            self._reading = False
        return events

    async def _read_output(self) -> None:
        """Read what the answer says, once its row is closed. One that calls tools says it later."""
        wanted, self._wanted = self._wanted, None
        while await self._source.read() is not None:
            pass
        self._ended = True
        await self.aclose()
        answer = self._source.response()
        if wanted is not None and not answer.tool_calls:
            self._output = wanted.read(answer)

    def leave_output(self) -> None:
        """Leave what the answer says to whoever reads it further on, as what they have asked for."""
        self._wanted = None

    def tap(self, callback: Callable[[list[Event]], None]) -> None:
        """Call the callback with every list of events before the reader gets it."""
        self._taps = (*self._taps, callback)

    def finalise(self, callback: Callable[[Outcome], Awaitable[None]]) -> None:
        """Run the callback when the stream ends, for whatever reason. The callback added last runs first."""
        self._finalisers = (*self._finalisers, callback)

    @property
    def response(self) -> Response[OutputT_co]:
        """The answer so far; complete when `stop_reason` is set."""
        answer = self._source.response()
        return answer if self._output is None else replace(answer, output=self._output)

    def abort(self) -> None:
        """Stop the answer from another task or thread. Never blocks; the reader gets `StreamClosed`."""
        self.call.signal.abort()

    def text(self) -> AsyncIterator[str]:
        """Iterate over the text as it arrives."""
        return _AsyncText(self)

    def partial(self) -> AsyncIterator[OutputT_co]:
        """Iterate over what the answer says so far, of its `output_type`: each time more of it, and at last the whole.

        Lists, dicts and TypedDicts grow from their beginning; a model or a dataclass is there when all that it requires is. A text that is
        cut is in it as far as it has come.

        Raises:
            InvalidRequest: the call has no `output_type`.
        """
        return _AsyncPartial(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._buffer:
            events = await self.read()
            if events is None:
                raise StopAsyncIteration
            self._buffer = events[::-1]
        return self._buffer.pop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the stream: cut the connection if it is still open, and close the row. May be called more than once."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        if os.getpid() != self._pid:
            return  # a copy in the child of a fork: the answer, its connection and its row are the parent's
        if self._finalisers or not self._source.try_release():
            await async_run_to_end(self._close, self.call.trace.tasks)

    async def fail(self, error: BaseException) -> None:
        """Close the stream because the code that uses it failed with this error."""
        self._error = self._error or error
        await self.aclose()

    async def _close(self) -> None:
        error, self._error = self._error, None  # its traceback knows this stream
        status = await self._source.aclose(error)
        if not self._finalisers:
            return
        outcome = Outcome(status=status, response=self.response, error=error)
        for callback in reversed(self._finalisers):
            try:
                await callback(outcome)
            except Exception:
                log.exception("a finaliser failed; the next ones still run")

    def abandon(self) -> None:
        """Close the stream without waiting for it: who had it was dropped. May come from any thread, from a destructor too."""
        if not self._closed and os.getpid() == self._pid:
            self._closed = True
            self._source.abandon()

    def __del__(self) -> None:
        if not self._closed and os.getpid() == self._pid:
            self.abandon()
            warnings.warn(
                f"{self!r} was dropped without being closed",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )


class _AsyncText:
    """Iterates over the text of a stream; no generator, so there is nothing to close."""

    __slots__ = ("_stream",)

    def __init__(self, stream: AsyncStream) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while True:
            event = await self._stream.__anext__()
            if type(event) is TextDelta:
                return event.text


class _AsyncPartial:
    """Iterates over what an answer says so far."""

    def __init__(self, stream: AsyncStream) -> None:
        wanted = stream.call.output
        if wanted is None:
            raise InvalidRequest(
                "the call has no output_type, so there is nothing to read it as",
                hint="Pass output_type=..., or iterate over text().",
            )
        self._stream = stream
        self._begun = Beginnings(wanted)
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while True:
            try:
                event = await self._stream.__anext__()
            except StopAsyncIteration:
                # The last one is what the whole answer says, once; one that calls tools says nothing.
                answer = self._stream.response
                value = NOTHING if answer.tool_calls else self._begun.take(answer.output)
                if value is NOTHING or self._ended:
                    raise
                self._ended = True
                return value
            value = NOTHING
            if type(event) is TextDelta:
                value = self._begun.add(event.text)
            elif type(event) is ToolCall or type(event) is Reset:
                self._begun.clear()
            if value is not NOTHING:
                return value


_OF_AN_OPEN_STREAM = frozenset(name for name in dir(AsyncStream) if not name.startswith("_"))


class AsyncStreamManager(Generic[OutputT_co]):
    """A stream that is not open yet: `async with` opens and closes it.

    Nothing is sent before that, so a stream that is never entered leaves nothing behind.
    """

    _OPEN_FIRST = "Open it first: async with client.stream(...) as stream:"

    def __init__(self, call: Call, call_next: Callable[[Call], Awaitable[AsyncStream]]) -> None:
        self.call = call
        self._call_next = call_next
        self._stream: AsyncStream[OutputT_co] | None = None
        self._entered = False

    if not TYPE_CHECKING:  # which is to find such mistakes by itself

        def __getattr__(self, name: str) -> object:
            """Say what is missing to whoever uses a stream that is not open."""
            raise AttributeError(
                f"the stream is not open, so it has no {name}. {self._OPEN_FIRST}"
                if name in _OF_AN_OPEN_STREAM
                else f"{type(self).__name__!r} object has no attribute {name!r}"
            )

        def __aiter__(self) -> Self:
            raise TypeError(f"the stream is not open. {self._OPEN_FIRST}")

    @forgetful
    async def open(self) -> AsyncStream[OutputT_co]:
        """Send the call, and return the stream when its first content has arrived. You have to close it.

        Raises:
            LLMKitError: the same errors as `complete`.
            RuntimeError: the stream was opened before.
        """
        if self._entered:
            raise RuntimeError(
                "a stream can only be opened once; make another with client.stream()"
            )
        self._entered = True
        if self.call.signal.aborted:
            raise StreamClosed("the stream was stopped before it was opened")
        self._stream = await self._call_next(self.call)
        return self._stream

    def abort(self) -> None:
        """Stop the call from another task or thread, whether it is open or still opening. Never blocks."""
        self.call.signal.abort()

    async def __aenter__(self) -> AsyncStream[OutputT_co]:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            await self._stream.aclose()
