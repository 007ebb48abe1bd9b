"""What one process tells others of a call that they share: events, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from llmkit import errors
from llmkit.errors import ProviderError
from llmkit.events import (
    Event,
    Finish,
    RedactedThinking,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
)
from llmkit.parts import ToolCall
from llmkit.usage import Usage

if TYPE_CHECKING:
    from llmkit.response import Response


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an answer beside what it says; as `Response` has it."""

    usage: Usage
    cost: Decimal | None
    provider: str | None
    model: str | None
    request_id: str | None


def known_of(answer: Response) -> Known:
    """Return what is known of an answer."""
    return Known(
        usage=answer.usage,
        cost=answer.cost,
        provider=answer.provider,
        model=answer.model,
        request_id=answer.request_id,
    )


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error of a provider.

    Attributes:
        kind: the name of its class.
        message: what it says.
        facts: its attributes.
    """

    kind: str
    message: str
    facts: dict[str, str | int | float | bool | None]


Told: TypeAlias = Event | Known | Failure

_TYPES: Mapping[str, type[Any]] = {
    "text": TextDelta,
    "thinking": ThinkingDelta,
    "signature": ThinkingSignature,
    "redacted": RedactedThinking,
    "delta": ToolCallDelta,
    "call": ToolCall,
    "finish": Finish,
    "known": Known,
    "failed": Failure,
}
_NAMES: Mapping[type[Any], str] = {kind: name for name, kind in _TYPES.items()}
_DECODERS: Mapping[str, msgspec.msgpack.Decoder[Any]] = {
    name: msgspec.msgpack.Decoder(kind) for name, kind in _TYPES.items()
}
_ENCODER = msgspec.msgpack.Encoder()
_PAIR = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw])


def written(told: Sequence[Told]) -> list[bytes]:
    """Write each of them."""
    return [_ENCODER.encode((_NAMES[type(each)], each)) for each in told]


def joined(events: Sequence[Event]) -> list[Event]:
    """Return what says the same in fewer events."""
    found: list[Event] = []
    for kind, run in groupby(events, type):
        if kind is TextDelta or kind is ThinkingDelta:
            found.append(kind("".join(event.text for event in run)))  # type: ignore[union-attr]
        else:
            found += run
    return found


def read(data: Sequence[bytes]) -> list[Told]:
    """Read what was written.

    Raises:
        ValueError: it was not.
    """
    found: list[Told] = []
    for each in data:
        try:
            name, content = _PAIR.decode(each)
            found.append(_DECODERS[name].decode(content))
        except (msgspec.MsgspecError, KeyError) as error:
            raise ValueError("it is of another version, or torn") from error
    return found


def failure_of(error: ProviderError) -> Failure:
    """Return what others are told of an error."""
    facts = {
        name: value
        for name, value in vars(error).items()
        if value is None or isinstance(value, str | int | float | bool)
    }
    return Failure(kind=type(error).__name__, message=error.message, facts=facts)


def error_of(failure: Failure) -> ProviderError:
    """Return the error that others were told of."""
    kind = getattr(errors, failure.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, ProviderError)):
        kind = ProviderError  # of an app's own provider, which may not be in this process
    error = kind.__new__(kind, failure.message)
    error.args = (failure.message,)
    error.__dict__.update({"rate_limits": {}, "response": None, **failure.facts})
    return error
