"""What the browser is told when something goes wrong: a status, a type, a message and a hint."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from datetime import datetime

import msgspec

from llmkit.errors import (
    AnswerCut,
    AnswerRefused,
    AuthenticationFailed,
    BudgetExceeded,
    BudgetUnavailable,
    ConfigError,
    InvalidRequest,
    LedgerUnavailable,
    LLMKitError,
    OutOfSteps,
    OutputInvalid,
    Overloaded,
    PromptTooLong,
    ProviderError,
    ProviderTimeout,
    QueueFull,
    RateLimited,
    StreamTruncated,
)
from llmkit.relay.answer import Answer

log = logging.getLogger("llmkit.relay")

# What a browser is told to wait, in seconds, where the provider named nothing.
RETRY_AFTER = 5.0
# The status for the host's log when the browser left before the answer began; nginx uses it too.
CLIENT_LEFT = 499


class Refusal(LLMKitError):
    """The relay refuses this request.

    Args:
        status: the HTTP status.
        type_: a short name for the problem.
        message: what happened, for the user.
        hint: what the user can do.
        advice: what the app's developer can do; only for the log.
    """

    def __init__(
        self, status: int, type_: str, message: str, *, hint: str, advice: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.type = type_
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as the browser sees it. `retry_after` is in seconds; `resets_at` is when a budget has room again."""

    status: int
    type: str
    message: str
    hint: str | None = None
    retry_after: float | None = None
    resets_at: datetime | None = None

    @property
    def body(self) -> bytes:
        """The JSON error body."""
        error: dict[str, object] = {
            "type": self.type,
            "message": self.message,
            "hint": self.hint,
        }
        if self.resets_at is not None:
            error["resets_at"] = self.resets_at
        return msgspec.json.encode({"error": error})

    @property
    def answer(self) -> Answer:
        """The error as a whole response."""
        headers = {"content-type": "application/json", "cache-control": "no-store"}
        if self.retry_after is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.retry_after)))
        return Answer.of(self.status, headers, self.body)


# The types of refusal that the log has its advice for: said once a process, for anybody can be refused at any rate.
_advised: set[str] = set()

INTERNAL = Problem(
    500, "internal_error", "an error occurred in this app", "The app's log has the details."
)


def problem_of(error: LLMKitError) -> Problem:
    """Turn an error into what the browser may know; the log gets the rest."""
    match error:
        case Refusal():
            _advise(error)
            return Problem(error.status, error.type, error.message, error.hint)
        case InvalidRequest():
            return Problem(400, error.type, error.message, error.hint)
        case QueueFull():
            log.warning("a call was refused: %s", error)
            message, hint = "too many calls at once", "Try again in a moment."
            return Problem(429, error.type, message, hint, error.retry_after)
        case BudgetExceeded():
            log.info("a call was refused: %s", error)
            return _used_up(error)
        case BudgetUnavailable():
            log.error("a call could not be made: %s", error)
            message = "this app cannot find out now how much may be used"
            return Problem(503, error.type, message, "Try again in a moment.")
        case ConfigError() | LedgerUnavailable():
            log.error("a call could not be made: %s", error)
            return _operators(503, error)
        case AuthenticationFailed():
            log.error("a call could not be made: %s", error)
            return _operators(502, error)
        case ProviderError():
            log.warning("a call failed: %s", error)
            return _providers(error)
        case AnswerRefused():
            log.info("a call was refused: %s", error)
            message, hint = "the model has refused to answer", "Ask in another way."
            return Problem(502, error.type, message, hint)
        case AnswerCut() | OutOfSteps() | OutputInvalid():
            log.warning("a call failed: %s", error)
            message, hint = "the model did not come to an answer", "Try again, or ask for less."
            return Problem(502, error.type, message, hint)
        case _:
            log.error("a call failed: %s", error)
            return INTERNAL


def unreadable(error: LedgerUnavailable) -> Problem:
    """Say that what calls cost cannot be read now; the log gets the reason."""
    log.error("the ledger could not be read: %s", error)
    return Problem(
        503, error.type, "this app cannot read its records now", "Try again in a moment."
    )


def _used_up(error: BudgetExceeded) -> Problem:
    """Say that a budget has no room. How large it is may be nobody's business but the app's."""
    if error.only_held:
        message, hint = "other calls have to end first", "Try again in a moment."
        return Problem(429, error.type, message, hint, error.retry_after)
    if error.resets is None:
        if error.asked > error.limit > 0:
            hint = "Ask for less, or ask whoever runs this app for more."
            return Problem(402, error.type, "this is more than may be used", hint)
        hint = "Ask whoever runs this app for more."
        return Problem(402, error.type, "what may be used is used up", hint)
    if error.used + error.held < error.limit:
        message = f"this may take more than is left for this {error.per}"
    elif error.unit == "requests":
        message = f"there were too many calls in this {error.per}"
    else:
        message = f"what may be used in this {error.per} is used up"
    if error.per in ("minute", "hour"):
        hint = f"Try again after {error.resets:%H:%M:%S} UTC."
        return Problem(429, error.type, message, hint, error.retry_after, resets_at=error.resets)
    hint = f"There is more after {error.resets:%Y-%m-%d %H:%M} UTC."
    return Problem(402, error.type, message, hint, resets_at=error.resets)


def _advise(refusal: Refusal) -> None:
    if refusal.advice is not None and refusal.type not in _advised:
        _advised.add(refusal.type)
        log.warning(
            "a request was refused (%s): %s. %s This is logged once per process.",
            refusal.type,
            refusal.message,
            refusal.advice,
        )


def _operators(status: int, error: LLMKitError) -> Problem:
    return Problem(
        status,
        error.type,
        "this app cannot reach its language model",
        "The app's log says what has to be fixed.",
    )


def _providers(error: ProviderError) -> Problem:
    """Say in words of our own what a provider did; its own might hold anything."""
    match error:
        case RateLimited() | Overloaded():
            wait = error.retry_after or RETRY_AFTER
            message, hint = "the language model is busy", "Try again in a moment."
            return Problem(503, error.type, message, hint, wait)
        case ProviderTimeout():
            message, hint = "the language model did not answer in time", "Try again."
            return Problem(504, error.type, message, hint)
        case PromptTooLong():
            message = "the conversation is too long for the language model"
            return Problem(400, error.type, message, "Send less, or start a new conversation.")
        case StreamTruncated():
            message = "the answer was cut off before it was complete"
            return Problem(502, error.type, message, "Try again.")
        case _:
            message = "the language model failed"
            return Problem(502, error.type, message, "Try again; the app's log has the details.")
