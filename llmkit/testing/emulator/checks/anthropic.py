"""What Anthropic's API accepts, and what it says to the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from llmkit.testing.emulator.answer import Ask, choose, estimate_tokens, texts_in
from llmkit.testing.emulator.checks.schemas import schema_problems
from llmkit.testing.emulator.wires.base import Failure, is_number, parse

# The vendor refuses what it does not know. The last row is what its beta header adds.
_FIELDS = frozenset(
    [
        "cache_control",
        "container",
        "diagnostics",
        "inference_geo",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
        "user_profile_id",
        "workspace_id",
        "compaction",
        "context_management",
        "fallbacks",
        "mcp_servers",
        "output_format",
        "thread",
    ]
)
# docs.claude.com/en/api/claude-on-vertex-ai: the model stands in the address, and the version in the body.
VERTEX = re.compile(
    r"/v1/projects/[^/]+/locations/[^/]+/publishers/anthropic"
    r"/models/([^/:]+):(rawPredict|streamRawPredict)"
)
_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
_PARALLEL = {"disable_parallel_tool_use"}
_CHOICES = {"auto": _PARALLEL, "any": _PARALLEL, "tool": {"name", *_PARALLEL}, "none": set[str]()}
_SYSTEM_ROLE = (
    'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, '
    'not "system" as an input message role.'
)


def check(
    headers: Mapping[str, str], body: bytes, *, require_key: bool, target: str
) -> Ask | Failure:
    """Say what the request asks for, or why the vendor would refuse it."""
    if require_key and not headers.get("x-api-key") and not headers.get("authorization"):
        return Failure(401, "authentication_error", "x-api-key header is required")
    place = VERTEX.fullmatch(target)
    if "anthropic-version" not in headers and place is None:
        return _invalid("anthropic-version: header is required")
    try:
        request = parse(body)
    except ValueError:
        return _invalid("The request body is not valid JSON.")
    if not isinstance(request, dict):
        return _invalid("The request body must be a JSON object.")
    if place is not None:
        if request.pop("anthropic_version", None) != "vertex-2023-10-16" or "model" in request:
            return _invalid(
                "anthropic_version: Field required; model: Extra inputs are not permitted"
            )
        request["model"] = place[1]
    for problem in _problems(request):
        return _invalid(problem)
    texts = texts_in(request.get("system"))
    for message in request["messages"]:
        texts += texts_in(message["content"])
    return Ask(
        model=request["model"],
        streaming=request.get("stream") is True,
        input_tokens=estimate_tokens(texts, messages=len(request["messages"])),
        max_tokens=request["max_tokens"],
        stop=tuple(request.get("stop_sequences") or ()),
        schema=((request.get("output_config") or {}).get("format") or {}).get("schema"),
        forced=_forced(request),
    )


def _forced(request: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Name the tool that has to be called, with the schema of its arguments."""
    choice = request.get("tool_choice") or {}
    schemas = {tool["name"]: tool["input_schema"] for tool in request.get("tools") or ()}
    if choice.get("type") == "any":
        kinds = [
            part.get("type")
            for part in request["messages"][-1]["content"]
            if isinstance(part, dict)
        ]
        return choose(schemas, ran="tool_result" in kinds)
    return (choice["name"], schemas[choice["name"]]) if choice.get("type") == "tool" else None


def _problems(request: dict[str, Any]) -> Iterator[str]:
    """Say what is wrong, in the vendor's words. Each may rely on those before."""
    for name in ("model", "messages", "max_tokens"):
        if name not in request:
            yield f"{name}: Field required"
    for name in request:
        if name not in _FIELDS:
            yield f"{name}: Extra inputs are not permitted"
    if not isinstance(request["model"], str) or not request["model"]:
        yield "model: Input should be a valid string"
    if type(request["max_tokens"]) is not int:
        yield "max_tokens: Input should be a valid integer"
    if request["max_tokens"] < 1:
        yield "max_tokens: Input should be greater than or equal to 1"
    yield from _option_problems(request)
    yield from _tool_problems(request)
    yield from _output_problems(request)
    if not isinstance(request["messages"], list):
        yield "messages: Input should be a valid list"
    if not request["messages"]:
        yield "messages: at least one message is required"
    for index, message in enumerate(request["messages"]):
        yield from _message_problems(index, message, len(request["messages"]))
    yield from _call_problems(request["messages"])


def _option_problems(request: dict[str, Any]) -> Iterator[str]:
    if not isinstance(request.get("stream", False), bool):
        yield "stream: Input should be a valid boolean"
    if not isinstance(request.get("system", ""), str | list):
        yield "system: Input should be a valid string"
    for name in ("temperature", "top_p"):
        if not is_number(request.get(name, 1), 0, 1):
            yield f"{name}: range: 0..1"
    stop = request.get("stop_sequences", [])
    if not isinstance(stop, list) or not all(isinstance(each, str) for each in stop):
        yield "stop_sequences: Input should be a valid list of strings"
    if not all(each.strip() for each in stop):
        yield "stop_sequences: each stop sequence must contain non-whitespace"


def _tool_problems(request: dict[str, Any]) -> Iterator[str]:
    tools = request.get("tools", [])
    if not isinstance(tools, list):
        yield "tools: Input should be a valid list"
    for index, tool in enumerate(tools):
        at = f"tools.{index}.custom"
        if not _NAME.fullmatch(str(tool.get("name", ""))):
            yield f"{at}.name: String should match pattern '{_NAME.pattern}'"
        if not isinstance(tool.get("description", ""), str):
            yield f"{at}.description: Input should be a valid string"
        schema = tool.get("input_schema")
        if not isinstance(schema, dict):
            yield f"{at}.input_schema: Field required"
        if schema.get("type") != "object":
            yield f"{at}.input_schema.type: Input should be 'object'"
    names = [tool["name"] for tool in tools]
    if len(set(names)) < len(names):
        yield "tools: Tool names must be unique."
    if request.get("tool_choice") is not None:
        yield from _choice_problems(request["tool_choice"], names)


def _output_problems(request: dict[str, Any]) -> Iterator[str]:
    config = request.get("output_config")
    if config is None:
        return
    if not isinstance(config, dict) or not isinstance(config.get("format") or {}, dict):
        yield "output_config: Input should be an object"
    form = config.get("format") or {}
    if form and form.get("type") != "json_schema":
        yield "output_config.format: Input tag does not match any of the expected tags: 'json_schema'"
    for problem in schema_problems(form["schema"], "anthropic") if form else ():
        yield f"output_config.format.{problem}"


def _choice_problems(choice: Any, names: list[str]) -> Iterator[str]:
    if not names:
        yield "tool_choice: may only be specified while providing tools"
    kind = str(choice.get("type")) if isinstance(choice, dict) else ""
    if kind not in _CHOICES:
        yield "tool_choice: Input tag does not match any of the expected tags: 'auto', 'any', 'tool', 'none'"
    for name in choice:
        if name not in {"type", *_CHOICES[kind]}:
            yield f"tool_choice.{kind}.{name}: Extra inputs are not permitted"
    if not isinstance(choice.get("disable_parallel_tool_use", False), bool):
        yield f"tool_choice.{kind}.disable_parallel_tool_use: Input should be a valid boolean"
    if kind == "tool" and choice.get("name") not in names:
        yield f"Tool '{choice.get('name')}' not found in provided tools"


def _message_problems(index: int, message: Any, count: int) -> Iterator[str]:
    at = f"messages.{index}"
    if not isinstance(message, dict):
        yield f"{at}: Input should be an object"
    for name in ("role", "content"):
        if name not in message:
            yield f"{at}.{name}: Field required"
    if message["role"] == "system":
        yield _SYSTEM_ROLE
    if message["role"] not in ("user", "assistant"):
        yield f"{at}.role: Input should be 'user' or 'assistant'"
    if index == 0 and message["role"] != "user":
        yield 'messages: first message must use the "user" role'
    content = message["content"]
    if not isinstance(content, str | list):
        yield f"{at}.content: Input should be a valid string"
    if not content and not (message["role"] == "assistant" and index == count - 1):
        yield (
            f"{at}: all messages must have non-empty content "
            "except for the optional final assistant message"
        )
    if isinstance(content, list) and any(
        isinstance(part, dict) and part.get("type") == "text" and not part.get("text")
        for part in content
    ):
        yield "messages: text content blocks must be non-empty"


def _call_problems(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Say which call has no result in the message behind it, and which result no call in the message before it."""
    asked: list[str] = []
    seen: set[str] = set()
    for index, message in enumerate([*messages, {}]):
        content = message.get("content")
        blocks = (
            [each for each in content if isinstance(each, dict)]
            if isinstance(content, list)
            else []
        )
        kinds = [block.get("type") for block in blocks]
        given = [
            str(each.get("tool_use_id")) for each in blocks if each.get("type") == "tool_result"
        ]
        if missing := [name for name in asked if name not in given]:
            yield (
                f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}. "
                "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
            )
        if extra := [name for name in given if name not in asked]:
            yield (
                f"messages.{index}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {extra[0]}. "
                "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        if "text" in kinds and "tool_result" in kinds[kinds.index("text") :]:
            yield f"messages.{index}: `tool_result` blocks must come before all other content"
        for at, block in enumerate(blocks):
            if block.get("type") == "thinking" and not block.get("signature"):
                yield f"messages.{index}.content.{at}.thinking.signature: Field required"
            if block.get("type") == "tool_result" and not isinstance(
                block.get("content"), str | list
            ):
                yield f"messages.{index}.content.{at}.tool_result.content: Input should be a valid string"
            if block.get("type") == "tool_use":
                for name in ("id", "name"):
                    if not _NAME.fullmatch(str(block.get(name))):
                        yield f"messages.{index}.content.{at}.tool_use.{name}: String should match pattern '^[a-zA-Z0-9_-]+$'"
                if str(block.get("id")) in seen:
                    yield f"messages.{index}.content.{at}: `tool_use` ids must be unique"
                seen.add(str(block.get("id")))
        asked = [str(each.get("id")) for each in blocks if each.get("type") == "tool_use"]


def _invalid(message: str) -> Failure:
    return Failure(400, "invalid_request_error", message)
