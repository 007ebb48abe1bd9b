"""One of those who ask the same at the same time."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from llmkit._async.flight import AsyncFlight
from llmkit._async.source import AsyncSource
from llmkit.concurrency.abort import AbortSignal
from llmkit.concurrency.tasks import async_run_apart, async_run_soon
from llmkit.concurrency.threads import closed
from llmkit.errors import LedgerUnavailable, ProviderError
from llmkit.errors.again import again
from llmkit.events import Finish
from llmkit.ledger.row import status_of
from llmkit.response import Accumulator, Response, Status
from llmkit.usage import Usage

if TYPE_CHECKING:
    from llmkit.cache.flights import FlightKey
    from llmkit.call import Call
    from llmkit.errors import BudgetExceeded
    from llmkit.events import Event
    from llmkit.runtime import Runtime

log = logging.getLogger("llmkit.cache")


class AsyncFollower(AsyncSource):
    """Says what a flight says, from its beginning.

    Args:
        runtime: whose flights they are.
        call: who asks.
        key: what is asked.
        make: makes the call, if nobody else asks the same now.

    Attributes:
        call: who asks.
        flight: what it follows.
        refused: why its budget did not let it make the call.
        leads: whether the flight is of this call: its attempts, its budgets, its cost. The others have a row that says that they share it.
    """

    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        key: FlightKey,
        make: Callable[[AsyncFlight, Call], Awaitable[None]],
    ) -> None:
        self._runtime = runtime
        self.call = call
        self._answer = Accumulator()
        self._at = 0
        self._known: Response | None = None
        self._has_row = False
        self._began_at: datetime = runtime.now()
        self._began = runtime.clock()
        self._first: float | None = None
        self.refused: BudgetExceeded | None = None
        new = partial(AsyncFlight, runtime, key, make)
        self.flight, self.leads = runtime.flights.join(key, self, new)

    async def open(self) -> bool:
        """Wait for the first content, or for an answer that is kept; False if there is none, and somebody has to ask anew.

        Raises:
            ProviderError: the flight has failed.
            StreamClosed: this call, or all of the flight, was aborted.
        """
        flight = self.flight
        await flight.bell.wait(
            lambda: flight.said or flight.is_over or self.refused, self.call.signal
        )
        self._check()
        if flight.error is not None and not flight.said:
            raise self._failure(flight.error)
        return bool(flight.said) or flight.kept is not None

    async def read(self) -> list[Event] | None:
        """Return what was said meanwhile; None when the answer is complete.

        Raises:
            ProviderError: the answer broke off.
            StreamClosed: this call, or all of the flight, was aborted.
        """
        if self._answer.finish is not None:
            return None
        flight = self.flight
        await flight.bell.wait(
            lambda: len(flight.said) > self._at or flight.is_over or self.refused,
            self.call.signal,
        )
        self._check()
        events = flight.said[self._at :]
        if not events:
            raise self._failure(flight.error or closed())
        if self._first is None:
            self._first = self._runtime.clock()
        self._at += len(events)
        self._answer.add(events)
        if type(events[-1]) is Finish:
            await self._record(None)
        return events

    async def aclose(self, error: BaseException | None) -> Status:
        """Leave the flight. Who was the last one waits until it is stopped, or goes on for others; who has the whole answer, until that is kept."""
        self.leave()
        flight = self.flight
        if self._answer.finish is not None:
            await flight.bell.wait(lambda: flight.is_over, AbortSignal())
        else:
            await flight.bell.wait(lambda: flight.is_settled, AbortSignal())
        await self._record(error)
        return self._status(error)

    def try_release(self) -> bool:
        """Leave the flight, if it has ended and the row is written."""
        if not (self.flight.is_over and self._answer.finish is not None and self._is_recorded):
            return False
        self.leave()
        return True

    def abandon(self) -> None:
        """Leave the flight without waiting for anything."""
        self.leave()
        if not self._is_recorded:
            async_run_soon(self.flight.key.owner, self._record_apart, self._runtime.tasks)

    def response(self) -> Response:
        """Return the answer so far; a follower has paid nothing for it."""
        known = self._known or self.flight.response or _UNKNOWN
        return self._answer.response(
            usage=known.usage,
            cost=known.cost if self.leads else Decimal(0),
            provider=known.provider,
            model=known.model,
            request_id=known.request_id,
            rate_limits=known.rate_limits,
            call_id=self.call.call_id,
            shared=not self.leads,
        )

    def leave(self) -> None:
        """Leave the flight. Its row is not written here."""
        self._known = self._known or self.flight.response  # what comes later is not its
        if self.leads and self.flight.goes_on_without(self):
            self.call.trace.is_left = True
        self._runtime.flights.leave(self.flight.key, self.flight, self)

    def _check(self) -> None:
        if self.refused is not None:
            raise self.refused
        if self.call.signal.aborted:
            raise closed()

    def _failure(self, error: Exception) -> Exception:
        return error if self.leads else again(error)

    def _status(self, error: BaseException | None) -> Status:
        status = status_of(error, complete=self._answer.finish is not None)
        return "shared" if status == "finished" and not self.leads else status

    @property
    def _is_recorded(self) -> bool:
        if self._runtime.ledger is None or self._has_row:
            return True
        return self.leads and self.call.trace.has_row

    async def _record(self, error: BaseException | None) -> None:
        """Write the row of a follower, once."""
        ledger = self._runtime.ledger
        if self._is_recorded or ledger is None:
            return
        if self._at == 0 and not isinstance(error, ProviderError):
            return  # the call has come to nothing, and is recorded as such
        self._has_row = self.call.trace.has_row = True
        known = self._known or self.flight.response
        row = self._runtime.given(
            self.call,
            self._answer,
            self._status(error),
            provider=known.provider if known else getattr(error, "provider", None),
            model=known.model if known else getattr(error, "model", None),
            saved=known.cost if known and self._answer.finish is not None else None,
            began=self._began_at,
            first_content_at=None if self._first is None else self._date(self._first),
            ended=self._date(self._runtime.clock()),
            error=error,
        )
        try:
            await ledger.arecord(*row)
        except (
            LedgerUnavailable
        ) as unavailable:  # the answer is there, and is not lost because of it
            log.warning("a call that has shared an answer has no row: %s", unavailable)

    async def _record_apart(self) -> None:
        async_run_apart(
            partial(self._record, None), _ignore, self._runtime.tasks, self._runtime.host
        )

    def _date(self, moment: float) -> datetime:
        return self._began_at + timedelta(seconds=moment - self._began)


# Of a call that another process makes nothing more is known before its end.
_UNKNOWN = Accumulator().response(
    usage=Usage(), cost=None, provider=None, model=None, request_id=None, call_id=""
)


def _ignore(error: BaseException | None) -> None:
    """Take no note of how it ended."""
