"""Messages and their parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self, cast

from llmkit.errors import InvalidRequest
from llmkit.kinds import kind_of
from llmkit.parts import (
    AssistantPart,
    Part,
    TextPart,
    ThinkingPart,
    ToolCall,
    ToolResult,
    UserPart,
    wrong_field,
)
from llmkit.response import Response

Role = Literal["user", "assistant"]
ROLES = ("user", "assistant")
_PARTS: Mapping[str, tuple[type[Part], ...]] = {
    "user": (TextPart, ToolResult),
    "assistant": (TextPart, ThinkingPart, ToolCall),
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. The system prompt is not a message: pass it as `system`."""

    role: Role
    parts: tuple[Part, ...]

    @classmethod
    def user(cls, *content: str | UserPart) -> Self:
        """Make a message from the user, or one with the results of the tools that the model has called.

        Raises:
            InvalidRequest: it has a part that is not a user's, or results behind text.
        """
        return cls("user", to_parts(content, "user"))

    @classmethod
    def assistant(cls, *content: str | AssistantPart | Response) -> Self:
        """Make a message from the model, as it answered before: of the whole reply, or of its parts.

        Raises:
            InvalidRequest: it has a part that is not a model's.
        """
        parts: list[str | Part] = []
        for each in content:
            parts += (each.parts or [each.text]) if isinstance(each, Response) else [each]
        return cls("assistant", to_parts(parts, "assistant"))

    @property
    def text(self) -> str:
        """Join the text of all parts."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls of tools that the model asks for in it."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))

    @property
    def tool_results(self) -> tuple[ToolResult, ...]:
        """The results that it has."""
        return tuple(part for part in self.parts if isinstance(part, ToolResult))


class _Sound(tuple[Message, ...]):
    """Messages that were checked."""

    __slots__ = ()


_OF_TOOLS = (ToolCall, ToolResult)
_KEYS = frozenset(("role", "content"))
_TEXTS_ALONE = "Images and documents are not supported."

Prompt = str | Message | Sequence[Message | Mapping[str, object]]
"""What a call accepts: a string, a message, or a conversation as a list of messages or `{"role", "content"}` mappings."""


def to_parts(content: Iterable[str | Part], role: Role) -> tuple[Part, ...]:
    """Turn texts into parts and keep parts as they are. Empty texts are left out: vendors refuse them.

    Raises:
        InvalidRequest: one is neither, or not of this role, or has a field of another kind; or a result stands behind text.
    """
    parts = [TextPart(item) if isinstance(item, str) else item for item in content]
    for part in parts:
        if not isinstance(part, _PARTS[role]):
            raise _wrong_part(part, role)
        wrong = wrong_field(part)
        if wrong is not None:
            raise InvalidRequest(
                f"the {wrong[0]} of a {type(part).__name__} is {kind_of(getattr(part, wrong[0]))}",
                hint=f"It has to be {wrong[1]}.",
            )
    said = tuple(part for part in parts if not (isinstance(part, TextPart) and not part.text))
    is_result = [isinstance(part, ToolResult) for part in said]
    if is_result != sorted(is_result, reverse=True):
        raise InvalidRequest(
            "the result of a tool stands behind a text in its message",
            hint="Put results first: Anthropic refuses a message in which text comes before them.",
        )
    return said or (TextPart(""),)


def _wrong_part(part: object, role: Role) -> InvalidRequest:
    others = {each for kinds in _PARTS.values() for each in kinds}
    if isinstance(part, tuple(others)):
        other = "assistant" if role == "user" else "user"
        return InvalidRequest(
            f"a message of the role {role} has a {type(part).__name__}",
            hint=f"That is a part of messages of the role {other}: Message.{other}(...).",
        )
    allowed = ", ".join(kind.__name__ for kind in _PARTS[role])
    return InvalidRequest(
        f"a part of a message is {kind_of(part)}",
        hint=f"A part of a message of the role {role} is a string, or one of {allowed}. {_TEXTS_ALONE}",
    )


def to_messages(prompt: Prompt) -> tuple[Message, ...]:
    """Turn what a caller passed into a tuple of messages.

    Raises:
        InvalidRequest: there are no messages, they are no list, a role is unknown, or a content is neither a string nor a list of parts.
    """
    if type(prompt) is _Sound:
        return prompt
    if isinstance(prompt, str):
        return (Message.user(prompt),)
    if isinstance(prompt, Message):
        return (_checked(prompt, 0),)
    if isinstance(prompt, bytes | Mapping) or not isinstance(prompt, Iterable):
        raise InvalidRequest(
            f"the messages are of the type {type(prompt).__name__}",
            hint='Pass a string, or a list such as [{"role": "user", "content": "..."}].',
        )
    messages = _Sound([_to_message(item, at) for at, item in enumerate(prompt)])
    if not messages:
        raise InvalidRequest("there are no messages", hint="Send at least one message.")
    check_calls(messages)
    return messages


def have_tools(messages: Iterable[Message]) -> bool:
    """Whether a tool is called in one of them, or has answered."""
    return any(isinstance(part, _OF_TOOLS) for message in messages for part in message.parts)


def check_calls(messages: Sequence[Message]) -> None:
    """See that each call of a tool has its result in the message behind it, and each result its call before it.

    Source: docs.claude.com/en/docs/agents-and-tools/tool-use/implement-tool-use and
    developers.openai.com/api/docs/guides/function-calling: both vendors refuse everything else.

    Raises:
        InvalidRequest: one has not.
    """
    if not have_tools(messages):
        return
    asked: Sequence[str] = ()
    for at, message in enumerate(messages):
        given = [result.call_id for result in message.tool_results]
        if set(given) != set(asked) or len(given) != len(asked):
            raise _mismatch(at, asked, given)
        asked = [call.id for call in message.tool_calls]
        if len(set(asked)) != len(asked):
            raise InvalidRequest(
                f"messages[{at}] has two calls of tools with one id",
                hint="Give each call an id of its own: its result names it.",
            )
    if asked:
        raise _mismatch(len(messages), asked, [])


def _mismatch(at: int, asked: Sequence[str], given: Sequence[str]) -> InvalidRequest:
    missing = [name for name in asked if name not in given]
    if missing:
        return InvalidRequest(
            f"messages[{at - 1}] has a call of a tool without a result: {missing[0]!r}",
            hint="Put a ToolResult for each call into the message of the user behind it: Anthropic and OpenAI refuse a conversation that"
            " goes on without.",
        )
    extra = [name for name in given if name not in asked] or given
    return InvalidRequest(
        f"messages[{at}] has a result of a tool that nobody has called, or has it twice: {extra[-1]!r}",
        hint="A ToolResult answers one ToolCall of the message before it, by its id.",
    )


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
    known = cast("Role", role)
    return Message(known, _content_parts(content, at, known))


def _checked(message: Message, at: int) -> Message:
    """Return a message that the app has made itself, if it is sound."""
    if message.role not in ROLES:
        raise InvalidRequest(
            f"messages[{at}].role must be one of {', '.join(ROLES)}",
            hint='Make it with Message.user("...") or Message.assistant("...").',
        )
    if not (
        isinstance(message.parts, tuple)
        and all(isinstance(part, _PARTS[message.role]) for part in message.parts)
    ):
        raise InvalidRequest(
            f"messages[{at}].parts is not a tuple of parts",
            hint=f'Make it with Message.{message.role}("..."), which takes texts.',
        )
    return message


def _content_parts(content: object, at: int, role: Role) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    if isinstance(content, Sequence) and content:
        return to_parts((_content_part(part, at) for part in content), role)
    raise InvalidRequest(
        f"messages[{at}].content must be a string or a list of parts",
        hint='Use a string, or parts such as {"type": "text", "text": "..."}.',
    )


def _content_part(part: object, at: int) -> Part:
    if isinstance(part, TextPart | ThinkingPart | ToolCall | ToolResult):
        return part
    if isinstance(part, str):
        return TextPart(part)
    if isinstance(part, Mapping) and part.get("type") == "text":
        text = part.get("text")
        if isinstance(text, str):
            return TextPart(text)
    raise InvalidRequest(
        f"messages[{at}].content has a part that is not text",
        hint=f'A part is {{"type": "text", "text": "..."}}. {_TEXTS_ALONE}',
    )
