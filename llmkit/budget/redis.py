"""Budgets in Redis: one script over all accounts of a call, by Redis' own clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from llmkit.budget.base import Source
from llmkit.budget.bell import Bell
from llmkit.budget.script import Ask, Words, balance, date, place_of
from llmkit.budget.settler import Charge
from llmkit.budget.steps import Kept, Runner, Steps
from llmkit.errors import BudgetUnavailable
from llmkit.policy.budgets.accounts import Balance
from llmkit.policy.budgets.amounts import UNITS, UNUSED, Used
from llmkit.policy.budgets.decide import Claim, Shortage, shortage
from llmkit.policy.budgets.times import LAPSE
from llmkit.redis.room import RedisRoom

T = TypeVar("T")

# How many parts are remembered before those are forgotten that are to be said anew.
_MANY = 1024
# How often a window is looked for by Redis' clock.
_TRIES = 3
# How often a process says which parts of a cluster it uses, in seconds: Redis may have forgotten it.
NOTED = 600.0


class RedisBudgets:
    """Keeps budgets in Redis; see `BudgetStore`.

    What is held by itself, without a row of the ledger, is written down where budgets are kept for good, too; of calls their rows do that.

    Args:
        room: which Redis.
        source: where budgets are kept for good; None if Redis has all there is.
        namespace: what its keys begin with.
        lapse: after how many seconds the hold of a call is let go that nobody has settled.
        is_parted: whether claims say which part of a cluster has them.
        now: the date, until Redis has said its own.
        clock: gives the time in seconds.

    Attributes:
        is_parted: as above.
        bell: is told of limits that come near, where Redis has all there is; else the store for good tells of them.
    """

    def __init__(
        self,
        room: RedisRoom,
        *,
        source: Source | None = None,
        namespace: str = "llmkit",
        lapse: float = LAPSE,
        is_parted: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._room = room
        self._steps = Runner(room, source, clock)
        self.is_parted = is_parted
        self.words = Words(namespace, lapse=lapse, fills=source is not None)
        self._now = now
        self._clock = clock
        self.bell = Bell()
        self._ahead = timedelta()
        self._noted: dict[str, float] = {}

    def hold(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | None:
        """Hold amounts in all accounts, or in none; see `BudgetStore`."""
        return self._steps.run(self._hold(hold_id, claims))

    def settle(self, hold_id: str, used: Used, *, again: bool = True) -> None:
        """Charge what was used; see `BudgetStore`."""
        self._steps.run(self._settle(hold_id, used, again=again))

    def balances(self, claims: Sequence[Claim]) -> list[Balance]:
        """Return what the accounts have; see `BudgetStore`."""
        return self._steps.run(self._balances(claims))

    async def ahold(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | None:
        """Do what `hold` does, without blocking the event loop."""
        return await self._steps.arun(self._hold(hold_id, claims))

    async def asettle(self, hold_id: str, used: Used, *, again: bool = True) -> None:
        """Do what `settle` does, without blocking the event loop."""
        await self._steps.arun(self._settle(hold_id, used, again=again))

    async def abalances(self, claims: Sequence[Claim]) -> list[Balance]:
        """Do what `balances` does, without blocking the event loop."""
        return await self._steps.arun(self._balances(claims))

    def grant(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | datetime:
        """Hold what a call asks; return when it was held, by Redis' clock, or why it was not.

        Raises:
            BudgetUnavailable: Redis does not answer.
        """
        return self._steps.run(self._grant(hold_id, claims))

    async def agrant(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | datetime:
        """Do what `grant` does, without blocking the event loop."""
        return await self._steps.arun(self._grant(hold_id, claims))

    def charge(self, charge: Charge) -> None:
        """Charge what a call has used. What is not final may be corrected for a day.

        Raises:
            BudgetUnavailable: Redis does not answer.
        """
        self._steps.run(self._charge(charge))

    async def acharge(self, charge: Charge) -> None:
        """Do what `charge` does, without blocking the event loop."""
        await self._steps.arun(self._charge(charge))

    def ask(self, ask: Ask) -> Any:
        """Ask the script.

        Raises:
            BudgetUnavailable: Redis does not answer.
        """
        return self._steps.run(_one(ask))

    def parts(self) -> list[str]:
        """Say which parts of a cluster have accounts.

        Raises:
            BudgetUnavailable: Redis does not answer.
        """
        if not self.is_parted:
            return [""]
        _, found = self.ask(self.words.parts())
        return list(found)

    @property
    def date(self) -> datetime:
        """The date by Redis' clock, as far as it is known."""
        return self._now() + self._ahead

    def close(self) -> None:
        """Close the connections of threads."""
        self._room.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._room.aclose()

    def _hold(self, hold_id: str, claims: Sequence[Claim]) -> Steps[Shortage | None]:
        if not claims:
            return None
        partition = claims[0].partition
        if self.is_parted:  # before it is held: whoever is cancelled in between can be settled, too
            yield self.words.point(hold_id, partition)
        granted = yield from self._grant(hold_id, claims, by_hand=True)
        if isinstance(granted, Shortage):
            if self.is_parted:
                yield self.words.unpoint(hold_id)
            return granted
        try:
            yield Kept(
                lambda source: source.mirror(hold_id, claims, granted),
                lambda source: source.amirror(hold_id, claims, granted),
            )
        except BudgetUnavailable:
            yield from self._charge(Charge(hold_id, UNUSED, partition=partition))
            yield self.words.forget(hold_id, partition)
            raise
        return None

    def _settle(self, hold_id: str, used: Used, *, again: bool) -> Steps[None]:
        partition: str | None = ""
        if self.is_parted:
            _, partition = yield self.words.where(hold_id)
        if partition is not None:
            charge = Charge(hold_id, used, final=False, again=again, partition=partition)
            yield from self._charge(charge)
        yield Kept(
            lambda source: source.settle(hold_id, used, again=again),
            lambda source: source.asettle(hold_id, used, again=again),
        )

    def _charge(self, charge: Charge) -> Steps[None]:
        if charge.unasked and charge.granted_at is not None:
            yield from self._catch_up(charge.hold_id, charge.unasked, charge.granted_at)
        _, found = yield self.words.settle(
            charge.hold_id,
            charge.used,
            final=charge.final,
            again=charge.again,
            is_heard=self.bell.is_heard,
            may_come=charge.may_come,
            partition=charge.partition,
        )
        if found:
            self.bell.ring(
                [self.words.crossing(*each, partition=charge.partition) for each in found]
            )

    def _grant(
        self,
        hold_id: str,
        claims: Sequence[Claim],
        *,
        granted_at: datetime | None = None,
        by_hand: bool = False,
    ) -> Steps[Shortage | datetime]:
        """Hold what is asked, if there is room; whether there is or not, if it was granted already."""
        if not claims:
            return self.date
        partition = claims[0].partition
        yield from self._noting(partition)
        for _ in range(_TRIES):
            now = self.date
            windows = [claim.window(granted_at or now) for claim in claims]
            said, seconds, micros, *rest = yield self.words.hold(
                hold_id, claims, windows, now, granted_at=granted_at, by_hand=by_hand
            )
            at = self._heard(seconds, micros)
            if said == "held":
                return at
            if said == "full":
                index, unit, sums, by_second = rest
                return shortage(claims[index], balance(sums, by_second), UNITS[unit], at)
            if said == "fill":
                missing = [(claims[index], windows[index]) for index in rest[0]]
                yield from self._fill(missing, at)
            # Or its clock is in another window than this one's: now that it is known, once more.
        raise _forgotten()

    def _catch_up(self, hold_id: str, claims: Sequence[Claim], at: datetime) -> Steps[None]:
        """Hold what was allowed while Redis did not answer. Where it is written down elsewhere, Redis is compared with that instead."""
        if self._steps.source is None:
            yield from self._grant(hold_id, claims, granted_at=at)
        else:
            yield from self._noting(claims[0].partition)
            names = [
                self.words.account(place_of(claim, claim.window(at)))[0]
                for claim in claims
                if not claim.slides
            ]
            if names:
                yield self.words.mark(claims[0].partition, names)

    def _fill(self, missing: Sequence[tuple[Claim, Any]], at: datetime) -> Steps[None]:
        places = [place_of(claim, window) for claim, window in missing]
        states = yield Kept(
            lambda source: source.states(places), lambda source: source.astates(places)
        )
        if self.is_parted:
            yield from self._note(places[0].partition)
        for (claim, window), place, state in zip(missing, places, states, strict=True):
            yield self.words.fill(place, window, state, at, slides=claim.slides)

    def _noting(self, partition: str) -> Steps[None]:
        """Say now and then that a part has accounts."""
        if self.is_parted and self._noted.get(partition, -NOTED) <= self._clock() - NOTED:
            yield from self._note(partition)

    def _note(self, partition: str) -> Steps[None]:
        """Say that a part has accounts, in a slot of another part perhaps."""
        yield self.words.note_part(partition)
        now = self._clock()
        if len(self._noted) >= _MANY:
            self._noted = {part: at for part, at in self._noted.items() if at > now - NOTED}
        self._noted[partition] = now

    def _balances(self, claims: Sequence[Claim]) -> Steps[list[Balance]]:
        if not claims:
            return []
        for _ in range(_TRIES):
            windows = [claim.window(self.date) for claim in claims]
            said, seconds, micros, found = yield self.words.balances(claims, windows)
            at = self._heard(seconds, micros)
            if said == "balances":
                return [balance(sums, by_second) for sums, by_second in found]
            yield from self._fill([(claims[index], windows[index]) for index in found], at)
        raise _forgotten()

    def _heard(self, seconds: str, micros: str) -> datetime:
        """Take note of Redis' clock; return what it is there."""
        at = date(seconds, micros)
        self._ahead = at - self._now()
        return at


def _one(ask: Ask) -> Steps[Any]:
    return (yield ask)


def _forgotten() -> BudgetUnavailable:
    return BudgetUnavailable("Redis forgets budgets as they are filled, or its clock jumps")
