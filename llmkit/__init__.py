"""LLM calls for web apps that already exist: streamed, retried, priced and recorded.

Each public name is loaded when it is first used (PEP 562), so `import llmkit` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from llmkit.version import __version__ as __version__

if TYPE_CHECKING:
    from llmkit._async.client import AsyncClient
    from llmkit._async.stream import AsyncStream, AsyncStreamManager
    from llmkit._async.tool_loop import AsyncChatClient, AsyncToolLoop
    from llmkit._async.tool_stream import AsyncRunStream
    from llmkit._sync.client import Client
    from llmkit._sync.stream import Stream, StreamManager
    from llmkit._sync.tool_loop import ChatClient, ToolLoop
    from llmkit._sync.tool_stream import RunStream
    from llmkit.budget.manager import BudgetManager
    from llmkit.budget.warnings import BudgetWarning
    from llmkit.cache.response_cache import ResponseCache
    from llmkit.call import Call
    from llmkit.caller import Caller
    from llmkit.concurrency.limit import ConcurrencyLimit
    from llmkit.config import Config
    from llmkit.config.budgets import Budget
    from llmkit.embeddings import Embeddings
    from llmkit.errors import (
        AnswerCut,
        AnswerRefused,
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
        OutOfSteps,
        OutputInvalid,
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
        ToolError,
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
    from llmkit.in_process.provider import FunctionProvider
    from llmkit.kit import Kit
    from llmkit.ledger.tracker import CostTracker
    from llmkit.messages import Message
    from llmkit.middleware import AsyncCallNext, AsyncMiddleware, CallNext, Middleware
    from llmkit.parts import TextPart, ThinkingPart, ToolCall, ToolResult
    from llmkit.policy.backoff import RetryPolicy
    from llmkit.policy.budgets.amounts import Amount
    from llmkit.providers.base import Decoder, HTTPRequest, Provider
    from llmkit.response import Outcome, Response
    from llmkit.sse import ServerSentEvent, SSEDecoder
    from llmkit.tools.context import ToolContext
    from llmkit.tools.steps import RunResult, Step
    from llmkit.tools.tool import Tool
    from llmkit.usage import Usage


_HOMES = {
    "Amount": "llmkit.policy.budgets.amounts",
    "AnswerCut": "llmkit.errors",
    "AnswerRefused": "llmkit.errors",
    "AnswerTooLarge": "llmkit.errors",
    "AsyncCallNext": "llmkit.middleware",
    "AsyncChatClient": "llmkit._async.tool_loop",
    "AsyncClient": "llmkit._async.client",
    "AsyncMiddleware": "llmkit.middleware",
    "AsyncRunStream": "llmkit._async.tool_stream",
    "AsyncStream": "llmkit._async.stream",
    "AsyncStreamManager": "llmkit._async.stream",
    "AsyncToolLoop": "llmkit._async.tool_loop",
    "AuthenticationFailed": "llmkit.errors",
    "Budget": "llmkit.config.budgets",
    "BudgetExceeded": "llmkit.errors",
    "BudgetManager": "llmkit.budget.manager",
    "BudgetUnavailable": "llmkit.errors",
    "BudgetWarning": "llmkit.budget.warnings",
    "Call": "llmkit.call",
    "CallNext": "llmkit.middleware",
    "Caller": "llmkit.caller",
    "ChatClient": "llmkit._sync.tool_loop",
    "Client": "llmkit._sync.client",
    "ConcurrencyLimit": "llmkit.concurrency.limit",
    "Config": "llmkit.config",
    "ConfigError": "llmkit.errors",
    "ConnectionFailed": "llmkit.errors",
    "CostTracker": "llmkit.ledger.tracker",
    "Decoder": "llmkit.providers.base",
    "Embeddings": "llmkit.embeddings",
    "Event": "llmkit.events",
    "Finish": "llmkit.events",
    "FrameTooLarge": "llmkit.errors",
    "FunctionProvider": "llmkit.in_process.provider",
    "HTTPRequest": "llmkit.providers.base",
    "InvalidRequest": "llmkit.errors",
    "Kit": "llmkit.kit",
    "LLMKitError": "llmkit.errors",
    "LedgerUnavailable": "llmkit.errors",
    "Message": "llmkit.messages",
    "Middleware": "llmkit.middleware",
    "MissingExtra": "llmkit.errors",
    "OutOfSteps": "llmkit.errors",
    "Outcome": "llmkit.response",
    "OutputInvalid": "llmkit.errors",
    "Overloaded": "llmkit.errors",
    "PromptTooLong": "llmkit.errors",
    "ProtocolError": "llmkit.errors",
    "Provider": "llmkit.providers.base",
    "ProviderError": "llmkit.errors",
    "ProviderTimeout": "llmkit.errors",
    "QueueFull": "llmkit.errors",
    "QuotaExhausted": "llmkit.errors",
    "RateLimited": "llmkit.errors",
    "RedactedThinking": "llmkit.events",
    "RequestRejected": "llmkit.errors",
    "Reset": "llmkit.events",
    "Response": "llmkit.response",
    "ResponseCache": "llmkit.cache.response_cache",
    "RetryPolicy": "llmkit.policy.backoff",
    "RunResult": "llmkit.tools.steps",
    "RunStream": "llmkit._sync.tool_stream",
    "SSEDecoder": "llmkit.sse",
    "ServerFailed": "llmkit.errors",
    "ServerSentEvent": "llmkit.sse",
    "Step": "llmkit.tools.steps",
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
    "ToolError": "llmkit.errors",
    "ToolLoop": "llmkit._sync.tool_loop",
    "ToolResult": "llmkit.parts",
    "Usage": "llmkit.usage",
}

__all__ = [
    "Amount",
    "AnswerCut",
    "AnswerRefused",
    "AnswerTooLarge",
    "AsyncCallNext",
    "AsyncChatClient",
    "AsyncClient",
    "AsyncMiddleware",
    "AsyncRunStream",
    "AsyncStream",
    "AsyncStreamManager",
    "AsyncToolLoop",
    "AuthenticationFailed",
    "Budget",
    "BudgetExceeded",
    "BudgetManager",
    "BudgetUnavailable",
    "BudgetWarning",
    "Call",
    "CallNext",
    "Caller",
    "ChatClient",
    "Client",
    "ConcurrencyLimit",
    "Config",
    "ConfigError",
    "ConnectionFailed",
    "CostTracker",
    "Decoder",
    "Embeddings",
    "Event",
    "Finish",
    "FrameTooLarge",
    "FunctionProvider",
    "HTTPRequest",
    "InvalidRequest",
    "Kit",
    "LLMKitError",
    "LedgerUnavailable",
    "Message",
    "Middleware",
    "MissingExtra",
    "OutOfSteps",
    "Outcome",
    "OutputInvalid",
    "Overloaded",
    "PromptTooLong",
    "ProtocolError",
    "Provider",
    "ProviderError",
    "ProviderTimeout",
    "QueueFull",
    "QuotaExhausted",
    "RateLimited",
    "RedactedThinking",
    "RequestRejected",
    "Reset",
    "Response",
    "ResponseCache",
    "RetryPolicy",
    "RunResult",
    "RunStream",
    "SSEDecoder",
    "ServerFailed",
    "ServerSentEvent",
    "Step",
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
    "ToolError",
    "ToolLoop",
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
