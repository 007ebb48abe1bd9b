"""The errors of an attempt to call a provider."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from llmkit.errors.base import LLMKitError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmkit.response import Response

Clock = Literal["connect", "first_content", "idle", "total"]


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
    """A timeout expired. `clock` says which one: connect, first_content, idle or total. `message` and `hint` are others where it was not the provider's time."""

    type = "timeout"
    can_retry = True

    def __init__(
        self,
        clock: Clock,
        seconds: float,
        *,
        message: str = "the provider did not answer in time",
        hint: str = "Raise timeouts.{clock} if this model needs longer.",
        **fields: object,
    ) -> None:
        super().__init__(
            f"{message}: the {clock} timeout expired after {seconds:g} s",
            hint=hint.format(clock=clock),
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
    """The model asks for a call of a tool that is cut off, or whose arguments are no JSON object, or nested too deep. No call of the answer was handed on."""

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
