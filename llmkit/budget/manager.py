"""Budgets by themselves: what is held and settled in code."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from llmkit.budget.memory import MemoryBudgets
from llmkit.budget.rules import Fixed, Rules
from llmkit.call import NOTHING, Caller, UserId, caller_of
from llmkit.config.budgets import UNITS, Budget
from llmkit.errors import ConfigError
from llmkit.policy.budgets.amounts import Amount, Unit, Units, Used, dollars
from llmkit.policy.budgets.decide import Claim

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal
    from typing import Any

    from llmkit.budget.base import BudgetStore

_NO_AMOUNT = Fixed(Units())


@dataclass(frozen=True, slots=True)
class Hold:
    """What is held until it is settled. `id` names it, over all processes."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What one of a caller's budgets has left.

    Attributes:
        scope, per: which budget it is, as the settings say it.
        unit: "usd", "tokens" or "requests".
        limit, used, held: of this unit. Dollars are Decimals; `held` is set aside for calls whose cost is not known yet.
        resets: when its period ends, in UTC; None for one that does not end, and for a minute, which slides.
    """

    scope: str
    per: str
    unit: Unit
    limit: Decimal | int
    used: Decimal | int
    held: Decimal | int
    resets: datetime | None

    @property
    def left(self) -> Decimal | int:
        """How much there is; less than nothing if more was used than there was."""
        return self.limit - self.used - self.held


class BudgetManager:
    """Holds amounts in budgets before they are used, and settles them after.

    Args:
        budgets: `llmkit.Budget`s, or dicts as in the settings.
        store: where they are kept; by default in the memory of this process.
        time_zone: the name of the time zone in which days and months begin; by default UTC.
        now: the date, with a time zone, for what is kept in memory.
        new_id: makes the id of a hold.

    Raises:
        ConfigError: a budget is wrong.
    """

    def __init__(
        self,
        budgets: Iterable[Budget | Mapping[str, Any]],
        *,
        store: BudgetStore | None = None,
        time_zone: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], str] = lambda: os.urandom(16).hex(),
    ) -> None:
        read = [each if isinstance(each, Budget) else Budget(**each) for each in budgets]
        try:
            self._rules = Rules(read, time_zone=time_zone)
        except ValueError as error:
            raise ConfigError(f"time_zone: {error}") from None
        self._store = MemoryBudgets(now=now) if store is None else store
        self._now = now
        self._new_id = new_id

    def hold(
        self,
        user: UserId | Caller,
        amount: Amount,
        *,
        model: str | None = None,
        alias: str | None = None,
        id: str | None = None,  # a hold's
    ) -> Hold:
        """Set an amount aside in all budgets that count it, or in none.

        Args:
            user: who uses it: an id, or a `Caller` with a tenant, tags or groups; None is nobody.
            amount: the most that will be used.
            model: which model it is for, as `provider:model`, for budgets that ask for it.
            alias: the name that the settings have for it.
            id: of the hold; what is held under it already is held once. By default a new one.

        Raises:
            BudgetExceeded: there is no room.
            BudgetUnavailable: the store does not answer.
            ConfigError: a limit's function fails.
        """
        hold = Hold(self._new_id() if id is None else id)
        shortage = self._store.hold(hold.id, self._claims(user, Fixed(amount.units), model, alias))
        if shortage is not None:
            raise shortage.error
        return hold

    def settle(self, hold: Hold | str, amount: Amount) -> None:
        """Charge what was used in place of what is held. It may be more than that. Settling again corrects it.

        Raises:
            BudgetUnavailable: the store does not answer.
        """
        units = amount.units
        used = Used(usd=units.usd, tokens=units.tokens, requests=units.requests)
        self._store.settle(hold.id if isinstance(hold, Hold) else hold, used)

    def release(self, hold: Hold | str) -> None:
        """Give back what is held: nothing was used.

        Raises:
            BudgetUnavailable: the store does not answer.
        """
        self.settle(hold, Amount(requests=0))

    def left(
        self, user: UserId | Caller, *, model: str | None = None, alias: str | None = None
    ) -> list[Left]:
        """Say what a caller's budgets have left.

        Raises:
            BudgetUnavailable: the store does not answer.
            ConfigError: a limit's function fails.
        """
        claims = self._claims(user, _NO_AMOUNT, model, alias)
        now = self._now()
        found = []
        for claim, balance in zip(claims, self._store.balances(claims), strict=True):
            for unit in UNITS:
                limit = claim.limits.get(unit)  # type: ignore[call-overload]
                if limit is not None:
                    found.append(_left(claim, unit, balance.used, balance.held, now))  # type: ignore[arg-type]
        return found

    async def ahold(
        self,
        user: UserId | Caller,
        amount: Amount,
        *,
        model: str | None = None,
        alias: str | None = None,
        id: str | None = None,  # a hold's
    ) -> Hold:
        """Do what `hold` does, without blocking the event loop."""
        import asyncio  # noqa: PLC0415  # not for those who have threads only

        return await asyncio.to_thread(self.hold, user, amount, model=model, alias=alias, id=id)

    async def asettle(self, hold: Hold | str, amount: Amount) -> None:
        """Do what `settle` does, without blocking the event loop."""
        import asyncio  # noqa: PLC0415  # not for those who have threads only

        await asyncio.to_thread(self.settle, hold, amount)

    async def arelease(self, hold: Hold | str) -> None:
        """Do what `release` does, without blocking the event loop."""
        import asyncio  # noqa: PLC0415  # not for those who have threads only

        await asyncio.to_thread(self.release, hold)

    async def aleft(
        self, user: UserId | Caller, *, model: str | None = None, alias: str | None = None
    ) -> list[Left]:
        """Do what `left` does, without blocking the event loop."""
        import asyncio  # noqa: PLC0415  # not for those who have threads only

        return await asyncio.to_thread(self.left, user, model=model, alias=alias)

    def _claims(
        self, user: UserId | Caller, bounds: Fixed, model: str | None, alias: str | None
    ) -> Sequence[Claim]:
        provider, _, name = (model or "").partition(":")
        return self._rules.claims(
            caller_of(user, NOTHING),
            bounds,
            alias=alias,
            provider=provider or None,
            model=name or None,
            requests=bounds.most("requests"),
        )


def _left(claim: Claim, unit: Unit, used: Units, held: Units, now: datetime) -> Left:
    def said(amount: int) -> Decimal | int:
        return dollars(amount) if unit == "usd" else amount

    return Left(
        scope=claim.scope,
        per=claim.per,
        unit=unit,
        limit=said(claim.limits[unit]),
        used=said(used.get(unit)),
        held=said(held.get(unit)),
        resets=claim.window(now).ends,
    )
