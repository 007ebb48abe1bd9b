"""What Gemini's API accepts, and what it says to the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from llmkit.testing.emulator.answer import Ask, choose, estimate_tokens
from llmkit.testing.emulator.checks.schemas import schema_problems
from llmkit.testing.emulator.wires.base import Failure, is_number, parse

PATH = re.compile(
    r"/v1(?:beta|alpha|beta1)?(?:/projects/[^/]+/locations/[^/]+/publishers/google)?"
    r"/models/([^/:]+):(generateContent|streamGenerateContent)"
)
# The vendor refuses what it does not know.
_FIELDS = frozenset(
    {
        *("contents", "systemInstruction", "tools", "toolConfig", "safetySettings"),
        *("generationConfig", "cachedContent", "serviceTier", "store"),
    }
)
_CONFIG = frozenset(
    {
        *("candidateCount", "stopSequences", "maxOutputTokens", "temperature", "topP", "topK"),
        *("seed", "presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs"),
        *("responseMimeType", "responseSchema", "responseJsonSchema", "responseModalities"),
        *("thinkingConfig", "speechConfig", "imageConfig", "mediaResolution"),
    }
)
_PART = frozenset(
    {
        *("text", "thought", "thoughtSignature", "functionCall", "functionResponse"),
        *("inlineData", "fileData", "executableCode", "codeExecutionResult", "partMetadata"),
    }
)
_CALL = frozenset({"id", "name", "args"})
_RESULT = frozenset({"id", "name", "response", "willContinue", "scheduling", "parts"})
_DECLARATION = frozenset(
    {"name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema"}
)
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")


def check(
    headers: Mapping[str, str], body: bytes, *, require_key: bool, target: str
) -> Ask | Failure:
    """Say what the request asks for, or why the vendor would refuse it."""
    if require_key and not headers.get("x-goog-api-key") and not headers.get("authorization"):
        return Failure(
            403,
            "PERMISSION_DENIED",
            "Method doesn't allow unregistered callers (callers without established identity).",
        )
    path, _, query = target.partition("?")
    place = PATH.fullmatch(path)
    assert place is not None  # it would not have come here
    model, streaming = unquote(place[1]), place[2] == "streamGenerateContent"
    if streaming and parse_qs(query).get("alt") != ["sse"]:
        return _invalid("This emulator streams with ?alt=sse only, as all SDKs ask for it.")
    try:
        request = parse(body)
    except ValueError:
        request = None
    if not isinstance(request, dict):
        return _invalid("Invalid JSON payload received. Unexpected token.")
    for problem in _problems(request, model, streaming=streaming):
        return _invalid(problem)
    config = request.get("generationConfig") or {}
    texts = [
        part["text"]
        for content in [request.get("systemInstruction") or {}, *request["contents"]]
        for part in content.get("parts") or ()
        if "text" in part
    ]
    calling = (request.get("toolConfig") or {}).get("functionCallingConfig") or {}
    return Ask(
        model=model,
        streaming=streaming,
        input_tokens=estimate_tokens(texts, messages=len(request["contents"])),
        max_tokens=config.get("maxOutputTokens"),
        stop=tuple(config.get("stopSequences") or ()),
        schema=config.get("responseJsonSchema"),
        forced=_forced(request, calling),
        streams_calls=calling.get("streamFunctionCallArguments") is True,
    )


def _declared(request: dict[str, Any]) -> dict[str, Any]:
    return {
        each["name"]: each.get("parametersJsonSchema", {})
        for tool in request.get("tools") or ()
        for each in tool.get("functionDeclarations", ())
    }


def _forced(request: dict[str, Any], calling: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    if calling.get("mode") != "ANY":
        return None
    declared = _declared(request)
    allowed = calling.get("allowedFunctionNames") or declared
    ran = any("functionResponse" in part for part in request["contents"][-1]["parts"])
    return choose({name: declared[name] for name in allowed}, ran=ran)


def _problems(request: dict[str, Any], model: str, *, streaming: bool) -> Iterator[str]:
    """Say what is wrong, in the vendor's words. Each may rely on those before."""
    yield from _unknown(request, _FIELDS, "")
    config = request.get("generationConfig", {})
    if not isinstance(config, dict):
        yield 'Invalid value at "generation_config".'
    yield from _unknown(config, _CONFIG, " at 'generation_config'")
    yield from _config_problems(config)
    yield from _tool_problems(request, streaming=streaming)
    is_json = config.get("responseMimeType") == "application/json"
    if is_json and request.get("tools") and not model.startswith("gemini-3"):
        yield "Function calling with a response mime type: 'application/json' is unsupported"
    contents = request.get("contents")
    if not isinstance(contents, list) or not contents:
        yield "* GenerateContentRequest.contents: contents is not specified"
        return
    system = request.get("systemInstruction")
    if system is not None:
        yield from _part_problems("system_instruction", system)
    for at, content in enumerate(contents):
        if not isinstance(content, dict) or content.get("role", "user") not in ("user", "model"):
            yield "Please use a valid role: user, model."
        yield from _part_problems(f"contents[{at}]", content)
    yield from _turn_problems(contents, model)


def _unknown(given: dict[str, Any], known: frozenset[str], where: str) -> Iterator[str]:
    for name in given:
        if name not in known:
            yield f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'


def _config_problems(config: dict[str, Any]) -> Iterator[str]:
    limit = config.get("maxOutputTokens")
    if limit is not None and (type(limit) is not int or limit < 1):
        yield "* GenerateContentRequest.generation_config.max_output_tokens: max_output_tokens must be positive."
    for name, high in (("temperature", 2), ("topP", 1)):
        if not is_number(config.get(name, 0), 0, high):
            yield f"* GenerateContentRequest.generation_config.{name}: {name} must be in the range [0.0, {high}.0]."
    stop = config.get("stopSequences", [])
    if not isinstance(stop, list) or not all(isinstance(each, str) and each for each in stop):
        yield "* GenerateContentRequest.generation_config.stop_sequences: must be strings that are not empty."
    if len(stop) > 5:
        yield "* GenerateContentRequest.generation_config.stop_sequences: at most 5."
    schema = config.get("responseJsonSchema")
    if schema is not None:
        if config.get("responseMimeType") != "application/json":
            yield "response_json_schema requires response_mime_type to be 'application/json'"
        for problem in schema_problems(schema, "gemini"):
            yield f"Invalid schema: {problem}"


def _tool_problems(request: dict[str, Any], *, streaming: bool) -> Iterator[str]:
    tools = request.get("tools", [])
    if not isinstance(tools, list):
        yield 'Invalid value at "tools".'
    for tool in tools:
        for each in tool.get("functionDeclarations", ()):
            yield from _unknown(each, _DECLARATION, " at 'tools[0].function_declarations'")
            if not _NAME.fullmatch(str(each.get("name", ""))):
                yield "Invalid function name. Must start with a letter or an underscore."
    calling = (request.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if calling.get("mode", "AUTO") not in ("AUTO", "ANY", "NONE", "VALIDATED"):
        yield "Invalid value at 'tool_config.function_calling_config.mode'."
    allowed = calling.get("allowedFunctionNames")
    if allowed is not None and calling.get("mode") not in ("ANY", "VALIDATED"):
        yield "allowed_function_names should only be set when function_calling_config.mode is ANY."
    if not set(allowed or ()) <= set(_declared(request)):
        yield "allowed_function_names contains a function that is not declared."
    if calling.get("mode") == "ANY" and not _declared(request):
        yield "Function calling config is set without function_declarations."
    if calling.get("streamFunctionCallArguments") and not streaming:
        yield "stream_function_call_arguments is only supported in streaming requests."


def _part_problems(at: str, content: dict[str, Any]) -> Iterator[str]:
    parts = content.get("parts")
    if not isinstance(parts, list) or not parts:
        yield f"* GenerateContentRequest.{at}.parts: contents.parts must not be empty."
        return
    for part in parts:
        if not isinstance(part, dict):
            yield f"Invalid value at '{at}.parts'."
        yield from _unknown(part, _PART, f" at '{at}.parts[0]'")
        if not {"text", "functionCall", "functionResponse", "thoughtSignature"} & part.keys():
            yield f"* GenerateContentRequest.{at}.parts.data: required oneof field 'data' must have one initialized field"
        if not isinstance(part.get("text", ""), str):
            yield f"Invalid value at '{at}.parts[0].text' (TYPE_STRING)."
        call, result = part.get("functionCall", {}), part.get("functionResponse", {})
        yield from _unknown(call, _CALL, " at 'function_call'")
        yield from _unknown(result, _RESULT, " at 'function_response'")
        if not isinstance(call.get("args", {}), dict):
            yield "Invalid value at 'function_call.args' (type.googleapis.com/google.protobuf.Struct)."
        if result and not isinstance(result.get("response"), dict):
            yield "Invalid value at 'function_response.response' (type.googleapis.com/google.protobuf.Struct)."


def _turn_problems(contents: list[dict[str, Any]], model: str) -> Iterator[str]:
    """Say which call has no result in the turn behind it, and which answer of this turn has lost its signature."""
    asked: list[tuple[str, str | None]] = []
    for content in [*contents, {"parts": []}]:
        results = [
            part["functionResponse"] for part in content["parts"] if "functionResponse" in part
        ]
        named = [(each.get("name", ""), each.get("id")) for each in results]
        if len(named) != len(asked) or sorted(map(str, named)) != sorted(map(str, asked)):
            yield "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn."
        calls = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
        asked = [(each.get("name", ""), each.get("id")) for each in calls]
    if not model.startswith("gemini-3"):
        return
    for at in range(len(contents) - 1, -1, -1):
        content = contents[at]
        if content.get("role") != "model" and not any(
            "functionResponse" in part for part in content["parts"]
        ):
            return  # what the user has said: there the turn begins
        calls = [part for part in content["parts"] if "functionCall" in part]
        if calls and "thoughtSignature" not in calls[0]:
            yield "Function call is missing a thought_signature in functionCall parts."


def _invalid(message: str) -> Failure:
    return Failure(400, "INVALID_ARGUMENT", message)
