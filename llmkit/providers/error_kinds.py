"""Which error a failure is: by the status of its answer, and by the words that a provider has for it."""

from __future__ import annotations

from llmkit.errors import (
    AuthenticationFailed,
    Overloaded,
    PromptTooLong,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from llmkit.providers.reports import Report

# help.openai.com/en/articles/5955604 and platform.claude.com/docs/en/api/errors.
_QUOTA_WORDS = frozenset(
    {
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "credit_balance_exhausted",
        "enforced_spend_limit_reached",
        "insufficient_quota",
        "organization_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "project_spend_limit_exceeded",
    }
)
# Anthropic reports an empty account, and a limit that its owner has set, as 400
# invalid_request_error: only the sentence tells.
_QUOTA_SENTENCES = ("credit balance is too low", "you have reached your specified")
# Anthropic and many compatible servers say it as a plain bad request; their sentences tell.
_TOO_LONG_WORDS = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "request_too_large"}
)
_TOO_LONG_SENTENCES = (
    *("prompt is too long", "maximum context length", "context size"),
    *("exceeds the maximum number of tokens", "input length exceeds the context length"),
)

_OVERLOADED = frozenset({"overloaded_error", "UNAVAILABLE"})
# Google answers 400 to a key that is none.
_KEY_WORDS = frozenset({"API_KEY_INVALID"})

_CLASSES: dict[str, type[ProviderError]] = {
    "API_KEY_INVALID": AuthenticationFailed,
    "api_error": ServerFailed,
    "authentication_error": AuthenticationFailed,
    "bio_policy": RequestRejected,
    "content_policy_violation": RequestRejected,
    "data_residency_mismatch": RequestRejected,
    "invalid_api_key": AuthenticationFailed,
    "invalid_prompt": RequestRejected,
    "invalid_request_error": RequestRejected,
    "misalignment_policy_violation": RequestRejected,
    "model_not_found": RequestRejected,
    "not_found_error": RequestRejected,
    "overloaded_error": Overloaded,
    "permission_error": AuthenticationFailed,
    "rate_limit_error": RateLimited,
    "rate_limit_exceeded": RateLimited,
    "server_error": ServerFailed,
    "timeout_error": ServerFailed,
    "UNAVAILABLE": Overloaded,
}

MOMENTS = (408, 409, 425)
"""Statuses that refuse the moment and not the request: the vendors' own SDKs try again."""


def kind_by_status(status: int, report: Report) -> type[ProviderError]:
    """Say which error an answer with an error status is."""
    kind = _class_of_status(status)
    if issubclass(kind, RequestRejected | RateLimited) and _is_quota(report):
        return QuotaExhausted
    if kind is RequestRejected and (status == 413 or _is_too_long(report)):
        return PromptTooLong
    if kind is ServerFailed and not _OVERLOADED.isdisjoint(report.words):
        return Overloaded
    if kind is RequestRejected and not _KEY_WORDS.isdisjoint(report.words):
        return AuthenticationFailed
    return kind


def _class_of_status(status: int) -> type[ProviderError]:
    if status in (401, 403):
        return AuthenticationFailed
    if status == 402:
        return QuotaExhausted
    if status == 429:
        return RateLimited
    if status == 529:
        return Overloaded
    if status >= 500:
        return ServerFailed
    if status >= 400 and status not in MOMENTS:
        return RequestRejected
    return ProviderError


def kind_by_words(report: Report) -> type[ProviderError]:
    """Say which error a report inside of an answer is, whose status says nothing. Without a word that is known it is the provider's own failure."""
    if _is_quota(report):
        return QuotaExhausted
    if _is_too_long(report):
        return PromptTooLong
    for word in report.words:
        if word in _CLASSES:
            return _CLASSES[word]
        if word.isdigit() and 400 <= int(word) < 600:
            return _class_of_status(int(word))
    return ServerFailed


def _is_quota(report: Report) -> bool:
    if report.is_for_today or not _QUOTA_WORDS.isdisjoint(report.words):
        return True
    return any(sentence in report.sentence for sentence in _QUOTA_SENTENCES)


def _is_too_long(report: Report) -> bool:
    if not _TOO_LONG_WORDS.isdisjoint(report.words):
        return True
    return any(sentence in report.sentence for sentence in _TOO_LONG_SENTENCES)
