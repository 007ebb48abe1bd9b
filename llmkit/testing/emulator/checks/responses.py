"""What OpenAI's Responses API accepts, and what it says to the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from llmkit.testing.emulator.answer import Ask, choose, estimate_tokens, texts_in
from llmkit.testing.emulator.checks.azure import refusal
from llmkit.testing.emulator.checks.schemas import schema_problems
from llmkit.testing.emulator.wires.base import Failure, is_number, parse

# The vendor refuses what it does not know.
_FIELDS = frozenset(
    {
        *("background", "context_management", "conversation", "include", "input", "instructions"),
        *("max_output_tokens", "max_tool_calls", "metadata", "model", "moderation"),
        *("parallel_tool_calls", "previous_response_id", "prompt", "prompt_cache_key"),
        *("prompt_cache_options", "prompt_cache_retention", "reasoning", "safety_identifier"),
        *("service_tier", "store", "stream", "stream_options", "temperature", "text"),
        *("tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user"),
    }
)
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ROLES = ("assistant", "system", "developer", "user")
_REASONS = re.compile(r"o\d|gpt-[5-9](?!.*chat)|codex")


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
    for problem in _problems(request):
        return problem
    given = request["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    texts = [request.get("instructions") or ""]
    for item in items:
        texts += texts_in(item.get("content"))
    form = (request.get("text") or {}).get("format") or {}
    return Ask(
        model=request["model"],
        streaming=request.get("stream") is True,
        input_tokens=estimate_tokens(texts, messages=len(items)),
        max_tokens=request.get("max_output_tokens"),
        schema=form.get("schema"),
        forced=_forced(request, items[-1]),
    )


def _forced(request: dict[str, Any], last: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    choice = request.get("tool_choice")
    schemas = {tool["name"]: tool.get("parameters", {}) for tool in request.get("tools") or ()}
    if choice == "required":
        return choose(schemas, ran=last.get("type") == "function_call_output")
    return (choice["name"], schemas[choice["name"]]) if isinstance(choice, dict) else None


def _problems(request: dict[str, Any]) -> Iterator[Failure]:
    """Say what is wrong, in the vendor's words. Each may rely on those before."""
    for name in request:
        if name not in _FIELDS:
            yield _invalid(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    if not isinstance(request.get("model"), str) or not request["model"]:
        yield _invalid("Missing required parameter: 'model'.", "model")
    given = request.get("input")
    if not given or not isinstance(given, str | list):
        yield _invalid("Missing required parameter: 'input'.", "input")
        return
    yield from _option_problems(request)
    yield from _tool_problems(request)
    if isinstance(given, list):
        for index, item in enumerate(given):
            yield from _item_problems(f"input[{index}]", item)
        yield from _call_problems(given)


def _option_problems(request: dict[str, Any]) -> Iterator[Failure]:
    limit = request.get("max_output_tokens")
    if limit is not None and (type(limit) is not int or limit < 1):
        yield _invalid(
            "Invalid 'max_output_tokens': integer below minimum value.", "max_output_tokens"
        )
    for name, high in (("temperature", 2), ("top_p", 1)):
        value = request.get(name)
        if value is not None and not is_number(value, 0, high):
            yield _invalid(f"Invalid '{name}': it must be 0 to {high}.", name)
    for name in ("stream", "store", "parallel_tool_calls"):
        if not isinstance(request.get(name, False), bool):
            yield _invalid(f"Invalid type for '{name}'.", name, "invalid_type")
    asks = "reasoning.encrypted_content" in (request.get("include") or ())
    if asks and not _REASONS.match(request["model"]):
        yield _invalid("Encrypted content is not supported with this model.", "include")
    form = (request.get("text") or {}).get("format") or {"type": "text"}
    if form.get("type") not in ("text", "json_object", "json_schema"):
        yield _invalid("Invalid value for 'text.format.type'.", "text.format.type")
    if form["type"] == "json_schema":
        if not _NAME.fullmatch(str(form.get("name", ""))):
            yield _invalid("Missing required parameter: 'text.format.name'.", "text.format.name")
        for problem in schema_problems(form.get("schema"), "openai"):
            yield _invalid(
                f"Invalid schema for response_format '{form['name']}': {problem}", "text.format"
            )


def _tool_problems(request: dict[str, Any]) -> Iterator[Failure]:
    tools = request.get("tools") or []
    for index, tool in enumerate(tools):
        at = f"tools[{index}]"
        if tool.get("type") != "function":
            yield _invalid(f"Invalid value for '{at}.type'.", f"{at}.type")
        if not _NAME.fullmatch(str(tool.get("name", ""))):
            yield _invalid(f"Missing required parameter: '{at}.name'.", f"{at}.name")
        schema = tool.get("parameters") or {}
        if tool.get("strict") is not False:  # it is on unless it is off
            for problem in schema_problems(schema, "openai"):
                yield _invalid(
                    f"Invalid schema for function '{tool['name']}': {problem}", f"{at}.parameters"
                )
    choice = request.get("tool_choice", "auto")
    names = [tool["name"] for tool in tools]
    if isinstance(choice, dict):
        if choice.get("type") != "function" or choice.get("name") not in names:
            yield _invalid("Tool choice 'function' not found in 'tools' parameter.", "tool_choice")
    elif choice not in ("auto", "none", "required"):
        yield _invalid("Invalid value for 'tool_choice'.", "tool_choice")
    elif choice == "required" and not tools:
        yield _invalid("Tool choice 'required' must be specified with 'tools' parameter.")


def _item_problems(at: str, item: Any) -> Iterator[Failure]:
    if not isinstance(item, dict):
        yield _invalid(f"Invalid type for '{at}'.", at, "invalid_type")
    kind = item.get("type", "message")
    if kind == "message":
        if item.get("role") not in _ROLES:
            yield _invalid(f"Invalid value: {item.get('role')!r}.", f"{at}.role", "invalid_value")
        if not isinstance(item.get("content"), str | list):
            yield _invalid(f"Invalid type for '{at}.content'.", f"{at}.content", "invalid_type")
    elif kind == "function_call":
        if not _NAME.fullmatch(str(item.get("name"))) or not isinstance(item.get("arguments"), str):
            yield _invalid(f"Invalid '{at}': a function call has a name and arguments.", at)
        if not 0 < len(str(item.get("call_id") or "")) <= 64:
            yield _invalid(f"Missing required parameter: '{at}.call_id'.", f"{at}.call_id")
    elif kind == "function_call_output":
        if not isinstance(item.get("output"), str | list):
            yield _invalid(f"Missing required parameter: '{at}.output'.", f"{at}.output")
    elif kind == "reasoning":
        yield from _reasoning_problems(at, item)
    else:
        yield _invalid(f"Invalid value: '{kind}'.", f"{at}.type", "invalid_value")


def _reasoning_problems(at: str, item: dict[str, Any]) -> Iterator[Failure]:
    item_id = str(item.get("id", ""))
    if not item_id.startswith("rs_") or not isinstance(item.get("summary"), list):
        yield _invalid(f"Missing required parameter: '{at}.summary'.", f"{at}.summary")
    if not item.get("encrypted_content"):
        message = f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false."
        yield Failure(404, "invalid_request_error", message, None, "input")


def _call_problems(items: list[dict[str, Any]]) -> Iterator[Failure]:
    """Say which call has no output behind it, which output no call before it, and which reasoning led to nothing."""
    asked: list[str] = []
    for index, item in enumerate(items):
        kind = item.get("type", "message")
        if kind == "function_call":
            asked.append(item["call_id"])
        elif kind == "function_call_output":
            if item.get("call_id") not in asked:
                yield _invalid(
                    f"No tool call found for function call output with call_id {item.get('call_id')}."
                )
            asked.remove(item["call_id"])
        elif kind == "reasoning":
            behind = items[index + 1].get("type", "message") if index + 1 < len(items) else None
            role = items[index + 1].get("role") if behind == "message" else "assistant"
            if behind not in ("function_call", "message", "reasoning") or role != "assistant":
                yield _invalid(
                    f"Item '{item['id']}' of type 'reasoning' was provided without its required following item."
                )
    if asked:
        yield _invalid(f"No tool output found for function call {asked[0]}.")


def _invalid(message: str, param: str | None = None, code: str | None = None) -> Failure:
    return Failure(400, "invalid_request_error", message, code, param)
