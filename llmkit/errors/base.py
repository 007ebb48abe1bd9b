"""The errors of llmkit itself, and the base class of all."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


class LLMKitError(Exception):
    """The base class of all llmkit exceptions.

    `hint` says how to fix the problem. `type` is a short name for browsers and logs. Neither ever contains a prompt or a key.

    Attributes:
        run: what a loop of tools had done when it ended with this error, a `RunResult`; None outside of one.
    """

    type = "llmkit_error"
    run: Any = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        said = self._what()
        if not self.hint:
            return said
        stop = "" if said.endswith("?") else "."
        return f"{said}{stop} {self.hint}"

    def _what(self) -> str:
        return self.message


class ConfigError(LLMKitError, ValueError):
    """The settings are wrong. Raised before anything is sent."""

    type = "config_error"


class MissingExtra(ConfigError):
    """An optional package is needed and not installed."""

    type = "missing_extra"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed", hint=f"Run: pip install 'llmkit[{extra}]'")


class InvalidRequest(LLMKitError, ValueError):
    """The messages or options of this call are wrong. Raised before anything is sent."""

    type = "invalid_request"


class QueueFull(LLMKitError):
    """Too many calls are running in this process. `retry_after` is in seconds."""

    type = "queue_full"

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class LedgerUnavailable(LLMKitError):
    """The ledger could not write the row, so the call was not made."""

    type = "ledger_unavailable"


class BudgetExceeded(LLMKitError):
    """A budget has no room for the call, which was not made.

    Attributes:
        scope: whose budget it is: "user", "tenant", "group", "tag:NAME", "model", "provider" or "all".
        per: how long its period is: "minute", "hour", "day", "month" or "ever".
        unit: "usd", "tokens" or "requests".
        limit, used, held: of this unit. Dollars are Decimals; `held` is set aside for calls whose cost is not known yet.
        asked: how much is to be set aside for the call.
        resets: when there may be room again, in UTC; None if there never will be.
        retry_after: until then, in seconds.
        only_held: whether there would be room, but for what is held for calls that are running: they may use less.
    """

    type = "budget_exceeded"

    def __init__(
        self,
        *,
        scope: str,
        per: str,
        unit: str,
        limit: Decimal | int,
        used: Decimal | int,
        held: Decimal | int,
        asked: Decimal | int,
        resets: datetime | None,
        retry_after: float | None,
        only_held: bool = False,
    ) -> None:
        period = "in all" if per == "ever" else f"a {per}" if per != "hour" else "an hour"
        whose = "of all calls" if scope == "all" else f"of this {scope}"
        super().__init__(
            f"the budget {whose} has no room for the call: {_shown(limit, unit)} {period}, {_shown(used, unit)} used, "
            f"{_shown(held, unit)} held for calls that are running, {_shown(asked, unit)} asked",
            hint=_when(unit, resets, only_held=only_held),
        )
        self.scope = scope
        self.per = per
        self.unit = unit
        self.limit = limit
        self.used = used
        self.held = held
        self.asked = asked
        self.resets = resets
        self.retry_after = retry_after
        self.only_held = only_held


def _when(unit: str, resets: datetime | None, *, only_held: bool) -> str:
    if only_held:
        return "There may be room in a moment, when calls that are running have ended."
    if resets is not None:
        return f"There may be room again at {resets:%Y-%m-%d %H:%M:%S} UTC."
    if unit == "requests":
        return "Raise the budget: no time to wait makes room."
    return "Raise the budget, or send less at once, or ask for fewer max_tokens: no time to wait makes room."


def _shown(amount: Decimal | int, unit: str) -> str:
    if isinstance(amount, Decimal):
        return f"${amount.normalize():f}"
    return f"{amount} {unit.removesuffix('s') if amount == 1 else unit}"


class BudgetUnavailable(LLMKitError):
    """The budgets could not be asked whether there is room, so the call was not made."""

    type = "budget_unavailable"


class StreamClosed(LLMKitError, RuntimeError):
    """The stream was closed before or while it was read."""

    type = "stream_closed"
