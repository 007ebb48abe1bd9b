"""Budgets in the ledger's database, the same over SQLAlchemy and over Django: statements within a transaction of the ledger's.

Whoever changes an account has locked its row until the end of the transaction: SQLite the whole database, PostgreSQL rows of the ledger
first, then holds, then accounts, each in their order, so that no two wait for one another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from llmkit.budget.base import Audit, Place, State
from llmkit.budget.bell import Bell
from llmkit.ledger import account_rows as rows
from llmkit.ledger import hold_rows
from llmkit.ledger.account_rows import Ask, Window
from llmkit.ledger.hold_rows import Hold, Settlement, Wanted
from llmkit.ledger.queries import Dialect
from llmkit.policy.budgets.accounts import Account, Balance, Crossing, Entry
from llmkit.policy.budgets.amounts import NOTHING, Used
from llmkit.policy.budgets.decide import Claim, Shortage, decide, shortage

# How many names of accounts are remembered that have a row.
_KNOWN = 10_000
# How often a server is asked what it is now, in seconds: in between this process's clock goes on from there.
_CLOCK_EVERY = 1.0


class Current(NamedTuple):
    """What an account has in its window of now, and when that ends."""

    key: str
    balance: Balance
    ends: datetime | None


class Accounts:
    """Changes accounts. A store has one.

    Args:
        now: the date, for SQLite, which is on the same machine; a server's own clock counts there.
        clock: gives the time in seconds.
        bell: is told of limits that come near.
    """

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        bell: Bell | None = None,
    ) -> None:
        self._now = now
        self.bell = bell or Bell()
        self._crossings = threading.local()
        self._time = clock
        self._asked: tuple[float, datetime] | None = None
        self._known: set[str] = set()

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tell of what is found within, a transaction of this thread's, if that ends well."""
        self._crossings.found = []
        yield
        found, self._crossings.found = self._crossings.found, []
        if found:
            self.bell.ring(found)

    def change(
        self,
        ask: Ask,
        dialect: Dialect,
        settlements: Sequence[Settlement] = (),
        wanted: Sequence[Wanted] = (),
        *,
        again: bool = False,
    ) -> dict[str, Shortage]:
        """Settle holds, then hold what is wanted, in this order; what has no room in one of its accounts holds nothing.

        Args:
            ask: in a transaction, which has locked the database if it is SQLite.
            dialect: how the database is spoken to.
            settlements: what was used.
            wanted: what is to be held.
            again: whether it may have been decided before, which holds then.

        Returns:
            By the id of what was wanted, why there is no room.

        Raises:
            Repeated: it was decided before. Doing it `again`, in another transaction, changes nothing.
        """
        there = hold_rows.end_holds(ask, dialect, settlements)
        refused: set[str] = set()
        if again:
            held, refused = hold_rows.decided(ask, [each.id for each in wanted])
            wanted = [each for each in wanted if each.id not in held]
        if not there and not wanted:
            return {}
        moment = self._clock(ask, dialect)
        asked = [
            (each, [Window.of(claim, each.granted_at or moment) for claim in each.claims])
            for each in wanted
        ]
        windows = [window for _, of_claims in asked for window in of_claims]
        windows += (Window.at(entry) for hold in there.values() for entry in hold.entries)
        books = _Books(self._lock(ask, dialect, windows))
        if any(window.slides for window in windows):
            # The seconds count from when a call can begin, and waiting for the lock may have taken some.
            moment = max(moment, self._clock(ask, dialect))
        crossings: list[Crossing] = []
        for settlement in settlements:
            if settlement.id in there:
                hold = there[settlement.id]
                books.settle(hold, settlement.used)
                if self.bell.is_heard:
                    crossings += books.crossings(hold, moment)
        if crossings:
            self._crossings.found += crossings
        found: dict[str, Shortage] = {}
        begun: list[tuple[Wanted, list[Entry]]] = []
        for each, of_claims in asked:
            places = list(zip(each.claims, of_claims, strict=True))
            at = each.granted_at or moment
            why = None
            if each.granted_at is None:
                why = books.room_for(places, moment, again=each.id in refused)
            if why is None:
                begun.append((each, books.hold(places, at)))
            else:
                found[each.id] = why
        rows.write_accounts(ask, books.changed, moment)
        # Of rows alone: whoever asks by themselves may ask again when there is room.
        new = [
            each
            for each in wanted
            if each.id in found and each.id not in refused and each.call_id is not None
        ]
        hold_rows.write_holds(ask, begun, new, moment)
        return found

    def balances(self, ask: Ask, dialect: Dialect, claims: Sequence[Claim]) -> list[Balance]:
        """Say what accounts have in their windows of now. Nothing is locked."""
        moment = self._clock(ask, dialect)
        windows = [Window.of(claim, moment) for claim in claims]
        books = _Books(rows.read_accounts(ask, dialect, windows, lock=False))
        return [books.account(window).balance(moment) for window in windows]

    def current(self, ask: Ask, dialect: Dialect) -> list[Current]:
        """Read what all accounts have in their windows of now. Nothing is locked."""
        moment = self._clock(ask, dialect)
        return [
            Current(name, account.balance(moment), account.ends)
            for (name, _), account in rows.current(ask, moment).items()
        ]

    def states(self, ask: Ask, dialect: Dialect, places: Sequence[Place]) -> list[State]:
        """Read all that windows of accounts have, with their open holds. Nothing is locked."""
        windows = [Window.of_place(place) for place in places]
        accounts = rows.read_accounts(ask, dialect, windows, lock=False)
        return [
            State(
                accounts.get(window.key) or window.account(),
                hold_rows.held_in(ask, dialect, window),
            )
            for window in windows
        ]

    def audit(self, ask: Ask, dialect: Dialect, place: Place, hold_ids: Sequence[str]) -> Audit:
        """Read a window of an account, locked, and what became of holds."""
        window = Window.of_place(place)
        account = rows.read_accounts(ask, dialect, [window], lock=True).get(window.key)
        used = None if account is None else account.used.get(0, NOTHING)
        held = hold_rows.held_in(ask, dialect, window)
        return Audit(used, held, hold_rows.charged(ask, hold_ids))

    def sweep(self, ask: Ask, dialect: Dialect) -> None:
        """Settle the holds of rows that are open no more, and those that lapsed; forget what is old."""
        moment = int(self._clock(ask, dialect).timestamp())
        for part in rows.parts(sorted(hold_rows.left_open(ask, moment))):
            self.change(ask, dialect, part)
        hold_rows.forget(ask, moment)
        rows.forget(ask, moment)

    def _clock(self, ask: Ask, dialect: Dialect) -> datetime:
        """Return the date; a server is asked once a second at most."""
        if dialect.vendor == "sqlite":
            return self._now()
        if self._asked is None or self._time() - self._asked[0] > _CLOCK_EVERY:
            date = rows.clock(ask)
            self._asked = self._time(), date
        at, date = self._asked
        return date + timedelta(seconds=self._time() - at)

    def _lock(self, ask: Ask, dialect: Dialect, windows: Iterable[Window]) -> dict[str, Account]:
        """Read accounts that nobody else changes until the transaction ends."""
        wanted = sorted({window.key: window for window in windows}.values())
        if dialect.vendor == "sqlite":
            return rows.read_accounts(ask, dialect, wanted, lock=False)
        if len(self._known) > _KNOWN:
            self._known.clear()
        # All that are new are made before any is locked: or two who make and lock the same ones might wait for one another.
        rows.make_accounts(ask, [window for window in wanted if window.key not in self._known])
        found = rows.read_accounts(ask, dialect, wanted, lock=True)
        missing = [window for window in wanted if window.key not in found]
        if missing:  # forgotten meanwhile, because they were old
            rows.make_accounts(ask, missing)
            found |= rows.read_accounts(ask, dialect, missing, lock=True)
        self._known.update(window.key for window in wanted)
        return found


_Places = Sequence[tuple[Claim, Window]]


class _Books:
    """The accounts that a transaction has read, by their keys, and which of them it changes."""

    def __init__(self, accounts: dict[str, Account]) -> None:
        self._accounts = accounts
        self.changed: dict[str, tuple[Window, Account]] = {}

    def account(self, window: Window) -> Account:
        """Return an account; a new one if there is none."""
        found = self._accounts.get(window.key)
        if found is None:
            found = self._accounts[window.key] = window.account()
        return found

    def settle(self, hold: Hold, used: Used) -> None:
        """Charge what was used in place of what is held, or was charged before."""
        for entry in hold.entries:
            before = None if hold.used is None else hold.used.or_held(entry.held)
            self._change(Window.at(entry)).charge(entry, used.or_held(entry.held), before=before)
        hold.used = used

    def crossings(self, hold: Hold, now: datetime) -> Iterator[Crossing]:
        """Find the marks that accounts have reached by what was charged for a hold."""
        for entry in hold.entries:
            yield from self.account(Window.at(entry)).crossings(entry, now)

    def room_for(self, places: _Places, now: datetime, *, again: bool) -> Shortage | None:
        """Say why there is no room for what is asked; None if there is.

        Args:
            places: what is asked, of which windows.
            now: what it is now.
            again: whether it was refused once. That holds, whatever came free meanwhile.
        """
        balances = {claim.key: self.account(window).balance(now) for claim, window in places}
        why = decide([claim for claim, _ in places], balances, now)
        if why is None and again:
            claim, _ = places[0]
            return shortage(claim, balances[claim.key], next(iter(claim.limits)), now)
        return why

    def hold(self, places: _Places, now: datetime) -> list[Entry]:
        """Hold what is asked; return what is held where."""
        entries = []
        for claim, window in places:
            entry = claim.entry(now, window.starts)
            self._change(window).hold(entry)
            entries.append(entry)
        return entries

    def _change(self, window: Window) -> Account:
        account = self.account(window)
        self.changed[window.key] = window, account
        return account
