"""Budgets by themselves: what is held and settled in code."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from llmkit.budget.bounds import Fixed
from llmkit.budget.memory import MemoryBudgets
from llmkit.budget.rules import Rules
from llmkit.budget.settler import may_be_held
from llmkit.budget.warnings import BudgetWarning, Warner
from llmkit.caller import Caller, UserId, caller_of
from llmkit.concurrency.host_threads import FromAsync, in_any_thread
from llmkit.concurrency.later import Later
from llmkit.config.budgets import Budget
from llmkit.config.functions import WARNING, function_at
from llmkit.errors import BudgetUnavailable, ConfigError
from llmkit.ids import new_id
from llmkit.kinds import kind_of
from llmkit.policy.budgets.amounts import UNUSED, Amount, Unit, Units, said
from llmkit.policy.budgets.decide import Claim
from llmkit.policy.budgets.times import LAPSE
from llmkit.zones import zone_of

if TYPE_CHECKING:
    from decimal import Decimal
    from typing import Any

    from llmkit.budget.base import BudgetStore
    from llmkit.policy.budgets.accounts import Balance

log = logging.getLogger("llmkit.budget")

_NO_AMOUNT = Fixed(Units())
_LONGEST_ID = 128
# Neither control characters nor halves of surrogate pairs, which a store would not take or take for another one.
_ID = re.compile(rf"[^\x00-\x1f\x7f\ud800-\udfff]{{1,{_LONGEST_ID}}}")
_NOTHING = Amount(requests=0)
# After how many seconds it is tried again to give something back.
_AGAIN = 1.0


@dataclass(frozen=True, slots=True)
class Hold:
    """What is held until it is settled. `id` names it, over all processes."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What one of a caller's budgets has left.

    Attributes:
        scope, per, models: which budget it is, as the settings say it.
        unit: "usd", "tokens" or "requests".
        limit, used, held: of this unit. Dollars are Decimals; `held` is set aside for calls whose cost is not known yet.
        resets: when its period ends, in UTC; None for one that does not end, and for a minute, which slides.
    """

    scope: str
    per: str
    models: tuple[str, ...]
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
        by_tenant: whether each tenant's are in a part of the store of their own.
        now: the date, with a time zone, for what is kept in memory.
        on_budget_warning: called with a `BudgetWarning` when a budget with `warn_at` is nearly used, once in its period, in a thread of
            its own.
        new_id: makes the id of a hold.
        from_async: runs a limit's function for async code; by default in any thread.

    Raises:
        ConfigError: a budget is wrong, a dotted path leads to no function, or there is no such time zone.
        TypeError: `budgets` is no list of budgets, or `store` is none.
    """

    def __init__(
        self,
        budgets: Iterable[Budget | Mapping[str, Any]],
        *,
        store: BudgetStore | None = None,
        time_zone: str | None = None,
        by_tenant: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_budget_warning: Callable[[BudgetWarning], object] | None = None,
        new_id: Callable[[], str] = new_id,
        from_async: FromAsync = in_any_thread,
    ) -> None:
        read = _read(budgets)
        try:
            zone_of(time_zone)
        except ValueError as error:
            raise ConfigError(f"time_zone: {error}") from None
        self._rules = Rules(read, time_zone=time_zone, by_tenant=by_tenant)
        self._store = MemoryBudgets(now=now) if store is None else _checked(store)
        hook = function_at(on_budget_warning, "on_budget_warning", WARNING)
        if hook is not None and self._rules.warn:
            self._warner = Warner(self._rules.warning, [hook])
            self._warner.listen_to(self._store.bell)
        self._now = now
        self._new_id = new_id
        self._from_async = from_async
        self._later = Later(self._let_go, name="llmkit-budgets", log=log)

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
            TypeError: the user is no id, or the amount no `Amount`.
            ValueError: the id of the hold is too long, or not of printable characters.
        """
        hold = self._new_hold(id)
        claims = self._claims(user, amount, model, alias)
        with self._given_back(hold, is_new=id is None):
            shortage = self._store.hold(hold.id, claims)
        if shortage is not None:
            raise shortage.error
        return hold

    def settle(self, hold: Hold | str, amount: Amount) -> None:
        """Charge what was used in place of what is held. It may be more than that. Settling again corrects it.

        Raises:
            BudgetUnavailable: the store does not answer.
            TypeError: it is no hold, or the amount no `Amount`.
        """
        self._store.settle(_id(hold), _amount(amount).used)

    def release(self, hold: Hold | str) -> None:
        """Give back what is held: nothing was used. What is settled already stays so.

        Raises:
            BudgetUnavailable: the store does not answer.
            TypeError: it is no hold.
        """
        self._store.settle(_id(hold), _NOTHING.used, again=False)

    def left(self, user: UserId | Caller) -> list[Left]:
        """Say what a caller's budgets have left.

        Raises:
            BudgetUnavailable: the store does not answer.
            ConfigError: a limit's function fails.
            TypeError: the user is no id.
        """
        claims = self._all(user)
        return _left(claims, self._store.balances(claims), self._now())

    async def ahold(
        self,
        user: UserId | Caller,
        amount: Amount,
        *,
        model: str | None = None,
        alias: str | None = None,
        id: str | None = None,  # a hold's
    ) -> Hold:
        """Do what `hold` does, without blocking the event loop. If it is cancelled, what may be held under a new id is given back."""
        hold = self._new_hold(id)
        ask = partial(self._claims, user, amount, model, alias)
        claims = await self._asked(ask)
        with self._given_back(hold, is_new=id is None):
            shortage = await self._store.ahold(hold.id, claims)
        if shortage is not None:
            raise shortage.error
        return hold

    async def asettle(self, hold: Hold | str, amount: Amount) -> None:
        """Do what `settle` does, without blocking the event loop."""
        await self._store.asettle(_id(hold), _amount(amount).used)

    async def arelease(self, hold: Hold | str) -> None:
        """Do what `release` does, without blocking the event loop."""
        await self._store.asettle(_id(hold), _NOTHING.used, again=False)

    async def aleft(self, user: UserId | Caller) -> list[Left]:
        """Do what `left` does, without blocking the event loop."""
        claims = await self._asked(partial(self._all, user))
        return _left(claims, await self._store.abalances(claims), self._now())

    def _new_hold(self, name: str | None) -> Hold:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"the id of a hold has to be a str, not {kind_of(name)}")
        return Hold(self._new_id() if name is None else _id(name))

    @contextmanager
    def _given_back(self, hold: Hold, *, is_new: bool) -> Iterator[None]:
        """Give back what may be held where whoever asks for it does not learn that it is, because they are cancelled or the store fails.

        Who has named the hold may ask for it again, or release it; and somebody else may hold it already.
        """
        try:
            yield
        except BaseException as error:
            if is_new and not (isinstance(error, BudgetUnavailable) and not may_be_held(error)):
                self._later.put(_Unknown(hold.id))
            raise

    def _let_go(self, unknown: _Unknown) -> float | None:
        """Give back what may be held, and once more a moment later: the hold may have come after that."""
        try:
            self._store.settle(unknown.hold_id, UNUSED, again=False)
        except BudgetUnavailable as error:
            log.debug("what may be held could not be given back yet: %s", error)
            unknown.failures += 1
            return _AGAIN if unknown.failures * _AGAIN < LAPSE else None
        unknown.tries -= 1
        return _AGAIN if unknown.tries else None

    async def _asked(self, ask: Callable[[], Sequence[Claim]]) -> Sequence[Claim]:
        if not self._rules.asks_the_app:
            return ask()
        claims: Sequence[Claim] = await self._from_async(ask)
        return claims

    def _claims(
        self, user: UserId | Caller, amount: Amount, model: str | None, alias: str | None
    ) -> Sequence[Claim]:
        units = _amount(amount).units
        provider, _, name = (model or "").partition(":")
        return self._rules.claims(
            caller_of(user),
            Fixed(units),
            alias=alias,
            provider=provider or None,
            model=name or None,
            requests=units.requests,
        )

    def _all(self, user: UserId | Caller) -> Sequence[Claim]:
        return self._rules.claims(caller_of(user), _NO_AMOUNT, requests=0, all_models=True)


@dataclass(slots=True)
class _Unknown:
    """A hold that may have been made, or may be made still."""

    hold_id: str
    tries: int = 2
    failures: int = 0


def _read(budgets: Iterable[Budget | Mapping[str, Any]]) -> list[Budget]:
    """Read budgets; see `BudgetManager`."""
    if isinstance(budgets, str | bytes | Mapping) or not isinstance(budgets, Iterable):
        raise TypeError(
            f"BudgetManager takes a list of budgets (llmkit.Budget, or dicts as in the settings), not {kind_of(budgets)}"
        )
    read = []
    for at, each in enumerate(budgets):
        if not isinstance(each, Budget | Mapping):
            raise TypeError(
                f"budgets[{at}] has to be an llmkit.Budget or a dict, not {kind_of(each)}"
            )
        read.append(each if isinstance(each, Budget) else Budget(**each))
    return read


def _checked(store: BudgetStore) -> BudgetStore:
    """Return what keeps budgets; see `BudgetManager`."""
    if isinstance(store, str) or not hasattr(store, "ahold"):
        raise TypeError(
            f"store has to be a store of budgets, not {kind_of(store)}. For budgets in Redis or in a database, set them in"
            " the settings of a Kit, with redis or ledger.database, and use kit.budgets"
        )
    return store


def _amount(amount: Amount) -> Amount:
    if not isinstance(amount, Amount):
        raise TypeError(
            f'an amount is an llmkit.Amount, such as Amount(usd="0.10"), not {kind_of(amount)}'
        )
    return amount


def _id(hold: Hold | str) -> str:
    name = hold.id if isinstance(hold, Hold) else hold
    if not isinstance(name, str):
        raise TypeError(f"it has to be what hold() has returned, or its id, not {kind_of(name)}")
    if not _ID.fullmatch(name):
        raise ValueError(
            f"the id of a hold has to be of 1 to {_LONGEST_ID} printable characters, not {len(name)}"
            if len(name) > _LONGEST_ID
            else "the id of a hold has to be of printable characters"
        )
    return name


def _left(claims: Sequence[Claim], balances: Sequence[Balance], now: datetime) -> list[Left]:
    return [
        Left(
            scope=claim.scope,
            per=claim.per,
            models=claim.models,
            unit=unit,
            limit=said(limit, unit),
            used=said(balance.used.get(unit), unit),
            held=said(balance.held.get(unit), unit),
            resets=claim.window(now).ends,
        )
        for claim, balance in zip(claims, balances, strict=True)
        for unit, limit in claim.limits.items()
    ]
