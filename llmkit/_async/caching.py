"""The step of a call that asks for kept answers."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from llmkit._async.source import AsyncSource
from llmkit._async.stream import AsyncStream
from llmkit.errors import InvalidRequest, StreamClosed
from llmkit.response import Accumulator

if TYPE_CHECKING:
    from llmkit.cache.cache import Question, ResponseCache
    from llmkit.cache.entry import Kept
    from llmkit.call import Call
    from llmkit.events import Event
    from llmkit.middleware import AsyncCallNext
    from llmkit.response import Outcome, Response, Status
    from llmkit.runtime import Runtime


class AsyncCaching:
    """Gives an answer that is kept, or passes the call on and keeps its answer.

    Args:
        runtime: whose cache is asked, if there is one.
        call_next: makes the attempts.
    """

    def __init__(self, runtime: Runtime, call_next: AsyncCallNext) -> None:
        self._runtime = runtime
        self._call_next = call_next

    async def __call__(self, call: Call) -> AsyncStream:
        """Answer the call.

        Raises:
            InvalidRequest: its answer is to be kept, and there is no cache.
            LedgerUnavailable: there is an answer, and its row could not be written.
            LLMKitError: what the attempts raise.
        """
        cache = self._runtime.cache
        if cache is None:
            if call.cache:
                raise InvalidRequest(
                    "the call is to be cached, and there is no cache",
                    hint='Add "cache": {} to the settings, or leave cache out of the call.',
                )
            return await self._call_next(call)
        question = cache.question(call)
        if question is None:
            return await self._call_next(call)
        kept = await cache.afind(question)
        if kept is not None:
            await self._record(call, kept)
            return AsyncStream(call, AsyncReplay(call, kept), [])
        stream = await self._call_next(call)
        stream.finalise(_AsyncKeeping(cache, question, call))
        return stream

    async def _record(self, call: Call, kept: Kept) -> None:
        call.trace.has_row = True
        ledger = self._runtime.ledger
        if ledger is None:
            return
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
        await ledger.arecord(*row)


class _AsyncKeeping:
    """Keeps the answer of a stream when it has ended as it should."""

    def __init__(self, cache: ResponseCache, question: Question, call: Call) -> None:
        self._cache = cache
        self._question = question
        self._call = call

    async def __call__(self, outcome: Outcome) -> None:
        if outcome.status == "finished":
            await self._cache.akeep(self._question, self._call, outcome.response)


class AsyncReplay(AsyncSource):
    """Says an answer that is kept once more. Its row is written.

    Args:
        call: the call.
        kept: the answer.
    """

    def __init__(self, call: Call, kept: Kept) -> None:
        self._call = call
        self._kept = kept
        self._answer = Accumulator()

    async def read(self) -> list[Event] | None:
        """Return all that was said; None after it.

        Raises:
            StreamClosed: the call was aborted.
        """
        if self._answer.finish is not None:
            return None
        if self._call.signal.aborted:
            raise StreamClosed("the call was stopped")
        events = self._kept.events()
        self._answer.add(events)
        return events

    async def aclose(self, error: BaseException | None) -> Status:
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
