"""The runtime: what a process has one of, such as connections, places, the ledger and the attempts that are open."""

from __future__ import annotations

import os
import random
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self, TypedDict

from llmkit.budget.budgets import Budgets
from llmkit.cache.flights import Flights
from llmkit.cache.made import cache_of
from llmkit.concurrency import sigterm
from llmkit.concurrency.host_threads import FromAsync, Host, in_any_thread, never
from llmkit.concurrency.limit import ConcurrencyLimit
from llmkit.config import Config
from llmkit.config.functions import REDACT, WARNING, function_at
from llmkit.config.tools import tools_at
from llmkit.errors import InvalidRequest
from llmkit.ids import new_id
from llmkit.ledger.content import Contents
from llmkit.ledger.own import open_own
from llmkit.ledger.record import AttemptRecord
from llmkit.ledger.unattempted import given, unmade
from llmkit.ledger.worker import WorkerName
from llmkit.open_attempts import OpenAttempts
from llmkit.policy.backoff import RetryPolicy
from llmkit.policy.clocks import Clocks, Timeouts
from llmkit.policy.plan import Plan, Try
from llmkit.policy.pricing import Prices
from llmkit.policy.routes import Routes
from llmkit.providers.base import Provider
from llmkit.redis.opened import room_of
from llmkit.transport.connections import Connections

if TYPE_CHECKING:
    import asyncio

    import httpx

    from llmkit.budget.warnings import BudgetWarning
    from llmkit.cache.base import CacheStore
    from llmkit.call import Call
    from llmkit.ledger.base import Ledger
    from llmkit.ledger.row import Closing, Opening
    from llmkit.response import Accumulator, Status


class HasRuntime(Protocol):
    """What a client takes: the kit of an app."""

    @property
    def runtime(self) -> Runtime:
        """What the client uses."""


class RuntimeOptions(TypedDict, total=False):
    """What a runtime may be given, beside the settings; `Kit` says what they are."""

    providers: Sequence[Provider]
    middleware: Sequence[object]
    ledger: Ledger | None
    http_client: httpx.Client | None
    async_http_client: httpx.AsyncClient | None
    clock: Callable[[], float]
    now: Callable[[], datetime]
    chance: Callable[[], float]
    new_id: Callable[[], str]
    from_async: FromAsync
    on_budget_warning: Callable[[BudgetWarning], object] | None
    within: Callable[[], AbstractContextManager[object]]
    at_once: Callable[[], bool]
    host_cache: CacheStore | None


class Runtime:
    """Holds what a process has one of. The drivers see it, and nothing above it."""

    def __init__(
        self,
        config: Mapping[str, Any] | Config,
        *,
        providers: Sequence[Provider] = (),
        middleware: Sequence[object] = (),
        ledger: Ledger | None = None,
        http_client: httpx.Client | None = None,
        async_http_client: httpx.AsyncClient | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
        new_id: Callable[[], str] = new_id,
        from_async: FromAsync = in_any_thread,
        on_budget_warning: Callable[[BudgetWarning], object] | None = None,
        within: Callable[[], AbstractContextManager[object]] = nullcontext,
        at_once: Callable[[], bool] = never,
        host_cache: CacheStore | None = None,
    ) -> None:
        self.config = Config.of(config)
        self.clock = clock
        self.now = now
        self.new_id = new_id
        self.host = Host(from_async, within, at_once)
        self.middleware = tuple(middleware)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.open_attempts = OpenAttempts(clock)
        self.flights = Flights()
        self.routes = Routes(self.config, providers)
        self.prices = Prices(self.routes.prices())
        self.prices.preload()
        self._chance = chance
        self._retry = RetryPolicy(**self.config.retry.model_dump())
        timeouts = self.config.timeouts
        self._stream_timeouts = Timeouts(**timeouts.model_dump())
        self._call_timeouts = Timeouts(
            connect=timeouts.connect, first_content=None, idle=None, total=timeouts.total
        )
        self._contents = _contents(self.config)
        self.relay_tools = tools_at(self.config.relay.tools, "relay.tools")
        self._limits: dict[int, ConcurrencyLimit] = {}
        self.ledger = (
            ledger if ledger is not None else open_own(self.config, worker=WorkerName(new_id))
        )
        given = (self.config.on_budget_warning, on_budget_warning)
        named = [function_at(each, "on_budget_warning", WARNING) for each in given]
        hooks = [hook for hook in named if hook is not None]
        # Budgets and the cache have one Redis, and one memory of its failures.
        self.room = room_of(self.config)
        self.budgets = self._budgets(hooks)
        self.cache = cache_of(
            self.config,
            self.room,
            host_cache,
            routes=self.routes.of,
            now=lambda: now().timestamp(),
            clock=clock,
            new_id=new_id,
        )
        if self.ledger is not None:
            self.ledger.watch(self.open_attempts.progress)
            weakref.finalize(self, _end, self.ledger, self.open_attempts)
            sigterm.watch(self)
        self.connections = Connections(
            self.config.transport,
            http_client,
            async_http_client,
            # A server sets its own handler when its loop begins, after it has loaded the app.
            beginning=sigterm.install if self.ledger is not None else None,
            ending=partial(_end_loop, self.open_attempts, self.flights, self.tasks),
        )

    @property
    def runtime(self) -> Self:
        """Itself: a client of its own has no kit."""
        return self

    @property
    def limit(self) -> ConcurrencyLimit:
        """The places of this process; a fork has its own."""
        limit = self._limits.get(os.getpid())
        if limit is None:
            if self.ledger is not None:
                sigterm.install()  # a fork has handlers of its server's
            limits = self.config.concurrency
            limit = ConcurrencyLimit(
                per_process=limits.per_process,
                per_provider=limits.per_provider,
                queue=limits.queue,
            )
            limit = self._limits.setdefault(os.getpid(), limit)  # one, if threads race for it
        return limit

    def plan(self, call: Call) -> Plan:
        """Make the plan of a call.

        Raises:
            ConfigError: the model is not known, or its provider has no key.
            InvalidRequest: its answer is to be kept, and there is no cache.
        """
        if call.cache and self.cache is None:
            raise InvalidRequest(
                "the call is to be cached, and there is no cache",
                hint='Make the client of a Kit whose settings have "cache": {}, or leave cache out of the call.',
            )
        return Plan(
            self.routes.of(call.model),
            self._retry,
            deadline=self.clock() + self.config.timeouts.total,
            clock=self.clock,
            chance=self._chance,
        )

    def clocks(self, call: Call, deadline: float) -> Clocks:
        """Make the clocks of an attempt that begins now."""
        timeouts = self._stream_timeouts if call.streaming else self._call_timeouts
        return Clocks(timeouts, now=self.clock(), deadline=deadline)

    def record(self, call: Call, step: Try, clocks: Clocks) -> AttemptRecord:
        """Make the record of an attempt that begins now."""
        return AttemptRecord(
            call,
            step,
            clocks=clocks,
            prices=self.prices,
            clock=self.clock,
            now=self.now,
            contents=self._contents,
        )

    def unmade(self, call: Call, error: BaseException) -> tuple[Opening, Closing]:
        """Make the row of a call that ends now without an attempt."""
        return unmade(call, error, at=self.now(), contents=self._contents)

    def given(
        self, call: Call, answer: Accumulator, status: Status, **known: Any
    ) -> tuple[Opening, Closing]:
        """Make the row of a call that was given an answer which others have asked for; `llmkit.ledger.unattempted.given` says what is known."""
        return given(call, answer, status, contents=self._contents, **known)

    def note_open_rows(self) -> None:
        """Mark the rows that are open in this process as lost, until their ends close them. Nothing is waited for."""
        self.open_attempts.note_rows()

    def _budgets(self, hooks: Sequence[Callable[[BudgetWarning], object]]) -> Budgets | None:
        """Make the budgets, if there are any. The hooks are told of those that are nearly used.

        Raises:
            ConfigError: nothing keeps them.
        """
        if not self.config.budgets:
            return None
        return Budgets(
            self.config,
            ledger=self.ledger,
            prices=self.prices,
            now=self.now,
            clock=self.clock,
            host=self.host,
            hooks=hooks,
            room=self.room,
        )

    def flush(self, seconds: float) -> None:
        """Wait until the rows that were handed in are written, and what they used is charged, for so long at most."""
        until = self.clock() + seconds
        if self.ledger is not None:
            self.ledger.flush(seconds)
        if self.budgets is not None:
            self.budgets.flush(max(0.0, until - self.clock()))

    def close(self) -> None:
        """Write all waiting rows, then close the ledger and the connections of sync code."""
        self.connections.close()
        if self.ledger is not None:
            self.ledger.close()
        if self.budgets is not None:
            self.budgets.close()
        if self.cache is not None:
            self.cache.close()
        if self.room is not None:
            self.room.close()

    async def aclose(self) -> None:
        """Stop the streams of this event loop that are still open, close its connections, then do what `close` does."""
        import asyncio  # noqa: PLC0415  # not for those who have threads only

        loop = asyncio.get_running_loop()
        await _end_loop(self.open_attempts, self.flights, self.tasks, loop)
        await self.connections.aclose()
        if self.budgets is not None:
            await self.budgets.aclose()
        if self.room is not None:
            await self.room.aclose()
        await asyncio.to_thread(self.close)


def _contents(config: Config) -> Contents | None:
    """Return what makes the content of rows, if it is kept.

    Raises:
        ConfigError: `ledger.redact` cannot be imported.
    """
    if config.ledger is False or not config.ledger.store_content:
        return None
    return Contents(function_at(config.ledger.redact, "ledger.redact", REDACT))


async def _end_loop(
    attempts: OpenAttempts,
    flights: Flights,
    tasks: set[asyncio.Task[Any]],
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Cut what is still open in a loop that ends, and wait until it is closed."""
    from llmkit.concurrency.tasks import async_finished  # noqa: PLC0415

    flights.abandon(loop)
    attempts.abandon(loop)
    await async_finished(tasks, loop)


def _end(ledger: Ledger, attempts: OpenAttempts) -> None:
    """Close the ledger when the process ends, and before that the rows of the streams that end here."""
    attempts.abandon()
    ledger.close()
