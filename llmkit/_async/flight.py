"""One call for all that ask the same at the same time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING

from llmkit.concurrency.abort import AbortSignal
from llmkit.concurrency.tasks import AsyncBell, AsyncPulse, async_run_apart, async_run_soon
from llmkit.concurrency.threads import closed
from llmkit.errors import BudgetExceeded
from llmkit.errors.again import again
from llmkit.events import Finish, Reset
from llmkit.response import Accumulator, Response
from llmkit.tracebacks import forget_locals

if TYPE_CHECKING:
    from llmkit._async.stream import AsyncStream
    from llmkit.cache.entry import Kept
    from llmkit.cache.exchange import Share
    from llmkit.cache.flights import FlightKey, Listener
    from llmkit.cache.told import Known
    from llmkit.call import Call
    from llmkit.events import Event
    from llmkit.runtime import Runtime


class AsyncFlight:
    """A call that several follow. It is read as fast as its provider sends, whoever of them reads how fast.

    Args:
        runtime: whose flights they are.
        key: what is asked.
        make: makes the call for one of those who ask, and reads its answer.

    Attributes:
        key: what is asked.
        followers: who wants its answer.
        signal: stops it.
        bell: rings when there is more of it.
        pulse: says whether it goes on.
        payer: whose call it is.
        kept: its answer, if one was kept.
        keeps: whether its answer may be kept: the store has served a moment ago.
        share: the part of this process, if other processes share it.
        said: what was said so far.
        is_over: whether nothing comes any more.
        error: why, if the answer is not complete; None also where nobody was asked for it.
    """

    def __init__(
        self,
        runtime: Runtime,
        key: FlightKey,
        make: Callable[[AsyncFlight, Call], Awaitable[None]],
    ) -> None:
        self._runtime = runtime
        self.key = key
        self._make = make
        self._context = copy_context()
        self.followers: set[Listener] = set()
        self.signal = AbortSignal()
        self.bell = AsyncBell()
        self.pulse = AsyncPulse()
        self.payer: Listener | None = None
        self.kept: Kept | None = None
        self.keeps = True
        self.share: Share | None = None
        self.said: list[Event] = []
        self.is_over = False
        self.error: Exception | None = None
        self._stream: AsyncStream | None = None
        self._whole: Response | None = None

    @property
    def response(self) -> Response | None:
        """The answer so far, as its provider is paid for it; None if nothing is known of it."""
        return self._whole or (None if self._stream is None else self._stream.response)

    @property
    def is_followed(self) -> bool:
        """Whether anybody in this process wants it."""
        return bool(self.followers)

    @property
    def may_be_wanted(self) -> bool:
        """Whether another process may want it."""
        share = self.share
        return share is not None and share.leads and not share.is_lost and not self.is_over

    @property
    def is_settled(self) -> bool:
        """Whether it is known what becomes of it: it has ended, or goes on for others, here or in another process."""
        if self.is_over or self.followers:
            return True
        return self.share is not None and self.share.goes_on and not self.signal.aborted

    def goes_on_without(self, follower: Listener) -> bool:
        """Whether it goes on when this one leaves, as far as that is known."""
        if self.is_over or self.signal.aborted:
            return False
        return self.followers != {follower} or self.may_be_wanted

    def begin(self, payer: Listener) -> None:
        """Make the call of one of those who ask."""
        payer.leads, self.payer = True, payer
        work = partial(self._made_for, payer.call)
        async_run_apart(work, self.end, self._runtime.tasks, self._runtime.host)

    async def _made_for(self, call: Call) -> None:
        await self._make(self, call)

    def begin_soon(self) -> None:
        """Make the call for whoever asks, and pays for it. May come from any thread."""
        begin = partial(async_run_soon, self.key.owner, self._begin_for_one, self._runtime.tasks)
        self._context.copy().run(begin)

    async def _begin_for_one(self) -> None:
        payer = self._next()
        if payer is None:
            self.end()
            return
        try:
            self._context.copy().run(self.begin, payer)
        except Exception as error:  # noqa: BLE001  # whoever waits is told, such as that no thread can be started
            self.end(error)

    def _next(self) -> Listener | None:
        return next((each for each in list(self.followers) if each.refused is None), None)

    def refuse(self, error: BudgetExceeded) -> Call | None:
        """Tell whoever the call is of that their budget has no room for it, and nobody else; return the call of another one who wants it."""
        if self.payer is not None:
            self.payer.refused = again(error)  # whose traceback knows what goes on for the next one
        self.bell.ring()
        self.payer = self._next()
        if self.payer is None:
            return None
        self.payer.leads = True
        return self.payer.call

    async def read(self, stream: AsyncStream) -> None:
        """Read an answer to its end, for all."""
        stream.leave_output()  # each follower reads it as what it has asked for
        self._stream = stream
        async with stream:
            while (events := await stream.read()) is not None:
                if events:
                    if type(events[-1]) is Finish:
                        self._whole = stream.response
                    self.hear(events)

    def hear(self, events: Sequence[Event], known: Known | None = None) -> None:
        """Take in what was said, and what is known of the whole, if it was said in another process. May come from any thread."""
        if known is not None:
            self._whole = Accumulator().response(
                usage=known.usage,
                cost=known.cost,
                provider=known.provider,
                model=known.model,
                request_id=known.request_id,
                call_id="",
            )
        self.said += events
        self.bell.ring()

    def reset(self) -> None:
        """Say that what was said so far is to be forgotten, if anything was. May come from any thread."""
        if self.said:
            self.hear([Reset()])

    def stop(self) -> None:
        """Stop it, if nobody in this process follows it. May come from any thread."""
        self._runtime.flights.stop(self.key, self)

    def abandon(self) -> None:
        """Stop it, and let all leave: their loop ends."""
        self.signal.abort()
        if self.payer is None:  # it is made elsewhere
            self.end(closed())
        for follower in list(self.followers):
            follower.abandon()

    def end(self, error: BaseException | None = None) -> None:
        """Take note that nothing comes any more. May come from any thread."""
        if error is not None:
            forget_locals(error)
        self._runtime.flights.remove(self.key, self)
        if isinstance(error, BudgetExceeded):
            error = None  # whose it is has been told; whoever has come since then asks anew
        # Who was interrupted is the task, or the thread, that has read it: nobody of those who wait.
        self.error = error if error is None or isinstance(error, Exception) else closed()
        self.is_over = True
        self.bell.ring()
