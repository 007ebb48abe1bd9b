"""One physical attempt: its bytes, under what it holds."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from llmkit._async.leases import (
    AsyncConnection,
    AsyncEntry,
    AsyncHold,
    AsyncLeases,
    AsyncPlace,
    AsyncRow,
)
from llmkit._async.source import AsyncSource
from llmkit.concurrency.tasks import async_run_to_end
from llmkit.errors import (
    AnswerTooLarge,
    ConnectionFailed,
    LLMKitError,
    ProviderError,
    ProviderTimeout,
)
from llmkit.events import Event, Finish
from llmkit.ledger.record import Ending
from llmkit.ledger.row import status_of
from llmkit.policy.asking import decoder_of, request_of
from llmkit.policy.output_mode import as_tool, held_back, reader
from llmkit.response import Accumulator, Response, Status
from llmkit.transport.async_upstream import AsyncUpstream

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.ledger.row import Closing, Progress
    from llmkit.policy.budgets.decide import Claim
    from llmkit.policy.plan import Try
    from llmkit.providers.base import Decoder
    from llmkit.runtime import Runtime
    from llmkit.transport.base import AsyncTransport

# How much of an error's body is read, in bytes: enough for any provider's JSON.
ERROR_BODY_LIMIT = 64 * 1024
# How many characters of text and thinking an answer may have: 128,000 tokens are under one million. Its frames are not counted, for they are
# forty times as much.
MAX_ANSWER = 16 * 1024 * 1024


class AsyncAttempt(AsyncSource):
    """Speaks with one provider once. Opened, then read to the end or closed; the row is closed with it."""

    def __init__(self, runtime: Runtime, call: Call, step: Try, deadline: float) -> None:
        self._runtime = runtime
        self._call = call
        self._route = step.route
        self._fresh = step.fresh
        self._clocks = runtime.clocks(call, deadline)
        self._record = runtime.record(call, step, self._clocks)
        self._answer = Accumulator()
        self._leases = AsyncLeases()
        self._row: AsyncRow | None = None
        self._upstream: AsyncUpstream | None = None
        self._decoder: Decoder | None = None
        self._finish: list[Event] | None = None
        self._stopping = False
        self._received = 0
        self.noted_at = runtime.clock()
        self._measure_at = MAX_ANSWER

    async def open(self) -> list[Event]:
        """Send the request and return the first events: with content, or with the finish of an empty answer.

        Raises:
            LLMKitError: the attempt failed; it is closed and written down.
        """
        try:
            await self._send()
            held: list[Event] = []
            while not held:
                events = await self.read()
                if events is None:
                    break
                held += events
        except BaseException as error:
            if isinstance(error, ProviderError):
                self._record.named(error)
            await async_run_to_end(partial(self.aclose, error), self._runtime.tasks)
            raise
        return held

    async def _send(self) -> None:
        runtime, call, route = self._runtime, self._call, self._route
        asked = as_tool(call, route.provider, route.model)
        request = request_of(asked, route)
        if getattr(route.provider, "token", None) is not None:
            from llmkit._async.tokens import async_with_token  # noqa: PLC0415  # few have one

            request = await async_with_token(runtime, self._clocks, route, request)
        claims: tuple[Claim, ...] = ()
        if runtime.budgets is not None:
            claims = await runtime.budgets.aclaims(asked, route, request)
        # A worker's first call loads the HTTP library here.
        connections = runtime.connections.async_transport()
        # One that is no server brings what runs it.
        transport: AsyncTransport = getattr(route.provider, "async_transport", connections)
        await self._leases.acquire(AsyncPlace(runtime, call, route.provider.name))
        if claims and runtime.budgets is not None and runtime.budgets.redis is not None:
            await self._leases.acquire(AsyncHold(runtime, self._record, call, claims))
        if runtime.ledger is not None:
            self._row = AsyncRow(runtime.ledger, self._record, call, claims)
            await self._leases.acquire(self._row)
        await self._leases.acquire(AsyncEntry(runtime, self))
        self._clocks.sent(runtime.clock())
        connect_timeout = self._clocks.connect_limit(runtime.clock())
        exchange = transport.start(request, connect_timeout=connect_timeout, fresh=self._fresh)
        upstream = AsyncUpstream(exchange, self._clocks, call.signal, runtime.clock)
        self._upstream = upstream
        await self._leases.acquire(AsyncConnection(runtime, upstream))
        await upstream.open()
        status, headers = upstream.status, upstream.headers
        self._record.answered(status, headers)
        if not 200 <= status < 300:  # success, as HTTP counts it
            body = await self._error_body(upstream)
            raise self._refused(route.provider.error(route.model, status, headers, body), status)
        self._decoder = reader(decoder_of(asked, route, headers), call, asked, upstream.content)

    def _refused(self, error: ProviderError, status: int) -> ProviderError:
        """Say more of an error status, where there is more to say."""
        if status == 404:
            from llmkit.policy.offers import with_closest  # noqa: PLC0415  # for those who mistype

            with_closest(error, self._route)
        return error

    async def _error_body(self, upstream: AsyncUpstream) -> bytes:
        body = b""
        reason = None
        try:
            while len(body) < ERROR_BODY_LIMIT and (data := await upstream.read()):
                body += upstream.received(data)
        except Exception as error:  # noqa: BLE001
            reason = upstream.failed(error)
        if reason is not None and not isinstance(reason, ConnectionFailed):
            raise reason
        return body  # where it broke off, the status says enough

    async def read(self) -> list[Event] | None:
        """Return the events of one network read, maybe none; None when the answer is complete.

        The finish comes by itself if there is a row, or another lease that has to know: what came before does not wait for that.

        Raises:
            ProviderError: the answer broke off, with the provider's word for it.
        """
        if self._finish is not None:
            finish, self._finish = self._finish, None
            await self._leases.settle(self._ending(None))
            return finish
        decoder, upstream = self._decoder, self._upstream
        assert decoder is not None and upstream is not None  # noqa: S101, PT018  # set by open()
        if decoder.failure is not None:
            failure, decoder.failure = decoder.failure, None  # its traceback will know this attempt
            raise self._record.named(failure)
        if decoder.finished:
            return None
        try:
            data = upstream.received(await upstream.read())
            broken = None
        except Exception as error:  # noqa: BLE001
            broken = upstream.failed(error)
        if broken is not None:
            events = self._broke_off(broken, decoder)
        else:
            usual = data and self._call.streaming
            events = decoder.feed(data) if usual else self._decoded(data, decoder, upstream)
            self._received += len(data)
            if self._received > self._measure_at:
                self._measure()
        if decoder.stopping is not self._stopping:
            self._stopping = decoder.stopping
            upstream.stopping(decoder.stopping)
        if events:
            upstream.content()
            last = events[-1]
            if type(last) is Finish:
                self._answer.add(events[:-1])
                last = events[-1] = self._record.complete(last, self._answer)
                self._answer.add([last])
                if self._leases.has_to_settle:
                    return await self._finishing(events)
            else:
                self._answer.add(events)
        return events

    def _decoded(self, data: bytes, decoder: Decoder, upstream: AsyncUpstream) -> list[Event]:
        """Decode the end of a stream, or of an answer that comes whole what a read gave, with its end if it is over: nobody waits for that."""
        if not data:
            return decoder.close()
        events = decoder.feed(data)
        if not upstream.is_over or decoder.finished or decoder.failure:
            return events
        return [*events, *decoder.close()]

    async def _finishing(self, events: list[Event]) -> list[Event]:
        if len(events) > 1:
            self._finish = events[-1:]
            return events[:-1]
        await self._leases.settle(self._ending(None))
        return events

    def _measure(self) -> None:
        """See that the answer is not too long. It is never longer than its bytes, so that it is measured once in many of them."""
        assert self._decoder is not None  # noqa: S101  # it has read this much
        size = self._answer.size + held_back(self._decoder)
        if size > MAX_ANSWER:
            raise self._record.named(AnswerTooLarge(MAX_ANSWER, "characters"))
        self._measure_at = self._received + MAX_ANSWER - size

    def _broke_off(self, error: LLMKitError, decoder: Decoder) -> list[Event]:
        """Return the last events of an answer whose connection broke, or that fell silent at its end."""
        if not isinstance(error, ProviderError):
            raise error
        fell_silent = decoder.stopping and isinstance(error, ProviderTimeout)
        if not (fell_silent or isinstance(error, ConnectionFailed)):
            raise self._record.named(error)
        events = decoder.close(broken=not fell_silent)
        if decoder.failure is not None:
            decoder.failure.__cause__ = error.__cause__ or error
        return events

    def try_release(self) -> bool:
        """Let go of all that it holds, if the answer is complete and nothing has to be waited for."""
        decoder = self._decoder
        return decoder is not None and decoder.finished and self._leases.try_release()

    async def aclose(self, error: BaseException | None) -> Status:
        """Let go of all that it holds, and close the row."""
        ending = self._ending(error)
        await self._leases.aclose(ending)
        return ending.status

    def abandon(self) -> None:
        """Do what `aclose` does without waiting for it, for a stream that was dropped."""
        self._call.signal.abort()
        self._leases.abandon(self._ending(None))

    def progress(self) -> Progress | None:
        """Return what the row holds so far; None where nothing of the answer is seen before its end. May come from any thread."""
        return self._record.progress(self._decoder, self._answer) if self._call.streaming else None

    def note_open_row(self) -> None:
        """Mark the row as lost, in case this process sees no end of it; an end that comes after all still closes it."""
        if self._row is not None:
            self._row.note(Ending("lost", partial(self._closing, "lost", None)))

    def response(self) -> Response:
        """Return the answer so far, with what it cost."""
        return self._record.response(self._decoder, self._answer)

    def _ending(self, error: BaseException | None) -> Ending:
        status = status_of(error, complete=self._answer.finish is not None)
        return Ending(status, partial(self._closing, status, error))

    def _closing(self, status: Status, error: BaseException | None) -> Closing:
        self._record.sent = self._upstream is not None and self._upstream.sent
        return self._record.closing(status, error, self._decoder, self._answer)
