"""What a browser may ask: messages and an alias. Everything else is the app's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from llmkit.errors import InvalidRequest
from llmkit.messages import Message, to_messages

if TYPE_CHECKING:
    from llmkit.call import CallOptions
    from llmkit.caller import Caller
    from llmkit.config import RelayConfig


MAX_PARTS = 10_000
"""How many messages and parts of messages a browser may send. Each becomes an object on the way, however short it is."""


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[dict[str, object]]
    model: str | None = None


_decoder = msgspec.json.Decoder(_Body)


@dataclass(frozen=True, slots=True)
class Payload:
    """What was asked, checked."""

    messages: tuple[Message, ...] = field(repr=False)
    model: str

    def options(self, settings: RelayConfig, caller: Caller) -> CallOptions:
        """Return the options of the call: the browser's choice, the app's rules."""
        return {
            "model": self.model,
            "system": settings.system,
            "max_tokens": settings.max_tokens,
            "user": caller,
        }


def parse(body: bytes, settings: RelayConfig) -> Payload:
    """Read a browser's request.

    Raises:
        InvalidRequest: it is not JSON, or asks for what a browser may not ask for.
    """
    try:
        read = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"the body does not have the expected form: {error}",
            hint='Send {"messages": [{"role": "user", "content": "..."}]}, '
            'and optionally "model" with an alias.',
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequest(
            "the body is not JSON", hint='Send {"messages": [{"role": "user", "content": "..."}]}.'
        ) from None
    except RecursionError:
        raise InvalidRequest(
            "the body is nested too deeply",
            hint="A content is a string or a list of parts, with no further nesting.",
        ) from None
    model = read.model or settings.model
    if model != settings.model and model not in settings.models:
        raise InvalidRequest(
            "this model is not offered",
            hint="Leave model out, or use one of the aliases in relay.models.",
        )
    if sum(_count(message) for message in read.messages) > MAX_PARTS:
        raise InvalidRequest(
            f"the conversation has more than {MAX_PARTS} messages and parts",
            hint="Send a shorter conversation, with fewer parts in each message.",
        )
    return Payload(to_messages(read.messages), model)


def _count(message: dict[str, object]) -> int:
    content = message.get("content")
    return max(1, len(content)) if isinstance(content, list) else 1
