"""A tool: a function with what a model is told about it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import getdoc
from typing import Any

from llmkit.concurrency.jobs import is_async
from llmkit.errors import InvalidRequest
from llmkit.kinds import is_number, kind_of
from llmkit.tools.arguments import Arguments, arguments_of

CHOICES = ("auto", "none", "required")
# Source: the tools of platform.claude.com/docs/en/api/messages, and of developers.openai.com/api/reference/resources/chat.
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Tool:
    """A function that a model may call.

    A typed function is a tool as it is: `tools=[weather]`. Make a `Tool` of it to say something else than it does.

    Args:
        run: the function, sync or async. It is called with the arguments by their names, after they were checked against its own types.
            What it returns is what the model reads: a string, or what can be written as JSON.
        name: by default the function's.
        description: by default the function's docstring.
        schema: the JSON schema of the arguments, an object; by default it is made of the function's types.
        timeout: how long it may take, in seconds; by default as long as the loop says.

    Raises:
        InvalidRequest: the name, the schema or the function's signature cannot be used.
    """

    __slots__ = ("arguments", "description", "name", "run", "schema", "timeout")

    def __init__(
        self,
        run: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        schema: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> None:
        if not callable(run):
            raise InvalidRequest(
                f"a tool is {kind_of(run)}, not a function",
                hint="Pass typed functions, or llmkit.Tool(run=...).",
            )
        self.name: str = _checked_name(getattr(run, "__name__", "") if name is None else name)
        self.run = run
        described = description if description is not None else _docstring(run)
        self.description: str = described
        self.arguments: Arguments = arguments_of(run, self.name)
        self.schema: Mapping[str, Any] = (
            self.arguments.schema(self.name) if schema is None else _checked_schema(schema)
        )
        if timeout is not None and not (is_number(timeout) and timeout > 0):
            raise InvalidRequest(
                f"the tool {self.name} has a timeout of {timeout!r}", hint="Give it some seconds."
            )
        self.timeout = timeout

    @property
    def is_async(self) -> bool:
        """Whether it is awaited."""
        return is_async(self.run)

    @property
    def described(self) -> str:
        """What a model reads of it."""
        return (
            self.name + self.description + json.dumps(self.schema, ensure_ascii=False, default=str)
        )

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"


def to_tools(given: object) -> tuple[Tool, ...]:
    """Make tools of what a caller passed.

    Raises:
        InvalidRequest: it is no list, one cannot be used, or two have one name.
    """
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise InvalidRequest(
            f"tools is {kind_of(given)}, not a list", hint="Pass a list: tools=[weather]."
        )
    tools = tuple(each if isinstance(each, Tool) else Tool(each) for each in given)
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequest(
                f"two tools have the name {name}",
                hint="Give one another name: llmkit.Tool(run=..., name=...).",
            )
    return tools


def to_choice(given: object, tools: Sequence[Tool]) -> str | None:
    """Return which tool a model is to call: one of `CHOICES`, or a tool's name.

    Raises:
        InvalidRequest: there is no such tool.
    """
    if given is None:
        return None
    if isinstance(given, Tool):
        given = given.name
    elif callable(given):
        given = getattr(given, "__name__", given)
    names = [tool.name for tool in tools]
    if not isinstance(given, str) or given not in (*CHOICES, *names):
        raise InvalidRequest(
            "tool_choice names no tool of this call",
            hint=f"Choose one of {', '.join((*CHOICES, *names))}.",
        )
    if not tools:
        raise InvalidRequest(
            "tool_choice is set, and there are no tools", hint="Pass tools=[...], or leave it out."
        )
    return given


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in CHOICES:
        raise InvalidRequest(
            f"a tool cannot have the name {name!r}"
            if name
            else "a tool has no name: it is no plain function",
            hint="Give it one of letters, digits, _ and - (64 at most), other than auto, none and required: llmkit.Tool(run=..., name=...).",
        )
    return name


def _checked_schema(schema: object) -> Mapping[str, Any]:
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        raise InvalidRequest(
            "the schema of a tool is not that of an object",
            hint='It describes the arguments by name: {"type": "object", "properties": {...}}.',
        )
    return schema


def _docstring(function: Any) -> str:
    """Return the docstring of a function, and not that of the type of an object."""
    function = getattr(function, "func", function)  # of a partial
    return getdoc(function) or "" if hasattr(function, "__name__") else ""
