"""What an answer is kept under: a hash of everything that shapes it, and of whose it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import msgspec

from llmkit.messages import Message
from llmkit.parts import Part, TextPart, ThinkingPart, ToolCall, ToolResult

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.caller import Caller
    from llmkit.config.cache import CacheScope
    from llmkit.policy.plan import Route
    from llmkit.providers.base import Provider

VERSION = 1
"""Of the keys. It changes when another question would have the same one, or the same question another."""
# Above it a float is no longer every whole number.
_WHOLE = 2.0**53


@dataclass(frozen=True, slots=True)
class Key:
    """What an answer is kept under.

    Attributes:
        owner: a hash of whose it is.
        model: a hash of the model, as the call names it.
        question: a hash of all that shapes the answer, and of both.
    """

    owner: str
    model: str
    question: str

    def __str__(self) -> str:
        return f"{VERSION}.{self.owner}.{self.model}.{self.question}"


def key_of(call: Call, routes: Sequence[Route], scope: CacheScope) -> Key | None:
    """Return what the answer of a call is kept under; None if it is nobody's, or the call cannot be written down.

    Args:
        call: the call, as the provider would be asked it.
        routes: those that may answer, in their order.
        scope: who may get the answer.
    """
    owner = owner_of(call.caller, scope)
    if owner is None:
        return None
    try:
        written = _written([owner, call.model, *question_of(call, routes)])
    except (TypeError, ValueError, RecursionError):  # which the provider says in better words
        return None
    return Key(_short(owner), _short(call.model), sha256(written).hexdigest())


def own_key(question: Any, model: str, caller: Caller, scope: CacheScope) -> Key | None:
    """Return what an answer is kept under that an app has by itself; None if it is nobody's.

    Raises:
        TypeError, ValueError, RecursionError: the question is no JSON.
    """
    owner = owner_of(caller, scope)
    written = _written([owner, ["own"], model, _plain(question)])  # a call has a text there
    return None if owner is None else Key(_short(owner), _short(model), sha256(written).hexdigest())


def owner_of(caller: Caller, scope: CacheScope) -> list[str | None] | None:
    """Return whose an answer is; None if it would be nobody's."""
    if scope == "all":
        return [scope]
    if scope == "tenant":
        return None if caller.tenant is None else [scope, caller.tenant]
    # Two tenants may have users with one id.
    return None if caller.user is None else [scope, caller.tenant, caller.user]


def owner_hash(caller: Caller, scope: CacheScope) -> str | None:
    """Return the hash of whose answers are, as keys have it; None if they would be nobody's."""
    owner = owner_of(caller, scope)
    return None if owner is None else _short(owner)


def model_hash(model: str) -> str:
    """Return the hash of a model, as keys have it."""
    return _short(model)


def question_of(call: Call, routes: Sequence[Route]) -> list[Any]:
    """Write down all that shapes an answer, in an order that stays.

    Raises:
        TypeError, ValueError, RecursionError: something in it is no JSON.
    """
    output = call.output
    return [
        [[*_address(route.provider), route.model] for route in routes],
        [_message(message) for message in call.messages],
        None if call.system is None else normalize("NFC", call.system),
        [call.max_tokens, _plain(call.temperature), _plain(call.top_p), list(call.stop), call.seed],
        _plain(msgspec.to_builtins(dict(call.extra), str_keys=True)),
        [
            [tool.name, tool.description, _plain(msgspec.to_builtins(tool.schema, str_keys=True))]
            for tool in call.tools
        ],
        [call.tool_choice, call.parallel_tool_calls],
        None if output is None else [output.name, _plain(output.schema), call.output_mode],
    ]


def _address(provider: Provider) -> list[str]:
    """Return the name of a provider and where it is; of one of the app's own its class, unless it says more."""
    kind = type(provider)
    identity = getattr(provider, "identity", (f"{kind.__module__}.{kind.__qualname__}",))
    return [provider.name, *identity]


def _message(message: Message) -> list[Any]:
    return [message.role, *map(_part, message.parts)]


def _part(part: Part) -> list[Any]:
    match part:
        case TextPart():
            # The same text in both forms of Unicode is the same question.
            return ["text", normalize("NFC", part.text)]
        case ThinkingPart():
            return ["thinking", part.text, part.signature, part.redacted, *_if_any(part.wire)]
        case ToolCall():
            arguments = msgspec.to_builtins(dict(part.arguments), str_keys=True)
            return ["call", part.id, part.name, _plain(arguments), *_if_any(part.signature)]
        case ToolResult():
            return ["result", part.call_id, part.content, part.is_error]


def _if_any(value: str | None) -> list[str]:
    return [] if value is None else [value]


def _plain(value: Any) -> Any:
    """Write each number in one way: 1.0 as 1, and -0.0 as 0."""
    match value:
        case float() if value.is_integer() and abs(value) < _WHOLE:
            return int(value)
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
    return value


def _written(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{VERSION}:{text}".encode()


def _short(value: Any) -> str:
    return sha256(_written(value)).hexdigest()[:16]
