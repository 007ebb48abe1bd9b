"""LLM calls for web apps that already exist: streamed, retried, priced and recorded.

Each public name is loaded when it is first used (PEP 562), so `import llmkit` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmkit._async.client import AsyncClient
    from llmkit._async.stream import AsyncStream, AsyncStreamManager
    from llmkit._sync.client import Client
    from llmkit._sync.stream import Stream, StreamManager
    from llmkit.budget.manager import BudgetManager
    from llmkit.budget.warnings import BudgetWarning
    from llmkit.call import Call
    from llmkit.caller import Caller
    from llmkit.concurrency.limit import ConcurrencyLimit
    from llmkit.config import Config
    from llmkit.config.budgets import Budget
    from llmkit.errors import (
        AnswerTooLarge,
        AuthenticationFailed,
        BudgetExceeded,
        BudgetUnavailable,
        ConfigError,
        ConnectionFailed,
        FrameTooLarge,
        InvalidRequest,
        LedgerUnavailable,
        LLMKitError,
        MissingExtra,
        Overloaded,
        PromptTooLong,
        ProtocolError,
        ProviderError,
        ProviderTimeout,
        QueueFull,
        QuotaExhausted,
        RateLimited,
        RequestRejected,
        ServerFailed,
        StreamClosed,
        StreamTruncated,
        ToolCallBroken,
    )
    from llmkit.events import (
        Event,
        Finish,
        RedactedThinking,
        Reset,
        TextDelta,
        ThinkingDelta,
        ThinkingSignature,
        ToolCallDelta,
    )
    from llmkit.kit import Kit
    from llmkit.ledger.tracker import CostTracker
    from llmkit.messages import Message
    from llmkit.middleware import AsyncCallNext, AsyncMiddleware, CallNext, Middleware
    from llmkit.parts import TextPart, ThinkingPart, ToolCall, ToolResult
    from llmkit.policy.backoff import RetryPolicy
    from llmkit.policy.budgets.amounts import Amount
    from llmkit.response import Outcome, Response
    from llmkit.sse import ServerSentEvent, SSEDecoder
    from llmkit.tools.context import ToolContext
    from llmkit.tools.tool import Tool
    from llmkit.usage import Usage

__version__ = "0.1.0"

_HOMES = {
    "Amount": "llmkit.policy.budgets.amounts",
    "AnswerTooLarge": "llmkit.errors",
    "AsyncCallNext": "llmkit.middleware",
    "AsyncClient": "llmkit._async.client",
    "AsyncMiddleware": "llmkit.middleware",
    "AsyncStream": "llmkit._async.stream",
    "AsyncStreamManager": "llmkit._async.stream",
    "AuthenticationFailed": "llmkit.errors",
    "Budget": "llmkit.config.budgets",
    "BudgetExceeded": "llmkit.errors",
    "BudgetManager": "llmkit.budget.manager",
    "BudgetUnavailable": "llmkit.errors",
    "BudgetWarning": "llmkit.budget.warnings",
    "Call": "llmkit.call",
    "CallNext": "llmkit.middleware",
    "Caller": "llmkit.caller",
    "Client": "llmkit._sync.client",
    "ConcurrencyLimit": "llmkit.concurrency.limit",
    "Config": "llmkit.config",
    "ConfigError": "llmkit.errors",
    "ConnectionFailed": "llmkit.errors",
    "CostTracker": "llmkit.ledger.tracker",
    "Event": "llmkit.events",
    "Finish": "llmkit.events",
    "FrameTooLarge": "llmkit.errors",
    "InvalidRequest": "llmkit.errors",
    "Kit": "llmkit.kit",
    "LLMKitError": "llmkit.errors",
    "LedgerUnavailable": "llmkit.errors",
    "Message": "llmkit.messages",
    "Middleware": "llmkit.middleware",
    "MissingExtra": "llmkit.errors",
    "Outcome": "llmkit.response",
    "Overloaded": "llmkit.errors",
    "PromptTooLong": "llmkit.errors",
    "ProtocolError": "llmkit.errors",
    "ProviderError": "llmkit.errors",
    "ProviderTimeout": "llmkit.errors",
    "QueueFull": "llmkit.errors",
    "QuotaExhausted": "llmkit.errors",
    "RateLimited": "llmkit.errors",
    "RedactedThinking": "llmkit.events",
    "RequestRejected": "llmkit.errors",
    "Reset": "llmkit.events",
    "Response": "llmkit.response",
    "RetryPolicy": "llmkit.policy.backoff",
    "SSEDecoder": "llmkit.sse",
    "ServerFailed": "llmkit.errors",
    "ServerSentEvent": "llmkit.sse",
    "Stream": "llmkit._sync.stream",
    "StreamClosed": "llmkit.errors",
    "StreamManager": "llmkit._sync.stream",
    "StreamTruncated": "llmkit.errors",
    "TextDelta": "llmkit.events",
    "TextPart": "llmkit.parts",
    "ThinkingDelta": "llmkit.events",
    "ThinkingPart": "llmkit.parts",
    "ThinkingSignature": "llmkit.events",
    "Tool": "llmkit.tools.tool",
    "ToolCall": "llmkit.parts",
    "ToolCallBroken": "llmkit.errors",
    "ToolCallDelta": "llmkit.events",
    "ToolContext": "llmkit.tools.context",
    "ToolResult": "llmkit.parts",
    "Usage": "llmkit.usage",
}

__all__ = [
    "Amount",
    "AnswerTooLarge",
    "AsyncCallNext",
    "AsyncClient",
    "AsyncMiddleware",
    "AsyncStream",
    "AsyncStreamManager",
    "AuthenticationFailed",
    "Budget",
    "BudgetExceeded",
    "BudgetManager",
    "BudgetUnavailable",
    "BudgetWarning",
    "Call",
    "CallNext",
    "Caller",
    "Client",
    "ConcurrencyLimit",
    "Config",
    "ConfigError",
    "ConnectionFailed",
    "CostTracker",
    "Event",
    "Finish",
    "FrameTooLarge",
    "InvalidRequest",
    "Kit",
    "LLMKitError",
    "LedgerUnavailable",
    "Message",
    "Middleware",
    "MissingExtra",
    "Outcome",
    "Overloaded",
    "PromptTooLong",
    "ProtocolError",
    "ProviderError",
    "ProviderTimeout",
    "QueueFull",
    "QuotaExhausted",
    "RateLimited",
    "RedactedThinking",
    "RequestRejected",
    "Reset",
    "Response",
    "RetryPolicy",
    "SSEDecoder",
    "ServerFailed",
    "ServerSentEvent",
    "Stream",
    "StreamClosed",
    "StreamManager",
    "StreamTruncated",
    "TextDelta",
    "TextPart",
    "ThinkingDelta",
    "ThinkingPart",
    "ThinkingSignature",
    "Tool",
    "ToolCall",
    "ToolCallBroken",
    "ToolCallDelta",
    "ToolContext",
    "ToolResult",
    "Usage",
]


def __getattr__(name: str) -> object:
    """Load a public name from its home, once."""
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'llmkit' has no attribute {name!r}") from None
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__, "__version__"]
