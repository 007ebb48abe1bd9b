"""A budget, as the settings say it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from llmkit.config.errors import explain
from llmkit.config.functions import LIMIT, function
from llmkit.config.sections import Section
from llmkit.errors import ConfigError

SCOPES = ("user", "tenant", "group", "model", "provider", "all")
UNITS = ("usd", "tokens", "requests")
TAG = "tag:"
# More than any app spends, and little enough that whole billionths of a dollar fit into a database's integers.
_MOST = {"usd": Decimal(10**9), "tokens": Decimal(10**15), "requests": Decimal(10**15)}


_SCOPE = f"it has to be one of {', '.join(SCOPES)}, or tag:NAME"


def _scope(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(_SCOPE)  # noqa: TRY004  # which pydantic takes
    if value in SCOPES or (value.startswith(TAG) and value != TAG):
        return value
    near = get_close_matches(value, SCOPES, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{_SCOPE}{meant}")


def limit(unit: str, value: object) -> Decimal | int | None:
    """Read the limit of a unit, from the settings or from a function of the app's; None is no limit.

    Raises:
        ValueError: it is no such number.
    """
    if value is None:
        return None
    kind = 'an amount in US dollars, such as 5 or "0.50"' if unit == "usd" else "a whole number"
    wrong = ValueError(f"it has to be {kind}, 0 or more")
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise wrong
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise wrong from None
    if not number.is_finite() or not 0 <= number < _MOST[unit]:
        raise wrong
    if unit == "usd":
        return number
    if number != int(number):
        raise wrong
    return int(number)


def _part(value: object) -> object:
    """Read a part of a limit."""
    if value is None:
        return None
    wrong = ValueError("it has to be a part of the limit, such as 0.8")
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise wrong
    try:
        is_part = 0 < value <= 1
    except InvalidOperation:  # a Decimal that is none cannot be compared
        is_part = False
    if not is_part:
        raise wrong
    return value


def _limit(unit: str) -> BeforeValidator:
    def read(value: object) -> object:
        """Read a number, or what names a function that returns one."""
        try:
            return limit(unit, value)
        except ValueError as error:
            if callable(value) or (isinstance(value, str) and "." in value):
                try:
                    return function(value, LIMIT)
                except ValueError:
                    if callable(value):
                        raise
            raise ValueError(
                f"{error}, or a function (or its dotted path) that takes the Caller and returns one"
            ) from None

    return BeforeValidator(read)


class Budget(Section):
    """What may be used in a period, by all together or by each user, tenant, group, tag, model or provider.

    Args:
        scope: who shares it: each "user", "tenant", "group", "model" or "provider" has one, or each value of "tag:NAME"; "all" is one for
            everything. Callers without a user or tenant share one. A call of several groups counts in each.
        per: its period: a "minute" that slides, an "hour", "day" or "month" of the time zone in the settings, or "ever".
        usd, tokens, requests: the limits, at least one of them: a number, or a function of the `llmkit.Caller` that returns one, or its
            dotted path. None is no limit. A call counts as one request, however many attempts it takes.
        models: the aliases or `provider:model` ids of the calls that it counts; by default all.
        hold: what is set aside for a call until its cost is known: the most that it can be ("bound"), or what is likely ("estimate"), so
            that more calls fit in at the same time, and the limit may be passed by the difference.
        warn_at: the part of a limit, such as 0.8, at which `on_budget_warning` is called, once in a period.

    Raises:
        ConfigError: it is not as it should be.
    """

    scope: Annotated[str, BeforeValidator(_scope), Field(description=_SCOPE)]
    per: Literal["minute", "hour", "day", "month", "ever"]
    usd: Annotated[Any, _limit("usd")] = None
    tokens: Annotated[Any, _limit("tokens")] = None
    requests: Annotated[Any, _limit("requests")] = None
    models: tuple[str, ...] = ()
    warn_at: Annotated[Any, BeforeValidator(_part)] = None
    hold: Literal["bound", "estimate"] = "bound"

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(explain(error, type(self), values)) from None

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if all(getattr(self, unit) is None for unit in UNITS):
            raise ValueError(f"it has no limit: set one of {', '.join(UNITS)}")
        return self


def _amount(unit: str) -> BeforeValidator:
    return BeforeValidator(partial(limit, unit))


class AllowanceConfig(Section):
    """What each process may use while budgets cannot be asked, from when their store goes away until it is back. It is charged later.

    What is not named is not limited.
    """

    usd: Annotated[Decimal | None, _amount("usd")] = None
    tokens: Annotated[int | None, _amount("tokens")] = None
    requests: Annotated[int | None, _amount("requests")] = None

    @property
    def most(self) -> Mapping[str, Decimal | int]:
        """What is named, by its unit."""
        named = ((unit, getattr(self, unit)) for unit in UNITS)
        return {unit: number for unit, number in named if number is not None}

    @model_validator(mode="after")
    def _allows_something(self) -> Self:
        if not self.most:
            raise ValueError(f"it allows any number of calls: set one of {', '.join(UNITS)}")
        return self
