"""One physical attempt: its row, its place, its bytes."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from llmkit._async_concurrency import async_enter, async_home, async_run_soon, async_run_to_end
from llmkit._async_upstream import AsyncUpstream
from llmkit.errors import (
    AnswerTooLarge,
    ConnectionFailed,
    LedgerUnavailable,
    LLMKitError,
    ProviderError,
    ProviderTimeout,
)
from llmkit.events import Event, Finish
from llmkit.ledger.row import reduced
from llmkit.response import Accumulator, Response, Status, status_of

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.kit import Kit
    from llmkit.ledger.row import Closing
    from llmkit.limit import ConcurrencyLimit
    from llmkit.policy.plan import Try
    from llmkit.providers.base import Decoder

log = logging.getLogger("llmkit.stream")

# How much of an error's body is read, in bytes: enough for any provider's JSON.
ERROR_BODY_LIMIT = 64 * 1024
# How many characters of text and thinking an answer may have: 128,000 tokens are under one million. Its frames are not counted, for they are
# forty times as much.
MAX_ANSWER = 16 * 1024 * 1024


class AsyncAttempt:
    """Speaks with one provider once. Opened, then read to the end or closed; the row is closed with it."""

    def __init__(self, kit: Kit, call: Call, step: Try, deadline: float) -> None:
        self.answer = Accumulator()
        self.tasks = kit.tasks
        self._kit = kit
        self._call = call
        self._route = step.route
        self._fresh = step.fresh
        self._clocks = kit.clocks(call, deadline)
        self._record = kit.record(call, step, self._clocks)
        self._upstream: AsyncUpstream | None = None
        self._decoder: Decoder | None = None
        self._place: ConcurrencyLimit | None = None
        self._stopping = False
        self._received = 0
        self._measure_at = MAX_ANSWER
        self.has_row = False

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
            status = status_of(error, complete=False)
            await async_run_to_end(partial(self.aclose, status, error), self.tasks)
            raise
        return held

    async def _send(self) -> None:
        kit, call, route = self._kit, self._call, self._route
        request = route.provider.build_request(call, route.model)
        transport = kit.async_transport()  # a worker's first call loads the HTTP library here
        limits = kit.config.concurrency
        limit = kit.limit
        if not limit.try_enter(route.provider.name):
            await async_enter(limit, route.provider.name, limits.queue_timeout, call.signal)
        self._place = limit
        if kit.ledger is not None:
            call.trace.has_row = True  # whoever leaves meanwhile, the ledger closes the row
            await kit.ledger.abegin(self._record.opening())
            self.has_row = True
        kit.open_attempts[self] = async_home()
        self._clocks.sent(kit.clock())
        exchange = transport.start(
            request,
            connect_timeout=self._clocks.connect_limit(kit.clock()),
            fresh=self._fresh,
        )
        self._upstream = AsyncUpstream(exchange, self._clocks, call.signal, kit.clock)
        await self._upstream.open()
        status, headers = self._upstream.status, self._upstream.headers
        self._record.answered(status, headers)
        if not 200 <= status < 300:  # success, as HTTP counts it
            body = await self._error_body()
            raise route.provider.error(route.model, status, headers, body)
        self._decoder = route.provider.decoder(call, route.model, headers)

    async def _error_body(self) -> bytes:
        assert self._upstream is not None  # noqa: S101  # opened by the caller
        body = b""
        reason = None
        try:
            while len(body) < ERROR_BODY_LIMIT and (data := await self._upstream.read()):
                body += self._upstream.came(data)
        except Exception as error:  # noqa: BLE001
            reason = self._upstream.failed(error)
        if reason is not None and not isinstance(reason, ConnectionFailed):
            raise reason
        return body  # where it broke off, the status says enough

    async def read(self) -> list[Event] | None:
        """Return the events of one network read, maybe none; None when the answer is complete.

        Raises:
            ProviderError: the answer broke off, with the provider's word for it.
        """
        decoder, upstream = self._decoder, self._upstream
        assert decoder is not None and upstream is not None  # noqa: S101, PT018  # set by open()
        if decoder.failure is not None:
            failure, decoder.failure = decoder.failure, None  # its traceback will know this attempt
            raise self._record.named(failure)
        if decoder.finished:
            return None
        try:
            data = upstream.came(await upstream.read())
            broken = None
        except Exception as error:  # noqa: BLE001
            broken = upstream.failed(error)
        if broken is not None:
            events = self._broke_off(broken, decoder)
        else:
            events = decoder.feed(data) if data else decoder.close()
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
                self.answer.add(events[:-1])
                last = events[-1] = self._record.complete(last, self.answer)
                self.answer.add([last])
            else:
                self.answer.add(events)
        return events

    def _measure(self) -> None:
        """See that the answer is not too long. It is never longer than its bytes, so that it is measured once in many of them."""
        size = self.answer.size
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

    async def settle(self, status: Status, error: BaseException | None) -> None:
        """Close the row. It is in the writer's hands before anything is waited for."""
        self._kit.open_attempts.pop(self, None)
        if not self.has_row or self._kit.ledger is None:
            return
        self.has_row = False
        try:
            await self._kit.ledger.afinish(self._closing(status, error))
        except LedgerUnavailable as unavailable:
            log.warning("a row is not closed yet: %s", unavailable)

    def let_go(self) -> bool:
        """Do what `aclose` does, if the answer is complete and nothing has to be waited for."""
        upstream, decoder = self._upstream, self._decoder
        if self.has_row or upstream is None or decoder is None or not decoder.finished:
            return False
        if not upstream.let_go():
            return False
        self._kit.open_attempts.pop(self, None)
        self._leave()
        return True

    async def aclose(self, status: Status, error: BaseException | None) -> None:
        """Let the connection and the place go, and close the row."""
        complete = self._decoder is not None and self._decoder.finished
        try:
            if self._upstream is not None and status == "cancelled":
                self._upstream.abort()  # before anything is waited for, so that the provider stops at once
            await self.settle(status, error)
        finally:
            try:
                if self._upstream is not None:
                    await self._upstream.aclose(drain=complete)
            finally:
                self._leave()

    def forsake(self) -> None:
        """Do what `aclose` does without waiting for it, for a stream that was dropped."""
        self._call.signal.abort()
        home = self._kit.open_attempts.pop(self, None)
        try:
            if home is not None and self._upstream is not None:
                async_run_soon(home, partial(self._upstream.aclose, drain=False), self.tasks)
        finally:
            self._leave()
            if self.has_row and self._kit.ledger is not None:
                self.has_row = False
                status = status_of(None, complete=self.answer.finish is not None)
                self._kit.ledger.finish_soon(self._closing(status, None))

    def note_open_row(self) -> None:
        """Mark the row as lost, in case this process sees no end of it; an end that comes after all still closes it."""
        if self.has_row and self._kit.ledger is not None:
            self._kit.ledger.finish_soon(self._closing("lost", None))

    def _closing(self, status: Status, error: BaseException | None) -> Closing:
        self._record.sent = self._upstream is not None and self._upstream.sent
        try:
            return self._record.closing(status, error, self._decoder, self.answer)
        except Exception:
            # What a provider of the app's own says of its answer may be anything; its row is closed all the same.
            log.exception("a row was closed without its token counts and cost")
            return reduced(self._record.closing(status, error, None, Accumulator()))

    def _leave(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            place.leave(self._route.provider.name)

    def response(self) -> Response:
        """Return the answer so far, with what it cost."""
        return self._record.response(self._decoder, self.answer)
