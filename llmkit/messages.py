"""Messages and their parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self, cast

from llmkit.errors import InvalidRequest
from llmkit.kinds import kind_of

Role = Literal["user", "assistant"]
ROLES = ("user", "assistant")


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of text inside a message."""

    text: str


Part = TextPart


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. The system prompt is not a message: pass it as `system`."""

    role: Role
    parts: tuple[Part, ...]

    @classmethod
    def user(cls, *content: str | Part) -> Self:
        """Make a message from the user."""
        return cls("user", to_parts(content))

    @classmethod
    def assistant(cls, *content: str | Part) -> Self:
        """Make a message from the model, as it answered before."""
        return cls("assistant", to_parts(content))

    @property
    def text(self) -> str:
        """Join the text of all parts."""
        return "".join(part.text for part in self.parts)


_KEYS = frozenset(("role", "content"))

Prompt = str | Message | Sequence[Message | Mapping[str, object]]
"""What a call accepts: a string, a message, or a conversation as a list of messages or `{"role", "content"}` mappings."""


def to_parts(content: Iterable[str | Part]) -> tuple[Part, ...]:
    """Turn texts into parts and keep parts as they are. Empty ones are left out: vendors refuse them.

    Raises:
        InvalidRequest: one is neither.
    """
    parts = [TextPart(item) if isinstance(item, str) else item for item in content]
    wrong = [part for part in parts if not isinstance(part, TextPart)]
    if wrong:
        raise InvalidRequest(
            f"a part of a message is of the type {type(wrong[0]).__name__}",
            hint="A part is a string or a TextPart.",
        )
    return tuple(part for part in parts if part.text) or (TextPart(""),)


def to_messages(prompt: Prompt) -> tuple[Message, ...]:
    """Turn what a caller passed into a tuple of messages.

    Raises:
        InvalidRequest: there are no messages, they are no list, a role is unknown, or a content is neither a string nor a list of parts.
    """
    if isinstance(prompt, str):
        return (Message.user(prompt),)
    if isinstance(prompt, Message):
        return (_checked(prompt, 0),)
    if isinstance(prompt, bytes | Mapping) or not isinstance(prompt, Iterable):
        raise InvalidRequest(
            f"the messages are of the type {type(prompt).__name__}",
            hint='Pass a string, or a list such as [{"role": "user", "content": "..."}].',
        )
    messages = tuple(_to_message(item, at) for at, item in enumerate(prompt))
    if not messages:
        raise InvalidRequest("there are no messages", hint="Send at least one message.")
    return messages


def _to_message(item: Message | Mapping[str, object], at: int) -> Message:
    if isinstance(item, Message):
        return _checked(item, at)
    if not isinstance(item, Mapping):
        raise InvalidRequest(
            f"messages[{at}] is {kind_of(item)}",
            hint='A message is an object: {"role": "user", "content": "..."}.',
        )
    role, content = item.get("role"), item.get("content")
    if role == "system":
        raise InvalidRequest(
            f"messages[{at}] has the role system",
            hint="Pass the system prompt as system=..., or as relay.system in the settings.",
        )
    if role not in ROLES:
        raise InvalidRequest(
            f"messages[{at}].role must be one of {', '.join(ROLES)}",
            hint='A message is an object: {"role": "user", "content": "..."}.',
        )
    if not item.keys() <= _KEYS:
        raise InvalidRequest(
            f"messages[{at}] has the unknown key {min(map(str, item.keys() - _KEYS))!r}",
            hint="A message has only a role and a content.",
        )
    return Message(cast("Role", role), _content_parts(content, at))


def _checked(message: Message, at: int) -> Message:
    """Return a message that the app has made itself, if it is sound."""
    if message.role not in ROLES:
        raise InvalidRequest(
            f"messages[{at}].role must be one of {', '.join(ROLES)}",
            hint='Make it with Message.user("...") or Message.assistant("...").',
        )
    if not (
        isinstance(message.parts, tuple)
        and all(isinstance(part, TextPart) for part in message.parts)
    ):
        raise InvalidRequest(
            f"messages[{at}].parts is not a tuple of parts",
            hint=f'Make it with Message.{message.role}("..."), which takes texts.',
        )
    return message


def _content_parts(content: object, at: int) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    if isinstance(content, Sequence) and content:
        return to_parts(_content_part(part, at) for part in content)
    raise InvalidRequest(
        f"messages[{at}].content must be a string or a list of parts",
        hint='Use a string, or parts such as {"type": "text", "text": "..."}.',
    )


def _content_part(part: object, at: int) -> Part:
    if isinstance(part, TextPart):
        return part
    if isinstance(part, str):
        return TextPart(part)
    if isinstance(part, Mapping) and part.get("type") == "text":
        text = part.get("text")
        if isinstance(text, str):
            return TextPart(text)
    raise InvalidRequest(
        f"messages[{at}].content has a part that is not text",
        hint='A part is {"type": "text", "text": "..."}.',
    )
