"""Whether there is room for a call in every account that it is charged to. Every store decides so, or as this does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from llmkit.policy.budgets.amounts import NOTHING, UNITS, Amount, Unit
from llmkit.policy.budgets.windows import SECONDS, Per, Window, window_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a call asks of one account.

    Attributes:
        key: the account's name.
        per: how long its windows are; `zone` is where they begin.
        amount: what is to be held.
        limits: the limits of each unit that has one.
    """

    key: str
    per: Per
    zone: tzinfo
    amount: Amount
    limits: Mapping[Unit, int]

    def window(self, now: datetime) -> Window:
        """Return the window that a moment is in."""
        return window_at(self.per, now, self.zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What an account has in one window.

    Attributes:
        used, held: in a window of the calendar; of a minute that slides, over its seconds.
        by_second: of a minute that slides, what is used and held together, by the second since 1970 in which it was held.
    """

    used: Amount = NOTHING
    held: Amount = NOTHING
    by_second: Mapping[int, Amount] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """Why there is no room.

    Attributes:
        claim: which account.
        unit: of what.
        limit, used, held: of this unit; dollars in billionths.
        resets: when there may be room again, in UTC; None if there never will be.
    """

    claim: Claim
    unit: Unit
    limit: int
    used: int
    held: int
    resets: datetime | None


def decide(
    claims: Sequence[Claim], balances: Mapping[str, Balance], now: datetime
) -> Shortage | None:
    """Find the first account that has no room for what is asked of it; None if all have.

    An account that is full has no room for anything, not even for nothing: what is in debt does not hide behind what is free.

    Args:
        claims: what a call asks of its accounts.
        balances: what these have; one that is not there has nothing.
        now: what it is now.
    """
    for claim in claims:
        balance = balances.get(claim.key) or Balance()
        for unit in UNITS:
            limit = claim.limits.get(unit)
            if limit is None:
                continue
            used, held, asked = (
                balance.used.get(unit),
                balance.held.get(unit),
                claim.amount.get(unit),
            )
            if used + held + asked > limit or used + held >= limit:
                return Shortage(
                    claim=claim,
                    unit=unit,
                    limit=limit,
                    used=used,
                    held=held,
                    resets=_resets(claim, balance, unit, now),
                )
    return None


def distinct(claims: Sequence[Claim]) -> list[Claim]:
    """Return one claim for each account: several budgets may count in the same one."""
    return list({claim.key: claim for claim in claims}.values())


def _resets(claim: Claim, balance: Balance, unit: Unit, now: datetime) -> datetime | None:
    limit, asked = claim.limits[unit], claim.amount.get(unit)
    if asked > limit or limit == 0:
        return None  # not even an empty account has room
    if claim.per != "minute":
        return claim.window(now).ends
    total = balance.used.get(unit) + balance.held.get(unit)
    for second in sorted(balance.by_second):
        total -= balance.by_second[second].get(unit)
        if total + asked <= limit and total < limit:
            return datetime.fromtimestamp(second + SECONDS, UTC)
    return now + timedelta(seconds=SECONDS)
