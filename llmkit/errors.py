"""The exceptions that llmkit raises.

LLMKitError
├── ConfigError (ValueError)        the settings are wrong; nothing was sent
│   └── MissingExtra                an optional package is not installed
├── InvalidRequest (ValueError)     the caller's messages or options are wrong; nothing was sent
├── QueueFull                       too many calls at once in this process; nothing was sent
├── LedgerUnavailable               the row could not be written; nothing was sent
├── BudgetExceeded                  a budget has no room for the call; nothing was sent
├── BudgetUnavailable               the budgets could not be asked; nothing was sent
├── StreamClosed (RuntimeError)     the stream, or its Kit, was closed before or while it was read
└── ProviderError                   an attempt to call the provider failed
    ├── ConnectionFailed            no connection, or it broke before any answer
    ├── ProviderTimeout             a timeout expired: connect, first_content, idle or total
    ├── RequestRejected             the provider refuses this request (400, 404, 413, 422, ...)
    │   ├── AuthenticationFailed    the provider refuses the key (401, 403)
    │   └── PromptTooLong           the prompt does not fit into the model's context window
    ├── RateLimited                 too many requests (429), with the wait in `retry_after`
    │   └── QuotaExhausted          the account has no money or quota left; waiting a little does not help
    ├── ServerFailed                the provider failed (500, 502, 503, 504), or reported an error inside a stream
    │   └── Overloaded              the provider has too many requests (529)
    ├── ProtocolError               the answer does not follow the wire format
    │   ├── ToolCallBroken          a call of a tool is cut off, or its arguments are no JSON object
    │   ├── FrameTooLarge           a server-sent event is larger than the limit
    │   └── AnswerTooLarge          the complete answer is larger than the limit
    └── StreamTruncated             the answer ended without its end marker
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from llmkit.response import Response

Clock = Literal["connect", "first_content", "idle", "total"]


class LLMKitError(Exception):
    """The base class of all llmkit exceptions.

    `hint` says how to fix the problem. `type` is a short name for browsers and logs. Neither ever contains a prompt or a key.
    """

    type = "llmkit_error"

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
    return "Raise the budget, or ask for fewer max_tokens: no time to wait makes room."


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


class ProviderError(LLMKitError):
    """An attempt to call a provider failed.

    Attributes:
        provider, model: what was called.
        status_code: the HTTP status, if there was one.
        code: the provider's error code; for a timeout, the name of the timeout that expired.
        request_id: the provider's id for the request, to quote to its support.
        retry_after: how many seconds the provider asks to wait, or None.
        rate_limits: the provider's rate limit headers, as in `Response`.
        can_retry: whether the same request may succeed later.
        sent: whether the request may have reached the provider; False if no connection was made.
        response: the partial answer, if any text arrived before the failure.
    """

    type = "provider_error"
    can_retry = False
    sent = True

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        status_code: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        can_retry: bool | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.provider = provider
        self.model = model
        self.status_code = status_code
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        if can_retry is not None:
            self.can_retry = can_retry
        self.rate_limits: Mapping[str, str] = {}
        self.response: Response | None = None

    def _what(self) -> str:
        """Say whose failure it is, where the message does not: it may have been written before that was known."""
        name = self.provider
        if not name or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", self.message):
            return self.message
        return f"{self.message} ({name})"


class ConnectionFailed(ProviderError):
    """No connection could be made, or it broke before the answer began.

    Attributes:
        stale: whether a kept connection broke before one byte of this answer came. The provider, or something on the way, has most likely
            given it up in the meantime, so that the request is sent again at once over a new connection. How long it took to
            break says nothing: who forgot the connection may refuse it at once or never answer, and a provider that fails while it works
            on the request looks the same. This is what browsers and most HTTP clients go by, too.
    """

    type = "connection_failed"
    can_retry = True
    stale = False


class ProviderTimeout(ProviderError):
    """A timeout expired. `clock` says which one: connect, first_content, idle or total."""

    type = "timeout"
    can_retry = True

    def __init__(self, clock: Clock, seconds: float, **fields: object) -> None:
        super().__init__(
            f"the provider did not answer in time: the {clock} timeout expired after {seconds:g} s",
            hint=f"Raise timeouts.{clock} if this model needs longer.",
            code=clock,
            **fields,  # type: ignore[arg-type]  # the keyword arguments of ProviderError
        )
        self.clock: Clock = clock
        self.seconds = seconds


class RequestRejected(ProviderError):
    """The provider refuses this request; sending it again would not help."""

    type = "request_rejected"


class AuthenticationFailed(RequestRejected):
    """The provider refuses the API key."""

    type = "authentication_failed"


class PromptTooLong(RequestRejected):
    """The prompt, with room for the answer, does not fit into the model's context window."""

    type = "prompt_too_long"


class RateLimited(ProviderError):
    """The provider asks to slow down."""

    type = "rate_limited"
    can_retry = True


class QuotaExhausted(RateLimited):
    """The account has no money or quota left; waiting a little does not help."""

    type = "quota_exhausted"
    can_retry = False


class ServerFailed(ProviderError):
    """The provider failed or is overloaded."""

    type = "server_failed"
    can_retry = True


class Overloaded(ServerFailed):
    """The provider is overloaded; it may answer a little later."""

    type = "overloaded"


class ProtocolError(ProviderError):
    """The answer does not follow the provider's wire format."""

    type = "protocol_error"
    can_retry = True


class ToolCallBroken(ProtocolError):
    """The model asks for a call of a tool that is cut off, or whose arguments are no JSON object. No call of the answer was handed on."""

    type = "tool_call_broken"


class FrameTooLarge(ProtocolError):
    """A server-sent event is larger than the decoder's limit."""

    type = "frame_too_large"


class AnswerTooLarge(ProtocolError):
    """The answer is larger than the limit, so llmkit stopped reading it. `limit` is in bytes for a complete answer, in characters for a stream."""

    type = "answer_too_large"
    can_retry = False

    def __init__(self, limit: int, unit: str = "bytes", **fields: object) -> None:
        super().__init__(
            f"the answer has more than {limit:,} {unit}",
            hint="No model sends answers of this size. Check the base URL of this provider, and the proxies in between.",
            **fields,  # type: ignore[arg-type]  # the keyword arguments of ProviderError
        )
        self.limit = limit


class StreamTruncated(ProviderError):
    """The stream ended without its end marker: the answer is not complete."""

    type = "stream_truncated"
    can_retry = True
