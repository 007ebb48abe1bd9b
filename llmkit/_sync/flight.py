# Generated from llmkit/_async/flight.py. Do not edit.
"""One call for all that ask the same at the same time, and each of those."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from llmkit._sync.source import Source
from llmkit.concurrency.abort import AbortSignal
from llmkit.concurrency.threads import Bell, run_apart, run_soon
from llmkit.concurrency.threads import closed
from llmkit.errors import LedgerUnavailable, ProviderError
from llmkit.errors.again import again
from llmkit.events import Finish
from llmkit.ledger.row import status_of
from llmkit.response import Accumulator, Response, Status
from llmkit.tracebacks import forget_locals

if TYPE_CHECKING:
    from llmkit._sync.stream import Stream
    from llmkit.cache.entry import Kept
    from llmkit.cache.flights import FlightKey, Flights, Listener
    from llmkit.call import Call
    from llmkit.events import Event
    from llmkit.runtime import Runtime

log = logging.getLogger("llmkit.cache")


class Flight:
    """A call that several follow. It is read as fast as its provider sends, whoever of them reads how fast.

    Attributes:
        followers: who wants its answer.
        signal: stops it.
        bell: rings when there is more of it.
        kept: its answer, if one was kept.
        stream: its answer while it arrives.
        said: what was said so far.
        is_over: whether nothing comes any more.
        error: why, if the answer is not complete; None also where nobody was asked for it.
    """

    def __init__(self) -> None:
        self.followers: set[Listener] = set()
        self.signal = AbortSignal()
        self.bell = Bell()
        self.kept: Kept | None = None
        self.stream: Stream | None = None
        self.said: list[Event] = []
        self.is_over = False
        self.error: Exception | None = None
        self._whole: Response | None = None

    @property
    def response(self) -> Response | None:
        """The answer so far, as its provider is paid for it; None before it has said anything."""
        return self._whole or (None if self.stream is None else self.stream.response)

    def read(self, stream: Stream) -> None:
        """Read an answer to its end, for all."""
        stream.leave_output()  # each follower reads it as what it has asked for
        self.stream = stream
        with stream:
            while (events := stream.read()) is not None:
                if events:
                    if type(events[-1]) is Finish:
                        self._whole = stream.response
                    self.said += events
                    self.bell.ring()

    def end(self, error: BaseException | None = None) -> None:
        """Take note that nothing comes any more."""
        if error is not None:
            forget_locals(error)
        # Who was interrupted is the task, or the thread, that has read it: nobody of those who wait.
        self.error = error if error is None or isinstance(error, Exception) else closed()
        self.is_over = True
        self.bell.ring()


class Follower(Source):
    """Says what a flight says, from its beginning.

    Args:
        runtime: whose flights they are.
        call: who asks.
        key: what is asked.

    Attributes:
        leads: whether the flight is of this call: its attempts, its budgets, its cost. The others have a row that says that they share it.
    """

    def __init__(self, runtime: Runtime, call: Call, key: FlightKey) -> None:
        self._runtime = runtime
        self._flights: Flights = runtime.flights
        self._call = call
        self._key = key
        self._answer = Accumulator()
        self._at = 0
        self._known: Response | None = None
        self._has_row = False
        self._began_at: datetime = runtime.now()
        self._began = runtime.clock()
        self._first: float | None = None
        self._flight, self.leads = self._flights.join(key, self, Flight)

    @property
    def flight(self) -> Flight:
        """What it follows."""
        return self._flight

    def open(self) -> bool:
        """Wait for the first content, or for an answer that is kept; False if there is none, and somebody has to ask anew.

        Raises:
            ProviderError: the flight has failed.
            StreamClosed: this call, or all of the flight, was aborted.
        """
        flight = self._flight
        flight.bell.wait(lambda: flight.said or flight.is_over, self._call.signal)
        if self._call.signal.aborted:
            raise closed()
        if flight.error is not None and not flight.said:
            raise flight.error if self.leads else again(flight.error)
        return bool(flight.said) or flight.kept is not None

    def read(self) -> list[Event] | None:
        """Return what was said meanwhile; None when the answer is complete.

        Raises:
            ProviderError: the answer broke off.
            StreamClosed: this call, or all of the flight, was aborted.
        """
        flight = self._flight
        flight.bell.wait(
            lambda: len(flight.said) > self._at or flight.is_over, self._call.signal
        )
        if self._call.signal.aborted:
            raise closed()
        events = flight.said[self._at :]
        if not events:
            if flight.error is None or self._answer.finish is not None:
                return None
            raise flight.error if self.leads else again(flight.error)
        if self._first is None:
            self._first = self._runtime.clock()
        self._at += len(events)
        self._answer.add(events)
        if type(events[-1]) is Finish:
            self._record(None)
        return events

    def close(self, error: BaseException | None) -> Status:
        """Leave the flight. The last one waits until it has ended, and who has its whole answer until that is kept."""
        self._leave()
        if not self._flight.followers or self._answer.finish is not None:
            self._flight.bell.wait(lambda: self._flight.is_over, AbortSignal())
        self._record(error)
        return self._status(error)

    def try_release(self) -> bool:
        """Leave the flight, if it has ended and the row is written."""
        if not (self._flight.is_over and self._answer.finish is not None and self._is_recorded):
            return False
        self._leave()
        return True

    def abandon(self) -> None:
        """Leave the flight without waiting for anything."""
        self._leave()
        if not self._is_recorded:
            run_soon(self._key.owner, self._record_apart, self._runtime.tasks)

    def leave(self) -> None:
        """Leave the flight before anything was said."""
        self._leave()

    def response(self) -> Response:
        """Return the answer so far; a follower has paid nothing for it."""
        known = self._known or self._flight.response
        assert known is not None  # noqa: S101  # it has said something
        return self._answer.response(
            usage=known.usage,
            cost=known.cost if self.leads else Decimal(0),
            provider=known.provider,
            model=known.model,
            request_id=known.request_id,
            rate_limits=known.rate_limits,
            call_id=self._call.call_id,
            shared=not self.leads,
        )

    def _leave(self) -> None:
        self._known = self._known or self._flight.response  # what comes later is not its
        self._flights.leave(self._key, self._flight, self)

    def _status(self, error: BaseException | None) -> Status:
        status = status_of(error, complete=self._answer.finish is not None)
        return "shared" if status == "finished" and not self.leads else status

    @property
    def _is_recorded(self) -> bool:
        return self.leads or self._has_row or self._runtime.ledger is None

    def _record(self, error: BaseException | None) -> None:
        """Write the row of a follower, once."""
        ledger = self._runtime.ledger
        if self._is_recorded or ledger is None:
            return
        if self._at == 0 and not isinstance(error, ProviderError):
            return  # the call has come to nothing, and is recorded as such
        self._has_row = self._call.trace.has_row = True
        known = self._known or self._flight.response
        row = self._runtime.given(
            self._call,
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
            ledger.record(*row)
        except (
            LedgerUnavailable
        ) as unavailable:  # the answer is there, and is not lost because of it
            log.warning("a call that has shared an answer has no row: %s", unavailable)

    def _record_apart(self) -> None:
        run_apart(
            partial(self._record, None), _ignore, self._runtime.tasks, self._runtime.host
        )

    def _date(self, moment: float) -> datetime:
        return self._began_at + timedelta(seconds=moment - self._began)


def _ignore(error: BaseException | None) -> None:
    """Take no note of how it ended."""
