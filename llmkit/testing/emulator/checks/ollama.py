"""What Ollama's server accepts, and what it says to the rest: little, for it reads what it knows and passes over everything else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmkit.testing.emulator.answer import Ask, choose, estimate_tokens
from llmkit.testing.emulator.wires.base import Failure, parse

_ROLES = ("system", "user", "assistant", "tool")


def check(body: bytes) -> Ask | Failure:
    """Say what the request asks for, or why the server would refuse it."""
    try:
        request = parse(body)
    except ValueError:
        return Failure(400, "", "invalid character in JSON")
    if not isinstance(request, dict):
        return Failure(400, "", "json: cannot unmarshal into Go value of type api.ChatRequest")
    for problem in _problems(request):
        return Failure(400, "", problem)
    messages, options = request.get("messages") or [], request.get("options") or {}
    limit = options.get("num_predict")
    stop = options.get("stop") or ()
    form = request.get("format")
    return Ask(
        model=request["model"],
        streaming=request.get("stream") is not False,
        input_tokens=estimate_tokens(
            [message.get("content") or "" for message in messages], messages=len(messages)
        ),
        max_tokens=limit if isinstance(limit, int) and limit > 0 else None,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        schema=form if isinstance(form, dict) else None,
        forced=_meant(request),
    )


def _meant(request: dict[str, Any]) -> tuple[str, Any] | None:
    """Choose a tool where one of them is the answer, by its description: this server has no word for "has to", and a model does what is said there."""
    # llmkit's words. They are written out here, for the emulator knows nothing of what is tested with it.
    functions = [tool["function"] for tool in request.get("tools") or ()]
    if not any(each.get("description") == "Answer with this." for each in functions):
        return None
    schemas = {each["name"]: each.get("parameters") or {} for each in functions}
    last = (request.get("messages") or [{}])[-1]
    return choose(schemas, ran=last.get("role") == "tool")


def _problems(request: dict[str, Any]) -> Iterator[str]:
    """Say what is wrong, in the server's words: what is of a wrong type, it cannot unmarshal."""
    if not request.get("model"):
        yield "model is required"
    kinds: tuple[tuple[str, Any, str], ...] = (
        ("model", str, "string"),
        ("messages", list | None, "[]api.Message"),
        ("stream", bool | None, "bool"),
        ("options", dict | None, "map[string]interface {}"),
        ("tools", list | None, "api.Tools"),
    )
    for name, kind, shown in kinds:
        if not isinstance(request.get(name), kind):
            yield _wrong(name, shown)
    if not isinstance(request.get("format", {}), dict | str):
        yield 'invalid format; expected "json" or a JSON schema'
    for message in request.get("messages") or ():
        if message.get("role") not in _ROLES:
            yield f"invalid role: {message.get('role')}, must be one of {list(_ROLES)}"
        if not isinstance(message.get("content", ""), str):
            yield _wrong("messages.content", "string")
        for call in message.get("tool_calls") or ():
            if not isinstance(call.get("function", {}).get("arguments"), dict):
                yield _wrong(
                    "messages.tool_calls.function.arguments", "api.ToolCallFunctionArguments"
                )
    for tool in request.get("tools") or ():
        if not isinstance(tool.get("function", {}).get("name"), str):
            yield _wrong("tools.function.name", "string")


def _wrong(field: str, kind: str) -> str:
    return f"json: cannot unmarshal into Go struct field ChatRequest.{field} of type {kind}"
