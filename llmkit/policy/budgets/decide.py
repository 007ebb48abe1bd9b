"""Whether there is room for a call in every account that it is charged to. Every store decides so, or as this does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from llmkit.errors import BudgetExceeded
from llmkit.policy.budgets.accounts import Balance, Entry, Mark
from llmkit.policy.budgets.amounts import UNITS, Unit, Units, said
from llmkit.policy.budgets.windows import SECONDS, Per, Window, window_at
from llmkit.zones import zone_of

# When it is worth a try again where calls that are running hold what there is, in seconds.
_SOON = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a call asks of one account.

    Attributes:
        key: the account's name.
        scope: whose it is, as the settings say it.
        per: how long its windows are; `zone` is the time zone in which they begin, by its name.
        amount: what is to be held.
        limits: the limits of each unit that has one.
        models: the models whose calls it counts; none is all.
        partition: which part of a cluster has it.
        marks: when somebody is to be told of what is used.
    """

    key: str
    scope: str
    per: Per
    amount: Units
    limits: Mapping[Unit, int]
    zone: str = "UTC"
    models: tuple[str, ...] = ()
    partition: str = ""
    marks: tuple[Mark, ...] = ()

    def window(self, now: datetime) -> Window:
        """Return the window that a moment is in."""
        return window_at(self.per, now, zone_of(self.zone))

    @property
    def slides(self) -> bool:
        """Whether its windows are minutes that slide."""
        return self.per == "minute"

    def entry(self, now: datetime, start: int) -> Entry:
        """Make what is held in the window that begins then."""
        second = int(now.timestamp()) if self.slides else 0
        return Entry(self.key, start, second, self.amount, self.marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """Why there is no room.

    Attributes:
        claim: which account.
        unit: of what.
        limit, used, held: of this unit; dollars in billionths.
        resets: when there may be room again, in UTC; None if there never will be.
        wait: until then, in seconds.
        only_held: whether there would be room, but for what is held for calls that are running.
    """

    claim: Claim
    unit: Unit
    limit: int
    used: int
    held: int
    resets: datetime | None
    wait: float | None
    only_held: bool = False

    @property
    def error(self) -> BudgetExceeded:
        """The error to raise."""
        return BudgetExceeded(
            scope=self.claim.scope,
            per=self.claim.per,
            unit=self.unit,
            limit=said(self.limit, self.unit),
            used=said(self.used, self.unit),
            held=said(self.held, self.unit),
            asked=said(self.claim.amount.get(self.unit), self.unit),
            resets=self.resets,
            retry_after=self.wait,
            only_held=self.only_held,
        )


def decide(
    claims: Sequence[Claim], balances: Mapping[str, Balance], now: datetime
) -> Shortage | None:
    """Find the first account that has no room for what is asked of it; None if all have.

    An account that is full has no room even for what costs nothing. Requests are another thing: who asks for none is part of a call that
    is counted already.

    Args:
        claims: what a call asks of its accounts, one for each.
        balances: what these have; one that is not there has nothing.
        now: what it is now.
    """
    for claim in claims:
        balance = balances.get(claim.key) or Balance()
        for unit in UNITS:
            limit, asked = claim.limits.get(unit), claim.amount.get(unit)
            if limit is None or (unit == "requests" and asked == 0):
                continue
            used, held = balance.used.get(unit), balance.held.get(unit)
            if used + held + asked > limit or used + held >= limit:
                return shortage(claim, balance, unit, now)
    return None


def shortage(claim: Claim, balance: Balance, unit: Unit, now: datetime) -> Shortage:
    """Say why an account has no room."""
    resets, only_held = _resets(claim, balance, unit, now), _is_only_held(claim, balance, unit)
    if only_held:
        soon = now + timedelta(seconds=_SOON)
        resets = soon if resets is None else min(soon, resets)
    return Shortage(
        claim=claim,
        unit=unit,
        limit=claim.limits[unit],
        used=balance.used.get(unit),
        held=balance.held.get(unit),
        resets=resets,
        wait=None if resets is None else max(0.0, (resets - now).total_seconds()),
        only_held=only_held,
    )


def _is_only_held(claim: Claim, balance: Balance, unit: Unit) -> bool:
    used, limit = balance.used.get(unit), claim.limits[unit]
    # A request that is held is one that is made.
    return unit != "requests" and used < limit and used + claim.amount.get(unit) <= limit


def _resets(claim: Claim, balance: Balance, unit: Unit, now: datetime) -> datetime | None:
    limit, asked = claim.limits[unit], claim.amount.get(unit)
    if asked > limit or limit == 0:
        return None  # not even an empty account has room
    if not claim.slides:
        return claim.window(now).ends
    total = balance.used.get(unit) + balance.held.get(unit)
    for second in sorted(balance.by_second):
        total -= balance.by_second[second].get(unit)
        if total + asked <= limit and total < limit:
            return datetime.fromtimestamp(second + SECONDS, UTC)
    return now + timedelta(seconds=SECONDS)
