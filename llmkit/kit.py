"""The Kit: what an app has one of, such as settings, providers, connections and the ledger."""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, Self

from llmkit import _sigterm
from llmkit.config import Config
from llmkit.errors import ConfigError
from llmkit.ledger.own import open_own
from llmkit.ledger.worker import WorkerName
from llmkit.limit import ConcurrencyLimit
from llmkit.policy.backoff import RetryPolicy
from llmkit.policy.clocks import Clocks, Timeouts
from llmkit.policy.plan import Plan, Try
from llmkit.policy.pricing import Prices
from llmkit.providers.base import Provider
from llmkit.record import AttemptRecord, unmade
from llmkit.routes import Routes
from llmkit.tracebacks import forgetful

if TYPE_CHECKING:
    import asyncio

    import httpx

    from llmkit._async.client import AsyncClient
    from llmkit._concurrency import Home
    from llmkit._loops import LoopTransports
    from llmkit._sync.client import Client
    from llmkit.call import Call
    from llmkit.ledger.base import Ledger
    from llmkit.ledger.row import Closing, Opening
    from llmkit.transport import AsyncTransport, Transport


class OpenAttempt(Protocol):
    """An attempt whose row is open."""

    def forsake(self) -> None:
        """Cut it and close its row, without waiting."""

    def note_open_row(self) -> None:
        """Mark its row as lost until its end closes it, without waiting."""


class Kit:
    """Holds what an app needs only once: settings, connections and the ledger. `client` and `async_client` share them.

    Connections are opened on first use, and again after a fork. Each event loop has its own; all threads share theirs.

    Args:
        config: the settings, as a mapping or a `Config`.
        providers: providers of your own, beside those of the settings.
        middleware: called around every call; the first one is the outermost.
        ledger: a ledger to use instead of the one in the settings. The kit closes it.
        http_client, async_http_client: httpx or httpx2 clients to use. You close them yourself. Their cookies are not sent.
        clock, now, chance, new_id: where time, the date, random numbers and ids come from. Replace them in tests.

    Raises:
        ConfigError: the settings are wrong.
    """

    @forgetful
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
        new_id: Callable[[], str] = lambda: os.urandom(16).hex(),
    ) -> None:
        self.config = Config.of(config)
        self.clock = clock
        self.now = now
        self.new_id = new_id
        self.middleware = tuple(middleware)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.open_attempts: dict[OpenAttempt, Home] = {}  # a fork copies those of its parent
        self.routes = Routes(self.config, providers)
        self.prices = Prices(self.routes.prices())
        self.prices.preload()
        self._chance = chance
        self._http_client = http_client
        self._async_http_client = async_http_client
        self._lock = threading.Lock()
        self._retry = RetryPolicy(**self.config.retry.model_dump())
        timeouts = self.config.timeouts
        self._stream_timeouts = Timeouts(**timeouts.model_dump())
        self._call_timeouts = Timeouts(
            connect=timeouts.connect, first_content=None, idle=None, total=timeouts.total
        )
        self._threads_transport: Transport | None = None
        self._close_threads: Callable[[], object] | None = None
        self._loop_transports: LoopTransports | None = None
        self._of_parents: list[LoopTransports] = []
        self._start()
        self.ledger = (
            ledger if ledger is not None else open_own(self.config, worker=WorkerName(new_id))
        )
        if self.ledger is not None:
            weakref.finalize(self, _end, self.ledger, self.open_attempts)
            _sigterm.watch(self)

    @classmethod
    @forgetful
    def for_model(
        cls,
        model: str | None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        **options: Any,  # those of the constructor
    ) -> Self:
        """Make a kit for one model, without a ledger.

        Raises:
            ConfigError: no model is given, or its provider is unknown or has no key.
        """
        if model is None:
            raise ConfigError(
                "no model is given", hint='Pass one, such as "anthropic:claude-sonnet-4-5".'
            )
        given = {"api_key": api_key, "base_url": base_url}
        provider = {key: value for key, value in given.items() if value is not None}
        kit = cls(
            {
                "providers": {model.partition(":")[0]: provider} if provider else {},
                "models": {"default": model},
                "ledger": False,
            },
            **options,
        )
        kit.routes.of(model)
        return kit

    @cached_property
    def client(self) -> Client:
        """The client for sync code."""
        from llmkit._sync.client import Client  # noqa: PLC0415  # the sync half, for those who use it

        return Client(kit=self)

    @cached_property
    def async_client(self) -> AsyncClient:
        """The client for async code."""
        from llmkit._async.client import AsyncClient  # noqa: PLC0415  # the async half

        return AsyncClient(kit=self)

    def plan(self, call: Call) -> Plan:
        """Make the plan of a call.

        Raises:
            ConfigError: the model is not known, or its provider has no key.
        """
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
            call, step, clocks=clocks, prices=self.prices, clock=self.clock, now=self.now
        )

    def unmade(self, call: Call, error: BaseException) -> tuple[Opening, Closing]:
        """Make the row of a call that ends now without an attempt."""
        return unmade(call, error, at=self.now())

    @property
    def limit(self) -> ConcurrencyLimit:
        """The places of this process; a fork has its own."""
        self._check_process()
        return self._limit

    def transport(self) -> Transport:
        """Return the connections of the threads."""
        self._check_process()
        with self._lock:
            if self._threads_transport is None:
                from llmkit._sync.httpx_transport import HttpxTransport  # noqa: PLC0415  # httpx

                self._threads_transport = HttpxTransport(self._http_client)
                self._close_threads = weakref.finalize(
                    self, _close, self._threads_transport, os.getpid()
                )
            return self._threads_transport

    def async_transport(self) -> AsyncTransport:
        """Return the connections of the running event loop."""
        self._check_process()
        with self._lock:  # loops run in several threads
            if self._loop_transports is None:
                from llmkit._loops import LoopTransports  # noqa: PLC0415  # asyncio

                self._loop_transports = LoopTransports(
                    partial(
                        _async_transport,
                        self.config.transport,
                        self._async_http_client,
                        has_rows=self.ledger is not None,
                    ),
                    partial(_end_loop, self.open_attempts, self.tasks),
                )
        return self._loop_transports.get()

    def warm(self) -> None:
        """Load what the first call in the running event loop would otherwise wait for. No connection is opened."""
        self.async_client  # noqa: B018
        self.async_transport()

    def note_open_rows(self) -> None:
        """Mark the rows that are open in this process as lost, until their ends close them. Nothing is waited for."""
        for attempt, home in list(self.open_attempts.items()):
            if home.pid == os.getpid():
                attempt.note_open_row()

    def flush(self, seconds: float) -> None:
        """Wait until the rows that were handed in are written, for so long at most."""
        if self.ledger is not None:
            self.ledger.flush(seconds)

    def close(self) -> None:
        """Write all waiting rows, then close the ledger and the connections of sync code."""
        with self._lock:
            self._threads_transport = None
            close, self._close_threads = self._close_threads, None
        if close is not None:
            close()
        if self.ledger is not None:
            self.ledger.close()

    async def aclose(self) -> None:
        """Stop the streams of this event loop that are still open, close its connections, then do what `close` does."""
        import asyncio  # noqa: PLC0415  # not for those who have threads only

        await _end_loop(self.open_attempts, self.tasks, asyncio.get_running_loop())
        if self._loop_transports is not None:
            await self._loop_transports.aclose()
        await asyncio.to_thread(self.close)

    def _start(self) -> None:
        self._pid = os.getpid()
        limits = self.config.concurrency
        self._limit = ConcurrencyLimit(
            per_process=limits.per_process, per_provider=limits.per_provider, queue=limits.queue
        )
        self._threads_transport = None
        self._close_threads = None
        self._loop_transports = None

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            self._lock = threading.Lock()
            # Kept, for to close them here would take them out of the selector that the parent's loop uses too.
            if self._loop_transports is not None:
                self._of_parents.append(self._loop_transports)
            self._start()


def _async_transport(
    choice: str, client: httpx.AsyncClient | None, *, has_rows: bool
) -> AsyncTransport:
    """Make the transport of a loop that is new to us."""
    if has_rows:
        _sigterm.install()  # a server sets its own handler when its loop begins, after it has loaded the app
    if client is None and (
        choice == "aiohttp" or (choice == "auto" and find_spec("aiohttp") is not None)
    ):
        from llmkit._aiohttp import AiohttpTransport  # noqa: PLC0415  # optional

        return AiohttpTransport()
    from llmkit._async.httpx_transport import AsyncHttpxTransport  # noqa: PLC0415  # httpx

    return AsyncHttpxTransport(client)


def _forsake(
    attempts: dict[OpenAttempt, Home], loop: asyncio.AbstractEventLoop | None = None
) -> None:
    """Cut what is still open in this process, or in one loop of it, and close its rows."""
    for attempt, home in list(attempts.items()):
        if home.pid == os.getpid() and loop in (None, home.loop):
            attempt.forsake()


async def _end_loop(
    attempts: dict[OpenAttempt, Home],
    tasks: set[asyncio.Task[Any]],
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Cut what is still open in a loop that ends, and wait until it is closed."""
    from llmkit._async_concurrency import async_finished  # noqa: PLC0415

    _forsake(attempts, loop)
    await async_finished(tasks, loop)


def _end(ledger: Ledger, attempts: dict[OpenAttempt, Home]) -> None:
    """Close the ledger when the process ends, and before that the rows of the streams that end here."""
    _forsake(attempts)
    ledger.close()


def _close(transport: Transport, pid: int) -> None:
    """Close connections, unless they are those of the process that this one was forked from."""
    if os.getpid() == pid:
        transport.close()
