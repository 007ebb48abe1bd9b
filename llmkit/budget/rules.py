"""The budgets of the settings, and what a call asks of each."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2s
from math import ceil
from typing import TYPE_CHECKING, Any

from llmkit.budget.names import (
    LONGEST,
    Owner,
    accounts_of,
    key_of,
    owner_by_name,
    owner_of,
    part,
    quoted,
)
from llmkit.budget.warnings import BudgetWarning
from llmkit.config.budgets import Budget, limit
from llmkit.config.functions import LIMIT, function_at
from llmkit.errors import ConfigError
from llmkit.kinds import kind_of
from llmkit.policy.budgets.accounts import Crossing, Mark
from llmkit.policy.budgets.amounts import UNITS, Unit, Units, nano_dollars, said
from llmkit.policy.budgets.decide import Claim
from llmkit.policy.budgets.windows import window_at
from llmkit.tracebacks import place_of
from llmkit.usage import EXACT
from llmkit.zones import zone_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from llmkit.budget.bounds import Bounds
    from llmkit.caller import Caller


class _Rule:
    """One budget, ready to be asked."""

    def __init__(self, budget: Budget, at: int) -> None:
        self.budget = budget
        self.name = f"budgets.{at}"
        mark = ""
        if budget.models:
            names = "\n".join(sorted(set(budget.models)))
            mark = f"[{blake2s(names.encode(), digest_size=6).hexdigest()}]"
        self.prefix = f"{budget.scope}:{budget.per}{mark}="
        self._limits: dict[Unit, Any] = {}
        for unit in UNITS:
            value = getattr(budget, unit)
            if value is None:
                continue
            is_number = not callable(value) and not isinstance(value, str)
            self._limits[unit] = (
                _whole(unit, value)
                if is_number
                else function_at(value, f"{self.name}.{unit}", LIMIT)
            )

    @property
    def known_limits(self) -> Mapping[Unit, int | None]:
        """The limits that are numbers; None for those that a function gives."""
        return {
            unit: value if isinstance(value, int) else None for unit, value in self._limits.items()
        }

    @property
    def asks_the_app(self) -> bool:
        """Whether a limit is a function."""
        return any(callable(value) for value in self._limits.values())

    def counts(self, alias: str | None, model_id: str | None) -> bool:
        """Whether it counts calls of this model."""
        return not self.budget.models or any(
            name in self.budget.models for name in (alias, model_id)
        )

    def limits(self, caller: Caller) -> Mapping[Unit, int]:
        """Return the limits for a caller.

        Raises:
            ConfigError: a function of the app's fails, or returns what is no limit.
        """
        found: dict[Unit, int] = {}
        for unit, value in self._limits.items():
            number = value if isinstance(value, int) else self._asked(value, unit, caller)
            if number is not None:
                found[unit] = number
        return found

    def _asked(self, ask: Callable[[Caller], Any], unit: Unit, caller: Caller) -> int | None:
        try:
            answer = ask(caller)
        except (Exception, SystemExit) as error:  # which would end an event loop
            raise ConfigError(
                f"{self.name}.{unit} could not be asked: its function raised {place_of(error, ask)}",
                hint="A call whose limit is not known is not made. What the function said is left out, for it may quote data:"
                " the exception is the __cause__ of this one.",
            ) from error
        try:
            number = limit(unit, answer)
        except ValueError as error:
            raise ConfigError(
                f"{self.name}.{unit}: its function returned {kind_of(answer)} that is no limit: {error}"
            ) from None
        return None if number is None else _whole(unit, number)


class Rules:
    """All budgets of an app.

    Args:
        budgets: those of the settings.
        time_zone: where days and months begin.
        by_tenant: whether each tenant's are in a part of a cluster of their own.

    Attributes:
        asks_the_app: whether a limit is a function, which may wait for something.

    Raises:
        ConfigError: the dotted path of a limit leads to no function.
    """

    def __init__(
        self, budgets: Sequence[Budget], *, time_zone: str | None = None, by_tenant: bool = False
    ) -> None:
        zone_of(time_zone)
        self._zone = time_zone or "UTC"
        self._by_tenant = by_tenant
        self._rules = [_Rule(budget, at) for at, budget in enumerate(budgets)]
        self.asks_the_app = any(rule.asks_the_app for rule in self._rules)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._rules)

    @property
    def warn(self) -> bool:
        """Whether somebody wants to be told when one is nearly used."""
        return any(rule.budget.warn_at is not None for rule in self._rules)

    def owner(self, key: str) -> Owner:
        """Say which budget an account is of, and whose it is."""
        found = [rule for rule in self._rules if key.startswith(quoted(rule.prefix))]
        if not found:
            return owner_by_name(key)
        rule = max(found, key=lambda rule: len(rule.prefix))
        limits: dict[Unit, int | None] = {}
        for each in found:
            if each.prefix == rule.prefix:
                for unit, number in each.known_limits.items():
                    least = limits.get(unit, number)
                    limits[unit] = None
                    if number is not None and least is not None:
                        limits[unit] = min(number, least)
        account = key.removeprefix(quoted(rule.prefix))
        budget = rule.budget
        return owner_of(
            budget.scope,
            budget.per,
            budget.models,
            limits,
            account if len(key) < LONGEST else None,
        )

    def warning(self, crossing: Crossing) -> BudgetWarning:
        """Say of which budget, and of whose, so much is used."""
        unit, owner = crossing.mark.unit, self.owner(crossing.key)
        began = datetime.fromtimestamp(crossing.start, UTC)
        return BudgetWarning(
            scope=owner.scope,
            per=owner.per,
            models=owner.models,
            unit=unit,
            used=said(crossing.used, unit),
            limit=said(crossing.mark.limit, unit),
            name=owner.name,
            tenant=owner.tenant,
            resets=window_at(owner.per, began, zone_of(self._zone)).ends,
        )

    def claims(
        self,
        caller: Caller,
        bounds: Bounds,
        *,
        alias: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        requests: int = 1,
        counted: Container[str] = (),
        all_models: bool = False,
    ) -> tuple[Claim, ...]:
        """Return what a call asks of the accounts that it is charged to.

        Args:
            caller: who makes it.
            bounds: what it may use.
            alias: which model it asks for.
            provider: whose model it calls.
            model: which one.
            requests: for how many calls it counts.
            counted: the accounts that have counted it already.
            all_models: whether budgets of some models are asked, too, though it is not known which it calls.

        Raises:
            LLMKitError: it is not known what a limit is, or what the call may use.
        """
        model_id = f"{provider}:{model}" if provider and model else None
        found: dict[str, _Asked] = {}
        for rule in self._rules:
            if not (all_models or rule.counts(alias, model_id)):
                continue
            accounts = list(accounts_of(rule.budget.scope, caller, provider, model_id))
            limits = rule.limits(caller) if accounts else {}
            if limits:
                for account in accounts:
                    asked = found.setdefault(key_of(rule.prefix, account), _Asked(rule.budget))
                    asked.add(rule.budget, limits)
        partition = part(caller.tenant or "") if self._by_tenant else ""
        return tuple(
            asked.claim(
                key, bounds, 0 if key in counted else requests, zone=self._zone, partition=partition
            )
            for key, asked in found.items()
        )


class _Asked:
    """What is asked of one account, in which several budgets may count."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._limits: dict[Unit, int] = {}
        self._holds_bound = False
        self._marks: dict[Unit, Mark] = {}

    def add(self, budget: Budget, limits: Mapping[Unit, int]) -> None:
        """Take note of one more budget."""
        self._holds_bound = self._holds_bound or budget.hold == "bound"
        for unit, number in limits.items():
            self._limits[unit] = min(number, self._limits.get(unit, number))
            if budget.warn_at is not None and number:
                mark = Mark(
                    unit,
                    ceil(EXACT.multiply(Decimal(number), Decimal(str(budget.warn_at)))),
                    number,
                )
                self._marks[unit] = min(mark, self._marks.get(unit, mark))

    def claim(self, key: str, bounds: Bounds, requests: int, *, zone: str, partition: str) -> Claim:
        """Make the claim."""
        ask = bounds.most if self._holds_bound else bounds.likely
        return Claim(
            key=key,
            scope=self._budget.scope,
            per=self._budget.per,
            amount=Units(
                usd=ask("usd") if "usd" in self._limits else 0,
                tokens=ask("tokens") if "tokens" in self._limits else 0,
                requests=requests,
            ),
            limits=self._limits,
            zone=zone,
            models=self._budget.models,
            partition=partition,
            marks=tuple(self._marks.values()),
        )


def _whole(unit: Unit, number: Decimal | int) -> int:
    return nano_dollars(number) if unit == "usd" else int(number)
