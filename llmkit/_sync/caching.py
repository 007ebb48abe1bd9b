# Generated from llmkit/_async/caching.py. Do not edit.
"""The step of a call that asks for kept answers."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from llmkit._sync.follower import Follower
from llmkit._sync.source import Source
from llmkit._sync.stream import Stream
from llmkit.cache.exchange import Share
from llmkit.cache.flights import FlightKey
from llmkit.concurrency.threads import (
    may_run_apart,
    owner,
    run_soon,
    run_to_end,
)
from llmkit.concurrency.threads import closed
from llmkit.errors import BudgetExceeded
from llmkit.response import Accumulator

if TYPE_CHECKING:
    from llmkit._sync.flight import Flight
    from llmkit.cache.answers import Answers, Question
    from llmkit.cache.entry import Kept
    from llmkit.call import Call
    from llmkit.events import Event
    from llmkit.middleware import CallNext
    from llmkit.response import Outcome, Response, Status
    from llmkit.runtime import Runtime


class Caching:
    """Gives an answer that is kept, or passes the call on and keeps its answer. Of those who ask the same at the same time, one is passed on.

    Args:
        runtime: whose calls they are.
        cache: what keeps answers.
        call_next: makes the attempts.
    """

    def __init__(self, runtime: Runtime, cache: Answers, call_next: CallNext) -> None:
        self._runtime = runtime
        self._cache = cache
        self._call_next = call_next
        ledger = runtime.config.ledger
        # What is written over a connection of the app's is written in its own thread.
        self._may_share = ledger is False or ledger.connection != "host"

    def __call__(self, call: Call) -> Stream:
        """Answer the call.

        Raises:
            LedgerUnavailable: there is an answer, and its row could not be written.
            LLMKitError: what the attempts raise.
        """
        question = self._cache.question(call)
        if question is None:
            return self._call_next(call)
        if self._may_share and may_run_apart(self._runtime.host):
            return self._shared(question, call)
        looked = self._cache.look(question, "")
        if looked.kept is not None:
            return self._again(call, looked.kept)
        return (self._made(question, call) if looked.serves else self._call_next(call))

    def _shared(self, question: Question, call: Call) -> Stream:
        """Follow the call of whoever asks the same now, or let others follow this one."""
        key = FlightKey(question, call.streaming, owner())
        while True:
            follower = Follower(self._runtime, call, key, self._fly)
            flight = follower.flight
            try:
                if follower.leads:
                    self._begin(follower)
                is_answered = follower.open()
                first = follower.read() if flight.said else None
            except BaseException as error:
                run_to_end(partial(follower.close, error), self._runtime.tasks)
                raise
            if first is not None:
                return Stream(call, follower, first)
            follower.leave()
            if is_answered and flight.kept is not None:
                return self._again(call, flight.kept)

    def _begin(self, follower: Follower) -> None:
        """Look whether an answer is kept, or on its way in another process; ask for one if it is not."""
        flight, cache = follower.flight, self._cache
        question, token = flight.key.question, self._runtime.new_id()
        try:
            looked = cache.look(question, token)
            flight.kept, flight.keeps = looked.kept, looked.serves
            if looked.kept is None and looked.token and cache.exchange is not None:
                follower.leads = looked.leads
                flight.share = Share(flight, question.key, looked.token, leads=looked.leads)
                if not looked.leads:
                    # What the loop has of it tells that it ends, and with it this flight.
                    self._runtime.connections.transport()
                cache.exchange.add(flight.share)
            if looked.kept is None and looked.leads:
                flight.begin(follower)
        except BaseException:
            flight.end()  # another one asks anew
            if cache.exchange is not None:  # in other processes, too
                give_up = partial(cache.give_up, question, token)
                run_soon(flight.key.owner, give_up, self._runtime.tasks)
            raise
        if looked.kept is not None:
            flight.end()

    def _fly(self, flight: Flight, call: Call) -> None:
        """Make the call of a flight, and read its answer; tell other processes of its end, if they share it."""
        question, share = flight.key.question, flight.share
        while True:
            try:
                mine = replace(call, signal=flight.signal)
                if share is None and flight.keeps:
                    stream = self._made(question, mine)
                else:
                    stream = self._call_next(mine)
                flight.read(stream)
            except BudgetExceeded as error:
                following = flight.refuse(error)
                if following is not None:
                    call = following
                    continue
                self._end(flight, call, error)
                raise
            except BaseException as error:
                self._end(flight, call, error)
                raise
            if share is not None:
                self._cache.end(share, question, call, stream.response)
            return

    def _end(self, flight: Flight, call: Call, error: BaseException) -> None:
        """Tell other processes of a failure, and see to the row of whoever has left the call to others before it had one."""
        if flight.share is not None:
            self._cache.end(flight.share, flight.key.question, call, error)
        ledger, trace = self._runtime.ledger, call.trace
        if trace.is_left and not trace.has_row and ledger is not None:
            trace.has_row = True
            ledger.record(*self._runtime.unmade(call, error))

    def _made(self, question: Question, call: Call) -> Stream:
        """Make the call, and keep its answer."""
        stream = self._call_next(call)
        stream.finalise(_Keeping(self._cache, question, call))
        return stream

    def _again(self, call: Call, kept: Kept) -> Stream:
        """Give an answer that is kept, when it is written down that it was."""
        call.trace.has_row = True
        if self._runtime.ledger is not None:
            answer, now = Accumulator(), self._runtime.now()
            answer.add(kept.events())
            row = self._runtime.given(
                call,
                answer,
                "cached",
                provider=kept.provider,
                model=kept.model,
                saved=kept.cost,
                began=now,
                first_content_at=now,
                ended=now,
            )
            self._runtime.ledger.record(*row)
        return Stream(call, Replay(call, kept), [])


class _Keeping:
    """Keeps the answer of a stream when it has ended as it should."""

    def __init__(self, cache: Answers, question: Question, call: Call) -> None:
        self._cache = cache
        self._question = question
        self._call = call

    def __call__(self, outcome: Outcome) -> None:
        if outcome.status == "finished":
            self._cache.keep(self._question, self._call, outcome.response)


class Replay(Source):
    """Says an answer that is kept once more. Its row is written.

    Args:
        call: the call.
        kept: the answer.
    """

    def __init__(self, call: Call, kept: Kept) -> None:
        self._call = call
        self._kept = kept
        self._answer = Accumulator()

    def read(self) -> list[Event] | None:
        """Return all that was said; None after it.

        Raises:
            StreamClosed: the call was aborted.
        """
        if self._answer.finish is not None:
            return None
        if self._call.signal.aborted:
            raise closed()
        events = self._kept.events()
        self._answer.add(events)
        return events

    def close(self, error: BaseException | None) -> Status:
        """Let go of nothing."""
        return "cached"

    def try_release(self) -> bool:
        """Let go of nothing."""
        return True

    def response(self) -> Response:
        """Return the answer, which has cost nothing this time."""
        kept, answer = self._kept, self._answer
        return answer.response(
            usage=kept.usage,
            cost=Decimal(0),
            provider=kept.provider,
            model=kept.model,
            request_id=kept.request_id,
            call_id=self._call.call_id,
            cached=True,
        )
