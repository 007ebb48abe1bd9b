"""What OpenAI's API accepts, and what it says to the rest.

Fields it does not know pass, for the compatible servers have more of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from llmkit.testing.emulator.answer import Ask, choose, estimate_tokens, texts_in
from llmkit.testing.emulator.checks.azure import deployment, refusal
from llmkit.testing.emulator.checks.schemas import schema_problems
from llmkit.testing.emulator.wires.base import Failure, is_number, parse

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ROLES = ("system", "assistant", "user", "function", "tool", "developer")


def check(
    headers: Mapping[str, str], body: bytes, *, require_key: bool, target: str
) -> Ask | Failure:
    """Say what the request asks for, or why the vendor would refuse it."""
    refused = refusal(headers, target, require_key=require_key)
    if refused is not None:
        return refused
    try:
        request = parse(body)
    except ValueError:
        request = None
    if not isinstance(request, dict):
        return _invalid("We could not parse the JSON body of your request.")
    if deployed := deployment(target):
        request = {"model": deployed, **request}
    for problem in _problems(request):
        return problem
    texts: list[str] = []
    for message in request["messages"]:
        texts += texts_in(message.get("content"))
    stop = request.get("stop") or ()
    return Ask(
        model=request["model"],
        streaming=request.get("stream") is True,
        input_tokens=estimate_tokens(texts, messages=len(request["messages"])),
        max_tokens=request.get("max_completion_tokens") or request.get("max_tokens"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        include_usage=bool((request.get("stream_options") or {}).get("include_usage")),
        schema=((request.get("response_format") or {}).get("json_schema") or {}).get("schema"),
        forced=_forced(request),
    )


def _forced(request: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Name the tool that has to be called, with the schema of its arguments."""
    choice = request.get("tool_choice")
    tools = [tool["function"] for tool in request.get("tools") or ()]
    schemas = {tool["name"]: tool.get("parameters", {}) for tool in tools}
    if choice == "required":
        return choose(schemas, ran=request["messages"][-1]["role"] == "tool")
    if not isinstance(choice, dict):
        return None
    name = choice["function"]["name"]
    return name, schemas[name]


def _problems(request: dict[str, Any]) -> Iterator[Failure]:
    """Say what is wrong, in the vendor's words. Each may rely on those before."""
    if not isinstance(request.get("model"), str) or not request["model"]:
        yield _invalid("you must provide a model parameter")
    messages = request.get("messages")
    if messages is None:
        yield _invalid(
            "Missing required parameter: 'messages'.", "messages", "missing_required_parameter"
        )
    if not isinstance(messages, list):
        yield _invalid("Invalid type for 'messages'.", "messages", "invalid_type")
        return
    if not messages:
        yield _invalid(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead.",
            "messages",
            "empty_array",
        )
    yield from _limit_problems(request)
    yield from _option_problems(request)
    yield from _tool_problems(request)
    yield from _format_problems(request.get("response_format"))
    for index, message in enumerate(messages):
        yield from _message_problems(f"messages[{index}]", message)
    yield from _call_problems(messages)


def _limit_problems(request: dict[str, Any]) -> Iterator[Failure]:
    if not isinstance(request.get("stream") or False, bool):
        yield _invalid("Invalid type for 'stream'.", "stream", "invalid_type")
    for name in ("max_tokens", "max_completion_tokens"):
        value = request.get(name)
        if value is not None and type(value) is not int:
            yield _invalid(f"Invalid type for '{name}'.", name, "invalid_type")
        elif value is not None and value < 1:
            yield _invalid(
                f"Invalid '{name}': integer below minimum value. Expected a value >= 1.",
                name,
                "integer_below_min_value",
            )
    if request.get("max_tokens") and request.get("max_completion_tokens"):
        yield _invalid(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
            "invalid_parameter_combination",
        )
    for name, high in (("temperature", 2), ("top_p", 1)):
        value = request.get(name)
        if value is not None and not is_number(value, 0, high):
            yield _invalid(f"Invalid '{name}': it must be 0 to {high}.", name, "invalid_value")


def _option_problems(request: dict[str, Any]) -> Iterator[Failure]:
    stop = request.get("stop")
    stop = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stop, list) or not all(isinstance(each, str) and each for each in stop):
        yield _invalid("Invalid type for 'stop'.", "stop", "invalid_type")
    elif len(stop) > 4:
        yield _invalid("Invalid 'stop': at most 4 sequences.", "stop", "array_above_max_length")
    options = request.get("stream_options")
    if options is not None and request.get("stream") is not True:
        yield _invalid(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            "stream_options",
        )
    if not isinstance(options or {}, dict):
        yield _invalid("Invalid type for 'stream_options'.", "stream_options", "invalid_type")


def _tool_problems(request: dict[str, Any]) -> Iterator[Failure]:
    tools = request.get("tools")
    if tools is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if request.get(name) is not None:
                yield _invalid(f"'{name}' is only allowed when 'tools' are specified.", name)
        return
    if not isinstance(tools, list):
        yield _invalid("Invalid type for 'tools'.", "tools", "invalid_type")
    if not tools:
        yield _invalid("Invalid 'tools': empty array.", "tools", "empty_array")
    for index, tool in enumerate(tools):
        at = f"tools[{index}]"
        if tool.get("type") != "function":
            yield _invalid(f"Invalid value for '{at}.type'.", f"{at}.type", "invalid_value")
        function = tool.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            name = f"{at}.function.name"
            yield _invalid(
                f"Missing required parameter: '{name}'.", name, "missing_required_parameter"
            )
        if not _NAME.fullmatch(function["name"]):
            name = f"{at}.function.name"
            yield _invalid(
                f"Invalid '{name}': string does not match pattern.", name, "invalid_value"
            )
        if function.get("parameters", {"type": "object"}).get("type") != "object":
            yield _invalid(
                f"Invalid schema for function '{function['name']}': schema must be a JSON Schema of 'type: \"object\"'.",
                f"{at}.function.parameters",
                "invalid_function_parameters",
            )
    if not isinstance(request.get("parallel_tool_calls", True), bool):
        yield _invalid(
            "Invalid type for 'parallel_tool_calls'.", "parallel_tool_calls", "invalid_type"
        )
    yield from _choice_problems(request.get("tool_choice"), tools)


def _format_problems(form: Any) -> Iterator[Failure]:
    if form is None:
        return
    if not isinstance(form, dict) or form.get("type") not in ("text", "json_object", "json_schema"):
        yield _invalid("Invalid value for 'response_format'.", "response_format", "invalid_value")
    if form["type"] != "json_schema":
        return
    said = form.get("json_schema")
    if not isinstance(said, dict) or not _NAME.fullmatch(str(said.get("name", ""))):
        name = "response_format.json_schema.name"
        yield _invalid(f"Missing required parameter: '{name}'.", name)
    if said.get("strict"):
        for problem in schema_problems(said.get("schema"), "openai"):
            yield _invalid(
                f"Invalid schema for response_format '{said['name']}': {problem}", "response_format"
            )


def _choice_problems(choice: Any, tools: list[dict[str, Any]]) -> Iterator[Failure]:
    names = [tool["function"]["name"] for tool in tools]
    if choice is None or choice in ("auto", "none", "required"):
        return
    function = choice.get("function") if isinstance(choice, dict) else None
    if not isinstance(function, dict) or choice.get("type") != "function":
        yield _invalid("Invalid value for 'tool_choice'.", "tool_choice", "invalid_value")
    elif function.get("name") not in names:
        yield _invalid(
            "Invalid value for 'tool_choice': no function of this name found in 'tools'.",
            "tool_choice",
        )


def _message_problems(at: str, message: Any) -> Iterator[Failure]:
    if not isinstance(message, dict):
        yield _invalid(f"Invalid type for '{at}'.", at, "invalid_type")
        return
    role = message.get("role")
    if role not in _ROLES:
        supported = ", ".join(f"'{each}'" for each in _ROLES)
        yield _invalid(
            f"Invalid value: {role!r}. Supported values are: {supported}.",
            f"{at}.role",
            "invalid_value",
        )
    content = message.get("content")
    if not isinstance(content, str | list) and not (content is None and role == "assistant"):
        yield _invalid(
            f"Invalid value for 'content': expected a string, got {type(content).__name__}.",
            f"{at}.content",
        )


def _call_problems(messages: list[dict[str, Any]]) -> Iterator[Failure]:
    """Say which call has no message with its result behind it, and which of these no call before it."""
    asked: list[str] = []
    for index, message in enumerate([*messages, {"role": "end"}]):
        if message["role"] != "tool":
            if asked:
                yield _invalid(
                    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
                    f"The following tool_call_ids did not have response messages: {', '.join(asked)}",
                    f"messages.[{index}].role",
                )
            calls = message.get("tool_calls") or ()
            asked = [str(each.get("id")) for each in calls]
            for at, each in enumerate(calls):
                where = f"messages[{index}].tool_calls[{at}]"
                if len(str(each.get("id"))) > 40:
                    yield _invalid(
                        f"Invalid '{where}.id': string too long. Expected a string with maximum length 40.",
                        f"{where}.id",
                        "string_above_max_length",
                    )
                if not _NAME.fullmatch(str(each.get("function", {}).get("name"))):
                    yield _invalid(
                        f"Invalid '{where}.function.name': string does not match pattern. "
                        "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
                        f"{where}.function.name",
                        "invalid_value",
                    )
            if not all(_is_json(each.get("function", {}).get("arguments")) for each in calls):
                yield _invalid("Invalid 'arguments': it must be JSON.", f"messages[{index}]")
        elif message.get("tool_call_id") in asked:
            asked.remove(message["tool_call_id"])
        else:
            yield _invalid(
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
                f"messages.[{index}].role",
            )


def _is_json(text: object) -> bool:
    try:
        return isinstance(parse(str(text).encode()), dict)
    except ValueError:
        return False


def _invalid(message: str, param: str | None = None, code: str | None = None) -> Failure:
    return Failure(400, "invalid_request_error", message, code, param)
