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
├── AnswerCut                       the answer reached its limit of tokens before it was whole
├── AnswerRefused                   the model, or a filter of the provider's, has refused to answer
├── OutputInvalid                   the answer is not of the type that was asked for
├── OutOfSteps                      a loop of tools ended before the model did
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

`ToolError` is the one that an app raises, in a tool.
"""

from __future__ import annotations

from llmkit.errors.answers import AnswerCut, AnswerRefused, OutOfSteps, OutputInvalid, ToolError
from llmkit.errors.base import (
    BudgetExceeded,
    BudgetUnavailable,
    ConfigError,
    InvalidRequest,
    LedgerUnavailable,
    LLMKitError,
    MissingExtra,
    QueueFull,
    StreamClosed,
)
from llmkit.errors.provider import (
    AnswerTooLarge,
    AuthenticationFailed,
    Clock,
    ConnectionFailed,
    FrameTooLarge,
    Overloaded,
    PromptTooLong,
    ProtocolError,
    ProviderError,
    ProviderTimeout,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
    StreamTruncated,
    ToolCallBroken,
)

__all__ = [
    "AnswerCut",
    "AnswerRefused",
    "AnswerTooLarge",
    "AuthenticationFailed",
    "BudgetExceeded",
    "BudgetUnavailable",
    "Clock",
    "ConfigError",
    "ConnectionFailed",
    "FrameTooLarge",
    "InvalidRequest",
    "LLMKitError",
    "LedgerUnavailable",
    "MissingExtra",
    "OutOfSteps",
    "OutputInvalid",
    "Overloaded",
    "PromptTooLong",
    "ProtocolError",
    "ProviderError",
    "ProviderTimeout",
    "QueueFull",
    "QuotaExhausted",
    "RateLimited",
    "RequestRejected",
    "ServerFailed",
    "StreamClosed",
    "StreamTruncated",
    "ToolCallBroken",
    "ToolError",
]
