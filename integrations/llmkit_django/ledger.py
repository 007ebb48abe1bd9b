"""The ledger over Django's own connections."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from asgiref.sync import sync_to_async

from llmkit.budget.allowance import Allowance
from llmkit.budget.bell import Bell
from llmkit.concurrency.host_threads import ask_host_thread
from llmkit.config import Config, LedgerConfig
from llmkit.errors import BudgetUnavailable
from llmkit.ledger.base import AfterSweep, Ledger, Reader
from llmkit.ledger.entry import row_of
from llmkit.ledger.host import HostLedger
from llmkit.ledger.outbox.away import asks, unasked
from llmkit.ledger.outbox.ledger import OutboxLedger
from llmkit.ledger.outbox.open import with_outbox
from llmkit.ledger.row import Closing, Opening, Progress
from llmkit.ledger.worker import WorkerName
from llmkit_django.budgets import DjangoBudgets, Way
from llmkit_django.store import DjangoStore, database_file, identity, ledger_connection
from llmkit_django.transactions import is_testing, transaction_of

T = TypeVar("T")

log = logging.getLogger("llmkit.ledger")


def make_ledger(config: Config) -> DjangoLedger | None:
    """Make the ledger in the project's database; None if the settings turn it off, or put it elsewhere."""
    ledger = config.ledger
    if ledger is False or ledger.database is not None:
        return None
    return DjangoLedger(ledger)


def is_seen_here_alone() -> bool:
    """Whether no other thread sees what this one does: in a test that Django rolls back, or with a database in memory."""
    return transaction_of(ledger_connection()) == "test" or _is_in_memory()


class _Way(NamedTuple):
    """How a row is written: by which ledger, and when it may be; None is at once."""

    ledger: Ledger
    until: Callable[[], bool] | None = None


class DjangoLedger:
    """Writes rows over a connection of its own, so that the host's rollback takes none along; or over the host's.

    The host's it is where the settings say so, where the database is in memory, and inside a test that Django rolls back: there no
    other connection would see the test's data, nor would its rows go with the test. On SQLite a row that is begun inside a
    transaction of the host's is written when that has ended: it would wait for itself.
    """

    def __init__(self, settings: LedgerConfig) -> None:
        worker, bell = WorkerName(), Bell()
        self._on_host = settings.connection == "host"
        self._own = _own(settings, worker, bell)
        self._host = HostLedger(DjangoStore(worker, own=False, bell=bell), from_async=_from_async)
        self.budgets = DjangoBudgets(
            worker, bell, way=self._budgets_way, async_way=self._async_budgets_way
        )
        # Open rows in transactions of tests: whose thread a destructor runs in, nobody knows.
        self._in_tests: set[tuple[str, int]] = set()

    def begin(self, opening: Opening) -> None:
        """Write a row as `started`; see `Ledger`."""
        way = self._way()
        if way.until is not None:
            if asks(opening, None):
                self._own.begin_later(opening, unasked(opening), until=way.until)
                raise _in_transaction()
            self._own.begin_later(opening, until=way.until)
        else:
            self._note(way, opening)
            way.ledger.begin(opening)

    async def abegin(self, opening: Opening) -> None:
        """Write a row as `started`; see `Ledger`."""
        way = await self._async_way()
        if way.until is not None:
            if asks(opening, None):
                await self._own.abegin_later(opening, unasked(opening), until=way.until)
                raise _in_transaction()
            await self._own.abegin_later(opening, until=way.until)
        else:
            self._note(way, opening)
            await way.ledger.abegin(opening)

    def finish(self, closing: Closing) -> None:
        """Close a row; see `Ledger`."""
        self._in_tests.discard(row_of(closing))
        self._way(begins=False).ledger.finish(closing)

    async def afinish(self, closing: Closing) -> None:
        """Close a row; see `Ledger`."""
        self._in_tests.discard(row_of(closing))
        way = await self._async_way(begins=False)
        await way.ledger.afinish(closing)

    def finish_soon(self, closing: Closing) -> None:
        """Hand in a closing; see `Ledger`."""
        in_test = row_of(closing) in self._in_tests
        ledger = self._host if in_test or self._is_on_host() else self._own
        ledger.finish_soon(closing)

    def record(self, opening: Opening, closing: Closing) -> None:
        """Write a final row; see `Ledger`."""
        way = self._way()
        if way.until is not None:
            self._own.begin_later(opening, closing, until=way.until)
        else:
            way.ledger.record(opening, closing)

    async def arecord(self, opening: Opening, closing: Closing) -> None:
        """Write a final row; see `Ledger`."""
        way = await self._async_way()
        if way.until is not None:
            await self._own.abegin_later(opening, closing, until=way.until)
        else:
            await way.ledger.arecord(opening, closing)

    def read(self, question: Callable[[Reader], T]) -> T:
        """Ask something of what is stored, over the host's connection; see `Ledger`."""
        return self._host.read(question)

    async def aread(self, question: Callable[[Reader], T]) -> T:
        """Do what `read` does, without blocking the event loop."""
        return await self._host.aread(question)

    def watch(self, progress: Callable[[], Sequence[Progress]]) -> None:
        """Ask for what open rows have so far; see `Ledger`."""
        self._own.watch(progress)

    def after_sweep(self, work: AfterSweep) -> None:
        """Do something after rows were looked for; see `Ledger`."""
        self._own.after_sweep(work)

    def on_unwritten(self, work: Callable[[bool], bool]) -> None:
        """Say whether rows wait outside of the database; see `Ledger`."""
        self._own.on_unwritten(work)

    def allow(self, allowance: Allowance) -> None:
        """Let calls be made while budgets cannot be asked; see `Ledger`."""
        self._own.allow(allowance)

    def sweep(self, silent: float | None = None) -> int:
        """Sweep up after processes that have died; see `OutboxLedger.sweep`."""
        return self._own.sweep(silent)

    def flush(self, timeout: float) -> None:
        """Wait until what was handed in is written; see `Ledger`."""
        self._own.flush(timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits; see `Ledger`."""
        self._own.close(timeout)
        self._host.close(timeout)

    def _note(self, way: _Way, opening: Opening) -> None:
        if way.ledger is self._host and is_testing():
            self._in_tests.add(row_of(opening))

    def _way(self, *, begins: bool = True) -> _Way:
        if (way := self._known_way(begins=begins)) is not None:
            return way
        return ask_host_thread(self._way_from_here)

    async def _async_way(self, *, begins: bool = True) -> _Way:
        if (way := self._known_way(begins=begins)) is not None:
            return way
        return await sync_to_async(self._way_from_here)()

    def _budgets_way(self, changes: bool) -> Way:  # noqa: FBT001
        return self._as_budgets(self._way(begins=changes))

    async def _async_budgets_way(self, changes: bool) -> Way:  # noqa: FBT001
        return self._as_budgets(await self._async_way(begins=changes))

    def _as_budgets(self, way: _Way) -> Way:
        if way.until is not None:
            return "locked"
        return "host" if way.ledger is self._host else "own"

    def _known_way(self, *, begins: bool) -> _Way | None:
        """Choose the way where it makes no difference in which thread the call is made, which may have gone."""
        if self._is_on_host():
            return _Way(self._host)
        return None if is_testing() or (begins and _can_be_locked()) else _Way(self._own)

    def _way_from_here(self) -> _Way:
        """Choose the way of a call that this thread makes."""
        connection = ledger_connection()
        transaction = transaction_of(connection)
        if transaction == "test":
            return _Way(self._host)
        if transaction == "host" and _can_be_locked():
            return _Way(self._own, until=lambda: not connection.in_atomic_block)
        return _Way(self._own)

    def _is_on_host(self) -> bool:
        return self._on_host or _is_in_memory()


def _in_transaction() -> BudgetUnavailable:
    """Make the error for a call that is charged to a budget while the host may hold the database locked: it would wait for itself."""
    return BudgetUnavailable(
        "a call that is charged to a budget was made inside a transaction, which may have locked the SQLite database",
        hint="Make it outside of atomic() (ATOMIC_REQUESTS counts, too), or use PostgreSQL.",
    )


def _own(settings: LedgerConfig, worker: Callable[[], str], bell: Bell) -> OutboxLedger:
    """Make the ledger over connections of its threads."""
    connection = ledger_connection()
    return with_outbox(
        DjangoStore(worker, own=True, bell=bell),
        DjangoStore(worker, own=True, bell=bell),
        None,  # over the host's connections
        settings,
        database=identity(connection),
        file=database_file(connection),
        worker=worker,
    )


def _is_in_memory() -> bool:
    connection = ledger_connection()
    return connection.vendor == "sqlite" and bool(connection.is_in_memory_db())


def _can_be_locked() -> bool:
    """Whether a transaction of the host's, even one that only reads, can keep all others from writing."""
    vendor: str = ledger_connection().vendor
    return vendor == "sqlite"


async def _from_async(work: Callable[[], None]) -> None:
    try:
        await sync_to_async(work)()
    except RuntimeError as error:
        # The browser left, and its request's thread with it: the row is written over a connection of its own.
        log.debug("a row is written after its request: %s", error)
        await sync_to_async(partial(_alone, work), thread_sensitive=False)()


def _alone(work: Callable[[], None]) -> None:
    try:
        work()
    finally:
        ledger_connection().close()
