"""What goes wrong, as a browser is told: a status, a word, a sentence and a way out."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import msgspec

from llmkit.errors import (
    AuthenticationFailed,
    ConfigError,
    InvalidRequest,
    LedgerUnavailable,
    LLMKitError,
    ProviderError,
    ProviderTimeout,
    QueueFull,
    RateLimited,
    RequestRejected,
    ServerFailed,
)

log = logging.getLogger("llmkit.relay")

# What the provider says of the conversation itself is passed on; what it says of the app's set-up is the app's to mend.
_CALLERS_FAULT = {400, 413, 422}
_OVERLOADED = {503, 529}


class Refusal(LLMKitError):
    """The relay does not take this request. `status` is the HTTP status."""

    def __init__(self, status: int, type_: str, message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.type = type_


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as the browser sees it. `retry_after` is in seconds."""

    status: int
    type: str
    message: str
    hint: str | None = None
    retry_after: float | None = None

    @property
    def body(self) -> bytes:
        """The JSON error body."""
        error = {"type": self.type, "message": self.message, "hint": self.hint}
        return msgspec.json.encode({"error": error})

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the error's answer, names in lower case."""
        headers = {"content-type": "application/json", "cache-control": "no-store"}
        if self.retry_after is not None:
            headers["retry-after"] = str(max(1, round(self.retry_after)))
        return headers


INTERNAL = Problem(
    500, "internal_error", "this app failed", "The app's log says what its operator has to mend."
)


def problem_of(error: LLMKitError) -> Problem:
    """Turn an error into what the browser may know; the log gets the rest."""
    if isinstance(error, ConfigError | LedgerUnavailable | AuthenticationFailed):
        log.error("a call could not be made: %s", error)
        status = 502 if isinstance(error, AuthenticationFailed) else 503
        return Problem(
            status,
            error.type,
            "this app cannot reach its language model",
            "The app's log says what its operator has to mend.",
        )
    if isinstance(error, ProviderError):
        log.warning("a call failed: %s", error)
    return Problem(
        _status(error),
        error.type,
        error.message,
        error.hint,
        getattr(error, "retry_after", None),
    )


def _status(error: LLMKitError) -> int:
    match error:
        case Refusal():
            return error.status
        case InvalidRequest():
            return 400
        case QueueFull():
            return 429
        case RateLimited():
            return 503
        case ProviderTimeout():
            return 504
        case RequestRejected() if error.status_code in _CALLERS_FAULT:
            return error.status_code or 400
        case ServerFailed() if error.status_code in _OVERLOADED:
            return 503
        case ProviderError():
            return 502
        case _:
            return 500
