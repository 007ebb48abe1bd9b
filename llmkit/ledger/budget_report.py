"""What budgets have left, for people who look after an app."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from llmkit.budget.manager import BudgetManager
from llmkit.budget.rules import Rules
from llmkit.caller import Caller
from llmkit.config.budgets import Budget
from llmkit.ledger.budgets import TableBudgets
from llmkit.policy.budgets.amounts import UNITS, said

LimitIs = Literal["number", "by a function", "not in the settings", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLine:
    """One unit of one budget.

    Attributes:
        scope, per, models: which budget, as the settings have it.
        name, tenant: whose it is; None is nobody, or a name that is too long to be known.
        unit: "usd", "tokens" or "requests".
        limit: of this unit; None if it is not known, because a function gives it or the settings are not.
        used, held: of this unit. Dollars are Decimals.
        resets: when its period ends, in UTC; None for one that does not end, and for a minute, which slides.
        limit_is: a number, or why it is not known: a function gives it, the settings do not have the budget any more, or they were not read.
    """

    scope: str
    per: str
    models: tuple[str, ...]
    name: str | None
    tenant: str | None
    unit: str
    limit: Decimal | int | None
    used: Decimal | int
    held: Decimal | int
    resets: datetime | None
    limit_is: LimitIs

    @property
    def left(self) -> Decimal | int | None:
        """How much there is; less than nothing if more was used than there was."""
        return None if self.limit is None else self.limit - self.used - self.held


def of_all(
    kept: TableBudgets, budgets: Sequence[Budget], *, time_zone: str | None
) -> list[BudgetLine]:
    """Say what all accounts have that were used in their periods of now.

    Raises:
        BudgetUnavailable: the store does not answer.
    """
    rules = Rules(budgets, time_zone=time_zone)
    found = []
    for key, balance, ends in kept.current():
        owner = rules.owner(key)
        for unit in UNITS:
            used, held, limit = (
                balance.used.get(unit),
                balance.held.get(unit),
                owner.limits.get(unit),
            )
            if not (unit in owner.limits if owner.limits else used or held):
                continue
            found.append(
                BudgetLine(
                    scope=owner.scope,
                    per=owner.per,
                    models=owner.models,
                    name=owner.name,
                    tenant=owner.tenant,
                    unit=unit,
                    limit=None if limit is None else said(limit, unit),
                    used=said(used, unit),
                    held=said(held, unit),
                    resets=ends,
                    limit_is=_limit_is(limit, is_set=bool(owner.limits), knows_any=bool(budgets)),
                )
            )
    return found


def _limit_is(limit: int | None, *, is_set: bool, knows_any: bool) -> LimitIs:
    if limit is not None:
        return "number"
    if not knows_any:
        return "unknown"
    return "by a function" if is_set else "not in the settings"


def of_caller(
    kept: TableBudgets, budgets: Sequence[Budget], caller: Caller, *, time_zone: str | None
) -> list[BudgetLine]:
    """Say what a caller's budgets have left, those that they share with others too.

    Raises:
        BudgetUnavailable: the store does not answer.
        ConfigError: a function that gives a limit fails.
    """
    manager = BudgetManager(budgets, store=kept, time_zone=time_zone)
    return [
        BudgetLine(
            scope=left.scope,
            per=left.per,
            models=left.models,
            name={"user": caller.user, "tenant": caller.tenant}.get(left.scope),
            tenant=caller.tenant if left.scope == "user" else None,
            unit=left.unit,
            limit=left.limit,
            used=left.used,
            held=left.held,
            resets=left.resets,
            limit_is="number",
        )
        for left in manager.left(caller)
    ]
